//! What is remembered, and how long.

use std::net::Ipv4Addr;
use std::time::Duration;

use gatepost::dns::{Answer, Dns, Settings, Source};
use gatepost::smtp::Domain;
use gatepost::verdict::{List, Origin, Trouble};
use hickory_proto::op::ResponseCode;
use tokio::time::Instant;

use super::breaker::{healthy, watched};
use super::common::clock::Clock;
use super::common::nameserver::{Act, NameServer};
use super::{ask, dns, domain, ip, key, listed, ms, settings};

// case: C01
#[tokio::test]
async fn a_listing_is_asked_for_once_in_its_time_to_live() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.0.2"]));
    let dns = dns(&[server.address()]);
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    clock.jump(Duration::from_secs(1)).await;
    let answered = dns.ask(List::ZEN, ip("8.8.0.2")).ready().expect("remembered");
    assert_eq!((answered.answer, answered.origin), (listed(0, [2]), Origin::Hit));
    clock.jump(Duration::from_mins(1)).await;
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.origin, Origin::Miss);
    assert_eq!(server.total(), 2);
}

// case: C03
#[tokio::test]
async fn no_listing_is_remembered_as_long_as_the_soa_says() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::NotFound(Some(150)));
    let dns = dns(&[server.address()]);
    clock.run(ask(&dns, List::DBL, domain("spam.example"))).await;
    clock.jump(Duration::from_secs(100)).await;
    assert_eq!(ask(&dns, List::DBL, domain("spam.example")).await.origin, Origin::Hit);
    clock.jump(Duration::from_secs(51)).await;
    let (answered, _) = clock.run(ask(&dns, List::DBL, domain("spam.example"))).await;
    assert_eq!(answered.origin, Origin::Miss);
}

// case: C11
#[tokio::test]
async fn floor_and_cap_hold_for_any_time_to_live() {
    for (act, seconds) in [
        (Act::Records(vec![Ipv4Addr::new(127, 0, 0, 2)], 0), 30),
        (Act::Records(vec![Ipv4Addr::new(127, 0, 0, 2)], 0x7fff_ffff), 600),
        (Act::Records(vec![Ipv4Addr::new(127, 0, 0, 2)], u32::MAX), 30),
        (Act::NotFound(Some(0)), 30),
        (Act::NotFound(Some(0x7fff_ffff)), 300),
        (Act::NotFound(None), 30),
        (Act::Empty(None), 30),
    ] {
        let clock = Clock::stop();
        let server = NameServer::start().await;
        server.otherwise(act);
        let dns = dns(&[server.address()]);
        clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
        clock.jump(Duration::from_secs(seconds - 1)).await;
        assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.origin, Origin::Hit, "{seconds}");
        clock.jump(Duration::from_millis(1_100)).await;
        let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
        assert_eq!(answered.origin, Origin::Miss, "{seconds}");
        tokio::time::resume();
    }
}

// case: C06
#[tokio::test]
async fn equal_questions_at_once_are_one_question() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.1.2"]).after(ms(300)));
    let dns = dns(&[server.address()]);
    let deadline = Instant::now() + ms(1_800);
    let mut tickets: Vec<_> = (0..128).map(|_| dns.ask(List::DBL, domain("spam.example"))).collect();
    let rest = tickets.split_off(1);
    // The one who asked first goes; the question stays.
    drop(tickets);
    let answers = rest.into_iter().map(|mut ticket| async move { ticket.wait(deadline).await });
    let (answers, _) = clock.run(futures_util::future::join_all(answers)).await;
    assert_eq!(answers.len(), 127);
    for answered in answers {
        assert_eq!((answered.answer, answered.origin), (listed(1, [2]), Origin::Coalesced));
    }
    assert_eq!(server.total(), 1);
}

// case: C07
#[tokio::test]
async fn a_small_cache_stays_small() {
    let server = NameServer::start().await;
    let settings = Settings { cache_max: 3, ..settings(&[server.address()]) };
    let dns = Dns::new(settings, Some(key()), Source::Resolver);
    let mut origins = Vec::new();
    for name in ["a", "b", "c", "d", "a", "d", "c", "b"] {
        origins.push(ask(&dns, List::DBL, domain(&format!("{name}.example"))).await.origin);
        assert!(dns.cached() <= 3);
    }
    let (hit, miss) = (Origin::Hit, Origin::Miss);
    assert_eq!(origins, [miss, miss, miss, miss, miss, hit, hit, miss]);
}

// case: C08
#[tokio::test]
async fn without_a_cache_everything_is_asked() {
    let server = NameServer::start().await;
    let settings = Settings { cache_max: 0, ..settings(&[server.address()]) };
    let dns = Dns::new(settings, Some(key()), Source::Resolver);
    for _ in 0..3 {
        assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, Answer::NotListed);
    }
    assert_eq!((server.total(), dns.cached()), (3, 0));
}

#[tokio::test]
async fn fixed_times_hold_where_the_time_to_live_does_not_count() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.0.2"]));
    let settings = Settings { honor_ttl: false, ..settings(&[server.address()]) };
    let dns = Dns::new(settings, Some(key()), Source::Resolver);
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    clock.jump(Duration::from_secs(599)).await;
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.origin, Origin::Hit);
}

// case: D01
#[tokio::test]
async fn a_failure_is_remembered_for_seconds_and_never_as_clean() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::Code(ResponseCode::ServFail));
    let dns = dns(&[server.address()]);
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    let answered = dns.ask(List::ZEN, ip("8.8.0.2")).ready().expect("remembered");
    assert_eq!((answered.answer, answered.origin), (Answer::Failed(Trouble::ServFail), Origin::Hit));
    server.otherwise(Act::records(["127.0.0.2"]));
    clock.jump(Duration::from_secs(5)).await;
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!((answered.answer, answered.origin), (listed(0, [2]), Origin::Miss));
}

#[tokio::test]
async fn new_settings_keep_the_answers_unless_the_zone_base_is_another() {
    let (first, second) = (NameServer::start().await, NameServer::start().await);
    let dns = dns(&[first.address()]);
    for n in 1..=9 {
        ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}"))).await;
    }
    dns.reconfigure(Settings { cache_max: 5, ..settings(&[second.address()]) });
    assert_eq!(dns.cached(), 5);
    let before: Vec<_> = (1..=9).map(|n| dns.ask(List::ZEN, ip(&format!("8.8.0.{n}"))).ready()).collect();
    assert_eq!(before.into_iter().flatten().count(), 5);
    let answered = ask(&dns, List::ZEN, ip("8.8.1.1")).await;
    assert_eq!((answered.answer, answered.origin), (Answer::NotListed, Origin::Miss));
    assert_eq!(first.total(), 9, "the new server is asked now");
    let zone_base = Domain::from_setting("lists.example").expect("a domain");
    dns.reconfigure(Settings { zone_base, ..settings(&[second.address()]) });
    assert_eq!(dns.cached(), 0);
    ask(&dns, List::ZEN, ip("8.8.0.9")).await;
    dns.flush();
    assert_eq!(dns.cached(), 0);
}

#[test]
fn several_runtimes_share_one_cache() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let home = runtime();
    let server = home.block_on(NameServer::start());
    let dns = dns(&[server.address()]);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let dns = std::sync::Arc::clone(&dns);
            std::thread::spawn(move || {
                runtime().block_on(async {
                    for n in 0..50 {
                        let answered = ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}"))).await;
                        assert_eq!(answered.answer, Answer::NotListed);
                    }
                });
            })
        })
        .collect();
    let (done, finished) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let results: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
        let _ = done.send(results.into_iter().all(|result| result.is_ok()));
    });
    assert!(home.block_on(finished).expect("all threads"));
    assert_eq!(server.total(), 50, "each address is asked once");
}

#[test]
fn a_question_whose_runtime_ends_leaves_nobody_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let home = runtime();
    let server = home.block_on(NameServer::start());
    let dns = dns(&[server.address()]);
    let asks = runtime();
    let mut ticket = asks.block_on(async { dns.ask(List::ZEN, ip("8.8.0.2")) });
    assert_eq!(ticket.ready(), None);
    drop(asks);
    assert_eq!(ticket.ready().map(|answered| answered.answer), Some(Answer::Failed(Trouble::Network)));
    let answered = home.block_on(ask(&dns, List::ZEN, ip("8.8.0.2")));
    assert_eq!((answered.answer, answered.origin), (Answer::NotListed, Origin::Miss));
}

#[tokio::test]
async fn a_listing_that_comes_too_late_to_be_believed_costs_no_other_answer() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    server.script(|asked| {
        let wait = if asked.name.starts_with("2.0.8.8.") { ms(600) } else { ms(20) };
        (asked.list() == "zen").then(|| Act::records(["127.0.0.2"]).after(wait))
    });
    let dns = watched(&server);
    let early = dns.ask(List::ZEN, ip("8.8.0.2"));
    clock.pass(ms(100)).await;
    // It is another key that mends it.
    server.script(|_| None);
    dns.set_key(gatepost::dns::Key::new("another").ok());
    clock.pass(ms(100)).await;
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.5"))).await;
    assert_eq!((answered.answer, dns.cached()), (Answer::NotListed, 1));
    clock.pass(ms(500)).await;
    drop(early);
    assert_eq!(dns.cached(), 1);
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.5")).await.origin, Origin::Hit);
}
