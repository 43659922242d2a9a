//! The tables of lists that are files: opened with a configuration, kept as long as a gate uses them.
//!
//! What a file means is `list`'s business, and when it is read that of `source`. Here is only which list has
//! which, and what of it is told like any problem of the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, ListFile, Place, Problem, out_of_reach};
use crate::limits::Limits;
use crate::list::access::{Options, Tag};
use crate::list::pattern::Classes;
use crate::list::{Fault, Table};
use crate::smtp::Stage;
use crate::source::{Map, Parse, Parsed, State, Watched, Watcher};
use crate::verdict::List;

/// The tables of one configuration: those of lists, and access maps.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    lists: Vec<(List, Arc<Watched<Table>>)>,
    maps: Vec<Map>,
}

impl Tables {
    /// Opens the files of all lists. What is watched already is not read again unless it has changed. Takes its time,
    /// so the caller should not be a thread of a runtime.
    ///
    /// The second value holds what is strange in the files but does no harm. Files of lists that are left out for another
    /// problem are looked at, too.
    ///
    /// # Errors
    /// What is wrong with each file, every line of it; also with one that is in use in an older form. A file that a sandbox
    /// keeps from the process (see [`Sources::confined_to`](crate::config::Sources::confined_to)) is told with the
    /// restart.
    pub fn open(
        config: &Config,
        watcher: &Watcher,
        confined_to: &[PathBuf],
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        // Whoever starts or reloads wants what is in the files now.
        watcher.refresh();
        let (mut tables, mut errors, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        let lists = config.additions.lists.iter();
        let whole = lists.filter_map(|own| Some((own.list.name(), Some(own.list), own.file.as_ref()?)));
        let loose = config.additions.loose_files.iter().map(|(name, file)| (&**name, None, file));
        for (name, list, file) in whole.chain(loose) {
            let setting = format!("list.{name}.file");
            if let Some(problem) = outside(&file.path, &file.place, &setting, confined_to) {
                errors.push(problem);
                continue;
            }
            let told = |faults: Vec<Fault>| {
                faults.into_iter().map(|fault| problem(&file.path, &setting, fault)).collect::<Vec<_>>()
            };
            match watcher.open(&file.path, &form(file), Limits::default().list_file, parse(file)) {
                Ok(table) => {
                    let state = table.state();
                    notices.extend(told(state.warnings));
                    match state.failed {
                        Some(failed) => errors.extend(told(failed.faults)),
                        None => tables.extend(list.map(|list| (list, table))),
                    }
                }
                Err(failure) => errors.extend(told(failure.faults)),
            }
        }
        let maps = open_maps(config, watcher, confined_to, &mut errors, &mut notices);
        // Two lists can be made of one file.
        notices.dedup();
        errors.dedup();
        if errors.is_empty() { Ok((Self { lists: tables, maps }, notices)) } else { Err(errors) }
    }

    /// How the file of each list does.
    pub fn states(&self) -> impl Iterator<Item = (List, State)> {
        self.lists.iter().map(|(list, table)| (*list, table.state()))
    }

    /// The access maps, in the order in which they are asked.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// The table of a list.
    pub fn find(&self, list: List) -> Option<&Arc<Watched<Table>>> {
        self.lists.iter().find(|(of, _)| *of == list).map(|(_, table)| table)
    }
}

/// Opens the access maps. A map with something wrong in it is no map, and its lines are told.
fn open_maps(
    config: &Config,
    watcher: &Watcher,
    confined_to: &[PathBuf],
    errors: &mut Vec<Problem>,
    notices: &mut Vec<Problem>,
) -> Vec<Map> {
    let (setting, place) = ("access.map", config.place_of("access.map"));
    let mut maps = Vec::with_capacity(config.access.map.len());
    for location in &config.access.map {
        let path = location.path();
        if let Some(problem) = path.and_then(|path| outside(path, &place, setting, confined_to)) {
            errors.push(problem);
            continue;
        }
        let told = |fault: Fault| match path {
            Some(path) => problem(path, setting, fault),
            None => Problem { place: place.clone(), ..problem(Path::new(""), setting, fault) },
        };
        match Map::open(location, &options(config), watcher) {
            Ok(map) => {
                notices.extend(map.state().into_iter().flat_map(|state| state.warnings).map(told));
                notices.extend(unheard(config, &map, &place));
                maps.push(map);
            }
            Err(faults) => errors.extend(faults.into_iter().map(told)),
        }
    }
    maps
}

/// What is to be told of a map whose friends do not get what they are promised.
fn unheard(config: &Config, map: &Map, place: &Place) -> Option<Problem> {
    let stage = config.enforce_stage;
    let is_late = stage < Stage::Rcpt && map.has(Tag::Spam);
    is_late.then(|| Problem {
        place: place.clone(),
        setting: "access.map".to_owned(),
        cause: format!(
            "{} has Spam: keys, but lists refuse mail from {stage} on, before there is a recipient",
            map.location()
        ),
        remedy: "set enforce.stage = \"rcpt\"".to_owned(),
    })
}

/// How the maps of a configuration are read.
pub fn options(config: &Config) -> Options {
    let access = &config.access;
    let classes = if access.glob_classes { Classes::On } else { Classes::Off };
    Options { syntax: access.syntax, duplicates: access.duplicates, comments: access.comments, classes }
}

/// All that the parse function depends on.
fn form(file: &ListFile) -> String {
    format!("{} {}", file.format.name(), file.entries.name())
}

fn parse(file: &ListFile) -> Parse<Table> {
    let (format, entries) = (file.format, file.entries);
    Box::new(move |octets| {
        let (table, warnings) = Table::parse(format, entries, octets)?;
        Ok(Parsed { entries: table.entries(), value: table, warnings })
    })
}

fn problem(path: &Path, setting: &str, fault: Fault) -> Problem {
    Problem {
        place: Place::line(path, fault.line),
        setting: setting.to_owned(),
        cause: fault.cause,
        remedy: fault.remedy,
    }
}

/// What is to be told of a file that the sandbox of this process keeps from it.
fn outside(path: &Path, place: &Place, setting: &str, confined_to: &[PathBuf]) -> Option<Problem> {
    let remedy = out_of_reach(path, confined_to)?;
    Some(Problem {
        place: place.clone(),
        setting: setting.to_owned(),
        cause: "the file cannot be read before a restart".to_owned(),
        remedy,
    })
}
