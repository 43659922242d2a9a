//! The command line.

#![warn(clippy::print_stdout, reason = "println! panics when `head` has read enough; sayln! does not")]

/// A line on standard output, as [`orders::say`] writes it.
macro_rules! sayln {
    ($($words:tt)*) => { $crate::cli::orders::say(&format!("{}\n", format_args!($($words)*))) };
}

mod args;
mod check_config;
mod completions;
mod demo;
mod dial;
mod doctor;
mod explain;
mod host;
mod key;
mod lookup;
mod map;
mod metrics_exporter;
mod migrate;
mod mta;
mod orders;
mod run;
mod show_config;
mod status;
mod words;

use clap::{CommandFactory as _, Parser as _};

use crate::config::{Config, Problems, Sources};
use crate::daemon::Exit;
use crate::gate::{self, Loaded, Rules, Tables};
use crate::policy::Facts;
use crate::smtp::{Dialog, Stage};
use crate::source::Watcher;
use crate::verdict::{Act, Finding, Outcome};
use args::{Args, Command};

/// Runs the program with the arguments of the process.
pub fn main() -> Exit {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            // --help and --version come this way too.
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let sources = args.sources();
    match args.command {
        Command::Run => run::run(sources),
        Command::CheckConfig => check_config::run(&sources),
        Command::ShowConfig(what) => show_config::run(&key::as_the_service(sources), &what),
        Command::Lookup(what) => lookup::run(&key::as_the_service(sources), &what),
        Command::Explain(what) => explain::run(&key::as_the_service(sources), &what),
        Command::Map(verb) => map::run(&sources, &verb),
        Command::Doctor(what) => doctor::run(&key::as_the_service(sources), &what),
        Command::Key(verb) => key::run(&sources, &verb),
        Command::Mta(what) => mta::run(&sources, &what),
        Command::Migrate(what) => migrate::run(&what),
        Command::Completions { shell } => completions::run(sources, shell),
        Command::ProbeSocket(what) => doctor::probe(&what),
        Command::Demo => demo::run(),
        Command::Status(what) => status::run(&what),
        Command::Reload(socket) => orders::reload(&socket),
        Command::Drain(socket) => orders::drain(&socket),
        Command::Cache(what) => orders::cache(&what),
        Command::MetricsExporter(what) => metrics_exporter::run(&sources.overrides, &what),
    }
}

/// The commands and options, for those who compare the manual with them.
pub fn command() -> clap::Command {
    Args::command()
}

/// Reads the configuration; what is wrong with it goes to standard error.
fn load(sources: &Sources) -> Option<Config> {
    told(Config::load(sources))
}

/// The same, opens the files of its lists, and plays its expectations.
fn load_tried(sources: &Sources, watcher: &Watcher) -> Option<Loaded> {
    told(gate::load(sources, watcher))
}

/// The files of a configuration's lists; what is wrong with them goes to standard error.
fn tables(config: &Config) -> Option<Tables> {
    let opened = Tables::open(config, &Watcher::default(), &[]);
    told(opened.map(|(tables, _)| tables).map_err(|errors| Problems { errors, notices: Vec::new() }))
}

fn told<T>(loaded: Result<T, Problems>) -> Option<T> {
    match loaded {
        Ok(loaded) => Some(loaded),
        Err(problems) => {
            for problem in &problems.errors {
                eprintln!("{problem}");
                if let Some(line) = problem.line() {
                    eprintln!("    {line}");
                }
            }
            None
        }
    }
}

/// What a finding leads to, as the log names it.
fn action(rules: &Rules, finding: &Finding) -> &'static str {
    let alone = [finding];
    let judgement = rules.policy.decide(alone, Stage::Mail, Facts::default, &Dialog::default());
    match (judgement.cause, finding.outcome) {
        (Some(cause), _) => cause.act.name(),
        (None, Outcome::Hit(_)) => Act::Log.name(),
        (None, _) => "accept",
    }
}
