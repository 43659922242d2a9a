//! Raw values between a source and the reader of a setting.

use zeroize::Zeroizing;

use super::Place;
use crate::smtp::{KEY_LIKE, holds_like_key, is_unprintable, printable, without_keys};

/// Longest piece of a value that a message repeats.
const SHOWN: usize = 60;

/// What a setting holds, as far as a source can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One text.
    Text,
    /// One number.
    Number,
    /// Yes or no.
    Flag,
    /// Several texts or numbers: a TOML array, or one text with commas.
    List,
}

/// What TOML says that an item is; the environment knows only texts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
}

pub(super) struct Item {
    /// Any value may be the key, in its place or in a wrong one: all of them are wiped.
    pub(super) text: Zeroizing<String>,
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// The value of one setting in one source.
pub(super) struct Value {
    pub(super) items: Vec<Item>,
    pub(super) array: bool,
    pub(super) place: Place,
}

/// What is wrong with a value, before it is known under which name it was set.
pub(super) struct Fault {
    pub(super) cause: String,
    pub(super) remedy: String,
    /// Where, if that is more precise than the place of the value.
    pub(super) place: Option<Place>,
}

impl Fault {
    pub(super) fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), remedy: remedy.into(), place: None }
    }
}

/// What became of a value.
pub(super) struct Reading<T> {
    /// The value; for a list what of it could be read.
    pub(super) value: Option<T>,
    pub(super) faults: Vec<Fault>,
    pub(super) remarks: Vec<Fault>,
}

impl<T> From<Result<T, Fault>> for Reading<T> {
    fn from(result: Result<T, Fault>) -> Self {
        match result {
            Ok(value) => Self { value: Some(value), faults: Vec::new(), remarks: Vec::new() },
            Err(fault) => Self { value: None, faults: vec![fault], remarks: Vec::new() },
        }
    }
}

impl Value {
    /// A text of the environment, an env file or the command line.
    pub(super) fn text(text: &str, place: Place) -> Self {
        let text = Zeroizing::new(text.trim().to_owned());
        let item = Item { text, kind: Kind::Text, place: place.clone() };
        Self { items: vec![item], array: false, place }
    }

    /// Several texts of the command line.
    pub(super) fn texts(texts: &[String], place: &Place) -> Self {
        let items = texts.iter().flat_map(|text| Self::text(text, place.clone()).items).collect();
        Self { items, array: true, place: place.clone() }
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.items.iter().all(|item| item.text.is_empty())
    }

    /// The only text of a setting that is no list.
    pub(super) fn one(&self) -> &str {
        self.items.first().map_or("", |item| item.text.as_str())
    }

    /// The entries of a list with their numbers, counted from 1.
    pub(super) fn entries<'a>(&'a self) -> Vec<(usize, &'a str, &'a Place)> {
        if self.array {
            let entry = |(n, item): (usize, &'a Item)| (n + 1, item.text.trim(), &item.place);
            return self.items.iter().enumerate().map(entry).collect();
        }
        self.one()
            .split(',')
            .enumerate()
            .map(|(n, entry)| (n + 1, entry.trim(), &self.place))
            .filter(|(_, entry, _)| !entry.is_empty())
            .collect()
    }

    /// Whether TOML's type is one that the setting can have.
    pub(super) fn check_shape(&self, shape: Shape) -> Result<(), Fault> {
        if shape != Shape::List && self.array {
            return Err(Fault::new("a list stands where one value belongs", "give a single value"));
        }
        for item in &self.items {
            let (fits, wanted) = match shape {
                Shape::Text => (item.kind == Kind::Text, "a text in quotes"),
                Shape::Number => (item.kind != Kind::Flag, "a number"),
                Shape::Flag => (true, ""),
                Shape::List => (item.kind != Kind::Flag, "a list of texts or numbers"),
            };
            if !fits {
                let mut fault = Fault::new("the value has the wrong type", format!("it is to be {wanted}"));
                fault.place = Some(item.place.clone());
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// A piece of a value as a message may show it: short, printable, and without anything key-like.
pub(super) fn shown(text: &str) -> String {
    let text = elide(text.trim());
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b".:/_-+@[]".contains(&octet);
    if !text.is_empty() && text.len() <= SHOWN && text.bytes().all(plain) {
        text
    } else {
        format!("\"{}\"", printable(text.as_bytes(), SHOWN))
    }
}

/// Text as it may be shown, at most `limit` octets of it. What is like a key goes before the text is cut: nobody
/// would know the beginning of one.
pub(super) fn elided(text: &str, limit: usize) -> String {
    printable(elide(text).as_bytes(), limit)
}

/// Why a text is no path, if it is none.
pub(super) fn no_path(text: &str) -> Option<&'static str> {
    if !text.starts_with('/') {
        Some("the value is no absolute path")
    } else if text.contains(is_unprintable) {
        Some("the path has a character in it that cannot be seen")
    } else {
        None
    }
}

/// A message without any word that may be a key. Paths stay: without them nobody could do what a remedy says.
pub(super) fn veil(message: &str) -> String {
    if !holds_like_key(message) {
        return message.to_owned();
    }
    let is_between = |c: char| c.is_whitespace() || c == '"';
    let piece = |piece: &str| if piece.contains('/') { piece.to_owned() } else { without_keys(piece) };
    message.split_inclusive(is_between).map(piece).collect()
}

/// Takes out everything that is long and plain enough to be a key, hyphens in it or not: a value in its wrong place may be
/// anything.
pub(super) fn elide(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let like_key = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let end = rest.find(|c| !like_key(c)).unwrap_or(rest.len());
        safe.push_str(if end >= KEY_LIKE { "(...)" } else { &rest[..end] });
        rest = &rest[end..];
        let end = rest.find(like_key).unwrap_or(rest.len());
        safe.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_repeats_what_may_be_a_key() {
        assert_eq!(shown("abcdefghij0123456789klmnop"), "\"(...)\"");
        assert_eq!(shown("abcdefghij0123456789klmnop.zen"), "\"(...).zen\"");
        assert_eq!(shown("inet:1@abcdefghij0123456789klmnop"), "\"inet:1@(...)\"");
        assert_eq!(shown(" 300 "), "300");
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown("a\nb c"), "\"a\\x0ab c\"");
        assert!(shown(&"ab ".repeat(100)).len() <= SHOWN + 2);
    }

    #[test]
    fn a_whole_message_shows_paths_and_nothing_else_that_may_be_a_key() {
        for (message, safe) in [
            ("choose from abcdefghij0123456789, spam", "choose from (...), spam"),
            ("\u{e4}abcdefghij0123456789\u{e4}", "\u{e4}(...)\u{e4}"),
            ("a \"x.abcdefghij0123456789.y\"; b", "a \"x.(...).y\"; b"),
            ("abcdefghij0123456789", "(...)"),
            ("chmod 0640 /abcdefghij0123456789/x", "chmod 0640 /abcdefghij0123456789/x"),
            (
                "the-quick-brown-fox-of-2026 abcdefghijklmnopqrstuvw",
                "the-quick-brown-fox-of-2026 abcdefghijklmnopqrstuvw",
            ),
        ] {
            assert_eq!(veil(message), safe);
        }
    }
}
