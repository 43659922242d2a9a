//! From sources to what a gate is made of: a configuration, the tables of its lists, both tried out.

use super::{Tables, expect, pointless};
use crate::config::{Config, Problem, Problems, Sources};
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
/// All problems of all sources and of all files of lists; if there are none, the expectations that are not met.
pub fn load(sources: &Sources, watcher: &Watcher) -> Result<Loaded, Problems> {
    let rough = Config::read(sources);
    // A key may stand in the path of a file, or in the name of an expectation.
    let censored = |problems: Vec<Problem>| {
        problems.into_iter().map(|problem| rough.censored(problem)).collect::<Vec<_>>()
    };
    let (mut config, mut errors) = (rough.config.clone(), rough.errors.clone());
    let tables = match Tables::open(&config, watcher, &sources.confined_to) {
        Ok((tables, notices)) => {
            config.notices.extend(censored(notices));
            tables
        }
        Err(problems) => {
            errors.extend(censored(problems));
            Tables::default()
        }
    };
    // What a rule with a problem would do to others is not known.
    if errors.is_empty() {
        config.notices.extend(pointless(&config));
    }
    // Without the rules that have a problem something else comes of most sessions.
    if errors.is_empty()
        && let Err(problems) = expect::check(&config, &tables)
    {
        errors.extend(censored(problems));
    }
    if errors.is_empty() {
        Ok(Loaded { config, tables })
    } else {
        Err(Problems { errors, notices: config.notices })
    }
}
