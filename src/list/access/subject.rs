//! Whom a map is asked about: clients and addresses, in the form that keys have.
//!
//! Everything is folded here, once for all keys and patterns: letters to lower case, domains to A-labels,
//! addresses to one spelling. Nothing that a client types is refused.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::list::address;
use crate::smtp::{Domain, TypedMailbox};

/// Longest domain that is looked at. Longer ones cannot exist in DNS; their right end can be a key.
const DOMAIN: usize = 255;

/// The client of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    ip: Option<IpAddr>,
    name: Option<Box<str>>,
}

impl Host {
    /// A client by its canonical address and by the name that the MTA gives it: `unknown`, `[192.0.2.1]` and
    /// nothing at all stand for a client without a verified name.
    pub fn new(ip: Option<IpAddr>, name: &[u8]) -> Self {
        let resolved = !name.is_empty() && !name.starts_with(b"[") && !name.eq_ignore_ascii_case(b"unknown");
        Self { ip, name: resolved.then(|| domain(name).into()) }
    }

    /// The address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The verified name, folded.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What stands for the name of a client without one: its address in brackets.
    pub(super) fn bracketed(&self) -> Option<String> {
        self.ip.map(bracketed)
    }

    /// What patterns are tried on: the name or what stands for it, then the address.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> =
            self.name().map(str::to_owned).or_else(|| self.bracketed()).into_iter().collect();
        match self.ip {
            Some(ip @ IpAddr::V6(_)) => texts.extend([ip.to_string(), format!("ipv6:{ip}")]),
            Some(ip) => texts.push(ip.to_string()),
            None => {}
        }
        texts
    }
}

/// The address of a sender or recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `local@domain`; without `@` a local part alone.
    text: Box<str>,
    /// Where the local part ends.
    end: usize,
}

impl Address {
    /// Reads the argument of MAIL or RCPT as the MTA does; `None` is the null sender.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let mailbox = TypedMailbox::parse(argument)?;
        let mut text = fold(&mailbox.local).into_owned();
        let end = text.len();
        let domain = domain(mailbox.domain.as_deref().unwrap_or_default());
        if !domain.is_empty() {
            text.push('@');
            text.push_str(&domain);
        }
        Some(Self { text: text.into(), end })
    }

    /// The whole of it, folded.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part, folded.
    pub fn local(&self) -> &str {
        &self.text[..self.end]
    }

    /// The domain, folded; empty if there is none.
    pub fn domain(&self) -> &str {
        self.text.get(self.end + 1..).unwrap_or_default()
    }

    /// The local part with the `@` behind it; nothing if no domain follows.
    pub(super) fn local_at(&self) -> Option<&str> {
        self.text.get(..=self.end)
    }

    /// The local part without its detail: up to the first delimiter that is not its first character.
    pub fn without_detail(&self, delimiters: &str) -> Option<&str> {
        address::without_detail(self.local(), delimiters)
    }
}

/// `[192.0.2.1]`, `[ipv6:2001:db8::1]`.
pub(super) fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[ipv6:{ip}]"),
    }
}

/// An address literal in that form, if it is one.
pub(super) fn literal(text: &str) -> Option<String> {
    address::literal(text).map(bracketed)
}

/// A domain of any origin as keys have it.
pub(super) fn domain(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    if let Some(literal) = literal(&text) {
        return literal;
    }
    if let Ok(domain) = Domain::from_setting(&text) {
        return domain.as_str().to_owned();
    }
    // What is no legal domain as a whole still has parents.
    let text = text.trim_end_matches('.');
    let start = text.len().saturating_sub(DOMAIN);
    match Domain::from_octets(text.as_bytes()) {
        // With U-labels in it: those at the right end that are legal.
        Ok((domain, _)) if !text.is_ascii() => domain.as_str().to_owned(),
        _ => fold(&text.as_bytes()[start..]).into_owned(),
    }
}

/// Text with its ASCII letters in lower case; what is not UTF-8 is replaced and then matches no key.
pub(super) fn fold(octets: &[u8]) -> Cow<'_, str> {
    let mut text = String::from_utf8_lossy(octets);
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        text.to_mut().make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_of_any_origin_has_one_form() {
        let long = format!("{}.B.Example", "a".repeat(300));
        for (typed, expected) in [
            ("MX.Example.", "mx.example"),
            ("B\u{fc}cher.example", "xn--bcher-kva.example"),
            ("[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            // No legal name, and still what a pattern is tried on.
            ("A(b.Example", "a(b.example"),
            ("a..b.example.", "a..b.example"),
            // Its legal part is a key, and so are its parents.
            ("a(b.B\u{fc}cher.example", "xn--bcher-kva.example"),
            (&long, &long[long.len() - DOMAIN..].to_lowercase()),
        ] {
            assert_eq!(domain(typed.as_bytes()), expected, "{typed}");
        }
    }
}
