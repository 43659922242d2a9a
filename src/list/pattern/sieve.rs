//! Which of many patterns can match a subject at all, in one pass over it.
//!
//! Only leaves out what cannot match. Whether the others do is for the patterns themselves to say, and in which order they
//! are asked for whoever has them.

use std::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::Needles;

/// Looks for the needles of all patterns at once.
#[derive(Clone)]
pub struct Sieve {
    search: AhoCorasick,
    /// For each text that is looked for, the patterns that it lets through.
    patterns: Box<[Box<[u32]>]>,
    /// Patterns without needles, a bit each.
    always: Box<[u64]>,
}

/// A set of patterns by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates(Box<[u64]>);

impl Sieve {
    /// A sieve of patterns with these needles, in their order. Nothing if no such thing can be made: then each has to
    /// be asked.
    pub fn new(needles: &[Needles]) -> Option<Self> {
        let mut always = vec![0; needles.len().div_ceil(64)];
        // Equal texts are looked for once.
        let mut texts: Vec<(&[u8], u32)> = Vec::new();
        for (number, own) in needles.iter().enumerate() {
            if own.is_empty() {
                always[number / 64] |= 1 << (number % 64);
            }
            let number = u32::try_from(number).ok()?;
            texts.extend(own.iter().map(|text| (text, number)));
        }
        texts.sort_unstable();
        let (mut distinct, mut patterns): (Vec<&[u8]>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
        for (text, number) in texts {
            match patterns.last_mut() {
                Some(numbers) if distinct.last() == Some(&text) => numbers.push(number),
                _ => {
                    distinct.push(text);
                    patterns.push(vec![number]);
                }
            }
        }
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            // A table for each state would be faster, and take a kilobyte for each letter of a pattern.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(distinct)
            .ok()?;
        let patterns = patterns.into_iter().map(Into::into).collect();
        Some(Self { search, patterns, always: always.into() })
    }

    /// The patterns that can match one of these subjects, which must be in lower case.
    pub fn candidates<'a>(&self, subjects: impl IntoIterator<Item = &'a [u8]>) -> Candidates {
        let mut found = self.always.clone();
        for subject in subjects {
            for text in self.search.find_overlapping_iter(subject) {
                for &number in &self.patterns[text.pattern().as_usize()] {
                    found[number as usize / 64] |= 1 << (number % 64);
                }
            }
        }
        Candidates(found)
    }
}

impl Candidates {
    /// Their numbers, the smallest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(word, &bits)| {
            let mut rest = bits;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(word * 64 + bit as usize)
            })
        })
    }
}

impl fmt::Debug for Sieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sieve").field("texts", &self.patterns.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ere;
    use super::*;

    #[test]
    fn only_what_cannot_match_is_left_out() {
        let eres: Vec<Ere> = (0..200)
            .map(|n| match n % 3 {
                0 => format!("^user{n}@"),
                1 => format!("[0-9]{{{}}}", n % 7),
                _ => format!("(spam{n}|ham)[.]example$"),
            })
            .map(|text| Ere::new(&text).expect("legal"))
            .collect();
        let needles: Vec<Needles> = eres.iter().map(Ere::needles).collect();
        let sieve = Sieve::new(&needles).expect("a sieve");
        for subject in ["user3@spam5.example", "12345", "ham.example", "", "user33@x", "spam199.example"] {
            let candidates: Vec<usize> = sieve.candidates([subject.as_bytes()]).iter().collect();
            assert!(candidates.is_sorted());
            for (n, ere) in eres.iter().enumerate() {
                assert!(!ere.is_match(subject.as_bytes()) || candidates.contains(&n), "{subject} {ere:?}");
            }
        }
        assert_eq!(sieve.candidates([&b"user3@"[..]]).iter().filter(|n| n % 3 != 1).collect::<Vec<_>>(), [3]);
    }
}
