//! Plain lists.

use super::*;
use crate::smtp::Mailbox;

#[test]
fn a_plain_list_of_addresses_takes_both_families_and_exclusions() {
    let list = plain_list(
        Kind::Address,
        "# a comment\n; another\n\n192.0.2.1\n198.51.100.0/24 # the office\n2001:db8::/32 :3:see $\n!198.51.100.7\n\
         203.0.113.5-203.0.113.9 :127.0.0.4:\n203.0.113.12-203.0.113.12\n  10.0.0.1\t\n::1\n198.51.100.0/24\n",
    );
    assert_eq!(list.entries(), 9);
    for (ip, records) in [
        ("192.0.2.1", &["127.0.0.2"][..]),
        ("192.0.2.2", &[]),
        ("198.51.100.6", &["127.0.0.2"]),
        ("198.51.100.7", &[]),
        ("2001:db8::25", &["127.0.0.3 see 2001:db8::25"]),
        ("203.0.113.4", &[]),
        ("203.0.113.5", &["127.0.0.4"]),
        ("203.0.113.9", &["127.0.0.4"]),
        ("203.0.113.10", &[]),
        ("203.0.113.12", &["127.0.0.2"]),
        ("10.0.0.1", &["127.0.0.2"]),
        ("::1", &["127.0.0.2"]),
    ] {
        assert_eq!(says(&list, ip), records, "{ip}");
    }
    let (_, warnings) = Table::parse(Format::Plain, Kind::Address, b"192.0.2.1\n!192.0.2.1\n")
        .expect("a list that contradicts itself");
    assert_eq!(warnings[0].line, 2);
}

#[test]
fn a_plain_list_holds_no_large_part_of_the_internet_by_mistake() {
    for wide in
        ["0.0.0.0/0", "::/0", "0.0.0.0/7", "fc00::/6", "2000::/3", "::ffff:0.0.0.0/96", "::ffff:0.0.0.0/103"]
    {
        let faults = errors(Format::Plain, Kind::Address, format!("192.0.2.1\n{wide}\n").as_bytes());
        assert!(
            faults.len() == 1
                && faults[0].line == 2
                && faults[0].cause.contains("a large part of the Internet"),
            "{wide}: {faults:?}"
        );
    }
    let list =
        plain_list(Kind::Address, "10.0.0.0/8\nfc00::/7\n::ffff:11.0.0.0/104\n224.0.0.0-255.255.255.255\n");
    for ip in ["10.1.2.3", "fd00::1", "11.1.2.3", "224.0.0.1", "255.255.255.255"] {
        assert!(lists(&list, ip), "{ip}");
    }
    assert!(lists(&plain_list(Kind::Address, "0.0.0.0-255.255.255.255\n"), "192.0.2.1"), "it was meant");
}

#[test]
fn a_plain_list_of_domains_takes_u_labels_and_the_notations_of_dnset() {
    let list =
        plain_list(Kind::Domain, "Spam.Example\n*.b\u{fc}cher.example\n.both.example.\n!ok.both.example\n");
    for (name, listed) in [
        ("spam.example", true),
        ("a.spam.example", false),
        ("xn--bcher-kva.example", false),
        ("a.xn--bcher-kva.example", true),
        ("both.example", true),
        ("a.both.example", true),
        ("ok.both.example", false),
    ] {
        assert_eq!(lists(&list, name), listed, "{name}");
    }
    assert!(!lists(&list, "192.0.2.1"));
}

#[test]
fn a_plain_list_of_mailboxes_looks_at_the_mailbox_its_domain_and_its_local_part() {
    let list = plain_list(
        Kind::Mailbox,
        "User@Spam.Example :2:\n@bulk.example :3:\n@.all.example :4:\nnoreply@ :5:\n<> :6:\n\
         <\"a b\\\"@c\"@spam.example> :7:\n!friend@bulk.example\n\"noreply\"@quoted.example :8:\n",
    );
    let says = |local: &str, name: Option<&str>| {
        list.mailbox(local, name.map(domain).as_ref()).map(|entry| entry.value.octets()[3])
    };
    for (local, name, value) in [
        ("user", Some("spam.example"), Some(2)),
        ("USER", Some("spam.example"), Some(2)),
        ("other", Some("spam.example"), None),
        ("anybody", Some("bulk.example"), Some(3)),
        ("friend", Some("bulk.example"), None),
        ("anybody", Some("x.bulk.example"), None),
        ("anybody", Some("all.example"), Some(4)),
        ("anybody", Some("x.all.example"), Some(4)),
        ("noreply", Some("any.example"), Some(5)),
        ("noreply", Some("bulk.example"), Some(3)),
        ("noreply", Some("quoted.example"), Some(8)),
        ("noreply", None, Some(5)),
        ("user", None, None),
        ("", None, Some(6)),
        ("", Some("spam.example"), None),
        ("", Some("bulk.example"), Some(3)),
        ("a b\"@c", Some("spam.example"), Some(7)),
        (&"x".repeat(10_000), Some("bulk.example"), Some(3)),
        (&"x".repeat(10_000), Some("spam.example"), None),
    ] {
        assert_eq!(says(local, name), value, "{local} {name:?}");
    }
    assert_eq!(list.domain(&domain("bulk.example")).map(|entry| entry.value), None);
}

#[test]
fn a_local_part_with_capitals_beyond_ascii_is_found_however_it_is_written() {
    let list = plain_list(
        Kind::Mailbox,
        "\u{c4}RGER@spam.example\n<\"stra\u{df}e 1\"@spam.example>\n\u{3a9}@\n!\u{c4}rger@bulk.example\n@bulk.example\n",
    );
    // As subjects come: in lower case, as Unicode has it.
    for (argument, is_listed) in [
        ("<\u{e4}rger@spam.example>", true),
        ("<\u{c4}rger@spam.example>", true),
        ("<\"STRASSE 1\"@spam.example>", true),
        ("<\u{3c9}@any.example>", true),
        ("<\u{e4}rger@bulk.example>", false),
        ("<arger@spam.example>", false),
    ] {
        let mailbox = Mailbox::parse(argument.as_bytes()).expect("a mailbox");
        let entry = list.mailbox(&mailbox.local, mailbox.domain.as_ref());
        assert_eq!(entry.is_some(), is_listed, "{argument}");
    }
}

#[test]
fn every_wrong_line_of_a_plain_list_is_an_error_with_its_number() {
    for (kind, lines) in [
        (
            Kind::Address,
            &[
                "10",
                "10.2",
                "010.0.0.1",
                "10.0.0.1/24",
                "10.0.0.0/33",
                "10.0.0.9-10.0.0.1",
                "1::-2::",
                "spam.example",
                "10.0.0.1 x",
                "10.0.0.1 :x:",
                "10.0.0.1 REJECT",
                "\u{e9}",
                "!",
            ][..],
        ),
        (
            Kind::Domain,
            &[
                "192.0.2.1",
                "192.0.2.\u{ff11}",
                "a b",
                "a@b.example",
                "*",
                "*.",
                "x*.example",
                "[192.0.2.1]",
                ".",
                "a..b c",
            ],
        ),
        (
            Kind::Mailbox,
            &[
                "user",
                "@",
                "user@a b",
                "\"open@spam.example",
                "a b@spam.example",
                "user@[192.0.2.1]",
                "u\"x@spam.example",
                "\"\"@x.example",
            ],
        ),
    ] {
        for line in lines {
            let faults = errors(Format::Plain, kind, format!("# a comment\n{line}\n").as_bytes());
            assert_eq!((faults.len(), faults[0].line), (1, 2), "{line}: {faults:?}");
            assert!(!faults[0].cause.is_empty() && !faults[0].remedy.is_empty());
        }
    }
}
