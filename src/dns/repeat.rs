//! Saying the same thing only every so often.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A line that must not fill the log. Counts what it holds back.
#[derive(Debug)]
pub(super) struct Repeat {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
    held_back: u64,
}

impl Repeat {
    pub(super) fn every(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// Whether the line may be written now, and how many were held back since the last one.
    pub(super) fn allow(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state();
        if state.last.is_some_and(|last| now.duration_since(last) < self.every) {
            state.suppressed += 1;
            state.held_back += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }

    /// How many lines were ever held back.
    pub(super) fn held_back(&self) -> u64 {
        self.state().held_back
    }

    /// Begins anew: the next line is written.
    pub(super) fn reset(&self) {
        self.state().last = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // case: L04
    #[tokio::test(start_paused = true)]
    async fn ten_thousand_equal_lines_become_two_and_a_count() {
        let repeat = Repeat::every(Duration::from_mins(1));
        let written: Vec<u64> = (0..10_000).filter_map(|_| repeat.allow()).collect();
        assert_eq!(written, [0]);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!((repeat.allow(), repeat.allow()), (Some(9_999), None));
        repeat.reset();
        assert_eq!(repeat.allow(), Some(1));
        assert_eq!(repeat.held_back(), 10_000);
    }
}
