//! What answers mean.

use std::net::Ipv4Addr;
use std::sync::Arc;

use gatepost::dns::{Answer, Answers, Dns, Source, classify, read};
use gatepost::verdict::{List, Origin, Trouble};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::common::log::Log;
use super::common::nameserver::{Act, NameServer};
use super::{ask, dns, domain, ip, listed, settings};

fn records(text: &str) -> Vec<Ipv4Addr> {
    text.split_whitespace().map(|record| record.parse().expect("an address")).collect()
}

// case: Z01, Z02, Z03, Z05, Z06, Z07, Z08, Z10, Z11, Z12, Z14
#[test]
fn records_say_what_the_list_means_by_them() {
    let trouble = Answer::Failed;
    for (list, answer, expected) in [
        (List::ZEN, "127.0.0.2", listed(0, [2])),
        (List::ZEN, "127.0.0.30", listed(0, [30])),
        (List::ZEN, "127.0.0.31", Answer::NotListed),
        (List::ZEN, "127.0.0.0", Answer::NotListed),
        (List::ZEN, "127.0.0.10 127.0.0.4 127.0.0.3 127.0.0.4", listed(0, [3, 4, 10])),
        (List::ZEN, "127.0.1.2", Answer::NotListed),
        (List::ZEN, "127.0.1.255", Answer::NotListed),
        (List::ZEN, "127.0.0.2 127.0.1.2", listed(0, [2])),
        (List::ZEN, "127.1.0.2", Answer::NotListed),
        (List::ZEN, "", Answer::NotListed),
        (List::DBL, "127.0.1.2 127.0.1.99", listed(1, [2, 99])),
        (List::DBL, "127.0.1.102", listed(1, [102])),
        (List::DBL, "127.0.1.254", listed(1, [254])),
        (List::DBL, "127.0.1.1", Answer::NotListed),
        (List::DBL, "127.0.1.255", trouble(Trouble::Misuse)),
        (List::DBL, "127.0.1.2 127.0.1.255", trouble(Trouble::Misuse)),
        (List::DBL, "127.0.2.255", Answer::NotListed),
        (List::DBL, "127.0.0.2", Answer::NotListed),
        (List::ZRD, "127.0.2.2", listed(2, [2])),
        (List::ZRD, "127.0.2.24", listed(2, [24])),
        (List::ZRD, "127.0.2.1", Answer::NotListed),
        (List::ZRD, "127.0.2.25", Answer::NotListed),
        (List::ZRD, "127.0.2.255", trouble(Trouble::Misuse)),
        (List::ZRD, "127.0.1.255", trouble(Trouble::Misuse)),
        (List::AUTHBL, "127.0.0.20", listed(0, [20])),
        (List::AUTHBL, "127.0.0.2 127.0.0.21", Answer::NotListed),
        (List::ZEN, "127.255.255.250", trouble(Trouble::Service(250))),
        (List::ZEN, "127.255.255.253", trouble(Trouble::Service(253))),
        (List::ZRD, "127.255.255.0", trouble(Trouble::Service(0))),
        (List::ZEN, "127.0.0.2 127.255.255.254", trouble(Trouble::Service(254))),
        (List::DBL, "127.0.1.255 127.255.255.255", trouble(Trouble::Service(255))),
        (List::DBL, "127.255.255.0 127.255.255.255 127.255.255.252", trouble(Trouble::Service(252))),
        (List::ZEN, "127.255.254.2", Answer::NotListed),
        (List::ZEN, "192.0.2.1", trouble(Trouble::Bogus)),
        (List::ZEN, "10.0.0.1", trouble(Trouble::Bogus)),
        (List::DBL, "127.0.0.1", trouble(Trouble::Bogus)),
        (List::ZEN, "127.0.0.2 127.0.0.1", trouble(Trouble::Bogus)),
        (List::ZEN, "127.0.0.2 0.0.0.0", trouble(Trouble::Bogus)),
        (List::ZEN, "127.255.255.250 128.0.0.2", trouble(Trouble::Bogus)),
    ] {
        assert_eq!(classify(list, &records(answer)), expected, "{list} {answer}");
    }
}

proptest! {
    #[test]
    fn the_order_of_records_never_matters(
        list in prop::sample::select(List::DQS.to_vec()),
        mut records in prop::collection::vec(record(), 0..6),
    ) {
        let answer = classify(list, &records);
        records.reverse();
        prop_assert_eq!(classify(list, &records), answer);
        let doubled = records.repeat(2);
        prop_assert_eq!(classify(list, &doubled), answer);
    }

    #[test]
    fn a_listing_is_made_of_the_lists_own_codes_alone(
        list in prop::sample::select(List::DQS.to_vec()),
        records in prop::collection::vec(record(), 0..6),
    ) {
        let ours = |record: &Ipv4Addr| {
            let [a, b, group, code] = record.octets();
            [a, b, group] == [127, 0, list.no_codes().group()] && code > 1
        };
        let foreign = |record: &Ipv4Addr| !record.is_loopback() || *record == Ipv4Addr::LOCALHOST;
        match classify(list, &records) {
            Answer::Listed(codes) => {
                prop_assert!(!codes.is_empty() && codes.group() == list.no_codes().group());
                prop_assert!(codes.iter().all(|code| records.iter().any(|r| ours(r) && r.octets()[3] == code)));
                prop_assert!(!records.iter().any(|r| foreign(r) || r.octets()[..3] == [127, 255, 255]));
            }
            Answer::NotListed => prop_assert!(!records.iter().any(foreign)),
            Answer::Failed(trouble) => {
                prop_assert_eq!(trouble == Trouble::Bogus, records.iter().any(foreign));
            }
        }
    }

    #[test]
    fn no_packet_makes_the_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(List::ZEN, &octets);
    }

    #[test]
    fn no_damage_to_a_good_packet_makes_the_reader_panic(
        cut in 0_usize..80,
        at in 0_usize..80,
        octet in any::<u8>(),
    ) {
        let mut packet = packet();
        let at = at % packet.len();
        packet[at] = octet;
        packet.truncate(packet.len().saturating_sub(cut));
        let _ = read(List::ZEN, &packet);
    }
}

/// Addresses near everything that means something.
fn record() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        8 => (0_u8..4, any::<u8>()).prop_map(|(group, code)| Ipv4Addr::new(127, 0, group, code)),
        2 => any::<u8>().prop_map(|code| Ipv4Addr::new(127, 255, 255, code)),
        1 => any::<u32>().prop_map(Ipv4Addr::from),
    ]
}

/// `x.example` has the addresses 127.0.0.2 and 127.0.0.3.
fn packet() -> Vec<u8> {
    let mut packet = vec![0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
    packet.extend_from_slice(b"\x01x\x07example\0\0\x01\0\x01");
    for last in [2, 3] {
        packet.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, last]);
    }
    packet
}

#[test]
fn a_whole_packet_is_read() {
    assert_eq!(read(List::ZEN, &packet()), listed(0, [2, 3]));
    assert_eq!(read(List::ZEN, b""), Answer::Failed(Trouble::Network));
}

#[test]
fn records_of_other_names_and_classes_say_nothing_about_the_subject() {
    let record = |name: &[u8], rest: &[u8]| [name, rest].concat();
    let listing = &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 2];
    let alias = &[0, 5, 0, 1, 0, 0, 0, 60, 0, 3, 1, b'y', 0];
    let with = |records: &[Vec<u8>]| {
        let mut packet = packet()[..27].to_vec();
        packet[7] = u8::try_from(records.len()).expect("a few");
        packet.extend(records.concat());
        read(List::ZEN, &packet)
    };
    let (asked, y, other) = (&[0xc0, 12][..], &b"\x01y\0"[..], &b"\x01z\0"[..]);
    assert_eq!(with(&[record(asked, listing)]), listed(0, [2]));
    assert_eq!(with(&[record(b"\x01X\x07EXAMPLE\0", listing)]), listed(0, [2]));
    assert_eq!(with(&[record(other, listing)]), Answer::NotListed);
    assert_eq!(with(&[record(asked, alias), record(y, listing)]), listed(0, [2]));
    assert_eq!(with(&[record(y, listing), record(asked, alias)]), listed(0, [2]), "in any order");
    assert_eq!(with(&[record(asked, alias), record(other, listing)]), Answer::NotListed);
    assert_eq!(with(&[record(other, alias), record(asked, listing)]), listed(0, [2]), "not its alias");
    let chaos = [&[0, 1, 0, 3][..], &listing[4..]].concat();
    assert_eq!(with(&[record(asked, &chaos)]), Answer::NotListed);
}

#[test]
fn a_code_that_tells_nothing_about_the_subject_is_trouble_whatever_comes_with_it() {
    let with_code = |code: u8| {
        let mut packet = packet();
        packet[3] |= code;
        let mut bare = packet[..27].to_vec();
        bare[7] = 0;
        [read(List::ZEN, &packet), read(List::ZEN, &bare)]
    };
    let failed = |trouble| [Answer::Failed(trouble); 2];
    assert_eq!(with_code(0), [listed(0, [2, 3]), Answer::NotListed]);
    assert_eq!(with_code(3), [listed(0, [2, 3]), Answer::NotListed], "NXDOMAIN");
    assert_eq!(with_code(1), failed(Trouble::Network), "FORMERR");
    assert_eq!(with_code(2), failed(Trouble::ServFail));
    assert_eq!(with_code(5), failed(Trouble::Refused));
    assert_eq!(with_code(12), failed(Trouble::Network), "not assigned");
    let mut cut = packet();
    cut[2] |= 2;
    assert_eq!(read(List::ZEN, &cut), Answer::Failed(Trouble::Network), "TC");
}

// case: Z15, Z16
#[tokio::test]
async fn aliases_are_followed_and_alone_say_nothing() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    let code3 = records("127.0.0.3");
    for (n, (act, expected)) in [
        (Act::Alias(code3, 60), listed(0, [3])),
        (Act::DeadAlias(ResponseCode::NoError), Answer::NotListed),
        (Act::DeadAlias(ResponseCode::NXDomain), Answer::NotListed),
        (Act::Empty(Some(60)), Answer::NotListed),
        (Act::Empty(None), Answer::NotListed),
        (Act::NotFound(None), Answer::NotListed),
        (Act::Aaaa, Answer::NotListed),
    ]
    .into_iter()
    .enumerate()
    {
        server.on(&format!("{n}.0.8.8.zen"), act);
        let answered = ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}"))).await;
        assert_eq!(answered.answer, expected, "{n}");
    }
    assert_eq!(server.total(), 9, "the targets of the two dead aliases are asked for once");
    assert_eq!(server.count("target.example."), 2);
}

// case: Z15
#[tokio::test]
async fn what_an_alias_leads_to_is_asked_for_and_a_ring_is_left() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    server.on("1.0.8.8.zen", Act::DeadAlias(ResponseCode::NoError));
    server.on("target.example.", Act::records(["127.0.0.2"]));
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.1")).await.answer, listed(0, [2]));
    server.on("target.example.", Act::DeadAlias(ResponseCode::NoError));
    server.on("2.0.8.8.zen", Act::DeadAlias(ResponseCode::NoError));
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, Answer::NotListed);
    assert_eq!((server.count("2.0.8.8.zen"), server.total()), (1, 4), "an alias of itself leads nowhere");
}

#[tokio::test]
async fn a_chain_of_aliases_without_an_end_is_trouble_and_not_a_clean_answer() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    let steps = [
        "a1.example.",
        "a2.example.",
        "a3.example.",
        "a4.example.",
        "a5.example.",
        "a6.example.",
        "a7.example.",
        "a8.example.",
        "a9.example.",
    ];
    for by_tcp in [false, true] {
        let act = |act| if by_tcp { Act::Cut(Box::new(act)) } else { act };
        let (near, far) =
            if by_tcp { ("1.0.8.8.zen", "2.0.8.8.zen") } else { ("3.0.8.8.zen", "4.0.8.8.zen") };
        for step in steps.windows(2) {
            server.on(step[0], act(Act::AliasOf(step[1])));
        }
        server.on("a9.example.", act(Act::records(["127.0.0.2"])));
        server.on(near, act(Act::AliasOf("a3.example.")));
        server.on("b.example.", act(Act::AliasOf("c.example.")));
        server.on("c.example.", act(Act::AliasOf("b.example.")));
        server.on(far, act(Act::AliasOf("b.example.")));
        let asked = async |name: &str| {
            let client = ip(&format!("8.8.0.{}", name.split('.').next().expect("a number")));
            ask(&dns, List::ZEN, client).await.answer
        };
        assert_eq!(asked(near).await, listed(0, [2]), "by TCP: {by_tcp}");
        assert_eq!(asked(far).await, Answer::Failed(Trouble::Network), "by TCP: {by_tcp}");
    }
}

#[test]
fn a_response_with_more_aliases_than_anybody_follows_is_trouble() {
    let name = |n: usize| Name::from_ascii(format!("a{n}.example.")).expect("a name");
    let answer = |aliases: usize, to: &dyn Fn(usize) -> usize| {
        let mut message = Message::response(1, OpCode::Query);
        message.add_query(Query::query(name(0), RecordType::A));
        let alias = |n| Record::from_rdata(name(n), 60, RData::CNAME(CNAME(name(to(n)))));
        // The worst order for whoever looks for each.
        message.add_answers((0..aliases).rev().map(alias));
        message.add_answer(Record::from_rdata(name(aliases), 60, RData::A(A::new(127, 0, 0, 2))));
        read(List::ZEN, &message.to_vec().expect("octets"))
    };
    assert_eq!(answer(16, &|n| n + 1), listed(0, [2]));
    assert_eq!(answer(17, &|n| n + 1), Answer::Failed(Trouble::Network));
    assert_eq!(answer(2_000, &|n| (n + 1) % 2_000), Answer::Failed(Trouble::Network));
}

#[tokio::test]
async fn records_of_other_names_say_nothing_over_tcp_either() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    let strange = Act::Strange([[127, 0, 0, 2].into(), [127, 0, 0, 3].into()]);
    for (n, act) in [strange.clone(), Act::Cut(Box::new(strange))].into_iter().enumerate() {
        server.on(&format!("{n}.0.8.8.zen"), act);
        let answered = ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}"))).await;
        assert_eq!(answered.answer, listed(0, [3]), "{n}");
    }
}

// case: Z07
#[tokio::test]
async fn a_question_of_the_wrong_kind_is_counted_and_told_once() {
    let (log, _guard) = Log::listen();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.1.255"]));
    let dns = dns(&[server.address()]);
    for n in 0..20 {
        let answered = ask(&dns, List::DBL, domain(&format!("{n}.spam.example"))).await;
        assert_eq!(answered.answer, Answer::Failed(Trouble::Misuse));
    }
    assert_eq!(dns.health()[1].counters.misuse, 20);
    assert_eq!(dns.health()[1].to_string(), "dbl ok", "no reason to leave the list alone");
    assert_eq!(log.with(&["WARN", "zone=dbl", "result=misuse"]).len(), 1);
}

// case: Z10, Z11
#[tokio::test]
async fn an_unknown_code_is_told_once_a_day() {
    let (log, _guard) = Log::listen();
    let clock = super::common::clock::Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.0.2", "127.0.1.1"]));
    let dns = dns(&[server.address()]);
    for n in 0..5 {
        let (answered, _) = clock.run(ask(&dns, List::DBL, domain(&format!("{n}.spam.example")))).await;
        assert_eq!(answered.answer, Answer::NotListed);
    }
    let told = |code: &str| log.with(&["zone=dbl", "result=unknown-code", code]).len();
    assert_eq!((told("code=127.0.0.2"), told("code=127.0.1.1")), (1, 1));
    clock.jump(std::time::Duration::from_hours(24)).await;
    clock.run(ask(&dns, List::DBL, domain("next.spam.example"))).await;
    assert_eq!((told("code=127.0.0.2"), told("code=127.0.1.1")), (2, 2));
}

#[tokio::test]
async fn what_the_list_or_its_operator_explains_is_no_unknown_code() {
    let (log, _guard) = Log::listen();
    let server = NameServer::start().await;
    for record in ["127.0.1.2", "127.0.1.255", "127.255.255.254", "127.0.0.1", "198.51.100.99"] {
        server.otherwise(Act::records([record]));
        // One for each: most of them leave the list alone.
        ask(&dns(&[server.address()]), List::DBL, domain("spam.example")).await;
    }
    assert_eq!(server.total(), 5);
    assert_eq!(log.with(&["result=unknown-code"]), [""; 0]);
}

struct Table;

impl Answers for Table {
    fn answer(&self, name: &str) -> Vec<Ipv4Addr> {
        match name {
            "2.0.0.127.zen" => records("127.0.0.2 127.0.0.4"),
            "spam.example.dbl" => records("127.0.1.2"),
            _ => Vec::new(),
        }
    }
}

#[tokio::test]
async fn a_table_answers_without_key_and_name_server() {
    let dns = Dns::new(settings(&[]), None, Source::Table(Arc::new(Table)));
    let mut ticket = dns.ask(List::ZEN, ip("127.0.0.2"));
    let answered = ticket.ready().expect("an answer at once");
    assert_eq!((answered.answer, answered.origin), (listed(0, [2, 4]), Origin::Miss));
    assert_eq!(ask(&dns, List::ZEN, ip("127.0.0.2")).await.origin, Origin::Hit);
    assert_eq!(ask(&dns, List::DBL, domain("spam.example")).await.answer, listed(1, [2]));
    assert_eq!(ask(&dns, List::ZRD, domain("spam.example")).await.answer, Answer::NotListed);
}
