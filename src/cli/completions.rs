//! `gatepost completions`: for a shell, on standard output.

use clap::builder::PossibleValuesParser;
use clap_complete::{Shell, generate};

use crate::config::{Config, Sources};
use crate::daemon::Exit;
use crate::verdict::List;

pub(super) fn run(sources: Sources, shell: Shell) -> Exit {
    let names = lists(sources);
    let mut command = super::command();
    for (verb, arguments) in [("lookup", &["list"][..]), ("cache", &["list", "named"])] {
        let names = PossibleValuesParser::new(&names);
        command = command.mut_subcommand(verb, |mut verb| {
            for argument in arguments {
                verb = verb.mut_arg(argument, |argument| argument.value_parser(names.clone()));
            }
            verb
        });
    }
    generate(shell, &mut command, "gatepost", &mut std::io::stdout());
    Exit::Ok
}

/// The lists that there are: those of the administrator's too, if the configuration can be read.
fn lists(sources: Sources) -> Vec<&'static str> {
    let config = Config::load(&sources.without_key());
    let own = config.map(|config| config.additions.lists).unwrap_or_default();
    List::DQS.into_iter().chain(own.into_iter().map(|own| own.list)).map(List::name).collect()
}
