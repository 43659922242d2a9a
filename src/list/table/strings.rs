//! Many strings in one piece of memory, each held once.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A set of strings, numbered in the order of their coming, with something for each of them.
///
/// Twelve to twenty octets a string, besides the string and what goes with it. The hash function has a seed, since who writes a list, and
/// who sends the names that are looked up, may wish to slow us down.
#[derive(Debug)]
pub(super) struct Strings<T = ()> {
    text: String,
    /// Where each string ends (it begins where the one before it ends), and what goes with it: who found the string
    /// wants that next.
    rows: Vec<(u32, T)>,
    /// Open addressing: the hash, and the number plus one; 0 is free.
    slots: Vec<u64>,
    seed: RandomState,
}

impl<T> Default for Strings<T> {
    fn default() -> Self {
        Self { text: String::new(), rows: Vec::new(), slots: Vec::new(), seed: RandomState::new() }
    }
}

impl<T> Strings<T> {
    /// The string of this number.
    pub(super) fn at(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.rows[before].0);
        &self.text[start as usize..self.rows[number].0 as usize]
    }

    /// What goes with the string of this number.
    pub(super) fn with(&self, number: u32) -> &T {
        &self.rows[number as usize].1
    }

    pub(super) fn with_mut(&mut self, number: u32) -> &mut T {
        &mut self.rows[number as usize].1
    }

    /// The hash of a whole string.
    pub(super) fn hash(&self, string: &str) -> u32 {
        let mut suffix = self.suffix();
        suffix.add(string);
        suffix.hash()
    }

    /// A hash that grows label by label.
    pub(super) fn suffix(&self) -> Suffix {
        Suffix(self.seed.build_hasher())
    }

    pub(super) fn find(&self, string: &str, hash: u32) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            // The lower half is the number plus one.
            let number = low(slot).checked_sub(1)?;
            if high(slot) == hash && self.at(number) == string {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a string, which is added if it is new; `None` if there is no room for one more.
    pub(super) fn intern(&mut self, string: &str, hash: u32) -> Option<u32>
    where
        T: Default,
    {
        if let Some(number) = self.find(string, hash) {
            return Some(number);
        }
        // There are fewer strings than octets in them, and these have to fit, too.
        let number = u32::try_from(self.rows.len()).ok()?;
        let end = u32::try_from(self.text.len() + string.len()).ok()?;
        // Three quarters full at most.
        if (self.rows.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.text.push_str(string);
        self.rows.push((end, T::default()));
        place(&mut self.slots, u64::from(hash) << 32 | u64::from(number + 1));
        Some(number)
    }

    /// Gives back what only adding needs; and with `Searched::Never` what finding needs.
    pub(super) fn seal(&mut self, searched: Searched) {
        self.text.shrink_to_fit();
        self.rows.shrink_to_fit();
        if searched == Searched::Never {
            self.slots = Vec::new();
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![0; (self.slots.len() * 2).max(16)];
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            place(&mut slots, *slot);
        }
        self.slots = slots;
    }
}

/// Whether strings will be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    Often,
    Never,
}

/// The hash of the right end of a name.
pub(super) struct Suffix(std::hash::DefaultHasher);

impl Suffix {
    /// Adds the next label on the left.
    pub(super) fn add(&mut self, label: &str) {
        self.0.write(label.as_bytes());
        self.0.write_u8(b'.');
    }

    pub(super) fn hash(&self) -> u32 {
        high(self.0.finish())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is meant")]
fn low(slot: u64) -> u32 {
    slot as u32
}

fn high(slot: u64) -> u32 {
    low(slot >> 32)
}

fn place(slots: &mut [u64], slot: u64) {
    let mask = slots.len() - 1;
    let mut at = high(slot) as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_told_apart_even_if_their_hashes_are_equal() {
        let mut strings = Strings::<u8>::default();
        let texts: Vec<String> = (0..100).map(|n| format!("{n}.spam.example")).collect();
        for (number, text) in (0..).zip(&texts) {
            // All begin their search at the last slot.
            assert_eq!(strings.intern(text, u32::MAX), Some(number), "{text}");
            let (rows, slots) = (strings.rows.len(), strings.slots.len());
            assert!(rows * 4 <= slots * 3, "{rows} of {slots} slots: a search ends at a free one");
            assert!(rows * 8 > slots * 3 || slots == 16, "{rows} of {slots} slots take room for nothing");
        }
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(strings.find(text, u32::MAX), Some(number), "{text}");
            assert_eq!(strings.find(text, 0), None, "{text}");
            assert_eq!((strings.intern(text, u32::MAX), strings.at(number)), (Some(number), &**text));
        }
        assert_eq!(strings.find("ham.example", u32::MAX), None);
    }
}
