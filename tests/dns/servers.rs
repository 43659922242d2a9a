//! Name servers that are slow, dead, wrong or lying.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use gatepost::dns::{Answer, Dns, Settings, Source};
use gatepost::verdict::{List, Origin, Trouble};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::time::Instant;

use super::common::clock::Clock;
use super::common::log::Log;
use super::common::nameserver::{Act, NameServer, Transport};
use super::{KEY, ask, dns, domain, ip, key, listed, ms, settings};

/// The same server by an address that does not count as one of this host: asked as a name server elsewhere is.
fn abroad(server: &NameServer) -> SocketAddr {
    let SocketAddr::V4(address) = server.address() else { panic!("an IPv4 address") };
    let mapped: Ipv6Addr = address.ip().to_ipv6_mapped();
    (mapped, address.port()).into()
}

// case: D01, D02
#[tokio::test]
async fn an_error_of_the_name_server_is_trouble_and_never_shows_the_key() {
    let (log, _guard) = Log::listen();
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    for (n, code, trouble) in [
        (1, ResponseCode::ServFail, Trouble::ServFail),
        (2, ResponseCode::Refused, Trouble::Refused),
        (3, ResponseCode::NotImp, Trouble::Network),
    ] {
        server.on(&format!("{n}.0.8.8.zen"), Act::Code(code));
        let answered = ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}"))).await;
        assert_eq!(answered.answer, Answer::Failed(trouble));
        assert!(server.count(&format!("{n}.0.8.8.zen")) <= 2, "not asked again and again");
    }
    assert_eq!(dns.health()[0].counters.failures, 3);
    assert_eq!(log.with(&["WARN", "event=dns", "zone=zen", "result=servfail"]).len(), 1);
    assert!(log.lines().iter().all(|line| !line.to_lowercase().contains(KEY)));
}

// case: D02
#[tokio::test]
async fn another_server_is_asked_once_about_an_error() {
    let (first, second) = (NameServer::start().await, NameServer::start().await);
    first.otherwise(Act::Code(ResponseCode::Refused));
    second.on("spam.example.dbl", Act::records(["127.0.1.2"]));
    second.on("x.spam.example.dbl", Act::Code(ResponseCode::ServFail));
    let dns = dns(&[first.address(), second.address()]);
    assert_eq!(ask(&dns, List::DBL, domain("spam.example")).await.answer, listed(1, [2]));
    let answered = ask(&dns, List::DBL, domain("x.spam.example")).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::ServFail));
    assert_eq!((first.total(), second.total()), (2, 2));
}

// case: D03
#[tokio::test]
async fn silence_costs_the_lifetime_and_no_more() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::Silence);
    let dns = dns(&[server.address()]);
    let (answered, time) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Timeout));
    assert!((ms(1_795)..=ms(1_810)).contains(&time), "{time:?}");
    let transports: Vec<_> = server.asked().iter().map(|asked| asked.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Udp, Transport::Tcp]);
}

// case: D03
#[tokio::test]
async fn a_waiter_may_give_up_earlier() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.0.2"]).after(ms(300)));
    let dns = dns(&[server.address()]);
    let mut ticket = dns.ask(List::ZEN, ip("8.8.0.2"));
    let (answered, time) = clock.run(ticket.wait(Instant::now() + ms(100))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Timeout));
    assert!(time <= ms(110), "{time:?}");
    drop(ticket);
    clock.pass(ms(250)).await;
    let answered = dns.ask(List::ZEN, ip("8.8.0.2")).ready().expect("remembered");
    assert_eq!((answered.answer, answered.origin), (listed(0, [2]), Origin::Hit));
}

// case: D05
#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let server = NameServer::start().await;
    let many: Vec<_> = (2..=11).map(|code| [127, 0, 0, code].into()).collect();
    server.on("2.0.8.8.zen", Act::Cut(Box::new(Act::Records(many, 60))));
    let answered = ask(&dns(&[server.address()]), List::ZEN, ip("8.8.0.2")).await;
    assert_eq!(answered.answer, listed(0, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    let transports: Vec<_> = server.asked().iter().map(|asked| asked.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
}

#[tokio::test]
async fn what_a_name_server_says_over_tcp_counts_as_over_udp() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    let failed = Answer::Failed;
    // The header, without identifier, question and records.
    let bare = |code: u8| Act::Octets(true, vec![0x81, 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0]);
    let then_truth = |act| Act::Several(vec![act, Act::records(["127.0.0.4"])]);
    for (n, (act, expected)) in [
        (Act::NotFound(Some(150)), Answer::NotListed),
        (Act::Empty(None), Answer::NotListed),
        (Act::Alias(vec![[127, 0, 0, 3].into()], 60), listed(0, [3])),
        (Act::Code(ResponseCode::ServFail), failed(Trouble::ServFail)),
        (Act::Code(ResponseCode::Refused), failed(Trouble::Refused)),
        (Act::Code(ResponseCode::NotImp), failed(Trouble::Network)),
        // A server that could not read the question does not repeat it. Any other one does.
        (bare(5), failed(Trouble::Refused)),
        (then_truth(bare(0)), listed(0, [4])),
        (then_truth(Act::WrongQuestion(Box::new(Act::Code(ResponseCode::Refused)))), listed(0, [4])),
    ]
    .into_iter()
    .enumerate()
    {
        server.on(&format!("{n}.0.8.8.zen"), Act::Cut(Box::new(act)));
        let (answered, time) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
        assert_eq!(answered.answer, expected, "{n}");
        assert!(time < ms(50), "{n}: {time:?}");
    }
    // As long as the SOA says.
    clock.jump(Duration::from_secs(148)).await;
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.0")).await.origin, Origin::Hit);
    clock.jump(Duration::from_secs(2)).await;
    assert_eq!(clock.run(ask(&dns, List::ZEN, ip("8.8.0.0"))).await.0.origin, Origin::Miss);
}

// case: D05
#[tokio::test]
async fn every_connection_is_a_new_one_and_its_end_without_an_answer_costs_no_time() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::Cut(Box::new(Act::records(["127.0.0.2"]))));
    server.on("1.0.8.8.zen", Act::Cut(Box::new(Act::Last(Box::new(Act::Silence)))));
    let dns = dns(&[server.address()]);
    let (answered, time) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Network));
    assert!(time < ms(50), "{time:?}");
    for n in [2, 3] {
        let (answered, time) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
        assert_eq!(answered.answer, listed(0, [2]), "{n}");
        assert!(time < ms(50), "{n}: {time:?}");
    }
    let asked = server.asked();
    let ports: Vec<_> =
        asked.iter().filter(|asked| asked.transport == Transport::Tcp).map(|asked| asked.port).collect();
    assert!(ports.len() == 3 && ports[1] != ports[2], "{ports:?}");
}

// case: D06
#[tokio::test]
async fn where_udp_is_lost_tcp_answers_within_the_lifetime() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let records = Act::records(["127.0.0.2"]);
    server.otherwise(Act::ByTransport(Box::new(Act::Silence), Box::new(records)));
    let (answered, time) = clock.run(ask(&dns(&[server.address()]), List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, listed(0, [2]));
    assert!((ms(1_395)..=ms(1_800)).contains(&time), "{time:?}");
}

// case: D06
#[tokio::test]
async fn one_lost_packet_costs_one_try() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let seen = std::sync::atomic::AtomicBool::new(false);
    server.script(move |_| {
        let first = !seen.swap(true, std::sync::atomic::Ordering::Relaxed);
        first.then_some(Act::Silence)
    });
    let (answered, time) = clock.run(ask(&dns(&[server.address()]), List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
    assert!((ms(695)..=ms(715)).contains(&time), "{time:?}");
}

// case: D07
#[tokio::test]
async fn an_answer_after_the_deadline_serves_the_next_session() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.0.2"]).after(ms(2_500)));
    let dns = dns(&[server.address()]);
    let (answered, time) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Timeout));
    assert!(time <= ms(1_810), "{time:?}");
    clock.pass(ms(1_000)).await;
    let answered = dns.ask(List::ZEN, ip("8.8.0.2")).ready().expect("remembered");
    assert_eq!((answered.answer, answered.origin), (listed(0, [2]), Origin::Hit));
    assert_eq!(dns.health()[0].counters.late, 1);
}

#[tokio::test]
async fn an_answer_to_the_first_try_counts_during_the_second() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.0.2"]).after(ms(900)));
    let (answered, time) = clock.run(ask(&dns(&[server.address()]), List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, listed(0, [2]));
    assert!(time <= ms(910), "{time:?}");
}

// case: D08
#[tokio::test]
async fn a_dead_server_is_asked_last_for_a_while() {
    let clock = Clock::stop();
    let (dead, alive) = (NameServer::start().await, NameServer::start().await);
    dead.otherwise(Act::Silence);
    let dns = dns(&[dead.address(), alive.address()]);
    let (answered, time) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
    assert!((ms(695)..=ms(715)).contains(&time), "{time:?}");
    for n in 2..=5 {
        let (_, time) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
        assert!(time < ms(50), "{time:?}");
    }
    assert_eq!((dead.total(), alive.total()), (1, 5));
    let told = || dns.servers().iter().map(|server| (server.address, server.silent)).collect::<Vec<_>>();
    let silent = told()[0].1.expect("silent of late");
    assert!(silent < ms(50), "{silent:?}");
    assert_eq!(told(), [(dead.address(), Some(silent)), (alive.address(), None)]);
    clock.jump(Duration::from_secs(30).saturating_sub(silent)).await;
    assert_eq!(told(), [(dead.address(), None), (alive.address(), None)]);
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.9"))).await;
    assert_eq!(dead.total(), 2, "and then it gets its chance");
}

// case: D08
#[tokio::test]
async fn a_server_that_does_not_run_costs_no_time() {
    let clock = Clock::stop();
    let alive = NameServer::start().await;
    let gone = NameServer::start().await.address();
    clock.settle().await;
    let (answered, time) = clock.run(ask(&dns(&[gone, alive.address()]), List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
    assert!(time < ms(50), "{time:?}");
    let (answered, time) = clock.run(ask(&dns(&[gone]), List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Network));
    assert!(time < ms(50), "{time:?}");
}

// case: D08
#[tokio::test]
async fn a_server_that_ends_costs_no_time_either() {
    let clock = Clock::stop();
    for address in [NameServer::address, abroad] {
        let server = NameServer::start().await;
        let dns = dns(&[address(&server)]);
        for n in 0..3 {
            let (answered, _) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.1.{n}")))).await;
            assert_eq!(answered.answer, Answer::NotListed);
        }
        drop(server);
        clock.settle().await;
        for n in 0..3 {
            let (answered, time) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
            assert_eq!(answered.answer, Answer::Failed(Trouble::Network));
            assert!(time < ms(50), "{n}: {time:?}");
        }
    }
}

// case: D11
#[tokio::test]
async fn answers_to_other_questions_are_passed_over() {
    let server = NameServer::start().await;
    pass_over(&server, server.address()).await;
}

// case: D11
#[tokio::test]
async fn answers_to_other_questions_are_passed_over_abroad_too() {
    let server = NameServer::start().await;
    pass_over(&server, abroad(&server)).await;
}

async fn pass_over(server: &NameServer, address: SocketAddr) {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let lie = || Box::new(Act::records(["127.0.0.2"]));
    let wrong = [Act::WrongId(lie()), Act::WrongQuestion(lie()), Act::Octets(false, vec![0; 3])];
    server.on("1.0.8.8.zen", Act::Several(wrong.clone().into()));
    let truth = Act::NotFound(Some(60)).after(ms(50));
    server.on("2.0.8.8.zen", Act::Several([&wrong[..], &[truth]].concat()));
    let dns = dns(&[address]);
    let (answered, time) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.1"))).await;
    assert_eq!(answered.answer, Answer::Failed(Trouble::Timeout));
    assert!((ms(1_795)..=ms(1_810)).contains(&time), "{time:?}");
    let (answered, _) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.2"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
    let silent = Box::new(Act::Silence);
    let wrong_over_tcp = Box::new(Act::Several([&wrong[..], &[Act::records(["127.0.0.4"])]].concat()));
    server.on("3.0.8.8.zen", Act::ByTransport(silent, wrong_over_tcp));
    let (answered, time) = clock.run(ask(&dns, List::ZEN, ip("8.8.0.3"))).await;
    assert_eq!(answered.answer, listed(0, [4]));
    assert!((ms(1_395)..=ms(1_800)).contains(&time), "{time:?}");
    assert!(log.lines().iter().all(|line| !line.to_lowercase().contains(KEY)), "{:?}", log.lines());
}

fn distinct(mut values: Vec<u16>) -> usize {
    values.sort_unstable();
    values.dedup();
    values.len()
}

#[tokio::test]
async fn every_question_to_another_host_has_a_port_and_an_identifier_of_its_own() {
    let server = NameServer::start().await;
    let dns = dns(&[abroad(&server)]);
    for n in 0..64 {
        ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}"))).await;
    }
    // Chance may give one twice, but not all the time.
    assert!(distinct(server.asked().iter().map(|asked| asked.port).collect()) > 56);
    assert!(distinct(server.asked().iter().map(|asked| asked.id).collect()) > 56);
}

#[tokio::test]
async fn questions_to_this_host_share_ports_for_a_while_and_have_identifiers_of_their_own() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    let ask_some = async |from: u32, to: u32| {
        for n in from..to {
            let [_, _, high, low] = n.to_be_bytes();
            clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.{high}.{low}")))).await;
        }
        distinct(server.asked().iter().map(|asked| asked.port).collect())
    };
    assert_eq!(ask_some(0, 64).await, 1);
    assert!(distinct(server.asked().iter().map(|asked| asked.id).collect()) > 56);
    clock.jump(Duration::from_secs(30)).await;
    assert_eq!(ask_some(64, 66).await, 2, "not for ever");
    assert_eq!(ask_some(66, 64 + 1_024).await, 2);
    assert_eq!(ask_some(64 + 1_024, 64 + 1_025).await, 3, "and not for any number of questions");
}

#[tokio::test]
async fn no_more_answers_are_under_way_to_a_port_than_it_can_hold() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::NotFound(Some(60)).after(ms(100)));
    let dns = dns(&[server.address()]);
    // As many as the name server's own receive buffer holds.
    let mut tickets: Vec<_> = (0..250).map(|n| dns.ask(List::ZEN, ip(&format!("8.8.0.{n}")))).collect();
    clock.pass(ms(50)).await;
    let mut questions = std::collections::HashMap::<u16, usize>::new();
    server.asked().iter().for_each(|asked| *questions.entry(asked.port).or_default() += 1);
    assert_eq!((questions.len(), questions.values().max()), (2, Some(&128)));
    clock.pass(ms(150)).await;
    let answered = |ticket: &mut gatepost::dns::Ticket| ticket.ready().map(|answered| answered.answer);
    assert!(tickets.iter_mut().all(|ticket| answered(ticket) == Some(Answer::NotListed)));
}

// case: D11
#[tokio::test]
async fn a_datagram_from_elsewhere_is_not_an_answer() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::NotFound(Some(60)).after(ms(100)));
    for (n, address) in [server.address(), abroad(&server)].into_iter().enumerate() {
        let mut ticket = dns(&[address]).ask(List::ZEN, ip("8.8.0.2"));
        clock.settle().await;
        let asked = server.asked().remove(n);
        let mut lie = Message::response(asked.id, OpCode::Query);
        let name = Name::from_ascii(&asked.full).expect("a name");
        lie.add_query(Query::query(name.clone(), RecordType::A));
        lie.add_answer(Record::from_rdata(name, 60, RData::A(A::new(127, 0, 0, 2))));
        let lie = lie.to_vec().expect("a response");
        let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        stranger.send_to(&lie, ("127.0.0.1", asked.port)).await.expect("to send");
        let (answered, time) = clock.run(ticket.wait(Instant::now() + ms(1_800))).await;
        assert_eq!(answered.answer, Answer::NotListed);
        assert!((ms(95)..=ms(110)).contains(&time), "{time:?}");
    }
}

// case: D12
#[tokio::test]
async fn garbage_is_trouble_in_time() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    for (n, act) in [
        Act::ShortRecord,
        Act::Octets(false, Vec::new()),
        Act::Octets(true, Vec::new()),
        Act::Octets(true, vec![0xff; 10]),
        Act::Octets(true, vec![0xff; 2_000]),
        Act::Octets(true, [&[0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0][..], &[0xc0; 400]].concat()),
    ]
    .into_iter()
    .enumerate()
    {
        server.on(&format!("{n}.0.8.8.zen"), act);
        let (answered, time) = clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
        let Answer::Failed(trouble) = answered.answer else { panic!("{n}: {answered:?}") };
        assert!(matches!(trouble, Trouble::Network | Trouble::Timeout), "{n}: {trouble:?}");
        assert!(time <= ms(1_810), "{n}: {time:?}");
    }
}

#[tokio::test]
async fn no_more_questions_are_under_way_than_allowed() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::NotFound(Some(60)).after(ms(100)));
    let settings = Settings { queries: 2, waiting_queries: 3, ..settings(&[server.address()]) };
    let dns = Dns::new(settings, Some(key()), Source::Resolver);
    let busy = |ticket: &mut gatepost::dns::Ticket| {
        ticket.ready().is_some_and(|answered| answered.answer == Answer::Failed(Trouble::Busy))
    };
    // What has been answered has left its place to others.
    for round in 0..2 {
        let mut tickets: Vec<_> =
            (0..8).map(|n| dns.ask(List::ZEN, ip(&format!("8.8.{round}.{n}")))).collect();
        let turned_away = [vec![false; 5], vec![true; 3]].concat();
        assert_eq!(tickets.iter_mut().map(busy).collect::<Vec<_>>(), turned_away);
        clock.settle().await;
        assert_eq!(server.total(), 5 * round + 2);
        clock.pass(ms(350)).await;
        assert_eq!(server.total(), 5 * round + 5);
        assert!(tickets[..5].iter_mut().all(|ticket| ticket.ready().is_some()));
    }
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.1")).await.origin, Origin::Hit);
}
