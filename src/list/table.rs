//! A list that was read from a file: addresses, domains or mailboxes.
//!
//! Reads the files of rbldnsd and plain lists, and answers as rbldnsd would over DNS for the same file. It opens
//! no file (that is `source`'s work), asks nobody, and knows no clock: `$TIMESTAMP` does not make a list expire.

mod blocks;
mod directive;
mod fault;
mod generic;
mod ip4;
mod ip6;
mod lines;
mod load;
mod names;
mod plain;
mod ranges;
mod strings;
mod text;
mod values;

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use super::recipients::folded;
use crate::smtp::Domain;

use self::names::Names;
use self::ranges::Ranges;
use self::text::Substitutes;
use self::values::Values;

pub use self::fault::Fault;

/// How a file is written. The names are those of rbldnsd(8), and `plain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One entry a line, of the [`Kind`] that goes with it; a line that is none is an error.
    Plain,
    /// IPv4 addresses, networks and ranges; of what overlaps, whole /24, /16 and /8 are the less specific.
    Ip4Set,
    /// IPv4 networks; the longest prefix wins.
    Ip4Trie,
    /// IPv6 networks; the longest prefix wins.
    Ip6Trie,
    /// Domains, with and without what is below them.
    Dnset,
    /// Names with `A` and `TXT` records.
    Generic,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::Ip4Set, Self::Ip4Trie, Self::Ip6Trie, Self::Dnset, Self::Generic];

    /// The word for it in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ip4Set => "ip4set",
            Self::Ip4Trie => "ip4trie",
            Self::Ip6Trie => "ip6trie",
            Self::Dnset => "dnset",
            Self::Generic => "generic",
        }
    }

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What its entries are; a plain file does not tell.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Plain => None,
            Self::Ip4Set | Self::Ip4Trie | Self::Ip6Trie => Some(Kind::Address),
            Self::Dnset | Self::Generic => Some(Kind::Domain),
        }
    }
}

/// What the entries of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 and IPv6 addresses and networks.
    Address,
    /// Domains: `spam.example` alone, `*.spam.example` all below it, `.spam.example` both.
    Domain,
    /// Mailboxes: `user@dom`, `@dom` (also `@*.dom`, `@.dom`), `user@`, and `<>` for the null reverse-path.
    Mailbox,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Address, Self::Domain, Self::Mailbox];

    /// The word for it in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Mailbox => "mailbox",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A list, compiled and immutable.
///
/// A look-up takes a microsecond at most, whatever the list holds and whoever chose the subject. A million addresses take
/// 12 octets each (IPv6: 36) and their texts, a million domains some 40 octets each and their names.
#[derive(Debug)]
pub struct Table {
    format: Format,
    kind: Kind,
    entries: usize,
    values: Values,
    ip4: Ranges<u32>,
    ip6: Ranges<u128>,
    /// Domains; of mailboxes those without a local part.
    domains: Names,
    /// `user@dom`, `user@`, and `@` for the null reverse-path.
    mailboxes: Names,
    substitutes: Substitutes,
}

impl Table {
    /// Compiles a file. `kind` says what the lines of a plain file are; the other formats say so themselves.
    ///
    /// The second value holds warnings: lines that rbldnsd passes over, too, and what is strange otherwise. Of many
    /// only the first are kept, the last one then says how many more there were.
    ///
    /// # Errors
    /// What shows that the file is not what it should be, and every wrong line of a plain file: nothing of such a
    /// file should be used. Of many only the first are kept, as with warnings.
    pub fn parse(format: Format, kind: Kind, text: &[u8]) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        load::load(format, format.kind().unwrap_or(kind), text, load::ENTRIES)
    }

    /// How the file was written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What the entries are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many entries the file had, exclusions included.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The entry for an address, if it is listed and not excluded. An IPv4-mapped address is an IPv4 address.
    ///
    /// In a list of names the address is looked up as lists know it in DNS: `4.3.2.1`.
    pub fn address(&self, ip: IpAddr) -> Option<Entry<'_>> {
        let ip = ip.to_canonical();
        let listing = match (self.format, ip) {
            (Format::Dnset | Format::Generic, _) => return self.name(&reversed(ip)),
            (_, IpAddr::V4(ip)) => self.ip4.find(ip.to_bits())?,
            (_, IpAddr::V6(ip)) => self.ip6.find(ip.to_bits())?,
        };
        self.entry(listing, Subject::Ip(ip))
    }

    /// The entry for a domain, if it is listed and not excluded: its own, else that of the nearest domain above it.
    pub fn domain(&self, domain: &Domain) -> Option<Entry<'_>> {
        if self.kind == Kind::Domain { self.name(domain.as_str()) } else { None }
    }

    /// The entry for a mailbox, if it is listed and not excluded: for the mailbox itself, for its domain, for its
    /// local part, in this order.
    ///
    /// The local part comes without quotes; upper and lower case of all letters are the same. A mailbox without a
    /// domain is found as `user@`; with an empty local part as well it is the null reverse-path, `<>`.
    pub fn mailbox(&self, local: &str, domain: Option<&Domain>) -> Option<Entry<'_>> {
        if self.kind != Kind::Mailbox {
            return None;
        }
        // None in the table is longer, and none is without its `@`.
        let mut key = if local.len() <= plain::LOCAL { folded(local) + "@" } else { String::new() };
        let end = key.len();
        let whole = domain.and_then(|domain| {
            key.push_str(domain.as_str());
            self.mailboxes.exact(&key)
        });
        let by_domain = || self.domains.find(domain?.as_str());
        // Without a local part it would be the null reverse-path.
        let alone = || self.mailboxes.exact(&key[..end]).filter(|_| domain.is_none() || !local.is_empty());
        let (listing, name) = whole.or_else(by_domain).or_else(alone)?;
        self.entry(listing, Subject::Name(name))
    }

    fn name(&self, name: &str) -> Option<Entry<'_>> {
        let (listing, name) = self.domains.find(name)?;
        self.entry(listing, Subject::Name(name))
    }

    fn entry<'a>(&'a self, listing: u32, subject: Subject<'a>) -> Option<Entry<'a>> {
        // An exclusion has no records.
        let (value, text) = self.values.first(listing)?;
        Some(Entry { value, text, listing, subject, table: self })
    }
}

/// What is listed with a subject.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The value of its `A` record, 127.0.0.2 if the file says nothing else; the first one if it has several.
    pub value: Ipv4Addr,
    /// The text of its `TXT` record as it stands in the file, with `$` in it; empty if it has none.
    pub text: &'a str,
    listing: u32,
    subject: Subject<'a>,
    table: &'a Table,
}

#[derive(Debug, Clone, Copy)]
enum Subject<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

impl<'a> Entry<'a> {
    /// All its records, if the file lists the subject more than once, each with its text as [`Entry::text`].
    pub fn records(&self) -> Records<'a> {
        Records { values: &self.table.values, next: self.listing }
    }

    /// The text as rbldnsd would send it: the templates of the file filled in, `$` being the address that was
    /// looked up, or the name of the entry that was found.
    pub fn rendered(&self) -> String {
        self.render(self.text)
    }

    /// A text of [`Entry::records`], filled in likewise.
    pub fn render(&self, text: &str) -> String {
        let substitutes = &self.table.substitutes;
        match self.subject {
            _ if self.table.format == Format::Generic => text.to_owned(),
            Subject::Ip(ip) => substitutes.render(text, &ip.to_string()),
            Subject::Name(name) => substitutes.render(text, name),
        }
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("value", &self.value)
            .field("text", &self.text)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// The records of an entry, in no particular order.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    values: &'a Values,
    next: u32,
}

impl<'a> Iterator for Records<'a> {
    type Item = (Ipv4Addr, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (record, next) = self.values.record(self.next)?;
        self.next = next;
        Some(record)
    }
}

/// An address as a name below a zone (RFC 5782, sections 2.1 and 2.4).
fn reversed(ip: IpAddr) -> String {
    let mut name = String::with_capacity(64);
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            let _ = write!(name, "{d}.{c}.{b}.{a}");
        }
        IpAddr::V6(ip) => {
            for octet in ip.octets().into_iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name.pop();
        }
    }
    name
}

#[cfg(test)]
mod tests;
