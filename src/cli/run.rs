//! `gatepost run`: the daemon.

use crate::config::{Config, Sources};
use crate::daemon::{Account, Daemon, Exit, Inherited, Ownership, PrivilegeError, StartError, signals};
use crate::dns::Source;
use crate::telemetry::{self, Destination};

pub(super) fn run(sources: Sources) -> Exit {
    signals::hold();
    // Before anything is opened: a number that was announced and is not ours must not become ours.
    let inherited = Inherited::take();
    let Some(config) = super::load(&sources) else { return Exit::Config };
    // Whoever reads a terminal sees these before anything else; the journal gets them too.
    if telemetry::start(config.log_level, Destination::detect()).is_err() {
        return Exit::Software;
    }
    for notice in &config.notices {
        tracing::warn!(event = "config", "{notice}");
    }
    match inherited.map_err(StartError::from).and_then(|inherited| serve(config, sources, inherited)) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            tracing::error!(event = "start", "{error}");
            match error {
                StartError::Privileges(PrivilegeError::Step { .. }) => Exit::Permission,
                StartError::Privileges(_) | StartError::Inherit(_) => Exit::Config,
                _ => Exit::Unavailable,
            }
        }
    }
}

fn serve(config: Config, mut sources: Sources, inherited: Inherited) -> Result<(), StartError> {
    if config.has_credential() {
        sources.credential.clone_from(&config.key);
    }
    // Accounts first: an unknown one must not leave a socket file behind.
    let account = if Account::is_needed() { Some(Account::find(&config.user)?) } else { None };
    Ownership::find(&config)?;
    let files = config.files.clone();
    let daemon = Daemon::new(config, Source::Resolver, inherited)?;
    if let Some(account) = &account {
        daemon.become_account(account)?;
        tracing::info!(event = "privileges", user = account.name(), "root is given up for good");
    }
    for file in files {
        if let Err(error) = std::fs::File::open(&file) {
            tracing::warn!(
                event = "config", file = %file.display(), %error,
                "a reload will not be able to read this file; let the account read it, by its group for example"
            );
        }
    }
    daemon.run(Box::new(move || Config::load(&sources)))
}
