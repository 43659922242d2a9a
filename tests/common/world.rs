//! The daemon's inside, end to end: settings, gate, server, and the scripted name server.

use std::sync::Arc;

use gatepost::config::Config;
use gatepost::dns::{Dns, Source};
use gatepost::gate::{Gate, Tables};
use gatepost::limits::Limits;
use gatepost::server::{Listen, Server};
use tokio::task::JoinHandle;

use super::nameserver::NameServer;
use super::phone::Phone;

/// As long as a real key, and none.
pub const KEY: &str = "w0rldw0rldw0rldw0rldw0rldw";

/// A filter that listens on a free port of 127.0.0.1 and asks a scripted name server.
pub struct World {
    pub names: NameServer,
    pub dns: Arc<Dns>,
    pub server: Server<Gate>,
    pub port: u16,
    serving: JoinHandle<()>,
}

impl World {
    /// A world with these settings, written `NAME=value` as in the env file without prefixes.
    ///
    /// A name server is set unless the settings have another; the key is [`KEY`].
    pub async fn new(settings: &[&str]) -> Self {
        Self::with(NameServer::start().await, settings)
    }

    /// A world around a name server.
    pub fn with(names: NameServer, settings: &[&str]) -> Self {
        let config = config(&names, settings);
        let dns = Dns::new((&config).into(), config.key.clone(), Source::Resolver);
        let server =
            Server::new(Gate::compile(&config, &Tables::default(), Arc::clone(&dns)), Limits::from(&config));
        let listen: Listen = "inet:0@127.0.0.1".parse().expect("an endpoint");
        let sockets = listen.bind(0o600).expect("a free port");
        let &Listen::Inet { port, .. } = sockets[0].listen() else { unreachable!("it is TCP") };
        let handle = server.clone();
        let serving = tokio::spawn(async move { handle.serve(&sockets).await.expect("a server") });
        Self { names, dns, server, port, serving }
    }

    /// What the daemon does at SIGHUP.
    pub fn reload(&self, settings: &[&str]) {
        let config = config(&self.names, settings);
        self.dns.reconfigure((&config).into());
        self.dns.set_key(config.key.clone());
        self.server.replace(Gate::compile(&config, &Tables::default(), Arc::clone(&self.dns)));
    }

    /// A mail server that has connected and negotiated.
    pub async fn call(&self) -> Phone {
        Phone::dial(self.port).await
    }

    /// What a client at this address hears at CONNECT.
    pub async fn connect(&self, address: &str) -> String {
        self.call().await.connect(address).await
    }

    /// What a client without fault hears at HELO with this name.
    pub async fn helo(&self, name: impl AsRef<[u8]>) -> String {
        let mut phone = self.call().await;
        assert_eq!(phone.connect(CLEAN).await, "continue");
        phone.helo(name).await
    }

    /// What a client without fault hears at MAIL from this sender.
    pub async fn from(&self, sender: impl AsRef<[u8]>) -> String {
        let mut phone = self.call().await;
        assert_eq!(phone.connect(CLEAN).await, "continue");
        phone.from(sender).await
    }
}

/// A client that no test lists.
pub const CLEAN: &str = "8.8.200.200";

/// What the clean client is asked as; to be left out of what a test counts.
pub const CLEAN_NAME: &str = "200.200.8.8.zen";

impl World {
    /// The names asked for so far, without the clean client's, in order of the alphabet.
    pub fn asked(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.asked().into_iter().map(|asked| asked.name).collect();
        names.retain(|name| name != CLEAN_NAME);
        names.sort();
        names
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An env file of settings without their prefix.
pub fn env_file<'l>(settings: impl IntoIterator<Item = &'l str>) -> String {
    settings.into_iter().flat_map(|line| ["SPAMHAUS_DQS_", line, "\n"]).collect()
}

/// The configuration of a world.
pub fn config(names: &NameServer, settings: &[&str]) -> Config {
    let own = [format!("API_KEY={KEY}"), format!("NAMESERVERS={}", names.address())];
    let replaced =
        |line: &str| settings.iter().any(|other| other.split('=').next() == line.split('=').next());
    let own = own.iter().map(String::as_str).filter(|line| !replaced(line));
    Config::from_texts(&env_file(own.chain(settings.iter().copied())), "")
        .unwrap_or_else(|problems| panic!("{problems}"))
}
