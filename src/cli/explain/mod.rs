//! `gatepost explain`: plays an SMTP session and tells what every list and every rule makes of it.

mod play;
mod record;
mod replay;
mod show;
mod via;

use std::io::{self, Read as _};
use std::sync::Arc;

use super::args::{self, STDIN};
use super::orders::say_json;
use crate::config::Sources;
use crate::daemon::Exit;
use crate::dns::{Dns, Source};
use crate::gate::Gate;
use play::{Played, Session};

/// Octets of a log that are read: some 100,000 lines.
const MOST: u64 = 64 << 20;

pub(super) fn run(sources: &Sources, what: &args::Explain) -> Exit {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::Unavailable;
    };
    if let Some(socket) = &what.via {
        return runtime.block_on(via::run(socket, &Session::from(what), what.json));
    }
    let Some(config) = super::load(sources) else { return Exit::Config };
    let Some(tables) = super::tables(&config) else { return Exit::Config };
    let log = match what.replay.as_deref().map(log).transpose() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("standard input: {error}");
            return Exit::Io;
        }
    };
    runtime.block_on(async {
        let dns = Dns::new((&config).into(), config.key.clone(), Source::Resolver);
        let gate = Gate::compile(&config, &tables, Arc::clone(&dns));
        if let Some(log) = log {
            return replay::run(&config, &gate, what, &log).await;
        }
        let played = Session::from(what).play(&gate).await;
        let policy = &gate.rules().policy;
        if what.json {
            say_json(&played.json(policy));
        } else {
            played.print(policy);
        }
        played.exit()
    })
}

/// The lines of a log: given, or on standard input.
fn log(given: &str) -> io::Result<String> {
    if given != STDIN {
        return Ok(given.to_owned());
    }
    let mut octets = Vec::new();
    io::stdin().lock().take(MOST).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

impl From<&args::Explain> for Session {
    fn from(what: &args::Explain) -> Self {
        let octets = |text: &Option<String>| text.clone().map(String::into_bytes);
        Self {
            client: what.client,
            is_local: false,
            client_name: octets(&what.client_name),
            helo: octets(&what.helo),
            sender: octets(&what.from),
            recipients: what.rcpt.iter().map(|address| address.clone().into_bytes()).collect(),
            login: what.auth.clone(),
            port: what.port,
            daemon: what.daemon.clone(),
        }
    }
}

impl Played {
    fn exit(&self) -> Exit {
        let is_lost = matches!(self.act(), Some((crate::verdict::Act::Discard, _)));
        if is_lost || self.scenes.iter().any(|scene| scene.reply.is_some()) {
            Exit::Listed
        } else if self.is_doubtful() {
            Exit::Unknown
        } else {
            Exit::Ok
        }
    }
}
