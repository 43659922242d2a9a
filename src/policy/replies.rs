//! The words of every SMTP reply.

use super::{Tag, Template};
use crate::smtp::Reply;
use crate::verdict::{Act, Finding, Identity, List, Outcome};

/// Whose words the replies use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyStyle {
    /// Replies that name the list and where to ask.
    Own,
    /// The texts of the Python milter, word for word.
    Python,
}

/// A reply for each case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replies {
    /// The client's address is in ZEN.
    pub zen: Template,
    /// The client's address is in `AuthBL`.
    pub authbl: Template,
    /// The client's name is listed in DBL.
    pub name: Template,
    /// The HELO name is listed in DBL.
    pub helo: Template,
    /// The sender's domain is listed in DBL.
    pub sender: Template,
    /// The client's name is in ZRD.
    pub young_name: Template,
    /// The HELO name is in ZRD.
    pub young_helo: Template,
    /// The sender's domain is in ZRD.
    pub young_sender: Template,
    /// A list cannot be reached.
    pub trouble: Template,
    /// The sum of several rules is too high.
    pub score: Template,
    /// The header field of a tag.
    pub tag: Tag,
    others: Others,
}

/// The words about lists of the administrator's, by identity, and about rules without a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Others {
    client: Template,
    name: Template,
    helo: Template,
    sender: Template,
    recipient: Template,
    met: Template,
}

impl Replies {
    /// The built-in words.
    pub fn new(style: ReplyStyle) -> Self {
        let words = match style {
            ReplyStyle::Own => [
                "554 5.7.1 Client host [{ip}] blocked by Spamhaus {list}; see https://check.spamhaus.org/query/ip/{ip}",
                "550 5.7.1 HELO name {domain} blocked by Spamhaus {zone}; \
                 see https://check.spamhaus.org/query/domain/{domain}",
                "550 5.7.1 Sender domain {domain} blocked by Spamhaus {zone}; \
                 see https://check.spamhaus.org/query/domain/{domain}",
                "550 5.7.1 HELO name {domain} is newly observed (no reputation yet); try again after 24 hours",
                "550 5.7.1 Sender domain {domain} is newly observed (no reputation yet); try again after 24 hours",
            ],
            ReplyStyle::Python => [
                "554 5.7.1 Connecting IP address is rejected due to a security policy violation.",
                "550 5.7.1 HELO domain is rejected due to a security policy violation.",
                "550 5.7.1 Sender domain is rejected due to a security policy violation.",
                "550 5.7.1 Policy rejection: HELO domain has no established reputation.",
                "550 5.7.1 Policy rejection: sender domain has no established reputation.",
            ],
        };
        let [zen, helo, sender, young_helo, young_sender] = words.map(built_in);
        Self {
            // What the Python milter has no words for.
            authbl: built_in(
                "550 5.7.1 Client host [{ip}] is listed in Spamhaus AuthBL; \
                 see https://check.spamhaus.org/query/ip/{ip}",
            ),
            name: built_in(
                "550 5.7.1 Client host name {domain} blocked by Spamhaus {zone}; \
                 see https://check.spamhaus.org/query/domain/{domain}",
            ),
            young_name: built_in(
                "550 5.7.1 Client host name {domain} is newly observed (no reputation yet); \
                 try again after 24 hours",
            ),
            trouble: built_in("451 4.7.1 Temporary lookup failure, try again later"),
            score: built_in("550 5.7.1 Client host [{ip}] blocked by several lists"),
            tag: Tag::parse("X-Gatepost: {rule}; list={list}; subject={domain}; codes={code}; score={score}")
                .expect("a built-in text is a header field"),
            others: Others {
                client: built_in("554 5.7.1 Client host [{ip}] blocked by {zone}"),
                name: built_in("550 5.7.1 Client host name {domain} blocked by {zone}"),
                helo: built_in("550 5.7.1 HELO name {domain} blocked by {zone}"),
                sender: built_in("550 5.7.1 Sender {domain} blocked by {zone}"),
                recipient: built_in("550 5.7.1 Recipient {domain} blocked by {zone}"),
                met: built_in("550 5.7.1 Refused by the policy of this site"),
            },
            zen,
            helo,
            sender,
            young_helo,
            young_sender,
        }
    }

    /// The words about a finding, or about a rule that has none.
    pub(super) fn choose(&self, finding: Option<&Finding>, act: Act) -> Template {
        let template = match finding {
            None => &self.others.met,
            Some(Finding { outcome: Outcome::Unknown(_), .. }) => &self.trouble,
            Some(finding) => self.about(finding.list, finding.identity),
        };
        if act == Act::Defer { template.as_deferral() } else { template.clone() }
    }

    fn about(&self, list: List, identity: Identity) -> &Template {
        let [client, name, helo, sender] = if list == List::DBL {
            [&self.others.client, &self.name, &self.helo, &self.sender]
        } else if list == List::ZRD {
            [&self.others.client, &self.young_name, &self.young_helo, &self.young_sender]
        } else {
            let client = [(List::ZEN, &self.zen), (List::AUTHBL, &self.authbl)];
            let client = client.into_iter().find(|(of, _)| *of == list).map(|(_, template)| template);
            let client = client.unwrap_or(&self.others.client);
            [client, &self.others.name, &self.others.helo, &self.others.sender]
        };
        match identity {
            Identity::Client => client,
            Identity::ClientName => name,
            Identity::Helo => helo,
            Identity::Sender => sender,
            Identity::Recipient => &self.others.recipient,
        }
    }

    /// A reply for the case that a template gives no legal one, which [`Template::parse`] rules out.
    pub(super) fn fallback(&self, temporary: bool) -> Reply {
        let template = if temporary { &self.trouble } else { &self.others.met };
        template.render(|variable| variable.name().to_owned()).expect("checked when it was parsed")
    }
}

fn built_in(text: impl AsRef<str>) -> Template {
    Template::parse(text.as_ref()).expect("a built-in text is a template")
}
