//! How long a connection waits, and for what.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// How long is waited for octets.
pub(super) struct Wait {
    /// When the connection has been silent for too long.
    pub(super) deadline: Instant,
    /// When a server that stops lets it go.
    pub(super) until: Option<Instant>,
}

impl Wait {
    pub(super) fn nearest(&self) -> Instant {
        self.until.map_or(self.deadline, |until| until.min(self.deadline))
    }
}

/// What ended a wait.
pub(super) enum Woken {
    Read(io::Result<usize>),
    Phase,
    Alarm,
}

/// Whether the deadline has passed. A timer that rings too early is cheaper than one that is set for each wait.
pub(super) fn poll_alarm(
    mut alarm: Pin<&mut Sleep>,
    deadline: Instant,
    context: &mut Context<'_>,
) -> Poll<()> {
    if alarm.deadline() > deadline {
        alarm.as_mut().reset(deadline);
    }
    loop {
        ready!(alarm.as_mut().poll(context));
        if alarm.deadline() >= deadline {
            return Poll::Ready(());
        }
        alarm.as_mut().reset(deadline);
    }
}
