//! Lists that are left alone for a while, and how they come back.

use std::sync::Arc;
use std::time::Duration;

use gatepost::dns::{Answer, Dns, Settings, Source, TestEntry};
use gatepost::verdict::{List, Origin, Trouble};
use hickory_proto::op::ResponseCode;

use super::common::clock::Clock;
use super::common::log::Log;
use super::common::nameserver::{Act, NameServer};
use super::{KEY, ask, dns, domain, ip, key, listed, ms, settings};

const RESTING: Answer = Answer::Failed(Trouble::Resting);

/// What a list that rests for what its operator said is still told to be in.
const fn service(octet: u8) -> Answer {
    Answer::Failed(Trouble::Service(octet))
}

pub(super) fn healthy(server: &NameServer) {
    server.on("2.0.0.127.zen", Act::records(["127.0.0.2", "127.0.0.4", "127.0.0.10"]));
    server.on("dbltest.com.dbl", Act::records(["127.0.1.2"]));
    server.on("test.zrd", Act::records(["127.0.2.2"]));
}

pub(super) fn watched(server: &NameServer) -> Arc<Dns> {
    let settings = Settings { probe_interval: Duration::from_mins(15), ..settings(&[server.address()]) };
    let dns = Dns::new(settings, Some(key()), Source::Resolver);
    tokio::spawn(Arc::clone(&dns).watch());
    dns
}

// case: S05
#[tokio::test]
async fn every_list_is_probed_with_its_own_entries_at_the_start_and_now_and_then() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    let mut names: Vec<String> = server.asked().into_iter().map(|asked| asked.name).collect();
    names.sort();
    let expected =
        ["1.0.0.127.zen", "2.0.0.127.zen", "dbltest.com.dbl", "invalid.dbl", "invalid.zrd", "test.zrd"];
    assert_eq!(names, expected);
    let health: Vec<String> = dns.health().iter().map(ToString::to_string).collect();
    assert_eq!(health, ["zen ok", "dbl ok", "zrd ok"]);
    assert!(dns.health().iter().all(|zone| zone.test_entry == TestEntry::Listed));
    assert_eq!(dns.cached(), 0, "probes pass by the cache");
    clock.jump(Duration::from_mins(13)).await;
    assert_eq!(server.total(), 6);
    clock.jump(Duration::from_mins(4)).await;
    clock.pass(ms(100)).await;
    assert_eq!(server.total(), 12);
}

#[tokio::test]
async fn a_missing_test_entry_is_told_and_the_list_still_asked() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    assert_eq!(dns.health()[0].to_string(), "zen test entry missing");
    assert_eq!(log.with(&["WARN", "zone=zen", "state=doubtful"]).len(), 1);
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
}

#[tokio::test]
async fn a_list_that_is_not_in_use_is_not_probed() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    let lists = vec![List::ZEN, List::ZRD];
    let interval = Duration::from_mins(15);
    let settings = Settings { lists, probe_interval: interval, ..settings(&[server.address()]) };
    let dns = Dns::new(settings.clone(), Some(key()), Source::Resolver);
    tokio::spawn(Arc::clone(&dns).watch());
    clock.pass(ms(100)).await;
    assert!(server.total() == 4 && server.asked().iter().all(|asked| asked.list() != "dbl"));
    assert_eq!(dns.health().iter().map(ToString::to_string).collect::<Vec<_>>(), ["zen ok", "zrd ok"]);
    dns.reconfigure(Settings { lists: List::DQS.to_vec(), ..settings.clone() });
    clock.pass(ms(100)).await;
    assert_eq!(server.count("dbltest.com.dbl"), 1);
    dns.reconfigure(Settings { lists: vec![List::ZRD], ..settings });
    clock.pass(ms(100)).await;
    let before = server.total();
    clock.jump(Duration::from_mins(17)).await;
    clock.pass(ms(100)).await;
    let asked = server.asked().split_off(before);
    assert!(asked.len() == 2 && asked.iter().all(|asked| asked.list() == "zrd"), "{asked:?}");
}

#[tokio::test]
async fn another_interval_of_probes_counts_at_once_and_other_settings_ask_nothing() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    let settings = Settings { probe_interval: Duration::from_mins(15), ..settings(&[server.address()]) };
    dns.reconfigure(Settings { cache_max: 10, ..settings.clone() });
    clock.pass(ms(100)).await;
    assert_eq!(server.total(), 6);
    dns.reconfigure(Settings { cache_max: 10, probe_interval: Duration::from_mins(1), ..settings });
    clock.pass(ms(100)).await;
    assert_eq!(server.total(), 12);
    clock.jump(Duration::from_secs(67)).await;
    clock.pass(ms(100)).await;
    assert_eq!(server.total(), 18);
}

// case: L04
#[tokio::test]
async fn equal_failures_are_one_line_a_minute_with_their_count() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.script(|asked| (!asked.name.starts_with("9.")).then_some(Act::Code(ResponseCode::ServFail)));
    let dns = dns(&[server.address()]);
    for n in 0..100 {
        clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.{n}.1")))).await;
        // Now and then one that works, or the list would be left alone.
        if n % 4 == 0 {
            clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.{n}.9")))).await;
        }
    }
    clock.jump(Duration::from_mins(1)).await;
    clock.run(ask(&dns, List::ZEN, ip("8.8.200.1"))).await;
    let lines = log.with(&["WARN", "event=dns", "zone=zen", "result=servfail"]);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("suppressed=0") && lines[1].contains("suppressed=99"), "{lines:?}");
}

// case: S01, Z12
#[tokio::test]
async fn a_disabled_key_is_told_once_and_asked_with_seldom() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::Records(vec![[127, 255, 255, 250].into()], 2_100));
    let dns = dns(&[server.address()]);
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Service(250)));
    for n in 2..=100 {
        let (answered, time) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
        assert_eq!((answered.answer, time), (service(250), Duration::ZERO));
        clock.jump(ms(600)).await;
    }
    assert_eq!((server.total(), dns.cached()), (1, 0));
    assert_eq!(dns.health()[0].to_string(), "zen service error 250 (key disabled)");
    let lines = log.with(&["ERROR", "event=zone_state", "zone=zen", "state=open", "for_s=900"]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("key disabled") && lines[0].contains("renew"), "{}", lines[0]);
    assert!(log.lines().iter().all(|line| !line.to_lowercase().contains(KEY)));
}

// case: Z12
#[tokio::test]
async fn every_operator_code_leaves_the_list_alone() {
    for (octet, level, seconds) in [
        (250, "ERROR", 900),
        (251, "ERROR", 900),
        (252, "ERROR", 900),
        (253, "WARN", 300),
        (254, "WARN", 300),
        (255, "WARN", 300),
        (0, "WARN", 300),
    ] {
        let (log, _guard) = Log::listen();
        let server = NameServer::start().await;
        let records = vec![[127, 0, 1, 2].into(), [127, 255, 255, octet].into()];
        server.otherwise(Act::Records(records, 60));
        let dns = dns(&[server.address()]);
        let answered = ask(&dns, List::DBL, domain("spam.example")).await;
        assert_eq!(answered.answer, Answer::Failed(Trouble::Service(octet)));
        assert_eq!(ask(&dns, List::DBL, domain("x.example")).await.answer, service(octet));
        let line = [level, "zone=dbl", &format!("for_s={seconds}")[..], &format!("error {octet} (")[..]];
        assert_eq!(log.with(&line).len(), 1, "{octet}: {:?}", log.lines());
    }
}

// case: S02
#[tokio::test]
async fn a_probe_brings_a_list_back() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    server.script(|asked| (asked.list() == "zen").then(|| Act::records(["127.255.255.254"])));
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    clock.jump(Duration::from_mins(1)).await;
    server.script(|_| None);
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, service(254));
    clock.jump(Duration::from_secs(235)).await;
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, service(254));
    clock.jump(Duration::from_secs(6)).await;
    clock.pass(ms(50)).await;
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
    assert_eq!(log.with(&["INFO", "event=zone_state", "zone=zen", "state=ok"]).len(), 1);
}

#[tokio::test]
async fn questions_from_before_a_list_came_back_do_not_keep_it_away_when_they_fail() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    server.script(|_| Some(Act::Silence));
    let mut tickets: Vec<_> = (0..10).map(|n| dns.ask(List::ZEN, ip(&format!("8.8.0.{n}")))).collect();
    clock.pass(ms(1_100)).await;
    // Their last try is before the server is back, and their end after that.
    tickets.extend((10..20).map(|n| dns.ask(List::ZEN, ip(&format!("8.8.0.{n}")))));
    clock.pass(ms(1_600)).await;
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.1.1")).await.answer, RESTING);
    server.script(|_| None);
    clock.pass(ms(150)).await;
    let state = || dns.health()[0].to_string();
    assert_eq!(state(), "zen ok");
    clock.pass(ms(500)).await;
    assert!(tickets.iter_mut().all(|ticket| ticket.ready().is_some()), "all of them have failed");
    assert_eq!(state(), "zen ok");
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.1.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
}

// case: S02
#[tokio::test]
async fn a_probe_that_fails_doubles_the_pause() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.255.255.255"]));
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    let probes = || server.count("2.0.0.127.zen");
    assert_eq!(probes(), 1);
    for (n, seconds) in [300, 600, 1_200, 2_400, 3_600, 3_600].into_iter().enumerate() {
        clock.jump(Duration::from_secs(seconds - 2)).await;
        assert_eq!(probes(), n + 1, "{seconds}");
        clock.jump(Duration::from_secs(2)).await;
        clock.pass(ms(20)).await;
        assert_eq!(probes(), n + 2, "{seconds}");
    }
    assert_eq!(dns.health()[0].to_string(), "zen service error 255 (too many queries)");
    assert_eq!(server.count("1.0.0.127.zen"), 0, "the first entry has told");
}

#[tokio::test]
async fn a_trial_that_is_under_way_when_the_probes_begin_gets_a_second() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.255.255.255"]));
    let dns = dns(&[server.address()]);
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    clock.jump(Duration::from_secs(305)).await;
    server.otherwise(Act::Silence);
    let trial = dns.ask(List::ZEN, ip("8.8.0.2"));
    clock.settle().await;
    healthy(&server);
    tokio::spawn(Arc::clone(&dns).watch());
    clock.pass(ms(950)).await;
    assert!(server.count("2.0.8.8.zen") > 0 && server.count("2.0.0.127.zen") == 0);
    server.otherwise(Act::NotFound(Some(60)));
    clock.pass(ms(100)).await;
    assert_eq!(server.count("2.0.0.127.zen"), 1);
    assert_eq!(dns.health()[0].to_string(), "zen ok");
    drop(trial);
}

// case: S04, Z14
#[tokio::test]
async fn a_resolver_that_answers_everything_refuses_nobody() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["198.51.100.99"]));
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, Answer::Failed(Trouble::Bogus));
    assert_eq!(ask(&dns, List::DBL, domain("spam.example")).await.answer, Answer::Failed(Trouble::Bogus));
    assert_eq!(log.with(&["WARN", "state=open", "for_s=300", "rewrite"]).len(), 3);
}

// case: S04
#[tokio::test]
async fn a_list_that_lists_everything_is_left_alone() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.0.2"]));
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Bogus));
    assert_eq!(server.count("2.0.8.8.zen"), 0);
}

// case: S06, D02
#[tokio::test]
async fn a_list_outside_the_plan_does_not_harm_the_others() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let (log, _guard) = Log::listen();
        let server = NameServer::start().await;
        server.script(move |asked| (asked.list() == "zrd").then_some(Act::Code(code)));
        server.on("spam.example.dbl", Act::records(["127.0.1.2"]));
        let dns = dns(&[server.address()]);
        for n in 0..20 {
            let name = domain(&format!("{n}.spam.example"));
            ask(&dns, List::ZRD, name.clone()).await;
            assert_eq!(ask(&dns, List::DBL, name).await.answer, Answer::NotListed);
        }
        assert_eq!(ask(&dns, List::ZRD, domain("spam.example")).await.answer, RESTING);
        assert_eq!(ask(&dns, List::DBL, domain("spam.example")).await.answer, listed(1, [2]));
        assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, Answer::NotListed);
        assert_eq!(server.asked().iter().filter(|asked| asked.list() == "zrd").count(), 10);
        assert_eq!(log.with(&["WARN", "event=zone_state", "zone=zrd", "state=open", "plan"]).len(), 1);
        assert!(log.with(&["event=zone_state"]).iter().all(|line| line.contains("zone=zrd")));
    }
}

// case: D03
#[tokio::test]
async fn after_a_dead_resolver_opened_the_breaker_nobody_waits() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.on("1.0.8.8.zen", Act::records(["127.0.0.2"]));
    let dns = dns(&[server.address()]);
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    server.script(|_| Some(Act::Silence));
    let deadline = tokio::time::Instant::now() + ms(1_800);
    let mut tickets: Vec<_> = (2..=11).map(|n| dns.ask(List::ZEN, ip(&format!("8.8.0.{n}")))).collect();
    let waits = futures_util::future::join_all(tickets.iter_mut().map(|ticket| ticket.wait(deadline)));
    let (_, time) = clock.run(waits).await;
    assert!(time <= ms(1_810), "{time:?}");
    clock.settle().await;
    let before = std::time::Instant::now();
    let answered = dns.ask(List::ZEN, ip("8.8.0.99")).ready().expect("at once");
    assert!(before.elapsed() < ms(1) || cfg!(debug_assertions), "{:?}", before.elapsed());
    assert_eq!(answered.answer, RESTING);
    let known = dns.ask(List::ZEN, ip("8.8.0.1")).ready().expect("at once");
    assert_eq!((known.answer, known.origin), (listed(0, [2]), Origin::Hit), "what is known stays known");
    assert_eq!(dns.health()[0].to_string(), "zen no answer from the name servers");
}

#[tokio::test]
async fn without_probes_a_question_closes_the_breaker() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.255.255.255"]));
    let dns = dns(&[server.address()]);
    let since = || dns.health()[0].since;
    assert_eq!(since(), None);
    let opened = tokio::time::Instant::now();
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    clock.jump(Duration::from_secs(306)).await;
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    assert_eq!(server.total(), 2);
    server.otherwise(Act::NotFound(Some(60)));
    clock.jump(Duration::from_secs(599)).await;
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, service(255));
    assert!(since().is_some_and(|since| since - opened < ms(50)), "the trial in between does not count");
    clock.jump(Duration::from_secs(6)).await;
    for n in 2..=3 {
        let (answered, _) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
        assert_eq!(answered.answer, Answer::NotListed);
    }
    assert_eq!(since(), None);
}

// case: K08
#[tokio::test]
async fn a_new_key_closes_the_breakers_and_old_answers_do_not_open_them() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.script(|asked| {
        let act = if asked.full.contains(KEY) { Act::records(["127.255.255.250"]) } else { return None };
        Some(act.after(ms(100)))
    });
    let dns = dns(&[server.address()]);
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, service(250));
    let mut old = dns.ask(List::DBL, domain("spam.example"));
    clock.settle().await;
    dns.set_key(gatepost::dns::Key::new("another").ok());
    assert_eq!(log.with(&["INFO", "event=zone_state", "zone=zen", "state=ok"]).len(), 1);
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
    let mut new = dns.ask(List::DBL, domain("spam.example"));
    clock.settle().await;
    assert_eq!(new.ready().map(|answered| answered.answer), Some(Answer::NotListed), "not with the old key");
    clock.pass(ms(150)).await;
    assert_eq!(old.ready().map(|answered| answered.answer), Some(Answer::Failed(Trouble::Service(250))));
    let (answered, _) = clock.run(ask(&dns, List::DBL, domain("spam.example"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
}

#[tokio::test]
async fn other_name_servers_end_an_outage_and_other_settings_do_not() {
    let clock = Clock::stop();
    let (ill, well) = (NameServer::start().await, NameServer::start().await);
    ill.otherwise(Act::Code(ResponseCode::ServFail));
    let dns = dns(&[ill.address()]);
    for n in 0..10 {
        clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.1.{n}")))).await;
    }
    dns.reconfigure(Settings { per_try: ms(600), ..settings(&[ill.address()]) });
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, RESTING);
    dns.reconfigure(settings(&[well.address()]));
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
}

#[tokio::test]
async fn the_same_key_again_ends_no_outage() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::Code(ResponseCode::ServFail));
    let dns = dns(&[server.address()]);
    for n in 0..10 {
        clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.1.{n}")))).await;
    }
    let asked = server.total();
    dns.set_key(Some(key()));
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, RESTING);
    assert_eq!(server.total(), asked);
}

#[tokio::test]
async fn the_same_key_again_trusts_no_list_that_holds_everything_and_probes_it_at_once() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    server.script(|asked| (asked.list() == "zen").then(|| Act::records(["127.0.0.2"])));
    let dns = watched(&server);
    clock.pass(ms(100)).await;
    let off = Answer::Failed(Trouble::Bogus);
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, off);
    let probes = server.count("1.0.0.127.zen");
    dns.set_key(Some(key()));
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.3")).await.answer, off);
    clock.pass(ms(100)).await;
    assert_eq!(server.count("1.0.0.127.zen"), probes + 1);
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.4")).await.answer, off);
    // Somebody mends it, and says so by a reload.
    server.script(|_| None);
    dns.set_key(Some(key()));
    clock.pass(ms(100)).await;
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.5"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
}

#[tokio::test]
async fn a_listing_that_comes_after_its_list_was_seen_to_hold_everything_is_neither_believed_nor_remembered()
{
    let clock = Clock::stop();
    let server = NameServer::start().await;
    healthy(&server);
    server.script(|asked| {
        let wait = if asked.name.starts_with("2.0.8.8.") { ms(300) } else { ms(20) };
        (asked.list() == "zen").then(|| Act::records(["127.0.0.2"]).after(wait))
    });
    let dns = watched(&server);
    let mut early = dns.ask(List::ZEN, ip("8.8.0.2"));
    clock.pass(ms(100)).await;
    let off = Answer::Failed(Trouble::Bogus);
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.3")).await.answer, off);
    assert!(early.ready().is_none(), "it is under way");
    clock.pass(ms(250)).await;
    assert_eq!(early.ready().map(|answered| answered.answer), Some(off));
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, off);
}
