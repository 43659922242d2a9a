//! `gatepost explain`: plays an SMTP session and tells what every list and every rule makes of it.

mod play;
mod show;

use std::sync::Arc;

use super::args;
use crate::config::Sources;
use crate::daemon::Exit;
use crate::dns::{Dns, Source};
use crate::gate::Gate;
use play::{Played, Session};

pub(super) fn run(sources: &Sources, what: &args::Explain) -> Exit {
    let Some(config) = super::load(sources) else { return Exit::Config };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::Unavailable;
    };
    runtime.block_on(async {
        let dns = Dns::new((&config).into(), config.key.clone(), Source::Resolver);
        let gate = Gate::compile(&config, Arc::clone(&dns));
        let played = Session::from(what).play(&gate).await;
        let policy = &gate.rules().policy;
        if what.json {
            println!("{}", played.json(policy));
        } else {
            played.print(policy);
        }
        played.exit()
    })
}

impl From<&args::Explain> for Session {
    fn from(what: &args::Explain) -> Self {
        let octets = |text: &Option<String>| text.clone().map(String::into_bytes);
        Self {
            client: what.client,
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
