//! What all checks of domain names have in common.

use std::sync::Arc;

use super::{Inquiry, Target};
use crate::dns::{Dns, Subject};
use crate::smtp::{Event, Needs, Stage};
use crate::verdict::{Identity, List, Skip};

pub(super) const IDENTITIES: &[Identity] = &[Identity::Helo, Identity::Sender];

pub(super) fn needs() -> Needs {
    Needs::default()
        .event(Event::Connect)
        .event(Event::Helo)
        .event(Event::Mail)
        .macros(Stage::Connect, &["{daemon_name}", "{daemon_port}"])
        .macros(Stage::Mail, &["{auth_authen}"])
}

pub(super) fn begin(list: List, identity: Identity, target: &Target, dns: &Arc<Dns>) -> Inquiry {
    match target {
        Target::Domain { domain, trimmed } => {
            let asked = dns.fit(list, domain);
            let trimmed = trimmed + domain.labels() - asked.labels();
            let ticket = dns.ask(list, Subject::Domain(asked.clone()));
            Inquiry::asked(list, identity, asked.shared(), trimmed, ticket)
        }
        // An address is no domain: the lists answer such questions with an error code.
        Target::Ip(_) => Inquiry::skipped(list, identity, Skip::NoDomain),
        Target::Nothing(skip) => Inquiry::skipped(list, identity, *skip),
        Target::Trusted(trust) => Inquiry::trusted(list, identity, *trust),
    }
}
