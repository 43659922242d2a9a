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
    use std::collections::BTreeSet;

    use super::*;
    use crate::verdict::{Home, Kind, Pattern, Sketch};

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

    #[test]
    fn a_code_of_zen_means_something_about_the_part_that_it_names() {
        for code in 0..=255 {
            let part = List::ZEN.part(Codes::of(0, [code]));
            let about = List::ZEN.meaning(code).split_once(": ").map(|(about, _)| about);
            assert_eq!(about, (part != "ZEN").then_some(part), "{code}");
            assert_eq!(List::ZEN.documents(code), about.is_some(), "{code}");
        }
    }

    #[test]
    fn each_code_that_is_documented_has_a_meaning_of_its_own() {
        for (list, documented) in [
            // A hundred and more: the same of a domain that is abused.
            (List::DBL, Codes::of(1, (2..=6).chain(102..=106))),
            (List::ZRD, List::ZRD.all_codes()),
            (List::AUTHBL, List::AUTHBL.all_codes()),
        ] {
            let known: Vec<_> = (0..=255).filter(|code| list.documents(*code)).collect();
            assert_eq!(Codes::of(documented.group(), known), documented, "{list}");
        }
        let legitimate = |code: u8| List::DBL.meaning(code).starts_with("a legitimate ");
        assert!((2..=6).all(|code| !legitimate(code) && legitimate(code + 100)));
        let of_dbl: BTreeSet<_> = (2..=6).chain(102..=106).map(|code| List::DBL.meaning(code)).collect();
        assert_eq!(of_dbl.len(), 10);
        assert_ne!(List::ZRD.meaning(2), List::ZRD.meaning(3), "hours, and less than two");
    }

    #[test]
    fn the_answers_of_a_list_of_the_administrators_mean_what_he_calls_them() {
        let sketch = Sketch {
            name: "own".to_owned(),
            title: "Own".to_owned(),
            kind: Kind::Domain,
            home: Home::Zone { apex: "list.example".to_owned(), keyed: false },
            answers: vec![("spam".to_owned(), Pattern::Bits(2)), ("phish".to_owned(), Pattern::Bits(4))],
            refusals: Vec::new(),
            test: None,
        };
        let list = List::define(sketch).expect("room");
        assert_eq!([0, 1].map(|code| list.meaning(code)), ["spam", "phish"]);
        assert_eq!([0, 1, 2].map(|code| list.documents(code)), [true, true, false]);
    }
}
