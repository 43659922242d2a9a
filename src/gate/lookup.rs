//! Asks lists about one subject, past everything that spares it.
//!
//! The way is that of a session, so that whatever a list is and wherever it lies, the answer is the one that mail
//! would get.

use std::net::IpAddr;

use tokio::time::Instant;

use super::Gate;
use crate::check::{Listed, Target};
use crate::smtp::{Domain, Mailbox};
use crate::verdict::{Finding, Identities, Identity, Kind, List};

/// What lists are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An address.
    Ip(IpAddr),
    /// A domain.
    Domain(Domain),
    /// A mailbox: lists of domains are asked about its domain.
    Mailbox(Mailbox, Domain),
}

impl About {
    /// Whether a list knows subjects of this kind.
    pub fn suits(&self, list: List) -> bool {
        matches!(
            (self, list.kind()),
            (Self::Ip(_), Kind::Address)
                | (Self::Domain(_) | Self::Mailbox(..), Kind::Domain)
                | (Self::Mailbox(..), Kind::Mailbox(_))
        )
    }

    fn target(&self) -> (Identity, Target) {
        let named = |domain: &Domain, mailbox: Option<&Mailbox>| Target::Domain {
            domain: domain.clone(),
            trimmed: 0,
            mailbox: mailbox.cloned(),
        };
        match self {
            Self::Ip(ip) => (Identity::Client, Target::Ip(*ip)),
            Self::Domain(domain) => (Identity::Sender, named(domain, None)),
            Self::Mailbox(mailbox, domain) => (Identity::Sender, named(domain, Some(mailbox))),
        }
    }
}

impl Gate {
    /// Asks lists about a subject that suits them, all together, for as long as a stage may last.
    pub async fn look_up(&self, lists: impl IntoIterator<Item = List>, about: &About) -> Vec<Finding> {
        let (identity, target) = about.target();
        let begin = |list| {
            let table = self.rules.checks.iter().find(|check| check.list == list);
            let table = table.and_then(|check| check.table.clone());
            Listed { table, ..Listed::new(list) }.begin(identity, &target, None, &self.dns.moment())
        };
        let mut inquiries: Vec<_> = lists.into_iter().map(begin).collect();
        let deadline = Instant::now() + self.rules.stage_budget;
        let mut findings = Vec::with_capacity(inquiries.len());
        for inquiry in &mut inquiries {
            inquiry.settle(deadline).await;
            findings.push(inquiry.finding().clone());
        }
        findings
    }

    /// What sessions ask a list about; nothing if they do not ask it.
    pub fn asks_about(&self, list: List) -> Option<Identities> {
        self.rules.checks.iter().find(|check| check.list == list).map(|check| check.identities)
    }
}
