//! When a list is left alone for a while.
//!
//! A state machine without clock, log or network of its own: callers tell it what happened and when.

use std::time::Duration;

use tokio::time::Instant;

use crate::verdict::Trouble;

/// So many failures in a row open the breaker.
const STREAK: u32 = 10;
/// More than 80 % of this many last questions open it, too.
const WINDOW: u32 = 30;
const TOO_MANY: u32 = 24;

/// A list that failed again before it had answered a whole streak of questions answers its probes and little else: a resolver
/// has the test entries in its cache while the way out is gone. So many failures open the breaker then, for these pauses.
const RELAPSE: u32 = 3;
const RELAPSED: (u64, u64) = (15, 300);

/// How long after its pause an open breaker waits for a probe before it lets a question through as one:
/// not everybody who asks runs the probes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one trial may take before another one is made.
const TRIAL: Duration = Duration::from_secs(5);

/// Closed while all is well, open while the list is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Open {
        trouble: Trouble,
        until: Instant,
    },
    /// The pause is over and one question is out to see.
    Trial {
        trouble: Trouble,
        since: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    streak: u32,
    /// The last questions, one bit each, 1 for a failure; and how many of them count.
    recent: u32,
    seen: u32,
    /// How long the breaker was, or is, open.
    pause: Duration,
    /// Answers that the list still owes before it is trusted again.
    owed: u32,
    /// How long the breaker was open after the last relapse.
    relapsed: Duration,
    /// When it was last opened.
    opened: Option<Instant>,
}

/// What is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Opened { trouble: Trouble, pause: Duration },
    Closed,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            streak: 0,
            recent: 0,
            seen: 0,
            pause: Duration::ZERO,
            owed: 0,
            relapsed: Duration::ZERO,
            opened: None,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether a question may be asked now. In an open breaker whose pause is long over this question
    /// is the trial.
    ///
    /// # Errors
    /// Why not: what the operator of the list said stays what it is, as it must never defer mail; all
    /// other trouble is now a rest from it.
    pub(super) fn permits(&mut self, now: Instant) -> Result<(), Trouble> {
        let (trouble, asks) = match self.state {
            State::Closed => return Ok(()),
            State::Open { trouble, until } => (trouble, now >= until + PATIENCE && self.try_now(now)),
            State::Trial { trouble, since } => (trouble, now >= since + TRIAL && self.try_now(now)),
        };
        match trouble {
            _ if asks => Ok(()),
            _ if trouble.is_about_us() => Err(trouble),
            _ => Err(Trouble::Resting),
        }
    }

    /// Begins a trial if the pause is over. False if the breaker is closed or still resting.
    pub(super) fn try_now(&mut self, now: Instant) -> bool {
        match self.state {
            State::Open { trouble, until } if now >= until => {
                self.state = State::Trial { trouble, since: now };
                true
            }
            State::Trial { trouble, .. } => {
                self.state = State::Trial { trouble, since: now };
                true
            }
            State::Open { .. } | State::Closed => false,
        }
    }

    /// Ends a pause that waits for a person, who may have mended it. Name servers come back by themselves.
    pub(super) fn hasten(&mut self, now: Instant) {
        if let State::Open { trouble, until } = &mut self.state
            && !trouble.is_transport()
        {
            *until = now.min(*until);
        }
    }

    /// The list answered as a list does.
    pub(super) fn succeed(&mut self) -> Option<Change> {
        match self.state {
            State::Closed => {
                self.streak = 0;
                self.count(0);
                self.owed = self.owed.saturating_sub(1);
                if self.owed == 0 {
                    self.relapsed = Duration::ZERO;
                }
                None
            }
            // The answer to a question from before.
            State::Open { .. } => None,
            State::Trial { .. } => {
                let Self { relapsed, opened, .. } = *self;
                *self = Self { owed: STREAK, relapsed, opened, ..Self::new() };
                Some(Change::Closed)
            }
        }
    }

    /// The list could not be asked, or answered about us, when somebody asked at `asked`.
    ///
    /// What was asked before the breaker was opened may fail during a trial and after it: that tells how the list was, and not
    /// how it is.
    pub(super) fn fail(&mut self, trouble: Trouble, asked: Instant, now: Instant) -> Option<Change> {
        let (first, last) = pauses(trouble)?;
        match self.state {
            State::Open { .. } => return None,
            _ if self.opened.is_some_and(|opened| asked < opened) => return None,
            State::Trial { trouble: before, .. } if pauses(before) == pauses(trouble) => {
                self.pause = (self.pause * 2).clamp(first, last);
            }
            State::Trial { .. } => self.pause = first,
            State::Closed => {
                self.streak += 1;
                self.count(1);
                let many = self.seen >= WINDOW && self.recent.count_ones() > TOO_MANY;
                let enough = if self.owed > 0 { RELAPSE } else { STREAK };
                if trouble.is_transport() && self.streak < enough && !many {
                    return None;
                }
                self.pause = first;
                if trouble.is_transport() && self.owed > 0 {
                    let (first, last) = seconds(RELAPSED);
                    self.relapsed = (self.relapsed * 2).clamp(first, last);
                    self.pause = self.relapsed;
                }
            }
        }
        self.state = State::Open { trouble, until: now + self.pause };
        self.opened = Some(now);
        Some(Change::Opened { trouble, pause: self.pause })
    }

    fn count(&mut self, failure: u32) {
        self.recent = (self.recent << 1 | failure) & ((1 << WINDOW) - 1);
        self.seen = (self.seen + 1).min(WINDOW);
    }
}

/// How long the breaker stays open, first and at most; `None` for trouble that is not the list's.
fn pauses(trouble: Trouble) -> Option<(Duration, Duration)> {
    let pauses = match trouble {
        // A name server that says nothing has no work by a question every few seconds, and mail passes unchecked until it
        // is known to be back.
        Trouble::Timeout | Trouble::Network => (1, 1),
        // One that does answer asks others each time.
        Trouble::ServFail | Trouble::Refused => (2, 60),
        // The key or the zone name: it takes a person to mend.
        Trouble::Service(250..=252) => (900, 3_600),
        Trouble::Service(_) | Trouble::Declined => (300, 3_600),
        Trouble::Bogus => (300, 300),
        Trouble::Misuse | Trouble::Busy | Trouble::Resting | Trouble::NoKey => return None,
    };
    Some(seconds(pauses))
}

fn seconds((first, last): (u64, u64)) -> (Duration, Duration) {
    (Duration::from_secs(first), Duration::from_secs(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(change: Option<Change>) -> Option<u64> {
        match change {
            Some(Change::Opened { pause, .. }) => Some(pause.as_secs()),
            _ => None,
        }
    }

    #[test]
    fn ten_failures_in_a_row_open_it() {
        let (mut breaker, now) = (Breaker::new(), Instant::now());
        for _ in 0..9 {
            assert_eq!(breaker.fail(Trouble::Timeout, now, now), None);
        }
        breaker.succeed();
        for _ in 0..9 {
            assert_eq!(breaker.fail(Trouble::ServFail, now, now), None);
        }
        assert_eq!(opened(breaker.fail(Trouble::Refused, now, now)), Some(2));
        assert!(breaker.permits(now).is_err());
    }

    #[test]
    fn more_than_four_in_five_failures_open_it() {
        let (mut breaker, now) = (Breaker::new(), Instant::now());
        let mut asked = 0;
        let change = loop {
            asked += 1;
            let change =
                if asked % 7 == 0 { breaker.succeed() } else { breaker.fail(Trouble::Timeout, now, now) };
            if change.is_some() || asked == 100 {
                break change;
            }
        };
        assert_eq!((asked, opened(change)), (30, Some(1)));
    }

    #[test]
    fn four_in_five_failures_do_not() {
        let (mut breaker, now) = (Breaker::new(), Instant::now());
        for asked in 0..300 {
            let change =
                if asked % 5 == 0 { breaker.succeed() } else { breaker.fail(Trouble::Timeout, now, now) };
            assert_eq!(change, None, "{asked}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_limit_of_their_kind() {
        for (trouble, expected) in [
            (Trouble::Timeout, vec![1, 1, 1]),
            (Trouble::Network, vec![1, 1, 1]),
            (Trouble::ServFail, vec![2, 4, 8, 16, 32, 60, 60]),
            (Trouble::Refused, vec![2, 4]),
            (Trouble::Service(255), vec![300, 600, 1_200, 2_400, 3_600, 3_600]),
            (Trouble::Service(254), vec![300, 600, 1_200, 2_400, 3_600]),
            (Trouble::Service(250), vec![900, 1_800, 3_600, 3_600]),
            (Trouble::Service(251), vec![900, 1_800]),
            (Trouble::Service(252), vec![900, 1_800]),
            (Trouble::Service(0), vec![300, 600]),
            (Trouble::Bogus, vec![300, 300]),
        ] {
            let (mut breaker, mut now) = (Breaker::new(), Instant::now());
            let mut pauses = Vec::new();
            while pauses.len() < expected.len() {
                let Some(pause) = opened(breaker.fail(trouble, now, now)) else { continue };
                now += Duration::from_secs(pause - 1);
                assert!(!breaker.try_now(now));
                now += Duration::from_secs(1);
                assert!(breaker.try_now(now), "{trouble:?}");
                pauses.push(pause);
            }
            assert_eq!(pauses, expected, "{trouble:?}");
            assert_eq!(breaker.succeed(), Some(Change::Closed));
            assert!(breaker.permits(now).is_ok());
        }
    }

    #[test]
    fn other_trouble_begins_with_the_first_pause_of_its_own_kind() {
        for (before, trouble, expected) in [
            (Trouble::Bogus, Trouble::ServFail, 2),
            (Trouble::Service(250), Trouble::Refused, 2),
            (Trouble::Service(250), Trouble::Service(255), 300),
            (Trouble::Bogus, Trouble::Timeout, 1),
        ] {
            let (mut breaker, now) = (Breaker::new(), Instant::now());
            let pause = opened(breaker.fail(before, now, now)).expect("such trouble opens it at once");
            let now = now + Duration::from_secs(pause);
            assert!(breaker.try_now(now));
            assert_eq!(opened(breaker.fail(trouble, now, now)), Some(expected), "{before:?}, {trouble:?}");
        }
    }

    #[test]
    fn a_list_that_answers_nothing_but_its_probes_is_left_alone_for_longer_and_longer() {
        let (mut breaker, mut now) = (Breaker::new(), Instant::now());
        let mut pauses = Vec::new();
        while pauses.len() < 8 {
            let Some(pause) = opened(breaker.fail(Trouble::Timeout, now, now)) else { continue };
            now += Duration::from_secs(pause);
            assert!(breaker.try_now(now));
            assert_eq!(breaker.succeed(), Some(Change::Closed));
            pauses.push(pause);
            // A few answers are no proof.
            for _ in 1..STREAK {
                breaker.succeed();
            }
        }
        assert_eq!(pauses, [1, 15, 30, 60, 120, 240, 300, 300]);
        for _ in 1..RELAPSE {
            assert_eq!(breaker.fail(Trouble::Timeout, now, now), None);
        }
        assert_eq!(opened(breaker.fail(Trouble::Timeout, now, now)), Some(300));
        now += Duration::from_mins(5);
        assert!(breaker.try_now(now));
        assert_eq!(
            opened(breaker.fail(Trouble::Timeout, now, now)),
            Some(1),
            "its probes fail, too, and tell when it is back"
        );
        now += Duration::from_secs(1);
        assert!(breaker.try_now(now));
        breaker.succeed();
        for _ in 0..STREAK {
            breaker.succeed();
        }
        for _ in 1..STREAK {
            assert_eq!(breaker.fail(Trouble::Timeout, now, now), None);
        }
        assert_eq!(opened(breaker.fail(Trouble::Timeout, now, now)), Some(1), "trusted again");
    }

    #[test]
    fn a_question_from_before_the_trial_that_fails_during_or_after_it_counts_for_nothing() {
        let (mut breaker, before) = (Breaker::new(), Instant::now());
        let now = before + Duration::from_secs(2);
        let change = (0..STREAK).find_map(|_| breaker.fail(Trouble::Timeout, before, now));
        assert_eq!(opened(change), Some(1));
        let trial = now + Duration::from_secs(1);
        assert!(breaker.try_now(trial));
        for _ in 0..100 {
            assert_eq!(breaker.fail(Trouble::Timeout, before, trial), None);
        }
        assert_eq!(breaker.succeed(), Some(Change::Closed));
        for _ in 0..100 {
            assert_eq!(breaker.fail(Trouble::Timeout, before, trial), None);
        }
        for _ in 1..RELAPSE {
            assert_eq!(breaker.fail(Trouble::Timeout, trial, trial), None);
        }
        assert_eq!(opened(breaker.fail(Trouble::Timeout, trial, trial)), Some(15), "asked after it, it does");
    }

    #[test]
    fn without_probes_a_question_becomes_the_trial() {
        let (mut breaker, now) = (Breaker::new(), Instant::now());
        assert_eq!(opened(breaker.fail(Trouble::Bogus, now, now)), Some(300));
        let later = now + Duration::from_mins(5);
        assert!(breaker.permits(later).is_err());
        let later = later + PATIENCE;
        assert!(breaker.permits(later).is_ok());
        assert!(breaker.permits(later).is_err(), "one trial at a time");
        assert_eq!(breaker.succeed(), Some(Change::Closed));
    }

    #[test]
    fn trouble_of_our_own_making_does_not_count() {
        let (mut breaker, now) = (Breaker::new(), Instant::now());
        for _ in 0..100 {
            for trouble in [Trouble::Misuse, Trouble::Busy, Trouble::Resting, Trouble::NoKey] {
                assert_eq!(breaker.fail(trouble, now, now), None);
            }
        }
        assert!(breaker.permits(now).is_ok());
    }

    #[test]
    fn only_a_pause_that_waits_for_a_person_can_be_ended() {
        let (mut breaker, now) = (Breaker::new(), Instant::now());
        breaker.hasten(now);
        assert_eq!(breaker.state(), State::Closed);
        breaker.fail(Trouble::Service(250), now, now);
        assert!(!breaker.try_now(now));
        breaker.hasten(now);
        assert!(breaker.permits(now).is_err() && breaker.try_now(now));
        let nothing_mended = breaker.fail(Trouble::Service(250), now, now);
        assert_eq!(opened(nothing_mended), Some(1_800), "asked since, though in no time");
        let mut breaker = Breaker::new();
        for _ in 0..STREAK {
            breaker.fail(Trouble::Timeout, now, now);
        }
        breaker.hasten(now);
        assert!(!breaker.try_now(now));
    }
}
