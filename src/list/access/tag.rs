//! The tags in front of keys.

use std::fmt;

/// What a key is about: the part of it up to the subject.
///
/// A combination has a second tag between its two subjects, as in `from:a@example.org:to:example.net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    /// `connect:`, the client.
    Connect(Owner),
    /// `from:`, the sender.
    From(Owner),
    /// `to:`, the recipient.
    To(Owner),
    /// `auth:`, the login.
    Auth(Owner),
    /// `spam:`, a recipient that wants checks or not.
    Spam,
    /// `connect:…:from:…`.
    ConnectFrom,
    /// `connect:…:to:…`.
    ConnectTo,
    /// `from:…:to:…`.
    FromTo,
    /// None: Postfix' only form, and Sendmail's oldest.
    Bare,
}

/// Whose tag it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// `gatepost-connect:`.
    Gatepost,
    /// `milter-spamc-connect:`.
    Spamc,
    /// `connect:`, which Sendmail reads, too.
    Sendmail,
}

impl Owner {
    /// All, in the order in which they are asked.
    pub const ALL: [Self; 3] = [Self::Gatepost, Self::Spamc, Self::Sendmail];

    fn prefix(self) -> &'static str {
        match self {
            Self::Gatepost => "gatepost-",
            Self::Spamc => "milter-spamc-",
            Self::Sendmail => "",
        }
    }
}

impl Tag {
    /// Whether values are lists of patterns; they are single actions otherwise.
    pub fn has_lists(self) -> bool {
        match self {
            Self::Connect(owner) | Self::From(owner) | Self::To(owner) | Self::Auth(owner) => {
                owner != Owner::Sendmail
            }
            Self::ConnectFrom | Self::ConnectTo | Self::FromTo => true,
            Self::Spam | Self::Bare => false,
        }
    }

    /// Whether the tag alone is a key: what holds where no other key was found.
    pub fn has_default(self) -> bool {
        self.has_lists() && !self.is_combined()
    }

    /// Whether its first subject can be a network.
    pub(super) fn names_networks(self) -> bool {
        matches!(self, Self::Connect(_) | Self::ConnectFrom | Self::ConnectTo | Self::Bare)
    }

    /// Whether there are two subjects.
    pub fn is_combined(self) -> bool {
        self.infix().is_some()
    }

    /// Text in front of the subject, prefix and colon included.
    pub(super) fn head(self) -> [&'static str; 2] {
        match self {
            Self::Connect(owner) => [owner.prefix(), "connect:"],
            Self::From(owner) => [owner.prefix(), "from:"],
            Self::To(owner) => [owner.prefix(), "to:"],
            Self::Auth(owner) => [owner.prefix(), "auth:"],
            Self::Spam => ["", "spam:"],
            Self::ConnectFrom | Self::ConnectTo => ["", "connect:"],
            Self::FromTo => ["", "from:"],
            Self::Bare => ["", ""],
        }
    }

    /// Text between the two subjects of a combination.
    pub(super) fn infix(self) -> Option<&'static str> {
        match self {
            Self::ConnectFrom => Some(":from:"),
            Self::ConnectTo | Self::FromTo => Some(":to:"),
            _ => None,
        }
    }

    /// One bit for each tag.
    pub(super) fn bit(self) -> u32 {
        let (kind, owner) = match self {
            Self::Connect(owner) => (0, owner as u32),
            Self::From(owner) => (1, owner as u32),
            Self::To(owner) => (2, owner as u32),
            Self::Auth(owner) => (3, owner as u32),
            Self::Spam => (4, 0),
            Self::ConnectFrom => (4, 1),
            Self::ConnectTo => (4, 2),
            Self::FromTo => (5, 0),
            Self::Bare => (5, 1),
        };
        1 << (kind * 3 + owner)
    }

    /// Takes the tag off a key, and tells where its subject begins: a combination is known by its second tag
    /// only. A text without one of these tags is [`Tag::Bare`].
    pub(super) fn take(key: &str) -> (Self, &str) {
        for owner in Owner::ALL {
            let Some(rest) = strip(key, owner.prefix()) else { continue };
            for tag in [Self::Connect(owner), Self::From(owner), Self::To(owner), Self::Auth(owner)] {
                if let Some(subject) = strip(rest, tag.head()[1]) {
                    return (tag, subject);
                }
            }
        }
        match strip(key, "spam:") {
            Some(subject) => (Self::Spam, subject),
            None => (Self::Bare, key),
        }
    }
}

impl fmt::Display for Tag {
    /// `milter-spamc-connect:`, `connect:…:from:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [prefix, head] = self.head();
        write!(f, "{prefix}{head}")?;
        match self.infix() {
            Some(infix) => write!(f, "\u{2026}{infix}\u{2026}"),
            None => Ok(()),
        }
    }
}

/// What follows `start`, in either case.
pub(super) fn strip<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let head = text.get(..start.len())?;
    head.eq_ignore_ascii_case(start).then(|| &text[start.len()..])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_map_that_has_one_tag_is_not_asked_for_another() {
        let owned = [Tag::Connect, Tag::From, Tag::To, Tag::Auth];
        let owned = owned.into_iter().flat_map(|tag| Owner::ALL.map(tag));
        let all = owned.chain([Tag::Spam, Tag::ConnectFrom, Tag::ConnectTo, Tag::FromTo, Tag::Bare]);
        let all: Vec<Tag> = all.collect();
        assert_eq!(
            all.iter().map(|tag| tag.bit()).collect::<BTreeSet<u32>>().len(),
            all.len(),
            "one bit each"
        );
    }
}
