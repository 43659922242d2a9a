//! Time that goes on while the machine sleeps.
//!
//! Nothing is waited for here. Deadlines, rests and intervals go by tokio's clock, which stands still while the machine is
//! suspended, as does everybody who waits. This one is for what may be believed, or is earned again, in a time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Less than this between two clocks may be what passed between looking at them, in nanoseconds.
const GRAIN: i64 = 50_000_000;

/// Tokio's clock, and how long the machine has slept.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    slept: fn() -> Duration,
}

impl Default for Clock {
    fn default() -> Self {
        Self { slept }
    }
}

impl Clock {
    /// A clock with another source of how long the machine has slept, which must not become less.
    pub fn with(slept: fn() -> Duration) -> Self {
        Self { slept }
    }

    /// What time it is.
    pub fn now(self) -> Time {
        let now = Instant::now();
        Time(now.checked_add((self.slept)()).unwrap_or(now))
    }
}

/// A time on a [`Clock`]: to be compared with others, not to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Instant);

impl Time {
    /// So much later; nothing if that cannot be told.
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }

    /// The time since then; none if that is later.
    pub fn since(self, then: Self) -> Duration {
        self.0.saturating_duration_since(then.0)
    }
}

/// How long the machine has slept since this was first asked: only the clock of the time since the boot went on then.
fn slept() -> Duration {
    static FIRST: OnceLock<i64> = OnceLock::new();
    static SLEPT: AtomicI64 = AtomicI64::new(0);
    // Who is held up between both clocks sees more than there is.
    let surely = || (0..3).map(|_| apart()).min().unwrap_or(0);
    let first = *FIRST.get_or_init(surely);
    let mut known = SLEPT.load(Ordering::Relaxed);
    if apart() - first - known > GRAIN {
        let slept = surely() - first;
        if slept - known > GRAIN {
            known = slept.max(SLEPT.fetch_max(slept, Ordering::Relaxed));
        }
    }
    Duration::from_nanos(known.unsigned_abs())
}

/// The time since the boot without what the machine slept, taken from the time with it, in nanoseconds. Namespaces of time
/// set both off by any amounts, but not later on.
fn apart() -> i64 {
    let read = |clock| clock_gettime(clock).map_or(0, |time| time.num_nanoseconds());
    let awake = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME) - awake
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_awake_and_asleep() {
        thread_local!(static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) });
        let clock = Clock::with(|| SLEPT.get());
        let begin = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now().since(begin), Duration::from_secs(3));
        SLEPT.set(Duration::from_hours(1));
        assert_eq!(clock.now().since(begin), Duration::from_secs(3_603));
        assert_eq!(begin.since(clock.now()), Duration::ZERO);
        assert_eq!(clock.now().checked_add(Duration::MAX), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_is_awake_has_not_slept() {
        let begin = Clock::default().now();
        for _ in 0..100_000 {
            assert_eq!(Clock::default().now(), begin, "what passes between two clocks is no sleep");
        }
    }
}
