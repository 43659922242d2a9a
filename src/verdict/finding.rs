//! What a check reports.

use std::sync::Arc;
use std::time::Duration;

use super::{Codes, List};
use crate::smtp::{NoDomain, Stage};

/// Which part of the dialog a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// The client's address.
    Client,
    /// The name that the client's address has in DNS.
    ClientName,
    /// The HELO name.
    Helo,
    /// The reverse-path: its domain, or all of it.
    Sender,
    /// The recipient in question.
    Recipient,
}

impl Identity {
    /// All of them, in the order in which they are known, and in which they give the reason for a refusal.
    pub const ALL: [Self; 5] = [Self::Client, Self::ClientName, Self::Helo, Self::Sender, Self::Recipient];

    /// The stage at which it becomes known.
    pub fn stage(self) -> Stage {
        match self {
            Self::Client | Self::ClientName => Stage::Connect,
            Self::Helo => Stage::Helo,
            Self::Sender => Stage::Mail,
            Self::Recipient => Stage::Rcpt,
        }
    }

    /// One word for log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ClientName => "client-name",
            Self::Helo => "helo",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
        }
    }
}

/// One observation of one check about one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The list that was, or would have been, asked.
    pub list: List,
    /// What it is about.
    pub identity: Identity,
    /// The canonical address or domain, as it is asked about; empty if there is none. Safe to show.
    pub subject: Arc<str>,
    /// How many labels of a domain were left out on the left, since they are illegal or make it too long.
    pub trimmed: usize,
    /// What was found.
    pub outcome: Outcome,
    /// What the list says about it in words: the text of an entry in a file, if it has one. Not to be shown
    /// as it is: whoever feeds the file wrote it.
    pub text: Option<Arc<str>>,
    /// Where the answer came from.
    pub origin: Origin,
    /// How long the session waited for it.
    pub waited: Duration,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The list does not have the subject.
    Clear,
    /// The list has it, with these codes.
    Hit(Codes),
    /// An allow rule spares it.
    Trusted(Trust),
    /// There is nothing to ask.
    Skipped(Skip),
    /// The list could not be asked, or its answer means nothing.
    Unknown(Trouble),
}

/// Which allow rule spared a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The client's address is on the allow list.
    Address,
    /// The client is in a trusted network: nothing of its session is checked.
    Network,
    /// The client is on the allow list and the allow list covers the whole session.
    Session,
    /// Mail from this very host.
    Local,
    /// The domain is on the allow list.
    Domain,
    /// The domain lies below a suffix on the allow list.
    Suffix,
    /// The client has logged in.
    Login,
    /// The session came in over a submission service.
    Submission,
    /// The session is one of a mail server, and the list is about users.
    Inbound,
    /// The domain is one of our own.
    Own,
}

impl Trust {
    /// One word for log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Network => "network",
            Self::Session => "session",
            Self::Local => "local",
            Self::Domain => "domain",
            Self::Suffix => "suffix",
            Self::Login => "login",
            Self::Submission => "submission",
            Self::Inbound => "inbound",
            Self::Own => "own",
        }
    }
}

/// Why there is nothing to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The client's address is not known.
    NoAddress,
    /// The address is special-purpose.
    Special,
    /// The name is no domain that could be listed.
    Domain(NoDomain),
    /// The null reverse-path.
    NullSender,
    /// A sender without a domain.
    NoDomain,
    /// The client's address has no name.
    NoName,
    /// What there is to ask about is of another kind than the list.
    Kind,
}

impl Skip {
    /// One word for log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAddress => "no-address",
            Self::Special => "special",
            Self::Domain(why) => why.name(),
            Self::NullSender => "null-sender",
            Self::NoDomain => "no-domain",
            Self::NoName => "no-name",
            Self::Kind => "kind",
        }
    }
}

/// Why a list could not say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No answer in time.
    Timeout,
    /// The name server answered SERVFAIL; for DQS also: the service is not part of the plan.
    ServFail,
    /// The name server refused.
    Refused,
    /// The answer could not be read, or the name server could not be reached.
    Network,
    /// The list answered with an operator code 127.255.255.x.
    Service(u8),
    /// The answer is none that a list can give: a resolver rewrites answers.
    Bogus,
    /// The list says, in its own way, that it does not answer us.
    Declined,
    /// The list says that it was asked the wrong kind of question.
    Misuse,
    /// Too many questions are waiting.
    Busy,
    /// The list is not asked for a while, after trouble with it.
    Resting,
    /// There is no key to ask with.
    NoKey,
}

impl Trouble {
    /// All of them; the octet of an operator code stands for any.
    pub const ALL: [Self; 11] = [
        Self::Timeout,
        Self::ServFail,
        Self::Refused,
        Self::Network,
        Self::Service(u8::MAX),
        Self::Bogus,
        Self::Declined,
        Self::Misuse,
        Self::Busy,
        Self::Resting,
        Self::NoKey,
    ];

    /// One word for log lines and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ServFail => "servfail",
            Self::Refused => "refused",
            Self::Network => "network",
            Self::Service(_) => "service-error",
            Self::Bogus => "bogus",
            Self::Declined => "declined",
            Self::Misuse => "misuse",
            Self::Busy => "busy",
            Self::Resting => "resting",
            Self::NoKey => "no-key",
        }
    }

    /// The trouble with this [name](Self::name). The octet of an operator code is not in it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.name() == name)
    }

    /// Whether this is what the list, or whoever answers in its place, says about us: waiting does not mend it.
    pub fn is_about_us(self) -> bool {
        matches!(self, Self::Service(_) | Self::Declined | Self::Bogus)
    }

    /// Whether this is trouble with reaching the list, for which mail may be deferred if the
    /// administrator wants that. Operator errors never defer mail.
    pub fn is_transport(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::ServFail | Self::Refused | Self::Network | Self::Busy | Self::Resting
        )
    }
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// No question was needed.
    #[default]
    None,
    /// The cache.
    Hit,
    /// A question that this session started.
    Miss,
    /// A question that another session had started.
    Coalesced,
    /// A file on this host.
    File,
}

impl Origin {
    /// One word for log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::File => "file",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::verdict::{Act, Class};

    /// Checks that words are told apart, and can stand in a log line as they are.
    fn told_apart(words: &[&str]) {
        let distinct: BTreeSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), words.len(), "{words:?}");
        let is_word = |word: &&str| {
            !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
        };
        assert!(words.iter().all(is_word), "{words:?}");
    }

    #[test]
    fn each_word_of_the_log_says_one_thing() {
        told_apart(&Identity::ALL.map(Identity::name));
        told_apart(&Class::ALL.map(Class::name));
        told_apart(&Act::ALL.map(Act::name));
        told_apart(&Trouble::ALL.map(Trouble::name));
        let origins = [Origin::None, Origin::Hit, Origin::Miss, Origin::Coalesced, Origin::File];
        told_apart(&origins.map(Origin::name));
        // Both are reasons why nothing was asked.
        let (trust, skip) = (
            [
                Trust::Address,
                Trust::Network,
                Trust::Session,
                Trust::Local,
                Trust::Domain,
                Trust::Suffix,
                Trust::Login,
                Trust::Submission,
                Trust::Inbound,
                Trust::Own,
            ],
            [
                Skip::NoAddress,
                Skip::Domain(NoDomain::Single),
                Skip::Domain(NoDomain::Literal),
                Skip::NullSender,
                Skip::NoDomain,
                Skip::NoName,
                Skip::Kind,
            ],
        );
        told_apart(&trust.map(Trust::name).into_iter().chain(skip.map(Skip::name)).collect::<Vec<_>>());
    }

    #[test]
    fn trouble_is_read_back_by_its_word() {
        for trouble in Trouble::ALL {
            assert_eq!(Trouble::named(trouble.name()), Some(trouble));
        }
        assert_eq!(Trouble::named("listed"), None);
    }

    #[test]
    fn what_the_operator_has_done_wrong_is_no_trouble_of_the_way_to_a_list() {
        let own: Vec<_> = Trouble::ALL.into_iter().filter(|trouble| !trouble.is_transport()).collect();
        let operator =
            [Trouble::Service(u8::MAX), Trouble::Bogus, Trouble::Declined, Trouble::Misuse, Trouble::NoKey];
        assert_eq!(own, operator);
    }
}
