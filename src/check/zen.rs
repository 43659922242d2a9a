//! The client's address against ZEN.

use std::sync::Arc;

use super::{Inquiry, Target};
use crate::dns::{Dns, Subject};
use crate::smtp::{Event, Needs, Stage};
use crate::verdict::{Identity, List, Skip};

/// The client's address against ZEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zen;

impl Zen {
    pub(super) const IDENTITIES: &[Identity] = &[Identity::Client];

    /// The submission service can be told by the daemon's name or port, which both must be asked for.
    pub(super) fn needs() -> Needs {
        Needs::default().event(Event::Connect).macros(Stage::Connect, &["{daemon_name}", "{daemon_port}"])
    }

    pub(super) fn begin(identity: Identity, target: &Target, dns: &Arc<Dns>) -> Inquiry {
        match target {
            Target::Ip(ip) => {
                let ticket = dns.ask(List::Zen, Subject::Ip(*ip));
                Inquiry::asked(List::Zen, identity, ip.to_string().into(), 0, ticket)
            }
            Target::Domain { .. } => Inquiry::skipped(List::Zen, identity, Skip::NoAddress),
            Target::Nothing(skip) => Inquiry::skipped(List::Zen, identity, *skip),
            Target::Trusted(trust) => Inquiry::trusted(List::Zen, identity, *trust),
        }
    }
}
