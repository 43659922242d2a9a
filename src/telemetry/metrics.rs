//! What is counted, for whoever draws curves.
//!
//! Counting is one atomic addition into a table that exists from the start. Every label comes from a closed
//! set, so that no client can make a new time series. How the figures are written down is not decided here.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::smtp::Stage;
use crate::verdict::{Act, Finding, List, MOST, Outcome, Trouble};

/// A closed set of label values.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $variant,)+ }

        impl $name {
            /// All of them, in the order of the tables.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value of the label.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

labels! {
    /// How a session ended.
    Ended {
        /// QUIT, or closed between packets.
        Quit = "quit",
        /// Closed in the middle of a packet or a message.
        Gone = "gone",
        /// The daemon stopped.
        Drained = "drained",
        /// A deadline passed.
        Late = "late",
        /// It did not speak milter.
        Protocol = "protocol",
        /// The socket failed.
        Socket = "socket",
        /// A defect of ours.
        Panic = "panic",
        /// It was let go for lack of room.
        Shed = "shed",
        /// It goes on in the next process.
        HandedOver = "handed-over",
    }
}

labels! {
    /// What a session is told for which there is no room.
    ShedAs {
        /// To go on without the filter.
        Accept = "accept",
        /// To come back later.
        Tempfail = "tempfail",
    }
}

labels! {
    /// Which way a session went over a restart.
    Handover {
        /// To the next process.
        Out = "out",
        /// From the one before.
        In = "in",
        /// From the one before, but it could not be taken over.
        Lost = "lost",
    }
}

labels! {
    /// What came of a check.
    CheckResult {
        /// Not listed.
        Clear = "clear",
        /// Listed.
        Listed = "listed",
        /// Spared by an allow rule.
        Trusted = "trusted",
        /// There was nothing to ask.
        Skipped = "skipped",
        /// The list could not tell.
        Unknown = "unknown",
    }
}

labels! {
    /// What a decision did.
    Acted {
        /// Let the session go on.
        Accept = "accept",
        /// Refused for good.
        Reject = "reject",
        /// Refused for now.
        Tempfail = "tempfail",
        /// Took and dropped the message.
        Discard = "discard",
        /// Had the message held.
        Quarantine = "quarantine",
        /// Gave the message a header field.
        Tag = "tag",
        /// Would have done something, had its rule been in force.
        Would = "would",
    }
}

labels! {
    /// Why a question brought no answer.
    Cause {
        /// No answer in time.
        Timeout = "timeout",
        /// SERVFAIL.
        ServFail = "servfail",
        /// REFUSED.
        Refused = "refused",
        /// Not reachable, or not readable.
        Network = "network",
        /// 127.255.255.250.
        Service250 = "service-250",
        /// 127.255.255.251.
        Service251 = "service-251",
        /// 127.255.255.252.
        Service252 = "service-252",
        /// 127.255.255.254.
        Service254 = "service-254",
        /// 127.255.255.255.
        Service255 = "service-255",
        /// Another 127.255.255.x.
        ServiceOther = "service-other",
        /// An answer that no list gives.
        Bogus = "bogus",
        /// The list says that it does not answer us.
        Declined = "declined",
        /// The wrong kind of question.
        Misuse = "misuse",
        /// Too many questions at once.
        Busy = "busy",
        /// The list is left alone.
        Resting = "resting",
        /// There is no key.
        NoKey = "no-key",
    }
}

impl From<Trouble> for Cause {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Timeout => Self::Timeout,
            Trouble::ServFail => Self::ServFail,
            Trouble::Refused => Self::Refused,
            Trouble::Network => Self::Network,
            Trouble::Service(250) => Self::Service250,
            Trouble::Service(251) => Self::Service251,
            Trouble::Service(252) => Self::Service252,
            Trouble::Service(254) => Self::Service254,
            Trouble::Service(255) => Self::Service255,
            Trouble::Service(_) => Self::ServiceOther,
            Trouble::Bogus => Self::Bogus,
            Trouble::Declined => Self::Declined,
            Trouble::Misuse => Self::Misuse,
            Trouble::Busy => Self::Busy,
            Trouble::Resting => Self::Resting,
            Trouble::NoKey => Self::NoKey,
        }
    }
}

/// The stages at which checks report.
pub(super) const STAGES: [Stage; 4] = [Stage::Connect, Stage::Helo, Stage::Mail, Stage::Rcpt];

/// The stages at which something can be done.
pub(super) const DECISIONS: [Stage; 5] =
    [Stage::Connect, Stage::Helo, Stage::Mail, Stage::Rcpt, Stage::Message];

/// Places for codes in a table, the last one for all without a documented meaning.
const CODE_PLACES: usize = 257;
/// The value of the label for codes that no table explains.
pub(super) const OTHER: &str = "other";

/// Upper bounds of the histogram of questions, in microseconds: from a resolver's cache on this host to the
/// longest that an answer is still welcome.
pub(super) const BOUNDS: [u64; 12] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 1_800_000, 4_000_000];

/// Everything that is counted since the start of the process. Shared by reference; never locks.
#[derive(Debug, Default)]
pub struct Metrics {
    sessions: [AtomicU64; Ended::ALL.len()],
    shed: [AtomicU64; ShedAs::ALL.len()],
    handover: [AtomicU64; Handover::ALL.len()],
    actions: [[AtomicU64; Acted::ALL.len()]; DECISIONS.len()],
    messages: AtomicU64,
    lists: Lists,
    /// Microseconds and one; zero for none yet.
    watchdog: AtomicU64,
}

/// A place for each list, made when it is first counted.
struct Lists([OnceLock<Box<OfList>>; MOST]);

/// What is counted of one list.
struct OfList {
    checks: [[AtomicU64; CheckResult::ALL.len()]; STAGES.len()],
    listings: [AtomicU64; CODE_PLACES],
    errors: [AtomicU64; Cause::ALL.len()],
    times: Times,
}

impl Default for Lists {
    fn default() -> Self {
        Self([const { OnceLock::new() }; MOST])
    }
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").finish_non_exhaustive()
    }
}

impl Default for OfList {
    fn default() -> Self {
        Self {
            checks: Default::default(),
            listings: [const { AtomicU64::new(0) }; CODE_PLACES],
            errors: Default::default(),
            times: Times::default(),
        }
    }
}

impl Metrics {
    fn of(&self, list: List) -> &OfList {
        self.lists.0[list.number()].get_or_init(Box::default)
    }
}

/// How long questions took.
#[derive(Debug, Default)]
struct Times {
    /// One more than there are bounds: what is above the last one.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Metrics {
    /// A session ended.
    pub fn session(&self, ended: Ended) {
        add(&self.sessions[ended as usize]);
    }

    /// A session was let go for lack of room.
    pub fn shed(&self, policy: ShedAs) {
        add(&self.shed[policy as usize]);
    }

    /// Sessions went over a restart, or did not.
    pub fn handover(&self, way: Handover, sessions: u64) {
        self.handover[way as usize].fetch_add(sessions, Ordering::Relaxed);
    }

    /// A check reported. The stage is the one at which its subject becomes known.
    pub fn checked(&self, finding: &Finding) {
        let list = self.of(finding.list);
        let result = match finding.outcome {
            Outcome::Clear => CheckResult::Clear,
            Outcome::Hit(codes) => {
                for code in codes.iter() {
                    let known = finding.list.documents(code).then_some(usize::from(code));
                    add(&list.listings[known.unwrap_or(CODE_PLACES - 1)]);
                }
                CheckResult::Listed
            }
            Outcome::Trusted(_) => CheckResult::Trusted,
            Outcome::Skipped(_) => CheckResult::Skipped,
            Outcome::Unknown(_) => CheckResult::Unknown,
        };
        add(&list.checks[finding.identity.stage() as usize][result as usize]);
    }

    /// A stage was decided.
    pub fn decided(&self, stage: Stage, act: Option<Act>) {
        self.acted(
            stage,
            match act {
                Some(Act::Refuse) => Acted::Reject,
                Some(Act::Defer) => Acted::Tempfail,
                // What becomes of the message is done at its end.
                Some(Act::Discard) if stage == Stage::Message => Acted::Discard,
                Some(Act::Quarantine) if stage == Stage::Message => Acted::Quarantine,
                Some(Act::Tag) if stage == Stage::Message => Acted::Tag,
                _ => Acted::Accept,
            },
        );
    }

    /// A rule that is not in force would have done something.
    pub fn would_have(&self, stage: Stage) {
        self.acted(stage, Acted::Would);
    }

    /// A message came to its end.
    pub fn message(&self) {
        add(&self.messages);
    }

    fn acted(&self, stage: Stage, acted: Acted) {
        if let Some(place) = DECISIONS.iter().position(|known| *known == stage) {
            add(&self.actions[place][acted as usize]);
        }
    }

    /// A question about `list` failed, or was not sent.
    pub fn dns_error(&self, list: List, trouble: Trouble) {
        add(&self.of(list).errors[Cause::from(trouble) as usize]);
    }

    /// A question about `list` took so long.
    pub fn dns_time(&self, list: List, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let times = &self.of(list).times;
        add(&times.buckets[BOUNDS.partition_point(|bound| *bound < micros)]);
        times.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The watchdog's own session took so long.
    pub fn watchdog(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX - 1);
        self.watchdog.store(micros.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn sessions_ended(&self, ended: Ended) -> u64 {
        value(&self.sessions[ended as usize])
    }

    pub(super) fn sessions_shed(&self, policy: ShedAs) -> u64 {
        value(&self.shed[policy as usize])
    }

    /// Sessions that went over a restart this way.
    pub fn handed_over(&self, way: Handover) -> u64 {
        value(&self.handover[way as usize])
    }

    pub(super) fn checks(&self, list: List, stage: Stage, result: CheckResult) -> u64 {
        value(&self.of(list).checks[stage as usize][result as usize])
    }

    /// Listings by code, the last entry for all codes without a documented meaning.
    pub(super) fn listings(&self, list: List) -> impl Iterator<Item = (String, u64)> {
        let places = &self.of(list).listings;
        let documented = list.all_codes().iter().filter(move |code| list.documents(*code));
        let known = documented.map(move |code| {
            let mut one = list.no_codes();
            one.insert(code);
            (list.shown(one), value(&places[usize::from(code)]))
        });
        known.chain(std::iter::once((OTHER.to_owned(), value(&places[CODE_PLACES - 1]))))
    }

    pub(super) fn actions(&self, stage: Stage, acted: Acted) -> u64 {
        let place = DECISIONS.iter().position(|known| *known == stage);
        place.map_or(0, |place| value(&self.actions[place][acted as usize]))
    }

    /// The same at all stages together.
    pub(super) fn acted_at_all(&self, acted: Acted) -> u64 {
        self.actions.iter().map(|of_stage| value(&of_stage[acted as usize])).sum()
    }

    pub(super) fn messages(&self) -> u64 {
        value(&self.messages)
    }

    pub(super) fn dns_errors(&self, list: List, cause: Cause) -> u64 {
        value(&self.of(list).errors[cause as usize])
    }

    /// Sum in seconds, number, and the number in each bucket by upper bound in seconds.
    pub(super) fn dns_times(&self, list: List) -> (f64, u64, Vec<(f64, u64)>) {
        let times = &self.of(list).times;
        let counts: Vec<u64> = times.buckets.iter().map(value).collect();
        let bounds = BOUNDS.iter().map(|&micros| Duration::from_micros(micros).as_secs_f64());
        let buckets = bounds.chain(std::iter::once(f64::INFINITY)).zip(counts.iter().copied()).collect();
        (Duration::from_micros(value(&times.micros)).as_secs_f64(), counts.iter().sum(), buckets)
    }

    pub(super) fn watchdog_probe(&self) -> Option<Duration> {
        value(&self.watchdog).checked_sub(1).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_a_label_of_its_own() {
        for (list, count, first) in [
            (List::ZEN, 10, "127.0.0.2"),
            (List::DBL, 10, "127.0.1.2"),
            (List::ZRD, 23, "127.0.2.2"),
            (List::AUTHBL, 1, "127.0.0.20"),
        ] {
            let labels: Vec<String> = Metrics::default().listings(list).map(|(label, _)| label).collect();
            assert_eq!((labels.len() - 1, &*labels[0]), (count, first), "{list}");
            assert_eq!(labels.last().map(String::as_str), Some(OTHER));
        }
    }

    #[test]
    fn times_fall_into_the_bucket_that_holds_them() {
        let metrics = Metrics::default();
        for micros in [0, 1_000, 1_001, 4_000_000, 4_000_001] {
            metrics.dns_time(List::DBL, Duration::from_micros(micros));
        }
        let (sum, count, buckets) = metrics.dns_times(List::DBL);
        let counts: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!((sum, count), (8.002_002, 5));
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }
}
