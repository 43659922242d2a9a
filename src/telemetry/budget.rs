//! A limit on how often one kind of line is logged.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Lets through a number of lines per interval and counts the rest exactly.
///
/// Time is tokio's, so that tests can hold it still.
#[derive(Debug)]
pub struct Budget {
    lines: u32,
    interval: Duration,
    state: Mutex<State>,
    held_back: AtomicU64,
}

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    spent: u32,
    suppressed: u64,
}

impl Budget {
    /// A budget of so many lines per interval.
    pub const fn new(lines: u32, interval: Duration) -> Self {
        let state = Mutex::new(State { since: None, spent: 0, suppressed: 0 });
        Self { lines, interval, state, held_back: AtomicU64::new(0) }
    }

    /// How many lines were ever held back.
    pub fn held_back(&self) -> u64 {
        self.held_back.load(Ordering::Relaxed)
    }

    /// Begins anew: the next line is written, and tells of those that were held back.
    pub fn reset(&self) {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).since = None;
    }

    /// Asks whether a line may be written. `Some(n)` is a yes, and `n` lines were held back since the
    /// last yes: the line should say so.
    pub fn spend(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.since.is_none_or(|since| now.duration_since(since) >= self.interval) {
            state.since = Some(now);
            state.spent = 0;
        }
        if state.spent < self.lines {
            state.spent += 1;
            Some(std::mem::take(&mut state.suppressed))
        } else {
            state.suppressed += 1;
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // case: L04
    #[tokio::test(start_paused = true)]
    async fn ten_thousand_failures_make_few_lines_and_an_exact_count() {
        let budget = Budget::new(2, Duration::from_mins(1));
        let lines = (0..10_000).filter(|_| budget.spend().is_some()).count();
        assert_eq!(lines, 2);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(budget.spend(), Some(9_998));
        assert_eq!(budget.spend(), Some(0));
        assert_eq!(budget.spend(), None);
        assert_eq!(budget.held_back(), 9_999);
        budget.reset();
        assert_eq!(budget.spend(), Some(1));
    }
}
