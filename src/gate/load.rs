//! From sources to what a gate is made of: a configuration, the tables of its lists, both tried out.

use super::{Tables, expect};
use crate::config::{Config, Problems, Sources};
use crate::source::Watcher;

/// A configuration that can come into force.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The tables of its lists in files.
    pub tables: Tables,
}

impl From<Config> for Loaded {
    /// A configuration without lists in files.
    fn from(config: Config) -> Self {
        Self { config, tables: Tables::default() }
    }
}

/// Reads a configuration, opens the files of its lists, and plays its expectations: what the daemon starts or goes on
/// with. Takes its time, so the caller should not be a thread of a runtime.
///
/// # Errors
/// All problems of all sources; if there are none, those of the files of lists; if there are none, the expectations
/// that are not met.
pub fn load(sources: &Sources, watcher: &Watcher) -> Result<Loaded, Problems> {
    let mut config = Config::load(sources)?;
    let checked = Tables::open(&config, watcher, &sources.confined_to).and_then(|(tables, notices)| {
        config.notices.extend(notices);
        expect::check(&config, &tables)?;
        Ok(tables)
    });
    match checked {
        Ok(tables) => Ok(Loaded { config, tables }),
        Err(errors) => Err(Problems { errors, notices: config.notices }),
    }
}
