//! One question to one name server, by hickory-resolver.
//!
//! The library is used for what it does well: messages, identifiers, ports, matching, following aliases.
//! Which server is asked when, how long, and what is remembered is decided elsewhere: each resolver here knows
//! one server and one way to it, has no cache and tries once.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RecordType;
use tokio::runtime::{Handle, Id};

use super::answer::{Fault, Reply};
use super::question::Question;
use super::wire::{Wire, silently};

/// What we can take by UDP: what passes everywhere without fragments (DNS flag day 2020).
const PAYLOAD: u16 = 1_232;

/// How a question travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    Datagram,
    /// Another datagram while an answer to the first may still come. Has a resolver of its own, for one
    /// resolver joins equal questions under way.
    SecondDatagram,
    /// TCP.
    Connection,
}

type Built = HashMap<(Id, SocketAddr, Way), Arc<Resolver<Wire>>>;

/// The resolvers for datagrams, made when first needed. One belongs to the runtime that made it.
pub(super) struct Resolvers {
    options: ResolverOpts,
    built: Mutex<Built>,
}

impl Resolvers {
    /// At most `queries` questions at once, none of which is listened for longer than `patience`.
    pub(super) fn new(queries: usize, patience: Duration) -> Self {
        let mut options = ResolverOpts::default();
        options.timeout = patience;
        options.attempts = 0;
        options.num_concurrent_reqs = 1;
        options.max_active_requests = queries.max(1);
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.try_tcp_on_error = false;
        // Names are absolute and go to name servers only.
        options.ndots = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.recursion_desired = true;
        options.edns0 = true;
        options.edns_payload_len = PAYLOAD;
        // Forging an answer takes the key, which is in the question: the kernel's ports are good enough, and
        // never those that another program is about to use.
        options.os_port_selection = true;
        // The cache is ours, and so is the limit for a time to live.
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::from_secs(u32::MAX.into()));
        Self { options, built: Mutex::default() }
    }

    /// Asks `server` and waits for the response that belongs to the question, for ever if need be.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        way: Way,
        question: &Question,
    ) -> Result<Reply, Fault> {
        let Some(resolver) = self.resolver(server, way) else { return Err(Fault::Unreachable) };
        match silently(resolver.lookup(question.name().clone(), RecordType::A)).await {
            Ok(found) => Reply::found(found.message()),
            // Whoever asks has a clock of their own.
            Err(NetError::Timeout) => pending().await,
            Err(error) => Reply::not_found(&error),
        }
    }

    fn resolver(&self, server: SocketAddr, way: Way) -> Option<Arc<Resolver<Wire>>> {
        if way == Way::Connection {
            // Never an old connection: one that a firewall has forgotten would swallow question after question.
            return self.build(server, way).map(Arc::new);
        }
        let place = (Handle::current().id(), server, way);
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = built.get(&place) {
            return Some(Arc::clone(resolver));
        }
        let resolver = Arc::new(self.build(server, way)?);
        built.insert(place, Arc::clone(&resolver));
        Some(resolver)
    }

    fn build(&self, server: SocketAddr, way: Way) -> Option<Resolver<Wire>> {
        let mut connection = match way {
            Way::Datagram | Way::SecondDatagram => ConnectionConfig::udp(),
            Way::Connection => ConnectionConfig::tcp(),
        };
        connection.port = server.port();
        let server_config = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server_config]);
        Resolver::builder_with_config(config, Wire::to(server))
            .with_options(self.options.clone())
            .build()
            .ok()
    }
}
