//! How many questions DQS got today, against a number of the administrator's.
//!
//! It counts and warns. It never keeps a question back: when a plan is used up is the service's to say, and what becomes
//! of mail then is said elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A day of Unix time, in seconds: it begins at 00:00 UTC.
const DAY: u64 = 86_400;

/// What was sent today.
#[derive(Default)]
pub(super) struct Quota(Mutex<Spent>);

/// What was sent today, and what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryBudget {
    /// Questions sent to DQS since 00:00 UTC, or since the start if that was later.
    pub sent: u64,
    /// The number of the settings.
    pub limit: u64,
}

#[derive(Default)]
struct Spent {
    day: u64,
    sent: u64,
    /// What was told today, and of which budget.
    told: Option<(u64, Mark)>,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// Four fifths are spent.
    Most,
    /// All is.
    All,
}

impl Quota {
    /// Counts one question, and warns if it reaches a mark. A budget of 0 is none.
    pub(super) fn spend(&self, budget: usize) {
        let limit = budget as u64;
        let (mark, sent) = {
            let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (spent.add(day(SystemTime::now()), limit), spent.sent)
        };
        let (percent, rest) = match mark {
            None => return,
            Some(Mark::Most) => (80, "four fifths of today's questions to DQS are sent"),
            Some(Mark::All) => (100, "all of today's questions to DQS are sent, and more are asked"),
        };
        tracing::warn!(event = "query_budget", percent, sent, budget, "{rest}: {sent} of {budget}");
    }

    /// How much of a budget is spent; nothing without one.
    pub(super) fn look(&self, budget: usize) -> Option<QueryBudget> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = if state.day == day(SystemTime::now()) { state.sent } else { 0 };
        (budget > 0).then_some(QueryBudget { sent, limit: budget as u64 })
    }
}

impl Spent {
    fn add(&mut self, day: u64, limit: u64) -> Option<Mark> {
        // A clock that was set back makes another day, too.
        if self.day != day {
            *self = Self { day, ..Self::default() };
        }
        self.sent += 1;
        let reached = match self.sent {
            _ if limit == 0 => return None,
            sent if sent >= limit => Mark::All,
            sent if sent.saturating_mul(5) >= limit.saturating_mul(4) => Mark::Most,
            _ => return None,
        };
        let told = self.told.filter(|(of, _)| *of == limit).map(|(_, mark)| mark);
        (told < Some(reached)).then(|| {
            self.told = Some((limit, reached));
            reached
        })
    }
}

fn day(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / DAY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// After how many questions of a day what is told.
    fn told(spent: &mut Spent, day: u64, limit: u64, questions: u64) -> Vec<(u64, Mark)> {
        (0..questions).filter_map(|_| spent.add(day, limit).map(|mark| (spent.sent, mark))).collect()
    }

    #[test]
    fn each_mark_is_told_once_a_day() {
        let mut spent = Spent::default();
        let both = [(8, Mark::Most), (10, Mark::All)];
        assert_eq!(told(&mut spent, 7, 10, 50), both);
        assert_eq!(spent.sent, 50);
        assert_eq!(told(&mut spent, 8, 10, 50), both, "a new day");
        assert_eq!(told(&mut spent, 7, 10, 7), [], "and another one, by the clock");
    }

    #[test]
    fn another_budget_is_told_anew_and_none_never() {
        let mut spent = Spent::default();
        assert_eq!(told(&mut spent, 7, 0, 100), []);
        assert_eq!(told(&mut spent, 7, 125, 1), [(101, Mark::Most)], "what was sent before counts");
        assert_eq!(told(&mut spent, 7, 200, 59), [(160, Mark::Most)]);
        assert_eq!(told(&mut spent, 7, 100, 5), [(161, Mark::All)]);
    }

    #[test]
    fn a_budget_of_one_question_is_spent_by_it() {
        let mut spent = Spent::default();
        assert_eq!(told(&mut spent, 7, 1, 3), [(1, Mark::All)]);
        assert_eq!(
            told(&mut Spent::default(), 7, 3, 9),
            [(3, Mark::All)],
            "four fifths of 3 are more than 2"
        );
        assert_eq!(told(&mut Spent::default(), 7, u64::MAX, 9), []);
    }

    #[test]
    fn what_is_spent_can_be_seen_if_there_is_a_budget() {
        let today = || day(SystemTime::now());
        loop {
            let (quota, begin) = (Quota::default(), today());
            (0..3).for_each(|_| quota.spend(0));
            let seen = [quota.look(0), quota.look(9)];
            // Not if it was midnight just now.
            if today() == begin {
                assert_eq!(seen, [None, Some(QueryBudget { sent: 3, limit: 9 })]);
                break;
            }
        }
        let yesterday = Quota(Mutex::new(Spent { day: today() - 1, sent: 5, told: None }));
        assert_eq!(yesterday.look(9), Some(QueryBudget { sent: 0, limit: 9 }));
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        // 2026-03-01 00:00 UTC.
        let midnight = UNIX_EPOCH + Duration::from_hours(492_312);
        let before = day(midnight - Duration::from_secs(1));
        assert_eq!(day(midnight), before + 1);
        assert_eq!(day(midnight + Duration::from_secs(86_399)), before + 1);
        assert_eq!(day(midnight + Duration::from_hours(24)), before + 2);
    }
}
