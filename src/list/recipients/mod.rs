//! Recipient policies: who may write to whom.
//!
//! Pure: member files are asked through [`Files`], and nothing here speaks or decides what becomes of mail.

mod key;
mod members;
mod party;
mod senders;

use std::collections::HashMap;

pub use key::{BadKey, Key, Pattern};
pub use members::Members;
pub use party::Party;
pub use senders::{Files, Membership, SenderKey, Senders};

pub(super) use party::folded;

use senders::parents;

/// What a login is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logins {
    /// Nothing: who has logged in must be a sender like everybody else.
    #[default]
    Senders,
    /// Whoever has logged in may write.
    Allow,
    /// Only who has logged in may write, and must be a sender where senders are named.
    Require,
}

/// Who may write to certain recipients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// Who may.
    pub senders: Senders,
    /// Who may not, whatever else holds.
    pub deny: Senders,
    /// What a login is worth.
    pub logins: Logins,
}

/// What a policy says of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The mail may go on.
    Admitted,
    /// It may not, for this reason.
    Barred(Bar),
    /// It cannot be told: this file, by its place, cannot be read.
    Unknown(usize),
}

/// Why somebody may not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// The sender is in `deny`.
    Denied,
    /// The sender is not among the senders.
    Stranger,
    /// The client has not logged in.
    NoLogin,
}

impl Bar {
    /// The reason in a few words, for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "sender is denied",
            Self::Stranger => "sender is not among those who may write",
            Self::NoLogin => "client has not logged in",
        }
    }
}

impl Admission {
    /// Asks about a sender; nothing is the null reverse-path.
    pub fn ask(
        &self,
        sender: Option<&Party>,
        has_login: bool,
        delimiters: &str,
        files: &impl Files,
    ) -> Ruling {
        match self.deny.find(sender, delimiters, files) {
            Membership::Member => return Ruling::Barred(Bar::Denied),
            Membership::Unknown(file) => return Ruling::Unknown(file),
            Membership::Stranger => {}
        }
        match (self.logins, has_login) {
            (Logins::Require, false) => return Ruling::Barred(Bar::NoLogin),
            (Logins::Allow, true) => return Ruling::Admitted,
            (Logins::Require, true) if self.senders.is_empty() => return Ruling::Admitted,
            _ => {}
        }
        match self.senders.find(sender, delimiters, files) {
            Membership::Member => Ruling::Admitted,
            Membership::Stranger => Ruling::Barred(Bar::Stranger),
            Membership::Unknown(file) => Ruling::Unknown(file),
        }
    }
}

/// Which policy holds for a recipient: the most particular key decides.
///
/// In this order: the address, the address without its detail, the local part, the same without detail, patterns
/// with the most literal characters first, the domain, the closest domain above it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protected {
    addresses: HashMap<Box<str>, usize>,
    locals: HashMap<Box<str>, usize>,
    /// Local parts of addresses, for those who leave out the domain.
    bare: HashMap<Box<str>, usize>,
    patterns: Vec<(Pattern, usize)>,
    domains: HashMap<Box<str>, usize>,
    suffixes: HashMap<Box<str>, usize>,
}

/// A key that two policies have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken(
    /// The policy that has it.
    pub usize,
);

impl Protected {
    /// Adds a key of a policy.
    ///
    /// # Errors
    /// [`Taken`] if another policy, or the same one, has it already: the second could never decide.
    pub fn add(&mut self, key: Key, policy: usize) -> Result<(), Taken> {
        let (map, text) = match key {
            Key::Address(text) => {
                if let Some((local, _)) = text.rsplit_once('@') {
                    self.bare.entry(local.into()).or_insert(policy);
                }
                (&mut self.addresses, text)
            }
            Key::Local(text) => (&mut self.locals, text),
            Key::Domain(text) => (&mut self.domains, text),
            Key::Suffix(text) => (&mut self.suffixes, text),
            Key::Glob(pattern) => {
                if let Some((_, other)) = self.patterns.iter().find(|(known, _)| known.text == pattern.text) {
                    return Err(Taken(*other));
                }
                // Behind those that are as particular: of two the first one written decides.
                let literals = pattern.glob.literals();
                let at = self.patterns.partition_point(|(known, _)| known.glob.literals() >= literals);
                self.patterns.insert(at, (pattern, policy));
                return Ok(());
            }
        };
        if let Some(other) = map.get(&text) {
            return Err(Taken(*other));
        }
        map.insert(text, policy);
        Ok(())
    }

    /// Whether no recipient has a policy.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The policy for a recipient, by its place.
    ///
    /// A recipient without a domain, at an address literal, at localhost or at what is no domain is this mail server's
    /// own whatever the name: it has the policy of any address with its local part. To leave out the domain must not be a way around, and neither
    /// is an address within the local part, as in `list%lists.example@own.example`: there the inner one decides.
    pub fn find(&self, recipient: &Party, delimiters: &str) -> Option<usize> {
        let policy = |party: &Party| self.own(party, delimiters).or_else(|| self.fitting(party, delimiters));
        recipient.inner().find_map(|inner| policy(&inner)).or_else(|| policy(recipient))
    }

    /// The policy that has a recipient's own address or local part, or those of an address within it.
    pub fn named(&self, recipient: &Party, delimiters: &str) -> Option<usize> {
        let inner = recipient.inner().find_map(|inner| self.own(&inner, delimiters));
        inner.or_else(|| self.own(recipient, delimiters))
    }

    fn own(&self, recipient: &Party, delimiters: &str) -> Option<usize> {
        let locals = || [Some(recipient.local()), recipient.without_detail(delimiters)].into_iter().flatten();
        let domain = recipient.domain();
        let address = |local: &str| domain.and_then(|name| self.addresses.get(&*format!("{local}@{name}")));
        let local = |local: &str| self.locals.get(local);
        let found = locals().find_map(address).or_else(|| locals().find_map(local));
        let bare = || locals().find_map(|local| self.bare.get(local)).filter(|_| recipient.is_unqualified());
        found.or_else(bare).copied()
    }

    /// The policy with a pattern or domain that a recipient is among.
    fn fitting(&self, recipient: &Party, delimiters: &str) -> Option<usize> {
        let locals = || [Some(recipient.local()), recipient.without_detail(delimiters)].into_iter().flatten();
        let domain = recipient.domain();
        if recipient.is_unqualified() {
            let fits = |pattern: &Pattern| locals().any(|local| pattern.local.is_match(local.as_bytes()));
            let pattern = self.patterns.iter().find(|(pattern, _)| fits(pattern)).map(|(_, policy)| *policy);
            return pattern.or_else(|| domain.and_then(|name| self.domains.get(name)).copied());
        }
        let domain = domain?;
        let texts: Vec<String> = locals().map(|local| format!("{local}@{domain}")).collect();
        let fits = |pattern: &Pattern| texts.iter().any(|text| pattern.glob.is_match(text.as_bytes()));
        let pattern = self.patterns.iter().find(|(pattern, _)| fits(pattern)).map(|(_, policy)| policy);
        pattern
            .or_else(|| self.domains.get(domain))
            .or_else(|| parents(domain).find_map(|name| self.suffixes.get(name)))
            .copied()
    }
}

#[cfg(test)]
mod tests;
