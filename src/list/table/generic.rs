//! The format generic: names with records, much like the master files of DNS.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::fault::{Wrong, wrong};
use super::names::{Names, Reach};
use super::strings::Strings;
use super::values::{Valuing, cut};
use super::{ip4, plain};

/// One record of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Address(Ipv4Addr),
    Text(String),
    /// One that says nothing about listings.
    Other,
}

/// Records as they are read.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The names, each with the first of its texts.
    names: Strings<Option<Box<str>>>,
    /// Addresses of names.
    addresses: Vec<(u32, Ipv4Addr)>,
}

/// A line: `name [ttl] [IN] A 127.0.0.2`, `TXT "text"` or `MX 10 mx.example`.
fn read(line: &[u8]) -> Result<(Option<Cow<'_, str>>, Record), Wrong> {
    let usage = || wrong("not a record", "write name A 127.0.0.2, or name TXT \"text\"");
    let (name, rest) = word(line);
    let name = match name {
        // The zone itself, which nobody looks up here.
        b"@" => None,
        name => Some(plain::ascii(name).ok_or_else(|| wrong("no domain can have this name", ""))?),
    };
    let rest = match word(rest) {
        (ttl, after) if is_ttl(ttl) => after,
        _ => rest,
    };
    let rest = match word(rest) {
        (class, after) if class.eq_ignore_ascii_case(b"in") => after,
        _ => rest,
    };
    let (kind, data) = word(rest);
    if data.is_empty() {
        return Err(usage());
    }
    let record = match kind.to_ascii_lowercase().as_slice() {
        b"a" => Record::Address(ip4::record(data).map(Ipv4Addr::from_bits).ok_or_else(usage)?),
        b"txt" => {
            let text = data.strip_prefix(b"\"").and_then(|data| data.strip_suffix(b"\"")).unwrap_or(data);
            Record::Text(cut(text).0.into_owned())
        }
        b"mx" => Record::Other,
        _ => return Err(usage()),
    };
    Ok((name, record))
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let (Some(name), record) = read(line)? else { return Ok(()) };
        let hash = self.names.hash(&name);
        // There is room for every name of a file.
        let Some(number) = self.names.intern(&name, hash) else { return Ok(()) };
        match record {
            Record::Address(address) => self.addresses.push((number, address)),
            Record::Text(text) => {
                self.names.with_mut(number).get_or_insert_with(|| text.into());
            }
            Record::Other => {}
        }
        Ok(())
    }

    /// Puts the names with addresses into a table, each with its text; gives the number of addresses.
    pub(super) fn finish(self, names: &mut Names, values: &mut Valuing) -> usize {
        for (number, address) in &self.addresses {
            let text = self.names.with(*number).as_deref().unwrap_or_default();
            let listing = values.listing(*address, text);
            names.add(self.names.at(*number), Reach::Itself, listing, values);
        }
        self.addresses.len()
    }
}

/// The first word and what follows the blanks behind it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii_start())
}

/// A number with or without a unit: `300`, `5m`, `1w`.
fn is_ttl(word: &[u8]) -> bool {
    let unit = word.last().filter(|octet| !octet.is_ascii_digit());
    let digits = &word[..word.len() - usize::from(unit.is_some())];
    unit.is_none_or(|unit| b"smhdw".contains(&unit.to_ascii_lowercase()))
        && !digits.is_empty()
        && digits.iter().all(u8::is_ascii_digit)
}
