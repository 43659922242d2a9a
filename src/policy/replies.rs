//! The words of every SMTP reply.

use super::{Act, Template};
use crate::smtp::Reply;
use crate::verdict::{Finding, Identity, List, Outcome};

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
    /// The client's address is listed.
    pub zen: Template,
    /// The HELO name is listed in DBL.
    pub helo: Template,
    /// The sender's domain is listed in DBL.
    pub sender: Template,
    /// The HELO name is in ZRD, and that refuses.
    pub young_helo: Template,
    /// The sender's domain is in ZRD, and that refuses.
    pub young_sender: Template,
    /// The HELO name is in ZRD, and that defers.
    pub young_helo_later: Template,
    /// The sender's domain is in ZRD, and that defers.
    pub young_sender_later: Template,
    /// A list cannot be reached.
    pub trouble: Template,
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
        let later = |template: &Template| built_in(template.as_str().replacen("550 5.7.1", "450 4.7.1", 1));
        Self {
            young_helo_later: later(&young_helo),
            young_sender_later: later(&young_sender),
            trouble: built_in("451 4.7.1 Temporary lookup failure, try again later"),
            zen,
            helo,
            sender,
            young_helo,
            young_sender,
        }
    }

    pub(super) fn choose(&self, finding: &Finding, act: Act) -> &Template {
        if matches!(finding.outcome, Outcome::Unknown(_)) {
            return &self.trouble;
        }
        match (finding.list, finding.identity, act) {
            (List::Zen, ..) => &self.zen,
            (List::Dbl, Identity::Helo, _) => &self.helo,
            (List::Dbl, ..) => &self.sender,
            (List::Zrd, Identity::Helo, Act::Refuse) => &self.young_helo,
            (List::Zrd, Identity::Helo, Act::Defer) => &self.young_helo_later,
            (List::Zrd, _, Act::Refuse) => &self.young_sender,
            (List::Zrd, _, Act::Defer) => &self.young_sender_later,
        }
    }

    /// A reply for the case that a template gives no legal one, which [`Template::parse`] rules out.
    pub(super) fn fallback(&self, temporary: bool) -> Reply {
        let template = if temporary { &self.trouble } else { &self.zen };
        template.render(|variable| variable.name().to_owned()).expect("checked when it was parsed")
    }
}

fn built_in(text: impl AsRef<str>) -> Template {
    Template::parse(text.as_ref()).expect("a built-in text is a template")
}
