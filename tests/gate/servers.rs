//! Name servers that fail: mail goes on, in time.

use std::time::Duration;

use hickory_proto::op::ResponseCode;

use super::common::nameserver::Transport;
use super::{Act, CLEAN, Clock, KEY, Log, NameServer, World, ms};

/// A stage never lasts longer: `DNS_LIFETIME` and a tenth of a second.
const STAGE: Duration = ms(1_900);

// case: D01, D02
#[tokio::test]
async fn an_error_of_the_name_server_lets_mail_in_and_hides_the_key() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr, ResponseCode::NotImp] {
        let (log, _guard) = Log::listen();
        let world = World::new(&[]).await;
        world.names.otherwise(Act::Code(code));
        let mut phone = world.call().await;
        assert_eq!(phone.connect("8.8.0.2").await, "continue", "{code}");
        assert_eq!(phone.helo("mx.example").await, "continue", "{code}");
        assert_eq!(phone.from("<u@spam.example>").await, "continue", "{code}");
        assert!(world.dns.health().iter().all(|zone| zone.counters.failures > 0), "{code}");
        assert!(log.lines().iter().all(|line| !line.to_lowercase().contains(KEY)));
    }
}

#[tokio::test]
async fn an_administrator_may_rather_have_mail_wait() {
    let world = World::new(&["ON_FAILURE=zen=tempfail,dbl=accept", "ZRD_ENABLE=0"]).await;
    world.names.otherwise(Act::Code(ResponseCode::ServFail));
    assert_eq!(world.connect("8.8.0.2").await, "451 4.7.1 Temporary lookup failure, try again later");
    let world = World::new(&["ON_FAILURE=zen=tempfail", "ZEN_ENABLE=0"]).await;
    world.names.otherwise(Act::Code(ResponseCode::ServFail));
    assert_eq!(world.from("<u@spam.example>").await, "continue");
}

#[tokio::test]
async fn an_operator_error_never_makes_mail_wait_not_even_while_the_list_rests_from_it() {
    let world = World::new(&["ON_FAILURE=tempfail"]).await;
    for octet in [250, 254, 255] {
        world.names.otherwise(Act::Records(vec![[127, 255, 255, octet].into()], 60));
        for n in 1..=3 {
            assert_eq!(world.connect(&format!("8.8.{octet}.{n}")).await, "continue");
        }
    }
}

// case: D03
#[tokio::test]
async fn silence_costs_a_stage_its_budget_and_a_session_two_seconds() {
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    world.names.otherwise(Act::Silence);
    let mut phone = world.call().await;
    let (said, time) = clock.run(phone.connect("8.8.0.2")).await;
    assert_eq!(said, "continue");
    assert!((ms(1_790)..=STAGE).contains(&time), "{time:?}");
    let mut whole = time;
    for wait in [clock.run(phone.helo("mx.example")).await, clock.run(phone.from("<u@spam.example>")).await] {
        assert_eq!(wait.0, "continue");
        whole += wait.1;
    }
    assert!(whole <= ms(2_020), "{whole:?}");
}

#[tokio::test]
async fn a_name_server_that_takes_long_to_fail_costs_a_session_two_seconds() {
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    world.names.otherwise(Act::Code(ResponseCode::ServFail).after(ms(1_500)));
    let mut phone = world.call().await;
    let waits = [
        clock.run(phone.connect("8.8.0.2")).await,
        clock.run(phone.helo("mx.example")).await,
        clock.run(phone.from("<u@spam.example>")).await,
    ];
    let whole: Duration = waits.iter().map(|(_, time)| *time).sum();
    assert!(whole <= ms(2_020), "{waits:?}");
}

#[tokio::test]
async fn a_session_is_checked_again_when_the_name_server_is_back() {
    let clock = Clock::stop();
    let world = World::new(&["ENFORCE_STAGE=mail"]).await;
    world.names.otherwise(Act::Silence);
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    for sender in ["<u@a.example>", "<u@b.example>"] {
        assert_eq!(clock.run(phone.from(sender)).await.0, "continue", "{sender}");
        phone.abort().await;
    }
    clock.pass(ms(6_000)).await;
    world.names.otherwise(Act::Records(Vec::new(), 60).after(ms(20)));
    world.names.on("spam.example.dbl", Act::records(["127.0.1.2"]).after(ms(20)));
    assert_eq!(clock.run(phone.from("<u@c.example>")).await.0, "continue", "its answers come after it");
    phone.abort().await;
    clock.pass(ms(50)).await;
    let (said, _) = clock.run(phone.from("<u@spam.example>")).await;
    assert!(said.starts_with("550 5.7.1 Sender domain spam.example"), "{said}");
}

#[tokio::test]
async fn after_the_breaker_opened_nobody_waits() {
    let clock = Clock::stop();
    let world = World::new(&["DBL_ENABLE=0", "ZRD_ENABLE=0"]).await;
    world.names.otherwise(Act::Silence);
    let mut phones = Vec::new();
    for n in 0..10 {
        phones.push((world.call().await, format!("8.8.1.{n}")));
    }
    let all = phones.iter_mut().map(|(phone, address)| phone.connect(address));
    clock.run(futures_util::future::join_all(all)).await;
    clock.pass(ms(50)).await;
    let (said, time) = clock.run(world.connect("8.8.2.1")).await;
    assert_eq!((said.as_str(), time), ("continue", Duration::ZERO));
}

// case: D05
#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let world = World::new(&[]).await;
    world.names.on("2.0.8.8.zen", Act::Cut(Box::new(Act::records(["127.0.0.4"]))));
    assert!(world.connect("8.8.0.2").await.starts_with("554 "));
    let transports: Vec<_> = world.names.asked().iter().map(|asked| asked.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
}

// case: D06
#[tokio::test]
async fn where_datagrams_are_lost_the_budget_holds_all_the_same() {
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    let act = Act::ByTransport(Box::new(Act::Silence), Box::new(Act::records(["127.0.0.4"])));
    world.names.on("2.0.8.8.zen", act);
    let (said, time) = clock.run(world.connect("8.8.0.2")).await;
    assert!(said == "continue" || said.starts_with("554 "), "{said}");
    assert!(time <= STAGE, "{time:?}");
}

// case: D07
#[tokio::test]
async fn a_late_answer_serves_the_next_session() {
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    world.names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]).after(ms(2_500)));
    let (said, time) = clock.run(world.connect("8.8.0.2")).await;
    assert_eq!(said, "continue");
    assert!(time <= STAGE, "{time:?}");
    clock.pass(Duration::from_secs(1)).await;
    let asked = world.names.total();
    let (said, time) = clock.run(world.connect("8.8.0.2")).await;
    assert!(said.starts_with("554 "), "{said}");
    assert_eq!((time, world.names.total()), (Duration::ZERO, asked));
}

// case: D08
#[tokio::test]
async fn a_second_name_server_stands_in_for_a_dead_one() {
    let clock = Clock::stop();
    let dead = NameServer::start().await;
    dead.otherwise(Act::Silence);
    let live = NameServer::start().await;
    let servers = format!("NAMESERVERS={},{}", dead.address(), live.address());
    live.otherwise(Act::records(["127.0.0.4"]));
    let world = World::with(live, &[&servers]);
    let (said, time) = clock.run(world.connect("8.8.0.2")).await;
    assert!(said.starts_with("554 "), "{said}");
    assert!(time <= STAGE, "{time:?}");
    let asked = dead.total();
    for n in 3..8 {
        let (said, time) = clock.run(world.connect(&format!("8.8.0.{n}"))).await;
        assert!(said.starts_with("554 "), "{said}");
        assert!(time <= ms(10), "{time:?}");
    }
    assert_eq!(dead.total(), asked, "left alone for a while");
}

// case: D11
#[tokio::test]
async fn answers_to_something_else_are_not_heard() {
    let clock = Clock::stop();
    let listed = || Box::new(Act::records(["127.0.0.4"]));
    for act in [Act::WrongId(listed()), Act::WrongQuestion(listed())] {
        let world = World::new(&[]).await;
        world.names.on("2.0.8.8.zen", act);
        let (said, time) = clock.run(world.connect("8.8.0.2")).await;
        assert_eq!(said, "continue");
        assert!((ms(600)..=STAGE).contains(&time), "{time:?}");
    }
    let world = World::new(&[]).await;
    let answers = vec![Act::WrongId(listed()), Act::NotFound(Some(60)).after(ms(50))];
    world.names.on("2.0.8.8.zen", Act::Several(answers));
    assert_eq!(clock.run(world.connect("8.8.0.2")).await.0, "continue");
    assert_eq!(world.dns.health()[0].counters.not_listed, 1);
}

// case: D12
#[tokio::test]
async fn garbage_lets_mail_in_and_harms_nothing() {
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    for (n, act) in [
        Act::ShortRecord,
        Act::Octets(false, Vec::new()),
        Act::Octets(true, vec![0xff; 10]),
        Act::Octets(true, vec![0xff; 2_000]),
        Act::Octets(true, [&[0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0][..], &[0xc0; 400]].concat()),
    ]
    .into_iter()
    .enumerate()
    {
        world.names.on(&format!("{n}.0.8.8.zen"), act);
        let (said, time) = clock.run(world.connect(&format!("8.8.0.{n}"))).await;
        assert_eq!(said, "continue", "{n}");
        assert!(time <= STAGE, "{n}: {time:?}");
    }
    assert_eq!(world.server.tally().panics, 0);
    assert_eq!(clock.run(world.connect(CLEAN)).await.0, "continue");
}
