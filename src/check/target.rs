//! What a part of the dialog gives to ask about.

use std::net::IpAddr;

use super::Exempt;
use crate::smtp::{Client, Dialog, Domain, Mailbox, ReversePath, is_special};
use crate::verdict::{Identity, Skip, Trust};

/// What a part of the dialog gives to ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Ip(IpAddr),
    /// A special-purpose address: nothing that anybody else could know about.
    Special(IpAddr),
    /// A domain; `trimmed` of its labels were illegal or to the left of such.
    Domain {
        /// The domain.
        domain: Domain,
        /// How many labels were left out.
        trimmed: usize,
        /// The mailbox, if it is that of one and a list looks at mailboxes.
        mailbox: Option<Mailbox>,
    },
    /// A path without a domain that could be asked about.
    Path {
        /// Why there is no domain.
        skip: Skip,
        /// The mailbox, if it is that of one and a list looks at mailboxes; nothing for the null reverse-path.
        mailbox: Option<Mailbox>,
    },
    /// Nothing.
    Nothing(Skip),
    /// Nothing, since an allow rule spares it.
    Trusted(Trust),
}

impl Target {
    /// Finds the target of an identity, or `None` if that part of the dialog has not happened. A mailbox
    /// is made out only if `mailboxes` matter.
    pub fn of(identity: Identity, dialog: &Dialog, exempt: &Exempt, mailboxes: bool) -> Option<Self> {
        let raw = match identity {
            Identity::Client => Raw::Client,
            Identity::ClientName => Raw::Name(client_name(dialog)),
            Identity::Helo => Raw::Name(dialog.helo.as_deref()?),
            Identity::Sender => Raw::Path(&dialog.transaction.as_ref()?.sender),
            Identity::Recipient => Raw::Path(&dialog.transaction.as_ref()?.recipients.last()?.address),
        };
        if let Some(trust) = exempt.session(dialog) {
            return Some(Self::Trusted(trust));
        }
        let target = match raw {
            Raw::Client => address(dialog.client, exempt.asks_special()),
            Raw::Name(b"") => Self::Nothing(Skip::NoName),
            Raw::Name(name) => Domain::from_octets(name).map_or_else(
                |why| Self::Nothing(Skip::Domain(why)),
                |(domain, trimmed)| Self::Domain { domain, trimmed, mailbox: None },
            ),
            Raw::Path(path) => {
                let mailbox = if mailboxes { Mailbox::parse(path) } else { None };
                match ReversePath::parse(path) {
                    ReversePath::Null => Self::Path { skip: Skip::NullSender, mailbox: None },
                    ReversePath::NoDomain => Self::Path { skip: Skip::NoDomain, mailbox },
                    ReversePath::Unusable(why) => Self::Path { skip: Skip::Domain(why), mailbox },
                    ReversePath::Domain { domain, trimmed } => Self::Domain { domain, trimmed, mailbox },
                }
            }
        };
        match &target {
            // A recipient is one of ours, or one of a customer's: that spares nobody.
            Self::Domain { domain, .. } if identity != Identity::Recipient => {
                Some(exempt.domain(domain).map_or(target, Self::Trusted))
            }
            _ => Some(target),
        }
    }
}

enum Raw<'a> {
    Client,
    Name(&'a [u8]),
    Path(&'a [u8]),
}

/// The name that the client's address has in DNS, whether it leads back to the address or not; empty if there
/// is none.
fn client_name(dialog: &Dialog) -> &[u8] {
    let name = dialog.macros.find("{client_ptr}").unwrap_or(&dialog.client_name);
    // What MTAs write when there is no name.
    if name.eq_ignore_ascii_case(b"unknown") || name.starts_with(b"[") { b"" } else { name }
}

fn address(client: Client, ask_special: bool) -> Target {
    match client.ip() {
        None => Target::Nothing(Skip::NoAddress),
        Some(ip) if is_special(ip) && !ask_special => Target::Special(ip),
        Some(ip) => Target::Ip(ip),
    }
}
