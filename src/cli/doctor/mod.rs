//! `gatepost doctor`: looks over the whole set-up, and says what to do about each thing that is wrong.
//!
//! Every check is one finding at least, also when all is well: what was not looked at must not look fine.

mod lists;
mod mail;
mod probe;
mod report;
mod running;
mod security;
mod service;
mod setup;

use super::args;
use super::host::endpoint::endpoints;
use super::host::postfix::Postfix;
use super::host::systemd::Unit;
use crate::config::{Config, Sources};
use crate::daemon::Exit;

pub(super) use probe::run as probe;
use report::Report;

pub(super) fn run(sources: &Sources, what: &args::Doctor) -> Exit {
    let mut report = Report::default();
    let rough = Config::read(sources);
    let strict = rough.clone().sound();
    let starts = strict.is_ok();
    // With no key as the only problem there is still much to look at.
    let config =
        match strict.or_else(|problems| Config::load(&sources.clone().without_key()).map_err(|_| problems)) {
            Ok(config) => {
                setup::configuration(&mut report, &config, sources);
                Some(config)
            }
            Err(problems) => {
                for problem in &problems.errors {
                    let text = format!("{}: {} {}", problem.place, problem.setting, problem.cause);
                    report.wrong("configuration", text, &problem.remedy);
                }
                lists::files(&mut report, &rough.config, &rough);
                None
            }
        };
    let postfix = Postfix::find();
    let unit = Unit::find("gatepost.service");
    if let Some(config) = &config {
        setup::account(&mut report, config, unit.as_ref());
        let key = setup::key(&mut report, config, starts, unit.as_ref());
        let listens = endpoints(config, postfix.as_ref().map(|postfix| &*postfix.queue));
        service::units(&mut report, unit.as_ref(), config);
        service::sockets(&mut report, &listens);
        running::look(&mut report, config);
        lists::files(&mut report, config, &rough);
        lists::name_servers(&mut report, config);
        if what.offline {
            report.skipped("lists", "not asked, as --offline says");
        } else {
            lists::ask(&mut report, config, key.as_ref());
        }
        mail::postfix(&mut report, postfix.as_ref(), config, &listens);
        mail::reach(&mut report, postfix.as_ref(), &listens);
        mail::sendmail(&mut report, &listens, config);
        security::labels(&mut report, &listens, unit.as_ref().and_then(Unit::process));
        security::process(&mut report, unit.as_ref().and_then(Unit::process));
    }
    setup::clock(&mut report);
    setup::journal(&mut report);
    setup::predecessor(&mut report, config.as_ref());
    report.print(what.json);
    report.exit()
}
