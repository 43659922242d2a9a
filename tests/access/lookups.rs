//! The program's look-ups in three maps, and what differs from them here.

use std::collections::BTreeSet;

use gatepost::list::access::{Address, Form, Host, Map, Options, Owner, Subject, Tag, keys};

use super::{connect, data, mail, map, rcpt, rows, word};

/// A map of the data without the lines that are errors here, which must be these.
fn mended(name: &str, broken: &[(usize, &str)]) -> Map {
    let text = data(name);
    if broken.is_empty() {
        return map(&text);
    }
    let flaws = Map::parse(text.as_bytes(), &Options::default()).expect_err("broken lines");
    let told: Vec<usize> = flaws.iter().map(|flaw| flaw.line).collect();
    assert_eq!(told, broken.iter().map(|(line, _)| *line).collect::<Vec<_>>(), "{flaws}");
    for (flaw, (_, says)) in flaws.iter().zip(broken) {
        assert!(flaw.to_string().contains(says), "{flaw}");
    }
    let kept = (1..).zip(text.lines()).filter(|(line, _)| !told.contains(line));
    map(&kept.map(|(_, line)| line).collect::<Vec<_>>().join("\n"))
}

/// Holds a table against a map, and returns the rows that differ.
fn differences(table: &str, map: &Map) -> BTreeSet<String> {
    let mut other = BTreeSet::new();
    for row in rows(table) {
        let (subject, answer, theirs) = match &row[..] {
            [kind, name, ip, theirs, ..] if kind == "host" => {
                (format!("{name} {ip}"), connect(map, ip, name), theirs)
            }
            [kind, sender, theirs, ..] if kind == "mail" => {
                (format!("from {sender}"), mail(map, sender), theirs)
            }
            [kind, recipient, theirs, ..] if kind == "rcpt" => {
                (format!("to {recipient}"), rcpt(map, recipient), theirs)
            }
            row => panic!("{row:?}"),
        };
        let ours = word(&answer.ruling);
        if ours != theirs {
            other.insert(format!("{subject}: {theirs}, here {ours}"));
        }
    }
    other
}

fn listed<const N: usize>(rows: [&str; N]) -> BTreeSet<String> {
    rows.map(str::to_owned).into()
}

#[test]
fn the_first_table_of_lookups_holds_but_for_what_the_program_does_against_its_manual() {
    let map = mended("acc.txt", &[(31, "SOME is no action"), (44, "from: needs something behind it")]);
    assert_eq!(
        differences("lookup.tsv", &map),
        listed([
            // A2
            "mail.relay.example.net 198.18.9.9: UNKNOWN, here OK",
            // A3
            "from <ok@next.tld>: UNKNOWN, here OK",
            // A4
            "v6.example.org IPv6:2001:db8:1::5: OK, here REJECT",
            // Hidden options: names below which nothing public exists are refused.
            "x.example.com 198.18.9.9: REJECT, here UNKNOWN",
            "x.local 198.18.9.9: REJECT, here UNKNOWN",
            "x.notatld 198.18.9.9: REJECT, here UNKNOWN",
            "from <a@sender.tld>: REJECT, here UNKNOWN",
            "from <x@corp.tld>: REJECT, here UNKNOWN",
            "to <a%b@snert.com>: REJECT, here UNKNOWN",
            // The detail is cut off with the domain still behind it, as Sendmail and Postfix do.
            "from <good+detail@plain.tld>: REJECT, here OK",
            // NEXT is for those that match.
            "from <fred@nodefnext.tld>: OK, here UNKNOWN",
        ])
    );
}

#[test]
fn the_second_table_of_lookups_holds_but_for_what_the_program_does_against_its_manual() {
    let map = mended("acc2.txt", &[(31, "SOME is no action")]);
    assert_eq!(
        differences("lookup2.tsv", &map),
        listed(["to <a%b@snert.com>: REJECT, here UNKNOWN", "to <a@mx.relay.tld>: UNKNOWN, here OK"])
    );
}

#[test]
fn the_third_table_of_lookups_holds_but_for_what_the_program_does_against_its_manual() {
    let map = mended("acc3.txt", &[(3, "the line begins with a blank")]);
    assert_eq!(
        differences("acc3.tsv", &map),
        listed([
            // A5
            "from <x@foo.snert.com>: UNKNOWN, here OK",
            // A6
            "h.snert.com 192.0.2.5: REJECT, here OK",
            "mx.snert.com 198.51.1.5: UNKNOWN, here OK",
        ])
    );
}

/// More keys are tried here, those of Sendmail and Postfix; none of the program's is left out.
#[test]
fn all_keys_of_libsnert_are_tried_in_its_order() {
    for row in &rows("keys.tsv")[1..] {
        let [kind, subject, second, theirs] = &row[..] else { panic!("{row:?}") };
        let literal = subject.starts_with('[');
        let ip = subject.trim_matches(['[', ']']).parse().ok();
        let host = Host::new(ip, if ip.is_none() { subject.as_bytes() } else { b"" });
        let address = Address::parse(subject.as_bytes()).expect("an address");
        let second = Address::parse(second.as_bytes());
        let first = match kind.as_str() {
            "connect" if ip.is_some() && !literal => Subject::Client(&host),
            "connect" => Subject::Name(&host),
            _ => Subject::Mailbox(&address),
        };
        let tag = match (kind.as_str(), &second) {
            ("connect", Some(_)) => Tag::ConnectTo,
            ("connect", None) => Tag::Connect(Owner::Sendmail),
            ("from", _) => Tag::From(Owner::Sendmail),
            _ => Tag::To(Owner::Sendmail),
        };
        let subjects = (first, second.as_ref().map(Subject::Mailbox));
        let ours: Vec<String> =
            keys(tag, subjects, &Form::default()).flat_map(|key| key.spellings()).collect();
        let mut rest = ours.iter();
        for key in theirs.split(' ') {
            assert!(rest.any(|own| own == key), "{key} in {ours:#?}");
        }
    }
}
