//! Patterns of answers, as an administrator writes them.

use std::fmt;

use super::Pattern;

impl fmt::Display for Pattern {
    /// `127.0.*.2-4`, or `bit 4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = match self {
            Self::Octets(octets) => octets,
            Self::Bits(mask) if mask.is_power_of_two() => return write!(f, "bit {mask}"),
            Self::Bits(mask) => {
                let bits = (0..8).map(|bit| 1 << bit).filter(|bit: &u8| mask & bit != 0);
                let bits: Vec<String> = bits.map(|bit| bit.to_string()).collect();
                return write!(f, "any of the bits {}", bits.join(", "));
            }
        };
        for (n, octet) in octets.iter().enumerate() {
            let dot = if n == 0 { "" } else { "." };
            match octet {
                (0, 255) => write!(f, "{dot}*")?,
                (first, last) if first == last => write!(f, "{dot}{first}")?,
                (first, last) => write!(f, "{dot}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_shown_as_they_are_written() {
        for (pattern, shown) in [
            (Pattern::Octets([(127, 127), (0, 0), (0, 255), (2, 4)]), "127.0.*.2-4"),
            (Pattern::Bits(4), "bit 4"),
            (Pattern::Bits(6), "any of the bits 2, 4"),
        ] {
            assert_eq!(pattern.to_string(), shown);
        }
    }
}
