//! Lost datagrams, and questions that are asked again before their try is over.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepost::dns::{Answer, Dns, Settings, Source};
use gatepost::verdict::{List, Trouble};
use hickory_proto::op::ResponseCode;

use super::common::clock::Clock;
use super::common::nameserver::{Act, Asked, NameServer, Transport};
use super::{Arc, ask, dns, ip, key, listed, ms, settings};

/// A name server 20 ms away.
async fn far() -> NameServer {
    let server = NameServer::start().await;
    server.otherwise(Act::NotFound(Some(60)).after(ms(20)));
    server
}

/// Asks some questions that are answered, so that it is known how long that takes.
async fn get_to_know(clock: &Clock, dns: &Arc<Dns>, questions: u8) {
    for n in 0..questions {
        let (answered, _) = clock.run(ask(dns, List::ZEN, ip(&format!("8.8.1.{n}")))).await;
        assert_eq!(answered.answer, Answer::NotListed);
    }
}

/// Asks about a client: the answer, and how many milliseconds it takes.
async fn asks(clock: &Clock, dns: &Arc<Dns>, client: &str, answer: Answer, takes: RangeInclusive<u64>) {
    let (answered, time) = clock.run(ask(dns, List::ZEN, ip(client))).await;
    assert_eq!(answered.answer, answer, "{client}");
    assert!((ms(*takes.start())..=ms(*takes.end())).contains(&time), "{client}: {time:?}");
}

/// Keeps silent to the first `lost` of these questions, and then does as otherwise.
fn losing(lost: usize, name: &'static str) -> impl Fn(&Asked) -> Option<Act> + Send + Sync {
    let seen = AtomicUsize::new(0);
    move |asked| {
        let is_lost = asked.name == name && seen.fetch_add(1, Ordering::Relaxed) < lost;
        is_lost.then_some(Act::Silence)
    }
}

fn tries(server: &NameServer, name: &str) -> Vec<Transport> {
    server.asked().iter().filter(|asked| asked.name == name).map(|asked| asked.transport).collect()
}

// case: D06
#[tokio::test]
async fn a_lost_packet_costs_a_tenth_of_a_second() {
    let clock = Clock::stop();
    let server = far().await;
    let dns = dns(&[server.address()]);
    get_to_know(&clock, &dns, 50).await;
    server.script(losing(1, "2.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.2", Answer::NotListed, 115..=150).await;
    let ids: Vec<_> =
        server.asked().iter().filter(|asked| asked.name == "2.0.8.8.zen").map(|asked| asked.id).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "an identifier of its own: {ids:?}");
    server.script(losing(2, "3.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.3", Answer::NotListed, 215..=250).await;
}

// case: D06
#[tokio::test]
async fn a_hedge_is_beside_the_plan_and_changes_neither_tries_nor_deadline() {
    let clock = Clock::stop();
    let server = far().await;
    let dns = dns(&[server.address()]);
    get_to_know(&clock, &dns, 50).await;
    server.script(losing(usize::MAX, "2.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.2", Answer::Failed(Trouble::Timeout), 1_795..=1_810).await;
    assert_eq!(tries(&server, "2.0.8.8.zen"), [[Transport::Udp; 4].as_slice(), &[Transport::Tcp]].concat());
}

#[tokio::test]
async fn whichever_datagram_is_answered_first_counts() {
    let clock = Clock::stop();
    let server = far().await;
    let dns = dns(&[server.address()]);
    get_to_know(&clock, &dns, 50).await;
    server.on("2.0.8.8.zen", Act::records(["127.0.0.2"]).after(ms(150)));
    asks(&clock, &dns, "8.8.0.2", listed(0, [2]), 145..=160).await;
    assert_eq!(server.count("2.0.8.8.zen"), 2);
}

#[tokio::test]
async fn a_server_that_has_never_answered_is_not_asked_sooner() {
    let clock = Clock::stop();
    let server = far().await;
    let dns = dns(&[server.address()]);
    server.script(losing(1, "2.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.2", Answer::NotListed, 715..=735).await;
}

#[tokio::test]
async fn another_server_is_asked_when_the_first_is_slow() {
    let clock = Clock::stop();
    let (first, second) = (far().await, far().await);
    let dns = dns(&[first.address(), second.address()]);
    get_to_know(&clock, &dns, 50).await;
    first.script(losing(usize::MAX, "2.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.2", Answer::NotListed, 115..=150).await;
    assert_eq!((first.count("2.0.8.8.zen"), second.count("2.0.8.8.zen")), (1, 1));
    assert!(dns.servers().iter().all(|server| server.silent.is_none()), "one lost packet is no silence");
    // If that one is lost, too, it is the first one's turn again, for it may have been the datagram.
    first.script(losing(1, "3.0.8.8.zen"));
    second.script(losing(1, "3.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.3", Answer::NotListed, 215..=250).await;
    assert_eq!((first.count("3.0.8.8.zen"), second.count("3.0.8.8.zen")), (2, 1));
}

#[tokio::test]
async fn a_server_that_was_silent_of_late_gets_no_hedge() {
    let clock = Clock::stop();
    let (first, second) = (far().await, far().await);
    let dns = dns(&[first.address(), second.address()]);
    get_to_know(&clock, &dns, 50).await;
    // Both are silent; the second one for longer than the first, which answers again.
    first.script(losing(2, "2.0.8.8.zen"));
    second.script(|_| Some(Act::Silence));
    asks(&clock, &dns, "8.8.0.2", Answer::NotListed, 700..=1_450).await;
    asks(&clock, &dns, "8.8.0.3", Answer::NotListed, 15..=30).await;
    let before = second.total();
    first.script(losing(1, "4.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.4", Answer::NotListed, 115..=150).await;
    assert_eq!((first.count("4.0.8.8.zen"), second.total()), (2, before));
}

#[tokio::test]
async fn only_the_first_datagram_of_a_question_is_hedged_and_only_before_the_next_is_due() {
    let clock = Clock::stop();
    let (first, second) = (far().await, far().await);
    let dns = dns(&[first.address(), second.address()]);
    get_to_know(&clock, &dns, 50).await;
    first.on("2.0.8.8.zen", Act::Code(ResponseCode::Refused).after(ms(20)));
    second.on("2.0.8.8.zen", Act::NotFound(Some(60)).after(ms(300)));
    asks(&clock, &dns, "8.8.0.2", Answer::NotListed, 315..=330).await;
    assert_eq!((first.count("2.0.8.8.zen"), second.count("2.0.8.8.zen")), (1, 1));
    // The next one is due when the first may be lost.
    let hasty = Settings { per_try: ms(100), ..settings(&[first.address()]) };
    let dns = Dns::new(hasty, Some(key()), Source::Resolver);
    get_to_know(&clock, &dns, 50).await;
    first.script(losing(1, "3.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.3", Answer::NotListed, 115..=130).await;
    assert_eq!(first.count("3.0.8.8.zen"), 2);
}

#[tokio::test]
async fn what_another_server_cannot_answer_is_left_to_the_first() {
    let clock = Clock::stop();
    let (first, second) = (far().await, NameServer::start().await);
    second.otherwise(Act::Code(ResponseCode::Refused));
    let dns = dns(&[first.address(), second.address()]);
    get_to_know(&clock, &dns, 50).await;
    first.on("2.0.8.8.zen", Act::records(["127.0.0.2"]).after(ms(120)));
    asks(&clock, &dns, "8.8.0.2", listed(0, [2]), 115..=130).await;
    assert_eq!(second.total(), 1);
}

#[tokio::test]
async fn what_the_operator_says_to_another_server_is_left_to_the_first() {
    let clock = Clock::stop();
    for about_us in ["127.255.255.254", "198.51.100.99"] {
        let (first, second) = (far().await, NameServer::start().await);
        second.otherwise(Act::records([about_us]));
        let dns = dns(&[first.address(), second.address()]);
        get_to_know(&clock, &dns, 50).await;
        first.on("2.0.8.8.zen", Act::records(["127.0.0.2"]).after(ms(120)));
        asks(&clock, &dns, "8.8.0.2", listed(0, [2]), 115..=130).await;
        assert_eq!(second.total(), 1);
        assert_eq!(dns.health()[0].to_string(), "zen ok");
        // Where the first one is silent it is the answer, as ever.
        first.on("3.0.8.8.zen", Act::Silence);
        let (answered, time) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.3"))).await;
        assert!(
            matches!(answered.answer, Answer::Failed(Trouble::Service(254) | Trouble::Bogus)),
            "{answered:?}"
        );
        assert!((ms(695)..=ms(715)).contains(&time), "{time:?}");
    }
}

#[tokio::test]
async fn an_error_that_a_hedge_brings_again_does_not_stand_for_the_other_server() {
    let clock = Clock::stop();
    let (first, second) = (far().await, far().await);
    let dns = dns(&[first.address(), second.address()]);
    get_to_know(&clock, &dns, 50).await;
    // A resolver that finds out after a quarter of a second tells all who wait for it.
    let waits = [ms(250), ms(55)];
    let asked = AtomicUsize::new(0);
    first.script(move |_| {
        let wait = waits.get(asked.fetch_add(1, Ordering::Relaxed))?;
        Some(Act::Code(ResponseCode::ServFail).after(*wait))
    });
    second.script(losing(1, "2.0.8.8.zen"));
    second.on("2.0.8.8.zen", Act::records(["127.0.0.2"]).after(ms(50)));
    asks(&clock, &dns, "8.8.0.2", listed(0, [2]), 295..=320).await;
    assert_eq!((first.count("2.0.8.8.zen"), second.count("2.0.8.8.zen")), (2, 2));
}

#[tokio::test]
async fn a_second_server_that_does_not_run_does_not_take_the_hedge() {
    let clock = Clock::stop();
    let server = far().await;
    let gone = NameServer::start().await.address();
    clock.settle().await;
    let dns = dns(&[server.address(), gone]);
    get_to_know(&clock, &dns, 50).await;
    server.script(losing(1, "2.0.8.8.zen"));
    asks(&clock, &dns, "8.8.0.2", Answer::NotListed, 115..=150).await;
}

// case: D08
#[tokio::test]
async fn a_dead_server_is_asked_a_tenth_more_and_not_thrice() {
    let clock = Clock::stop();
    let server = far().await;
    let dns = dns(&[server.address()]);
    get_to_know(&clock, &dns, 50).await;
    server.script(|_| Some(Act::Silence));
    let before = server.total();
    let tickets: Vec<_> = (0..200).map(|n| dns.ask(List::ZEN, ip(&format!("8.8.0.{n}")))).collect();
    // Past all hedges, before the next planned try.
    clock.pass(ms(600)).await;
    assert_eq!(server.total() - before, 200 + 10);
    drop(tickets);
}
