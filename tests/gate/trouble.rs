//! Lists that are out of order: they are left alone, told about, and come back.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;

use super::{Act, CLEAN, Clock, Log, World};

/// Answers that pass the probes.
fn healthy(world: &World) {
    world.names.on("2.0.0.127.zen", Act::records(["127.0.0.2", "127.0.0.4", "127.0.0.10"]));
    world.names.on("dbltest.com.dbl", Act::records(["127.0.1.2"]));
    world.names.on("test.zrd", Act::records(["127.0.2.2"]));
}

// case: S01
#[tokio::test]
async fn a_disabled_key_costs_few_questions_and_one_line() {
    let (log, _guard) = Log::listen();
    let world = World::new(&["DBL_ENABLE=0", "ZRD_ENABLE=0"]).await;
    world.names.otherwise(Act::records(["127.255.255.250"]));
    for n in 0..100 {
        assert_eq!(world.connect(&format!("8.8.1.{n}")).await, "continue");
    }
    assert!(world.names.total() <= 3, "{} questions", world.names.total());
    let lines = log.with(&["ERROR", "zone=zen"]);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("key disabled"), "{lines:?}");
    assert_eq!(world.dns.health()[0].to_string(), "zen service error 250 (key disabled)");
}

// case: S02
#[tokio::test]
async fn a_list_comes_back_by_itself() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    healthy(&world);
    world.names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let probes = tokio::spawn(Arc::clone(&world.dns).watch());
    clock.pass(Duration::from_millis(100)).await;
    world.names.script(|asked| (asked.list() == "zen").then(|| Act::records(["127.255.255.254"])));
    assert_eq!(clock.run(world.connect("8.8.0.2")).await.0, "continue");
    clock.jump(Duration::from_mins(1)).await;
    world.names.script(|_| None);
    assert_eq!(clock.run(world.connect("8.8.0.2")).await.0, "continue", "left alone still");
    clock.jump(Duration::from_secs(241)).await;
    clock.pass(Duration::from_millis(100)).await;
    assert!(clock.run(world.connect("8.8.0.2")).await.0.starts_with("554 "));
    assert_eq!(log.with(&["INFO", "event=zone_state", "zone=zen", "state=ok"]).len(), 1);
    probes.abort();
}

// case: S04, S05
#[tokio::test]
async fn a_resolver_that_answers_everything_refuses_nobody() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    world.names.otherwise(Act::records(["198.51.100.99"]));
    let probes = tokio::spawn(Arc::clone(&world.dns).watch());
    clock.pass(Duration::from_millis(100)).await;
    let before = world.asked();
    let addresses = |list: &str| {
        world.names.asked().iter().filter(|asked| asked.list() == list && asked.name.contains("127")).count()
    };
    assert_eq!((addresses("dbl"), addresses("zrd")), (0, 0), "{before:?}");
    assert!(addresses("zen") > 0, "{before:?}");
    let mut phone = world.call().await;
    assert_eq!(clock.run(phone.connect("8.8.0.2")).await.0, "continue");
    assert_eq!(clock.run(phone.helo("spam.example")).await.0, "continue");
    assert_eq!(clock.run(phone.from("<u@spam.example>")).await.0, "continue");
    assert_eq!(world.asked(), before, "switched off before the first session");
    assert_eq!(log.with(&["WARN", "event=zone_state", "state=open", "rewrite"]).len(), 3);
    probes.abort();
}

// case: S06
#[tokio::test]
async fn a_list_outside_the_plan_does_not_harm_the_others() {
    for code in [ResponseCode::Refused, ResponseCode::ServFail] {
        let (log, _guard) = Log::listen();
        let clock = Clock::stop();
        let world = World::new(&["CACHE_MAX=0"]).await;
        world.names.script(move |asked| (asked.list() == "zrd").then_some(Act::Code(code)));
        world.names.on("spam.example.dbl", Act::records(["127.0.1.2"]));
        for n in 0..12 {
            let mut phone = world.call().await;
            phone.connect(CLEAN).await;
            assert_eq!(clock.run(phone.from(format!("<u@x{n}.example>"))).await.0, "continue");
        }
        let open = log.with(&["WARN", "event=zone_state", "state=open"]);
        assert!(open.len() == 1 && open[0].contains("zone=zrd"), "{open:?}");
        let asked = world.names.asked().iter().filter(|asked| asked.list() == "zrd").count();
        let mut phone = world.call().await;
        phone.connect(CLEAN).await;
        assert!(clock.run(phone.from("<u@spam.example>")).await.0.starts_with("550 "));
        let then = world.names.asked().iter().filter(|asked| asked.list() == "zrd").count();
        assert_eq!(asked, then, "zrd is left alone");
        tokio::time::resume();
    }
}

// case: L04
#[tokio::test]
async fn many_equal_failures_are_few_lines() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let world = World::new(&["CACHE_MAX=0", "DBL_ENABLE=0", "ZRD_ENABLE=0"]).await;
    let mut n = 0_u32;
    // Never ten failures in a row: the breaker stays closed.
    world.names.script(move |asked| {
        let number: u32 = asked.name.split('.').next()?.parse().ok()?;
        (!number.is_multiple_of(5)).then_some(Act::Code(ResponseCode::ServFail))
    });
    for round in 0..4 {
        for host in 0..250 {
            n += 1;
            world.connect(&format!("8.8.{round}.{host}")).await;
        }
    }
    assert_eq!(n, 1_000);
    assert_eq!(log.with(&["WARN", "event=dns", "result=servfail"]).len(), 1);
    clock.jump(Duration::from_secs(61)).await;
    world.connect("8.8.7.1").await;
    let lines = log.with(&["WARN", "event=dns", "result=servfail"]);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].contains("suppressed=799"), "{lines:?}");
}

#[tokio::test]
async fn what_the_operator_says_about_us_defers_no_mail_even_while_the_list_rests() {
    let world = World::new(&["DBL_ENABLE=0", "ZRD_ENABLE=0", "ON_FAILURE=tempfail"]).await;
    for (code, n) in [("127.255.255.250", 1), ("198.51.100.99", 2)] {
        world.names.otherwise(Act::records([code]));
        world.reload(&["DBL_ENABLE=0", "ZRD_ENABLE=0", "ON_FAILURE=tempfail"]);
        for host in 0..5 {
            assert_eq!(world.connect(&format!("8.8.{n}.{host}")).await, "continue", "{code}, client {host}");
        }
    }
}

#[tokio::test]
async fn a_list_found_to_hold_everything_refuses_nobody_from_memory() {
    let clock = Clock::stop();
    let world = World::new(&["DBL_ENABLE=0", "ZRD_ENABLE=0"]).await;
    world.names.otherwise(Act::records(["127.0.0.2"]));
    let before = clock.run(world.connect("8.8.0.2")).await.0;
    assert!(before.starts_with("554 "), "nobody knows yet: {before}");
    let probes = tokio::spawn(Arc::clone(&world.dns).watch());
    clock.pass(Duration::from_millis(100)).await;
    for client in ["8.8.0.2", "8.8.0.3"] {
        assert_eq!(clock.run(world.connect(client)).await.0, "continue", "{client}");
    }
    probes.abort();
}
