//! Globs (`*@spam.example`) in linear time.
//!
//! `*` is any run of characters, `?` a single one, `\` takes the meaning from the next one; letters
//! match in either case, and the whole subject must match. A character is an octet. `[` stands for
//! itself unless classes are asked for.

use super::Needles;

/// Whether `[a-z]`, `[^a-z]` and `[!a-z]` are classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Classes {
    /// `[` stands for itself.
    #[default]
    Off,
    /// `[a-z]` is a class, as in the code of milter-spamc, though not in its manual.
    On,
}

/// A compiled glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// What stands between the stars; empty ones at the ends if a star is there.
    pieces: Box<[Piece]>,
    /// Least number of octets that a subject has.
    least: usize,
}

/// Why a glob cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// `[` without its `]`, with classes.
    #[error("a [ has no ]; write \\[ for a bracket")]
    OpenClass,
    /// A backslash at the end.
    #[error("a backslash at the end escapes nothing")]
    Backslash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Letters in lower case.
    Text(Box<[u8]>),
    /// With `?` or classes in it.
    Units(Box<[Unit]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Unit {
    Octet(u8),
    Any,
    Class(Box<[bool; 256]>),
}

impl Unit {
    fn takes(&self, octet: u8) -> bool {
        match self {
            Self::Octet(own) => *own == octet,
            Self::Any => true,
            Self::Class(set) => set[usize::from(octet)],
        }
    }
}

impl Glob {
    /// Compiles a glob.
    ///
    /// # Errors
    /// [`GlobError`] says what is wrong.
    pub fn new(text: &str, classes: Classes) -> Result<Self, GlobError> {
        let text = text.to_ascii_lowercase();
        let text = text.as_bytes();
        let (mut pieces, mut piece) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(&octet) = text.get(at) {
            at += 1;
            match octet {
                b'*' => {
                    // Stars in a row say no more than one.
                    if !piece.is_empty() || pieces.is_empty() {
                        pieces.push(Piece::of(std::mem::take(&mut piece)));
                    }
                }
                b'?' => piece.push(Unit::Any),
                b'\\' => {
                    let &escaped = text.get(at).ok_or(GlobError::Backslash)?;
                    at += 1;
                    piece.push(Unit::Octet(escaped));
                }
                b'[' if classes == Classes::On => {
                    let (set, size) = class(&text[at..]).ok_or(GlobError::OpenClass)?;
                    at += size;
                    piece.push(Unit::Class(Box::new(set)));
                }
                _ => piece.push(Unit::Octet(octet)),
            }
        }
        pieces.push(Piece::of(piece));
        let least = pieces.iter().map(Piece::len).sum();
        Ok(Self { pieces: pieces.into(), least })
    }

    /// Whether it matches the whole of a subject, which must be in lower case.
    ///
    /// Each octet of the subject is looked at a fixed number of times for every 64 octets of the longest
    /// piece between two stars.
    pub fn is_match(&self, folded: &[u8]) -> bool {
        if folded.len() < self.least {
            return false;
        }
        let [first, middle @ .., last] = &self.pieces[..] else {
            return folded.len() == self.least && self.pieces[0].is_at(folded);
        };
        let (head, tail) = (first.len(), folded.len() - last.len());
        if !first.is_at(folded) || !last.is_at(&folded[tail..]) {
            return false;
        }
        let mut rest = &folded[head..tail];
        for piece in middle {
            let Some(found) = piece.find(rest) else { return false };
            rest = &rest[found + piece.len()..];
        }
        true
    }

    /// A text that is in every subject that matches, the longest there is.
    pub fn needles(&self) -> Needles {
        let mut needles = Needles::default();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => needles.prefer(text),
                Piece::Units(units) => {
                    let named = |unit: &Unit| if let Unit::Octet(octet) = unit { Some(*octet) } else { None };
                    for run in units.split(|unit| named(unit).is_none()) {
                        needles.prefer(&run.iter().filter_map(named).collect::<Vec<_>>());
                    }
                }
            }
        }
        needles
    }

    /// How many characters it asks for by name: the more, the more particular it is.
    pub fn literals(&self) -> usize {
        let named = |unit: &&Unit| !matches!(unit, Unit::Any);
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.len(),
                Piece::Units(units) => units.iter().filter(named).count(),
            })
            .sum()
    }
}

impl Piece {
    fn of(units: Vec<Unit>) -> Self {
        let text: Option<Box<[u8]>> = units
            .iter()
            .map(|unit| if let Unit::Octet(octet) = unit { Some(*octet) } else { None })
            .collect();
        text.map_or_else(|| Self::Units(units.into()), Self::Text)
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Units(units) => units.len(),
        }
    }

    /// Whether the subject, which is long enough, begins with it.
    fn is_at(&self, subject: &[u8]) -> bool {
        match self {
            Self::Text(text) => subject.starts_with(text),
            Self::Units(units) => units.iter().zip(subject).all(|(unit, &octet)| unit.takes(octet)),
        }
    }

    /// Where it is found first.
    fn find(&self, subject: &[u8]) -> Option<usize> {
        match self {
            Self::Text(text) => memchr::memmem::find(subject, text),
            Self::Units(units) => find(units, subject),
        }
    }
}

/// All places in which the units could be at once, one bit for each unit (Baeza-Yates and Gonnet, 1992).
fn find(units: &[Unit], subject: &[u8]) -> Option<usize> {
    if subject.len() < units.len() {
        return None;
    }
    let words = units.len().div_ceil(64);
    let mut takes = vec![0_u64; 256 * words];
    for (n, unit) in units.iter().enumerate() {
        for octet in 0..=u8::MAX {
            if unit.takes(octet) {
                takes[usize::from(octet) * words + n / 64] |= 1 << (n % 64);
            }
        }
    }
    let mut state = vec![0_u64; words];
    let last = units.len() - 1;
    for (at, &octet) in subject.iter().enumerate() {
        let mut carry = 1;
        for (word, mask) in state.iter_mut().zip(&takes[usize::from(octet) * words..]) {
            let next = *word >> 63;
            *word = (*word << 1 | carry) & mask;
            carry = next;
        }
        if state[last / 64] >> (last % 64) & 1 == 1 {
            return Some(at - last);
        }
    }
    None
}

/// A class whose `[` has been read, and how long it is.
fn class(text: &[u8]) -> Option<([bool; 256], usize)> {
    let negated = matches!(text.first(), Some(b'^' | b'!'));
    let first = usize::from(negated);
    let end = first + 1 + memchr::memchr(b']', text.get(first + 1..)?)?;
    let mut set = [negated; 256];
    let mut inside = &text[first..end];
    while let [low, rest @ ..] = inside {
        let (high, rest) = match rest {
            [b'-', high, rest @ ..] => (high, rest),
            _ => (low, rest),
        };
        (*low..=*high).for_each(|octet| set[usize::from(octet)] = !negated);
        inside = rest;
    }
    Some((set, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn matches(glob: &str, subject: &str) -> bool {
        Glob::new(glob, Classes::Off).expect(glob).is_match(subject.as_bytes())
    }

    #[test]
    fn pieces_are_found_in_order_and_without_overlap() {
        for (glob, subject, expected) in [
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ba*", "aba", false),
            ("*ab*ba*", "xaba", false),
            ("*ab*ba*", "abba", true),
            ("a?*?c", "abc", false),
            ("a?*?c", "abbc", true),
            ("*a?c*", "zzabczz", true),
            ("*a?c*", "zzabdzz", false),
            ("*a?c*", "abc", true),
            ("*?b*b*", "abb", true),
            ("*?b*b*", "ab", false),
            ("*a?c", "abcabd", false),
            ("???", "ab", false),
            (r"\*\?\\", r"*?\", true),
            ("[a]", "[a]", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(matches(glob, subject), expected, "{glob} {subject}");
        }
        assert_eq!(Glob::new(r"a\", Classes::Off), Err(GlobError::Backslash));
    }

    #[test]
    fn a_piece_of_more_than_64_characters_is_found_as_a_whole() {
        let text: String = ('a'..='z').cycle().take(150).collect();
        let glob = format!("*{}?{}*", &text[..70], &text[71..]);
        let subject = format!("zy{text}{text}");
        assert!(matches(&glob, &text) && matches(&glob, &subject));
        for at in [0, 63, 64, 69, 71, 127, 128, 149] {
            let mut other = text.clone();
            other.replace_range(at..=at, "-");
            assert!(!matches(&glob, &format!("zy{other}")), "{at}");
        }
    }

    #[test]
    fn brackets_are_classes_only_on_demand() {
        for (glob, subject, expected) in [
            ("[abc]bc", "abc", true),
            ("[^x]bc", "abc", true),
            ("[!a]bc", "abc", false),
            ("[a-c]?", "bz", true),
            ("[]]", "]", true),
            (r"\[a]", "[a]", true),
            ("*[0-9][0-9]*", "ab12cd", true),
        ] {
            let glob = Glob::new(glob, Classes::On).expect(glob);
            assert_eq!(glob.is_match(subject.as_bytes()), expected, "{glob:?} {subject}");
        }
        assert_eq!(Glob::new("[a", Classes::On), Err(GlobError::OpenClass));
        assert_eq!(Glob::new("[", Classes::On), Err(GlobError::OpenClass));
    }

    #[test]
    fn ten_thousand_stars_and_the_worst_subject_take_no_time() {
        let began = Instant::now();
        let subject = "a".repeat(4_096);
        for glob in [
            "a*".repeat(10_000),
            "*".repeat(10_000) + "b",
            "*a".repeat(4_000) + "b",
            "*?a".repeat(2_000) + "b",
        ] {
            assert!(!matches(&glob, &subject), "{glob:.20}");
        }
        assert!(!matches(&("*".to_owned() + &"a?".repeat(2_000) + "b*"), &subject));
        assert!(matches(&"*".repeat(10_000), &subject));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
