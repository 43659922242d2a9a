//! One question under way, and those who wait for it.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Answer, Answered};
use crate::verdict::{Origin, Trouble};

/// A question under way. It flies on when nobody waits any more.
#[derive(Default)]
pub(super) struct Flight {
    answer: OnceLock<Answer>,
    landed: Notify,
}

impl Flight {
    /// Gives the answer to all who wait. Only the first one counts.
    pub(super) fn land(&self, answer: Answer) {
        if self.answer.set(answer).is_ok() {
            self.landed.notify_waiters();
        }
    }

    /// The answer, if it is there.
    pub(super) fn said(&self) -> Option<Answer> {
        self.answer.get().copied()
    }

    async fn answer(&self) -> Answer {
        let mut landed = pin!(self.landed.notified());
        loop {
            // Before looking: an answer between the look and the wait must not be missed.
            landed.as_mut().enable();
            if let Some(answer) = self.answer.get() {
                return *answer;
            }
            landed.as_mut().await;
            landed.set(self.landed.notified());
        }
    }
}

/// A claim to one answer. Dropping it cancels nothing: the answer still warms the cache.
pub struct Ticket(State);

enum State {
    Ready(Answered),
    Waiting(Arc<Flight>, Origin),
}

impl Ticket {
    pub(super) fn known(answer: Answer, origin: Origin) -> Self {
        Self(State::Ready(Answered { answer, origin }))
    }

    pub(super) fn waiting(flight: Arc<Flight>, origin: Origin) -> Self {
        Self(State::Waiting(flight, origin))
    }

    /// The answer, if it is there. Never blocks.
    pub fn ready(&mut self) -> Option<Answered> {
        match &self.0 {
            State::Ready(answered) => Some(*answered),
            State::Waiting(flight, origin) => {
                flight.said().map(|answer| Answered { answer, origin: *origin })
            }
        }
    }

    /// Waits for the answer until `deadline`, and gives [`Trouble::Timeout`] then. May be called again.
    pub async fn wait(&mut self, deadline: Instant) -> Answered {
        match &self.0 {
            State::Ready(answered) => *answered,
            State::Waiting(flight, origin) => {
                let answer = timeout_at(deadline, flight.answer()).await;
                let answer = answer.unwrap_or(Answer::Failed(Trouble::Timeout));
                Answered { answer, origin: *origin }
            }
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ready(answered) => f.debug_tuple("Ready").field(answered).finish(),
            State::Waiting(_, origin) => f.debug_tuple("Waiting").field(origin).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_waiter_gets_the_answer_and_late_ones_too() {
        let flight = Arc::new(Flight::default());
        let deadline = Instant::now() + Duration::from_secs(1);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let mut ticket = Ticket::waiting(Arc::clone(&flight), Origin::Coalesced);
                tokio::spawn(async move { ticket.wait(deadline).await.answer })
            })
            .collect();
        tokio::task::yield_now().await;
        flight.land(Answer::NotListed);
        flight.land(Answer::Failed(Trouble::Network));
        for waiter in waiters {
            assert_eq!(waiter.await.expect("a waiter"), Answer::NotListed);
        }
        let mut late = Ticket::waiting(flight, Origin::Coalesced);
        assert_eq!(late.ready().map(|answered| answered.answer), Some(Answer::NotListed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_kept_and_the_ticket_stays_good() {
        let flight = Arc::new(Flight::default());
        let mut ticket = Ticket::waiting(Arc::clone(&flight), Origin::Miss);
        let start = Instant::now();
        let answered = ticket.wait(start + Duration::from_millis(1_800)).await;
        assert_eq!(answered, Answered { answer: Answer::Failed(Trouble::Timeout), origin: Origin::Miss });
        assert_eq!(start.elapsed().as_millis() / 10, 180);
        flight.land(Answer::NotListed);
        assert_eq!(ticket.wait(start).await.answer, Answer::NotListed);
    }
}
