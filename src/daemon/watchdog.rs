//! Tells the service manager that the daemon lives, as long as it really does.
//!
//! A thread of its own, which no runtime can hold up. It says so only if, within a third of the manager's
//! patience, a task ran on each runtime, every accepting loop moved, and a session went through the real
//! code. That session has no client address and no sender, so no list is asked about it; access maps pass over it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::runtime::Handle;

use super::{Daemon, manager};
use crate::milter::Offer;
use crate::server::{Call, CallError};
use crate::smtp::Client;

/// How often the accepting loops are looked at while their answer is awaited.
const GLANCE: Duration = Duration::from_millis(10);

/// Starts the watch over `runtimes`, if the service manager wants one. It ends with the process.
pub(super) fn start(daemon: &Arc<Daemon>, runtimes: Vec<Handle>) {
    let Some(patience) = manager::watchdog() else { return };
    let (daemon, period) = (Arc::clone(daemon), patience / 3);
    let watch = move || {
        let mut well = true;
        loop {
            let start = Instant::now();
            match daemon.is_alive(&runtimes, start + period) {
                Ok(()) => {
                    if !well {
                        tracing::warn!(event = "watchdog", "it goes on");
                    }
                    well = true;
                    daemon.metrics.watchdog(start.elapsed());
                    manager::alive();
                }
                Err(stuck) => {
                    if well {
                        tracing::error!(
                            event = "watchdog",
                            "{stuck} did not answer within {period:?}; the service manager will end the process"
                        );
                    }
                    well = false;
                }
            }
            std::thread::sleep(period.saturating_sub(start.elapsed()));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch) {
        tracing::error!(event = "watchdog", %error, "cannot start its thread; the service manager will end the process");
    }
}

impl Daemon {
    /// Whether everything moves; `Err` names what does not.
    fn is_alive(&self, runtimes: &[Handle], deadline: Instant) -> Result<(), String> {
        let (done, answers) = channel();
        for runtime in runtimes {
            let done = done.clone();
            // Nobody listens any more if it takes too long.
            runtime.spawn(async move {
                let _ = done.send(());
            });
        }
        for _ in runtimes {
            wait(&answers, deadline).map_err(|_| "a runtime".to_owned())?;
        }
        if self.server.is_draining() {
            // Listeners and idle sessions are gone, and the drain has its own limit.
            return Ok(());
        }
        self.server.pulse();
        while !self.server.has_pulse() {
            if Instant::now() > deadline {
                return Err("an accepting loop".to_owned());
            }
            std::thread::sleep(GLANCE);
        }
        let Some(first) = runtimes.first() else { return Ok(()) };
        let (done, answers) = channel();
        let server = self.server.clone();
        first.spawn(async move {
            let Ok((ours, theirs)) = UnixStream::pair() else { return };
            let (ended, ()) = tokio::join!(play(ours), server.rehearse(theirs));
            let _ = done.send(ended);
        });
        match answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(())) => Ok(()),
            // It was cut off by a drain that began meanwhile.
            _ if self.server.is_draining() => Ok(()),
            Ok(Err(error)) => Err(format!("a session of its own ({error})")),
            Err(_) => Err("a session of its own".to_owned()),
        }
    }
}

fn wait(answers: &Receiver<()>, deadline: Instant) -> Result<(), RecvTimeoutError> {
    answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
}

/// A session as an MTA has it for a message of its own: no client, and a bounce.
async fn play(stream: UnixStream) -> Result<(), CallError> {
    let mut call = Call::new(stream, Offer::V6);
    call.negotiate().await?;
    call.connect(b"localhost", Client::Unknown, 0).await?;
    call.helo(b"localhost").await?;
    call.mail(b"<>", &[]).await?;
    call.quit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::daemon::Inherited;
    use crate::dns::Source;

    #[test]
    fn a_runtime_that_is_stuck_is_noticed_until_it_goes_on() {
        let mut config = Config::default();
        config.listen = vec!["inet:0@127.0.0.1".parse().expect("an endpoint")];
        let daemon = Daemon::new(config.into(), Source::Resolver, Inherited::default()).expect("a free port");
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let runtimes = [runtime(), runtime()];
        let handles: Vec<Handle> = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
        let is_alive = |millis| daemon.is_alive(&handles, Instant::now() + Duration::from_millis(millis));
        std::thread::scope(|scope| {
            for runtime in &runtimes {
                scope.spawn(|| runtime.block_on(daemon.server.serve(&daemon.sockets)).expect("it serves"));
            }
            assert_eq!(is_alive(60_000), Ok(()));
            for handle in &handles {
                let (release, held) = channel::<()>();
                // What no task should do: the thread waits, and all other tasks with it.
                handle.spawn(async move {
                    let _ = held.recv();
                });
                assert_eq!(is_alive(200), Err("a runtime".to_owned()));
                drop(release);
                assert_eq!(is_alive(60_000), Ok(()));
            }
            daemon.server.stop();
        });
    }
}
