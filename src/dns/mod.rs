//! One question to a list, one small answer.
//!
//! Here are names and codes of the lists, the account key, the cache, the coalescing of equal questions, the
//! breaker of each list and the health of name servers. What an answer means for the mail is not decided here.
//!
//! Nothing of this module prints a queried name, for it holds the key, and no error of the resolver
//! crate leaves it.

mod answer;
mod breaker;
mod cache;
mod exchange;
mod flight;
mod hedge;
mod key;
mod landing;
mod line;
mod moment;
mod probe;
mod query;
mod question;
mod quota;
mod servers;
mod settings;
mod wire;
mod zone;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::telemetry::{CacheFigures, Metrics};
use crate::verdict::{List, MOST, Place as Home, Trouble};
use cache::Cache;
use landing::{Place, Queued};
use question::Question;
use quota::Quota;
use servers::{Round, Servers};
use zone::Zone;

pub use answer::{Answer, Answered, classify, read};
pub use cache::BadAnswers;
pub use flight::Ticket;
pub use key::{BadKey, Key};
pub use moment::Moment;
pub use probe::test_entries;
pub use query::hear;
pub use question::{Subject, is_apex_short, longest_base};
pub use quota::QueryBudget;
pub use servers::ServerHealth;
pub use settings::{Answers, Settings, Source};
pub use zone::{Counters, TestEntry, ZoneHealth, ZoneState};

/// The time to live of what a [table](Answers) says, in seconds: that of the real lists.
const TABLE_TTL: u32 = 60;

/// Asks lists, once per subject and time to live, for everybody in the process.
///
/// May be used from several runtimes at once: a question runs on the runtime of the one who asked first.
pub struct Dns {
    live: ArcSwap<Live>,
    key: ArcSwapOption<Key>,
    /// Counts the keys: what an old one brought must not be held against a new one.
    generation: AtomicU64,
    source: Source,
    cache: Cache,
    zones: [OnceLock<Box<Zone>>; MOST],
    /// Other lists are in use than before.
    lists_changed: Notify,
    waiting: Arc<AtomicUsize>,
    quota: Quota,
    metrics: Arc<Metrics>,
}

/// The settings and what is made of them.
struct Live {
    settings: Settings,
    servers: Servers,
    places: Arc<Semaphore>,
}

impl Live {
    fn new(settings: Settings) -> Arc<Self> {
        let servers = Servers::new(&settings);
        let places = Arc::new(Semaphore::new(settings.queries.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self { settings, servers, places })
    }
}

impl Dns {
    /// Sets it up; asks nothing yet. Without a key every question to name servers fails with [`Trouble::NoKey`].
    pub fn new(settings: Settings, key: Option<Key>, source: Source) -> Arc<Self> {
        Self::counting(settings, key, source, Arc::default())
    }

    /// The same, and counts what happens.
    pub fn counting(
        settings: Settings,
        key: Option<Key>,
        source: Source,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cache: Cache::new(settings.cache_max),
            live: ArcSwap::new(Live::new(settings)),
            key: ArcSwapOption::new(key.map(Arc::new)),
            generation: AtomicU64::new(0),
            source,
            zones: [const { OnceLock::new() }; MOST],
            lists_changed: Notify::new(),
            waiting: Arc::default(),
            quota: Quota::default(),
            metrics,
        })
    }

    /// Asks `list` about `subject`, as [`Moment::ask`] does.
    ///
    /// # Panics
    /// Outside a tokio runtime, if a question has to be sent.
    pub fn ask(self: &Arc<Self>, list: List, subject: Subject) -> Ticket {
        self.moment().ask(list, subject)
    }

    /// Settings, key and clock as they are now, for several questions at once.
    pub fn moment(self: &Arc<Self>) -> Moment<'_> {
        let live = self.live.load();
        let generation = self.generation.load(Ordering::Acquire);
        Moment { dns: self, live, generation, key: self.key.load(), now: self.cache.now() }
    }

    /// Changes the key, at once and for everybody. Answers stay, trouble is forgotten: breakers close. With the key
    /// that is there already nothing is forgotten, since that ends no outage and makes no list trustworthy; lists whose
    /// trouble takes a person to mend are probed.
    pub fn set_key(&self, key: Option<Key>) {
        if self.key.load().as_deref() == key.as_ref() {
            self.zones().for_each(Zone::hasten);
            return;
        }
        self.key.store(key.map(Arc::new));
        self.begin_anew();
    }

    /// Changes the settings, at once and for everybody. Answers stay, unless another zone base makes
    /// them another's.
    pub fn reconfigure(&self, settings: Settings) {
        let before = self.live.load_full();
        if before.settings == settings {
            return;
        }
        let (cache_max, moved) = (settings.cache_max, before.settings.zone_base != settings.zone_base);
        let other_servers = before.settings.servers != settings.servers;
        let other_keys = before.settings.keys != settings.keys;
        self.live.store(Live::new(settings));
        let now = self.live.load();
        if before.settings.probe_interval != now.settings.probe_interval
            || before.settings.lists != now.settings.lists
        {
            self.zones().for_each(|zone| zone.changed.notify_one());
            self.lists_changed.notify_one();
        }
        if before.settings.cache_max != cache_max {
            self.cache.resize(cache_max);
        }
        if moved {
            self.cache.flush();
        }
        if moved || other_servers || other_keys {
            self.begin_anew();
        }
    }

    /// How each list in use does, in the order of the settings.
    pub fn health(&self) -> Vec<ZoneHealth> {
        self.live.load().settings.lists.iter().map(|list| self.zone(*list).health()).collect()
    }

    /// What happened with all lists since the start, those that are not in use any more included.
    pub fn counted(&self) -> Counters {
        self.zones().map(|zone| zone.counts.snapshot()).fold(Counters::default(), Counters::plus)
    }

    /// How the name servers do, in the order of the settings.
    pub fn servers(&self) -> Vec<ServerHealth> {
        self.live.load().servers.health()
    }

    /// Tells keys apart without telling them; nothing if there is no key.
    pub fn key_fingerprint(&self) -> Option<String> {
        self.key.load().as_ref().map(|key| key.fingerprint())
    }

    /// Forgets all answers.
    pub fn flush(&self) {
        self.cache.flush();
    }

    /// Forgets all answers of one list.
    pub fn forget(&self, list: List) {
        self.cache.forget(list);
    }

    /// How many answers are remembered.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// How many answers may be remembered.
    pub fn cache_max(&self) -> usize {
        self.live.load().settings.cache_max
    }

    /// How full the cache is.
    pub fn cache_figures(&self) -> CacheFigures {
        self.cache.figures()
    }

    /// How many questions DQS got today, if there is a budget for them.
    pub fn query_budget(&self) -> Option<QueryBudget> {
        self.quota.look(self.live.load().settings.query_budget)
    }

    /// Log lines held back so far, by event.
    pub fn suppressed(&self) -> [(&'static str, u64); 2] {
        let (zone_state, dns) =
            self.zones().map(Zone::held_back).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        [("zone_state", zone_state), ("dns", dns)]
    }

    /// The key that a question to `list` takes, if it takes one; an error if that is missing.
    fn key_for<'k>(
        &self,
        list: List,
        live: &'k Live,
        dqs: Option<&'k Arc<Key>>,
    ) -> Result<Option<&'k Arc<Key>>, Trouble> {
        let key = match list.definition().place {
            Home::Dqs => dqs,
            Home::Zone { keyed: true, .. } => {
                live.settings.keys.iter().find(|(of, _)| *of == list).map(|(_, key)| key)
            }
            Home::Zone { .. } | Home::File { .. } => return Ok(None),
        };
        match (&self.source, key) {
            (Source::Resolver, None) => Err(Trouble::NoKey),
            (_, key) => Ok(key),
        }
    }

    /// Counts a question that is sent, further tries not.
    fn spend(&self, list: List, live: &Live) {
        if list.is_dqs() {
            self.quota.spend(live.settings.query_budget);
        }
    }

    fn begin_anew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.cache.part();
        self.zones().for_each(Zone::reset);
    }

    fn zone(&self, list: List) -> &Zone {
        self.zones[list.number()].get_or_init(|| Box::new(Zone::new(list)))
    }

    fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter_map(|zone| zone.get().map(Box::as_ref))
    }

    /// A place on the wire, or in the queue for it.
    fn place(&self, live: &Live) -> Result<Place, Trouble> {
        if let Source::Table(_) = self.source {
            return Ok(Place::None);
        }
        if let Ok(permit) = Arc::clone(&live.places).try_acquire_owned() {
            return Ok(Place::Wire(permit));
        }
        let queued = Queued::new(&self.waiting);
        if queued.ahead >= live.settings.waiting_queries {
            Err(Trouble::Busy)
        } else {
            Ok(Place::Queue(queued))
        }
    }

    /// Asks name servers past cache, breaker and queue; `None` without a key.
    async fn ask_directly(&self, list: List, subject: &Subject) -> Option<Answer> {
        let generation = self.generation.load(Ordering::Acquire);
        let live = self.live.load_full();
        let dqs = self.key.load_full();
        let key = self.key_for(list, &live, dqs.as_ref()).ok()?;
        let question = Question::new(subject, key.map(AsRef::as_ref), list, &live.settings.zone_base)?;
        self.spend(list, &live);
        let deadline = Instant::now() + live.settings.lifetime;
        let round = Round { servers: &live.servers, question: &question, list };
        let answer = match round.run(deadline, deadline, |_| ()).await {
            Ok(reply) => classify(list, &reply.records),
            Err(trouble) => Answer::Failed(trouble),
        };
        (generation == self.generation.load(Ordering::Acquire)).then_some(answer)
    }
}
