//! What happened in a stretch of time, in one line.
//!
//! It only subtracts and writes: when that is done, and where the figures come from, is decided elsewhere.

use std::ops::Sub;
use std::time::Duration;

use super::Metrics;
use super::metrics::Acted;

/// What was counted up to a moment, or between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Sessions begun.
    pub sessions: u64,
    /// Messages that came to their end.
    pub messages: u64,
    /// Refusals: of sessions, messages or single recipients.
    pub rejected: u64,
    /// Deferrals: of sessions, messages or single recipients.
    pub deferred: u64,
    /// Messages taken and dropped.
    pub discarded: u64,
    /// Messages held.
    pub quarantined: u64,
    /// Messages with header fields of ours.
    pub tagged: u64,
    /// Decisions of rules that are not in force.
    pub would: u64,
    /// Questions of checks.
    pub lookups: u64,
    /// Those answered from memory.
    pub cached: u64,
    /// Those without an answer.
    pub failures: u64,
    /// Log lines that nobody took in time.
    pub lost: u64,
}

impl Figures {
    /// The same, with what these metrics know about messages and decisions.
    #[must_use]
    pub fn with(self, metrics: &Metrics) -> Self {
        Self {
            messages: metrics.messages(),
            rejected: metrics.acted_at_all(Acted::Reject),
            deferred: metrics.acted_at_all(Acted::Tempfail),
            discarded: metrics.acted_at_all(Acted::Discard),
            quarantined: metrics.acted_at_all(Acted::Quarantine),
            tagged: metrics.acted_at_all(Acted::Tag),
            would: metrics.acted_at_all(Acted::Would),
            ..self
        }
    }

    /// Writes the line about `stretch`, unless nothing happened.
    pub fn log(&self, stretch: Duration) {
        if *self == Self::default() {
            return;
        }
        tracing::info!(
            event = "summary",
            seconds = stretch.as_secs(),
            sessions = self.sessions,
            messages = self.messages,
            reject = self.rejected,
            tempfail = self.deferred,
            discard = self.discarded,
            quarantine = self.quarantined,
            tag = self.tagged,
            would = self.would,
            lookups = self.lookups,
            cached = self.cached,
            failures = self.failures,
            lost = self.lost,
            "{}",
            self.sentence(stretch)
        );
    }

    fn sentence(&self, stretch: Duration) -> String {
        let Self { sessions, messages, rejected, deferred, discarded, quarantined, tagged, .. } = self;
        let share = (self.cached * 100).checked_div(self.lookups).unwrap_or_default();
        format!(
            "{sessions} sessions and {messages} messages in {} s: {rejected} rejected, {deferred} deferred, \
             {discarded} discarded, {quarantined} held, {tagged} tagged; {} look-ups, {share} % cached, {} failed",
            stretch.as_secs(),
            self.lookups,
            self.failures,
        )
    }
}

impl Sub for Figures {
    type Output = Self;

    /// What happened since. Counters never go back; if one did, nothing happened.
    fn sub(self, before: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_sub(before.sessions),
            messages: self.messages.saturating_sub(before.messages),
            rejected: self.rejected.saturating_sub(before.rejected),
            deferred: self.deferred.saturating_sub(before.deferred),
            discarded: self.discarded.saturating_sub(before.discarded),
            quarantined: self.quarantined.saturating_sub(before.quarantined),
            tagged: self.tagged.saturating_sub(before.tagged),
            would: self.would.saturating_sub(before.would),
            lookups: self.lookups.saturating_sub(before.lookups),
            cached: self.cached.saturating_sub(before.cached),
            failures: self.failures.saturating_sub(before.failures),
            lost: self.lost.saturating_sub(before.lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::Stage;
    use crate::verdict::Act;

    #[test]
    fn each_act_is_counted_in_its_place() {
        let metrics = Metrics::default();
        for (stage, act) in [
            (Stage::Connect, Some(Act::Refuse)),
            (Stage::Rcpt, Some(Act::Refuse)),
            (Stage::Mail, Some(Act::Defer)),
            (Stage::Rcpt, None),
            (Stage::Message, Some(Act::Discard)),
            (Stage::Message, Some(Act::Quarantine)),
            (Stage::Message, Some(Act::Tag)),
        ] {
            metrics.decided(stage, act);
        }
        metrics.would_have(Stage::Mail);
        (0..4).for_each(|_| metrics.message());
        let figures = Figures { sessions: 7, lookups: 3, cached: 1, ..Figures::default() }.with(&metrics);
        let Figures { rejected, deferred, discarded, quarantined, tagged, would, .. } = figures;
        assert_eq!((rejected, deferred, discarded, quarantined, tagged, would), (2, 1, 1, 1, 1, 1));
        assert_eq!(
            figures.sentence(Duration::from_mins(10)),
            "7 sessions and 4 messages in 600 s: 2 rejected, 1 deferred, 1 discarded, 1 held, 1 tagged; \
             3 look-ups, 33 % cached, 0 failed"
        );
        assert_eq!(figures - figures, Figures::default());
    }
}
