//! A list, asked about parts of the dialog.

use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Inquiry, Target};
use crate::dns::{Moment, Subject};
use crate::list::{Entry, Table};
use crate::smtp::{Domain, Event, Mailbox, Needs, Stage};
use crate::source::Watched;
use crate::verdict::{Classes, Identities, Identity, Kind, List, Skip, Trust};

/// A list, and what it is asked about.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The list.
    pub list: List,
    /// What it is asked about.
    pub identities: Identities,
    /// The classes of sessions in which it is asked; nothing is those in which an identity of its kind is
    /// worth asking about.
    pub sessions: Option<Classes>,
    /// The table that answers in place of name servers, if the list is a file.
    pub table: Option<Arc<Watched<Table>>>,
}

impl Listed {
    /// A list, asked about what its kind is usually asked about.
    pub fn new(list: List) -> Self {
        let identities: &[Identity] = match list.kind() {
            Kind::Address => &[Identity::Client],
            Kind::Domain => &[Identity::Helo, Identity::Sender],
            Kind::Mailbox(_) => &[Identity::Sender],
        };
        Self { list, identities: identities.iter().copied().collect(), sessions: None, table: None }
    }

    /// What it needs to be told by the MTA.
    pub fn needs(&self) -> Needs {
        // The submission service can be told by the daemon's name or port, which both must be asked for.
        let mut needs = Needs::default().event(Event::Connect);
        needs = needs.macros(Stage::Connect, &["{daemon_name}", "{daemon_port}"]);
        for identity in self.identities.iter() {
            needs = match identity {
                Identity::Client => needs,
                Identity::ClientName => needs.macros(Stage::Connect, &["{client_ptr}"]),
                Identity::Helo | Identity::Sender => needs.event(Event::Helo).event(Event::Mail),
                Identity::Recipient => needs.event(Event::Mail).event(Event::Rcpt),
            };
        }
        if self.sessions.is_some() {
            needs = needs.event(Event::Mail);
        }
        if needs.events.contains(Event::Mail) {
            needs = needs.macros(Stage::Mail, &["{auth_authen}"]);
        }
        needs
    }

    /// Begins to ask about a target, unless something spares it. A table answers at once.
    pub fn begin(
        &self,
        identity: Identity,
        target: &Target,
        trust: Option<Trust>,
        now: &Moment<'_>,
    ) -> Inquiry {
        let inquiry = match (target, trust) {
            (&Target::Trusted(trust), _) | (_, Some(trust)) => Inquiry::trusted(self.list, identity, trust),
            (Target::Nothing(skip), _) => Inquiry::skipped(self.list, identity, *skip),
            (target, None) if let Some(table) = &self.table => {
                self.look_up(identity, target, &table.current())
            }
            (Target::Special(_), None) => Inquiry::skipped(self.list, identity, Skip::Special),
            (Target::Path { skip, .. }, None) => Inquiry::skipped(self.list, identity, *skip),
            (Target::Ip(ip), None) => match self.list.kind() {
                Kind::Address => {
                    let ticket = now.ask(self.list, Subject::Ip(*ip));
                    Inquiry::asked(self.list, identity, text(*ip), 0, ticket)
                }
                _ => Inquiry::skipped(self.list, identity, Skip::Kind),
            },
            (Target::Domain { domain, trimmed, mailbox }, None) => match self.list.kind() {
                Kind::Domain => self.ask_domain(identity, domain, *trimmed, now),
                Kind::Mailbox(_) => self.ask_mailbox(identity, mailbox.as_ref(), now),
                Kind::Address => Inquiry::skipped(self.list, identity, Skip::Kind),
            },
        };
        inquiry.in_sessions(self.sessions)
    }

    /// Looks into the table of a file. It knows what nobody else could be asked about: private addresses, and mailboxes
    /// without a domain.
    fn look_up(&self, identity: Identity, target: &Target, table: &Table) -> Inquiry {
        let found = |subject, entry: Option<Entry<'_>>| {
            Inquiry::looked_up(self.list, identity, subject, entry.as_ref())
        };
        match (self.list.kind(), target) {
            (Kind::Address, Target::Ip(ip) | Target::Special(ip)) => found(text(*ip), table.address(*ip)),
            (Kind::Domain, Target::Domain { domain, trimmed, .. }) => {
                found(domain.shared(), table.domain(domain)).trimmed(*trimmed)
            }
            (
                Kind::Mailbox(_),
                Target::Domain { mailbox: Some(mailbox), .. } | Target::Path { mailbox: Some(mailbox), .. },
            ) => {
                let entry = table.mailbox(&mailbox.local, mailbox.domain.as_ref());
                found(mailbox.address().into(), entry)
            }
            (Kind::Mailbox(_), Target::Path { skip: Skip::NullSender, .. }) => {
                found("<>".into(), table.mailbox("", None))
            }
            (_, Target::Path { skip, .. }) => Inquiry::skipped(self.list, identity, *skip),
            _ => Inquiry::skipped(self.list, identity, Skip::Kind),
        }
    }

    fn ask_domain(&self, identity: Identity, domain: &Domain, trimmed: usize, now: &Moment<'_>) -> Inquiry {
        let asked = now.fit(self.list, domain);
        let is_whole = asked.as_str().len() == domain.as_str().len();
        let trimmed = if is_whole { trimmed } else { trimmed + domain.labels() - asked.labels() };
        let ticket = now.ask(self.list, Subject::Domain(asked.clone()));
        Inquiry::asked(self.list, identity, asked.shared(), trimmed, ticket)
    }

    fn ask_mailbox(&self, identity: Identity, mailbox: Option<&Mailbox>, now: &Moment<'_>) -> Inquiry {
        let (Some(mailbox), Kind::Mailbox(digest)) = (mailbox, self.list.kind()) else {
            return Inquiry::skipped(self.list, identity, Skip::Kind);
        };
        let ticket = now.ask(self.list, Subject::mailbox(&uniform(mailbox), digest));
        Inquiry::asked(self.list, identity, mailbox.address().into(), 0, ticket)
    }
}

/// An address as text. Nothing is taken from the heap but what the finding keeps.
fn text(ip: IpAddr) -> Arc<str> {
    let mut text = [0; LONGEST];
    let mut rest = &mut text[..];
    // There is room for every address.
    let _ = write!(rest, "{ip}");
    let length = LONGEST - rest.len();
    str::from_utf8(&text[..length]).unwrap_or_default().into()
}

/// The longest text of an address: eight groups of four digits.
const LONGEST: usize = 39;

/// A mailbox in the form in which lists of digests keep it: one for all addresses of the same person.
fn uniform(mailbox: &Mailbox) -> String {
    let domain = mailbox.domain.as_ref().map_or("", Domain::as_str);
    let local = mailbox.local.split_once('+').map_or(&*mailbox.local, |(local, _)| local);
    match domain {
        "gmail.com" | "googlemail.com" => format!("{}@gmail.com", local.replace('.', "")),
        _ => format!("{local}@{domain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Digest;

    #[test]
    fn an_address_has_the_text_that_it_has_everywhere() {
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for address in
            ["192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "::ffff:255.255.255.255", longest]
        {
            let ip: IpAddr = address.parse().expect("an address");
            assert_eq!((&*text(ip), ip.to_string()), (address, address.to_owned()));
        }
    }

    // The digest is that of the test entry that Spamhaus documents.
    #[test]
    fn a_mailbox_has_one_digest_whatever_its_form() {
        let subject = |argument: &[u8]| {
            Subject::mailbox(&uniform(&Mailbox::parse(argument).expect("a mailbox")), Digest::Sha256Base32)
        };
        let listed = Subject::Mailbox("F3PDGTMWU6LFIGDJC67YNIWRY5ZRM7ERLETNFO36QAEQPMBPW2DA".into());
        assert_eq!(subject(b"<user@hbltest.com>"), listed);
        assert_eq!(subject(b"<User+news@HBLtest.com>"), listed);
        assert_eq!(subject(b"<a.b.c@googlemail.com>"), subject(b"<abc+x@gmail.com>"));
    }
}
