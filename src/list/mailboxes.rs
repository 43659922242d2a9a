//! A set of mailboxes, single ones and whole domains.

use std::collections::HashSet;
use std::fmt;

use super::Domains;
use crate::smtp::{Domain, Mailbox, is_unprintable};

/// A set of mailboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailboxes {
    addresses: HashSet<Box<str>>,
    locals: HashSet<Box<str>>,
    domains: Domains,
    suffixes: Domains,
    null: bool,
}

/// One entry of a set of mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxPattern {
    /// `user@spam.example`: one mailbox.
    Address(Mailbox),
    /// `user@`: this local part at any domain, and alone as in `<postmaster>`.
    Local(Box<str>),
    /// `spam.example` or `@spam.example`: all mailboxes of exactly this domain.
    Domain(Domain),
    /// `.spam.example`: all mailboxes of this domain and all below it.
    Suffix(Domain),
    /// `<>`: the null reverse-path.
    Null,
}

impl MailboxPattern {
    /// Reads an entry as an administrator writes it; nothing if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "<>" {
            return Some(Self::Null);
        }
        let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
        if text.contains(|c: char| c.is_whitespace() || is_unprintable(c) || "<>,;*".contains(c)) {
            return None;
        }
        match text.rsplit_once('@') {
            None => match text.strip_prefix('.') {
                Some(suffix) => Domain::from_setting(suffix).ok().map(Self::Suffix),
                None => Domain::from_setting(text).ok().map(Self::Domain),
            },
            Some(("", domain)) => Domain::from_setting(domain).ok().map(Self::Domain),
            Some((local, "")) => Some(Self::Local(local.to_lowercase().into())),
            Some((local, domain)) => {
                let domain = Some(Domain::from_setting(domain).ok()?);
                Some(Self::Address(Mailbox { local: local.to_lowercase().into(), domain }))
            }
        }
    }
}

impl fmt::Display for MailboxPattern {
    /// As it could be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(mailbox) => f.write_str(&mailbox.address()),
            Self::Local(local) => write!(f, "{local}@"),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Suffix(domain) => write!(f, ".{domain}"),
            Self::Null => f.write_str("<>"),
        }
    }
}

impl Mailboxes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all of its mailboxes are in `other`, too.
    pub fn is_within(&self, other: &Self) -> bool {
        let domain = |name: &str| other.domains.holds(name) || other.suffixes.covers_name(name);
        let address = |address: &str| {
            let parts = address.rsplit_once('@');
            other.addresses.contains(address)
                || parts.is_some_and(|(local, name)| other.locals.contains(local) || domain(name))
        };
        (!self.null || other.null)
            && self.locals.is_subset(&other.locals)
            && self.domains.names().all(domain)
            && self.suffixes.is_below(&other.suffixes)
            && self.addresses.iter().all(|entry| address(entry))
    }

    /// Whether it holds a mailbox; nothing is the null reverse-path.
    pub fn contains(&self, mailbox: Option<&Mailbox>) -> bool {
        let Some(mailbox) = mailbox else { return self.null };
        if self.locals.contains(&mailbox.local) {
            return true;
        }
        let Some(domain) = &mailbox.domain else { return false };
        self.domains.contains(domain)
            || self.suffixes.covers(domain)
            || (!self.addresses.is_empty() && self.addresses.contains(&*mailbox.address()))
    }
}

impl FromIterator<MailboxPattern> for Mailboxes {
    fn from_iter<I: IntoIterator<Item = MailboxPattern>>(entries: I) -> Self {
        let (mut set, mut domains, mut suffixes) = (Self::default(), Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                MailboxPattern::Address(mailbox) => {
                    set.addresses.insert(mailbox.address().into());
                }
                MailboxPattern::Local(local) => {
                    set.locals.insert(local);
                }
                MailboxPattern::Domain(domain) => domains.push(domain),
                MailboxPattern::Suffix(domain) => suffixes.push(domain),
                MailboxPattern::Null => set.null = true,
            }
        }
        Self { domains: domains.into_iter().collect(), suffixes: suffixes.into_iter().collect(), ..set }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> Mailboxes {
        entries.iter().map(|text| MailboxPattern::parse(text).expect(text)).collect()
    }

    #[test]
    fn each_form_of_entry_holds_its_mailboxes_and_no_others() {
        for (entry, inside, outside) in [
            ("User@Spam.Example", &["<user@spam.example>"][..], &["<user@a.spam.example>", "<user>"][..]),
            ("@spam.example", &["<x@SPAM.example.>"], &["<x@a.spam.example>", "<spam.example>"]),
            ("spam.example", &["<x@spam.example>"], &["<x@notspam.example>"]),
            (".spam.example", &["<x@spam.example>", "<x@a.b.spam.example>"], &["<x@notspam.example>"]),
            ("postmaster@", &["<Postmaster@a.example>", "<postmaster>"], &["<postmaster1@a.example>", "<>"]),
            ("<>", &["<>", ""], &["<x@spam.example>"]),
        ] {
            let set = set(&[entry]);
            for argument in inside {
                assert!(set.contains(Mailbox::parse(argument.as_bytes()).as_ref()), "{entry} {argument}");
            }
            for argument in outside {
                assert!(!set.contains(Mailbox::parse(argument.as_bytes()).as_ref()), "{entry} {argument}");
            }
            assert!(!set.is_empty());
            let read = MailboxPattern::parse(entry).expect(entry);
            assert_eq!(MailboxPattern::parse(&read.to_string()), Some(read), "{entry}, as it is shown");
        }
        assert!(set(&[]).is_empty());
    }

    #[test]
    fn a_set_is_within_another_if_all_of_it_is() {
        for (inner, outer, within) in [
            (&["user@spam.example"][..], &["spam.example"][..], true),
            (&["user@spam.example"], &["user@"], true),
            (&["user@a.spam.example", "@spam.example"], &[".spam.example"], true),
            (&[".a.spam.example"], &[".spam.example"], true),
            (&[".spam.example"], &["spam.example"], false),
            (&["user@"], &["user@spam.example"], false),
            (&["spam.example"], &["bulk.example", ".a.spam.example"], false),
            (&["<>"], &[".spam.example"], false),
            (&["<>", "x@y.example"], &["<>", "x@y.example", "z@"], true),
        ] {
            assert_eq!(set(inner).is_within(&set(outer)), within, "{inner:?} in {outer:?}");
        }
    }

    #[test]
    fn what_is_no_mailbox_is_no_entry() {
        for text in ["", "@", "a b@c.example", "*@spam.example", "x@y,z@w", "u@sp am", ".", "<>x"] {
            assert_eq!(MailboxPattern::parse(text), None, "{text}");
        }
    }
}
