//! A whole access map in memory, as compact as its file.
//!
//! Keys and values lie one behind the other in one piece of memory; equal values are kept once, and
//! only lists of patterns are kept compiled. A million entries take some 80 MB.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::super::pattern::Classes;
use super::{Action, Key, Lengths, Patterns, Syntax, Tag, Value};

/// An access map that was read from a text, see [`Map::parse`].
pub struct Map {
    pub(super) syntax: Syntax,
    pub(super) octets: Vec<u8>,
    pub(super) entries: Vec<Row>,
    pub(super) values: Vec<Stored>,
    pub(super) patterns: Vec<Arc<Patterns>>,
    pub(super) index: HashTable<u32>,
    pub(super) hasher: DefaultHashBuilder,
    pub(super) lengths: Lengths,
    /// The tags that there are, one bit each.
    pub(super) tags: u32,
}

/// A piece of the map's memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) length: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) key: Span,
    pub(super) value: u32,
    pub(super) line: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Stored {
    Action(Span),
    Patterns { text: Span, number: u32 },
}

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// The line of the file, counted from 1; 0 where there are no lines.
    pub line: u32,
}

impl Map {
    pub(super) fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            octets: Vec::new(),
            entries: Vec::new(),
            values: Vec::new(),
            patterns: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            lengths: Lengths::NONE,
            tags: 0,
        }
    }

    /// What the map has for a key.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        let row = self.entries[self.find(key.as_str())? as usize];
        let value = match self.values[row.value as usize] {
            Stored::Patterns { number, .. } => Value::Patterns(Arc::clone(&self.patterns[number as usize])),
            // It was read without mistake when the map was loaded.
            Stored::Action(text) => Value::Action(
                Action::read(self.text(text), self.syntax).map_or(Action::Skip, |(action, _)| action),
            ),
        };
        Some(Entry { value, line: row.line })
    }

    /// The value as it is written, for whoever wants to show it.
    pub fn written(&self, key: &Key) -> Option<&str> {
        let row = self.entries[self.find(key.as_str())? as usize];
        Some(match self.values[row.value as usize] {
            Stored::Action(text) | Stored::Patterns { text, .. } => self.text(text),
        })
    }

    /// How its entries are written.
    pub fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Lengths of networks that have to be looked up beside those that are cut at octets and words.
    pub fn lengths(&self) -> Lengths {
        self.lengths
    }

    /// Whether there is any key with this tag: a sequence of keys without one can be left out.
    pub fn has(&self, tag: Tag) -> bool {
        self.tags & tag.bit() != 0
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(super) fn find(&self, key: &str) -> Option<u32> {
        self.find_by(self.hasher.hash_one(key), key)
    }

    /// The same with the hash of the key.
    pub(super) fn find_by(&self, hash: u64, key: &str) -> Option<u32> {
        self.index.find(hash, |&row| self.octets(self.entries[row as usize].key) == key.as_bytes()).copied()
    }

    pub(super) fn text(&self, span: Span) -> &str {
        // All of it was text before it was stored.
        std::str::from_utf8(self.octets(span)).unwrap_or_default()
    }

    fn octets(&self, span: Span) -> &[u8] {
        let start = span.at as usize;
        &self.octets[start..start + span.length as usize]
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("entries", &self.len()).finish_non_exhaustive()
    }
}

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whose rules hold.
    pub syntax: Syntax,
    /// Which of two equal keys wins.
    pub duplicates: Duplicates,
    /// Whether a value ends at a `#`.
    pub comments: Comments,
    /// Whether globs have classes.
    pub classes: Classes,
}

/// Which of two lines with the same key is taken; both are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// The first, as Postfix' `postmap` does.
    First,
    /// The last, as libsnert does.
    #[default]
    Last,
}

/// Where a comment can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Comments {
    /// At the beginning of a line, as everywhere.
    #[default]
    Lines,
    /// Behind a value, too: at a `#` with a blank in front of it.
    Inline,
}
