//! Reads an access map from text: the source of makemap or postmap.
//!
//! All mistakes are found in one go. A map with a mistake in it is no map: what would be left of it could
//! let in whom it was to refuse.

use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::super::flaw::Flaws;
use super::super::pattern::LARGE;
use super::key::{self, Found, Written};
use super::map::{Row, Span, Stored};
use super::{Comments, Duplicates, Map, Options, Syntax, Tag, Value, value};

/// Longest text in octets; a million entries have 40 million.
const TEXT: usize = 1 << 28;
/// Most regular expressions in a map, [large ones](LARGE) counted several times. Compiled each takes some 20 kB,
/// in use twice that, and none more than 64 kB for each time that it is counted; globs cost next to nothing.
const EXPRESSIONS: usize = 5_000;
/// Longest key as written, before its spelling is made canonical: with U-labels and padding it may be longer.
const WRITTEN: usize = 2 * key::KEY;
/// From how many octets on a line needs no continuation to be too long.
const LINE: usize = 2 * value::VALUE;

impl Map {
    /// Reads a text. The second part of what is returned is worth a look, but no mistake.
    ///
    /// # Errors
    /// All lines that cannot be used, with cause and remedy.
    pub fn parse(text: &[u8], options: &Options) -> Result<(Self, Flaws), Flaws> {
        let mut reader = Reader::new(*options, "line");
        if text.len() > TEXT {
            reader
                .errors
                .add(0, &format!("a map of {} octets, more than the {TEXT} allowed; divide it", text.len()));
            return Err(reader.errors);
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut joined = Vec::new();
        let mut lines = (1..).zip(text.split(|&octet| octet == b'\n')).peekable();
        while let Some((number, line)) = lines.next() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.first() == Some(&b'#') || line.trim_ascii().is_empty() {
                continue;
            }
            if line[0].is_ascii_whitespace() {
                reader.indented(number, line);
                continue;
            }
            if options.syntax == Syntax::Sendmail {
                reader.line(number, line);
                continue;
            }
            joined.clear();
            joined.extend_from_slice(line);
            // Blank lines and comments do not end what is continued (postmap(1)).
            while let Some((_, more)) =
                lines.next_if(|(_, line)| line.is_empty() || line[0].is_ascii_whitespace() || line[0] == b'#')
            {
                let more = more.trim_ascii();
                if !more.is_empty() && more[0] != b'#' && joined.len() <= LINE {
                    joined.push(b' ');
                    joined.extend_from_slice(more);
                }
            }
            reader.line(number, &joined);
        }
        reader.finish()
    }
}

/// The hashes of what is in the tables, so that these grow without reading all of it again.
#[derive(Default)]
struct Hashes {
    entries: Vec<u64>,
    values: Vec<u64>,
}

pub(super) struct Reader {
    options: Options,
    map: Map,
    /// What is counted: lines or records.
    unit: &'static str,
    /// Values that are there already.
    known: HashTable<u32>,
    hashes: Hashes,
    expressions: usize,
    /// Lines with tags of other programs.
    foreign: usize,
    errors: Flaws,
    notices: Flaws,
}

impl Reader {
    pub(super) fn new(options: Options, unit: &'static str) -> Self {
        Self {
            options,
            map: Map::new(options.syntax),
            unit,
            known: HashTable::new(),
            hashes: Hashes::default(),
            expressions: 0,
            foreign: 0,
            errors: Flaws::default(),
            notices: Flaws::default(),
        }
    }

    pub(super) fn finish(mut self) -> Result<(Map, Flaws), Flaws> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        if self.foreign > 0 {
            let notice = format!(
                "{} {}s have tags of other programs; they are left to these",
                self.foreign, self.unit
            );
            self.notices.add(0, &notice);
        }
        self.map.octets.shrink_to_fit();
        self.map.entries.shrink_to_fit();
        self.map.values.shrink_to_fit();
        Ok((self.map, self.notices))
    }

    /// A line that begins with a blank.
    fn indented(&mut self, number: u32, line: &[u8]) {
        let is_comment = line.trim_ascii_start().first() == Some(&b'#');
        match self.options.syntax {
            Syntax::Postfix if is_comment => {}
            Syntax::Postfix => self.errors.add(
                number,
                "the line begins with a blank and there is none before it that it could continue; remove the blank",
            ),
            Syntax::Sendmail => self.errors.add(
                number,
                "the line begins with a blank, so that its key is empty; remove the blank, or say that the map is in Postfix' syntax if the line continues the one before it",
            ),
        }
    }

    fn line(&mut self, number: u32, line: &[u8]) {
        let end = line.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(line.len());
        let (key, value) = line.split_at(end);
        self.pair(number, key, value);
    }

    /// A key and its value.
    pub(super) fn pair(&mut self, number: u32, key: &[u8], value: &[u8]) {
        match self.key(number, key) {
            Some(Found::Key(written)) => self.entry(number, Some(written), value),
            Some(Found::Foreign) => self.foreign += 1,
            None => self.entry(number, None, value),
        }
    }

    /// Reads a key; a broken one is told.
    fn key(&mut self, number: u32, key: &[u8]) -> Option<Found> {
        let read = match std::str::from_utf8(key) {
            _ if key.len() > WRITTEN => {
                Err(format!("a key of {} octets, more than the {} allowed", key.len(), key::KEY))
            }
            Err(_) => Err("the key is not UTF-8".to_owned()),
            Ok(text) => match text.bytes().find(u8::is_ascii_control) {
                Some(control) => Err(format!("there is a control character (0x{control:02x}) in the key")),
                None if text.starts_with('"') => {
                    Err("the key is in quotes, which stand for nothing here; remove them".to_owned())
                }
                None => key::read(text, self.options.syntax),
            },
        };
        read.map_err(|clause| self.errors.add(number, &clause)).ok()
    }

    fn entry(&mut self, number: u32, written: Option<Written>, value: &[u8]) {
        let tag = written.as_ref().map_or(Tag::Bare, |written| written.tag);
        let value = self.value(number, tag, written.is_some(), value);
        let (Some(written), Some(value)) = (written, value) else { return };
        if let Some(notice) = written.notice {
            self.notices.add(number, notice);
        }
        if let Some(network) = written.odd {
            self.map.lengths.add(network);
        }
        self.map.tags |= tag.bit();
        let hash = self.map.hasher.hash_one(written.text.as_str());
        if let Some(row) = self.map.find_by(hash, &written.text) {
            let row = &mut self.map.entries[row as usize];
            let (first, taken) = match self.options.duplicates {
                Duplicates::First => (row.line, row.line),
                Duplicates::Last => (std::mem::replace(&mut row.line, number), number),
            };
            if self.options.duplicates == Duplicates::Last {
                row.value = value;
            }
            let shown = crate::smtp::excerpt(written.text.as_bytes(), 80);
            let unit = self.unit;
            self.notices.add(
                number,
                &format!("{shown} has an entry in {unit} {first} already; {unit} {taken} is taken"),
            );
            return;
        }
        let key = self.store(written.text.as_bytes());
        self.map.entries.push(Row { key, value, line: number });
        let row = u32::try_from(self.map.entries.len() - 1).unwrap_or(u32::MAX);
        let hashes = &mut self.hashes.entries;
        hashes.push(hash);
        self.map.index.insert_unique(hash, row, |&row| hashes[row as usize]);
    }

    /// The number of a value. Nothing if it is broken, which is told.
    fn value(&mut self, number: u32, tag: Tag, has_tag: bool, value: &[u8]) -> Option<u32> {
        let value = match self.options.comments {
            Comments::Lines => value,
            Comments::Inline => uncommented(value),
        };
        let text = match value::text(value) {
            Ok(text) => text,
            Err(clause) => {
                self.errors.add(number, &clause);
                return None;
            }
        };
        // Without its tag nobody knows what kind of value it is.
        if !has_tag {
            return None;
        }
        if tag == Tag::Spam && !["FRIEND", "HATER"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            self.notices.add(number, "Spam: knows FRIEND and HATER; anything else is passed over");
        }
        let hash = self.map.hasher.hash_one((tag.has_lists(), text));
        let is_it = |&value: &u32| {
            let (lists, span) = match self.map.values[value as usize] {
                Stored::Action(span) => (false, span),
                Stored::Patterns { text, .. } => (true, text),
            };
            lists == tag.has_lists() && self.map.text(span) == text
        };
        if let Some(&known) = self.known.find(hash, is_it) {
            return Some(known);
        }
        if self.expressions > EXPRESSIONS && tag.has_lists() {
            // That is told already, and each costs time.
            return None;
        }
        let mut notices = Vec::new();
        let read = Value::read(tag, value, self.options.syntax, self.options.classes, &mut notices);
        for notice in &notices {
            self.notices.add(number, notice);
        }
        let read =
            read.map_err(|errors| errors.iter().for_each(|clause| self.errors.add(number, clause))).ok()?;
        let span = self.store(text.as_bytes());
        let stored = match read {
            Value::Action(_) => Stored::Action(span),
            Value::Patterns(patterns) => {
                let before = self.expressions;
                self.expressions += patterns.expressions();
                if self.expressions > EXPRESSIONS {
                    if before <= EXPRESSIONS {
                        let clause = format!(
                            "here are more than {EXPRESSIONS} regular expressions in the map, large ones counted as {LARGE}; write globs where they do"
                        );
                        self.errors.add(number, &clause);
                    }
                    return None;
                }
                self.map.patterns.push(patterns);
                let number = u32::try_from(self.map.patterns.len() - 1).unwrap_or(u32::MAX);
                Stored::Patterns { text: span, number }
            }
        };
        self.map.values.push(stored);
        let new = u32::try_from(self.map.values.len() - 1).unwrap_or(u32::MAX);
        let hashes = &mut self.hashes.values;
        hashes.push(hash);
        self.known.insert_unique(hash, new, |&value| hashes[value as usize]);
        Some(new)
    }

    fn store(&mut self, octets: &[u8]) -> Span {
        // Both fit: a text is far below 4 GiB, and what is stored of it is hardly longer.
        let at = u32::try_from(self.map.octets.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        self.map.octets.extend_from_slice(octets);
        Span { at, length }
    }
}

/// What stands before a `#` that has a blank before it.
fn uncommented(value: &[u8]) -> &[u8] {
    let end = value.windows(2).position(|pair| matches!(pair, [b' ' | b'\t', b'#']));
    &value[..end.unwrap_or(value.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_dqs_that_stands_twice_in_a_map_is_not_shown_nor_its_beginning() {
        for before in 0..90 {
            let line = format!("To:{}-abcdefghij0123456789klmnop@ OK\n", "x".repeat(before));
            let (_, notices) = Map::parse(line.repeat(2).as_bytes(), &Options::default()).expect("a map");
            let notices = notices.to_string();
            assert!(
                notices.contains("has an entry in line 1 already") && !notices.contains("abc"),
                "{notices}"
            );
        }
    }
}
