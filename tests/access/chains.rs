//! Which key decides, case by case.

use gatepost::list::access::{
    Because, Comments, Delay, Duplicates, Exemption, Map, Options, Rules, Ruling, Search, Standing, Syntax,
    Wish,
};

use super::{connect, heard, host, mail, map, nobody, rcpt, refused, to, word};

fn postfix(text: &str) -> Map {
    let options = Options { syntax: Syntax::Postfix, ..Options::default() };
    Map::parse(text.as_bytes(), &options).unwrap_or_else(|flaws| panic!("{flaws}")).0
}

#[test]
fn the_most_particular_key_decides() {
    let map = map(
        "Connect:192.0.2.9 OK\nConnect:192.0.2 REJECT\nConnect:2001:db8::/33 REJECT\nConnect:2001:db8:1::/48 OK\n",
    );
    assert_eq!(connect(&map, "192.0.2.9", "x.example").ruling, Ruling::Allow);
    assert_eq!(word(&connect(&map, "192.0.2.8", "x.example").ruling), "REJECT");
    assert_eq!(word(&connect(&map, "2001:db8::1", "x.example").ruling), "REJECT");
    assert_eq!(connect(&map, "2001:db8:1::1", "x.example").ruling, Ruling::Allow);
    assert_eq!(connect(&map, "2001:db8:8000::1", "x.example").ruling, Ruling::Nothing);
}

#[test]
fn the_answer_tells_the_chain_the_key_and_its_line() {
    let map = map("# a comment\nFrom:other.example\tOK\n\nFrom:dom.example\tERROR:5.7.1:550 go away\n");
    let answer = mail(&map, "<A+x@Sub.Dom.example>");
    let chain: Vec<&str> = answer.chain.iter().map(gatepost::list::access::Key::as_str).collect();
    assert_eq!(
        chain,
        ["from:a+x@sub.dom.example", "from:a@sub.dom.example", "from:sub.dom.example", "from:dom.example"]
    );
    let Because::Hit(hit) = &answer.because else { panic!("{answer:?}") };
    assert_eq!((hit.key.as_str(), hit.line, hit.pattern), ("from:dom.example", 4, None));
    assert_eq!(map.written(&hit.key), Some("ERROR:5.7.1:550 go away"));
    assert_eq!(refused(&answer.ruling).text.as_deref(), Some("go away"));
}

#[test]
fn skip_hides_what_stands_behind_it() {
    let text = "milter-spamc-connect:198.51 SKIP\nConnect:198.51.100 REJECT\nmilter-spamc-to: SKIP\nTo:a.example REJECT\nSpam:a.example FRIEND\n";
    let map = map(text);
    assert_eq!(connect(&map, "198.51.100.7", "x.example").ruling, Ruling::Nothing);
    assert_eq!(rcpt(&map, "<x@a.example>").ruling, Ruling::Nothing);
    let resumed = super::map(&text.replace("SKIP", "NEXT"));
    assert_eq!(word(&connect(&resumed, "198.51.100.7", "x.example").ruling), "REJECT");
    assert_eq!(rcpt(&resumed, "<x@a.example>").ruling, Ruling::Allow);
}

#[test]
fn gatepost_s_own_tag_comes_first_then_milter_spamc_s_then_sendmail_s_then_none() {
    let lines = [
        "gatepost-from:a.example OK",
        "milter-spamc-from:a.example DISCARD",
        "From:a.example REJECT",
        "a.example TEMPFAIL",
    ];
    for (n, expected) in ["OK", "DISCARD", "REJECT", "TEMPFAIL"].into_iter().enumerate() {
        assert_eq!(word(&mail(&map(&(lines[n..].join("\n") + "\n")), "<x@a.example>").ruling), expected);
    }
}

#[test]
fn networks_and_expressions_decide_as_the_manual_says() {
    let map = map("\
        milter-spamc-connect:80.94 [80.94.96.0/20]OK REJECT\n\
        milter-spamc-connect:192.0.2 /^192\\.0\\.2\\.8[0-9]/OK REJECT\n\
        milter-spamc-to:example.com /^john@.+/OK /^fred\\+.*@.*/OK REJECT\n\
        milter-spamc-to:example.net !*+*@*!REJECT !*.smith@*!REJECT /^[0-9\\].*/REJECT\n");
    for (ip, expected) in [
        ("80.94.97.1", "OK"),
        ("80.94.1.1", "REJECT"),
        ("192.0.2.80", "OK"),
        ("192.0.2.89", "OK"),
        ("192.0.2.90", "REJECT"),
    ] {
        assert_eq!(word(&connect(&map, ip, "x.other").ruling), expected, "{ip}");
    }
    for (recipient, expected) in [
        ("john@example.com", "OK"),
        ("fred+a@example.com", "OK"),
        ("fred@example.com", "REJECT"),
        ("x+y@example.net", "REJECT"),
        ("bob.smith@example.net", "REJECT"),
        ("9x@example.net", "REJECT"),
        ("bob@example.net", "UNKNOWN"),
    ] {
        assert_eq!(word(&rcpt(&map, recipient).ruling), expected, "{recipient}");
    }
}

#[test]
fn a_list_without_a_match_says_nothing_and_ends_the_search() {
    let map = map("milter-spamc-from:a.example /^bad@/REJECT\nFrom:a.example OK\n");
    let answer = mail(&map, "<fred@a.example>");
    assert_eq!(answer.ruling, Ruling::Nothing);
    let Because::Hit(hit) = answer.because else { panic!("the key was found") };
    assert_eq!((hit.key.as_str(), hit.pattern), ("milter-spamc-from:a.example", None));
}

#[test]
fn next_goes_on_with_the_next_tag() {
    let map = map(
        "milter-spamc-from:a.example /^bad@/REJECT NEXT\nmilter-spamc-from:example REJECT\nFrom:fred@a.example OK\n",
    );
    assert_eq!(mail(&map, "<fred@a.example>").ruling, Ruling::Allow);
    assert_eq!(word(&mail(&map, "<bad@a.example>").ruling), "REJECT");
    assert_eq!(mail(&map, "<other@a.example>").ruling, Ruling::Nothing, "not with a shorter key");
}

#[test]
fn a_pattern_without_an_action_is_skip() {
    let map = map("milter-spamc-from:a.example /^fred@/ REJECT\nFrom:a.example OK\n");
    assert_eq!(mail(&map, "<fred@a.example>").ruling, Ruling::Nothing);
    assert_eq!(word(&mail(&map, "<john@a.example>").ruling), "REJECT");
}

#[test]
fn a_local_part_alone_is_a_key_with_its_at_sign() {
    let map = map("To:postmaster@ OK\nFrom:abuse@ OK\n");
    assert_eq!(rcpt(&map, "<postmaster>").ruling, Ruling::Allow);
    assert_eq!(rcpt(&map, "<Postmaster+x@any.example>").ruling, Ruling::Allow);
    assert_eq!(mail(&map, "<abuse@any.example>").ruling, Ruling::Allow);
    assert_eq!(mail(&map, "<abuser@any.example>").ruling, Ruling::Nothing);
}

#[test]
fn the_null_sender_is_not_looked_up() {
    let map = map("milter-spamc-from: REJECT\ngatepost-from: REJECT\n");
    let answer = mail(&map, "<>");
    assert_eq!((answer.ruling, answer.chain.len()), (Ruling::Nothing, 0));
    assert_eq!(word(&mail(&postfix("<> REJECT\n"), "<>").ruling), "REJECT");
}

#[test]
fn a_mapped_address_is_its_ipv4_address() {
    let map = map("Connect:192.0.2 REJECT\ngatepost-connect:203 [::ffff:203.0.113.0/120]OK\n");
    assert_eq!(word(&connect(&map, "::ffff:192.0.2.9", "x.example").ruling), "REJECT");
    assert_eq!(connect(&map, "::ffff:203.0.113.1", "x.example").ruling, Ruling::Allow);
}

#[test]
fn a_client_without_a_name_is_found_by_its_brackets() {
    let map = map(
        "Connect:[203.0.113.7] DISCARD\ngatepost-connect: !\\[203.0.113.8\\]!REJECT !unknown!REJECT NEXT\n",
    );
    for name in ["unknown", "[203.0.113.7]", ""] {
        assert_eq!(word(&connect(&map, "203.0.113.7", name).ruling), "DISCARD", "{name}");
        assert_eq!(word(&connect(&map, "203.0.113.8", name).ruling), "REJECT", "{name}");
    }
    assert_eq!(connect(&map, "203.0.113.7", "x.example").ruling, Ruling::Nothing);
}

#[test]
fn clients_on_this_host_are_allowed_unless_they_are_to_be_searched() {
    use gatepost::list::access::Loopback;
    let map = map("Connect:127 REJECT\nConnect:ipv6:::1 REJECT\n");
    let searched = Rules { loopback: Loopback::Searched, ..Rules::default() };
    for ip in ["127.0.0.1", "127.1.2.3", "::1"] {
        let host = host(ip, "localhost");
        let answer = Search::connect(&host, &Rules::default()).run(&map);
        assert_eq!(
            (answer.ruling, answer.because, answer.chain.len()),
            (Ruling::Allow, Because::Loopback, 0),
            "{ip}"
        );
        assert_eq!(word(&Search::connect(&host, &searched).run(&map).ruling), "REJECT", "{ip}");
    }
}

#[test]
fn a_quarantine_has_a_reason_and_lets_the_message_be_checked() {
    let map = map("From:a.example QUARANTINE:look at it\nFrom:b.example hold\n");
    assert_eq!(mail(&map, "<x@a.example>").ruling, Ruling::Quarantine("look at it".into()));
    let mut standing = Standing::default();
    standing.connect(heard(&Search::connect(&nobody(), &Rules::default()).run(&map)));
    assert_eq!(standing.now(Delay::None), None, "there is no message to hold");
    standing.mail(heard(&mail(&map, "<x@a.example>")));
    let held = Some(Ruling::Quarantine("look at it".into()));
    assert_eq!(standing.now(Delay::UntilRcpt).map(|heard| heard.ruling.clone()), held);
    assert_eq!(to(&mut standing, &rcpt(&map, "<y@c.example>")), held);
}

#[test]
fn a_friend_lifts_a_denial_that_waits_for_it() {
    let map = map(
        "Connect:192.0.2 REJECT\nFrom:bad.example REJECT\nTo:friend.example REJECT\nSpam:friend.example FRIEND\n",
    );
    let (to_friend, to_other) = (rcpt(&map, "<a@friend.example>"), rcpt(&map, "<a@other.example>"));
    for (ip, sender) in [("192.0.2.1", "<x@good.example>"), ("198.51.100.1", "<x@bad.example>")] {
        let mut standing = Standing::default();
        standing.connect(heard(&connect(&map, ip, "x.other")));
        assert_eq!(standing.now(Delay::UntilRcpt), None);
        standing.mail(heard(&mail(&map, sender)));
        assert_eq!(standing.now(Delay::UntilRcpt), None);
        assert_eq!(to(&mut standing, &to_friend), Some(Ruling::Allow));
        assert!(matches!(to(&mut standing, &to_other), Some(Ruling::Refuse(_))));
    }
    let mut standing = Standing::default();
    let denied = |standing: &Standing| {
        standing.now(Delay::None).is_some_and(|heard| matches!(heard.ruling, Ruling::Refuse(_)))
    };
    standing.connect(heard(&connect(&map, "192.0.2.1", "x.other")));
    assert!(denied(&standing));
    standing.mail(heard(&mail(&map, "<x@good.example>")));
    assert!(denied(&standing));
}

#[test]
fn who_gets_mail_in_any_case_lifts_denials_of_others_but_not_its_own() {
    let map = map("Connect:192.0.2 REJECT\nTo:closed.example REJECT\n");
    let mut standing = Standing::default();
    standing.connect(heard(&connect(&map, "192.0.2.1", "x.other")));
    let mut exempt = |recipient| {
        let heard = heard(&rcpt(&map, recipient));
        standing.rcpt(&heard, Wish::Mail, Exemption::default()).map(|heard| heard.ruling)
    };
    assert_eq!(exempt("<postmaster@a.example>"), None);
    assert!(matches!(exempt("<postmaster@closed.example>"), Some(Ruling::Refuse(_))));
}

#[test]
fn an_allowed_sender_lifts_what_was_said_about_the_client_and_the_other_way_round() {
    let map =
        map("Connect:192.0.2 REJECT\nConnect:203.0.113 OK\nFrom:good.example OK\nFrom:bad.example REJECT\n");
    let other = rcpt(&map, "<a@b.example>");
    for (ip, sender, goes_on) in
        [("192.0.2.1", "<x@good.example>", true), ("203.0.113.1", "<x@bad.example>", false)]
    {
        let mut standing = Standing::default();
        standing.connect(heard(&connect(&map, ip, "x.other")));
        standing.mail(heard(&mail(&map, sender)));
        assert_eq!(to(&mut standing, &other) == Some(Ruling::Allow), goes_on, "{ip} {sender}");
    }
}

#[test]
fn one_allowed_recipient_does_not_spare_the_others_their_checks() {
    let map = map("To:allowed.example OK\n");
    let (allowed, other) = (rcpt(&map, "<a@allowed.example>"), rcpt(&map, "<a@other.example>"));
    for (exemption, spared) in
        [(Exemption::EachRecipient, None), (Exemption::LaterRecipients, Some(Ruling::Allow))]
    {
        let mut standing = Standing::default();
        standing.mail(heard(&mail(&map, "<x@y.example>")));
        let mut holds =
            |answer| standing.rcpt(&heard(answer), Wish::None, exemption).map(|heard| heard.ruling);
        assert_eq!((holds(&other), holds(&other)), (None, None));
        assert_eq!(holds(&allowed), Some(Ruling::Allow));
        assert_eq!(holds(&other), spared, "{exemption:?}");
        standing.end_message();
        let after = standing.rcpt(&heard(&other), Wish::None, exemption);
        assert_eq!(after, None, "the next message begins anew");
    }
}

#[test]
fn a_discard_for_one_recipient_is_not_one_for_all() {
    let map = map("To:gone.example DISCARD\n");
    let mut standing = Standing::default();
    standing.mail(heard(&mail(&map, "<x@y.example>")));
    assert_eq!(to(&mut standing, &rcpt(&map, "<a@gone.example>")), Some(Ruling::Discard));
    assert_eq!(to(&mut standing, &rcpt(&map, "<a@other.example>")), None);
}

#[test]
fn nothing_of_one_message_is_left_in_the_next() {
    let map =
        map("Connect:192.0.2 REJECT\nFrom:good.example OK\nSpam:hater.example HATER\nFrom:q.example HOLD\n");
    let mut standing = Standing::default();
    standing.connect(heard(&connect(&map, "192.0.2.1", "x.other")));
    standing.mail(heard(&mail(&map, "<x@good.example>")));
    let hater = heard(&rcpt(&map, "<a@hater.example>"));
    assert_eq!(standing.rcpt(&hater, Wish::Checks, Exemption::default()), None);
    standing.end_message();
    standing.mail(heard(&mail(&map, "<x@other.example>")));
    let denied = to(&mut standing, &rcpt(&map, "<a@b.example>"));
    assert!(matches!(denied, Some(Ruling::Refuse(_))), "the client's denial is still there");
    standing.mail(heard(&mail(&map, "<x@q.example>")));
    to(&mut standing, &rcpt(&map, "<a@b.example>"));
    standing.end_message();
    let mut fresh = Standing::default();
    fresh.connect(heard(&connect(&map, "192.0.2.1", "x.other")));
    assert_eq!(standing, fresh);
}

#[test]
fn a_denial_is_a_reply_that_cannot_be_malformed() {
    let map = map("From:a.example ERROR:5.7.1:550 100% r\u{e9}fus\u{e9}\n");
    let reply = refused(&mail(&map, "<x@a.example>").ruling).reply("refused").expect("a reply");
    assert_eq!(reply.wire_lines().collect::<Vec<_>>(), ["550 5.7.1 100% r?fus?"]);
    let long = super::map(&format!("From:a.example 550 {}\n", "words ".repeat(5_000)));
    let reply = refused(&mail(&long, "<x@a.example>").ruling).reply("refused").expect("a reply");
    assert_eq!(reply.lines().len(), 32);
    assert!(reply.wire_lines().all(|line| line.len() <= 510));
}

#[test]
fn every_broken_line_is_told_with_its_number_cause_and_remedy() {
    let text = b"From:a.example OK\n From:b.example OK\nForm:c.example OK\nFrom:d.example YES\nFrom:e.example\nConnect:1.2.3.4.5 OK\ngatepost-from:f.example /(/OK !\\\nFrom:\x01 OK\nFrom:g\xff.example OK\nFrom:h.example REJECT a\0b\n\"john\"@a.example OK\n";
    let flaws = Map::parse(text, &Options::default()).expect_err("broken");
    let told: Vec<usize> = flaws.iter().map(|flaw| flaw.line).collect();
    assert_eq!(told, [2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11], "{flaws}");
    for flaw in flaws.iter() {
        assert!(!flaw.cause.is_empty() && !flaw.remedy.is_empty(), "{flaw}");
        assert!(!flaw.to_string().contains(|c: char| c.is_control()), "{flaw:?}");
    }
}

#[test]
fn a_map_of_mistakes_is_told_in_a_hundred_lines() {
    let flaws =
        Map::parse("nonsense: x\n".repeat(50_000).as_bytes(), &Options::default()).expect_err("broken");
    assert_eq!((flaws.iter().len(), flaws.more()), (100, 100_000 - 100 - 50_000));
}

#[test]
fn two_entries_of_one_key_are_told_and_one_is_taken() {
    let text =
        b"From:dup.example OK\nfrom:DUP.example REJECT\nConnect:192.0.2.0/24 OK\nConnect:192.0.2 REJECT\n";
    for (duplicates, expected) in [(Duplicates::Last, "REJECT"), (Duplicates::First, "OK")] {
        let options = Options { duplicates, ..Options::default() };
        let (map, notices) = Map::parse(text, &options).expect("a map");
        assert_eq!((map.len(), word(&mail(&map, "<x@dup.example>").ruling)), (2, expected));
        let told: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("2: from:dup.example has an entry in line 1 already"), "{told:?}");
    }
}

#[test]
fn oversized_keys_values_and_maps_are_named_and_cost_nothing() {
    let key = [b"From:".to_vec(), vec![b'a'; 10_000], b" OK\n".to_vec()].concat();
    let value = [b"From:a.example ".to_vec(), vec![b'x'; 10_000_000], b"\n".to_vec()].concat();
    let list = format!("gatepost-from:a.example {}\n", "/a{1,1000}/OK ".repeat(6_000));
    let continued = format!("a.example OK\n{}", " x\n".repeat(1_000_000));
    let many =
        (0..6_000).map(|n| format!("gatepost-from:a{n}.example /{n}/OK")).collect::<Vec<_>>().join("\n");
    let large = (0..330)
        .map(|n| format!("gatepost-from:a{n}.example /[ab]{{1,1500}}x{n}/OK"))
        .collect::<Vec<_>>()
        .join("\n");
    for (text, syntax, says) in [
        (&key[..], Syntax::Sendmail, "a key of 10005 octets"),
        (&value, Syntax::Sendmail, "octets, more than the 65536 allowed"),
        (list.as_bytes(), Syntax::Sendmail, "more than the 65536 allowed"),
        (continued.as_bytes(), Syntax::Postfix, "more than the 65536 allowed"),
        (many.as_bytes(), Syntax::Sendmail, "more than 5000 regular expressions"),
        (
            large.as_bytes(),
            Syntax::Sendmail,
            "more than 5000 regular expressions in the map, large ones counted as 16",
        ),
    ] {
        let flaws = Map::parse(text, &Options { syntax, ..Options::default() }).expect_err(says);
        assert!(flaws.iter().len() == 1 && flaws.to_string().contains(says), "{flaws}");
    }
}

#[test]
fn comments_behind_values_are_cut_off_on_demand() {
    let text = b"From:a.example REJECT # not them\nFrom:b.example 550 see #1\n";
    let inline = Options { comments: Comments::Inline, ..Options::default() };
    let (map, _) = Map::parse(text, &inline).expect("a map");
    assert_eq!(refused(&mail(&map, "<x@a.example>").ruling).text, None);
    let (map, _) = Map::parse(text, &Options::default()).expect("a map");
    assert_eq!(refused(&mail(&map, "<x@a.example>").ruling).text.as_deref(), Some("# not them"));
    assert_eq!(refused(&mail(&map, "<x@b.example>").ruling).text.as_deref(), Some("see #1"));
}

#[test]
fn postfix_maps_have_bare_keys_continued_lines_and_dots() {
    let map = postfix("# a comment\n  # indented\n\n192.0.2 REJECT no\n  thank you\n# in between\n  at all\n.sub.example DUNNO\nsub.example OK\nuser@a.example 450 later\r\nunknown DISCARD\nFrom:x.example OK\n".replace("From:x.example OK\n", "").as_str());
    let denial = connect(&map, "192.0.2.1", "x.other").ruling;
    assert_eq!(refused(&denial).text.as_deref(), Some("no thank you at all"));
    assert_eq!(connect(&map, "198.51.100.1", "sub.example").ruling, Ruling::Allow);
    assert_eq!(connect(&map, "198.51.100.1", "a.sub.example").ruling, Ruling::Nothing);
    assert_eq!(word(&mail(&map, "<user+x@a.example>").ruling), "TEMPFAIL");
    assert_eq!(word(&connect(&map, "198.51.100.1", "unknown").ruling), "DISCARD");
    let options = Options { syntax: Syntax::Postfix, ..Options::default() };
    let flaws = Map::parse(b"  first OK\nFrom:x.example OK\n", &options).expect_err("no tag, no line before");
    assert_eq!(flaws.iter().map(|flaw| flaw.line).collect::<Vec<_>>(), [1, 2], "{flaws}");
}

#[test]
fn what_other_programs_read_in_the_same_file_is_left_to_them() {
    let text = b"GreetPause:localhost 0\nClientRate: 10\nAuthInfo:x \"U:me\" \"P:secret\"\nmilter-link-connect: OK\nTLS_Srv:x.example VERIFY\nFrom:a.example OK\n";
    let (map, notices) = Map::parse(text, &Options::default()).expect("a map");
    assert_eq!(map.len(), 1);
    let told = notices.to_string();
    assert!(
        told.trim_start().starts_with("5 lines have tags of other programs") && !told.contains("secret"),
        "{told}"
    );
}

#[test]
fn a_word_that_says_nothing_about_checks_is_told_behind_spam() {
    let text = b"Spam:a.example FRIEND\nSpam:b.example OK\nSpam:c.example hater\n";
    let (map, notices) = Map::parse(text, &Options::default()).expect("a map");
    assert_eq!(notices.iter().map(|notice| notice.line).collect::<Vec<_>>(), [2], "{notices}");
    assert_eq!(rcpt(&map, "<x@b.example>").ruling, Ruling::Nothing);
}

#[test]
fn a_search_can_be_answered_from_anywhere() {
    let local = map("Connect:2001:db8 REJECT\n");
    let (host, rules) = (host("2001:db8::1", "x.example"), Rules::default());
    let mut search = Search::connect(&host, &rules);
    let mut asked = Vec::new();
    while let Some(key) = search.next_key(Syntax::Sendmail, gatepost::list::access::Lengths::NONE, |_| true) {
        asked.extend(key.spellings());
        let entry = local.get(key);
        search.answer(entry);
    }
    let answer = search.finish();
    assert_eq!(answer.because, Search::connect(&host, &rules).run(&local).because);
    assert!(
        asked.contains(&"connect:2001:db8".to_owned()) && asked.contains(&"connect:ipv6:2001:db8".to_owned())
    );
    assert_eq!(word(&answer.ruling), "REJECT");
}
