//! Answers remembered, and questions under way.
//!
//! Both live in the same shards, so that one look under one lock tells whether an answer is known, will
//! come, or has to be asked for. What an answer means for the mail is not remembered here; neither is
//! anything an operator said about us instead of the subject.

mod recall;
#[cfg(test)]
mod sleep;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use super::flight::Flight;
use super::{Answer, Settings, Subject};
use crate::clock::{Clock, Time};
use crate::telemetry::CacheFigures;
use crate::verdict::{Codes, List, Trouble};

pub use recall::BadAnswers;

/// Locks at most; more than one only where there is room for evicting fairly in each.
const SHARDS: usize = 16;
const PER_SHARD: usize = 64;

/// The least time to believe an answer, whatever its time to live: a message asks several times.
const FLOOR: Duration = Duration::from_secs(30);

/// How long a failure is remembered: first, and after doubling at each further one (RFC 9520, section 3.2,
/// allows one second to five minutes).
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_mins(1);

/// For a time that cannot be told.
const LONGEST: Duration = Duration::from_hours(24);

/// What something is remembered under: never the key. Made by [`Cache::topic`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    /// Reckoned once, for the shard and for the tables in it.
    hash: u64,
    pub(super) list: List,
    pub(super) subject: Subject,
}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Takes the hash that a [`Topic`] brings along.
#[derive(Default)]
struct Reckoned(u64);

impl Hasher for Reckoned {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        debug_assert_eq!(octets.len(), 8, "a topic writes its hash only");
        self.0 = octets.first_chunk().map_or(0, |hash| u64::from_ne_bytes(*hash));
    }
}

type AsReckoned = BuildHasherDefault<Reckoned>;

pub(super) struct Cache {
    /// Attackers choose the names: without a random seed they would choose the collisions, too.
    random: RandomState,
    /// How many shards are in use. Changed only while all shards are locked.
    active: AtomicUsize,
    evictions: AtomicU64,
    clock: Clock,
    shards: [Mutex<Shard>; SHARDS],
}

struct Shard {
    /// Bounded by hand: the crate's own bound would be allocated at once.
    entries: LruCache<Topic, Entry, AsReckoned>,
    limit: usize,
    flights: HashMap<Topic, Arc<Flight>, AsReckoned>,
}

#[derive(Clone, Copy)]
struct Entry {
    until: Time,
    memory: Memory,
}

#[derive(Clone, Copy)]
enum Memory {
    Listed(Codes),
    NotListed,
    /// `generation` is that of the key with which it failed.
    Failed {
        trouble: Trouble,
        pause: Duration,
        generation: u64,
    },
}

/// What a look into the cache finds.
pub(super) enum Found {
    /// A remembered answer.
    Known(Answer),
    /// Somebody has asked already.
    Joined(Arc<Flight>),
    /// Nobody has asked: the caller does, and must [land](Cache::land) the flight.
    Asked(Arc<Flight>),
    /// Nobody has asked and nobody may.
    Barred(Trouble),
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self::by(Clock::default(), limit)
    }

    fn by(clock: Clock, limit: usize) -> Self {
        let shards = std::array::from_fn(|_| {
            Mutex::new(Shard {
                entries: LruCache::unbounded_with_hasher(AsReckoned::default()),
                limit: 0,
                flights: HashMap::default(),
            })
        });
        let random = RandomState::new();
        let cache = Self { random, active: AtomicUsize::new(1), evictions: AtomicU64::new(0), clock, shards };
        cache.resize(limit);
        cache
    }

    /// What time it is, for what is remembered.
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// What the answer of `list` about `subject` is remembered under.
    pub(super) fn topic(&self, list: List, subject: Subject) -> Topic {
        // Two writes: the derived ones have a third for each enum on the way, and each costs as much as a name.
        let mut hasher = self.random.build_hasher();
        hasher.write_usize(list.number());
        match &subject {
            Subject::Ip(IpAddr::V4(ip)) => hasher.write(&ip.octets()),
            Subject::Ip(IpAddr::V6(ip)) => hasher.write(&ip.octets()),
            Subject::Domain(domain) => hasher.write(domain.as_str().as_bytes()),
            Subject::Mailbox(digest) => hasher.write(digest.as_bytes()),
        }
        Topic { hash: hasher.finish(), list, subject }
    }

    /// Looks for an answer. `permit` is asked, under the lock, whether a new question may be sent.
    pub(super) fn look(
        &self,
        topic: &Topic,
        generation: u64,
        now: Time,
        permit: impl FnOnce() -> Result<(), Trouble>,
    ) -> Found {
        let mut shard = self.shard(topic);
        if let Some(entry) = shard.entries.get(topic)
            && entry.until > now
        {
            match entry.memory {
                Memory::Listed(codes) => return Found::Known(Answer::Listed(codes)),
                Memory::NotListed => return Found::Known(Answer::NotListed),
                Memory::Failed { trouble, generation: then, .. } if then == generation => {
                    return Found::Known(Answer::Failed(trouble));
                }
                Memory::Failed { .. } => {}
            }
        }
        if let Some(flight) = shard.flights.get(topic) {
            return Found::Joined(Arc::clone(flight));
        }
        if let Err(trouble) = permit() {
            return Found::Barred(trouble);
        }
        let flight = Arc::new(Flight::default());
        shard.flights.insert(topic.clone(), Arc::clone(&flight));
        Found::Asked(flight)
    }

    /// Ends a flight: from now on the topic is asked anew, unless it was [stored](Self::store).
    pub(super) fn land(&self, topic: &Topic, flight: &Arc<Flight>, answer: Answer) {
        let mut shard = self.shard(topic);
        if shard.flights.get(topic).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            shard.flights.remove(topic);
        }
        drop(shard);
        flight.land(answer);
    }

    /// Remembers an answer with its time to live in seconds, if it is one to be remembered. That time begins when it
    /// was `asked` for: the process, or the machine, may have been stopped with the answer at the door.
    pub(super) fn store(
        &self,
        topic: &Topic,
        answer: Answer,
        ttl: Option<u32>,
        generation: u64,
        settings: &Settings,
        asked: Time,
    ) {
        let mut shard = self.shard(topic);
        if shard.limit == 0 {
            return;
        }
        let now = self.now();
        let (memory, lifetime, since) = match answer {
            Answer::Listed(codes) => {
                (Memory::Listed(codes), lifetime(ttl, settings.ttl_listed, settings), asked)
            }
            Answer::NotListed => (Memory::NotListed, lifetime(ttl, settings.ttl_unlisted, settings), asked),
            Answer::Failed(
                trouble @ (Trouble::Timeout | Trouble::ServFail | Trouble::Refused | Trouble::Network),
            ) => {
                let pause = match shard.entries.peek(topic).map(|entry| entry.memory) {
                    Some(Memory::Failed { pause, generation: then, .. }) if then == generation => {
                        (pause * 2).min(LAST_PAUSE)
                    }
                    _ => FIRST_PAUSE,
                };
                (Memory::Failed { trouble, pause, generation }, pause, now)
            }
            Answer::Failed(_) => return,
        };
        if lifetime.is_zero() {
            return;
        }
        let Some(until) = since.checked_add(lifetime).or_else(|| now.checked_add(LONGEST)) else { return };
        shard.entries.put(topic.clone(), Entry { until, memory });
        let evicted = shard.shrink();
        drop(shard);
        self.evicted(evicted);
    }

    /// Forgets all answers.
    pub(super) fn flush(&self) {
        for shard in &self.shards {
            lock(shard).entries.clear();
        }
    }

    /// Forgets all answers of one list.
    pub(super) fn forget(&self, list: List) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            let of_list: Vec<Topic> = shard
                .entries
                .iter()
                .map(|(topic, _)| topic)
                .filter(|topic| topic.list == list)
                .cloned()
                .collect();
            for topic in of_list {
                shard.entries.pop(&topic);
            }
        }
    }

    /// Forgets one answer.
    pub(super) fn forget_one(&self, topic: &Topic) {
        self.shard(topic).entries.pop(topic);
    }

    /// Lets questions under way finish for those who wait, while nobody joins them any more.
    pub(super) fn part(&self) {
        for shard in &self.shards {
            lock(shard).flights.clear();
        }
    }

    /// How many answers are remembered, stale ones included.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }

    /// Changes how many answers are remembered; by and large the latest used ones stay.
    pub(super) fn resize(&self, limit: usize) {
        let mut shards = self.shards.each_ref().map(lock);
        let mut flights = Vec::new();
        let mut entries = Vec::new();
        for shard in &mut shards {
            flights.extend(shard.flights.drain());
            while let Some(entry) = shard.entries.pop_lru() {
                // How many of its shard are younger.
                entries.push((shard.entries.len(), entry));
            }
        }
        let active = (limit / PER_SHARD).clamp(1, SHARDS);
        self.active.store(active, Ordering::Release);
        for (n, shard) in shards.iter_mut().enumerate() {
            shard.limit = limit / active + usize::from(n < limit % active);
        }
        for (topic, flight) in flights {
            shards[self.index(topic.hash)].flights.insert(topic, flight);
        }
        entries.sort_by_key(|(younger, _)| std::cmp::Reverse(*younger));
        for (_, (topic, entry)) in entries {
            let shard = &mut shards[self.index(topic.hash)];
            shard.entries.put(topic, entry);
            self.evicted(shard.shrink());
        }
    }

    /// How full it is.
    pub(super) fn figures(&self) -> CacheFigures {
        let mut figures =
            CacheFigures { evictions: self.evictions.load(Ordering::Relaxed), ..CacheFigures::default() };
        for shard in &self.shards {
            let shard = lock(shard);
            figures.answers += shard.entries.len() as u64;
            figures.questions += shard.flights.len() as u64;
        }
        figures
    }

    fn evicted(&self, count: u64) {
        self.evictions.fetch_add(count, Ordering::Relaxed);
    }

    fn index(&self, hash: u64) -> usize {
        // The tables in the shards use the low bits and the highest seven.
        usize::try_from((hash >> 32) % (self.active.load(Ordering::Acquire) as u64)).unwrap_or(0)
    }

    fn shard(&self, topic: &Topic) -> MutexGuard<'_, Shard> {
        loop {
            let index = self.index(topic.hash);
            let shard = lock(&self.shards[index]);
            // A change of size needs all locks: while we hold one, this cannot change any more.
            if self.index(topic.hash) == index {
                return shard;
            }
        }
    }
}

impl Shard {
    /// Makes room; tells how many answers had to go.
    fn shrink(&mut self) -> u64 {
        let mut evicted = 0;
        while self.entries.len() > self.limit {
            self.entries.pop_lru();
            evicted += 1;
        }
        evicted
    }
}

fn lifetime(ttl: Option<u32>, cap: Duration, settings: &Settings) -> Duration {
    if !settings.honor_ttl {
        return cap;
    }
    let ttl = ttl.map_or(FLOOR, |seconds| Duration::from_secs(seconds.into()));
    ttl.max(FLOOR).min(cap)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under the lock; should one ever, the data are whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
