//! The reverse-path: what a client writes after MAIL FROM.

use super::{Domain, NoDomain};

/// The reverse-path of MAIL (RFC 5321, section 4.1.2), reduced to the domain that answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`, or an empty argument as Postfix passes it for mail that did not come by SMTP.
    Null,
    /// A local part alone, such as `<postmaster>`.
    NoDomain,
    /// A mailbox whose domain can be asked about; `trimmed` of its labels were left out.
    Domain {
        /// The domain.
        domain: Domain,
        /// How many labels were left out, see [`Domain::from_octets`].
        trimmed: usize,
    },
    /// A mailbox whose domain cannot be asked about, an address literal for example.
    Unusable(NoDomain),
}

impl ReversePath {
    /// Reads the argument of MAIL in any form that clients use: with and without brackets, quoted
    /// local parts and domains, source routes, comments, U-labels, stray blanks and backslashes.
    ///
    /// Never fails, in time linear in the input: what is no address at all is still searched for the
    /// domain that the MTA would see in it. Without an `@` that is the one of `domain!user` or
    /// `user%domain`, which Postfix and Sendmail rewrite to `user@domain`.
    pub fn parse(argument: &[u8]) -> Self {
        // Nearly all paths look so; the way below makes a copy and looks at each octet several times.
        if let Some(domain) = plain(argument).and_then(|(_, domain)| Domain::from_octets(domain).ok()) {
            let (domain, trimmed) = domain;
            return Self::Domain { domain, trimmed };
        }
        let mailbox = Path::read(argument);
        let domain = match mailbox.domain() {
            Some(domain) if !domain.is_empty() => domain,
            // No address by any grammar: what follows the last `@` of all is the best guess.
            _ if mailbox.unclosed => match last_name(argument) {
                Some(name) => name,
                None => return Self::NoDomain,
            },
            _ if mailbox.octets.is_empty() => return Self::Null,
            _ => return Self::NoDomain,
        };
        match Domain::from_octets(domain) {
            Ok((domain, trimmed)) => Self::Domain { domain, trimmed },
            Err(why) => Self::Unusable(why),
        }
    }
}

/// A mailbox reduced to what rules and lists look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The local part without quotes and comments, in lower case, at most 256 octets of it (RFC 5321, section 4.5.3.1.1
    /// allows 64). Any octets but control characters: `?` stands for them, and for what is no UTF-8.
    pub local: Box<str>,
    /// The domain, if there is one that could be asked about.
    pub domain: Option<Domain>,
}

/// Octets of a local part that are looked at.
const LOCAL: usize = 256;

impl Mailbox {
    /// Reads the argument of MAIL or RCPT, in all the forms that [`ReversePath::parse`] understands. Nothing
    /// for the null reverse-path.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let path = Path::read(argument);
        if path.octets.is_empty() {
            return None;
        }
        let named = path.domain().filter(|domain| !domain.is_empty());
        let domain = named.and_then(|domain| Domain::from_octets(domain).ok());
        let local = path.local();
        let local = String::from_utf8_lossy(&local[..local.len().min(LOCAL)]);
        let local: String =
            local.chars().map(|c| if c.is_control() || c == '\u{fffd}' { '?' } else { c }).collect();
        Some(Self { local: local.to_lowercase().into(), domain: domain.map(|(domain, _)| domain) })
    }

    /// Both parts as one text: `local@domain`, or the local part alone. Safe to show.
    pub fn address(&self) -> String {
        match &self.domain {
            Some(domain) => format!("{}@{domain}", self.local),
            None => self.local.to_string(),
        }
    }
}

/// Local part and domain of a path that has nothing special in it: `<user@dom>`.
fn plain(argument: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = argument.strip_prefix(b"<")?.strip_suffix(b">")?;
    let at = memchr::memchr(b'@', path)?;
    let (local, domain) = (&path[..at], &path[at + 1..]);
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b".-_+=".contains(octet);
    (at > 0 && local.iter().chain(domain).all(is_plain)).then_some((local, domain))
}

/// What follows the last `@`, without anything that cannot stand in a name.
fn last_name(argument: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b'@', argument)?;
    let in_name = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet) || !octet.is_ascii();
    argument[at + 1..].rsplit(|octet| !in_name(octet)).find(|name| !name.is_empty())
}

/// A mailbox as mail servers read it (RFC 822, section 3.1.4): no comments, no blanks, no quotes, and no
/// brackets around it.
#[derive(Default)]
struct Path {
    octets: Vec<u8>,
    /// Where the first octet that is neither quoted nor in an address literal is one of these: the end of a
    /// source route, the last `@`, the first `!`, the last `%`.
    is_route: bool,
    colon: Option<usize>,
    at: Option<usize>,
    bang: Option<usize>,
    percent: Option<usize>,
    /// A quote, comment or bracket without an end.
    unclosed: bool,
}

impl Path {
    fn read(argument: &[u8]) -> Self {
        let mut mailbox = Self { octets: Vec::with_capacity(argument.len()), ..Self::default() };
        let (mut quoted, mut comments, mut literal, mut open) = (false, 0_usize, false, false);
        let mut rest = argument.iter();
        while let Some(&octet) = rest.next() {
            match octet {
                b'\\' => {
                    let escaped = rest.next();
                    mailbox.octets.extend(escaped.filter(|_| comments == 0));
                }
                b'"' if comments == 0 => quoted = !quoted,
                _ if quoted => mailbox.octets.push(octet),
                b'(' => comments += 1,
                b')' if comments > 0 => comments -= 1,
                _ if comments > 0 || octet.is_ascii_whitespace() => {}
                // What stands before a bracket is a name for people to read.
                b'<' => {
                    mailbox.octets.clear();
                    mailbox = Self { octets: mailbox.octets, ..Self::default() };
                    (literal, open) = (false, true);
                }
                b'>' => {
                    open = false;
                    break;
                }
                _ => {
                    literal = octet == b'[' || literal && octet != b']';
                    if !literal {
                        mailbox.mark(octet);
                    }
                    mailbox.octets.push(octet);
                }
            }
        }
        mailbox.unclosed = quoted || comments > 0 || open && mailbox.octets.is_empty();
        mailbox
    }

    fn mark(&mut self, octet: u8) {
        let here = self.octets.len();
        match octet {
            b'@' => {
                self.is_route |= here == 0;
                self.at = Some(here);
            }
            b':' => self.colon = Some(here),
            b'!' => self.bang = self.bang.or(Some(here)),
            b'%' => self.percent = Some(here),
            _ => {}
        }
    }

    fn local(&self) -> &[u8] {
        let first = self.colon.filter(|_| self.is_route).map_or(0, |colon| colon + 1);
        let (first, end) = match (self.at, self.bang, self.percent) {
            (Some(at), ..) => (first.min(at), at),
            (None, Some(bang), _) => (bang + 1, self.octets.len()),
            (None, None, Some(percent)) => (0, percent),
            (None, None, None) => (first, self.octets.len()),
        };
        self.octets.get(first..end).unwrap_or_default()
    }

    fn domain(&self) -> Option<&[u8]> {
        let routed = self.colon.filter(|_| self.is_route);
        match (self.at, self.bang, self.percent) {
            // `@relay.example:user`: the only domain is that of the route.
            (Some(at), ..) if routed.is_some_and(|colon| at < colon) => None,
            (Some(at), ..) => Some(&self.octets[at + 1..]),
            (None, Some(bang), _) => Some(&self.octets[..bang]),
            (None, None, Some(percent)) => Some(&self.octets[percent + 1..]),
            (None, None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(argument: &[u8]) -> Option<String> {
        match ReversePath::parse(argument) {
            ReversePath::Domain { domain, .. } => Some(domain.to_string()),
            _ => None,
        }
    }

    #[test]
    fn a_plain_path_is_read_as_any_other() {
        let mut words = vec![Vec::new()];
        for _ in 0..5 {
            let longer = words.iter().flat_map(|word: &Vec<u8>| {
                b"aZ0.-_+=@!%:\"\\[(".iter().map(move |octet| [word.as_slice(), &[*octet]].concat())
            });
            let longer: Vec<_> = longer.collect();
            for word in &longer {
                for path in [[b"<", &**word, b".example>"].concat(), [b"<u@", &**word, b">"].concat()] {
                    if let Some((local, domain)) = plain(&path) {
                        let slow = Path::read(&path);
                        assert_eq!((slow.local(), slow.domain()), (local, Some(domain)), "{word:?}");
                        assert!(!slow.unclosed);
                    }
                }
            }
            words = if longer.len() > 4_096 { break } else { longer };
        }
        let parts = plain(b"<a.user+x@sub.example>");
        assert_eq!(parts, Some((&b"a.user+x"[..], &b"sub.example"[..])));
        for path in [&b"<@dom.example>"[..], b"a@dom.example", b"<a@b@dom.example>", b"<\"a\"@dom.example>"] {
            assert_eq!(plain(path), None);
        }
    }

    #[test]
    fn every_way_to_write_an_address_leads_to_its_domain() {
        for argument in [
            "<u@spam.example>",
            "u@spam.example",
            "  <u@spam.example>  ",
            "< u@spam.example >",
            "<u@SPAM.Example>",
            "<u@spam.example.>",
            "<\"a@b\"@spam.example>",
            "<\"a\\\"@b\"@spam.example>",
            "<\"a>b\"@spam.example>",
            "<@relay.example,@x.example:u@spam.example>",
            "<@relay.example:\"a:b@c\"@spam.example>",
            "<user@spam.example (comment)>",
            "<user(a@b)@spam.example>",
            "<user@(comment)spam.example>",
            "<user@(a(b)spam.example>",
            "<\"open@spam.example>",
            "<(open@spam.example>",
            "<a@b@spam.example>",
            "<u@spam.example",
            "<u@spam.example> SIZE=10",
            // Postfix 3.7 takes each of these, and queues mail from u@spam.example.
            "<u@(a(b))spam.example>",
            "<u@(a\\)b)spam.example>",
            "<u@spam.(a)example>",
            "<u@spam.example>>",
            "<x <u@spam.example>>",
            "<u@spam. example>",
            "<u@spam . example>",
            "<u@\"spam.example\">",
            "<u@spam\\.example>",
            "<u@spam.exampl\\e>",
            "<spam.example!u>",
            "<spam.example!u%x.example>",
            "<u%spam.example>",
            "<u%x.example%spam.example>",
            "u@spam.example<",
            "<u@spam.example(a>",
        ] {
            assert_eq!(domain(argument.as_bytes()).as_deref(), Some("spam.example"), "{argument}");
        }
        assert_eq!(domain("<u@b\u{fc}cher.example>".as_bytes()).as_deref(), Some("xn--bcher-kva.example"));
        let padded = [&b"<"[..], &vec![b'a'; 40_000], b"@spam.example>"].concat();
        assert_eq!(domain(&padded).as_deref(), Some("spam.example"));
    }

    #[test]
    fn no_domain_is_not_an_error() {
        assert_eq!(ReversePath::parse(b"<>"), ReversePath::Null);
        assert_eq!(ReversePath::parse(b""), ReversePath::Null);
        assert_eq!(ReversePath::parse(b" < > "), ReversePath::Null);
        assert_eq!(ReversePath::parse(b"<postmaster>"), ReversePath::NoDomain);
        assert_eq!(ReversePath::parse(b"<\"a@b\">"), ReversePath::NoDomain);
        assert_eq!(ReversePath::parse(b"<user@>"), ReversePath::NoDomain);
        assert_eq!(ReversePath::parse(b"<@relay.example:user>"), ReversePath::NoDomain);
        for (argument, why) in [
            ("<u@[192.0.2.9]>", NoDomain::Literal),
            ("<u@[IPv6:2001:db8::1]>", NoDomain::Literal),
            ("<@relay.example:u@[IPv6:2001:db8::1]>", NoDomain::Literal),
            ("<u@1.2.3.4>", NoDomain::Numeric),
            ("<u@localhost>", NoDomain::Single),
        ] {
            assert_eq!(ReversePath::parse(argument.as_bytes()), ReversePath::Unusable(why), "{argument}");
        }
        assert_eq!(ReversePath::parse(b"<u@caf\xe9.example>"), ReversePath::Unusable(NoDomain::Encoding));
    }

    #[test]
    fn a_mailbox_has_a_local_part_and_a_domain() {
        let parse = |argument: &[u8]| Mailbox::parse(argument).map(|mailbox| mailbox.address());
        for (argument, address) in [
            ("<User@Spam.Example>", "user@spam.example"),
            ("<\"a@b\"@spam.example>", "a@b@spam.example"),
            ("<@relay.example:u@spam.example>", "u@spam.example"),
            ("<spam.example!u>", "u@spam.example"),
            ("<u%spam.example>", "u@spam.example"),
            ("<postmaster>", "postmaster"),
            ("<u@[192.0.2.9]>", "u"),
            ("<u\u{1}@spam.example>", "u?@spam.example"),
        ] {
            assert_eq!(parse(argument.as_bytes()).as_deref(), Some(address), "{argument}");
        }
        assert_eq!(parse(b"<>"), None);
        assert_eq!(parse(b"<caf\xe9@spam.example>").as_deref(), Some("caf?@spam.example"));
        let long = [&b"<"[..], &[b'a'; 4_000], b"@spam.example>"].concat();
        assert_eq!(parse(&long).map(|address| address.len()), Some(256 + "@spam.example".len()));
    }
}
