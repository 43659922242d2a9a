//! A sender or recipient in the one form in which keys and addresses are compared.

use std::fmt;
use std::net::IpAddr;

use crate::smtp::{Domain, TypedMailbox};

/// A mailbox: letters in lower case, the domain as A-labels without a final dot, no brackets, quotes or source route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Party {
    local: Box<str>,
    /// An address literal has its brackets; nothing for a local part alone.
    domain: Option<Box<str>>,
}

impl Party {
    /// Reads the argument of MAIL or RCPT as the mail server does. Nothing for the null path.
    ///
    /// A domain that is not legal as a whole is kept as it was typed: nobody passes for another by writing it.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let mailbox = TypedMailbox::parse(argument)?;
        let domain = mailbox.domain.as_deref().map(|domain| {
            let text = String::from_utf8_lossy(domain);
            canonical(&text).unwrap_or_else(|| text.to_lowercase()).into()
        });
        Some(Self { local: String::from_utf8_lossy(&mailbox.local).to_lowercase().into(), domain })
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
        let (at, _) = self.local.char_indices().skip(1).find(|&(_, c)| delimiters.contains(c))?;
        Some(&self.local[..at])
    }

    /// Whether it is the mail server itself that knows what domain is meant: a local part alone, or at an address literal.
    pub(super) fn is_unqualified(&self) -> bool {
        self.domain().is_none_or(|domain| domain.starts_with('['))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        self.domain.as_ref().map_or(Ok(()), |domain| write!(f, "@{domain}"))
    }
}

/// A domain or address literal as it is compared; nothing if it is neither.
pub(super) fn canonical(text: &str) -> Option<String> {
    if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let inside = match inside.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => &inside[5..],
            _ => inside,
        };
        return inside.parse::<IpAddr>().ok().map(|ip| format!("[{}]", ip.to_canonical()));
    }
    // Nearly all names are of these letters, and need no IDNA.
    let is_plain = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-".contains(&octet));
    if is_plain
        && !text.contains("--")
        && let Ok((domain, 0)) = Domain::from_octets(text.as_bytes())
    {
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
        for (argument, shown) in [("<Root>", "root"), ("<a@[IPv6:2001:DB8:0::1]>", "a@[2001:db8::1]")] {
            let party = Party::parse(argument.as_bytes()).expect("a party");
            assert_eq!(party.to_string(), shown);
            assert!(party.is_unqualified());
        }
        assert_eq!(Party::parse(b"<>"), None);
        assert_eq!(Party::parse(b""), None);
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
            let party = Party { local: local.into(), domain: None };
            assert_eq!(party.without_detail(delimiters), rest, "{local}");
        }
    }
}
