//! The words of refusals, and what they leave in the log.

use super::{Act, CLEAN, KEY, Log, World, listing};

// case: R01
#[tokio::test]
async fn the_reply_to_a_client_names_it_and_never_the_key() {
    let world = World::new(&[]).await;
    world.names.otherwise(Act::records(["127.0.0.4"]));
    for address in ["8.8.0.2", "2001:470:1:2:3:4:567:89ab"] {
        let said = world.connect(address).await;
        let (head, link) = said.split_once("; see ").expect("a link");
        assert_eq!(head, format!("554 5.7.1 Client host [{address}] blocked by Spamhaus XBL"));
        assert_eq!(link, format!("https://check.spamhaus.org/query/ip/{address}"));
        assert!(said.is_ascii() && said.len() <= 510 && !said.to_lowercase().contains(KEY));
    }
}

// case: R03
#[tokio::test]
async fn a_young_domain_can_be_put_off() {
    let (log, _guard) = Log::listen();
    let world = listing("new.example.zrd", "127.0.2.3", &["ZRD_ACTION=tempfail"]).await;
    let reply =
        "450 4.7.1 Sender domain new.example is newly observed (no reputation yet); try again after 24 hours";
    assert_eq!(world.from("<u@new.example>").await, reply);
    assert_eq!(log.with(&["INFO", "action=tempfail", "zone=zrd", "codes=127.0.2.3", reply]).len(), 1);
    let said = world.helo("new.example").await;
    assert!(said.starts_with("450 4.7.1 HELO name new.example is newly observed"), "{said}");
}

// case: R04
#[tokio::test]
async fn a_percent_sign_is_doubled_on_the_wire() {
    let world = listing("2.0.8.8.zen", "127.0.0.4", &["REPLY_ZEN=554 5.7.1 {ip} is 100% {list} %s %n"]).await;
    // The phone undoes the doubling, and takes a single percent sign for a violation.
    assert_eq!(world.connect("8.8.0.2").await, "554 5.7.1 8.8.0.2 is 100% XBL %s %n");
    let mut wire = super::common::wire::Wire::dial(world.port).await;
    let offer = super::common::wire::offer();
    assert_eq!(wire.exchange(&offer, 1).await, "O");
    wire.send(&super::common::wire::connect("8.8.0.2")).await.expect("to send");
    let (code, text) = wire.receive().await.expect("a reply");
    assert_eq!((code, &text[..]), (b'y', &b"554 5.7.1 8.8.0.2 is 100%% XBL %%s %%n\0"[..]));
}

#[tokio::test]
async fn all_variables_become_what_they_stand_for() {
    let text = "REPLY_SENDER=550 5.7.1 {ip} {domain} {zone} {list} {code} {stage} {host}";
    let world = listing("spam.example.dbl", "127.0.1.4", &[text]).await;
    let mut phone = world.call().await;
    phone.macros(b'C', &[("j", "mx.our.example")]);
    phone.connect(CLEAN).await;
    let said = phone.from("<u@SPAM.example>").await;
    assert_eq!(said, format!("550 5.7.1 {CLEAN} spam.example DBL DBL 127.0.1.4 mail mx.our.example"));
}

#[tokio::test]
async fn an_address_of_any_length_is_cut_in_a_reply() {
    let world = listing("spam.example.dbl", "127.0.1.4", &["REPLY_SENDER=550 5.7.1 {sender}"]).await;
    let sender = |local: &str| format!("{local}@spam.example");
    let said = world.from(&format!("<{}>", sender(&"x".repeat(243)))).await;
    assert_eq!(
        said,
        format!("550 5.7.1 {}", sender(&"x".repeat(243))),
        "the longest that SMTP has is shown whole"
    );
    for local in ["x".repeat(3_000), "\u{fc}".repeat(1_500)] {
        let said = world.from(&format!("<{}>", sender(&local))).await;
        assert!(said.ends_with("...") && said.len() <= 10 + 256, "{said}");
    }
}

#[tokio::test]
async fn the_python_milters_words_are_there_for_who_wants_them() {
    let world = listing("2.0.8.8.zen", "127.0.0.4", &["REPLY_STYLE=python"]).await;
    let reply = "554 5.7.1 Connecting IP address is rejected due to a security policy violation.";
    assert_eq!(world.connect("8.8.0.2").await, reply);
}

// case: L03
#[tokio::test]
async fn a_refusal_is_one_line_with_everything_in_it() {
    let (log, _guard) = Log::listen();
    let world = listing("2.0.8.8.zen", "127.0.0.4", &["ENFORCE_STAGE=mail"]).await;
    for cache in ["miss", "hit"] {
        let mut phone = world.call().await;
        phone.connect("8.8.0.2").await;
        phone.helo("mx.example").await;
        phone.macros(b'M', &[("i", "4ABC")]);
        let said = phone.from("<u@ok.example>").await;
        let lines = log.with(&["action=reject", &format!("cache={cache} ")]);
        let [line] = &lines[..] else { panic!("one line: {:#?}", log.lines()) };
        assert!(line.starts_with("INFO gatepost::telemetry"), "{line}");
        for field in [
            "event=verdict session=",
            " qid=4ABC ",
            " stage=mail action=reject identity=client zone=zen list=XBL codes=127.0.0.4 subject=8.8.0.2 ",
            " client_ip=8.8.0.2 helo=mx.example mail_from=<u@ok.example> rcpt= auth=0 ",
            &format!(" reply={said} reason=listed "),
            " ms=",
            " trimmed=0",
            " message=reject at mail: client 8.8.0.2 listed (XBL) ",
        ] {
            assert!(line.contains(field), "{field} in {line}");
        }
    }
    assert_eq!(log.with(&["INFO", "event=verdict"]).len(), 2, "what is clean is no news");
}

#[tokio::test]
async fn a_name_that_lost_its_left_part_is_marked() {
    let (log, _guard) = Log::listen();
    let world = listing("spam.example.dbl", "127.0.1.2", &[]).await;
    for (name, trimmed) in
        [("spam.example", 0), ("b@d.spam.example", 1), ("x.y.b@d.spam.example", 3), ("x..spam.example", 2)]
    {
        assert!(world.helo(name).await.starts_with("550 "));
        let field = format!("trimmed={trimmed}");
        assert_eq!(log.with(&["action=reject", "subject=spam.example ", &field]).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_verdict_at_rcpt_names_the_recipient_and_no_other_does() {
    let (log, _guard) = Log::listen();
    let world = listing("spam.example.dbl", "127.0.1.2", &["ENFORCE_STAGE=rcpt"]).await;
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    phone.from("<u@spam.example>").await;
    let wide = format!("<{}@example.org>", "x".repeat(500));
    for (recipient, field) in [
        ("<one@example.org>", "rcpt=<one@example.org> auth=0"),
        ("<two@example.org>\r\nevent=verdict", "rcpt=<two@example.org>\\x0d\\x0aevent=verdict auth=0"),
        (&wide, &format!("rcpt={}... auth=0", &wide[..253])),
    ] {
        assert!(phone.rcpt(recipient).await.starts_with("550 "));
        assert_eq!(log.with(&["stage=rcpt action=reject", field]).len(), 1, "{field}: {:#?}", log.lines());
    }
    let world = listing("spam.example.dbl", "127.0.1.2", &["ENFORCE_STAGE=mail"]).await;
    world.from("<u@spam.example>").await;
    assert_eq!(log.with(&["stage=mail action=reject", "rcpt= auth=0"]).len(), 1);
}
