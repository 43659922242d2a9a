use proptest::prelude::*;

use super::*;

fn faults(argument: &str, side: Side, is_utf8: bool) -> Vec<&'static str> {
    let faults = AddressFaults::of(argument.as_bytes(), side, is_utf8);
    AddressFault::ALL.into_iter().filter(|fault| faults.contains(*fault)).map(AddressFault::name).collect()
}

#[test]
fn what_the_rfcs_allow_has_no_fault() {
    let (long, labels) = ("x".repeat(64), "y".repeat(63));
    for argument in [
        "<user@spam.example>",
        "<a.b-c+d=e@spam.example>",
        "<!#$&'*+-/=?^_`{|}~@spam.example>",
        "<\"a b@c<d>\"@spam.example>",
        "<\"a\\\"b\\\\\"@spam.example>",
        "<\"\"@spam.example>",
        "<@relay.example:user@spam.example>",
        "<@relay.example,@[192.0.2.1]:user@spam.example>",
        "<user@[192.0.2.1]>",
        "<user@[192.0.002.001]>",
        "<user@[IPv6:2001:db8::1]>",
        "<user@[ipv6:::ffff:192.0.2.1]>",
        "<user@123.example>",
        "<user@xn--mller-kva.example>",
        &format!("<{long}@{labels}.example>"),
    ] {
        for side in [Side::Sender, Side::Recipient] {
            assert!(
                faults(argument, side, false).is_empty(),
                "{argument}: {:?}",
                faults(argument, side, false)
            );
        }
    }
    for argument in ["<\u{fc}ser@m\u{fc}ller.example>", "<\"\u{fc}\"@spam.example>"] {
        assert!(faults(argument, Side::Sender, true).is_empty(), "{argument}");
        assert_eq!(faults(argument, Side::Sender, false), ["smtputf8"], "{argument}");
    }
    assert!(faults("<>", Side::Sender, false).is_empty() && faults("", Side::Sender, false).is_empty());
    for argument in ["<postmaster>", "<PostMaster>", "<user@localhost>"] {
        assert!(faults(argument, Side::Recipient, false).is_empty(), "{argument}");
    }
    assert!(faults("<a%b@spam.example>", Side::Sender, false).is_empty());
}

#[test]
fn what_they_forbid_has_its_own_name() {
    let long = "x".repeat(65);
    for (argument, named) in [
        ("<user@spam.example", &["brackets"][..]),
        ("user@spam.example>", &["brackets"]),
        ("<<user@spam.example>>", &["brackets"]),
        ("Name <user@spam.example>", &["brackets"]),
        ("<user@spam.example> x", &["brackets"]),
        ("user@spam.example", &["bare"]),
        ("< user@spam.example >", &["blanks"]),
        ("<@relay.example user@spam.example>", &["route", "local-part"]),
        ("<@:user@spam.example>", &["route"]),
        ("<@a.example,b.example:user@spam.example>", &["route"]),
        ("<a b@spam.example>", &["local-part"]),
        ("<a\\b@spam.example>", &["local-part"]),
        ("<a\u{1}b@spam.example>", &["local-part"]),
        ("<a\"b\"@spam.example>", &["local-part"]),
        ("<\"a\"b@spam.example>", &["local-part"]),
        ("<\"a\tb\"@spam.example>", &["local-part"]),
        ("<\"open@spam.example>", &["local-part"]),
        ("<@spam.example>", &["route", "unqualified"]),
        ("<a..b@spam.example>", &["dots"]),
        ("<.a@spam.example>", &["dots"]),
        ("<a.@spam.example>", &["dots"]),
        ("<a@spam..example>", &["domain"]),
        ("<a@-spam.example>", &["domain"]),
        ("<a@spam-.example>", &["domain"]),
        ("<a@sp am.example>", &["domain"]),
        ("<a@b@spam.example>", &["domain"]),
        ("<a@>", &["domain"]),
        ("<a@[192.0.2.256]>", &["domain"]),
        ("<a@[192.0.2]>", &["domain"]),
        ("<a@[192.0.2.0001]>", &["domain"]),
        ("<a@[192.0.2.+1]>", &["domain"]),
        ("<a@[2001:db8::1]>", &["domain"]),
        ("<a@[x400:c=us]>", &["domain"]),
        ("<a@[192.0.2.1>", &["domain"]),
        ("<a@spam.example.>", &["domain-form"]),
        ("<a@sp_am.example>", &["domain-form"]),
        ("<a@1.2.3.4>", &["domain-form"]),
        (&format!("<{long}@spam.example>"), &["length"]),
        (&format!("<a@{long}.example>"), &["length"]),
        ("<user>", &["unqualified"]),
        ("<postmaster>", &["unqualified"]),
        ("<user@spam>", &["unqualified"]),
    ] {
        assert_eq!(faults(argument, Side::Sender, false), named, "{argument}");
    }
    for (argument, named) in [
        ("<>", &["local-part"][..]),
        ("<user>", &["unqualified"]),
        ("<a%b@spam.example>", &["percent"]),
        ("<a%b>", &["unqualified", "percent"]),
    ] {
        assert_eq!(faults(argument, Side::Recipient, false), named, "{argument}");
    }
    let latin = AddressFaults::of(b"<caf\xe9@spam.example>", Side::Sender, true);
    assert_eq!(latin.first(), Some(AddressFault::LocalPart));
    let latin = AddressFaults::of(b"<a@caf\xe9.example>", Side::Sender, true);
    assert_eq!(latin.first(), Some(AddressFault::Domain));
}

#[test]
fn what_a_mail_server_reads_otherwise_than_it_is_written_is_a_fault_of_brackets_or_local_part() {
    let told: AddressFaults = [AddressFault::Brackets, AddressFault::LocalPart].into_iter().collect();
    for (argument, reply) in [
        ("<<> list>", "501 5.1.3 imbalanced angle brackets in path"),
        ("%list:list", "553 5.1.3 invalid local part"),
        ("<%list:list>", "553 5.1.3 invalid local part"),
        ("<;%:list>", "553 5.1.3 invalid local part"),
        ("<own.example!%list:list>", "553 5.1.3 invalid local part"),
    ] {
        let fault = AddressFaults::of(argument.as_bytes(), Side::Recipient, false).and(told).first();
        assert_eq!(fault.map(|fault| fault.reply(Side::Recipient)), Some(reply), "{argument}");
    }
}

#[test]
fn every_reply_is_legal_and_its_code_fits_the_command() {
    for fault in AddressFault::ALL {
        for (side, other) in [(Side::Sender, "5.1.3"), (Side::Recipient, "5.1.7")] {
            let reply: crate::smtp::Reply = fault.reply(side).parse().expect("a reply");
            assert!(!reply.is_temporary() && reply.enhanced() != other, "{reply}");
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_looked_at_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        for side in [Side::Sender, Side::Recipient] {
            AddressFaults::of(&octets, side, false);
        }
    }

    #[test]
    fn a_dot_string_at_a_name_is_always_accepted(
        local in "[a-z0-9!#$&'*+/=?^_`{|}~-]{1,20}(\\.[a-z0-9!#$&'*+/=?^_`{|}~-]{1,9}){0,3}",
        domain in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z][a-z0-9]{0,20}){1,4}",
    ) {
        let argument = format!("<{local}@{domain}>");
        prop_assert!(AddressFaults::of(argument.as_bytes(), Side::Sender, false).is_empty(), "{}", argument);
    }

    #[test]
    fn any_printable_text_can_be_quoted(text in "[ -~]{0,30}") {
        let quoted: String = text.chars().flat_map(|c| ['\\', c]).collect();
        let argument = format!("<\"{quoted}\"@spam.example>");
        prop_assert!(AddressFaults::of(argument.as_bytes(), Side::Recipient, false)
            .without(AddressFault::Length).is_empty(), "{}", argument);
    }
}

/// The addresses that milter-spamc was tried with, and what is wrong with each of them. Where its reply differs from what
/// the RFCs say, they are right: address literals are legal, hyphens at the ends of a label and dots at the ends of a
/// local part are not.
const TRIED: [(&str, &str); 28] = [
    ("<a@notatld.zzzz>", ""),
    ("<a@x.example.com>", ""),
    ("<postmaster@zzzz>", ""),
    ("<a@[192.0.2.1]>", ""),
    ("<a@[IPv6:2001:db8::1]>", ""),
    ("<A@B.SNERT.COM>", ""),
    ("foo@snert.com", "501 5.5.4 address without angle brackets"),
    ("<foo>", "553 5.1.7 address incomplete"),
    ("<foo@>", "553 5.1.7 invalid domain name"),
    ("<foo@bar>", "553 5.1.7 address incomplete"),
    ("<@a.com:foo@bar.com>", ""),
    ("<foo@bar.com", "501 5.1.7 imbalanced angle brackets in path"),
    ("<a b@snert.com>", "553 5.1.7 invalid local part"),
    ("<\u{fc}ser@snert.com>", "553 5.6.7 address needs SMTPUTF8"),
    ("<user@m\u{fc}ller.de>", "553 5.6.7 address needs SMTPUTF8"),
    ("<user@xn--mller-kva.de>", ""),
    ("<\"quoted space\"@snert.com>", ""),
    ("<a..b@snert.com>", "553 5.1.7 invalid local part"),
    ("<.a@snert.com>", "553 5.1.7 invalid local part"),
    ("<a@-snert.com>", "553 5.1.7 invalid domain name"),
    ("<a@snert.com.>", "553 5.1.7 invalid domain name"),
    ("<a@sn_ert.com>", "553 5.1.7 invalid domain name"),
    ("<a@b@c.com>", "553 5.1.7 invalid domain name"),
    ("<+x@snert.com>", ""),
    ("<a@1.2.3.4>", "553 5.1.7 invalid domain name"),
    ("<a@[1.2.3.4]>", ""),
    ("<a@123.com>", ""),
    (
        "<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@snert.com>",
        "553 5.1.7 address too long",
    ),
];

#[test]
fn every_address_of_the_table_gets_its_reply_with_all_checks_on() {
    let table = include_str!("../../../tests/data/access/syntax.tsv");
    let mut expected = TRIED.iter();
    for row in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut cells = row.split('\t');
        let side = if cells.next() == Some("mail") { Side::Sender } else { Side::Recipient };
        let argument = cells.next().expect("an address");
        let (known, reply) = expected.next().expect("a reply");
        assert_eq!(argument, *known);
        let first = AddressFaults::of(argument.as_bytes(), side, false).first();
        assert_eq!(first.map_or("", |fault| fault.reply(side)), *reply, "{argument}");
    }
    assert_eq!(expected.next(), None);
}
