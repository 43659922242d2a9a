//! What the return codes of the lists mean, in plain words.
//!
//! Source: Spamhaus' documentation of the DQS zones; codes outside the table have no meaning yet.

use super::{Codes, List};

impl List {
    /// The part of the list that knows the subject, the most severe one first: `SBL`, `PBL`, `DBL` …
    pub fn part(self, codes: Codes) -> &'static str {
        match self {
            Self::Zen => [
                ("DROP", 9..=9),
                ("SBL", 2..=2),
                ("BCL", 30..=30),
                ("CSS", 3..=3),
                ("XBL", 4..=7),
                ("PBL", 10..=11),
            ]
            .into_iter()
            .find(|(_, range)| range.clone().any(|code| codes.contains(code)))
            .map_or("ZEN", |(part, _)| part),
            Self::Dbl => "DBL",
            Self::Zrd => "ZRD",
        }
    }

    /// What one code of the list means.
    pub fn meaning(self, code: u8) -> &'static str {
        match (self, code) {
            (Self::Zen, 2) => "SBL: an address that sends spam or serves spammers, entered by hand",
            (Self::Zen, 3) => "CSS: an address that sends low-reputation mail, found automatically",
            (Self::Zen, 4) => "XBL: an infected or hijacked machine",
            (Self::Zen, 5..=7) => "XBL: reserved",
            (Self::Zen, 9) => "DROP: a network in the hands of criminals",
            (Self::Zen, 10) => {
                "PBL: an end-user address that should not send mail directly, says its provider"
            }
            (Self::Zen, 11) => "PBL: an end-user address that should not send mail directly, says Spamhaus",
            (Self::Zen, 30) => "BCL: a botnet controller",
            (Self::Dbl, 2) => "a domain of bad reputation",
            (Self::Dbl, 3) => "a redirector used in spam",
            (Self::Dbl, 4) => "a phishing domain",
            (Self::Dbl, 5) => "a malware domain",
            (Self::Dbl, 6) => "a botnet controller's domain",
            (Self::Dbl, 102) => "a legitimate domain abused for spam",
            (Self::Dbl, 103) => "a legitimate redirector abused for spam",
            (Self::Dbl, 104) => "a legitimate domain abused for phishing",
            (Self::Dbl, 105) => "a legitimate domain abused for malware",
            (Self::Dbl, 106) => "a legitimate domain abused by a botnet controller",
            (Self::Zrd, 2) => "a domain first seen less than 2 hours ago",
            (Self::Zrd, 3..=24) => "a domain first seen within the last day; the code is its age in hours",
            _ => "a code without a documented meaning",
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
            assert_eq!(List::Zen.part(Codes::of(0, codes.iter().copied())), part);
        }
    }
}
