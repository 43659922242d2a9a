//! Files that are not what they should be, and those that somebody made to hurt.

use super::*;

#[test]
fn line_ends_of_all_kinds_and_blanks_do_not_matter() {
    for text in [
        "192.0.2.1\r\n198.51.100.0/24\r\n",
        "192.0.2.1\n198.51.100.0/24\n",
        "\t192.0.2.1 \n\n\n  198.51.100.0/24  \n  ",
    ] {
        let list = plain_list(Kind::Address, text);
        assert!(lists(&list, "192.0.2.1") && lists(&list, "198.51.100.9") && list.entries() == 2, "{text:?}");
    }
    let (list, warnings) =
        Table::parse(Format::Plain, Kind::Domain, b"\xef\xbb\xbfspam.example\n").expect("a list");
    assert!(lists(&list, "spam.example") && warnings[0].cause.contains("byte order mark"), "{warnings:?}");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    for (text, word) in [
        (&b"\x1f\x8b\x08\x00"[..], "compressed"),
        (b"\xff\xfe1\x000\x00", "UTF-16"),
        (b"\xfe\xff\x001\x000", "UTF-16"),
        (b"10.0.0.1\n10.0.0.\0\0\0\0\n", "it holds NUL"),
        (&vec![0; 1 << 30], "it holds NUL"),
        (&vec![0; (1 << 30) + 1], "larger than 1 GiB"),
        (b"10.0.0.1 \x1b[2J\n", "control"),
        (b"10.0.0.1\r10.0.0.2\r", "control"),
        (b"10.0.0.1\x7f\n", "control"),
    ] {
        for format in [Format::Ip4Set, Format::Plain] {
            let faults = errors(format, Kind::Address, text);
            assert!(faults[0].cause.contains(word), "{faults:?}");
        }
    }
    assert_eq!(errors(Format::Plain, Kind::Address, b"10.0.0.1\n10.0.0.\0\n")[0].line, 2);
    let faults = errors(Format::Ip4Set, Kind::Address, b"$UNKNOWN x\n10.0.0.1\x7f\n");
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2], "the damage alone");
}

#[test]
fn a_network_that_is_not_written_by_its_first_address_is_told_the_right_one() {
    for (format, line, remedy) in [
        (Format::Ip4Set, "10.1.2.3/16", "write 10.1.0.0/16, or the address alone"),
        (Format::Ip6Trie, "2001:db8::1/32", "write 2001:db8::/32, or the address alone"),
        (Format::Plain, "10.1.2.3/16", "write 10.1.0.0/16, or the address alone"),
    ] {
        let faults = errors(format, Kind::Address, format!("{line}\n").as_bytes());
        assert!(faults.iter().any(|fault| fault.remedy == remedy), "{line}: {faults:?}");
    }
}

#[test]
fn a_file_with_more_entries_than_fit_is_refused() {
    for (format, text) in [
        (Format::Ip4Set, "10.0.0.1\n10.0.0.2\n10.0.0.3\n"),
        (Format::Generic, "1.example A 127.0.0.2\n2.example A 127.0.0.2\n3.example A 127.0.0.2\n"),
    ] {
        let read = |most| load::load(format, format.kind().expect("a kind"), text.as_bytes(), most);
        assert_eq!(read(3).expect("room for all").0.entries(), 3);
        let faults = read(2).expect_err("one too many");
        assert!(faults[0].cause.contains("more than 2 entries"), "{faults:?}");
    }
}

#[test]
fn a_last_line_without_its_end_must_not_list_more_than_was_meant() {
    for (format, kind, last) in [
        (Format::Ip4Set, Kind::Address, "10.0"),
        (Format::Ip4Set, Kind::Address, "10.0.0."),
        (Format::Ip4Set, Kind::Address, "10.0.0.1-"),
        (Format::Ip4Set, Kind::Address, "10.0.0.1 :12"),
        (Format::Ip4Set, Kind::Address, "128.0.0.0/2"),
        (Format::Ip6Trie, Kind::Address, "2001:db8"),
        (Format::Ip6Trie, Kind::Address, "2001:db8:"),
        (Format::Dnset, Kind::Domain, ".com"),
        (Format::Dnset, Kind::Domain, "*."),
        (Format::Generic, Kind::Domain, "x.example A 127."),
        (Format::Plain, Kind::Address, "10.0.0.0/1"),
        (Format::Plain, Kind::Domain, "*.co"),
        (Format::Plain, Kind::Mailbox, "user"),
        (Format::Plain, Kind::Mailbox, "@.co"),
    ] {
        let first = match (format, kind) {
            (Format::Generic, _) => "a.example A 127.0.0.2",
            (Format::Ip6Trie, _) => "2001:db8::1",
            (_, Kind::Address) => "192.0.2.1",
            (_, Kind::Domain) => "spam.example",
            (_, Kind::Mailbox) => "user@spam.example",
        };
        let text = format!("{first}\n{last}");
        let result = Table::parse(format, kind, text.as_bytes());
        if last == "10.0.0.1 :12" {
            // Nothing shows that another digit belongs to it, and no more addresses are listed.
            let (_, warnings) = result.expect("a list");
            assert!(warnings.len() == 1 && warnings[0].line == 2, "{warnings:?}");
            continue;
        }
        let faults = result.expect_err(last);
        assert!(faults[0].line == 2 && faults[0].cause.contains("the last line has no end"), "{faults:?}");
    }
}

#[test]
fn a_last_line_without_its_end_is_told_whatever_it_lists() {
    for (format, kind, line) in [
        (Format::Ip4Set, Kind::Address, "10.0.0"),
        (Format::Ip4Trie, Kind::Address, "10.0.0"),
        (Format::Ip4Set, Kind::Address, "10.0.0.1"),
        (Format::Ip4Set, Kind::Address, ":2:text"),
        (Format::Ip6Trie, Kind::Address, "2001:db8:1:2"),
        (Format::Dnset, Kind::Domain, ".spam.example"),
        (Format::Generic, Kind::Domain, "x.example A 127.0.0.2"),
        (Format::Plain, Kind::Address, "10.0.0.0/24"),
        (Format::Plain, Kind::Domain, "spam.example"),
        (Format::Plain, Kind::Mailbox, "user@spam.example"),
    ] {
        let warnings = |text: String| Table::parse(format, kind, text.as_bytes()).expect("a list").1;
        let told = |warnings: &[Fault]| warnings.iter().any(|one| one.cause.contains("has no end"));
        let without = warnings(line.to_owned());
        assert!(told(&without) && without[0].line == 1, "{line}: {without:?}");
        assert!(!told(&warnings(format!("{line}\n"))), "{line}");
        assert!(!told(&warnings(format!("{line}\n# a comment"))), "{line}");
    }
}

#[test]
fn a_line_of_ten_megabytes_is_cut_in_one_format_and_refused_in_the_other() {
    let long = [&b"10.0.0.1 "[..], &vec![b'x'; 10 << 20], b"\n192.0.2.1\n"].concat();
    let (table, warnings) = Table::parse(Format::Ip4Set, Kind::Address, &long).expect("a list");
    assert!(lists(&table, "10.0.0.1") && lists(&table, "192.0.2.1"));
    assert_eq!(says(&table, "10.0.0.1")[0].len(), "127.0.0.2 ".len() + 254);
    assert_eq!(warnings.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 1]);
    assert!(warnings.iter().all(|fault| fault.to_string().len() < 200), "{warnings:?}");
    let faults = errors(Format::Plain, Kind::Address, &long);
    assert_eq!((faults.len(), faults[0].line), (1, 1));
    // A line may have 4096 octets.
    let commented = |length: usize| format!("10.0.0.1 #{}\n", "x".repeat(length - 10));
    assert!(lists(&plain_list(Kind::Address, &commented(4_096)), "10.0.0.1"));
    assert_eq!(errors(Format::Plain, Kind::Address, commented(4_097).as_bytes()).len(), 1);
}

#[test]
fn of_many_faults_some_are_kept_and_the_rest_is_counted() {
    let faults = errors(Format::Plain, Kind::Address, "no\n".repeat(100_000).as_bytes());
    assert_eq!(faults.len(), 21);
    assert_eq!(faults[20].cause, "and 99980 more");
    assert_eq!(
        faults[19].to_string(),
        "20: \"no\": neither address nor network; write 192.0.2.1, 192.0.2.0/24, 192.0.2.0-192.0.2.9 or 2001:db8::/32"
    );
    let faults = errors(Format::Plain, Kind::Domain, b"a\"b\\\n");
    assert!(faults[0].cause.starts_with("\"a\\\"b\\\\\": "), "{faults:?}");
}

#[test]
fn a_file_of_another_format_is_refused_and_one_without_entries_is_warned_of() {
    let faults = errors(Format::Ip4Set, Kind::Address, b"spam.example\n.bulk.example\n10.0.0.1\n");
    assert!(faults[0].cause.contains("2 lines are no entries of the format ip4set, 1 are"), "{faults:?}");
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [0, 1, 2], "and which they are");
    for text in ["# nothing\n", ":2:\n"] {
        let (table, warnings) = parse(Format::Ip4Set, text);
        assert_eq!((table.entries(), warnings.len()), (0, 1), "{text:?}");
        assert!(!lists(&table, "127.0.0.2"));
    }
}

#[test]
fn a_file_with_nothing_in_it_is_damaged() {
    for text in [&b""[..], b"\n", b" \t\r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"] {
        for format in Format::ALL {
            let faults = errors(format, Kind::Domain, text);
            assert!(faults.len() == 1 && faults[0].cause.contains("nothing in it"), "{text:?}: {faults:?}");
        }
    }
}

#[test]
fn a_subject_with_thousands_of_values_costs_no_more_than_it_should() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for n in 0..20_000 {
        writeln!(text, "10.0.0.0/24 :2:{n}\n10.0.0.{} :3:{n}", n % 256).expect("a line");
    }
    let (table, warnings) = parse(Format::Ip4Set, &text);
    assert_eq!(says(&table, "10.0.0.1").len(), 16);
    assert!(warnings[0].cause.contains("more than 16"), "{warnings:?}");
}

#[test]
fn a_hostile_template_does_not_grow_without_bound() {
    let text = format!("$1 {}\n10.0.0.1 {}\n", "x".repeat(250), "$1".repeat(120));
    let (table, _) = parse(Format::Ip4Set, &text);
    assert_eq!(says(&table, "10.0.0.1")[0].len(), "127.0.0.2 ".len() + 254);
}

#[test]
fn a_key_of_dqs_in_a_list_is_not_shown_nor_its_beginning() {
    for (format, kind) in [
        (Format::Plain, Kind::Address),
        (Format::Plain, Kind::Mailbox),
        (Format::Ip4Set, Kind::Address),
        (Format::Ip4Trie, Kind::Address),
        (Format::Ip6Trie, Kind::Address),
        (Format::Generic, Kind::Domain),
    ] {
        for before in 0..70 {
            let text = format!("{} abcdefghij0123456789klmnop\n", "x".repeat(before));
            let faults = Table::parse(format, kind, text.as_bytes()).expect_err("no list");
            assert!(faults.iter().all(|fault| !fault.to_string().contains("abc")), "{faults:?}");
        }
    }
}
