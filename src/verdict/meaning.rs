//! What the return codes of the lists mean, in plain words.
//!
//! Source: Spamhaus' documentation of the DQS zones; codes outside the table have no meaning yet.

use super::{Answers, Codes, List};

const UNDOCUMENTED: &str = "a code without a documented meaning";

impl List {
    /// The part of the list that knows the subject, the most severe one first: `SBL`, `PBL`, `DBL` …
    pub fn part(self, codes: Codes) -> &'static str {
        if self != Self::ZEN {
            return self.title();
        }
        [("DROP", 9..=9), ("SBL", 2..=2), ("BCL", 30..=30), ("CSS", 3..=3), ("XBL", 4..=7), ("PBL", 10..=11)]
            .into_iter()
            .find(|(_, range)| range.clone().any(|code| codes.contains(code)))
            .map_or(self.title(), |(part, _)| part)
    }

    /// Whether the meaning of a code is documented.
    pub fn documents(self, code: u8) -> bool {
        self.meaning(code) != UNDOCUMENTED
    }

    /// What one code of the list means.
    pub fn meaning(self, code: u8) -> &'static str {
        if let Answers::Named(names) = self.definition().answers {
            return names.get(usize::from(code)).map_or(UNDOCUMENTED, |(name, _)| name);
        }
        match (self.name(), code) {
            ("zen", 2) => "SBL: an address that sends spam or serves spammers, entered by hand",
            ("zen", 3) => "CSS: an address that sends low-reputation mail, found automatically",
            ("zen", 4) => "XBL: an infected or hijacked machine",
            ("zen", 5..=7) => "XBL: reserved",
            ("zen", 9) => "DROP: a network in the hands of criminals",
            ("zen", 10) => "PBL: an end-user address that should not send mail directly, says its provider",
            ("zen", 11) => "PBL: an end-user address that should not send mail directly, says Spamhaus",
            ("zen", 30) => "BCL: a botnet controller",
            ("dbl", 2) => "a domain of bad reputation",
            ("dbl", 3) => "a redirector used in spam",
            ("dbl", 4) => "a phishing domain",
            ("dbl", 5) => "a malware domain",
            ("dbl", 6) => "a botnet controller's domain",
            ("dbl", 102) => "a legitimate domain abused for spam",
            ("dbl", 103) => "a legitimate redirector abused for spam",
            ("dbl", 104) => "a legitimate domain abused for phishing",
            ("dbl", 105) => "a legitimate domain abused for malware",
            ("dbl", 106) => "a legitimate domain abused by a botnet controller",
            ("zrd", 2) => "a domain first seen less than 2 hours ago",
            ("zrd", 3..=24) => "a domain first seen within the last day; the code is its age in hours",
            ("authbl", 20) => "an address that tries passwords",
            _ => UNDOCUMENTED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_severe_part_of_zen_gives_the_name() {
        for (codes, part) in [
            (&[2, 9, 10][..], "DROP"),
            (&[2, 30, 3], "SBL"),
            (&[30, 4], "BCL"),
            (&[3, 4], "CSS"),
            (&[7, 11], "XBL"),
            (&[11], "PBL"),
            (&[12], "ZEN"),
        ] {
            assert_eq!(List::ZEN.part(Codes::of(0, codes.iter().copied())), part);
        }
    }
}
