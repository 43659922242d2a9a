//! `gatepost check-config`: what `run` would do, without doing it.

use crate::config::Sources;
use crate::daemon::{Account, Exit, Ownership, fixed_at_start};
use crate::gate::Loaded;
use crate::source::Watcher;

pub(super) fn run(sources: &Sources) -> Exit {
    let Some(Loaded { config, tables }) = super::load_tried(sources, &Watcher::default()) else {
        return Exit::Config;
    };
    let wide = config.origins().iter().map(|origin| origin.toml.len()).max().unwrap_or_default();
    for origin in config.origins() {
        sayln!("{:wide$} = {}  # {}", origin.toml, origin.value, origin.place);
    }
    for notice in &config.notices {
        eprintln!("{notice}");
    }
    for notice in fixed_at_start(&config) {
        eprintln!("{notice}");
    }
    if Account::is_needed() {
        // Root can read what the account cannot, and a start or a reload is the account's.
        let barred = Account::find(&config.user).and_then(|account| account.barred_from(&config.files));
        match barred {
            Err(error) => {
                eprintln!("user: {error}");
                return Exit::Config;
            }
            Ok(barred) if !barred.is_empty() => {
                for barred in &barred {
                    eprintln!("{barred}");
                }
                return Exit::Config;
            }
            Ok(_) => {}
        }
    }
    if let Err(error) = Ownership::find(&config) {
        eprintln!("{error}");
        return Exit::Config;
    }
    for (list, state) in tables.states() {
        let noun = if state.entries == 1 { "entry" } else { "entries" };
        sayln!("# list {list}: {} {noun} in {}", state.entries, state.path.display());
    }
    for members in tables.members() {
        let state = members.state();
        let noun = if state.entries == 1 { "member" } else { "members" };
        sayln!("# {} {noun} in {}", state.entries, state.path.display());
    }
    for map in tables.maps() {
        let entries = map.state().map_or(0, |state| state.entries);
        let noun = if entries == 1 { "entry" } else { "entries" };
        sayln!("# access map {}: {entries} {noun}", map.location());
    }
    match config.additions.expectations.len() {
        0 => {}
        1 => sayln!("# one expectation is met"),
        many => sayln!("# all {many} expectations are met"),
    }
    Exit::Ok
}
