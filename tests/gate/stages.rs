//! When verdicts are given, and for how long they hold.

use std::time::Duration;

use super::common::world::CLEAN_NAME;
use super::{Act, CLEAN, Clock, Log, World, listing, ms};

const ZEN: &str = "554 5.7.1 Client host [8.8.0.2] blocked by Spamhaus PBL; \
                   see https://check.spamhaus.org/query/ip/8.8.0.2";

// case: R08
#[tokio::test]
async fn a_verdict_waits_for_its_stage_and_its_question_does_not() {
    let clock = Clock::stop();
    for (stage, answers) in [
        ("connect", [ZEN, "withheld", "withheld", "withheld"]),
        ("helo", ["continue", ZEN, "withheld", "withheld"]),
        ("mail", ["continue", "continue", ZEN, "withheld"]),
        ("rcpt", ["continue", "continue", "continue", ZEN]),
    ] {
        let world = listing("2.0.8.8.zen", "127.0.0.10", &[&format!("ENFORCE_STAGE={stage}")]).await;
        let mut phone = world.call().await;
        assert_eq!(phone.connect("8.8.0.2").await, answers[0], "{stage}");
        clock.settle().await;
        assert_eq!(world.names.count("2.0.8.8.zen"), 1, "{stage}: asked at CONNECT");
        assert_eq!(phone.helo("mx.example").await, answers[1], "{stage}");
        assert_eq!(phone.from("<u@ok.example>").await, answers[2], "{stage}");
        assert_eq!(phone.rcpt("<us@example.org>").await, answers[3], "{stage}");
        assert_eq!(world.names.count("2.0.8.8.zen"), 1);
    }
}

#[tokio::test]
async fn each_recipient_is_refused_and_the_next_message_judged_afresh() {
    let (log, _guard) = Log::listen();
    let world = listing("spam.example.dbl", "127.0.1.2", &["ENFORCE_STAGE=rcpt"]).await;
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    phone.helo("mx.example").await;
    assert_eq!(phone.from("<u@spam.example>").await, "continue");
    for n in 0..3 {
        assert!(phone.rcpt(format!("<u{n}@example.org>")).await.starts_with("550 5.7.1 Sender domain "));
    }
    assert_eq!(phone.data().await, "withheld");
    phone.abort().await;
    assert_eq!(phone.from("<u@ok.example>").await, "continue");
    assert_eq!(phone.rcpt("<u@example.org>").await, "continue");
    assert_eq!(phone.data().await, "continue");
    assert_eq!(log.with(&["action=reject"]).len(), 3, "a line for each refusal");
    assert_eq!(world.names.count("spam.example.dbl"), 1);
}

#[tokio::test]
async fn a_thousand_recipients_cost_one_question() {
    let world = listing("spam.example.dbl", "127.0.1.2", &["ENFORCE_STAGE=rcpt"]).await;
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    phone.from("<u@spam.example>").await;
    for n in 0..1_100 {
        assert!(phone.rcpt(format!("<u{n}@example.org>")).await.starts_with("550 "), "{n}");
    }
    assert_eq!(world.asked(), ["spam.example.dbl", "spam.example.zrd"]);
}

#[tokio::test]
async fn a_sender_without_helo_is_judged() {
    let world = listing("spam.example.dbl", "127.0.1.2", &["ENFORCE_STAGE=mail"]).await;
    assert!(world.from("<u@spam.example>").await.starts_with("550 5.7.1 Sender domain "));
}

// case: K10
#[tokio::test]
async fn a_slow_client_is_filtered_still() {
    let world = listing("spam.example.dbl", "127.0.1.2", &[]).await;
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    phone.helo("mx.example").await;
    let clock = Clock::stop();
    for minutes in [1, 10, 60] {
        clock.jump(Duration::from_mins(minutes)).await;
        let (said, _) = clock.run(phone.from("<u@spam.example>")).await;
        assert!(said.starts_with("550 "), "after {minutes} minutes: {said}");
        phone.abort().await;
    }
    clock.settle().await;
    clock.jump(Duration::from_secs(7_211)).await;
    assert_eq!(clock.run(phone.from("<u@ok.example>")).await.0, "closed", "the idle limit");
}

// case: K08
#[tokio::test]
async fn a_new_key_serves_open_sessions_and_forgives_trouble() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let world = World::new(&["ENFORCE_STAGE=mail"]).await;
    world.names.script(|asked| {
        let old = asked.full.contains(super::KEY);
        let spam = asked.name == "spam.example.dbl";
        if old { Some(Act::records(["127.255.255.250"])) } else { spam.then(|| Act::records(["127.0.1.2"])) }
    });
    let mut phones = Vec::new();
    for n in 0..50 {
        let mut phone = world.call().await;
        phone.connect(CLEAN).await;
        phone.helo(format!("mx{n}.example")).await;
        assert_eq!(clock.run(phone.from("<u@spam.example>")).await.0, "continue", "the list is out of order");
        phone.abort().await;
        phones.push(phone);
    }
    assert_eq!(world.dns.health()[1].to_string(), "dbl service error 250 (key disabled)");
    let new = "n3wn3wn3wn3wn3wn3wn3wn3wn3";
    world.reload(&["ENFORCE_STAGE=mail", &format!("API_KEY={new}")]);
    clock.pass(Duration::from_secs(1)).await;
    for mut phone in phones {
        assert!(clock.run(phone.from("<u@spam.example>")).await.0.starts_with("550 "));
        assert!(phone.quit().await, "no session is dropped");
    }
    assert_eq!(world.dns.health()[1].to_string(), "dbl ok");
    let last = world.names.asked().pop().expect("questions");
    assert!(last.full.contains(new));
    assert!(log.lines().iter().all(|line| !line.contains(super::KEY) && !line.contains(new)));
}

#[tokio::test]
async fn open_sessions_keep_the_rules_they_began_with() {
    let world = listing("2.0.8.8.zen", "127.0.0.10", &["ENFORCE_STAGE=mail"]).await;
    let (mut kept, mut other) = (world.call().await, world.call().await);
    kept.connect("8.8.0.2").await;
    world.reload(&["ENFORCE_STAGE=connect", "IP_WHITELIST=8.8.0.3"]);
    assert!(world.connect("8.8.0.2").await.starts_with("554 "), "a new session has the new stage");
    assert_eq!(other.connect("8.8.0.2").await, "continue", "negotiated before the change");
    assert_eq!(kept.helo("mx.example").await, "continue");
    assert_eq!(kept.from("<u@ok.example>").await, ZEN);
    world.reload(&["IP_WHITELIST=8.8.0.2"]);
    assert_eq!(world.connect("8.8.0.2").await, "continue");
}

#[tokio::test]
async fn three_round_trips_by_stage_and_one_at_mail_or_rcpt() {
    for (stage, waits) in [("connect", [20, 20, 20, 0]), ("mail", [0, 0, 20, 0]), ("rcpt", [0, 0, 0, 20])] {
        let clock = Clock::stop();
        let world = World::new(&[&format!("ENFORCE_STAGE={stage}")]).await;
        world.names.otherwise(Act::NotFound(Some(60)).after(ms(20)));
        let mut phone = world.call().await;
        let mut times = Vec::new();
        times.push(clock.run(phone.connect(CLEAN)).await.1);
        times.push(clock.run(phone.helo("mx.example")).await.1);
        times.push(clock.run(phone.from("<u@ok.example>")).await.1);
        times.push(clock.run(phone.rcpt("<us@example.org>")).await.1);
        for (time, wait) in times.iter().zip(waits) {
            assert!((ms(wait)..=ms(wait + 10)).contains(time), "{stage}: {times:?}");
        }
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_distant_client_has_its_answers_before_it_asks() {
    let clock = Clock::stop();
    let world = World::new(&["ENFORCE_STAGE=rcpt"]).await;
    world.names.otherwise(Act::NotFound(Some(60)).after(ms(20)));
    let mut phone = world.call().await;
    clock.run(phone.connect(CLEAN)).await;
    clock.pass(ms(30)).await;
    clock.run(phone.helo("mx.example")).await;
    clock.pass(ms(30)).await;
    clock.run(phone.from("<u@ok.example>")).await;
    clock.pass(ms(30)).await;
    let (said, time) = clock.run(phone.rcpt("<us@example.org>")).await;
    assert_eq!((said.as_str(), time), ("continue", Duration::ZERO));
    assert_eq!(world.names.count(CLEAN_NAME), 1);
}
