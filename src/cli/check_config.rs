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
        println!("{:wide$} = {}  # {}", origin.toml, origin.value, origin.place);
    }
    for notice in &config.notices {
        eprintln!("{notice}");
    }
    for notice in fixed_at_start(&config) {
        eprintln!("{notice}");
    }
    if Account::is_needed()
        && let Err(error) = Account::find(&config.user)
    {
        eprintln!("user: {error}");
        return Exit::Config;
    }
    if let Err(error) = Ownership::find(&config) {
        eprintln!("{error}");
        return Exit::Config;
    }
    for (list, state) in tables.states() {
        let noun = if state.entries == 1 { "entry" } else { "entries" };
        println!("# list {list}: {} {noun} in {}", state.entries, state.path.display());
    }
    match config.additions.expectations.len() {
        0 => {}
        1 => println!("# one expectation is met"),
        many => println!("# all {many} expectations are met"),
    }
    Exit::Ok
}
