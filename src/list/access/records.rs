//! Makes an access map of the records of another program's database.
//!
//! Reads no database; key and value of each record are handed in. What is wrong is told as for a text, but by record.

use super::super::Fault;
use super::text::Reader;
use super::{Duplicates, Map, Options};

impl Map {
    /// Makes a map of records. Of two records with one key the first is taken, as a look-up in the database would.
    ///
    /// Postfix may end keys and values with a NUL, and makemap too if it is told to (`-N`): one is taken off. The second
    /// part of what is returned is worth a look, but no mistake.
    ///
    /// # Errors
    /// All records that cannot be used, with cause and remedy.
    pub fn from_records<'a>(
        records: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        options: &Options,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let mut reader = Reader::new(Options { duplicates: Duplicates::First, ..*options }, "record");
        for (number, (key, value)) in (1..).zip(records) {
            let plain = |octets: &'a [u8]| octets.strip_suffix(b"\0").unwrap_or(octets);
            let key = plain(key);
            // Marks of the databases themselves, such as `YP_LAST_MODIFIED` and `@:@` of Sendmail's aliases.
            if key == b"@" || key == b"YP_LAST_MODIFIED" || key == b"YP_MASTER_NAME" {
                continue;
            }
            reader.pair(number, key, plain(value));
        }
        let told = |flaws: super::super::Flaws| flaws.told().into_iter().map(by_record).collect::<Vec<_>>();
        let (mut map, notices) = reader.finish().map_err(told)?;
        map.entries.iter_mut().for_each(|row| row.line = 0);
        Ok((map, told(notices)))
    }
}

/// A fault whose number is not a line's.
fn by_record(fault: Fault) -> Fault {
    let cause = if fault.line > 0 { format!("record {}: {}", fault.line, fault.cause) } else { fault.cause };
    Fault { line: 0, cause, remedy: fault.remedy }
}

#[cfg(test)]
mod tests {
    use super::super::{Host, Rules, Ruling, Search, Syntax};
    use super::*;

    fn map(records: &[(&[u8], &[u8])], syntax: Syntax) -> Result<(Map, Vec<Fault>), Vec<Fault>> {
        Map::from_records(records.iter().copied(), &Options { syntax, ..Options::default() })
    }

    fn connect(map: &Map, ip: &str) -> Ruling {
        let host = Host::new(ip.parse().ok(), b"mx.example.org");
        Search::connect(&host, &Rules::default()).run(map).ruling
    }

    #[test]
    fn keys_are_found_with_and_without_a_nul_behind_them() {
        let (map, notices) = map(
            &[
                (b"connect:192.0.2\0", b"OK\0"),
                (b"Connect:IPv6:2001:0db8", b"OK"),
                (b"connect:192.0.2", b"REJECT"),
            ],
            Syntax::Sendmail,
        )
        .expect("a map");
        assert_eq!(
            (connect(&map, "192.0.2.9"), connect(&map, "2001:db8::9")),
            (Ruling::Allow, Ruling::Allow)
        );
        assert_eq!(connect(&map, "198.51.100.1"), Ruling::Nothing);
        let notices: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(
            notices,
            [" record 3: connect:192.0.2 has an entry in record 1 already; record 1 is taken"]
        );
    }

    #[test]
    fn what_is_wrong_is_told_by_record() {
        let records: [(&[u8], &[u8]); 4] = [
            (b"from:a.example", b"OK"),
            (b"from:b.example", b"REJCT"),
            (b"form:c.example", b""),
            (b"\0", b"OK\0"),
        ];
        let faults = map(&records, Syntax::Sendmail).expect_err("mistakes");
        let causes: Vec<&str> = faults.iter().map(|fault| fault.cause.as_str()).collect();
        assert!(causes.iter().all(|cause| cause.starts_with("record ")), "{causes:?}");
        assert!(causes[0].contains("record 2") && causes[1].contains("record 3"), "{causes:?}");
        assert_eq!(causes.last(), Some(&"record 4: the key is empty"));
        let (map, _) = map(&[(b"192.0.2", b"DUNNO"), (b"@", b"@")], Syntax::Postfix).expect("a map");
        assert!(map.len() == 1 && !map.is_empty());
    }

    #[test]
    fn a_remark_on_all_records_has_no_number() {
        let (map, notices) =
            map(&[(b"greetpause:localhost", b"0"), (b"clientrate:", b"9")], Syntax::Sendmail).expect("a map");
        assert!(map.is_empty());
        let notices: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(notices, [" 2 records have tags of other programs; they are left to these"]);
    }
}
