//! What a map can hold, to the octet, and what it is told about one more.

use std::fmt::Write as _;

use gatepost::list::access::{KEY, Map, Options, Ruling, Syntax, VALUE};

use super::{mail, map, word};

fn parse(text: &[u8], syntax: Syntax) -> Result<Vec<String>, String> {
    let read = Map::parse(text, &Options { syntax, ..Options::default() });
    let (_, notices) = read.map_err(|flaws| flaws.to_string())?;
    Ok(notices.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_as_long_as_allowed_is_read_and_one_octet_more_is_an_error() {
    let key = |octets: usize| {
        let comment = "x".repeat(octets - "From:()john@b.example".len());
        format!("From:({comment})john@b.example OK\n")
    };
    let value = |octets: usize| format!("From:b.example{}REJECT\n", " ".repeat(octets - "REJECT".len()));
    let continued = |octets: usize| {
        let text = "x".repeat(octets - " REJECT ".len() - " no".len());
        format!("mail.b.example REJECT {text}\n  no\n")
    };
    for (fits, over, syntax, says) in [
        (key(2 * KEY), key(2 * KEY + 1), Syntax::Sendmail, "a key of 1121 octets, more than the 560 allowed"),
        (value(VALUE), value(VALUE + 1), Syntax::Sendmail, "a value of 65537 octets"),
        (continued(VALUE), continued(VALUE + 1), Syntax::Postfix, "a value of 65537 octets"),
    ] {
        assert_eq!(parse(fits.as_bytes(), syntax), Ok(Vec::new()));
        let told = parse(over.as_bytes(), syntax).expect_err(says);
        assert!(told.starts_with("1: ") && told.contains(says), "{told}");
    }
    assert_eq!(mail(&map(&key(2 * KEY)), "<john@b.example>").ruling, Ruling::Allow, "in its canonical form");
    let told = parse(&vec![0; (1 << 28) + 1], Syntax::Sendmail).expect_err("too much");
    assert!(told.contains("a map of 268435457 octets, more than the 268435456 allowed"), "{told}");
}

#[test]
fn a_reason_that_is_too_long_for_the_mail_server_is_told() {
    let notices = |octets| {
        let reason = "x".repeat(octets);
        parse(format!("From:b.example QUARANTINE:{reason}\n").as_bytes(), Syntax::Sendmail).expect("a map")
    };
    assert!(notices(380).is_empty());
    for octets in [381, 500] {
        assert!(notices(octets)[0].contains("what is beyond 380 is cut off"), "{octets}");
    }
}

#[test]
fn equal_lists_count_once() {
    let mut text = String::new();
    for n in 0..6_000 {
        writeln!(text, "gatepost-from:d{n}.example /^user[0-9]/REJECT").expect("a string");
    }
    assert_eq!(word(&mail(&map(&text), "<user7@d5999.example>").ruling), "REJECT");
}
