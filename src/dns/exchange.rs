//! One question to one name server, by a datagram or by hickory-resolver over TCP.
//!
//! The library is used for what it does well: connections, and following aliases on them.
//! Which server is asked when, how long, and what is remembered is decided elsewhere: each resolver here knows
//! one server, has no cache and tries once.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::RecordType;
use tokio::runtime::{Handle, Id};

use super::answer::{Fault, Reply};
use super::line::{Lines, ask_alone};
use super::query::PAYLOAD;
use super::question::Question;
use super::wire::{Wire, silently};

/// How many aliases are followed, one question each: about as many as the library follows.
const ALIASES: usize = 8;

/// How a question travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// The ways to the name servers. A socket belongs to the runtime that made it.
pub(super) struct Exchange {
    options: ResolverOpts,
    lines: Mutex<HashMap<(Id, SocketAddr), Arc<Lines>>>,
}

impl Exchange {
    /// No connection is listened to for longer than `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        let mut options = ResolverOpts::default();
        options.timeout = patience;
        options.attempts = 0;
        options.num_concurrent_reqs = 1;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.try_tcp_on_error = false;
        // Names are absolute and go to name servers only.
        options.ndots = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.recursion_desired = true;
        options.edns0 = true;
        options.edns_payload_len = PAYLOAD;
        // The cache is ours, and so is the limit for a time to live.
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::from_secs(u32::MAX.into()));
        Self { options, lines: Mutex::default() }
    }

    /// Asks `server` once and waits for the response that belongs to the question, for ever if need be.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        transport: Transport,
        question: &Question,
    ) -> Result<Reply, Fault> {
        match transport {
            Transport::Udp => self.send_and_follow(server, question).await,
            Transport::Tcp => self.connect_and_ask(server, question).await,
        }
    }

    /// A name server that leaves it to its client to look where an alias leads is asked about that, too. A chain without an end
    /// says nothing about the subject.
    async fn send_and_follow(&self, server: SocketAddr, question: &Question) -> Result<Reply, Fault> {
        let mut reply = self.send(server, question).await?;
        for _ in 0..ALIASES {
            let Some(target) = reply.alias.take() else { break };
            reply = self.send(server, &Question::of(target)).await?;
        }
        if reply.alias.is_some() { Err(Fault::Garbled) } else { Ok(reply) }
    }

    async fn send(&self, server: SocketAddr, question: &Question) -> Result<Reply, Fault> {
        if server.ip().is_loopback() {
            self.lines(server).ask(server, question).await
        } else {
            silently(ask_alone(server, question)).await
        }
    }

    fn lines(&self, server: SocketAddr) -> Arc<Lines> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry((Handle::current().id(), server)).or_default())
    }

    /// Never over an old connection: one that a firewall has forgotten would swallow question after question.
    async fn connect_and_ask(&self, server: SocketAddr, question: &Question) -> Result<Reply, Fault> {
        let Some(resolver) = self.resolver(server) else { return Err(Fault::Unreachable) };
        let mut name = question.name().clone();
        // The library does not tell the end of a chain of aliases from where it had enough of it: only who asks there does.
        for _ in 0..2 {
            let error = match silently(resolver.lookup(name.clone(), RecordType::A)).await {
                Ok(found) => return Reply::found(found.message(), &name),
                // Whoever asks has a clock of their own.
                Err(NetError::Timeout) => pending().await,
                Err(error) => error,
            };
            match &error {
                NetError::Dns(DnsError::NoRecordsFound(nothing)) if *nothing.query.name() != name => {
                    name = nothing.query.name().clone();
                }
                _ => return Reply::not_found(&error),
            }
        }
        Err(Fault::Garbled)
    }

    fn resolver(&self, server: SocketAddr) -> Option<Resolver<Wire>> {
        let mut connection = ConnectionConfig::tcp();
        connection.port = server.port();
        let server_config = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server_config]);
        Resolver::builder_with_config(config, Wire::to(server))
            .with_options(self.options.clone())
            .build()
            .ok()
    }
}
