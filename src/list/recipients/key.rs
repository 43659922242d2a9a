//! Keys of a recipient policy as an administrator writes them.
//!
//! A key that could never match is an error: a protected address with a slip of the pen in it would be open to everybody.

use std::fmt;

use super::party::{canonical, folded};
use crate::list::pattern::{Classes, Glob};
use crate::smtp::{TypedMailbox, is_unprintable};

/// Longest local part of a key, in octets: four times what SMTP has (RFC 5321, section 4.5.3.1.1), for
/// addresses with a coded return path.
const LOCAL: usize = 256;

/// Whom a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `user@spam.example`: one mailbox, with or without detail.
    Address(Box<str>),
    /// `user@`: this local part at any domain, and alone.
    Local(Box<str>),
    /// `*-announce@spam.example`: all mailboxes that fit.
    Glob(Pattern),
    /// `@spam.example` or `spam.example`: all mailboxes of exactly this domain.
    Domain(Box<str>),
    /// `.spam.example`: all mailboxes of this domain and all below it.
    Suffix(Box<str>),
}

/// A glob over whole addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written, folded.
    pub(super) text: Box<str>,
    pub(super) glob: Glob,
    /// The part before the `@`, for addresses that have no domain.
    pub(super) local: Glob,
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// There is nothing.
    #[error("there is nothing in it")]
    Empty,
    /// Blanks, commas, brackets or control characters where none can be.
    #[error("it holds what no address has outside of quotes")]
    Character,
    /// A single word.
    #[error("a single word is neither an address nor a domain")]
    Word,
    /// The domain could never be one.
    #[error("its domain is none")]
    Domain,
    /// More than one `@`, or a local part that is none.
    #[error("what stands before the @ is no local part")]
    Local,
    /// A glob without `@`.
    #[error("a pattern needs an @")]
    Pattern,
    /// A glob that ends in a backslash.
    #[error("a backslash at its end escapes nothing")]
    Backslash,
}

impl BadKey {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Pattern => "write *@*.spam.example, or .spam.example for a domain and all below it",
            Self::Word => "write user@spam.example, or user@ for that local part at any domain",
            _ => "write user@spam.example, user@, @spam.example, .spam.example or *-announce@spam.example",
        }
    }
}

impl Key {
    /// Reads a key. Letters have any case, each bracket may be missing, a domain has U-labels or A-labels.
    ///
    /// # Errors
    /// See [`BadKey`].
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        let text = text.strip_prefix('<').unwrap_or(text);
        let text = text.strip_suffix('>').unwrap_or(text).trim();
        if text.is_empty() {
            return Err(BadKey::Empty);
        }
        if text.contains('"') {
            return quoted(text);
        }
        if text.contains(is_foreign) {
            return Err(BadKey::Character);
        }
        if text.contains(['*', '?']) {
            return pattern(text).map(Self::Glob);
        }
        if text.contains('\\') {
            return Err(BadKey::Character);
        }
        let domain = |text: &str| canonical(text).map(Box::from).ok_or(BadKey::Domain);
        match text.rsplit_once('@') {
            None => match text.strip_prefix('.') {
                Some(suffix) => suffix_of(suffix),
                None if text.trim_end_matches('.').contains('.') => domain(text).map(Self::Domain),
                None => Err(BadKey::Word),
            },
            Some(("", name)) => match name.strip_prefix('.') {
                Some(suffix) => suffix_of(suffix),
                None => domain(name).map(Self::Domain),
            },
            Some((name, "")) => local(name).map(|name| Self::Local(name.into())),
            Some((name, at)) => Ok(Self::Address(format!("{}@{}", local(name)?, domain(at)?).into())),
        }
    }
}

impl fmt::Display for Key {
    /// As it could be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => match text.rsplit_once('@') {
                Some((local, domain)) if local.contains(is_special) => {
                    let local = local.replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, "\"{local}\"@{domain}")
                }
                _ => f.write_str(text),
            },
            Self::Local(local) => write!(f, "{local}@"),
            Self::Glob(pattern) => f.write_str(&pattern.text),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::Suffix(domain) => write!(f, ".{domain}"),
        }
    }
}

/// What stands in no key outside of quotes.
fn is_foreign(c: char) -> bool {
    c.is_whitespace() || is_unprintable(c) || c == '\u{fffd}' || "<>(),;".contains(c)
}

/// What means something else outside of quotes, or nothing.
fn is_special(c: char) -> bool {
    is_foreign(c) || "*?\\\"@:[]".contains(c)
}

fn suffix_of(text: &str) -> Result<Key, BadKey> {
    let domain = canonical(text).filter(|domain| !domain.starts_with('['));
    domain.map(|domain| Key::Suffix(domain.into())).ok_or(BadKey::Domain)
}

fn local(text: &str) -> Result<String, BadKey> {
    let is_local = text.len() < LOCAL && !text.contains(['@', ':', '[', ']']);
    is_local.then(|| folded(text)).ok_or(BadKey::Local)
}

/// `"a b"@spam.example`: quotes are the only way to write some local parts.
fn quoted(text: &str) -> Result<Key, BadKey> {
    let mailbox = TypedMailbox::parse(text.as_bytes()).ok_or(BadKey::Empty)?;
    let local = String::from_utf8(mailbox.local).map_err(|_| BadKey::Local)?;
    let domain = mailbox.domain.and_then(|domain| String::from_utf8(domain).ok()).ok_or(BadKey::Domain)?;
    if !text.starts_with('"') || local.is_empty() || local.len() >= LOCAL || local.contains(is_unprintable) {
        return Err(BadKey::Local);
    }
    // What stands behind the quotes is not read in a more lenient way than elsewhere.
    if text.rsplit_once('@').is_none_or(|(_, written)| canonical(written) != canonical(&domain)) {
        return Err(BadKey::Domain);
    }
    let domain = canonical(&domain).ok_or(BadKey::Domain)?;
    Ok(Key::Address(format!("{}@{domain}", folded(&local)).into()))
}

fn pattern(text: &str) -> Result<Pattern, BadKey> {
    let (local, domain) = text.rsplit_once('@').ok_or(BadKey::Pattern)?;
    if local.contains('@') {
        return Err(BadKey::Local);
    }
    let is_wild = domain.contains(['*', '?']);
    let domain = match (is_wild, domain) {
        (false, "") => "*".to_owned(),
        (false, domain) => canonical(domain).ok_or(BadKey::Domain)?,
        // A part of a U-label is no part of its A-label.
        (true, domain) if !domain.is_ascii() => return Err(BadKey::Domain),
        (true, domain) => domain.trim_end_matches('.').to_ascii_lowercase(),
    };
    let local = folded(local);
    let text = format!("{local}@{domain}");
    let glob = |text: &str| Glob::new(text, Classes::Off).map_err(|_| BadKey::Backslash);
    Ok(Pattern { glob: glob(&text)?, local: glob(&local)?, text: text.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_key_gives_the_same_one() {
        // T59, T65: a key is normalised like an address.
        for (texts, key) in [
            (
                &["list@l.example", "<List@L.Example>", "<LIST@l.example", "list@l.example.>"][..],
                "list@l.example",
            ),
            (&["\"list\"@L.example", "list@l.example."], "list@l.example"),
            (&["x@b\u{fc}cher.example", "X@xn--BCHER-kva.example"], "x@xn--bcher-kva.example"),
            (&["@L.example", "l.example", "<@l.example.>"], "@l.example"),
            (&[".L.example", "@.l.example"], ".l.example"),
            (&["Postmaster@", "<postmaster@>"], "postmaster@"),
            (&["*-Announce@L.example", "<*-announce@l.example.>"], "*-announce@l.example"),
            (&["*@*.L.example"], "*@*.l.example"),
            (&["x@[IPv6:2001:DB8::0:1]", "x@[2001:db8::1]"], "x@[2001:db8::1]"),
            (&["\"a B\"@l.example"], "\"a b\"@l.example"),
            (&[r#""a*\"\\"@l.example"#], r#""a*\"\\"@l.example"#),
        ] {
            for text in texts {
                assert_eq!(Key::parse(text).map(|key| key.to_string()).as_deref(), Ok(key), "{text}");
            }
        }
    }

    #[test]
    fn a_key_that_could_never_match_is_an_error() {
        for (text, why) in [
            ("", BadKey::Empty),
            ("<>", BadKey::Empty),
            ("list", BadKey::Word),
            ("localhost", BadKey::Word),
            ("list@l example", BadKey::Character),
            ("a@x.example, b@x.example", BadKey::Character),
            ("Name <list@l.example>", BadKey::Character),
            ("list(x)@l.example", BadKey::Character),
            ("list@l..example", BadKey::Domain),
            ("@", BadKey::Domain),
            (".", BadKey::Domain),
            ("a@b@l.example", BadKey::Local),
            ("@relay.example:list@l.example", BadKey::Local),
            ("*.l.example", BadKey::Pattern),
            ("*@b\u{fc}*.example", BadKey::Domain),
            ("\"a\"b", BadKey::Domain),
            ("a\"b\"@l.example", BadKey::Local),
            ("\"a\"@l .example", BadKey::Domain),
            ("a\u{fffd}@l.example", BadKey::Character),
        ] {
            assert_eq!(Key::parse(text), Err(why), "{text}");
            let remedy = match why {
                BadKey::Pattern => "write *@*.spam.example,",
                BadKey::Word => "user@ for that local part at any domain",
                _ => "@spam.example,",
            };
            assert!(why.remedy().contains(remedy), "{text}: {}", why.remedy());
        }
        for local in ["x".repeat(256), format!("\"{}\"", "x".repeat(256)), "\"a\u{7}b\"".to_owned()] {
            assert_eq!(Key::parse(&format!("{local}@l.example")), Err(BadKey::Local), "{local:?}");
        }
    }
}
