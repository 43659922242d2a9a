//! What the lists' codes do to mail.

use super::{Act, CLEAN, Log, World, listing};

async fn connect(records: &[&str], settings: &[&str]) -> String {
    let world = World::new(settings).await;
    let records = records.iter().map(|record| record.parse().expect("an address")).collect();
    world.names.on("2.0.8.8.zen", Act::Records(records, 60));
    world.connect("8.8.0.2").await
}

/// What HELO and MAIL hear about a domain that `list` has with one code.
async fn domain(list: &str, record: &str) -> [String; 2] {
    let world = listing(&format!("spam.example.{list}"), record, &[]).await;
    [world.helo("spam.example").await, world.from("<u@spam.example>").await]
}

// case: Z01
#[tokio::test]
async fn every_default_code_of_zen_refuses() {
    for (code, part) in [(2, "SBL"), (3, "CSS"), (4, "XBL"), (9, "DROP"), (10, "PBL"), (11, "PBL")] {
        let reply = format!(
            "554 5.7.1 Client host [8.8.0.2] blocked by Spamhaus {part}; \
             see https://check.spamhaus.org/query/ip/8.8.0.2"
        );
        assert_eq!(connect(&[&format!("127.0.0.{code}")], &[]).await, reply);
    }
}

// case: Z02
#[tokio::test]
async fn other_codes_of_zen_are_noted_until_they_are_added() {
    let (log, _guard) = Log::listen();
    for code in [30, 5, 6, 7] {
        let record = format!("127.0.0.{code}");
        assert_eq!(connect(&[&record], &[]).await, "continue");
        let line = ["INFO", "action=log", "zone=zen", "reason=listed", &format!("codes={record} ")];
        assert_eq!(log.with(&line).len(), 1, "{code}");
        let refused = connect(&[&record], &[&format!("ZEN_REJECT_CODES=2,{code}")]).await;
        assert!(refused.starts_with("554 5.7.1 "), "{code}");
    }
}

// case: Z03
#[tokio::test]
async fn every_record_is_looked_at_in_any_order() {
    for records in [
        ["127.0.0.10", "127.0.0.4", "127.0.0.3"],
        ["127.0.0.4", "127.0.0.3", "127.0.0.10"],
        ["127.0.0.3", "127.0.0.10", "127.0.0.4"],
    ] {
        let (log, _guard) = Log::listen();
        let said = connect(&records, &["ZEN_REJECT_CODES=4"]).await;
        assert!(said.contains("blocked by Spamhaus XBL;"), "{said}");
        assert_eq!(log.with(&["action=reject", "codes=127.0.0.3,127.0.0.4,127.0.0.10"]).len(), 1);
    }
}

// case: Z04
#[tokio::test]
async fn pbl_can_be_left_out() {
    assert_eq!(connect(&["127.0.0.10"], &["ZEN_REJECT_CODES=2,3,4,9"]).await, "continue");
}

// case: Z05
#[tokio::test]
async fn codes_2_to_99_of_dbl_refuse() {
    for code in [2, 4, 5, 6, 99] {
        let [helo, sender] = domain("dbl", &format!("127.0.1.{code}")).await;
        assert!(
            helo.starts_with("550 5.7.1 HELO name spam.example blocked by Spamhaus DBL;"),
            "{code}: {helo}"
        );
        assert!(sender.starts_with("550 5.7.1 Sender domain spam.example blocked by"), "{code}: {sender}");
    }
}

// case: Z06, Z07, Z10
#[tokio::test]
async fn other_codes_of_dbl_do_not() {
    for record in ["1.1", "1.100", "1.101", "1.102", "1.106", "1.199", "1.254", "1.255", "0.2", "2.2"] {
        let answers = domain("dbl", &format!("127.0.{record}")).await;
        assert_eq!(answers, ["continue", "continue"], "{record}");
    }
}

// case: Z07
#[tokio::test]
async fn a_question_that_dbl_takes_for_a_mistake_is_told_once() {
    let (log, _guard) = Log::listen();
    let world = World::new(&["ZRD_ENABLE=0"]).await;
    world.names.otherwise(Act::records(["127.0.1.255"]));
    for n in 0..5 {
        assert_eq!(world.from(format!("<u@x{n}.example>")).await, "continue");
    }
    assert_eq!(log.with(&["WARN", "event=dns", "zone=dbl", "result=misuse"]).len(), 1);
    assert_eq!(world.dns.health()[1].counters.misuse, 5);
    assert_eq!(world.dns.health()[1].to_string(), "dbl ok");
}

// case: Z08
#[tokio::test]
async fn zrd_refuses_from_2_to_24_hours() {
    for (code, refused) in [(2, true), (24, true), (1, false), (25, false)] {
        for said in domain("zrd", &format!("127.0.2.{code}")).await {
            assert_eq!(said.starts_with("550 5.7.1 "), refused, "{code}: {said}");
        }
    }
}

// case: Z11
#[tokio::test]
async fn zen_does_not_speak_for_other_lists() {
    assert_eq!(connect(&["127.0.1.2"], &[]).await, "continue");
    assert!(connect(&["127.0.1.2", "127.0.0.2"], &[]).await.starts_with("554 "), "its own code counts");
}

// case: Z12
#[tokio::test]
async fn an_operator_error_code_never_refuses_mail() {
    for octet in [252, 254, 255, 250, 251, 253, 0] {
        let (log, _guard) = Log::listen();
        let world = World::new(&["ENFORCE_STAGE=connect"]).await;
        // Beside a listing, too: the error wins.
        let error = format!("127.255.255.{octet}");
        world.names.script(move |asked| {
            let group = ["zen", "dbl", "zrd"].iter().position(|list| *list == asked.list())?;
            Some(Act::records([&format!("127.0.{group}.2"), &error]))
        });
        let mut phone = world.call().await;
        assert_eq!(phone.connect("8.8.0.2").await, "continue", "{octet}");
        assert_eq!(phone.helo("spam.example").await, "continue", "{octet}");
        assert_eq!(phone.from("<u@spam.example>").await, "continue", "{octet}");
        let asked = world.names.total();
        assert_eq!(phone.helo("other.example").await, "continue", "{octet}");
        assert_eq!(world.names.total(), asked, "back-off has started");
        for zone in ["zone=zen", "zone=dbl", "zone=zrd"] {
            let lines = log.with(&[zone, "event=zone_state", "state=open", &format!("error {octet} (")]);
            assert_eq!(lines.len(), 1, "{octet} {zone}: {:#?}", log.lines());
        }
    }
}

// case: Z14
#[tokio::test]
async fn a_rewritten_answer_is_no_listing() {
    for record in ["192.0.2.1", "10.0.0.1", "127.0.0.1"] {
        let (log, _guard) = Log::listen();
        assert_eq!(connect(&[record, "127.0.0.2"], &[]).await, "continue", "{record}");
        assert_eq!(log.with(&["zone=zen", "state=open", "rewrite"]).len(), 1, "{record}: {:#?}", log.lines());
    }
}

// case: Z15, Z16
#[tokio::test]
async fn an_alias_counts_by_where_it_leads() {
    use hickory_proto::op::ResponseCode;
    let world = World::new(&[]).await;
    world.names.on("1.0.8.8.zen", Act::Alias(vec![[127, 0, 0, 3].into()], 60));
    assert!(world.connect("8.8.0.1").await.contains("blocked by Spamhaus CSS;"));
    for (n, act) in [
        (2, Act::DeadAlias(ResponseCode::NoError)),
        (3, Act::DeadAlias(ResponseCode::NXDomain)),
        (4, Act::Empty(Some(60))),
        (5, Act::Empty(None)),
        (6, Act::Aaaa),
    ] {
        world.names.on(&format!("{n}.0.8.8.zen"), act);
        assert_eq!(world.connect(&format!("8.8.0.{n}")).await, "continue", "{n}");
    }
    assert_eq!(world.dns.health()[0].counters.not_listed, 5);
}

// case: Z18
#[tokio::test]
async fn dbl_gives_the_reason_where_zrd_has_the_name_too() {
    let (log, _guard) = Log::listen();
    let world = listing("spam.example.dbl", "127.0.1.4", &[]).await;
    world.names.on("spam.example.zrd", Act::records(["127.0.2.2"]));
    let said = world.from("<u@spam.example>").await;
    assert!(said.starts_with("550 5.7.1 Sender domain spam.example blocked by Spamhaus DBL;"), "{said}");
    assert_eq!(log.with(&["INFO", "action=reject", "zone=dbl", "codes=127.0.1.4"]).len(), 1);
    assert_eq!(log.with(&["INFO", "zone=zrd", "codes=127.0.2.2"]).len(), 1, "{:#?}", log.lines());
    assert_eq!(log.with(&["action=reject"]).len(), 1, "one finding decides");
}

#[tokio::test]
async fn the_client_gives_the_reason_before_helo_and_sender() {
    let world = listing("2.0.8.8.zen", "127.0.0.4", &["ENFORCE_STAGE=mail"]).await;
    world.names.on("spam.example.dbl", Act::records(["127.0.1.2"]));
    let mut phone = world.call().await;
    phone.connect("8.8.0.2").await;
    phone.helo("spam.example").await;
    assert!(phone.from("<u@spam.example>").await.starts_with("554 5.7.1 Client host [8.8.0.2] "));
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    phone.helo("spam.example").await;
    assert!(phone.from("<u@spam.example>").await.starts_with("550 5.7.1 HELO name spam.example "));
}
