//! Cases of rbldnsd(8).

mod broken;
mod plain;

use super::*;

fn parse(format: Format, text: &str) -> (Table, Vec<Fault>) {
    Table::parse(format, Kind::Address, text.as_bytes())
        .unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"))
}

fn plain_list(kind: Kind, text: &str) -> Table {
    let (table, warnings) = Table::parse(Format::Plain, kind, text.as_bytes()).expect("a plain list");
    assert_eq!(warnings, []);
    table
}

fn errors(format: Format, kind: Kind, text: &[u8]) -> Vec<Fault> {
    Table::parse(format, kind, text).expect_err("a bad file")
}

fn domain(name: &str) -> Domain {
    Domain::from_setting(name).expect("a domain")
}

/// All that a list says about an address or a domain: `value text`, sorted.
fn says(table: &Table, subject: &str) -> Vec<String> {
    let entry = match subject.parse() {
        Ok(ip) => table.address(ip),
        Err(_) => table.domain(&domain(subject)),
    };
    let records = entry.iter().flat_map(|entry| {
        entry.records().map(|(value, text)| format!("{value} {}", entry.render(text)).trim_end().to_owned())
    });
    let mut records: Vec<String> = records.collect();
    records.sort();
    records
}

fn lists(table: &Table, subject: &str) -> bool {
    !says(table, subject).is_empty()
}

#[test]
fn formats_and_kinds_are_known_by_their_names() {
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
    for kind in Kind::ALL {
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
    }
    assert_eq!((Format::from_name("IP4SET"), Kind::from_name("")), (None, None));
}

#[test]
fn every_notation_of_a_range_means_the_same() {
    for range in ["127.0.0.0/24", "127.0.0", "127/24", "127.0.0.0-127.0.0.255", "127.0.0.0-255"] {
        let table = parse(Format::Ip4Set, &format!("{range}\n"));
        assert_eq!(
            ["126.255.255.255", "127.0.0.0", "127.0.0.255", "127.0.1.0"].map(|ip| lists(&table.0, ip)),
            [false, true, true, false],
            "{range}"
        );
        assert_eq!(table.1, []);
    }
    for range in [
        "127.16.0.0-127.31.255.255",
        "127.16.0-127.31.255",
        "127.16-127.31",
        "127.16-31",
        "127.16.0.0/12",
        "127.16.0/12",
        "127.16/12",
    ] {
        let (table, warnings) = parse(Format::Ip4Set, &format!("{range} # a comment\n"));
        assert_eq!(
            ["127.15.255.255", "127.16.0.0", "127.31.255.255", "127.32.0.0"].map(|ip| lists(&table, ip)),
            [false, true, true, false],
            "{range}"
        );
        assert_eq!(warnings, []);
    }
}

#[test]
fn what_is_no_range_is_passed_over_with_a_warning() {
    for range in [
        "10",
        "10.",
        "10.0.0.256",
        "10.0.0.1.2",
        "10.0.0.1/33",
        "10.0.0.1/24",
        "10.0.0.9-10.0.0.1",
        "10.0-10.0.0.1",
        "a",
        "10.0.0.1x",
        "-",
        "!",
        "! x",
        "10.0.0.1/",
        "10.0.0.1-",
        "10.0.0.1 :x:",
        "10.0.0.1 :0:",
        "10.0.0.1 :256:",
        "10.0.0.1 :2 text",
        // The manual has this as an example, but rbldnsd itself does not take it.
        "127-127.0.0",
        "0/0",
        "::1",
    ] {
        let (table, warnings) = parse(Format::Ip4Set, &format!("192.0.2.1\n{range}\n"));
        assert_eq!((warnings.len(), table.entries()), (1, 1), "{range}: {warnings:?}");
        assert_eq!(warnings[0].line, 2);
    }
}

#[test]
fn defaults_and_values_of_entries_are_those_of_the_manual() {
    let (table, warnings) = parse(
        Format::Ip4Set,
        "127.0.0.1\n\
         # what holds from here on\n\
         :127.0.0.2:host $ is bad\n\
         127.0.0.4\n\
         127.0.0.5 :5\n\
         127.0.0.6 :6:\n\
         127.0.0.7 host $ relays # no comment\n\
         :3:\n\
         127.0.0.8:4: glued\n\
         127.0.0.9;x\n",
    );
    assert_eq!(warnings, []);
    for (ip, record) in [
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.4", "127.0.0.2 host 127.0.0.4 is bad"),
        ("127.0.0.5", "127.0.0.5 host 127.0.0.5 is bad"),
        ("127.0.0.6", "127.0.0.6"),
        ("127.0.0.7", "127.0.0.2 host 127.0.0.7 relays # no comment"),
        ("127.0.0.8", "127.0.0.4 glued"),
        ("127.0.0.9", "127.0.0.3"),
    ] {
        assert_eq!(says(&table, ip), [record], "{ip}");
    }
    let entry = table.address("127.0.0.4".parse().expect("an address")).expect("an entry");
    assert_eq!((entry.value, entry.text), (Ipv4Addr::new(127, 0, 0, 2), "host $ is bad"));
    assert_eq!(entry.rendered(), "host 127.0.0.4 is bad");
}

#[test]
fn templates_are_filled_in_as_in_the_manual() {
    let (table, _) = parse(
        Format::Ip4Set,
        "$1 More at https://list.example\n$2 to read\n$2 ignored\n\
         127.0.0.2  $1/spammer/$ $2\n\
         127.0.0.4  It sells for $$$$.  $1/$ $3\n\
         127.0.0.5  ==$=\n",
    );
    for (ip, text) in [
        ("127.0.0.2", "127.0.0.2 More at https://list.example/spammer/127.0.0.2 to read"),
        ("127.0.0.4", "127.0.0.2 It sells for $$.  More at https://list.example/127.0.0.4 $3"),
        ("127.0.0.5", "127.0.0.2 =="),
    ] {
        assert!(says(&table, ip)[0].starts_with(text), "{:?}", says(&table, ip));
    }
    let (table, _) = parse(
        Format::Ip4Set,
        "$= More at https://list.example/$= on $ now\n\
         127.0.0.2    r123\n127.0.0.3\n127.0.0.4    =Ask elsewhere about $\n",
    );
    for (ip, text) in [
        ("127.0.0.2", "127.0.0.2 More at https://list.example/r123 on 127.0.0.2 now"),
        ("127.0.0.3", "127.0.0.2 More at https://list.example/127.0.0.3 on 127.0.0.3 now"),
        ("127.0.0.4", "127.0.0.2 Ask elsewhere about 127.0.0.4"),
    ] {
        assert_eq!(says(&table, ip), [text]);
    }
}

#[test]
fn in_ip4set_the_smallest_block_counts_and_equal_ones_add_up() {
    let (table, warnings) = parse(
        Format::Ip4Set,
        "10/8 :8:\n10.1/16 :16:\n10.1.2/24 :24:\n10.1.2.3 :32:\n!10.2/16\n10.2.3.4 :4:\n\
         10.3.0.0/23 :23:\n10.3.0.0-10.3.0.254 :5:\n\
         10.9.9.9 :1:\n10.9.9.9 :2:\n10.9.9.9 :2:\n10.8.8.8\n!10.8.8.8\n\
         255.255.255.250-255 :7:\n0.0.0.0 :9:\n10.4.5.9-10 :127.2:\n10.4.5.12-12 :127.1.9:\n",
    );
    assert_eq!(warnings, []);
    for (ip, records) in [
        ("10.0.0.1", &["127.0.0.8"][..]),
        ("10.1.0.1", &["127.0.0.16"]),
        ("10.1.2.1", &["127.0.0.24"]),
        ("10.1.2.3", &["127.0.0.32"]),
        ("10.2.0.1", &[]),
        ("10.2.3.4", &["127.0.0.4"]),
        // A range that is larger, but was cut into single addresses.
        ("10.3.0.1", &["127.0.0.5"]),
        ("10.3.0.255", &["127.0.0.23"]),
        ("10.9.9.9", &["127.0.0.1", "127.0.0.2"]),
        ("10.8.8.8", &[]),
        ("10.4.5.8", &["127.0.0.8"]),
        ("10.4.5.9", &["127.0.0.2"]),
        ("10.4.5.10", &["127.0.0.2"]),
        ("10.4.5.11", &["127.0.0.8"]),
        ("10.4.5.12", &["127.1.0.9"]),
        ("11.0.0.1", &[]),
        ("255.255.255.255", &["127.0.0.7"]),
        ("0.0.0.0", &["127.0.0.9"]),
    ] {
        assert_eq!(says(&table, ip), records, "{ip}");
    }
    assert_eq!(table.address("2001:db8::1".parse().expect("an address")).map(|entry| entry.value), None);
}

#[test]
fn in_tries_the_longest_prefix_counts_and_the_first_of_equal_ones() {
    let (table, warnings) = parse(
        Format::Ip4Trie,
        "10/8 :8:\n10.1.0.0/17 :17:\n!10.1.1.0/25\n10.1.1.5 :5:\n10.1.1.5 :6:\n0/0 :9:\n10.1.1.6-7\n",
    );
    assert_eq!(warnings.iter().map(|fault| fault.line).collect::<Vec<_>>(), [6, 7, 5]);
    for (ip, records) in [
        ("10.255.255.255", &["127.0.0.8"][..]),
        ("10.1.127.255", &["127.0.0.17"]),
        ("10.1.128.0", &["127.0.0.8"]),
        ("10.1.1.0", &[]),
        ("10.1.1.127", &[]),
        ("10.1.1.128", &["127.0.0.17"]),
        ("10.1.1.5", &["127.0.0.5"]),
        ("0.0.0.0", &["127.0.0.9"]),
        ("255.255.255.255", &["127.0.0.9"]),
    ] {
        assert_eq!(says(&table, ip), records, "{ip}");
    }
}

#[test]
fn ip6trie_takes_the_notations_of_the_manual() {
    let (table, warnings) = parse(
        Format::Ip6Trie,
        ":127.0.1.2: Known, see https://list.example/?$\n\
         2001:21ab:c000/36\n\
         2001:21ab:def7:4242 :127.0.1.3: another text\n\
         2605:6001:42::/52\n\
         ::1\t\t# localhost\n\
         !2605:6001:42::bead   # exclusion\n\
         fe80::/10 :10:\n",
    );
    assert_eq!(warnings, []);
    let listed = |ip: &str| format!("127.0.1.2 Known, see https://list.example/?{ip}");
    for (ip, records) in [
        ("2001:21ab:c000::1", &[listed("2001:21ab:c000::1")][..]),
        ("2001:21ab:d000::", &[]),
        ("2001:21ab:def7:4242:ffff::", &["127.0.1.3 another text".into()]),
        ("2001:21ab:def7:4243::", &[]),
        ("2605:6001:42::bead", &[]),
        ("2605:6001:42::beae", &[listed("2605:6001:42::beae")]),
        ("::1", &[listed("::1")]),
        ("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["127.0.0.10".into()]),
        ("fec0::", &[]),
        ("0.0.0.1", &[]),
    ] {
        assert_eq!(says(&table, ip), records, "{ip}");
    }
}

#[test]
fn a_trie_that_lists_everybody_does_so_and_is_told() {
    for (format, line) in [
        (Format::Ip4Trie, "0/0"),
        (Format::Ip4Trie, "0.0.0.0/0 :2:all"),
        (Format::Ip6Trie, "::/0"),
        (Format::Ip6Trie, "::ffff:0:0/96"),
    ] {
        let (table, warnings) = parse(format, &format!("{line}\n"));
        assert!(table.entries() == 1 && warnings.len() == 1, "{line}: {warnings:?}");
        assert!(warnings[0].to_string().contains("all addresses there are"), "{warnings:?}");
        let (_, warnings) = parse(format, &format!("!{line}\n"));
        assert_eq!(warnings, [], "an exclusion lists nobody");
    }
}

#[test]
fn what_is_no_ipv6_network_is_passed_over() {
    for network in [
        "2001",
        "2001:",
        "2001:db8:",
        "1:2:3:4:5:6:7::8",
        "1::2::3/64",
        "12345::",
        "2001:db8::1/64",
        "1::/129",
        "1::/x",
        "g::",
        "1.2.3.4",
        "::ffff:1.2.3.4",
        "1::2x",
        "2001:db8::%eth0",
    ] {
        let (table, warnings) = parse(Format::Ip6Trie, &format!("fe80::/64\nfe80:1::/64\n{network}\n"));
        assert_eq!((warnings.len(), table.entries()), (1, 2), "{network}: {warnings:?}");
    }
}

#[test]
fn an_ipv4_mapped_address_is_an_ipv4_address_on_both_sides() {
    let (table, _) = parse(Format::Ip4Trie, "192.0.2.0/24\n");
    assert!(lists(&table, "::ffff:192.0.2.7"));
    for list in [
        plain_list(Kind::Address, "::ffff:192.0.2.0/120\n"),
        parse(Format::Ip6Trie, "::ffff:c000:200/120\n").0,
    ] {
        assert!(lists(&list, "192.0.2.7") && lists(&list, "::ffff:192.0.2.7"));
        assert!(!lists(&list, "192.0.3.7"));
    }
}

#[test]
fn dnset_lists_a_domain_what_is_below_it_or_both() {
    let (table, warnings) = parse(
        Format::Dnset,
        ":2:domain $\nExample.COM\n*.wild.example :3:\n.both.example. :4:$\n!not.both.example\n!.deep.both.example\n\
         a..b.example\n*.example :9:\ntwice.example :5:\ntwice.example :6:\n.2.0.192 :7:\n",
    );
    assert_eq!(warnings, []);
    for (name, records) in [
        ("example.com", &["127.0.0.2 domain example.com"][..]),
        ("sub.example.com", &[]),
        ("wild.example", &["127.0.0.9"]),
        ("a.wild.example", &["127.0.0.3"]),
        ("a.b.c.wild.example", &["127.0.0.3"]),
        ("both.example", &["127.0.0.4 both.example"]),
        // The name of the entry, not the one that was looked up.
        ("a.both.example", &["127.0.0.4 both.example"]),
        ("not.both.example", &[]),
        ("a.not.both.example", &["127.0.0.4 both.example"]),
        ("deep.both.example", &[]),
        ("a.deep.both.example", &[]),
        ("a.b.example", &["127.0.0.2 domain a.b.example"]),
        ("twice.example", &["127.0.0.5", "127.0.0.6"]),
        ("example", &[]),
        ("notboth.example", &["127.0.0.9"]),
        // The reverse names of addresses are names.
        ("192.0.2.1", &["127.0.0.7"]),
        ("192.0.3.1", &[]),
    ] {
        assert_eq!(says(&table, name), records, "{name}");
    }
}

#[test]
fn names_that_no_domain_can_have_are_passed_over() {
    let long = "x".repeat(64);
    for name in [
        "a/b.example",
        "b\u{fc}cher.example",
        "*.*.example",
        ".",
        "*.",
        "a b.example\\046x",
        &long,
        "x#y.example",
        "!",
    ] {
        let text = format!("1.example\n2.example\n{name}\n");
        let (table, warnings) = parse(Format::Dnset, &text);
        if name == "a b.example\\046x" {
            // Here a text follows the name `a`.
            assert_eq!((warnings.len(), table.entries()), (0, 3));
        } else {
            assert_eq!((warnings.len(), table.entries()), (1, 2), "{name}: {warnings:?}");
        }
    }
}

#[test]
fn a_name_of_any_depth_is_found() {
    let deepest = "a.".repeat(123) + "example";
    let (table, warnings) = parse(Format::Dnset, &format!("{deepest}\n*.{} :3:\n", &deepest[4..]));
    assert_eq!(warnings, []);
    assert_eq!(says(&table, &deepest), ["127.0.0.2"]);
    assert_eq!(says(&table, &deepest[2..]), ["127.0.0.3"]);
    assert!(!lists(&table, &deepest[4..]));
}

#[test]
fn generic_takes_addresses_and_texts_of_names() {
    let (table, warnings) = parse(
        Format::Generic,
        "$NS 0 ns1.example\n@ A 127.0.0.8\nWWW.spam.example 3000 A 127.0.0.1\n\
         two.example A 127.0.0.2\ntwo.example 1h IN a 127.0.0.3 rest\ntwo.example TXT \"costs $ 5\"\n\
         text.example TXT alone\nmail.example MX 10 mx.example\n2.0.0.127 A 127.0.0.2\nshort.example A 127.2\n\
         last.example A 5\nmiddle.example A 127.1.9\n",
    );
    assert_eq!(warnings, []);
    for (name, records) in [
        ("www.spam.example", &["127.0.0.1"][..]),
        ("spam.example", &[]),
        ("two.example", &["127.0.0.2 costs $ 5", "127.0.0.3 costs $ 5"]),
        ("text.example", &[]),
        ("mail.example", &[]),
        ("127.0.0.2", &["127.0.0.2"]),
        ("short.example", &["127.0.0.2"]),
        ("last.example", &["0.0.0.5"]),
        ("middle.example", &["127.1.0.9"]),
    ] {
        assert_eq!(says(&table, name), records, "{name}");
    }
    for line in [
        "x.example",
        "x.example A",
        "x.example A x",
        "x.example CNAME y",
        "x.example 5q A 127.0.0.2",
        "*.x A 1",
    ] {
        let (_, warnings) = parse(Format::Generic, &format!("y.example A 127.0.0.2\n{line}\n"));
        assert_eq!(warnings.len(), 1, "{line}");
    }
}

#[test]
fn directives_are_understood_and_unknown_ones_are_warned_of() {
    let (table, warnings) = parse(
        Format::Ip4Set,
        "$SOA 3600 ns.example. hostmaster.example. 0 600 300 86400 300\n$NS 3600 ns.example\n#$TTL 300\n:$nameserver 0 x\n\
         $TIMESTAMP 2005:01:01 +1d\n$maxrange4 /24\n#$Id: a word of a program for versions $\n\
         10.0.0.0/24\n10.1.0.0-10.1.1.0\n$MAXRANGE4 512\n10.2.0.0/23\n10.3.0.0/24\n$MAXRANGE4 0\n$UNKNOWN x\n$TTL\n",
    );
    assert_eq!(warnings.iter().map(|fault| fault.line).collect::<Vec<_>>(), [9, 11, 13, 14, 15]);
    assert_eq!(["10.0.0.9", "10.1.0.9", "10.2.0.9"].map(|ip| lists(&table, ip)), [true, false, false]);
    let faults = errors(Format::Ip4Set, Kind::Address, b"$DATASET ip4set:x @\n10.0.0.1\n");
    assert!(faults[0].cause.contains("combined"), "{faults:?}");
}
