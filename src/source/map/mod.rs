//! Access maps of any kind, asked in one way.
//!
//! Texts, constant databases and those of LMDB are read as a whole and watched like lists. A socket map or a table of SQLite
//! is asked key by key, within bounds of time and number that hold for all keys of one question together. What it means for mail
//! that a map gives no answer is not decided here.

mod memory;
mod rest;
mod socket;
#[cfg(feature = "sqlite")]
mod sqlite;
mod trouble;
pub mod wire;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use self::memory::{Known, Memory};
use self::rest::Rest;
use self::socket::Client;
#[cfg(feature = "sqlite")]
use self::sqlite::Database;
use super::{Parse, Parsed, State, Watched, Watcher};
use crate::list::Fault;
use crate::list::access::{Answer, Entry, Key, Lengths, Location, Options, Search, Tag, Value};
use crate::list::access::{Map as Held, berkeley};
use crate::list::cdb::Cdb;
use crate::list::lmdb::{self, Lmdb};
use crate::telemetry::Budget;

pub use self::trouble::Trouble;

/// Time for all keys of a question, and for all questions of one step of a session. It is waited for in the middle of SMTP; a
/// server on this host needs less than a millisecond for each key.
pub const BUDGET: Duration = Duration::from_millis(500);
/// A wait that shows that a map stalls: that for a lock of SQLite's, which is half of what a question has.
const STALL: Duration = Duration::from_millis(200);
/// Keys of a question that are asked at most, those whose answers are remembered not counted. With [`PARENTS`] and without
/// combinations no question has more than 62: nobody can choose a name so that the map is not asked.
const KEYS: usize = 64;
/// Parents of a name that a distant map is asked for, beside the name itself.
const PARENTS: usize = 6;
/// Longest value of a distant map. It is read in the middle of a session.
const VALUE: usize = 8_192;
/// Most expressions in such a value: each is compiled anew, and may take a megabyte.
const EXPRESSIONS: usize = 32;
/// Longest location that is shown, in characters.
const SHOWN: usize = 300;
/// Largest file of a map, which the parser has as a limit, too.
const FILE: usize = 1 << 28;

/// An access map, wherever it is. Clones share what they have.
#[derive(Clone)]
pub struct Map(Arc<Inner>);

struct Inner {
    location: Location,
    options: Options,
    kind: Kind,
    rest: Rest,
    told: Budget,
}

enum Kind {
    Held(Arc<Watched<Held>>),
    Socket {
        client: Client,
        memory: Box<Memory>,
    },
    #[cfg(feature = "sqlite")]
    Sqlite(Database),
}

/// Why a map gave no answer, and which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location} cannot be asked: {trouble}")]
pub struct Unanswered {
    /// The map.
    pub location: Location,
    /// What is wrong.
    pub trouble: Trouble,
}

impl Map {
    /// Opens a map: a file is read and watched from now on, of a database it is looked whether it has the table. What is
    /// watched already is not read again unless it has changed. A server is not asked before there is a question. What is
    /// strange in a file stands in its [state](Self::state).
    ///
    /// Takes its time in the calling thread, which should not be one of a runtime.
    ///
    /// # Errors
    /// Every line or record that is wrong; also with a file that is in use in an older form.
    pub fn open(location: &Location, options: &Options, watcher: &Watcher) -> Result<Self, Vec<Fault>> {
        let held = |path: &Path, parse| {
            let map = watcher.open(path, &form(location, *options), FILE, parse);
            let map =
                map.map_err(|failure| unnamed(location, path).map_or(failure.faults, |fault| vec![fault]))?;
            match map.state().failed {
                Some(failed) => Err(failed.faults),
                None => Ok(Kind::Held(map)),
            }
        };
        let kind = match location {
            Location::Text(path) => held(path, text(path, *options))?,
            Location::Cdb(path) => held(path, cdb(*options))?,
            Location::Lmdb(path) => held(path, lightning(*options))?,
            Location::Socketmap(map) => {
                Kind::Socket { client: Client::new(map.clone()), memory: Box::default() }
            }
            #[cfg(feature = "sqlite")]
            Location::Sqlite(table) => Kind::Sqlite(Database::open(table).map_err(|fault| vec![fault])?),
            // No such location is ever read then.
            #[cfg(not(feature = "sqlite"))]
            Location::Sqlite(_) => {
                let fault =
                    Fault::whole("this gatepost was built without SQLite", "build it with --features sqlite");
                return Err(vec![fault]);
            }
        };
        Ok(Self::new(location, *options, kind))
    }

    fn new(location: &Location, options: Options, kind: Kind) -> Self {
        let told = Budget::new(1, Duration::from_mins(1));
        Self(Arc::new(Inner { location: location.clone(), options, kind, rest: Rest::default(), told }))
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// Where an entry was found: `/etc/mail/access:14`, or the map alone where there are no lines.
    pub fn line(&self, line: u32) -> String {
        match &self.0.location {
            Location::Text(path) if line > 0 => format!("{}:{line}", super::shown(path)),
            Location::Text(path) => super::shown(path),
            other => crate::smtp::printable(other.to_string().as_bytes(), SHOWN),
        }
    }

    /// Whether it is known to have a key with this tag; of a map that is asked key by key nothing is.
    pub fn has(&self, tag: Tag) -> bool {
        if let Kind::Held(map) = &self.0.kind { map.current().has(tag) } else { false }
    }

    /// Whether it is held in memory, and so never waits; others are asked key by key.
    pub fn is_held(&self) -> bool {
        matches!(self.0.kind, Kind::Held(_))
    }

    /// How its file does, if it is held in memory.
    pub fn state(&self) -> Option<State> {
        if let Kind::Held(map) = &self.0.kind { Some(map.state()) } else { None }
    }

    /// The value of a key as it is written, for people; nothing of a map that is not held in memory.
    pub fn written(&self, key: &Key) -> Option<String> {
        let Kind::Held(map) = &self.0.kind else { return None };
        map.current().written(key).map(str::to_owned)
    }

    /// Asks it, one key after the other, until there is an answer. A map in memory never waits; others take at most
    /// [`BUDGET`].
    ///
    /// # Errors
    /// As [`Map::search_until`].
    pub async fn search(&self, search: Search<'_>) -> Result<Answer, Unanswered> {
        self.search_until(search, Instant::now() + BUDGET).await
    }

    /// As [`Map::search`], with the time that the caller has left. A map that kept three questions waiting until their end is left alone
    /// for a second, and longer when it does so again.
    ///
    /// Maps that are asked key by key are not asked for combinations of two subjects, which have too many keys, nor for
    /// more than seven domains of a name, and a socket map has one spelling of an IPv6 address.
    ///
    /// # Errors
    /// [`Unanswered`] with what is wrong; the log is told once a minute.
    pub async fn search_until(&self, search: Search<'_>, end: Instant) -> Result<Answer, Unanswered> {
        if let Kind::Held(map) = &self.0.kind {
            return Ok(search.run(&map.current()));
        }
        let (begun, answered) = (Instant::now(), AtomicBool::new(false));
        // In a place of its own: every session has room for what it waits for, and few ask a distant map.
        let asked = Box::pin(timeout_at(end, self.0.ask(search, end, &answered)));
        let found = asked.await.unwrap_or(Err(Trouble::Late(BUDGET)));
        let is_wait = found.as_ref().is_err_and(|trouble| self.0.is_wait(trouble));
        // Whoever came with little time left cannot tell.
        if is_wait && !answered.load(Ordering::Relaxed) && begun.elapsed() >= STALL {
            self.0.rest.stalled(Instant::now());
        }
        found.map_err(|trouble| {
            self.0.tell(&trouble);
            Unanswered { location: self.0.location.clone(), trouble }
        })
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.0.location).finish()
    }
}

impl Inner {
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(unused_variables, reason = "a database alone sees to its time")
    )]
    async fn ask(&self, search: Search<'_>, end: Instant, answered: &AtomicBool) -> Result<Answer, Trouble> {
        let mut search = search.with_parents(PARENTS);
        let mut asked = 0;
        while let Some(key) =
            search.next_key(self.options.syntax, Lengths::NONE, |tag| !tag.is_combined()).cloned()
        {
            let tag = search.tag();
            if let Kind::Socket { memory, .. } = &self.kind
                && let Some(Known(entry)) = memory.recall(tag, key.as_str())
            {
                search.answer(entry);
                continue;
            }
            if asked == 0 && !self.rest.permits(Instant::now()) {
                return Err(Trouble::Resting);
            }
            asked += 1;
            if asked > KEYS {
                return Err(Trouble::Keys(KEYS));
            }
            let value = match &self.kind {
                Kind::Socket { client, .. } => client.ask(key.as_str()).await,
                #[cfg(feature = "sqlite")]
                Kind::Sqlite(database) => database.ask(key.spellings(), end).await,
                Kind::Held(_) => Ok(None),
            };
            if !answered.load(Ordering::Relaxed)
                && !value.as_ref().is_err_and(|trouble| self.is_wait(trouble))
            {
                answered.store(true, Ordering::Relaxed);
                self.rest.answered();
            }
            let value = value?;
            let entry = match &value {
                Some(value) => Some(self.entry(tag, key.as_str(), value)?),
                None => None,
            };
            if let Kind::Socket { memory, .. } = &self.kind {
                memory.keep(tag, key.as_str(), entry.as_ref(), value.map_or(0, |value| value.len()));
            }
            search.answer(entry);
        }
        Ok(search.finish())
    }

    /// Reads a value. A map that has nonsense for a key has no answer: to pass over it could let in whom it was to refuse.
    fn entry(&self, tag: Tag, key: &str, value: &[u8]) -> Result<Entry, Trouble> {
        let value = value.strip_suffix(b"\0").unwrap_or(value);
        let read = if value.len() > VALUE {
            Err(vec![format!("it has {} octets, more than {VALUE}", value.len())])
        } else if expressions(value) > EXPRESSIONS && tag.has_lists() {
            Err(vec![format!("it has more than {EXPRESSIONS} regular expressions")])
        } else {
            Value::read(tag, value, self.options.syntax, self.options.classes, &mut Vec::new())
        };
        read.map(|value| Entry { value, line: 0 }).map_err(|causes| Trouble::Value {
            key: crate::smtp::excerpt(key.as_bytes(), 200),
            cause: crate::smtp::excerpt(causes.first().map_or("", String::as_str).as_bytes(), 300),
        })
    }

    /// Whether that is no answer, but the end of a wait for one: that for a lock of a database is one, too.
    fn is_wait(&self, trouble: &Trouble) -> bool {
        match trouble {
            Trouble::Late(_) | Trouble::Busy => true,
            Trouble::Temporary(_) => !matches!(self.kind, Kind::Socket { .. }),
            _ => false,
        }
    }

    fn tell(&self, trouble: &Trouble) {
        if let Some(more) = self.told.spend() {
            let map = self.location.to_string();
            let more = Some(more).filter(|more| *more > 0);
            tracing::warn!(
                event = "map",
                map = crate::smtp::printable(map.as_bytes(), SHOWN),
                trouble = trouble.name(),
                more,
                "the map gives no answer: {trouble}"
            );
        }
    }
}

/// At most how many expressions are in a list: each begins with a slash, at the beginning or behind a blank.
fn expressions(list: &[u8]) -> usize {
    let begins = |at: usize| at == 0 || list[at - 1].is_ascii_whitespace();
    memchr::memchr_iter(b'/', list).filter(|&at| begins(at)).count()
}

/// All that the parse function depends on.
fn form(location: &Location, options: Options) -> String {
    let Options { syntax, duplicates, comments, classes } = options;
    format!("{} {syntax:?} {duplicates:?} {comments:?} {classes:?}", location.kind())
}

fn text(path: &Path, options: Options) -> Parse<Held> {
    let path = path.to_owned();
    Box::new(move |octets| {
        if let Some(fault) = other(octets, &path) {
            return Err(vec![fault]);
        }
        let (value, notices) = Held::parse(octets, &options).map_err(crate::list::Flaws::told)?;
        Ok(Parsed { entries: value.len(), value, warnings: notices.told() })
    })
}

fn cdb(options: Options) -> Parse<Held> {
    Box::new(move |octets| {
        let database = Cdb::new(octets).map_err(|error| {
            vec![Fault::whole(
                error.to_string(),
                "make it anew with postmap or cdbmake, aside, and rename it",
            )]
        })?;
        let (value, warnings) = Held::from_records(database.records(), &options)?;
        Ok(Parsed { entries: value.len(), value, warnings })
    })
}

fn lightning(options: Options) -> Parse<Held> {
    Box::new(move |octets| {
        let database = Lmdb::new(octets).map_err(|error| {
            vec![Fault::whole(
                error.to_string(),
                "make it anew with postmap lmdb:, or export it with postmap -s",
            )]
        })?;
        let (value, warnings) = Held::from_records(database.records(), &options)?;
        Ok(Parsed { entries: value.len(), value, warnings })
    })
}

/// A database that is named as Postfix names it, which is the name of the text that it was made from.
fn unnamed(location: &Location, path: &Path) -> Option<Fault> {
    let kind = location.kind();
    let mut named = path.as_os_str().to_owned();
    named.push(format!(".{kind}"));
    let named = Path::new(&named);
    (matches!(location, Location::Cdb(_) | Location::Lmdb(_)) && named.exists()).then(|| {
        let cause = format!("this is not the database, whose name ends in .{kind}");
        Fault::whole(cause, format!("write {kind}:{}", super::shown(named)))
    })
}

/// What a file is that was named as a text and is none, by its first octets.
fn other(octets: &[u8], path: &Path) -> Option<Fault> {
    let word = |at: usize| octets.get(at..at + 4).and_then(|word| word.try_into().ok());
    let is = |at: usize, magic: u32| {
        word(at).is_some_and(|word| u32::from_le_bytes(word) == magic || u32::from_be_bytes(word) == magic)
    };
    let shown = path.to_string_lossy();
    let told = |bad: crate::list::access::BadLocation| Fault::whole(bad.cause, bad.remedy);
    // Btree and hash, since version 2 and before it (magic(5)).
    for (magic, kind) in [(0x0005_3162, "btree"), (0x0006_1561, "hash")] {
        if is(12, magic) || is(0, magic) {
            return Some(told(berkeley(kind, &shown)));
        }
    }
    let shown = crate::smtp::printable(shown.as_bytes(), 200);
    if lmdb::begins(octets) {
        return Some(Fault::whole("this is an LMDB database, and no text", format!("write lmdb:{shown}")));
    }
    if octets.starts_with(b"SQLite format 3\0") {
        return Some(Fault::whole(
            "this is a database of SQLite, and no text",
            format!("write sqlite:{shown}"),
        ));
    }
    if octets.contains(&0) && Cdb::new(octets).is_ok() {
        return Some(Fault::whole("this is a constant database, and no text", format!("write cdb:{shown}")));
    }
    None
}

#[cfg(test)]
mod tests;
