//! Lists of other operators, with zones of their own.

use std::sync::Arc;
use std::time::Duration;

use gatepost::dns::{Answer, Dns, Key, Settings, Source};
use gatepost::verdict::{Home, Kind, List, Pattern, Sketch, Trouble};

use super::common::clock::Clock;
use super::common::log::Log;
use super::common::nameserver::{Act, NameServer};
use super::{ask, dns, domain, ip, key, listed, ms, settings};

fn sketch(apex: &str, keyed: bool) -> Sketch {
    Sketch {
        name: apex.to_owned(),
        title: apex.to_owned(),
        kind: Kind::Address,
        home: Home::Zone { apex: apex.to_owned(), keyed },
        answers: Vec::new(),
        refusals: Vec::new(),
        test: None,
    }
}

/// A list of addresses in this zone, without entries to try it by.
pub(super) fn own(apex: &str, keyed: bool) -> List {
    List::define(sketch(apex, keyed)).expect("room")
}

fn own_key(text: &str) -> Arc<Key> {
    Arc::new(Key::new(text).expect("a key"))
}

#[tokio::test]
async fn a_list_with_a_zone_of_its_own_is_asked_there_and_needs_no_key_of_dqs() {
    let server = NameServer::start().await;
    server.on("2.0.8.8.bl.example.", Act::records(["127.0.0.2"]));
    let dns = Dns::new(settings(&[server.address()]), None, Source::Resolver);
    let list = own("bl.example", false);
    assert_eq!(ask(&dns, list, ip("8.8.0.2")).await.answer, listed(0, [2]));
    assert_eq!(server.asked()[0].full, "2.0.8.8.bl.example.");
}

#[tokio::test]
async fn a_list_with_a_key_of_its_own_is_asked_with_that_and_a_new_one_serves_at_once() {
    let server = NameServer::start().await;
    server.script(|asked| {
        let off = asked.full.ends_with(".0ld.keyed.example.") && asked.name.starts_with("9.");
        off.then(|| Act::records(["127.255.255.250"]))
    });
    let (list, other) = (own("keyed.example", true), own("another.example", true));
    let settings = Settings { keys: vec![(other, own_key("0ther"))], ..settings(&[server.address()]) };
    let dns = Dns::new(settings.clone(), Some(key()), Source::Resolver);
    assert_eq!(ask(&dns, list, ip("8.8.0.2")).await.answer, Answer::Failed(Trouble::NoKey));
    for (key, client) in [("0ld", "8.8.0.2"), ("0ld", "8.8.0.9"), ("n3w", "8.8.0.3"), ("n3w", "8.8.0.9")] {
        let keys = vec![(other, own_key("0ther")), (list, own_key(key))];
        dns.reconfigure(Settings { keys, ..settings.clone() });
        ask(&dns, list, ip(client)).await;
    }
    let names: Vec<String> = server.asked().into_iter().map(|asked| asked.full).collect();
    let expected = [
        "2.0.8.8.0ld.keyed.example.",
        "9.0.8.8.0ld.keyed.example.",
        "3.0.8.8.n3w.keyed.example.",
        "9.0.8.8.n3w.keyed.example.",
    ];
    assert_eq!(names, expected, "with the new key the list is trusted again");
}

#[tokio::test]
async fn a_long_name_loses_labels_until_it_fits_beside_the_zone() {
    let server = NameServer::start().await;
    let list = List::define(Sketch { kind: Kind::Domain, ..sketch("names.example", false) }).expect("room");
    let name = domain(&format!("{}spam.example", "abc.".repeat(60)));
    let dns = Dns::new(settings(&[server.address()]), None, Source::Resolver);
    assert_eq!(ask(&dns, list, name).await.answer, Answer::NotListed);
    let full = &server.asked()[0].full;
    assert!((251..=254).contains(&full.len()) && full.ends_with(".spam.example.names.example."), "{full}");
}

#[tokio::test]
async fn what_a_list_refuses_with_leaves_it_alone_and_is_no_unknown_code() {
    let (log, _guard) = Log::listen();
    let server = NameServer::start().await;
    server.otherwise(Act::records(["127.0.5.1", "127.0.0.2"]));
    let refusals = vec![Pattern::Octets([(127, 127), (0, 0), (5, 5), (1, 1)])];
    let list = List::define(Sketch { refusals, ..sketch("limited.example", false) }).expect("room");
    let dns = dns(&[server.address()]);
    let declined = Answer::Failed(Trouble::Declined);
    assert_eq!(ask(&dns, list, ip("8.8.0.2")).await.answer, declined);
    assert_eq!(ask(&dns, list, ip("8.8.0.3")).await.answer, declined);
    assert_eq!(server.total(), 1);
    assert_eq!(log.with(&["WARN", "event=zone_state", "state=open", "for_s=300", "terms"]).len(), 1);
    assert_eq!(log.with(&["result=unknown-code"]), [""; 0]);
}

#[tokio::test]
async fn a_list_without_test_entries_is_tried_by_the_questions_of_sessions() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let list = own("untested.example", false);
    let settings = Settings {
        lists: vec![list],
        probe_interval: Duration::from_mins(15),
        ..settings(&[server.address()])
    };
    let dns = Dns::new(settings, None, Source::Resolver);
    tokio::spawn(Arc::clone(&dns).watch());
    server.otherwise(Act::records(["127.255.255.255"]));
    clock.run(ask(&dns, list, ip("8.8.0.2"))).await;
    server.otherwise(Act::NotFound(Some(60)));
    for _ in 0..306 {
        clock.jump(Duration::from_secs(1)).await;
    }
    assert_eq!(server.total(), 1, "nobody else asks");
    let (answered, time) = clock.run(ask(&dns, list, ip("8.8.0.3"))).await;
    assert_eq!(answered.answer, Answer::NotListed);
    assert!(time < ms(50), "{time:?}");
}
