use proptest::prelude::*;

use super::*;

struct NoFiles;

impl Files for NoFiles {
    fn contains(&self, _: usize, _: &Party) -> Option<bool> {
        None
    }
}

fn protected(keys: &[&str]) -> Protected {
    let mut protected = Protected::default();
    for (place, key) in keys.iter().enumerate() {
        protected.add(Key::parse(key).expect(key), place).expect("a key of its own");
    }
    protected
}

fn find(protected: &Protected, argument: &str) -> Option<usize> {
    protected.find(&Party::parse(argument.as_bytes()).expect("a party"), "+")
}

fn senders(keys: &[&str]) -> Senders {
    let entry = |text: &&str| match *text {
        "<>" => SenderKey::Null,
        text => SenderKey::Key(Key::parse(text).expect("a key")),
    };
    Senders::new(keys.iter().map(entry), std::iter::empty())
}

fn ask(admission: &Admission, argument: &str, has_login: bool) -> Ruling {
    admission.ask(Party::parse(argument.as_bytes()).as_ref(), has_login, "+", &NoFiles)
}

// T63
#[test]
fn the_most_particular_key_decides_whatever_the_order_in_the_file() {
    let keys = [
        ".example.org",
        "@lists.example.org",
        "*@lists.example.org",
        "*-announce@lists.example.org",
        "list@lists.example.org",
        "list+owner@lists.example.org",
        "abuse@",
    ];
    let expected = [
        ("<list+owner@lists.example.org>", Some(5)),
        ("<list+other@lists.example.org>", Some(4)),
        ("<list@lists.example.org>", Some(4)),
        ("<abuse@lists.example.org>", Some(6)),
        ("<abuse@elsewhere.example>", Some(6)),
        ("<x-announce@lists.example.org>", Some(3)),
        ("<x-announce+y@lists.example.org>", Some(3)),
        ("<x@lists.example.org>", Some(2)),
        ("<x@sub.lists.example.org>", Some(0)),
        ("<x@example.org>", Some(0)),
        ("<x@notexample.org>", None),
        ("<x@example.net>", None),
    ];
    for (argument, place) in expected {
        assert_eq!(find(&protected(&keys), argument), place, "{argument}");
    }
    let mut turned = keys;
    turned.reverse();
    for (argument, place) in expected {
        let place = place.map(|place| keys.len() - 1 - place);
        assert_eq!(find(&protected(&turned), argument), place, "{argument}");
    }
    assert_eq!(find(&protected(&["@lists.example.org", ".org"]), "<x@lists.example.org>"), Some(0));
    assert_eq!(find(&protected(&["*-?????@l.example", "*-list?@l.example"]), "<x-lists@l.example>"), Some(1));
    assert_eq!(find(&protected(&[".org", ".lists.example.org"]), "<x@a.lists.example.org>"), Some(1));
}

#[test]
fn to_leave_out_the_domain_is_no_way_around_a_policy() {
    let protected =
        protected(&["list@lists.example.org", "*-announce@lists.example.org", "@board.example.org"]);
    for (argument, place) in [
        ("<list>", Some(0)),
        ("list", Some(0)),
        ("<LIST+x>", Some(0)),
        ("<list@[192.0.2.25]>", Some(0)),
        ("<x-announce>", Some(1)),
        ("<@relay.example:list@lists.example.org>", Some(0)),
        ("<list%lists.example.org>", Some(0)),
        ("<lists.example.org!list>", Some(0)),
        ("<\"list\"@lists.example.org>", Some(0)),
        ("<list@lists.example.org.>", Some(0)),
        ("<other>", None),
        ("<list@elsewhere.example>", None),
    ] {
        assert_eq!(find(&protected, argument), place, "{argument}");
    }
}

#[test]
fn what_the_mail_server_takes_for_a_protected_address_is_protected() {
    // Postfix 3.7 delivers each of these to list@own.example, own.example and x.example being its own.
    let protected = protected(&["list@own.example", "@board.example"]);
    for argument in [
        "<list%own.example@own.example>",
        "<list%own.example@x.example>",
        "<own.example!list@own.example>",
        "<\"list@own.example\"@own.example>",
        "<\"list%own.example\"@own.example>",
        "<list%own.example%own.example>",
        "<list@own.example@own.example>",
        "<own.example!own.example!list>",
        "<x.example!list%own.example>",
        "<list%own.example@>",
        "<list@own.example;>",
        "<group:list@own.example;>",
        "<,list@own.example>",
        "<li\u{17f}t@own.example>",
        "<li\u{fb06}@own.example>",
        "<>list@own.example>",
        "<@own.(example:list@own.example>",
        "<list(@own.example>",
        "<\"list\"(@own.example>",
        "<list@own.example\\@>",
        "<list@own.examp\\\\le>",
        "<x@y.example:list+x;>",
        "<list@localhost>",
        "<list%localhost@own.example>",
        "<<> list>",
        "<%list:list>",
        "%list:list",
        "<;%:list>",
        "<own.example!%list:list>",
    ] {
        assert_eq!(find(&protected, argument), Some(0), "{argument}");
        let party = Party::parse(argument.as_bytes()).expect("a party");
        assert_eq!(protected.named(&party, "+"), Some(0), "{argument}");
    }
    assert_eq!(find(&protected, "<boss%board.example@own.example>"), Some(1));
    assert_eq!(find(&protected, "<friend%x.example%board.example@own.example>"), Some(1));
    assert_eq!(find(&protected, "<friend%x.example@own.example>"), None);
    let friend = Party::parse(b"<friend%x.example@own.example>").expect("a party");
    assert_eq!(protected.named(&friend, "+"), None);
    assert!(Protected::default().is_empty() && !protected.is_empty());
}

#[test]
fn a_key_that_a_policy_has_already_is_told_of() {
    let mut protected = protected(&["list@l.example", "*@l.example", "@l.example"]);
    for (key, owner) in [("LIST@l.example.", 0), ("*@L.example", 1), ("l.example", 2)] {
        assert_eq!(protected.add(Key::parse(key).expect(key), 7), Err(Taken(owner)), "{key}");
    }
    assert_eq!(protected.add(Key::parse(".l.example").expect("a key"), 7), Ok(()));
}

#[test]
fn with_a_hyphen_for_details_a_request_address_has_the_policy_of_its_list_unless_it_has_its_own() {
    let find = |keys: &[&str], argument: &str| {
        protected(keys).find(&Party::parse(argument.as_bytes()).expect("a party"), "-")
    };
    let list = &["list@l.example", "owner@l.example"][..];
    let own = &["list@l.example", "owner@l.example", "list-request@l.example", "owner-list@l.example"][..];
    for (argument, alone, named) in [
        ("<list-x@l.example>", Some(0), Some(0)),
        ("<list-request@l.example>", Some(0), Some(2)),
        ("<owner-list@l.example>", Some(1), Some(3)),
    ] {
        assert_eq!((find(list, argument), find(own, argument)), (alone, named), "{argument}");
    }
    let everybody = Admission { senders: senders(&["*@*", "<>"]), ..Admission::default() };
    for sender in ["<x@y.example>", "<>", "<a-b@[192.0.2.1]>"] {
        assert_eq!(ask(&everybody, sender, false), Ruling::Admitted, "{sender}");
    }
}

// T58, T60, T62
#[test]
fn only_senders_are_admitted_and_the_null_sender_only_by_name() {
    let admission =
        Admission { senders: senders(&["alice@a.example", "@b.example"]), ..Admission::default() };
    for (argument, ruling) in [
        ("<Alice@A.example>", Ruling::Admitted),
        ("<x@b.example>", Ruling::Admitted),
        ("<mallory@a.example>", Ruling::Barred(Bar::Stranger)),
        ("<>", Ruling::Barred(Bar::Stranger)),
    ] {
        assert_eq!(ask(&admission, argument, false), ruling, "{argument}");
        assert_eq!(ask(&admission, argument, true), ruling, "{argument}");
    }
    let null = Admission { senders: senders(&["<>"]), ..Admission::default() };
    assert_eq!(ask(&null, "<>", false), Ruling::Admitted);
    assert_eq!(ask(&null, "<x@b.example>", false), Ruling::Barred(Bar::Stranger));
    assert_eq!(ask(&Admission::default(), "<x@b.example>", true), Ruling::Barred(Bar::Stranger));
}

#[test]
fn who_is_denied_is_so_before_all_else() {
    let admission = Admission {
        senders: senders(&[".a.example"]),
        deny: senders(&["@evil.a.example", "<>"]),
        logins: Logins::Allow,
    };
    assert_eq!(ask(&admission, "<x@good.a.example>", false), Ruling::Admitted);
    assert_eq!(ask(&admission, "<x@evil.a.example>", true), Ruling::Barred(Bar::Denied));
    assert_eq!(ask(&admission, "<>", true), Ruling::Barred(Bar::Denied));
    let unread = Senders::new([SenderKey::File(3)], std::iter::empty());
    let admission = Admission { deny: unread, ..admission };
    assert_eq!(ask(&admission, "<x@good.a.example>", true), Ruling::Unknown(3));
}

#[test]
fn a_login_is_worth_what_the_policy_says() {
    let senders = senders(&["alice@a.example"]);
    for (logins, has_login, stranger, member) in [
        (Logins::Senders, false, Ruling::Barred(Bar::Stranger), Ruling::Admitted),
        (Logins::Senders, true, Ruling::Barred(Bar::Stranger), Ruling::Admitted),
        (Logins::Allow, false, Ruling::Barred(Bar::Stranger), Ruling::Admitted),
        (Logins::Allow, true, Ruling::Admitted, Ruling::Admitted),
        (Logins::Require, false, Ruling::Barred(Bar::NoLogin), Ruling::Barred(Bar::NoLogin)),
        (Logins::Require, true, Ruling::Barred(Bar::Stranger), Ruling::Admitted),
    ] {
        let admission = Admission { senders: senders.clone(), logins, ..Admission::default() };
        assert_eq!(ask(&admission, "<x@b.example>", has_login), stranger, "{logins:?} {has_login}");
        assert_eq!(ask(&admission, "<alice@a.example>", has_login), member, "{logins:?} {has_login}");
    }
    let anybody = Admission { logins: Logins::Require, ..Admission::default() };
    assert_eq!(ask(&anybody, "<x@b.example>", true), Ruling::Admitted);
}

proptest! {
    #[test]
    fn nothing_that_a_client_types_ends_in_a_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let protected = protected(&["list@l.example", "*-x@l.example", ".l.example"]);
        if let Some(party) = Party::parse(&octets) {
            protected.find(&party, "+-");
            senders(&["a@b.example", "*x@l.example", ".b.example"]).find(Some(&party), "+", &NoFiles);
        }
    }

    #[test]
    fn whatever_is_a_key_finds_the_address_that_is_written_like_it(
        local in "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,20}",
        domain in "[a-zA-Z0-9]{1,9}(\\.[a-zA-Z0-9]{1,9}){1,3}",
    ) {
        let text = format!("{local}@{domain}");
        if let Ok(key @ Key::Address(_)) = Key::parse(&text) {
            let mut protected = Protected::default();
            prop_assert_eq!(protected.add(key, 0), Ok(()));
            for argument in [text.clone(), format!("<{text}>"), text.to_uppercase(), format!("<{text}.>")] {
                let party = Party::parse(argument.as_bytes()).expect("a party");
                prop_assert_eq!(protected.find(&party, "+"), Some(0), "{}", argument);
            }
        }
    }
}
