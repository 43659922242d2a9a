//! Texts that no message may show.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;

use zeroize::Zeroizing;

use super::value::veil;
use super::{Place, Problem};
use crate::dns::Key;
use crate::smtp::plain;

/// Shorter texts are no keys, and taking them out of messages would only garble these.
const SHORTEST: usize = 6;

/// Texts to be taken out of messages, in whatever case they appear.
#[derive(Clone, Default)]
pub(super) struct Secrets(BTreeSet<Secret>);

impl Secrets {
    /// Remembers a text.
    pub(super) fn add(&mut self, text: &str) {
        let text = text.trim();
        if text.len() >= SHORTEST {
            self.0.insert(Secret(Zeroizing::new(text.to_ascii_lowercase().into_bytes())));
        }
    }

    /// Remembers a key.
    pub(super) fn add_key(&mut self, key: &Key) {
        if key.label().len() >= SHORTEST {
            self.0.insert(Secret(Zeroizing::new(key.label().to_ascii_lowercase())));
        }
    }

    /// Takes all of them out of a problem, with what may be a key that nobody knows of, and what would not be on one line.
    pub(super) fn censor(&self, problem: &mut Problem) {
        for text in [&mut problem.setting, &mut problem.cause, &mut problem.remedy] {
            *text = plain(&veil(&self.clean(std::mem::take(text))));
        }
        // A key that was given as the name of a file, by mistake.
        if let Place::File { path, .. } | Place::Credential(path) = &mut problem.place
            && let Some(text) = path.to_str()
        {
            *path = self.clean(text.to_owned()).into();
        }
    }

    /// A text with `(...)` in place of all of them, also of such that overlap. The time it takes grows with
    /// the text, not with the number of secrets: any line of a file may hold one.
    pub(super) fn clean(&self, text: String) -> String {
        if self.0.is_empty() {
            return text;
        }
        let octets = Zeroizing::new(text.to_ascii_lowercase().into_bytes());
        let mut safe = String::with_capacity(text.len());
        let mut end = 0;
        for (at, c) in text.char_indices() {
            if let Some(length) = self.longest(&octets[at..]) {
                if at >= end {
                    safe.push_str("(...)");
                }
                end = end.max(at + length);
            }
            if at >= end {
                safe.push(c);
            }
        }
        safe
    }

    /// The length of the longest secret that `octets` begin with.
    fn longest(&self, octets: &[u8]) -> Option<usize> {
        let mut longest = None;
        for length in SHORTEST..=octets.len() {
            let start = &octets[..length];
            match self.0.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)).next() {
                Some(next) if next.0.len() == length && next.0.starts_with(start) => longest = Some(length),
                Some(next) if next.0.starts_with(start) => {}
                _ => break,
            }
        }
        longest
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Octets in lower case that are wiped when dropped.
#[derive(Clone)]
struct Secret(Zeroizing<Vec<u8>>);

impl Borrow<[u8]> for Secret {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for Secret {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_slice().cmp(other.0.as_slice())
    }
}

impl PartialOrd for Secret {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::Secrets;

    #[test]
    fn whatever_was_hidden_is_taken_out_wherever_it_stands() {
        let mut secrets = Secrets::default();
        for secret in ["abcdef", " ABCDEFGHIJ ", "defghi", "short", "schl\u{fc}ssel"] {
            secrets.add(secret);
        }
        for (text, safe) in [
            ("x abcdef y", "x (...) y"),
            ("xAbCdEfy", "x(...)y"),
            ("abcdefghijk", "(...)k"),
            ("abcdefghi", "(...)"),
            ("abcdefabcdef", "(...)(...)"),
            ("a short text, abcde", "a short text, abcde"),
            ("\u{e4}SCHL\u{fc}SSEL\u{e4}", "\u{e4}(...)\u{e4}"),
            ("", ""),
        ] {
            assert_eq!(secrets.clean(text.to_owned()), safe, "{text}");
        }
    }
}
