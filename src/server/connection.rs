//! One connection of an MTA.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::serve::{Phase, Seat, Shared};
use super::stream::Stream;
use crate::limits::Limits;
use crate::milter::{Filter, Flow, Frame, ProtocolError, Session, Step, Unspoken};
use crate::smtp::{SessionId, Stage};
use crate::verdict::Decision;

/// Largest buffer that a connection keeps while it waits, in octets: room for any usual command.
const KEPT: usize = 256;
/// Octets taken off a socket at once.
const READ: usize = 65_540;

thread_local! {
    /// One buffer per thread for what is read: an idle connection holds none.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// QUIT, or the MTA closed between packets.
    Quit,
    /// The MTA closed in the middle of a packet or of a message.
    Gone,
    /// The server stops.
    Drained,
    /// A deadline passed.
    Late(&'static str),
    /// The MTA sent what no MTA can mean.
    Protocol(ProtocolError),
    /// The socket failed.
    Socket(io::Error),
}

/// The state of a connection: what is known, and what is half received.
pub(super) struct Connection<F: Filter> {
    stream: Stream,
    shared: Arc<Shared<F>>,
    filter: Option<Arc<F>>,
    session: Session,
    memory: F::Memory,
    input: Vec<u8>,
    /// When the packet that is half received must be complete.
    due: Option<Instant>,
    output: Vec<u8>,
    seat: Option<Seat<F>>,
}

impl<F: Filter> Connection<F> {
    pub(super) fn new(stream: Stream, id: SessionId, shared: Arc<Shared<F>>) -> Self {
        stream.prepare();
        Self {
            stream,
            filter: None,
            session: Session::new(id, &shared.limits),
            memory: F::Memory::default(),
            input: Vec::new(),
            due: None,
            output: Vec::new(),
            seat: None,
            shared,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) -> End {
        loop {
            match self.step().await {
                Ok(()) => {}
                Err(end) => {
                    // What is already said may still be read: the answer to the last packet, mostly.
                    let _ = self.stream.try_write(&self.output);
                    return end;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        self.receive().await?;
        let unanswered = self.process().await?;
        self.send().await?;
        if unanswered {
            self.stream.acknowledge();
        }
        Ok(())
    }

    /// Waits for octets and takes what is there.
    async fn receive(&mut self) -> Result<(), End> {
        let deadline = self.due.unwrap_or_else(|| Instant::now() + self.shared.limits.idle);
        loop {
            self.wait_readable(deadline).await?;
            let read: io::Result<usize> = SCRATCH.with_borrow_mut(|scratch| {
                let count = self.stream.try_read(scratch)?;
                self.input.extend_from_slice(&scratch[..count]);
                Ok(count)
            });
            match read {
                Ok(0) if self.input.is_empty() && !self.session.in_message() => return Err(End::Quit),
                Ok(0) => return Err(End::Gone),
                Ok(count) => {
                    // A socket that is always readable never lets others have the thread by itself.
                    if count == READ {
                        tokio::task::yield_now().await;
                    } else {
                        tokio::task::consume_budget().await;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(End::Socket(error)),
            }
        }
    }

    async fn wait_readable(&mut self, deadline: Instant) -> Result<(), End> {
        let mut phase = self.shared.phase.subscribe();
        loop {
            let until = match *phase.borrow_and_update() {
                Phase::Serving => None,
                Phase::Draining { idle, all } => Some(if self.session.in_message() { all } else { idle }),
            };
            let nearest = until.map_or(deadline, |until| until.min(deadline));
            // Looked at first: a peer that never stops sending is always readable.
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(End::Drained);
            }
            tokio::select! {
                biased;
                ready = timeout_at(nearest, self.stream.readable()) => match ready {
                    Ok(ready) => return ready.map_err(End::Socket),
                    Err(_) if until == Some(nearest) => return Err(End::Drained),
                    Err(_) if self.input.is_empty() => return Err(End::Late("silent for too long")),
                    Err(_) => return Err(End::Late("a packet took too long to arrive")),
                },
                _ = phase.changed() => {}
            }
        }
    }

    /// Answers every complete packet. Tells whether the last one gets no answer that could carry its
    /// acknowledgement, and more is to come: macros, whose command follows, and ABORT.
    async fn process(&mut self) -> Result<bool, End> {
        let mut input = std::mem::take(&mut self.input);
        let mut done = 0;
        let mut unanswered = false;
        while let Some((frame, used)) =
            Frame::take(&input[done..], &self.shared.limits).map_err(End::Protocol)?
        {
            self.packet(frame).await?;
            unanswered = matches!(frame.code, b'D' | b'A');
            done += used;
        }
        if done == input.len() {
            self.due = None;
            recycle(&mut input);
        } else {
            if done > 0 || self.due.is_none() {
                self.due = Some(Instant::now() + self.shared.limits.frame_time);
            }
            input.drain(..done);
        }
        self.input = input;
        Ok(unanswered)
    }

    async fn packet(&mut self, frame: Frame<'_>) -> Result<(), End> {
        match self.session.receive(frame, &mut self.output).map_err(End::Protocol)? {
            Step::Proceed => Ok(()),
            Step::Negotiate(offer) => {
                let filter = self.shared.filter.load_full();
                let needs = filter.needs();
                self.session.negotiate(offer, &needs, &mut self.output).map_err(End::Protocol)?;
                if let Some(missing) =
                    self.session.agreement().map(|a| a.missing(&needs)).filter(|m| m.0 != 0)
                {
                    self.shared.missing(self.session.dialog().id, missing);
                }
                self.filter = Some(filter);
                Ok(())
            }
            Step::Judge { stage, last_chunk } => {
                let Some(filter) = self.filter.clone() else { return Ok(()) };
                if !last_chunk.is_empty() {
                    let _ = filter.body(self.session.dialog(), &mut self.memory, last_chunk);
                }
                // Answers to earlier packets must not wait for this one.
                self.send().await?;
                let decision = match self.seat(stage) {
                    Ok(()) => self.judge(&filter, stage).await?,
                    Err(decision) => decision,
                };
                let said = self.session.resolve(&decision, &mut self.output);
                self.note(said);
                Ok(())
            }
            Step::Restart => {
                self.memory = F::Memory::default();
                self.seat = None;
                Ok(())
            }
            Step::Hangup => Err(End::Quit),
            step => {
                self.look(step);
                Ok(())
            }
        }
    }

    /// Makes sure that the client may have one more session, as soon as the client is known.
    fn seat(&mut self, stage: Stage) -> Result<(), Decision> {
        if stage == Stage::Connect && self.seat.is_none() {
            let dialog = self.session.dialog();
            self.seat = self.shared.admit(dialog.id, &dialog.client)?;
        }
        Ok(())
    }

    /// Lets the filter look at something that streams by.
    fn look(&mut self, step: Step<'_>) {
        let Some(filter) = &self.filter else { return };
        let (dialog, memory) = (self.session.dialog(), &mut self.memory);
        let flow = match step {
            Step::Header { name, value, restore_space: false } => {
                Flow::Answer(filter.header(dialog, memory, name, value))
            }
            Step::Header { name, value, restore_space: true } => {
                Flow::Answer(filter.header(dialog, memory, name, &[b" ", value].concat()))
            }
            Step::EndOfHeaders => Flow::Answer(filter.end_of_headers(dialog, memory)),
            Step::Body(chunk) => filter.body(dialog, memory, chunk),
            Step::Unknown(line) => Flow::Answer(filter.unknown(dialog, memory, line)),
            _ => return,
        };
        let said = self.session.answer(&flow, &mut self.output);
        self.note(said);
    }

    /// Judges; at the end of a message Postfix is told every few seconds that it may take longer.
    async fn judge(&mut self, filter: &Arc<F>, stage: Stage) -> Result<Decision, End> {
        let judging = filter.judge(stage, self.session.dialog(), &mut self.memory);
        if stage != Stage::Message {
            return Ok(judging.await);
        }
        let mut judging = Box::pin(judging);
        loop {
            if let Ok(decision) = tokio::time::timeout(self.shared.limits.progress, &mut judging).await {
                return Ok(decision);
            }
            let mut progress = Vec::new();
            self.session.progress(&mut progress);
            send(&self.stream, &mut progress, &self.shared.limits).await?;
        }
    }

    async fn send(&mut self) -> Result<(), End> {
        send(&self.stream, &mut self.output, &self.shared.limits).await
    }

    fn note(&self, said: Result<(), Unspoken>) {
        if let Err(unspoken) = said {
            self.shared.unspoken(self.session.dialog().id, unspoken);
        }
    }
}

/// Writes all of `output` and frees it.
async fn send(stream: &Stream, output: &mut Vec<u8>, limits: &Limits) -> Result<(), End> {
    let mut written = 0;
    while written < output.len() {
        match stream.try_write(&output[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let deadline = Instant::now() + limits.write_time;
                match timeout_at(deadline, stream.writable()).await {
                    Ok(ready) => ready.map_err(End::Socket)?,
                    Err(_) => return Err(End::Late("the MTA does not read")),
                }
            }
            Err(error) => return Err(End::Socket(error)),
        }
    }
    recycle(output);
    Ok(())
}

/// Empties a buffer and keeps it for the next packet, unless it is a large one.
fn recycle(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}
