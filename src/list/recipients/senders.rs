//! A set of senders: addresses, domains, patterns, those of this site, member files.

use std::collections::HashSet;

use super::key::{Key, Pattern};
use super::party::Party;

/// One entry of a set of senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderKey {
    /// An address, local part, domain or pattern.
    Key(Key),
    /// `@local`: everybody in the site's own domains.
    Own,
    /// `<>`: the null reverse-path.
    Null,
    /// A member file, by its place among those of the configuration.
    File(usize),
}

/// Whether somebody is in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// Yes.
    Member,
    /// No.
    Stranger,
    /// It cannot be told: this file, by its place, cannot be read.
    Unknown(usize),
}

/// What the content of a member file says.
pub trait Files {
    /// Whether somebody is in the file; `None` if it cannot be read.
    fn contains(&self, file: usize, party: &Party) -> Option<bool>;
}

/// A set of senders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Senders {
    addresses: HashSet<Box<str>>,
    locals: HashSet<Box<str>>,
    domains: HashSet<Box<str>>,
    suffixes: HashSet<Box<str>>,
    patterns: Vec<Pattern>,
    files: Vec<usize>,
    null: bool,
}

impl Senders {
    /// A set of these entries; `own` are the domains that `@local` stands for, with all below them.
    pub fn new<'a>(entries: impl IntoIterator<Item = SenderKey>, own: impl Iterator<Item = &'a str>) -> Self {
        let own: Vec<&str> = own.collect();
        let mut set = Self::default();
        for entry in entries {
            match entry {
                SenderKey::Key(Key::Address(address)) => drop(set.addresses.insert(address)),
                SenderKey::Key(Key::Local(local)) => drop(set.locals.insert(local)),
                SenderKey::Key(Key::Domain(domain)) => drop(set.domains.insert(domain)),
                SenderKey::Key(Key::Suffix(domain)) => drop(set.suffixes.insert(domain)),
                SenderKey::Key(Key::Glob(pattern)) => set.patterns.push(pattern),
                SenderKey::Own => set.suffixes.extend(own.iter().map(|domain| Box::from(*domain))),
                SenderKey::File(file) => set.files.push(file),
                SenderKey::Null => set.null = true,
            }
        }
        set
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether somebody is in the set, with or without the detail of the address; nothing is the null reverse-path.
    pub fn find(&self, party: Option<&Party>, delimiters: &str, files: &impl Files) -> Membership {
        let Some(party) = party else {
            return if self.null { Membership::Member } else { Membership::Stranger };
        };
        if self.names(party, party.local())
            || party.without_detail(delimiters).is_some_and(|local| self.names(party, local))
            || party.domain().is_some_and(|domain| {
                self.domains.contains(domain) || parents(domain).any(|name| self.suffixes.contains(name))
            })
        {
            return Membership::Member;
        }
        let mut unread = None;
        for &file in &self.files {
            match files.contains(file, party) {
                Some(true) => return Membership::Member,
                Some(false) => {}
                None => unread = unread.or(Some(file)),
            }
        }
        unread.map_or(Membership::Stranger, Membership::Unknown)
    }

    fn names(&self, party: &Party, local: &str) -> bool {
        if self.locals.contains(local) {
            return true;
        }
        let Some(domain) = party.domain() else { return false };
        let address = format!("{local}@{domain}");
        self.addresses.contains(&*address)
            || self.patterns.iter().any(|pattern| pattern.glob.is_match(address.as_bytes()))
    }
}

/// A domain and those above it.
pub(super) fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, parent)| parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One file that has `member@m.example`, and one that cannot be read.
    struct Two;

    impl Files for Two {
        fn contains(&self, file: usize, party: &Party) -> Option<bool> {
            (file == 0).then(|| party.to_string() == "member@m.example")
        }
    }

    fn find(entries: &[SenderKey], argument: &str) -> Membership {
        let set = Senders::new(entries.iter().cloned(), ["own.example"].into_iter());
        set.find(Party::parse(argument.as_bytes()).as_ref(), "+", &Two)
    }

    #[test]
    fn each_form_of_entry_holds_its_senders_and_no_others() {
        let key = |text: &str| SenderKey::Key(Key::parse(text).expect(text));
        for (entry, inside, outside) in [
            (
                key("alice@a.example"),
                &["<Alice@A.example>", "<alice+x@a.example>"][..],
                &["<alice@b.example>"][..],
            ),
            (
                key("alice+x@a.example"),
                &["<alice+x@a.example>"],
                &["<alice@a.example>", "<alice+y@a.example>"],
            ),
            (key("alice@"), &["<alice@a.example>", "<alice>"], &["<alice2@a.example>"]),
            (key("@a.example"), &["<x@a.example>"], &["<x@b.a.example>", "<x@nota.example>", "<a.example>"]),
            (key(".a.example"), &["<x@a.example>", "<x@c.b.a.example>"], &["<x@nota.example>"]),
            (key("*-bot@a.example"), &["<x-bot@a.example>", "<x-bot+1@a.example>"], &["<bot@a.example>"]),
            (SenderKey::Own, &["<x@own.example>", "<x@sub.own.example>"], &["<x@a.example>", "<x>"]),
            (SenderKey::Null, &["<>", ""], &["<x@a.example>"]),
            (SenderKey::File(0), &["<MEMBER@m.example>"], &["<x@m.example>", "<>"]),
        ] {
            let entries = [entry];
            for argument in inside {
                assert_eq!(find(&entries, argument), Membership::Member, "{entries:?} {argument}");
            }
            for argument in outside {
                assert_eq!(find(&entries, argument), Membership::Stranger, "{entries:?} {argument}");
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_matters_only_to_those_who_could_be_in_it() {
        let key = SenderKey::Key(Key::parse("alice@a.example").expect("a key"));
        let entries = [key, SenderKey::File(1), SenderKey::File(0)];
        assert_eq!(find(&entries, "<alice@a.example>"), Membership::Member);
        assert_eq!(find(&entries, "<member@m.example>"), Membership::Member);
        assert_eq!(find(&entries, "<x@m.example>"), Membership::Unknown(1));
        assert_eq!(find(&entries, "<>"), Membership::Stranger);
    }
}
