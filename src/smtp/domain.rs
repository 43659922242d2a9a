//! Domain names in the one form in which lists know them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Longest label and longest name in presentation form (RFC 1035, section 2.3.4).
const LABEL: usize = 63;
const NAME: usize = 253;

/// Names below which nothing public exists (RFC 6761, RFC 6762, RFC 8375 and common practice).
/// `test` and `example` are not here: asking about them is harmless.
const SPECIAL: [&str; 9] =
    ["local", "localdomain", "localhost", "internal", "lan", "home.arpa", "arpa", "onion", "invalid"];

/// A domain name fit to be asked about.
///
/// In lower case, as A-labels (RFC 5890), without a trailing dot, of at least two labels, each one of
/// 1 to 63 letters, digits, hyphens and underscores; at most 253 octets long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

/// Why octets are no domain name that could be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoDomain {
    /// Nothing is left after blanks and dots are taken away.
    Empty,
    /// The octets are not UTF-8, and no name stands to the right of what is wrong.
    Encoding,
    /// An address literal in brackets, closed or not.
    Literal,
    /// The rightmost label is no legal label.
    Syntax,
    /// A single label, such as `localhost`.
    Single,
    /// The rightmost label is a number: an address, or a slip of the pen.
    Numeric,
    /// A name that exists on this host or network only.
    Special,
}

impl NoDomain {
    /// One word for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Encoding => "encoding",
            Self::Literal => "literal",
            Self::Syntax => "syntax",
            Self::Single => "single",
            Self::Numeric => "numeric",
            Self::Special => "special",
        }
    }
}

impl Domain {
    /// Reads a domain name as a client typed it, in HELO or behind the `@`.
    ///
    /// U-labels become A-labels (UTS 46, non-transitional). Where the left part of the name is
    /// illegal or the whole too long, the legal right part is taken: a list that knows a domain knows
    /// its subdomains, and an ugly host name must not be a way around it. The second value tells
    /// how many labels were left out, and counts one for what follows a control character.
    ///
    /// # Errors
    /// [`NoDomain`] says why there is nothing to ask about.
    pub fn from_octets(octets: &[u8]) -> Result<(Self, usize), NoDomain> {
        // Nearly all names are legal as they stand; the way below looks at each label several times.
        if let Some(domain) = Self::plain(octets) {
            return Ok((domain, 0));
        }
        let printable = octets.iter().position(u8::is_ascii_control).unwrap_or(octets.len());
        let cut = printable < octets.len();
        // What is no UTF-8 cannot stand in a label, and hides the labels to its right no more than a blank does.
        let text = String::from_utf8_lossy(&octets[..printable]);
        let is_garbled = matches!(text, Cow::Owned(_));
        let text = text.trim_start().trim_end_matches(|c: char| is_dot(c) || c.is_whitespace());
        if text.is_empty() {
            return Err(NoDomain::Empty);
        }
        if text.starts_with('[') {
            return Err(NoDomain::Literal);
        }
        let (name, trimmed) =
            canonical(text).map_err(|why| if is_garbled { NoDomain::Encoding } else { why })?;
        if SPECIAL.iter().any(|special| is_below(&name, special)) {
            return Err(NoDomain::Special);
        }
        Ok((Self(name.into()), trimmed + usize::from(cut)))
    }

    /// A name that is legal as it stands, but for the case of its letters.
    fn plain(octets: &[u8]) -> Option<Self> {
        let mut name = [0; NAME];
        let name = name.get_mut(..octets.len())?;
        let (mut label, mut is_number) = (0, true);
        for (to, &octet) in name.iter_mut().zip(octets) {
            match octet {
                b'.' if label > 0 => (label, is_number) = (0, true),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < LABEL => {
                    label += 1;
                    is_number &= octet.is_ascii_digit();
                }
                _ => return None,
            }
            *to = octet.to_ascii_lowercase();
        }
        let is_one_label = label == name.len();
        if is_number || is_one_label {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        let is_special = SPECIAL.iter().any(|special| is_below(name, special));
        (!is_special).then(|| Self(name.into()))
    }

    /// Reads a domain name that an administrator wrote: one or more labels, all of it legal.
    ///
    /// # Errors
    /// [`NoDomain`] says what is wrong; names of this host and single labels are allowed here.
    pub fn from_setting(text: &str) -> Result<Self, NoDomain> {
        let text = text.trim().trim_end_matches(is_dot);
        if text.is_empty() {
            return Err(NoDomain::Empty);
        }
        let labels = labels(text);
        let legal = labels.len() == text.split(is_dot).count();
        let name = labels.join(".");
        if legal && name.len() <= NAME { Ok(Self(name.into())) } else { Err(NoDomain::Syntax) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared: findings about it need no copy.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The name without labels on the left until at most `room` octets are left, or two labels.
    #[must_use]
    pub fn fit(&self, room: usize) -> Self {
        let mut name: &str = &self.0;
        while name.len() > room {
            match name.split_once('.') {
                Some((_, parent)) if parent.contains('.') => name = parent,
                _ => break,
            }
        }
        if name.len() == self.0.len() { self.clone() } else { Self(name.into()) }
    }

    /// How many labels it has.
    pub fn labels(&self) -> usize {
        self.0.bytes().filter(|&octet| octet == b'.').count() + 1
    }

    /// Whether the name is `suffix` or lies below it, on a label boundary.
    pub fn is_within(&self, suffix: &Self) -> bool {
        is_below(&self.0, &suffix.0)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|left| left.is_empty() || left.ends_with('.'))
}

/// The dots of UTS 46: full stop and its three ideographic kin.
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}')
}

fn canonical(text: &str) -> Result<(String, usize), NoDomain> {
    let mut legal = labels(text);
    let mut trimmed = text.split(is_dot).count() - legal.len();
    let mut length =
        legal.iter().map(|label| label.len() + 1).sum::<usize>() - usize::from(!legal.is_empty());
    while length > NAME {
        length -= legal.remove(0).len() + 1;
        trimmed += 1;
    }
    let Some(last) = legal.last() else { return Err(NoDomain::Syntax) };
    if last.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(NoDomain::Numeric);
    }
    if legal.len() < 2 {
        return Err(NoDomain::Single);
    }
    Ok((legal.join("."), trimmed))
}

/// The legal labels at the right end of a name, left to right; at most 127, as many as a name can have.
fn labels(text: &str) -> Vec<String> {
    let mut labels: Vec<String> = text.rsplit(is_dot).take(NAME / 2 + 1).map_while(label).collect();
    labels.reverse();
    labels
}

fn label(label: &str) -> Option<String> {
    let label = if label.is_ascii() {
        if label.len() > LABEL {
            return None;
        }
        label.to_ascii_lowercase()
    } else {
        // However long: UTS 46 takes out soft hyphens and the like. The library bounds its own work.
        idna::domain_to_ascii_cow(label.as_bytes(), idna::AsciiDenyList::EMPTY).ok()?.into_owned()
    };
    is_label(&label).then_some(label)
}

fn is_label(label: &str) -> bool {
    (1..=LABEL).contains(&label.len())
        && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Read {
        Domain::from_octets(text.as_bytes()).map(|(domain, trimmed)| (domain.to_string(), trimmed))
    }

    /// What `name` is read as, and how much was left out on the way.
    type Read = Result<(String, usize), NoDomain>;

    #[test]
    fn names_become_lower_case_a_labels_without_trailing_dot() {
        assert_eq!(read("MAIL.Spam.Example."), Ok(("mail.spam.example".into(), 0)));
        assert_eq!(read("  spam.example...  "), Ok(("spam.example".into(), 0)));
        assert_eq!(read("spam.example. ."), Ok(("spam.example".into(), 0)));
        assert_eq!(read("b\u{fc}cher.example"), Ok(("xn--bcher-kva.example".into(), 0)));
        assert_eq!(read("B\u{dc}CHER.EXAMPLE"), Ok(("xn--bcher-kva.example".into(), 0)));
        assert_eq!(read("xn--bcher-kva.example"), Ok(("xn--bcher-kva.example".into(), 0)));
        assert_eq!(read("b\u{fc}cher\u{3002}example"), Ok(("xn--bcher-kva.example".into(), 0)));
        assert_eq!(read("fa\u{df}.example"), Ok(("xn--fa-hia.example".into(), 0)));
        assert_eq!(read("my_host.spam.example"), Ok(("my_host.spam.example".into(), 0)));
        assert_eq!(read("-a-.spam.example"), Ok(("-a-.spam.example".into(), 0)));
    }

    #[test]
    fn an_ugly_left_part_does_not_hide_the_right_one() {
        let long = "x".repeat(64);
        assert_eq!(read(&format!("{long}.spam.example")), Ok(("spam.example".into(), 1)));
        assert_eq!(read("a..spam.example"), Ok(("spam.example".into(), 2)));
        assert_eq!(read("a b.spam.example"), Ok(("spam.example".into(), 1)));
        assert_eq!(read("a@b.spam.example"), Ok(("spam.example".into(), 1)));
        assert_eq!(read(".spam.example"), Ok(("spam.example".into(), 1)));
        assert_eq!(read("spam.example\0x"), Ok(("spam.example".into(), 1)));
        assert_eq!(read("a.b.\u{200d}\u{378}.spam.example"), Ok(("spam.example".into(), 3)));
        for octets in
            [&b"b\xfccher.spam.example"[..], b"\xff\xfe.\x80.spam.example", b"a.\xe3\x80.spam.example"]
        {
            let (name, trimmed) = Domain::from_octets(octets).expect("a domain");
            assert_eq!(name.as_str(), "spam.example", "{octets:?}");
            assert!(trimmed > 0);
        }
        let padded = format!("s{}pam.example", "\u{ad}".repeat(900));
        assert_eq!(read(&padded), Ok(("spam.example".into(), 0)));
        let deep = format!("{}spam.example", "a.".repeat(5_000));
        let (name, trimmed) = read(&deep).expect("a domain");
        assert!(name.len() <= 253 && name.ends_with(".a.spam.example"));
        assert_eq!(trimmed, 5_002 - name.split('.').count());
    }

    #[test]
    fn what_is_no_domain_says_why() {
        for (text, why) in [
            ("", NoDomain::Empty),
            (".", NoDomain::Empty),
            (" \t", NoDomain::Empty),
            ("\0spam.example", NoDomain::Empty),
            ("[192.0.2.1]", NoDomain::Literal),
            ("[192.0.2.1", NoDomain::Literal),
            ("[]", NoDomain::Literal),
            ("1.2.3.4", NoDomain::Numeric),
            ("foo.1234", NoDomain::Numeric),
            ("12345", NoDomain::Numeric),
            ("localhost", NoDomain::Single),
            ("ylmf-pc", NoDomain::Single),
            ("a..b", NoDomain::Single),
            ("spam.exam ple", NoDomain::Syntax),
            // A name is read from the right and ends at its first illegal label: here nothing is left.
            // Unlike MAIL, HELO has no grammar of quotes, brackets and ports that could be taken off.
            ("spam.example x", NoDomain::Syntax),
            ("\"spam.example\"", NoDomain::Syntax),
            ("<spam.example>", NoDomain::Syntax),
            ("spam.example:25", NoDomain::Syntax),
            ("-", NoDomain::Single),
            ("host.local", NoDomain::Special),
            ("a.b.LocalDomain", NoDomain::Special),
            ("router.home.arpa", NoDomain::Special),
            ("x.invalid", NoDomain::Special),
        ] {
            assert_eq!(read(text), Err(why), "{text:?}");
        }
        for octets in [&b"caf\xe9.example"[..], b"spam.ex\xe4mple", b"spam.example\xff", b"\xff.1234"] {
            assert_eq!(Domain::from_octets(octets), Err(NoDomain::Encoding), "{octets:?}");
        }
        assert_eq!(Domain::from_octets(&(0x80..=0xff).collect::<Vec<u8>>()), Err(NoDomain::Encoding));
        assert_eq!(read(&"x".repeat(300)), Err(NoDomain::Syntax));
    }

    #[test]
    fn fitting_takes_labels_from_the_left_and_keeps_two() {
        let (domain, _) = Domain::from_octets(b"aaa.bbb.spam.example").expect("a domain");
        for (room, name, labels) in [
            (100, "aaa.bbb.spam.example", 4),
            (19, "bbb.spam.example", 3),
            (12, "spam.example", 2),
            (3, "spam.example", 2),
        ] {
            let fitted = domain.fit(room);
            assert_eq!((fitted.as_str(), fitted.labels()), (name, labels), "{room}");
        }
    }

    #[test]
    fn a_suffix_matches_itself_and_below_it_only() {
        let suffix = Domain::from_setting("b\u{fc}cher.example.").expect("a suffix");
        for (name, within) in [
            ("xn--bcher-kva.example", true),
            ("a.xn--bcher-kva.example", true),
            ("notxn--bcher-kva.example", false),
        ] {
            let (domain, _) = Domain::from_octets(name.as_bytes()).expect("a domain");
            assert_eq!(domain.is_within(&suffix), within, "{name}");
        }
    }

    #[test]
    fn a_setting_must_be_legal_as_a_whole() {
        assert!(Domain::from_setting("example").is_ok());
        assert_eq!(Domain::from_setting("a b.example"), Err(NoDomain::Syntax));
        assert_eq!(Domain::from_setting(""), Err(NoDomain::Empty));
        assert_eq!(Domain::from_setting("*.example"), Err(NoDomain::Syntax));
    }
}
