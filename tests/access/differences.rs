//! Where milter-spamc's program differs from its manual: the manual holds, A1 to A12.

use gatepost::list::access::{Address, Because, Exemption, Logins, Rules, Ruling, Search, Standing, Wish};
use gatepost::list::pattern::Ere;

use super::{connect, heard, host, mail, map, nobody, rcpt, to, word};

#[test]
fn a1_denials_are_enforced() {
    let map = map("From:refused.example REJECT\nFrom:dropped.example DISCARD\nFrom:later.example TEMPFAIL\n");
    let other = rcpt(&map, "<a@b.example>");
    for (sender, expected) in [("refused", "REJECT"), ("later", "TEMPFAIL"), ("dropped", "DISCARD")] {
        let answer = mail(&map, &format!("<x@{sender}.example>"));
        assert_eq!(word(&answer.ruling), expected);
        let mut standing = Standing::default();
        standing.mail(heard(&answer));
        assert_eq!(to(&mut standing, &other), Some(answer.ruling), "{sender}");
    }
}

#[test]
fn a2_relay_allows() {
    let map = map("To:mx.example RELAY\nConnect:192.0.2 RELAY\ngatepost-from:a.example !*!RELAY\n");
    assert_eq!(rcpt(&map, "<a@mx.example>").ruling, Ruling::Allow);
    assert_eq!(connect(&map, "192.0.2.1", "x.example").ruling, Ruling::Allow);
    assert_eq!(mail(&map, "<x@a.example>").ruling, Ruling::Allow);
}

#[test]
fn a3_next_resumes_wherever_it_stands_in_a_list() {
    let map =
        map("milter-spamc-To:aol.example /^[a-z]{3,16}@aol.example$/NEXT REJECT\nTo:fred@aol.example OK\n");
    assert_eq!(rcpt(&map, "<fred@aol.example>").ruling, Ruling::Allow);
    assert_eq!(rcpt(&map, "<john@aol.example>").ruling, Ruling::Nothing);
    assert_eq!(word(&rcpt(&map, "<x@aol.example>").ruling), "REJECT");
}

#[test]
fn a4_every_spelling_of_an_ipv6_key_is_found() {
    for key in ["2001:db8:1", "IPv6:2001:db8:1", "2001:0DB8:0001", "2001:db8:1::/48", "ipv6:2001:db8:1::"] {
        let map = map(&format!("Connect:{key} REJECT\n"));
        assert_eq!(word(&connect(&map, "2001:db8:1::5", "x.example").ruling), "REJECT", "{key}");
        assert_eq!(connect(&map, "2001:db8:2::5", "x.example").ruling, Ruling::Nothing, "{key}");
    }
    let map = map("Connect:2001:db8:0:0 OK\n");
    assert_eq!(connect(&map, "2001:db8::5", "x.example").ruling, Ruling::Allow, "words inside of ::");
}

#[test]
fn a5_keys_and_tags_are_found_in_either_case() {
    let map = map("FROM:Foo.Example OK\nmilter-SPAMC-to:Bob@Example.ORG !*!reject\nspam:Abuse@ friend\n");
    assert_eq!(mail(&map, "<X@fOO.example>").ruling, Ruling::Allow);
    assert_eq!(word(&rcpt(&map, "<bOB@EXAMPLE.org>").ruling), "REJECT");
    assert_eq!(rcpt(&map, "<ABUSE@x.example>").ruling, Ruling::Allow);
}

#[test]
fn a6_a_network_is_tried_on_the_address_whatever_the_key_is() {
    let map = map(
        "milter-spamc-connect: [192.0.2.0/24]OK REJECT\nmilter-spamc-connect:mx.example [203.0.113.0/24]OK\n",
    );
    assert_eq!(connect(&map, "192.0.2.5", "h.other").ruling, Ruling::Allow);
    assert_eq!(word(&connect(&map, "192.0.3.5", "h.other").ruling), "REJECT");
    assert_eq!(connect(&map, "203.0.113.5", "a.mx.example").ruling, Ruling::Allow);
    assert_eq!(
        connect(&map, "192.0.2.5", "a.mx.example").ruling,
        Ruling::Nothing,
        "no pattern, no word at the end"
    );
}

#[test]
fn a7_a_login_is_looked_up_before_it_is_trusted() {
    let map = map(
        "milter-spamc-Auth:alice !*@corp.example!OK REJECT\ngatepost-auth:bob SKIP\nAuth:carol REJECT\nFrom:corp.example REJECT\n",
    );
    let (host, trusting) = (nobody(), Rules::default());
    let doubting = Rules { logins: Logins::Ignored, ..Rules::default() };
    let ask = |login, sender: &str, rules| {
        let sender = Address::parse(sender.as_bytes());
        Search::mail(&host, login, sender.as_ref(), rules).run(&map)
    };
    assert_eq!(ask(Some("Alice"), "<a@corp.example>", &trusting).ruling, Ruling::Allow);
    assert_eq!(word(&ask(Some("alice"), "<a@other.example>", &trusting).ruling), "REJECT");
    assert_eq!(word(&ask(Some("carol"), "<a@other.example>", &trusting).ruling), "REJECT");
    let stranger = ask(Some("dave"), "<a@corp.example>", &trusting);
    assert_eq!((stranger.ruling, stranger.because), (Ruling::Allow, Because::Login));
    assert_eq!(word(&ask(Some("dave"), "<a@corp.example>", &doubting).ruling), "REJECT");
    assert_eq!(ask(Some("dave"), "<a@other.example>", &doubting).ruling, Ruling::Nothing);
    assert_eq!(
        word(&ask(Some("bob"), "<a@corp.example>", &trusting).ruling),
        "REJECT",
        "SKIP vouches for nobody"
    );
    assert_eq!(
        word(&ask(Some(""), "<a@corp.example>", &trusting).ruling),
        "REJECT",
        "an empty login is none"
    );
    assert_eq!(ask(Some("dave"), "<>", &trusting).ruling, Ruling::Allow);
}

#[test]
fn a8_a_hater_is_checked_whatever_allows_it() {
    let map = map("Spam:hater.example HATER\nTo:hater.example OK\nConnect:192.0.2 OK\n");
    let answer = rcpt(&map, "<a@hater.example>");
    assert_eq!(answer.ruling, Ruling::Allow);
    assert_eq!(answer.hater.as_ref().map(|hit| hit.line), Some(1));
    for exemption in [Exemption::EachRecipient, Exemption::LaterRecipients] {
        let mut standing = Standing::default();
        standing.connect(heard(&connect(&map, "192.0.2.1", "x.example")));
        standing.mail(heard(&mail(&map, "<x@y.example>")));
        let other = standing.rcpt(&heard(&rcpt(&map, "<a@other.example>")), Wish::None, exemption);
        assert_eq!(other.map(|heard| heard.ruling), Some(Ruling::Allow));
        assert_eq!(standing.rcpt(&heard(&answer), Wish::Checks, exemption), None);
    }
}

#[test]
fn a9_words_are_words_and_not_their_first_letters() {
    for (value, expected) in [("DUNNO", "UNKNOWN"), ("FRIEND", "OK"), ("HATER", "REJECT"), ("friend", "OK")] {
        let map = map(&format!("From:a.example {value}\n"));
        assert_eq!(word(&mail(&map, "<x@a.example>").ruling), expected, "{value}");
    }
}

#[test]
fn a10_combinations_are_looked_up_for_all_pairs() {
    let map = map("\
        connect:192.0.2:from:a.example !x@*!OK REJECT\n\
        connect:relay.example:from:b.example [203.0.113.0/24]OK REJECT\n\
        connect:192.0.2.9:to:list@ OK\n\
        connect:relay.example:to:c.example REJECT\n\
        from:a@a.example:to:c.example OK\n\
        To:c.example REJECT\nFrom:a.example REJECT\n");
    let rules = Rules::default();
    let ask = |ip, name, sender: &str, recipient: Option<&str>| {
        let host = host(ip, name);
        let sender = Address::parse(sender.as_bytes());
        let recipient = recipient.and_then(|recipient| Address::parse(recipient.as_bytes()));
        let search = match &recipient {
            None => Search::mail(&host, None, sender.as_ref(), &rules),
            Some(recipient) => Search::rcpt(&host, sender.as_ref(), recipient, &rules),
        };
        word(&search.run(&map).ruling)
    };
    assert_eq!(ask("192.0.2.1", "h.other", "<x@a.example>", None), "OK");
    assert_eq!(ask("192.0.2.1", "h.other", "<y@a.example>", None), "REJECT");
    assert_eq!(ask("203.0.113.1", "mx.relay.example", "<y@b.example>", None), "OK");
    assert_eq!(ask("198.51.100.1", "mx.relay.example", "<y@b.example>", None), "REJECT");
    assert_eq!(ask("192.0.2.9", "h.other", "<y@d.example>", Some("<list@c.example>")), "OK");
    assert_eq!(ask("198.51.100.1", "h.relay.example", "<a@a.example>", Some("<x@c.example>")), "REJECT");
    assert_eq!(ask("198.51.100.1", "h.other", "<a@a.example>", Some("<x@c.example>")), "OK");
    assert_eq!(ask("198.51.100.1", "h.other", "<b@a.example>", Some("<x@c.example>")), "REJECT");
    assert_eq!(ask("198.51.100.1", "h.other", "<>", Some("<x@c.example>")), "REJECT");
}

#[test]
fn a11_a_backslash_in_brackets_stands_for_itself() {
    let ere = Ere::new(r"^[0-9\].*").expect("a legal expression");
    for (subject, matches) in [("9x@e.example", true), (r"\x@e.example", true), ("x@e.example", false)] {
        assert_eq!(ere.is_match(subject.as_bytes()), matches, "{subject}");
    }
}
