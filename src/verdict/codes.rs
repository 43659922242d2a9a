//! The return codes of one answer of a list.

use std::fmt;
use std::net::Ipv4Addr;

/// A set of return codes `127.0.<group>.<code>`, all of one group.
///
/// A list answers with one or several A records; the group is the list's own third octet (0 for ZEN,
/// 1 for DBL, 2 for ZRD), the code is the last octet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codes {
    group: u8,
    /// In octets, not in words: a session keeps several sets, and needs no room to align them.
    bits: [u8; 32],
}

impl Codes {
    /// The empty set of a group.
    pub const fn none(group: u8) -> Self {
        Self { group, bits: [0; 32] }
    }

    /// A set of a group.
    pub fn of(group: u8, codes: impl IntoIterator<Item = u8>) -> Self {
        let mut set = Self::none(group);
        for code in codes {
            set.insert(code);
        }
        set
    }

    /// The third octet that all codes of the set share.
    pub fn group(self) -> u8 {
        self.group
    }

    /// Adds a code.
    pub fn insert(&mut self, code: u8) {
        self.bits[usize::from(code >> 3)] |= 1 << (code & 7);
    }

    /// Whether the set holds `code`.
    pub fn contains(self, code: u8) -> bool {
        self.bits[usize::from(code >> 3)] & (1 << (code & 7)) != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.bits == [0; 32]
    }

    /// The codes of this set that are in `other` too.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut both = self;
        for (mine, theirs) in both.bits.iter_mut().zip(other.bits) {
            *mine &= theirs;
        }
        both
    }

    /// The codes of this set that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        let mut rest = self;
        for (mine, theirs) in rest.bits.iter_mut().zip(other.bits) {
            *mine &= !theirs;
        }
        rest
    }

    /// The codes of both sets; those of `other` count as of this group.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut any = self;
        for (mine, theirs) in any.bits.iter_mut().zip(other.bits) {
            *mine |= theirs;
        }
        any
    }

    /// The codes as settings have them, with four and more in a row as a range: `2,3,9-14`.
    pub fn ranges(self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut rest = self.iter().peekable();
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|next| last.checked_add(1) == Some(*next)) {
                last = next;
            }
            if last - first >= 3 {
                parts.push(format!("{first}-{last}"));
            } else {
                parts.extend((first..=last).map(|code| code.to_string()));
            }
        }
        parts.join(",")
    }

    /// The codes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=255).filter(move |&code| self.contains(code))
    }
}

impl fmt::Display for Codes {
    /// The addresses, comma separated: `127.0.0.2,127.0.0.4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, code) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{}", Ipv4Addr::new(127, 0, self.group, code))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Codes;

    #[test]
    fn a_set_is_shown_as_the_addresses_of_its_codes() {
        let codes = Codes::of(0, [10, 255, 2, 63, 64, 0]);
        assert_eq!(codes.to_string(), "127.0.0.0,127.0.0.2,127.0.0.10,127.0.0.63,127.0.0.64,127.0.0.255");
        assert_eq!(codes.and(Codes::of(0, [2, 3])).iter().collect::<Vec<_>>(), [2]);
        assert!(Codes::none(1).is_empty() && !codes.is_empty());
    }

    #[test]
    fn sets_are_put_together_and_taken_apart_within_the_group_of_the_first() {
        let (ours, theirs) = (Codes::of(1, [2, 3, 102]), Codes::of(0, [3, 4, 200]));
        assert_eq!(ours.and(theirs), Codes::of(1, [3]));
        assert_eq!(ours.without(theirs), Codes::of(1, [2, 102]));
        assert_eq!(ours.or(theirs), Codes::of(1, [2, 3, 4, 102, 200]));
        assert_eq!(Codes::of(2, []).group(), 2);
    }

    #[test]
    fn four_codes_in_a_row_are_shown_as_a_range() {
        for (codes, shown) in [
            (&[][..], ""),
            (&[2], "2"),
            (&[2, 3, 4], "2,3,4"),
            (&[2, 3, 9, 10, 11, 12], "2,3,9-12"),
            (&[20, 21, 22, 23, 253, 254, 255], "20-23,253,254,255"),
        ] {
            assert_eq!(Codes::of(0, codes.iter().copied()).ranges(), shown);
        }
        assert_eq!(Codes::of(0, 0..=255).ranges(), "0-255");
    }
}
