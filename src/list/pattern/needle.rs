//! What a subject must hold so that a pattern can match it.
//!
//! Tells too little rather than too much: a pattern without needles may match anything.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

/// Texts in lower case of which at least one is in every subject that a pattern matches; none at all if that is not
/// known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needles(Vec<Box<[u8]>>);

/// Most needles of one pattern: of alternatives with more nothing is known.
const MOST: usize = 32;

impl Needles {
    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether none are known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a text instead, if it is longer.
    pub(super) fn prefer(&mut self, text: &[u8]) {
        self.improve(if text.is_empty() {
            Self::default()
        } else {
            Self(vec![text.to_ascii_lowercase().into()])
        });
    }

    /// Those of an expression in the syntax of the regex crate, in which nothing is Unicode.
    pub(super) fn of(regex: &str) -> Self {
        let mut parser = ParserBuilder::new();
        let parser = parser.unicode(false).utf8(false).dot_matches_new_line(true);
        parser.build().parse(regex).map(|hir| Self::within(&hir)).unwrap_or_default()
    }

    fn within(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Literal(literal) => {
                let mut needles = Self::default();
                needles.prefer(&literal.0);
                needles
            }
            HirKind::Repetition(repetition) if repetition.min > 0 => Self::within(&repetition.sub),
            HirKind::Concat(parts) => {
                let mut best = Self::default();
                for part in parts {
                    best.improve(Self::within(part));
                }
                best
            }
            HirKind::Alternation(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    let part = Self::within(part);
                    if part.is_empty() || all.len() + part.0.len() > MOST {
                        return Self::default();
                    }
                    all.extend(part.0);
                }
                Self(all)
            }
            _ => Self::default(),
        }
    }

    /// Takes others instead, if the shortest of them is longer.
    fn improve(&mut self, other: Self) {
        let shortest = |needles: &Self| needles.iter().map(<[u8]>::len).min().unwrap_or(0);
        if shortest(&other) > shortest(self) {
            *self = other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Classes, Ere, Glob};
    use super::MOST;

    fn texts(needles: &super::Needles) -> Vec<String> {
        needles.iter().map(|needle| String::from_utf8_lossy(needle).into_owned()).collect()
    }

    #[test]
    fn the_longest_text_that_must_be_there_is_found() {
        for (ere, expected) in [
            (r"^user[0-9]+@Spam7\.example$", &["@spam7.example"][..]),
            (r"(abc|de+f)x?", &["abc", "d"]),
            (r"(ab|c*)", &[]),
            (r"[0-9]+", &[]),
            (r"(spam){2,3}", &["spam"]),
            (r"(spam)*x", &["x"]),
            ("", &[]),
        ] {
            assert_eq!(texts(&Ere::new(ere).expect(ere).needles()), expected, "{ere}");
        }
        for (count, known) in [(MOST, MOST), (MOST + 1, 0)] {
            let texts: Vec<String> =
                ('a'..='z').chain('0'..='9').take(count).map(|c| format!("{c}{c}")).collect();
            let ere = format!("({})", texts.join("|"));
            assert_eq!(Ere::new(&ere).expect("legal").needles().iter().len(), known, "{ere}");
        }
        for (glob, expected) in [
            ("*@Spam.Example", &["@spam.example"][..]),
            ("a*bcd*e", &["bcd"]),
            ("a?bc?d", &["bc"]),
            (r"\**", &["*"]),
            ("*?*", &[]),
            ("", &[]),
        ] {
            assert_eq!(texts(&Glob::new(glob, Classes::Off).expect(glob).needles()), expected, "{glob}");
        }
    }
}
