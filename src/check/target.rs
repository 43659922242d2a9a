//! What a part of the dialog gives to ask about.

use std::net::IpAddr;

use super::Exempt;
use crate::smtp::{Client, Dialog, Domain, ReversePath, is_special};
use crate::verdict::{Identity, Skip, Trust};

/// What a part of the dialog gives to ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Ip(IpAddr),
    /// A domain; `trimmed` of its labels were illegal or to the left of such.
    Domain {
        /// The domain.
        domain: Domain,
        /// How many labels were left out.
        trimmed: usize,
    },
    /// Nothing.
    Nothing(Skip),
    /// Nothing, since an allow rule spares it.
    Trusted(Trust),
}

impl Target {
    /// Finds the target of an identity, or `None` if that part of the dialog has not happened.
    pub fn of(identity: Identity, dialog: &Dialog, exempt: &Exempt) -> Option<Self> {
        let raw = match identity {
            Identity::Client => Raw::Client,
            Identity::Helo => Raw::Helo(dialog.helo.as_deref()?),
            Identity::Sender => Raw::Sender(&dialog.transaction.as_ref()?.sender),
        };
        if let Some(trust) = exempt.session(dialog).or_else(|| exempt.identity(identity, dialog)) {
            return Some(Self::Trusted(trust));
        }
        let target = match raw {
            Raw::Client => address(dialog.client, exempt.asks_special()),
            Raw::Helo(name) => Domain::from_octets(name).map_or_else(
                |why| Self::Nothing(Skip::Domain(why)),
                |(domain, trimmed)| Self::Domain { domain, trimmed },
            ),
            Raw::Sender(path) => match ReversePath::parse(path) {
                ReversePath::Null => Self::Nothing(Skip::NullSender),
                ReversePath::NoDomain => Self::Nothing(Skip::NoDomain),
                ReversePath::Unusable(why) => Self::Nothing(Skip::Domain(why)),
                ReversePath::Domain { domain, trimmed } => Self::Domain { domain, trimmed },
            },
        };
        match &target {
            Self::Domain { domain, .. } => Some(exempt.domain(domain).map_or(target, Self::Trusted)),
            _ => Some(target),
        }
    }
}

enum Raw<'a> {
    Client,
    Helo(&'a [u8]),
    Sender(&'a [u8]),
}

fn address(client: Client, ask_special: bool) -> Target {
    match client.ip() {
        None => Target::Nothing(Skip::NoAddress),
        Some(ip) if is_special(ip) && !ask_special => Target::Nothing(Skip::Special),
        Some(ip) => Target::Ip(ip),
    }
}
