//! What is known of one list as a whole: its breaker, its counters, what is told about it.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::{Words, remedy};
use super::breaker::{Breaker, Change, State};
use super::{Answer, Subject};
use crate::telemetry::Budget;
use crate::verdict::{List, Trouble};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Codes that no table explains, remembered to tell of each once a day. More would be an attack or a
/// wildcard, and one line about that is enough.
const STRANGE: usize = 64;

pub(super) struct Zone {
    pub(super) list: List,
    breaker: Mutex<Breaker>,
    /// Since when it is left alone.
    opened: Mutex<Option<Instant>>,
    /// When it was last seen to hold everything.
    doubted: Mutex<Option<Instant>>,
    /// Something happened that the probes have to know: opened, new key, new settings.
    pub(super) changed: Notify,
    pub(super) counts: Counts,
    test_entry: Mutex<TestEntry>,
    strange: Mutex<HashMap<Ipv4Addr, Instant>>,
    lines: Lines,
}

/// The lines that may repeat.
struct Lines {
    /// A list that is left alone for trouble that time may mend.
    rest: Budget,
    /// A list that is left alone for trouble with the key or the zone's name.
    key: Budget,
    timeout: Budget,
    error: Budget,
    network: Budget,
    misuse: Budget,
    test_entry: Budget,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Default)]
        pub(super) struct Counts { $(pub(super) $name: AtomicU64,)* }

        /// What happened with a list since the start.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counts {
            pub(super) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Counters {
            /// Both together.
            #[must_use]
            pub fn plus(self, other: Self) -> Self {
                Self { $($name: self.$name + other.$name,)* }
            }
        }
    };
}

counts! {
    /// Questions of checks.
    asked,
    /// Answered from the cache.
    hits,
    /// Joined to a question under way.
    coalesced,
    /// Sent to name servers; probes not counted, further tries neither.
    queries,
    /// Listed, among those sent.
    listed,
    /// Not listed, among those sent.
    not_listed,
    /// Failures of name servers and network, among those sent.
    failures,
    /// Operator codes and rewritten answers, among those sent.
    service_errors,
    /// Questions of the wrong kind.
    misuse,
    /// Not sent, for too many were waiting.
    busy,
    /// Not sent, for the list was left alone.
    resting,
    /// Answers that came too late for those who had asked, and were remembered.
    late,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Whether the list has the entry that every list must have (RFC 5782, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TestEntry {
    /// Not looked at, or the list could not be asked.
    #[default]
    Unknown,
    /// It is there.
    Listed,
    /// It is not there: the list may be empty for this key, and everybody look clean.
    Missing,
}

/// How a list does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneHealth {
    /// The list.
    pub list: List,
    /// Whether it is asked.
    pub state: ZoneState,
    /// Since when it is left alone, trials in between not counted.
    pub since: Option<Instant>,
    /// What the last probe saw.
    pub test_entry: TestEntry,
    /// What happened so far.
    pub counters: Counters,
}

/// Whether a list is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneState {
    /// It is.
    Ok,
    /// It is left alone.
    Open {
        /// What happened.
        trouble: Trouble,
        /// When it will be tried again.
        until: Instant,
    },
}

impl ZoneHealth {
    /// In plain words what is wrong and what to do about it; nothing if all is well.
    pub fn trouble(&self) -> Option<(String, &'static str)> {
        match (self.state, self.test_entry) {
            (ZoneState::Open { trouble, .. }, _) => Some((Words(trouble).to_string(), remedy(trouble))),
            (ZoneState::Ok, TestEntry::Missing) => Some((
                "its own test entry is missing, so that everybody may look clean".to_owned(),
                "check the key and the zone base setting",
            )),
            (ZoneState::Ok, _) => None,
        }
    }
}

impl fmt::Display for ZoneHealth {
    /// A few words for a status line: `zen ok`, `zrd service error 250 (key disabled)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state, self.test_entry) {
            (ZoneState::Open { trouble, .. }, _) => write!(f, "{} {}", self.list, Words(trouble)),
            (ZoneState::Ok, TestEntry::Missing) => write!(f, "{} test entry missing", self.list),
            (ZoneState::Ok, _) => write!(f, "{} ok", self.list),
        }
    }
}

impl Zone {
    pub(super) fn new(list: List) -> Self {
        Self {
            list,
            breaker: Mutex::new(Breaker::new()),
            opened: Mutex::default(),
            doubted: Mutex::default(),
            changed: Notify::new(),
            counts: Counts::default(),
            test_entry: Mutex::default(),
            strange: Mutex::default(),
            lines: Lines {
                rest: Budget::new(1, MINUTE),
                key: Budget::new(1, HOUR),
                timeout: Budget::new(1, MINUTE),
                error: Budget::new(1, MINUTE),
                network: Budget::new(1, MINUTE),
                misuse: Budget::new(1, HOUR),
                test_entry: Budget::new(1, HOUR),
            },
        }
    }

    pub(super) fn permits(&self) -> Result<(), Trouble> {
        lock(&self.breaker).permits(Instant::now())
    }

    pub(super) fn state(&self) -> State {
        lock(&self.breaker).state()
    }

    /// Begins the trial of an open breaker whose pause is over.
    pub(super) fn try_now(&self) -> bool {
        lock(&self.breaker).try_now(Instant::now())
    }

    /// Takes note of what a question brought that was asked at `asked`.
    pub(super) fn learn(&self, answer: Answer, asked: Instant) {
        let change = match answer {
            // A list that can tell us about our own mistake works.
            Answer::Listed(_) | Answer::NotListed | Answer::Failed(Trouble::Misuse) => {
                lock(&self.breaker).succeed()
            }
            Answer::Failed(trouble) => lock(&self.breaker).fail(trouble, asked, Instant::now()),
        };
        match change {
            Some(Change::Opened { trouble, pause }) => {
                lock(&self.opened).get_or_insert_with(Instant::now);
                self.tell_open(trouble, pause);
                self.changed.notify_one();
            }
            Some(Change::Closed) => {
                *lock(&self.opened) = None;
                self.tell_closed();
            }
            None => {}
        }
    }

    fn tell_closed(&self) {
        let zone = self.list.name();
        tracing::info!(event = "zone_state", zone, state = "ok", "{zone} is asked again");
    }

    fn tell_open(&self, trouble: Trouble, pause: Duration) {
        let (zone, for_s) = (self.list.name(), pause.as_secs());
        let reason = format!("{}: {}", Words(trouble), remedy(trouble));
        let state = "open";
        if matches!(trouble, Trouble::Service(250..=252)) {
            if let Some(suppressed) = self.lines.key.spend() {
                tracing::error!(
                    event = "zone_state",
                    zone,
                    state,
                    reason,
                    for_s,
                    suppressed,
                    "{zone} is not asked for {for_s} s"
                );
            }
        } else if let Some(suppressed) = self.lines.rest.spend() {
            tracing::warn!(
                event = "zone_state",
                zone,
                state,
                reason,
                for_s,
                suppressed,
                "{zone} is not asked for {for_s} s"
            );
        }
    }

    /// Takes note of what the test entry brought.
    pub(super) fn learn_test_entry(&self, answer: Answer) {
        let entry = match answer {
            Answer::Listed(_) => TestEntry::Listed,
            Answer::NotListed => TestEntry::Missing,
            Answer::Failed(_) => TestEntry::Unknown,
        };
        *lock(&self.test_entry) = entry;
        if entry == TestEntry::Missing
            && let Some(suppressed) = self.lines.test_entry.spend()
        {
            let zone = self.list.name();
            tracing::warn!(
                event = "zone_state",
                zone,
                state = "doubtful",
                suppressed,
                reason = "the list does not hold its own test entry, so that everybody may look clean: \
                          check the key and the zone base setting",
                "the test entry of {zone} is missing"
            );
        }
    }

    /// Takes note of a list that has what no list may have.
    pub(super) fn learn_wildcard(&self, asked: Instant) {
        let doubt = || *lock(&self.doubted) = Some(Instant::now());
        doubt();
        self.learn(Answer::Failed(Trouble::Bogus), asked);
        // Until the breaker was open, other threads may have asked.
        doubt();
    }

    /// Whether a listing that was asked for then is worth nothing, since the list was seen to hold everything later.
    pub(super) fn is_doubted(&self, asked: Instant) -> bool {
        lock(&self.doubted).is_some_and(|seen| asked <= seen)
    }

    /// Counts an answer from a name server and tells of trouble, seldom.
    pub(super) fn tell(&self, answer: Answer, subject: &Subject) {
        let counts = &self.counts;
        match answer {
            Answer::Listed(_) => return count(&counts.listed),
            Answer::NotListed => return count(&counts.not_listed),
            Answer::Failed(Trouble::Misuse) => count(&counts.misuse),
            Answer::Failed(trouble) if trouble.is_about_us() => return count(&counts.service_errors),
            Answer::Failed(Trouble::Busy | Trouble::Resting | Trouble::NoKey) => return,
            Answer::Failed(_) => count(&counts.failures),
        }
        let Answer::Failed(trouble) = answer else { return };
        let line = match trouble {
            Trouble::Misuse => &self.lines.misuse,
            Trouble::Timeout => &self.lines.timeout,
            Trouble::ServFail | Trouble::Refused => &self.lines.error,
            _ => &self.lines.network,
        };
        if let Some(suppressed) = line.spend() {
            let (zone, result, reason) = (self.list.name(), trouble.name(), Words(trouble));
            tracing::warn!(event = "dns", zone, %subject, result, suppressed, "{reason}");
        }
    }

    /// Tells of codes that no table explains, each once a day.
    pub(super) fn tell_strange(&self, records: impl Iterator<Item = Ipv4Addr>) {
        let now = Instant::now();
        for code in records {
            let mut strange = lock(&self.strange);
            strange.retain(|_, then| now.duration_since(*then) < DAY);
            if strange.len() >= STRANGE {
                return;
            }
            if strange.contains_key(&code) {
                continue;
            }
            strange.insert(code, now);
            drop(strange);
            let zone = self.list.name();
            tracing::warn!(event = "dns", zone, result = "unknown-code", %code, "{zone} gave a code that it is not known for; it is ignored");
        }
    }

    /// Tries a list at once that waits for a person.
    pub(super) fn hasten(&self) {
        lock(&self.breaker).hasten(Instant::now());
        self.changed.notify_one();
    }

    /// Forgets trouble: another key or other settings may mend it.
    pub(super) fn reset(&self) {
        *lock(&self.breaker) = Breaker::new();
        if lock(&self.opened).take().is_some() {
            self.tell_closed();
        }
        *lock(&self.test_entry) = TestEntry::Unknown;
        let Lines { rest, key, timeout, error, network, misuse: _, test_entry } = &self.lines;
        for line in [rest, key, timeout, error, network, test_entry] {
            line.reset();
        }
        self.changed.notify_one();
    }

    pub(super) fn health(&self) -> ZoneHealth {
        let state = match self.state() {
            State::Closed => ZoneState::Ok,
            State::Open { trouble, until } | State::Trial { trouble, since: until } => {
                ZoneState::Open { trouble, until }
            }
        };
        let test_entry = *lock(&self.test_entry);
        let since = (*lock(&self.opened)).filter(|_| state != ZoneState::Ok);
        ZoneHealth { list: self.list, state, since, test_entry, counters: self.counts.snapshot() }
    }

    /// Lines held back so far: about its state, about questions.
    pub(super) fn held_back(&self) -> (u64, u64) {
        let Lines { rest, key, timeout, error, network, misuse, test_entry } = &self.lines;
        let sum = |lines: &[&Budget]| lines.iter().map(|line| line.held_back()).sum();
        (sum(&[rest, key, test_entry]), sum(&[timeout, error, network, misuse]))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
