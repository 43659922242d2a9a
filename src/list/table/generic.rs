//! The format generic: names with records, much like the master files of DNS.

use std::net::Ipv4Addr;

use super::fault::{Wrong, wrong};
use super::names::{Names, Reach};
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

/// Records as they are read, with the names that they belong to.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<(String, Record)>);

/// A line: `name [ttl] [IN] A 127.0.0.2`, `TXT "text"` or `MX 10 mx.example`.
fn read(line: &[u8]) -> Result<(Option<String>, Record), Wrong> {
    let usage = || wrong("not a record", "write name A 127.0.0.2, or name TXT \"text\"");
    let (name, rest) = word(line);
    let name = match name {
        // The zone itself, which nobody looks up here.
        b"@" => None,
        name => {
            Some(plain::ascii(name).ok_or_else(|| wrong("no domain can have this name", ""))?.into_owned())
        }
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
        self.0.len()
    }

    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), Wrong> {
        if let (Some(name), record @ (Record::Address(_) | Record::Text(_))) = read(line)? {
            self.0.push((name, record));
        }
        Ok(())
    }

    /// Puts the names with addresses into a table, each with the first of its texts; gives the number of addresses.
    pub(super) fn finish(mut self, names: &mut Names, values: &mut Valuing) -> usize {
        // Stable: the records of a name stay in the order of the file.
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        let mut count = 0;
        for records in self.0.chunk_by(|a, b| a.0 == b.0) {
            let text = records.iter().find_map(|(_, record)| match record {
                Record::Text(text) => Some(text.as_str()),
                _ => None,
            });
            for (name, record) in records {
                if let Record::Address(address) = record {
                    let listing = values.listing(*address, text.unwrap_or_default());
                    names.add(name, Reach::Itself, listing, values);
                    count += 1;
                }
            }
        }
        count
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
