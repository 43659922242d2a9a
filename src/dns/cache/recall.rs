//! Remembered answers on their way to another process.
//!
//! Only what the lists of DQS have said, since other lists may be others there, and never the key. Trouble is not
//! told: it need not be the next one's.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cache, Entry, Memory, Topic, lock};
use crate::clock::Time;
use crate::dns::{Answer, Dns, Subject, classify};
use crate::smtp::Domain;
use crate::verdict::{Kind, List};

/// Why nothing is remembered of what was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswers {
    /// It has another form, at this octet.
    #[error("they cannot be read (octet {0})")]
    Form(usize),
    /// The clock shows an earlier time than when it was told.
    #[error("they are from a later time")]
    Later,
    /// It is about lists at another place.
    #[error("they are of other zones")]
    Zones,
}

/// All that is told.
#[derive(Serialize, Deserialize)]
struct Told {
    zone_base: String,
    /// When, in milliseconds of a clock that the one who hears it has, too.
    at: u64,
    /// Those used last come first, by and large.
    answers: Vec<Line>,
}

/// List, subject, addresses (none: not listed), milliseconds for which it may be believed.
#[derive(Serialize, Deserialize)]
pub(super) struct Line(String, String, Vec<Ipv4Addr>, u64);

impl Line {
    fn new(topic: &Topic, entry: &Entry, now: Time) -> Option<Self> {
        if !topic.list.is_dqs() {
            return None;
        }
        let addresses = match entry.memory {
            Memory::Listed(codes) => {
                codes.iter().map(|code| Ipv4Addr::new(127, 0, codes.group(), code)).collect()
            }
            Memory::NotListed => Vec::new(),
            Memory::Failed { .. } => return None,
        };
        let left = milliseconds(entry.until.since(now));
        (left > 0).then(|| Self(topic.list.name().to_owned(), topic.subject.to_string(), addresses, left))
    }

    /// As if the list had answered just now.
    fn read(self) -> Option<(List, Subject, Memory, Duration)> {
        let Self(list, subject, addresses, left) = self;
        let list = List::DQS.into_iter().find(|known| known.name() == list)?;
        let subject = match list.kind() {
            Kind::Address => Subject::Ip(subject.parse().ok()?),
            Kind::Domain => Subject::Domain(Domain::from_setting(&subject).ok()?),
            Kind::Mailbox(_) => return None,
        };
        let memory = match classify(list, &addresses) {
            Answer::Listed(codes) => Memory::Listed(codes),
            Answer::NotListed if addresses.is_empty() => Memory::NotListed,
            // Codes that this release does not know.
            Answer::NotListed | Answer::Failed(_) => return None,
        };
        Some((list, subject.canonical(usize::MAX), memory, Duration::from_millis(left)))
    }
}

impl Dns {
    /// Remembered answers for another process, in JSON: at most `most`, those used last; and how many there are.
    /// `now` is of a clock that both have.
    pub fn tell(&self, most: usize, now: Duration) -> (usize, Vec<u8>) {
        let answers = self.cache.latest(most);
        let zone_base = self.live.load().settings.zone_base.as_str().to_owned();
        let told = Told { zone_base, at: milliseconds(now), answers };
        // Texts and numbers can always be written.
        (told.answers.len(), serde_json::to_vec(&told).unwrap_or_default())
    }

    /// Remembers what another process [told](Self::tell), no longer than that one would have and than the settings
    /// want; says how many answers there are. What is known already stays.
    ///
    /// # Errors
    /// [`BadAnswers`]; nothing is remembered then.
    pub fn recall(&self, told: &[u8], now: Duration) -> Result<usize, BadAnswers> {
        let told: Told = serde_json::from_slice(told).map_err(|error| BadAnswers::Form(error.column()))?;
        let passed = now.checked_sub(Duration::from_millis(told.at)).ok_or(BadAnswers::Later)?;
        let settings = &self.live.load().settings;
        if told.zone_base != settings.zone_base.as_str() {
            return Err(BadAnswers::Zones);
        }
        let mut count = 0;
        // Used last, remembered last.
        for (list, subject, memory, left) in told.answers.into_iter().rev().filter_map(Line::read) {
            let longest = match memory {
                Memory::Listed(_) => settings.ttl_listed,
                _ => settings.ttl_unlisted,
            };
            if let Some(left) = left.checked_sub(passed) {
                count +=
                    usize::from(self.cache.put(self.cache.topic(list, subject), memory, left.min(longest)));
            }
        }
        Ok(count)
    }
}

impl Cache {
    pub(super) fn latest(&self, most: usize) -> Vec<Line> {
        let now = self.now();
        let each = most / self.active.load(Ordering::Acquire);
        let mut lines = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let live = shard.entries.iter().filter_map(|(topic, entry)| Line::new(topic, entry, now));
            lines.extend(live.take(each));
        }
        lines
    }

    /// Remembers something that is not known yet; tells whether it did.
    fn put(&self, topic: Topic, memory: Memory, left: Duration) -> bool {
        let Some(until) = self.now().checked_add(left) else { return false };
        let mut shard = self.shard(&topic);
        if shard.limit == 0 || left.is_zero() || shard.entries.contains(&topic) {
            return false;
        }
        shard.entries.put(topic, Entry { until, memory });
        let evicted = shard.shrink();
        drop(shard);
        self.evicted(evicted);
        true
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
