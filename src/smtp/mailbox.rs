//! A mailbox as mail servers read what a client typed.

use super::Domain;

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
    /// Reads the argument of MAIL or RCPT, in all the forms that [`ReversePath::parse`](super::ReversePath::parse)
    /// understands. Nothing for the null reverse-path.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let raw = Raw::read(argument);
        let (local, domain) = raw.parts(argument)?;
        let domain = domain.and_then(|domain| Domain::from_octets(domain).ok());
        let local = String::from_utf8_lossy(&local[..local.len().min(LOCAL)]);
        let local: String =
            local.chars().map(|c| if c.is_control() || c == '\u{fffd}' { '?' } else { c }).collect();
        Some(Self { local: local.to_lowercase().into(), domain: domain.map(|(domain, _)| domain) })
    }

    /// Both parts as one text: `local@domain`, or the local part alone: one line, and to be shown on a
    /// terminal by [`plain`](super::plain) only.
    pub fn address(&self) -> String {
        match &self.domain {
            Some(domain) => format!("{}@{domain}", self.local),
            None => self.local.to_string(),
        }
    }
}

/// A mailbox (RFC 5321, section 4.1.2) as it was typed, but for brackets, quotes, comments, blanks and source route.
///
/// Whatever is typed is read as something, in time linear in its length: a strange address must
/// not be a way around a map. Nothing is folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedMailbox {
    /// What stands before the `@`.
    pub local: Vec<u8>,
    /// What stands behind it, a literal with its brackets; `None` for a local part alone.
    pub domain: Option<Vec<u8>>,
    /// The domain is a guess, since a quote, comment or bracket has no end: a mail server may see none.
    pub is_guess: bool,
}

impl TypedMailbox {
    /// Reads the argument of MAIL or RCPT; `None` is the null path `<>`.
    ///
    /// The domain is that of [`ReversePath::parse`](super::ReversePath::parse).
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let raw = Raw::read(argument);
        let (local, domain) = raw.parts(argument)?;
        let (local, domain) = (local.to_vec(), domain.map(<[u8]>::to_vec));
        Some(Self { local, domain, is_guess: raw.unclosed })
    }
}

/// What follows the last `@`, without anything that cannot stand in a name.
pub(super) fn last_name(argument: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b'@', argument)?;
    let in_name = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet) || !octet.is_ascii();
    argument[at + 1..].rsplit(|octet| !in_name(octet)).find(|name| !name.is_empty())
}

/// A mailbox as mail servers read it (RFC 822, section 3.1.4): no comments, no blanks, no quotes, and no
/// brackets around it.
#[derive(Default)]
pub(super) struct Raw {
    pub(super) octets: Vec<u8>,
    /// Where the first octet that is neither quoted nor in an address literal is one of these: the end of a
    /// source route, the last `@`, the first `!`, the last `%`.
    is_route: bool,
    colon: Option<usize>,
    at: Option<usize>,
    bang: Option<usize>,
    percent: Option<usize>,
    /// A semicolon ends what begins with the colon: a group.
    is_group: bool,
    /// A quote, comment or bracket without an end.
    pub(super) unclosed: bool,
}

impl Raw {
    pub(super) fn read(argument: &[u8]) -> Self {
        let mut mailbox = Self { octets: Vec::with_capacity(argument.len()), ..Self::default() };
        let (mut quoted, mut comments, mut literal, mut open) = (false, 0_usize, false, 0_usize);
        let mut rest = behind_route(argument).iter();
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
                // Between addresses, and behind a group: Postfix takes one address that has them around it.
                b',' if !literal => {}
                b';' if !literal => mailbox.is_group |= mailbox.colon.is_some(),
                _ if comments > 0 || octet.is_ascii_whitespace() => {}
                // What stands before a bracket is a name for people to read.
                b'<' => {
                    mailbox.octets.clear();
                    mailbox = Self { octets: mailbox.octets, ..Self::default() };
                    (literal, open) = (false, open + 1);
                }
                // Mail servers pass over one that ends nothing.
                b'>' if mailbox.octets.is_empty()
                    && (open > 1 || rest.as_slice().first().copied().is_some_and(is_ink)) =>
                {
                    open = open.saturating_sub(1);
                }
                b'>' => {
                    open = 0;
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
        // A bracket in a local part is no literal's for Sendmail, which sees the `@` behind it.
        let hidden = literal && mailbox.at.is_none();
        mailbox.unclosed = quoted || comments > 0 || hidden || open > 0 && mailbox.octets.is_empty();
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

    pub(super) fn domain(&self) -> Option<&[u8]> {
        self.split().1
    }

    /// Both parts of what was read from `argument`; nothing for the null path.
    fn parts<'a>(&'a self, argument: &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let (local, domain) = self.split();
        let mut domain = domain.filter(|domain| !domain.is_empty());
        if domain.is_none() && self.unclosed {
            domain = last_name(argument);
        }
        (!self.octets.is_empty() || domain.is_some() || self.unclosed).then_some((local, domain))
    }

    /// The local part, and the domain if there is one.
    pub(super) fn split(&self) -> (&[u8], Option<&[u8]>) {
        let (octets, start) = (&self.octets[..], self.start());
        match (self.at, self.bang, self.percent) {
            // `@relay.example:user`: the only domain is that of the route.
            (Some(at), ..) if at < start => (&octets[start..], None),
            (Some(at), ..) => (&octets[start..at], Some(&octets[at + 1..])),
            (None, Some(bang), _) => (&octets[bang + 1..], Some(&octets[start.min(bang)..bang])),
            (None, None, Some(percent)) if percent < start && self.is_percent_route() => {
                (&octets[start..], None)
            }
            (None, None, Some(percent)) => {
                (&octets[start.min(percent)..percent], Some(&octets[percent + 1..]))
            }
            (None, None, None) => (&octets[start..], None),
        }
    }

    /// Whether it is `%relay.example:user`. Where there is no `@` a mail server makes one of the last `%`, and if nothing
    /// stands before that, what it has then is a source route.
    fn is_percent_route(&self) -> bool {
        (self.at, self.bang, self.percent) == (None, None, Some(0))
    }

    /// Where the mailbox begins: behind a source route, or behind the name of a group, as in `group: user@dom;`.
    fn start(&self) -> usize {
        let Some(start) = self.colon.map(|colon| colon + 1) else { return 0 };
        let is_group = self.is_group || start < self.at.unwrap_or(self.octets.len());
        if self.is_route || self.is_percent_route() || is_group { start } else { 0 }
    }
}

/// What follows a source route. Postfix looks for nothing but its colon: a comment or bracket that begins before it
/// hides nothing behind it.
fn behind_route(argument: &[u8]) -> &[u8] {
    let mut rest = argument;
    loop {
        let path = rest.trim_ascii_start();
        let path = path.strip_prefix(b"<").unwrap_or(path).trim_ascii_start();
        let colon = memchr::memchr(b':', path).filter(|_| path.starts_with(b"@"));
        match colon.map(|colon| &path[colon + 1..]) {
            Some(behind) if behind.iter().any(|&octet| is_ink(octet) && octet != b'>') => rest = behind,
            _ => return rest,
        }
    }
}

/// Whether it is no blank.
fn is_ink(octet: u8) -> bool {
    !octet.is_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::{Mailbox, TypedMailbox};

    fn parts(argument: &str) -> Option<(String, Option<String>)> {
        let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
        TypedMailbox::parse(argument.as_bytes())
            .map(|mailbox| (text(mailbox.local), mailbox.domain.map(text)))
    }

    #[test]
    fn every_way_to_write_an_address_leads_to_its_local_part_and_domain() {
        for argument in [
            "<a+x@spam.example>",
            "a+x@spam.example",
            "<a+x@spam.example",
            "a+x@spam.example>",
            " < a+x@spam.example > ",
            "<\"a+x\"@spam.example>",
            "<\"a+\\x\"@spam.example>",
            "<@relay.example,@x.example:a+x@spam.example>",
            "Somebody <a+x@spam.example>",
            "<a+x(comment)@spam.example>",
            "<spam.example!a+x>",
            "<a+x%spam.example>",
            "<a+x@spam.example> SIZE=10",
            // Postfix 3.7 takes each of these for a+x@spam.example.
            "<a+x@spam.example;>",
            "<a+x@spam.example,>",
            "<,a+x@spam.example>",
            "<group:a+x@spam.example;>",
            "group:a+x@spam.example;",
            "<:a+x@spam.example;>",
            "<group:a+x%spam.example;>",
            "<group:spam.example!a+x;>",
            "<>a+x@spam.example>",
            ">a+x@spam.example",
            "<(c)>a+x@spam.example>",
            "<@relay.(example:a+x@spam.example>",
            "<@relay.>example:a+x@spam.example>",
            "<@relay.[example:a+x@spam.example>",
            "<@relay.\"example:a+x@spam.example>",
            "<@relay.example:@x.example:a+x@spam.example>",
            "<@relay.example:group:a+x@spam.example;>",
        ] {
            assert_eq!(parts(argument), Some(("a+x".into(), Some("spam.example".into()))), "{argument}");
        }
        for (argument, local, domain) in [
            ("<postmaster>", "postmaster", None),
            ("<@relay.example:user>", "user", None),
            ("<a@[192.0.2.1]>", "a", Some("[192.0.2.1]")),
            ("<a%b@c.example>", "a%b", Some("c.example")),
            ("<@spam.example>", "", Some("spam.example")),
            ("<a@>", "a", None),
            ("<\"a b\"@c.example>", "a b", Some("c.example")),
            ("<\"a,b;c:d\"@c.example>", "a,b;c:d", Some("c.example")),
            ("<a:@c.example>", "a:", Some("c.example")),
            ("<a@c.example:25>", "a", Some("c.example:25")),
            ("<group:a;>", "a", None),
            // Postfix 3.7 takes each of these for a.
            ("<<> a>", "a", None),
            ("<<<>> a>", "a", None),
            ("%relay.example:a", "a", None),
            ("<%:a>", "a", None),
            ("<;%:a>", "a", None),
            ("<x@c.example:a;>", "a", None),
        ] {
            assert_eq!(parts(argument), Some((local.into(), domain.map(Into::into))), "{argument}");
        }
        for argument in ["<>", "", " < > ", "<\"\">", "<> SIZE=10", "<>>", "<<>>", "<<> >"] {
            assert_eq!(parts(argument), None, "{argument}");
        }
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
