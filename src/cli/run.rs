//! `gatepost run`: the daemon.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{Gid, Group};

use crate::config::Sources;
use crate::daemon::{
    Account, Daemon, Exit, Inherited, Ownership, PrivilegeError, StartError, signals, tell_notices,
};
use crate::dns::Source;
use crate::gate::{self, Loaded};
use crate::source::{self, Watcher};
use crate::telemetry::{self, Destination};

pub(super) fn run(sources: Sources) -> Exit {
    signals::hold();
    // Before anything is opened: a number that was announced and is not ours must not become ours.
    let inherited = Inherited::take();
    let watcher = Watcher::default();
    let Some(loaded) = super::load_tried(&sources, &watcher) else { return Exit::Config };
    // Whoever reads a terminal sees these before anything else; the journal gets them too.
    if telemetry::start(loaded.config.log_level, Destination::detect()).is_err() {
        return Exit::Software;
    }
    tell_notices(&loaded.config);
    let exit = match inherited
        .map_err(StartError::from)
        .and_then(|inherited| serve(loaded, watcher, sources, inherited))
    {
        Ok(()) => Exit::Ok,
        Err(error) => {
            tracing::error!(event = "start", "{error}");
            match error {
                StartError::Privileges(PrivilegeError::Step { .. } | PrivilegeError::Gap(_)) => {
                    Exit::Permission
                }
                StartError::Privileges(_) | StartError::Inherit(_) => Exit::Config,
                _ => Exit::Unavailable,
            }
        }
    };
    telemetry::flush();
    exit
}

fn serve(
    loaded: Loaded,
    watcher: Watcher,
    mut sources: Sources,
    inherited: Inherited,
) -> Result<(), StartError> {
    let config = &loaded.config;
    if config.has_credential() {
        sources.credential.clone_from(&config.key);
    }
    // Accounts first: an unknown one must not leave a socket file behind.
    let account = if Account::is_needed() { Some(Account::find(&config.user)?) } else { None };
    Ownership::find(config)?;
    let files = config.files.clone();
    // While names can still be looked up.
    let group = account.as_ref().map_or_else(Gid::effective, |account| Gid::from_raw(account.group()));
    let group = Group::from_gid(group).ok().flatten().map_or_else(|| group.to_string(), |group| group.name);
    let mut daemon = Daemon::new(loaded, Source::Resolver, inherited)?;
    daemon.confine(account.as_ref())?;
    if let Some(account) = &account {
        tracing::info!(event = "privileges", user = account.name(), "root is given up for good");
    }
    sources.confined_to = daemon.readable();
    for file in &files {
        try_to_read(file, &group);
    }
    let watcher = Arc::new(watcher);
    let ours = Arc::clone(&watcher);
    daemon.run(&watcher, Box::new(move || gate::load(&sources, &ours)))
}

/// Says so if a reload will fail for lack of a permission that the start had.
fn try_to_read(file: &Path, group: &str) {
    let Err(error) = source::open(file) else { return };
    let mode = std::fs::metadata(file).map(|about| {
        let owners = format!("{}:{}", about.uid(), about.gid());
        format!("{:04o}, owner {owners}", about.mode() & 0o7777)
    });
    let path = file.display();
    tracing::warn!(
        event = "config", file = %path, mode = mode.unwrap_or_default(), %error,
        "a reload will not be able to read this file; chgrp {group} {path} && chmod g+r {path}, and let that group \
         into its directory"
    );
}
