//! What is listed with a subject: `A` values and texts, each kept once.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::fault::{Wrong, wrong};
use super::ip4;
use super::strings::{Searched, Strings};

/// The listing of what is excluded: it has no records.
pub(super) const EXCLUDED: u32 = 0;

/// Records of one subject. rbldnsd can put some 28 into a response; a file that gives one address thousands of
/// values must not cost their square.
const MOST: usize = 16;

/// Longest text in octets: one string of a `TXT` record (RFC 1035, section 3.3.14).
const TEXT: usize = 255;

/// What stands for every subject about whose value a file says nothing.
const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// All listings of a table. A listing is a list of records that share their tails, and is named by its first one.
#[derive(Debug, Default)]
pub(super) struct Values {
    records: Vec<Record>,
    texts: Strings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Record {
    value: u32,
    text: u32,
    /// The record of the line before, or [`EXCLUDED`] for none.
    next: u32,
}

impl Values {
    /// One record of a listing, and the rest of the listing.
    pub(super) fn record(&self, listing: u32) -> Option<((Ipv4Addr, &str), u32)> {
        let record = self.records.get((listing as usize).checked_sub(1)?)?;
        Some(((Ipv4Addr::from_bits(record.value), self.texts.at(record.text)), record.next))
    }

    /// The record that the file has first.
    pub(super) fn first(&self, mut listing: u32) -> Option<(Ipv4Addr, &str)> {
        let mut first = None;
        while let Some((record, next)) = self.record(listing) {
            (first, listing) = (Some(record), next);
        }
        first
    }
}

/// A table's listings as they are read.
#[derive(Debug)]
pub(super) struct Valuing {
    values: Values,
    known: HashMap<Record, u32>,
    /// What an entry without a value has, from the last line that set it.
    default: u32,
    /// How many values found no room beside the others of their subject.
    dropped: usize,
}

/// What a value had besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Whole,
    Cut,
}

impl Valuing {
    pub(super) fn new() -> Self {
        let mut new =
            Self { values: Values::default(), known: HashMap::new(), default: EXCLUDED, dropped: 0 };
        new.default = new.listing(LISTED, "");
        new
    }

    /// The default of this place of the file.
    pub(super) fn default(&self) -> u32 {
        self.default
    }

    /// Reads a line that sets the default, from its colon on.
    pub(super) fn set_default(&mut self, line: &[u8]) -> Result<Text, Wrong> {
        let whole = self.listing(LISTED, "");
        let (listing, text) = self.read(line, whole)?;
        self.default = listing;
        Ok(text)
    }

    /// Reads the value of an entry: `:A:TXT`, `:A` (with the text of the default) or `TXT` (with the value of the
    /// default). A number alone as `A` is the last octet of 127.0.0.x.
    pub(super) fn value(&mut self, value: &[u8]) -> Result<(u32, Text), Wrong> {
        self.read(value, self.default)
    }

    fn read(&mut self, value: &[u8], default: u32) -> Result<(u32, Text), Wrong> {
        let from = self.values.records[default as usize - 1];
        let (address, text) = match value.strip_prefix(b":") {
            None => (from.value, Some(value)),
            Some(rest) => {
                let invalid =
                    || wrong("no A value between the colons", "write :127.0.0.2:text, or :2: without a text");
                let (address, rest) = ip4::value(rest).ok_or_else(invalid)?;
                match rest.trim_ascii_start() {
                    [b':', text @ ..] => (address, Some(text.trim_ascii_start())),
                    [] => (address, None),
                    _ => return Err(wrong("there is no colon behind the A value", "write :127.0.0.2:text")),
                }
            }
        };
        let (text, whole) = match text {
            None => (from.text, Text::Whole),
            Some(text) => {
                let (text, whole) = cut(text);
                (self.text(&text), whole)
            }
        };
        let record = Record { value: address, text, next: EXCLUDED };
        Ok((self.intern(record), whole))
    }

    /// The listing of one record.
    pub(super) fn listing(&mut self, value: Ipv4Addr, text: &str) -> u32 {
        let text = self.text(text);
        self.intern(Record { value: value.to_bits(), text, next: EXCLUDED })
    }

    /// A listing of the records of two, the second of which has one.
    ///
    /// An exclusion wins: rbldnsd excludes what any line of the same reach excludes.
    pub(super) fn join(&mut self, listing: u32, with: u32) -> u32 {
        if listing == EXCLUDED || with == EXCLUDED {
            return EXCLUDED;
        }
        let new = self.values.records[with as usize - 1];
        let (mut at, mut count) = (listing, 0);
        while at != EXCLUDED {
            let record = self.values.records[at as usize - 1];
            if (record.value, record.text) == (new.value, new.text) {
                return listing;
            }
            (at, count) = (record.next, count + 1);
        }
        if count >= MOST {
            self.dropped += 1;
            return listing;
        }
        self.intern(Record { next: listing, ..new })
    }

    /// How many values found no room, and the table's part of all this.
    pub(super) fn finish(self) -> (Values, usize) {
        let mut values = self.values;
        values.records.shrink_to_fit();
        values.texts.seal(Searched::Never);
        (values, self.dropped)
    }

    fn text(&mut self, text: &str) -> u32 {
        let hash = self.values.texts.hash(text);
        // There is room: a file has less octets than fit, and fewer lines.
        self.values.texts.intern(text, hash).unwrap_or_default()
    }

    fn intern(&mut self, record: Record) -> u32 {
        let records = &mut self.values.records;
        *self.known.entry(record).or_insert_with(|| {
            records.push(record);
            u32::try_from(records.len()).unwrap_or(EXCLUDED)
        })
    }
}

/// A text within the limit, and whether it was. Octets that are no UTF-8 become U+FFFD.
pub(super) fn cut(text: &[u8]) -> (std::borrow::Cow<'_, str>, Text) {
    if text.len() <= TEXT {
        return (String::from_utf8_lossy(text), Text::Whole);
    }
    let end = match std::str::from_utf8(&text[..TEXT]) {
        // Of the last character only a part has room.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => TEXT,
    };
    (String::from_utf8_lossy(&text[..end]), Text::Cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for last in ["x", "\u{fc}", "\u{20ac}", "\u{1f4e7}"] {
            for before in TEXT - 4..=TEXT + 1 {
                let text = "x".repeat(before) + last;
                let expected = match before + last.len() {
                    ..=TEXT => (text.clone(), Text::Whole),
                    _ => ("x".repeat(before.min(TEXT)), Text::Cut),
                };
                let (shown, whole) = cut(text.as_bytes());
                assert_eq!((shown.into_owned(), whole), expected, "{last} behind {before}");
            }
        }
        // What is no UTF-8 takes nothing else with it.
        let text = [&b"\xe9"[..], &[b'x'; TEXT]].concat();
        let (shown, whole) = cut(&text);
        assert_eq!((&*shown, whole), (&*format!("\u{fffd}{}", "x".repeat(TEXT - 1)), Text::Cut));
    }
}
