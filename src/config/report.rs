//! Collects what is wrong while the sources are read.

use std::path::{Path, PathBuf};

use super::load::CREDENTIAL;
use super::secrets::Secrets;
use super::settings::{PREFIX, Setting};
use super::value::Fault;
use super::{Place, Problem};
use crate::dns::Key;
use crate::smtp::is_like_key;

/// How a source names settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    Toml,
    Environment,
    Options,
}

impl Naming {
    /// The name of a setting in such a source.
    pub(super) fn of(self, setting: &Setting) -> String {
        match self {
            Self::Toml => setting.toml.to_owned(),
            Self::Environment => setting.variable().unwrap_or_else(|| setting.toml.to_owned()),
            Self::Options => format!("--{}", setting.env.to_ascii_lowercase().replace('_', "-")),
        }
    }
}

/// All that was found in all sources so far.
#[derive(Default)]
pub(super) struct Report {
    errors: Vec<Problem>,
    notices: Vec<Problem>,
    /// Everything that was given as a key, good or bad: none of it may appear in a message.
    secrets: Secrets,
    /// The files, in the order in which their problems are told.
    files: Vec<PathBuf>,
    /// Where the process can still read; empty for everywhere.
    pub(super) confined_to: Vec<PathBuf>,
    /// A file could not be read: what is in it is not known, and does not count as missing.
    pub(super) unread: bool,
}

impl Report {
    /// Remembers a text that must not be shown.
    pub(super) fn hide(&mut self, secret: &str) {
        self.secrets.add(secret);
    }

    /// Remembers what may be a key in the name of a key file that cannot be read: it may have been given in its place.
    pub(super) fn hide_keys_in(&mut self, path: &Path) {
        let text = path.to_string_lossy();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.filter(|word| is_like_key(word)).for_each(|word| self.secrets.add(word));
    }

    /// Remembers a key that must not be shown.
    pub(super) fn hide_key(&mut self, key: &Key) {
        self.secrets.add_key(key);
    }

    /// Fixes the place of a file in the order of problems.
    pub(super) fn begin(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    pub(super) fn error(&mut self, place: Place, setting: impl Into<String>, fault: Fault) {
        self.errors.push(problem(place, setting.into(), fault));
    }

    pub(super) fn notice(&mut self, place: Place, setting: impl Into<String>, fault: Fault) {
        self.notices.push(problem(place, setting.into(), fault));
    }

    /// An error, or a notice where the Python milter would have gone on.
    pub(super) fn lapse(&mut self, compat: bool, place: Place, setting: impl Into<String>, fault: Fault) {
        if compat {
            self.notice(place, setting, fault);
        } else {
            self.error(place, setting, fault);
        }
    }

    /// Whether anything that concerns the key is wrong already.
    pub(super) fn blames_key(&self) -> bool {
        let is_key = |name: &str| {
            name.starts_with(CREDENTIAL)
                || name.starts_with("key.")
                || name.starts_with(&format!("{PREFIX}API_KEY"))
        };
        self.errors.iter().any(|problem| is_key(&problem.setting))
    }

    /// Whether an error is told of this place already.
    pub(super) fn blames(&self, place: &Place) -> bool {
        self.errors.iter().any(|problem| problem.place == *place)
    }

    /// The errors, the notices, and what nobody may show later either.
    pub(super) fn close(mut self) -> (Vec<Problem>, Vec<Problem>, Secrets) {
        let mut errors = std::mem::take(&mut self.errors);
        let mut notices = std::mem::take(&mut self.notices);
        for list in [&mut errors, &mut notices] {
            for problem in list.iter_mut() {
                self.secrets.censor(problem);
            }
            list.sort_by_cached_key(|problem| self.rank(&problem.place));
            list.dedup();
        }
        (errors, notices, self.secrets)
    }

    /// A text without anything that was given as a key, in whatever case it appears.
    pub(super) fn clean(&self, text: String) -> String {
        self.secrets.clean(text)
    }

    fn rank(&self, place: &Place) -> (usize, usize, usize) {
        let after = self.files.len();
        match place {
            Place::File { path, line, column } => {
                let file = self.files.iter().position(|file| file == path).unwrap_or(after);
                (file, *line, *column)
            }
            Place::Credential(_) => (after, 0, 0),
            Place::Environment => (after + 1, 0, 0),
            Place::CommandLine => (after + 2, 0, 0),
            Place::Default | Place::Nowhere => (after + 3, 0, 0),
        }
    }
}

fn problem(place: Place, setting: String, fault: Fault) -> Problem {
    Problem { place: fault.place.unwrap_or(place), setting, cause: fault.cause, remedy: fault.remedy }
}

/// Most problems of one kind that are told of one file; a file of another kind has thousands.
const MANY: usize = 100;

/// The first problems of one kind in a file, and how many more there are.
pub(super) struct Tally<T> {
    told: Vec<T>,
    untold: usize,
}

impl<T> Tally<T> {
    pub(super) fn new() -> Self {
        Self { told: Vec::new(), untold: 0 }
    }

    /// Adds a problem; it is not even put into words if there are many.
    pub(super) fn push(&mut self, problem: impl FnOnce() -> T) {
        if self.told.len() < MANY {
            self.told.push(problem());
        } else {
            self.untold += 1;
        }
    }

    /// The first ones, and what to say about the rest.
    pub(super) fn close(self) -> (Vec<T>, Option<Fault>) {
        let rest = || {
            let cause = format!("there are {} more problems of this kind", self.untold);
            Fault::new(cause, "mend the others first, or name the right file")
        };
        (self.told, (self.untold > 0).then(rest))
    }
}
