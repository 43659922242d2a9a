//! One watched file, and what was made of it.

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

use super::file::{self, Identity};
use super::{Failure, Parse, Parsed, shown};
use crate::list::Fault;

/// How many looks a file is left alone that somebody writes into. Then it is read as it is: some programs never rest.
const PATIENCE: u32 = 5;

/// A file, and what its parse function made of it the last time that the file was good.
pub struct Watched<T> {
    path: PathBuf,
    form: String,
    limit: usize,
    parse: Parse<T>,
    /// What the log says while the file is not in use.
    without: &'static str,
    current: ArcSwap<T>,
    /// Whether the state has a failure, for those who must not wait.
    failing: AtomicBool,
    state: Mutex<State>,
    /// Held as long as somebody looks: there is no second one meanwhile.
    notes: Mutex<Notes<T>>,
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("path", &self.path).field("form", &self.form).finish_non_exhaustive()
    }
}

/// How a watched file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The file.
    pub path: PathBuf,
    /// How many entries what is in use has.
    pub entries: usize,
    /// Since when it is in use.
    pub loaded: SystemTime,
    /// What is strange about it.
    pub warnings: Vec<Fault>,
    /// Why the file as it is now is not in use, if so.
    pub failed: Option<Failed>,
    /// How often a file was not good since the first one.
    pub failures: u64,
}

impl State {
    fn is_failed_by(&self, fault: &Fault) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.faults.first() == Some(fault))
    }
}

/// Why a file is not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Since when.
    pub since: SystemTime,
    /// What is wrong with it; never empty.
    pub faults: Vec<Fault>,
}

/// A snapshot: what the file said when it was taken, however long it is kept.
pub struct Current<T>(Guard<Arc<T>>);

impl<T> Deref for Current<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What the last look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    File(Identity),
    Nothing(io::ErrorKind),
}

impl Seen {
    fn at(path: &Path) -> Self {
        match Identity::at(path) {
            Ok(identity) => Self::File(identity),
            Err(error) => Self::Nothing(error.kind()),
        }
    }

    /// Whether somebody may be writing into the file that was there.
    fn is_rewrite_of(&self, before: &Self) -> bool {
        matches!((self, before), (Self::File(now), Self::File(before)) if now != before && !now.replaces(before))
    }
}

struct Notes<T> {
    seen: Seen,
    /// What was seen does not show whether the file is still the same.
    again: bool,
    /// A file that was being written into, and how often that was seen.
    writing: Option<(Seen, u32)>,
    /// Of the content in use, and of the last one that was not good.
    good: Option<u64>,
    bad: Option<u64>,
    seed: RandomState,
    /// What was in use before. Whoever still reads it must not be the one to free it.
    retired: Vec<Arc<T>>,
}

/// Why somebody looks at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is time.
    Due,
    /// Somebody asked for it: what was written was meant to be read.
    Ordered,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads a file of at most `limit` octets for the first time. `form` says what `parse` makes of it. What is strange
    /// in it stands in the [state](Self::state); the log is told of later files only.
    ///
    /// Takes its time in the calling thread, which should not be one of a runtime.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read or is not good.
    pub(super) fn open(path: &Path, form: &str, limit: usize, parse: Parse<T>) -> Result<Self, Failure> {
        let failure = |faults| Failure { path: path.to_owned(), faults };
        let content = file::content(path, limit).map_err(|fault| failure(vec![fault]))?;
        let Parsed { value, entries, warnings } = parsed(&parse, &content.octets).map_err(failure)?;
        let seed = RandomState::new();
        let notes = Notes {
            seen: Seen::File(content.identity),
            again: content.fresh,
            writing: None,
            good: Some(seed.hash_one(&content.octets)),
            bad: None,
            seed,
            retired: Vec::new(),
        };
        let (path, loaded) = (path.to_owned(), SystemTime::now());
        let state = State { path, entries, loaded, warnings, failed: None, failures: 0 };
        Ok(Self {
            path: state.path.clone(),
            form: form.to_owned(),
            limit,
            parse,
            without: "what was read before stays",
            current: ArcSwap::from_pointee(value),
            failing: AtomicBool::new(false),
            state: Mutex::new(state),
            notes: Mutex::new(notes),
        })
    }

    /// As [`Watched::open`], but what cannot be used is like `nothing` until it can; the [state](Self::state) tells of it.
    /// `without` is what the log says becomes of mail meanwhile.
    pub(super) fn await_file(
        path: &Path,
        form: &str,
        limit: usize,
        parse: Parse<T>,
        (nothing, without): (T, &'static str),
    ) -> Self {
        let there = Seen::at(path);
        let (mut good, mut bad) = (None, None);
        let seed = RandomState::new();
        let (mut value, mut entries, mut warnings) = (nothing, 0, Vec::new());
        let (mut fresh, mut faults) = (true, Vec::new());
        match file::content(path, limit) {
            Ok(content) => {
                fresh = content.fresh;
                let digest = seed.hash_one(&content.octets);
                match parsed(&parse, &content.octets) {
                    Ok(parsed) => {
                        (value, entries, warnings) = (parsed.value, parsed.entries, parsed.warnings);
                        good = Some(digest);
                    }
                    Err(wrong) => (faults, bad) = (wrong, Some(digest)),
                }
            }
            Err(fault) => faults.push(fault),
        }
        let now = SystemTime::now();
        let failures = u64::from(!faults.is_empty());
        let failed = (!faults.is_empty()).then_some(Failed { since: now, faults });
        let state = State { path: path.to_owned(), entries, loaded: now, warnings, failed, failures };
        let notes = Notes { seen: there, again: fresh, writing: None, good, bad, seed, retired: Vec::new() };
        Self {
            path: path.to_owned(),
            form: form.to_owned(),
            limit,
            parse,
            without,
            current: ArcSwap::from_pointee(value),
            failing: AtomicBool::new(state.failed.is_some()),
            state: Mutex::new(state),
            notes: Mutex::new(notes),
        }
    }

    /// Whether the file as it is now is not in use. Never waits.
    pub fn is_failed(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// What is in use. Never waits.
    pub fn current(&self) -> Current<T> {
        Current(self.current.load())
    }

    /// How the file does, for people.
    pub fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn reload(&self, notes: &mut Notes<T>, seen: Seen) {
        let content = match file::content(&self.path, self.limit) {
            Ok(content) => content,
            Err(fault) => {
                let is_known = notes.seen == seen && lock(&self.state).is_failed_by(&fault);
                notes.seen = seen;
                // Whatever is short now (descriptors, memory) may not be later.
                notes.again = true;
                if !is_known {
                    self.fail(vec![fault]);
                }
                return;
            }
        };
        notes.seen = Seen::File(content.identity);
        notes.again = content.fresh;
        let digest = notes.seed.hash_one(&content.octets);
        if Some(digest) == notes.good {
            notes.bad = None;
            let mut state = lock(&self.state);
            self.failing.store(false, Ordering::Release);
            if state.failed.take().is_some() {
                tracing::info!(
                    event = "source",
                    path = shown(&self.path),
                    entries = state.entries,
                    "{} is as it was before",
                    name(&self.path)
                );
            }
            return;
        }
        if notes.bad == Some(digest) {
            return;
        }
        match parsed(&self.parse, &content.octets) {
            Ok(Parsed { value, entries, warnings }) => {
                (notes.good, notes.bad) = (Some(digest), None);
                notes.retired.push(self.current.swap(Arc::new(value)));
                tracing::info!(
                    event = "source",
                    path = shown(&self.path),
                    entries,
                    "{} is read anew",
                    name(&self.path)
                );
                tell_warnings(&self.path, &warnings);
                let mut state = lock(&self.state);
                (state.entries, state.loaded, state.warnings) = (entries, SystemTime::now(), warnings);
                state.failed = None;
                self.failing.store(false, Ordering::Release);
            }
            Err(faults) => {
                notes.bad = Some(digest);
                self.fail(faults);
            }
        }
    }

    /// Notes and tells that the file is not in use.
    fn fail(&self, faults: Vec<Fault>) {
        let Told { line, cause, remedy, more } = Told::of(&faults);
        tracing::error!(
            event = "source",
            path = shown(&self.path),
            line,
            cause,
            remedy,
            more,
            "{} cannot be used; {}",
            name(&self.path),
            self.without
        );
        let mut state = lock(&self.state);
        state.failed = Some(Failed { since: SystemTime::now(), faults });
        state.failures += 1;
        self.failing.store(true, Ordering::Release);
    }
}

/// A watched file, whatever is made of it.
pub(super) trait Source: Send + Sync {
    /// Looks whether the file has changed, and reads it if so. Frees what nobody reads any more.
    fn look(&self, look: Look);

    /// Whether this is that file, read in that way.
    fn is(&self, path: &Path, form: &str) -> bool;

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Send + Sync + 'static> Source for Watched<T> {
    fn look(&self, look: Look) {
        let mut notes = lock(&self.notes);
        // One of them is ours. Nobody can take it any more.
        notes.retired.retain(|old| Arc::strong_count(old) > 1);
        let seen = Seen::at(&self.path);
        if look == Look::Due {
            if seen == notes.seen && !notes.again {
                notes.writing = None;
                return;
            }
            if seen.is_rewrite_of(&notes.seen) {
                let times = match notes.writing {
                    Some((before, _)) if before == seen => PATIENCE,
                    Some((_, times)) => times + 1,
                    None => 0,
                };
                if times < PATIENCE {
                    notes.writing = Some((seen, times));
                    return;
                }
            }
        }
        notes.writing = None;
        self.reload(&mut notes, seen);
    }

    fn is(&self, path: &Path, form: &str) -> bool {
        self.path == path && self.form == form
    }

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Parses; a parser that panics is as good as a file that is wrong.
fn parsed<T>(parse: &Parse<T>, octets: &[u8]) -> Result<Parsed<T>, Vec<Fault>> {
    catch_unwind(AssertUnwindSafe(|| parse(octets)))
        .unwrap_or_else(|_| Err(vec![Fault::whole("a programming error", "please report it")]))
}

/// The file's own name, for people who read the log without its fields.
fn name(path: &Path) -> String {
    shown(Path::new(path.file_name().unwrap_or_default()))
}

fn tell_warnings(path: &Path, warnings: &[Fault]) {
    if !warnings.is_empty() {
        let Told { line, cause, remedy, more } = Told::of(warnings);
        let (path, name) = (shown(path), name(path));
        tracing::warn!(event = "source", path, line, cause, remedy, more, "{name} is in use, but look at it");
    }
}

/// What a line of the log has of several faults: the first one, and how many more there are.
struct Told<'a> {
    line: Option<usize>,
    cause: &'a str,
    remedy: &'a str,
    more: Option<usize>,
}

impl<'a> Told<'a> {
    fn of(faults: &'a [Fault]) -> Self {
        let (cause, remedy) =
            faults.first().map_or(("", ""), |first| (first.cause.as_str(), first.remedy.as_str()));
        Self {
            line: faults.first().map(|first| first.line).filter(|line| *line > 0),
            cause,
            remedy,
            more: faults.len().checked_sub(1).filter(|more| *more > 0),
        }
    }
}

/// What is behind these locks is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
