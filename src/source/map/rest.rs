//! When a map that stalls is left alone for a while.
//!
//! Only waiting counts, and only waiting without a single answer: a map that fails at once costs no time, and is asked again
//! at once. No name that a client chooses puts a map to rest, as long as one key of the question is answered.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many stalled questions in a row: one may be bad luck, each has cost half a second.
const STREAK: u32 = 3;
/// The first rest, and the longest: a server that was started anew is not passed over for long.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);
/// How long one trial may take before another one is made: whoever made it may have gone.
const TRIAL: Duration = Duration::from_secs(1);

/// How a map that is asked key by key does.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<State>);

#[derive(Debug, Clone, Copy)]
enum State {
    /// Asked, with so many stalled questions in a row.
    Awake(u32),
    /// Left alone.
    Resting { until: Instant, pause: Duration },
    /// One question is out to see.
    Trial { since: Instant, pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Awake(0)
    }
}

impl Rest {
    /// Whether a question may be put. The first one after a rest is the trial.
    pub(super) fn permits(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let (over, pause) = match *state {
            State::Awake(_) => return true,
            State::Resting { until, pause } => (now >= until, pause),
            State::Trial { since, pause } => (now >= since + TRIAL, pause),
        };
        if over {
            *state = State::Trial { since: now, pause };
        }
        over
    }

    /// The map answered, if only with an error.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        // During a rest it is the answer to a question from before.
        if !matches!(*state, State::Resting { .. }) {
            *state = State::Awake(0);
        }
    }

    /// A question waited and got no answer.
    pub(super) fn stalled(&self, now: Instant) {
        let mut state = self.lock();
        let pause = match *state {
            State::Awake(streak) if streak + 1 < STREAK => {
                *state = State::Awake(streak + 1);
                return;
            }
            State::Awake(_) => FIRST,
            State::Trial { pause, .. } => (pause * 2).min(LAST),
            State::Resting { .. } => return,
        };
        *state = State::Resting { until: now + pause, pause };
    }

    /// What is behind this lock is whole at any time.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_stalled_questions_in_a_row_begin_a_rest_that_doubles_up_to_half_a_minute() {
        let (rest, mut now) = (Rest::default(), Instant::now());
        rest.stalled(now);
        rest.stalled(now);
        rest.answered();
        for _ in 0..3 {
            assert!(rest.permits(now));
            rest.stalled(now);
        }
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(seconds);
            assert!(!rest.permits(now + pause - Duration::from_millis(1)), "{seconds}");
            now += pause;
            assert!(rest.permits(now), "{seconds}");
            assert!(!rest.permits(now), "one trial at a time");
            rest.stalled(now);
        }
        now += LAST;
        assert!(rest.permits(now));
        rest.answered();
        rest.stalled(now);
        assert!(rest.permits(now), "it begins anew");
    }

    #[test]
    fn a_trial_that_nobody_ends_is_followed_by_another_one() {
        let (rest, now) = (Rest::default(), Instant::now());
        (0..3).for_each(|_| rest.stalled(now));
        assert!(rest.permits(now + FIRST));
        assert!(!rest.permits(now + FIRST + TRIAL / 2));
        assert!(rest.permits(now + FIRST + TRIAL));
    }

    #[test]
    fn a_late_answer_ends_no_rest() {
        let (rest, now) = (Rest::default(), Instant::now());
        (0..3).for_each(|_| rest.stalled(now));
        rest.answered();
        assert!(!rest.permits(now));
    }
}
