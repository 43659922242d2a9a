//! A sender or recipient in the one form in which keys and addresses are compared.

use std::fmt;

use crate::list::address;
use crate::smtp::{Domain, TypedMailbox};

/// A mailbox: letters in lower case, the domain as A-labels without a final dot, no brackets, quotes or source route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Party {
    local: Box<str>,
    /// An address literal has its brackets; nothing for a local part alone.
    domain: Option<Box<str>>,
    /// The domain is none, or a guess: what a mail server makes of it is not known.
    is_vague: bool,
}

impl Party {
    /// Reads the argument of MAIL or RCPT as the mail server does. Nothing for the null path.
    ///
    /// A domain that is not legal as a whole is kept as it was typed: nobody passes for another by writing it.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let mailbox = TypedMailbox::parse(argument)?;
        let local = folded(&String::from_utf8_lossy(&mailbox.local));
        let domain = String::from_utf8_lossy(mailbox.domain.as_deref().unwrap_or_default());
        Some(Self::of(&local, &domain, mailbox.is_guess))
    }

    fn of(local: &str, domain: &str, is_guess: bool) -> Self {
        let legal = canonical(domain);
        let is_vague = is_guess || legal.is_none();
        let domain = legal.unwrap_or_else(|| domain.to_lowercase());
        Self { local: local.into(), domain: (!domain.is_empty()).then(|| domain.into()), is_vague }
    }

    /// The parties that stand in its local part, the innermost first: a mail server that takes the domain for its own
    /// sends the mail on to `user` at `dom` of `user%dom`, `dom!user` and `"user@dom"`, and looks there again.
    pub(super) fn inner(&self) -> impl Iterator<Item = Self> {
        let mut steps: Vec<(&str, &str)> = Vec::new();
        let mut local = &*self.local;
        while let Some((user, domain)) = step(local) {
            steps.push((user, domain));
            local = user;
        }
        steps.into_iter().rev().take(STEPS).map(|(user, domain)| Self::of(user, domain, false))
    }

    /// The local part.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain, if there is one; an address literal has its brackets.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The local part without its detail: up to the first of these delimiters that is not its first character.
    pub fn without_detail(&self, delimiters: &str) -> Option<&str> {
        address::without_detail(&self.local, delimiters)
    }

    /// Whether it is the mail server itself that knows what domain is meant: a local part alone, at an address literal,
    /// at `localhost`, which is always the server's own, or at what is no domain.
    pub(super) fn is_unqualified(&self) -> bool {
        let is_own = |domain: &str| domain.starts_with('[') || domain.split('.').next() == Some("localhost");
        self.is_vague || self.domain().is_none_or(is_own)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        self.domain.as_ref().map_or(Ok(()), |domain| write!(f, "@{domain}"))
    }
}

/// Steps of [`Party::inner`] that are looked at: nobody writes two, and a client must not make work.
const STEPS: usize = 8;

/// One step of a mail server into a local part, in the order in which Postfix takes them.
fn step(local: &str) -> Option<(&str, &str)> {
    let bang = || local.split_once('!').map(|(domain, user)| (user, domain));
    let (user, domain) = local.rsplit_once('@').or_else(bang).or_else(|| local.rsplit_once('%'))?;
    // Quotes can hold a source route, too; and one is made of `%own.example:user`.
    let (user, domain) = match domain.rsplit_once(':') {
        Some((_, behind)) if user.is_empty() => (behind, ""),
        _ => (user, domain),
    };
    let user =
        if user.starts_with('@') { user.rsplit_once(':').map_or(user, |(_, user)| user) } else { user };
    (!user.is_empty()).then_some((user, domain))
}

/// A local part in the one form in which letters are compared. Postfix folds case as Unicode does, where the long s is
/// an s and a ligature two letters: to write one must not be a way around a key.
pub(in crate::list) fn folded(local: &str) -> String {
    if local.is_ascii() {
        return local.to_ascii_lowercase();
    }
    local.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A domain or address literal as it is compared; nothing if it is neither.
pub(super) fn canonical(text: &str) -> Option<String> {
    if text.starts_with('[') && text.ends_with(']') {
        return address::literal(text).map(|ip| format!("[{ip}]"));
    }
    // Nearly all names are of these letters, and need no IDNA.
    let is_plain = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-".contains(&octet));
    if is_plain && let Ok((domain, 0)) = Domain::from_octets(text.as_bytes()) {
        return Some(domain.as_str().to_owned());
    }
    Domain::from_setting(text).ok().map(|domain| domain.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_one_party() {
        // T59, T60: either bracket may be missing, and letters may have any case.
        for argument in [
            "<List+x@B\u{fc}cher.Example>",
            "<list+x@xn--bcher-kva.example",
            "LIST+X@XN--BCHER-KVA.example>",
            "list+x@b\u{fc}cher.example.",
            "<@relay.example:list+x@b\u{fc}cher.example>",
            "<\"list+x\"@b\u{fc}cher.example>",
        ] {
            let party = Party::parse(argument.as_bytes()).expect("a party");
            assert_eq!(party.to_string(), "list+x@xn--bcher-kva.example", "{argument}");
            assert_eq!(party.without_detail("+"), Some("list"));
            assert!(!party.is_unqualified());
        }
        for (argument, shown) in [
            ("<Root>", "root"),
            ("<a@[IPv6:2001:DB8:0::1]>", "a@[2001:db8::1]"),
            ("<a@LocalHost>", "a@localhost"),
            ("<a@localhost.l.example>", "a@localhost.l.example"),
            ("<a@l..example>", "a@l..example"),
            ("<a(@l.example>", "a@l.example"),
        ] {
            let party = Party::parse(argument.as_bytes()).expect("a party");
            assert_eq!(party.to_string(), shown);
            assert!(party.is_unqualified());
        }
        assert_eq!(Party::parse(b"<>"), None);
        assert_eq!(Party::parse(b""), None);
    }

    #[test]
    fn what_a_mail_server_finds_in_a_local_part_is_found_from_the_inside_out() {
        for (argument, inner) in [
            ("<list%L.example@own.example>", &["list@l.example"][..]),
            ("<list%[IPv6:2001:db8::1]@own.example>", &["list@[2001:db8::1]"]),
            ("<\"list@l.example\"@own.example>", &["list@l.example"]),
            ("<l.example!list@own.example>", &["list@l.example"]),
            ("<x.example!l.example!list@own.example>", &["list@l.example", "l.example!list@x.example"]),
            ("<list%l.example%x.example>", &["list@l.example"]),
            ("<list%@own.example>", &["list"]),
            ("<\"@own.example:list@l.example\"@own.example>", &["list@l.example"]),
            ("<%l.example@own.example>", &[]),
            ("<\"%own.example:list\"@own.example>", &["list"]),
            ("<own.example!%own.example:list>", &["list"]),
            ("<\"@own.example:list\"@own.example>", &["list"]),
            ("<list@l.example>", &[]),
        ] {
            let party = Party::parse(argument.as_bytes()).expect("a party");
            let found: Vec<String> = party.inner().map(|party| party.to_string()).collect();
            assert_eq!(found, inner, "{argument}");
        }
        let many = format!("<list%l.example{}@own.example>", "%own.example".repeat(300));
        let party = Party::parse(many.as_bytes()).expect("a party");
        let found: Vec<String> = party.inner().map(|party| party.to_string()).collect();
        assert_eq!((found.len(), &*found[0]), (STEPS, "list@l.example"));
    }

    #[test]
    fn letters_are_folded_as_the_mail_server_folds_them() {
        for local in ["LIST", "li\u{17f}t", "li\u{fb06}", "LI\u{fb05}"] {
            assert_eq!(folded(local), "list", "{local}");
        }
        assert_eq!(folded("STRA\u{df}E"), folded("strasse"));
        assert_eq!(folded("\u{3a3}\u{3a3}"), folded("\u{3c3}\u{3c2}"));
    }

    #[test]
    fn what_is_no_legal_domain_passes_for_no_other() {
        for argument in ["<a@\u{fc}*.spam.example>", "<a@spam..example>", "<a@x spam.example.y>"] {
            let party = Party::parse(argument.as_bytes()).expect("a party");
            assert_ne!(party.domain(), Some("spam.example"), "{argument}");
        }
    }

    #[test]
    fn the_fast_way_and_the_other_lead_to_the_same_name() {
        for text in [
            "Spam.Example",
            "a-b.example.",
            "localhost",
            "x.lan",
            "1.2.3.4",
            "3com.example",
            "spam..example",
            "a--b.example",
            "xn--bcher-kva.example",
            "xn--a.example",
            ".",
        ] {
            let slow = Domain::from_setting(text).ok().map(|domain| domain.as_str().to_owned());
            assert_eq!(canonical(text), slow, "{text}");
        }
    }

    #[test]
    fn a_detail_begins_behind_the_first_delimiter_that_is_not_the_first_character() {
        for (local, delimiters, rest) in [
            ("a+b+c", "+", Some("a")),
            ("+a", "+", None),
            ("+a+b", "+", Some("+a")),
            ("a-b+c", "+-", Some("a")),
            ("a+b", "", None),
            ("\u{fc}+b", "+", Some("\u{fc}")),
        ] {
            let party = Party::of(local, "", false);
            assert_eq!(party.without_detail(delimiters), rest, "{local}");
        }
    }
}
