//! Access maps, wherever they lie: opened, and asked key by key.
//!
//! Which keys there are, and what the answers mean, is known to [`list::access`](crate::list::access) alone. Nobody decides here
//! what becomes of mail while a map cannot be asked.

use std::future::Future;
use std::sync::Arc;

use super::{Parsed, State, Watched, Watcher};
use crate::limits::Limits;
use crate::list::Fault;
use crate::list::access::{Answer, Key, Location, Map as Text, Options, Search, Tag};

/// An access map that is open.
#[derive(Debug, Clone)]
pub struct Map {
    location: Location,
    text: Arc<Watched<Text>>,
}

/// Why a map gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location} cannot be asked: {cause}")]
pub struct Unanswered {
    /// The map.
    pub location: Location,
    /// What is wrong. Printable.
    pub cause: Box<str>,
}

impl Map {
    /// Opens a map. What is watched already is not read again unless it has changed. What is strange in it stands in its
    /// [state](Self::state).
    ///
    /// Takes its time in the calling thread, which should not be one of a runtime.
    ///
    /// # Errors
    /// What is wrong with it, every line, with the text that is in use in an older form, too.
    pub fn open(location: &Location, options: &Options, watcher: &Watcher) -> Result<Self, Vec<Fault>> {
        let Location::Text(path) = location;
        let options = *options;
        let parse = move |octets: &[u8]| {
            let (value, notices) = Text::parse(octets, &options).map_err(crate::list::Flaws::told)?;
            Ok(Parsed { entries: value.len(), value, warnings: notices.told() })
        };
        // All that the reading of a text depends on.
        let form = format!("access {options:?}");
        let opened = watcher.open(path, &form, Limits::default().list_file, Box::new(parse));
        let text = opened.map_err(|failure| failure.faults)?;
        match text.state().failed {
            Some(failed) => Err(failed.faults),
            None => Ok(Self { location: location.clone(), text }),
        }
    }

    /// Where it lies.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Whether a key was found here, and where: `/etc/mail/access:14`.
    pub fn line(&self, line: u32) -> String {
        let Location::Text(path) = &self.location;
        if line == 0 { super::shown(path) } else { format!("{}:{line}", super::shown(path)) }
    }

    /// Whether it has any key with this tag, as far as that is known.
    pub fn has(&self, tag: Tag) -> bool {
        self.text.current().has(tag)
    }

    /// How its file does, if it is one.
    pub fn state(&self) -> Option<State> {
        Some(self.text.state())
    }

    /// Asks it, one key after the other, until there is an answer.
    ///
    /// # Errors
    /// [`Unanswered`] of a map that is asked over a socket or in a database; a text always answers, and at once.
    pub fn search<'a>(
        &self,
        search: Search<'a>,
    ) -> impl Future<Output = Result<Answer, Unanswered>> + Send + use<'a> {
        std::future::ready(Ok(search.run(&self.text.current())))
    }

    /// The value of a key as it is written, for people.
    pub fn written(&self, key: &Key) -> Option<String> {
        self.text.current().written(key).map(str::to_owned)
    }
}
