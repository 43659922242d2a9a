//! How lists are asked, and from what.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Key;
use crate::limits::Limits;
use crate::smtp::Domain;
use crate::verdict::{List, Trouble};

/// How and whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// The lists in use: only these are probed and show up in [`Dns::health`](super::Dns::health).
    pub lists: Vec<List>,
    /// The keys of lists that have one of their own.
    pub keys: Vec<(List, Arc<Key>)>,
    /// What follows key and list in a queried name; `dq.spamhaus.net`.
    pub zone_base: Domain,
    /// The longest time for one answer, all tries together.
    pub lifetime: Duration,
    /// The longest time before another try is made.
    pub per_try: Duration,
    /// Answers remembered at most; 0 for none.
    pub cache_max: usize,
    /// The longest time to remember a listing.
    pub ttl_listed: Duration,
    /// The longest time to remember that there is no listing.
    pub ttl_unlisted: Duration,
    /// Whether the time to live of an answer counts; if not, the two times above are used as they stand.
    pub honor_ttl: bool,
    /// The time between two routine probes of a list; zero for none.
    pub probe_interval: Duration,
    /// Questions to DQS in a day (UTC) of which a warning is logged; 0 for none.
    pub query_budget: usize,
    /// Questions on the wire at once.
    pub queries: usize,
    /// Questions that may wait for that.
    pub waiting_queries: usize,
}

impl Default for Settings {
    /// A name server on this host, and the figures of the Python milter.
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            servers: vec![([127, 0, 0, 1], 53).into(), ([0, 0, 0, 0, 0, 0, 0, 1], 53).into()],
            lists: vec![List::ZEN, List::DBL, List::ZRD],
            keys: Vec::new(),
            zone_base: Domain::from_setting("dq.spamhaus.net").expect("a legal name"),
            lifetime: Duration::from_millis(1_800),
            per_try: Duration::from_millis(700),
            cache_max: 20_000,
            ttl_listed: Duration::from_mins(10),
            ttl_unlisted: Duration::from_mins(5),
            honor_ttl: true,
            probe_interval: Duration::from_mins(15),
            query_budget: 0,
            queries: limits.queries,
            waiting_queries: limits.waiting_queries,
        }
    }
}

/// Where answers come from.
#[derive(Clone)]
pub enum Source {
    /// Name servers.
    Resolver,
    /// A table in memory, for the demonstration and for tests. Needs no key and is not probed.
    Table(Arc<dyn Answers>),
}

/// A table of answers.
pub trait Answers: Send + Sync {
    /// The A records of a name, which is the queried one without key and zone base, such as
    /// `2.0.0.127.zen`. None: not listed.
    fn answer(&self, name: &str) -> Vec<Ipv4Addr>;

    /// The trouble with asking about a name, if there is any.
    fn trouble(&self, _name: &str) -> Option<Trouble> {
        None
    }
}
