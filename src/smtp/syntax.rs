//! What is wrong with an address, octet by octet.
//!
//! Reads strictly what [`TypedMailbox`](super::TypedMailbox) reads leniently, and names what it finds. Whether any of it
//! is a reason to refuse mail is not decided here.

use std::net::Ipv6Addr;

use super::Domain;

/// Longest local part and domain (RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.2), path (4.5.3.1.3), and label (RFC 1035, section
/// 2.3.4), in octets.
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
const PATH: usize = 256;
const LABEL: usize = 63;

/// The command that an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// MAIL.
    Sender,
    /// RCPT.
    Recipient,
}

/// One thing that can be wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AddressFault {
    /// Angle brackets that are not one pair around the whole.
    Brackets,
    /// No angle brackets at all: against RFC 5321, but common.
    Bare,
    /// A source route that is none. A good one is legal (RFC 5321, section 4.1.1.3).
    Route,
    /// A local part that is neither a dot-string nor a quoted string (RFC 5321, section 4.1.2; RFC 6531, section 3.3).
    LocalPart,
    /// A dot at either end of the local part, or two in a row: the most common of all faults.
    Dots,
    /// A domain that is neither a name nor an address literal.
    Domain,
    /// A part that is longer than it may be; coded return paths (VERP, SRS, BATV) often are.
    Length,
    /// An address without a domain, a sender's domain without a dot. `<postmaster>` is legal.
    Unqualified,
    /// `%` in a recipient's local part: mail for somebody else, if the mail server takes it so.
    Percent,
    /// Other characters than ASCII without the parameter SMTPUTF8 of MAIL (RFC 6531, section 3.4).
    Utf8,
    /// Blanks between a bracket and the address.
    Blanks,
    /// A domain that no RFC has and most mail servers take: an underscore, a dot at the end, a number at the end.
    DomainForm,
}

impl AddressFault {
    /// All of them; of several the first one gives the reason.
    pub const ALL: [Self; 12] = [
        Self::Brackets,
        Self::Bare,
        Self::Route,
        Self::LocalPart,
        Self::Dots,
        Self::Domain,
        Self::Length,
        Self::Unqualified,
        Self::Percent,
        Self::Utf8,
        Self::Blanks,
        Self::DomainForm,
    ];

    /// The name in settings and log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brackets => "brackets",
            Self::Bare => "bare",
            Self::Route => "route",
            Self::LocalPart => "local-part",
            Self::Dots => "dots",
            Self::Domain => "domain",
            Self::Length => "length",
            Self::Unqualified => "unqualified",
            Self::Percent => "percent",
            Self::Utf8 => "smtputf8",
            Self::Blanks => "blanks",
            Self::DomainForm => "domain-form",
        }
    }

    /// The reply of a refusal: code and enhanced code (RFC 3463: X.1.7 is about a sender's address, X.1.3 about a
    /// recipient's), and words.
    pub fn reply(self, side: Side) -> &'static str {
        match (self, side) {
            (Self::Brackets, Side::Sender) => "501 5.1.7 imbalanced angle brackets in path",
            (Self::Brackets, Side::Recipient) => "501 5.1.3 imbalanced angle brackets in path",
            (Self::Bare, _) => "501 5.5.4 address without angle brackets",
            (Self::Route, _) => "553 5.1.0 invalid source route",
            (Self::LocalPart | Self::Dots, Side::Sender) => "553 5.1.7 invalid local part",
            (Self::LocalPart | Self::Dots, Side::Recipient) => "553 5.1.3 invalid local part",
            (Self::Domain | Self::DomainForm, Side::Sender) => "553 5.1.7 invalid domain name",
            (Self::Domain | Self::DomainForm, Side::Recipient) => "553 5.1.3 invalid domain name",
            (Self::Length, Side::Sender) => "553 5.1.7 address too long",
            (Self::Length, Side::Recipient) => "553 5.1.3 address too long",
            (Self::Unqualified, Side::Sender) => "553 5.1.7 address incomplete",
            (Self::Unqualified, Side::Recipient) => "553 5.1.3 address incomplete",
            (Self::Percent, _) => "550 5.7.1 routed address relaying denied",
            (Self::Utf8, _) => "553 5.6.7 address needs SMTPUTF8",
            (Self::Blanks, Side::Sender) => "553 5.1.7 blanks in path",
            (Self::Blanks, Side::Recipient) => "553 5.1.3 blanks in path",
        }
    }
}

/// A set of [`AddressFault`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressFaults(u16);

impl AddressFaults {
    /// Finds all that is wrong with the argument of MAIL or RCPT, in time linear in its length.
    ///
    /// `is_utf8` tells whether MAIL had the parameter SMTPUTF8.
    pub fn of(argument: &[u8], side: Side, is_utf8: bool) -> Self {
        let mut faults = Self::default();
        let argument = argument.trim_ascii();
        let path = faults.unwrap(argument);
        // What brackets do not hold together is no address that more could be said about.
        if faults.contains(AddressFault::Brackets) {
            return faults;
        }
        // The null reverse-path; Postfix passes nothing at all for mail that did not come by SMTP.
        if path.is_empty() {
            return match side {
                Side::Sender => faults.without(AddressFault::Bare),
                Side::Recipient => faults.with(AddressFault::LocalPart),
            };
        }
        if path.len() + 2 > PATH {
            faults.add(AddressFault::Length);
        }
        if !is_utf8 && !path.is_ascii() {
            faults.add(AddressFault::Utf8);
        }
        let path = path.trim_ascii();
        let mailbox = if path.starts_with(b"@") { faults.route(path) } else { path };
        let (local, domain) = faults.local(mailbox, side);
        match domain {
            Some(domain) => faults.domain(domain, side),
            None if side == Side::Sender || !local.eq_ignore_ascii_case(b"postmaster") => {
                faults.add(AddressFault::Unqualified);
            }
            None => {}
        }
        faults
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is among them.
    pub fn contains(self, fault: AddressFault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either set.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The one that gives the reason.
    pub fn first(self) -> Option<AddressFault> {
        AddressFault::ALL.into_iter().find(|fault| self.contains(*fault))
    }

    fn add(&mut self, fault: AddressFault) {
        self.0 |= 1 << fault as u8;
    }

    fn with(mut self, fault: AddressFault) -> Self {
        self.add(fault);
        self
    }

    fn without(self, fault: AddressFault) -> Self {
        Self(self.0 & !(1 << fault as u8))
    }

    /// Takes off the brackets.
    fn unwrap<'a>(&mut self, argument: &'a [u8]) -> &'a [u8] {
        let (open, close) = (argument.strip_prefix(b"<"), argument.ends_with(b">"));
        let inside = open.unwrap_or(argument);
        let inside = if close { inside.strip_suffix(b">").unwrap_or(inside) } else { inside };
        match (open.is_some(), close) {
            (false, false) if !has_bracket(inside) => self.add(AddressFault::Bare),
            (true, true) if !has_bracket(inside) => {}
            _ => self.add(AddressFault::Brackets),
        }
        if inside.trim_ascii().len() < inside.len() {
            self.add(AddressFault::Blanks);
        }
        inside.trim_ascii()
    }

    /// Takes off a source route: `@relay.example,@x.example:`.
    fn route<'a>(&mut self, path: &'a [u8]) -> &'a [u8] {
        let Some(colon) = memchr::memchr(b':', path) else {
            self.add(AddressFault::Route);
            return &path[1..];
        };
        let mut hops = path[..colon].split(|octet| *octet == b',');
        let is_legal = |hop: &[u8]| {
            let mut of_hop = Self::default();
            hop.strip_prefix(b"@").is_some_and(|name| {
                of_hop.domain(name, Side::Recipient);
                of_hop.without(AddressFault::DomainForm).is_empty()
            })
        };
        if !hops.all(is_legal) {
            self.add(AddressFault::Route);
        }
        &path[colon + 1..]
    }

    /// Looks at the local part. Gives it, and what stands behind the `@`.
    fn local<'a>(&mut self, mailbox: &'a [u8], side: Side) -> (&'a [u8], Option<&'a [u8]>) {
        let end = if let Some(inside) = mailbox.strip_prefix(b"\"") {
            // An end of the quotes that is no end of the local part is as good as none.
            let end = end_of_quotes(inside).map(|end| end + 2);
            if let Some(end) = end.filter(|end| matches!(mailbox.get(*end), None | Some(b'@'))) {
                if !is_quoted(&mailbox[1..end - 1]) {
                    self.add(AddressFault::LocalPart);
                }
                end
            } else {
                self.add(AddressFault::LocalPart);
                memchr::memrchr(b'@', mailbox).unwrap_or(mailbox.len())
            }
        } else {
            let end = memchr::memchr(b'@', mailbox).unwrap_or(mailbox.len());
            self.dot_string(&mailbox[..end], side);
            end
        };
        if end > LOCAL {
            self.add(AddressFault::Length);
        }
        (&mailbox[..end], mailbox.get(end + 1..))
    }

    fn dot_string(&mut self, local: &[u8], side: Side) {
        if local.is_empty() || std::str::from_utf8(local).is_err() || !local.iter().all(|c| is_atom(*c)) {
            self.add(AddressFault::LocalPart);
        }
        if local.starts_with(b".") || local.ends_with(b".") || memchr::memmem::find(local, b"..").is_some() {
            self.add(AddressFault::Dots);
        }
        if side == Side::Recipient && local.contains(&b'%') {
            self.add(AddressFault::Percent);
        }
    }

    fn domain(&mut self, domain: &[u8], side: Side) {
        if domain.len() > DOMAIN {
            self.add(AddressFault::Length);
        }
        if domain.starts_with(b"[") {
            if !is_literal(domain) {
                self.add(AddressFault::Domain);
            }
            return;
        }
        let name = domain.strip_suffix(b".").unwrap_or(domain);
        let mut labels = 0;
        let mut last = &b""[..];
        for label in name.split(|octet| *octet == b'.') {
            let has_foreign =
                !label.iter().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(c) || !c.is_ascii());
            if label.is_empty() || has_foreign || label.starts_with(b"-") || label.ends_with(b"-") {
                self.add(AddressFault::Domain);
            }
            if label.len() > LABEL {
                self.add(AddressFault::Length);
            }
            (labels, last) = (labels + 1, label);
        }
        let is_number = !last.is_empty() && last.iter().all(u8::is_ascii_digit);
        if name.len() < domain.len() || name.contains(&b'_') || is_number {
            self.add(AddressFault::DomainForm);
        }
        if !name.is_ascii() && !std::str::from_utf8(name).is_ok_and(|name| Domain::from_setting(name).is_ok())
        {
            self.add(AddressFault::Domain);
        }
        if labels < 2 && side == Side::Sender && !name.is_empty() {
            self.add(AddressFault::Unqualified);
        }
    }
}

impl FromIterator<AddressFault> for AddressFaults {
    fn from_iter<I: IntoIterator<Item = AddressFault>>(faults: I) -> Self {
        faults.into_iter().fold(Self::default(), Self::with)
    }
}

/// Whether there is a bracket outside of quotes.
fn has_bracket(octets: &[u8]) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    octets.iter().any(|&octet| {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'<' | b'>' => return !is_quoted,
            _ => {}
        }
        false
    })
}

/// Where quotes end that were opened before.
fn end_of_quotes(inside: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    inside.iter().position(|&octet| {
        let is_end = octet == b'"' && !is_escaped;
        is_escaped = octet == b'\\' && !is_escaped;
        is_end
    })
}

/// `qtextSMTP`, quoted pairs, and UTF-8 (RFC 6531, section 3.3).
fn is_quoted(inside: &[u8]) -> bool {
    inside.iter().all(|octet| matches!(octet, b' '..=b'~') || !octet.is_ascii())
        && std::str::from_utf8(inside).is_ok()
}

/// `atext` (RFC 5322, section 3.2.3), a dot, or a part of a character that is not ASCII.
fn is_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&octet) || !octet.is_ascii()
}

/// An address in brackets (RFC 5321, section 4.1.3). Other tags than `IPv6:` have never been registered.
fn is_literal(domain: &[u8]) -> bool {
    let inside = domain.strip_prefix(b"[").and_then(|domain| domain.strip_suffix(b"]"));
    let Some(text) = inside.and_then(|inside| std::str::from_utf8(inside).ok()) else { return false };
    match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => text[5..].parse::<Ipv6Addr>().is_ok(),
        // Other than for a parser of addresses, zeros may come first here (`Snum`).
        _ => {
            let is_number = |part: &str| {
                (1..=3).contains(&part.len())
                    && part.bytes().all(|octet| octet.is_ascii_digit())
                    && part.parse::<u8>().is_ok()
            };
            text.split('.').count() == 4 && text.split('.').all(is_number)
        }
    }
}

#[cfg(test)]
mod tests;
