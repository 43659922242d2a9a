//! What is said to an MTA, until it has left.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::buffer;
use super::connection::End;
use super::serve::{Phase, Shared};
use super::stream::Stream;

/// Writes all of `output` and frees it; what has not left stays in it. `left` is the time for the first wait,
/// if it is not the usual one.
pub(super) async fn send<F>(
    stream: &Stream,
    output: &mut Vec<u8>,
    shared: &Shared<F>,
    left: &mut Option<Duration>,
) -> Result<(), End> {
    let mut written = 0;
    // Nearly always all of it leaves at once.
    let sent = match put(stream, output, &mut written) {
        Ok(false) => Box::pin(write(stream, output, &mut written, shared, left)).await,
        result => result.map(|_| ()),
    };
    if sent.is_ok() {
        buffer::give_back(output);
    } else {
        output.drain(..written);
    }
    sent
}

async fn write<F>(
    stream: &Stream,
    output: &[u8],
    written: &mut usize,
    shared: &Shared<F>,
    left: &mut Option<Duration>,
) -> Result<(), End> {
    while !put(stream, output, written)? {
        let deadline = Instant::now() + left.take().unwrap_or(shared.limits.write_time);
        tokio::select! {
            biased;
            ready = timeout_at(deadline, stream.writable()) => match ready {
                Ok(ready) => ready.map_err(End::Socket)?,
                Err(_) => return Err(End::Late("the MTA does not read")),
            },
            end = dismissed(&shared.phase) => {
                if matches!(end, End::Rested) {
                    *left = Some(deadline.saturating_duration_since(Instant::now()));
                }
                return Err(end);
            }
        }
    }
    Ok(())
}

/// Waits until the server has no more time for what is said.
async fn dismissed(phase: &watch::Sender<Phase>) -> End {
    let mut phase = phase.subscribe();
    loop {
        let now = *phase.borrow_and_update();
        let changed = phase.changed();
        match now {
            Phase::Serving => drop(changed.await),
            Phase::Draining { all, .. } => {
                if timeout_at(all, changed).await.is_err() {
                    return End::Drained;
                }
            }
            Phase::HandingOver { .. } => return End::Rested,
        }
    }
}

/// Writes what the socket takes now, and tells whether that is all.
fn put(stream: &Stream, output: &[u8], written: &mut usize) -> Result<bool, End> {
    while *written < output.len() {
        match stream.try_write(&output[*written..]) {
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(End::Socket(error)),
        }
    }
    Ok(true)
}
