//! What goes over the wire.

use gatepost::dns::{Answer, Dns, Key, Settings, Source};
use gatepost::smtp::Domain;
use gatepost::verdict::{List, Origin, Trouble};
use hickory_proto::rr::RecordType;

use super::common::nameserver::{Act, NameServer, Transport};
use super::{KEY, ask, dns, domain, ip, listed, settings};

// case: Q01, D10
#[tokio::test]
async fn an_ipv4_address_is_asked_reversed_once_and_absolute() {
    let server = NameServer::start().await;
    let answered = ask(&dns(&[server.address()]), List::ZEN, ip("8.8.0.2")).await;
    assert_eq!((answered.answer, answered.origin), (Answer::NotListed, Origin::Miss));
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "no search list, no second family, no second server");
    assert_eq!(asked[0].full, format!("2.0.8.8.{KEY}.zen.dq.spamhaus.net."));
    assert_eq!((asked[0].record_type, asked[0].transport), (RecordType::A, Transport::Udp));
    assert_eq!(asked[0].payload, Some(1_232));
}

// case: Q02
#[tokio::test]
async fn an_ipv6_address_is_asked_as_nibbles_for_an_a_record() {
    let server = NameServer::start().await;
    ask(&dns(&[server.address()]), List::ZEN, ip("2001:470:1:2:3:4:567:89ab")).await;
    let asked = server.asked();
    let nibbles = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.7.4.0.1.0.0.2";
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].full, format!("{nibbles}.{KEY}.zen.dq.spamhaus.net."));
    assert_eq!(asked[0].record_type, RecordType::A);
}

#[tokio::test]
async fn addresses_that_carry_an_ipv4_address_are_asked_as_that() {
    let server = NameServer::start().await;
    server.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let dns = dns(&[server.address()]);
    for text in ["::ffff:8.8.0.2", "64:ff9b::808:2", "8.8.0.2"] {
        assert_eq!(ask(&dns, List::ZEN, ip(text)).await.answer, listed(0, [4]), "{text}");
    }
    assert_eq!(server.total(), 1, "all three are one subject");
}

// case: Q08
#[tokio::test]
async fn a_domain_is_asked_in_lower_case_with_one_final_dot() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    ask(&dns, List::DBL, domain("MAIL.Spam.Example.")).await;
    ask(&dns, List::ZRD, domain("MAIL.Spam.Example.")).await;
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.full).collect();
    assert_eq!(
        asked,
        [
            format!("mail.spam.example.{KEY}.dbl.dq.spamhaus.net."),
            format!("mail.spam.example.{KEY}.zrd.dq.spamhaus.net."),
        ]
    );
}

// case: Q09
#[tokio::test]
async fn a_long_name_loses_labels_until_it_fits_beside_the_key() {
    let server = NameServer::start().await;
    let base = "dq.spamhaus.net";
    for length in [1, 26, 27, 63] {
        let key = "k".repeat(length);
        let dns = Dns::new(settings(&[server.address()]), Key::new(&key).ok(), Source::Resolver);
        let name = format!("{}spam.example", "abc.".repeat(60));
        let answered = ask(&dns, List::DBL, domain(&name)).await;
        assert_eq!(answered.answer, Answer::NotListed, "{length}");
        let full = server.asked().pop().expect("a question").full;
        let subject = full.strip_suffix(&format!(".{key}.dbl.{base}.")).expect("our zone");
        assert!(subject.ends_with(".abc.spam.example") && name.ends_with(subject));
        // 253 octets and the final dot; one more label of four would have been too much.
        assert!((251..=254).contains(&full.len()), "{length}: {}", full.len());
        // The trimmed name is what is remembered.
        assert_eq!(ask(&dns, List::DBL, domain(subject)).await.origin, Origin::Hit);
    }
}

// case: Q11
#[tokio::test]
async fn what_is_asked_holds_nothing_but_names() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    for name in ["my_host.spam.example", "b\u{fc}cher.example", "-a-.spam.example", "1.2.3.example"] {
        ask(&dns, List::DBL, domain(name)).await;
    }
    let names: Vec<String> = server.asked().into_iter().map(|asked| asked.name).collect();
    assert_eq!(
        names,
        [
            "my_host.spam.example.dbl",
            "xn--bcher-kva.example.dbl",
            "-a-.spam.example.dbl",
            "1.2.3.example.dbl"
        ]
    );
    assert!(names.concat().bytes().all(|octet| octet.is_ascii_graphic()));
}

#[tokio::test]
async fn another_zone_base_is_asked_there() {
    let server = NameServer::start().await;
    let zone_base = Domain::from_setting("lists.example").expect("a domain");
    let settings = Settings { zone_base, ..settings(&[server.address()]) };
    ask(&Dns::new(settings, Some(super::key()), Source::Resolver), List::ZRD, domain("spam.example")).await;
    assert_eq!(server.asked()[0].full, format!("spam.example.{KEY}.zrd.lists.example."));
}

#[tokio::test]
async fn a_subject_of_the_wrong_kind_is_never_sent() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    for (list, subject) in
        [(List::DBL, ip("8.8.0.2")), (List::ZRD, ip("8.8.0.2")), (List::ZEN, domain("spam.example"))]
    {
        let answered = ask(&dns, list, subject).await;
        assert_eq!(answered.answer, Answer::Failed(Trouble::Misuse));
    }
    assert_eq!(server.total(), 0);
}

#[tokio::test]
async fn without_a_key_nothing_is_sent() {
    let server = NameServer::start().await;
    let dns = Dns::new(settings(&[server.address()]), None, Source::Resolver);
    let long = Domain::from_setting(&format!("{}spam.example", "abc.".repeat(60))).expect("a domain");
    assert_eq!(dns.moment().fit(List::DBL, &long), long, "nor is a name cut to make room for it");
    let mut ticket = dns.ask(List::ZEN, ip("8.8.0.2"));
    assert_eq!(ticket.ready().map(|answered| answered.answer), Some(Answer::Failed(Trouble::NoKey)));
    dns.set_key(Some(super::key()));
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.answer, Answer::NotListed);
    assert_eq!(server.total(), 1);
}

// case: K08
#[tokio::test]
async fn a_new_key_serves_at_once_and_answers_stay() {
    let server = NameServer::start().await;
    let dns = dns(&[server.address()]);
    ask(&dns, List::ZEN, ip("8.8.0.2")).await;
    dns.set_key(Key::new("another").ok());
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.2")).await.origin, Origin::Hit);
    ask(&dns, List::ZEN, ip("8.8.0.3")).await;
    let names: Vec<String> = server.asked().into_iter().map(|asked| asked.full).collect();
    assert_eq!(names[1..], ["3.0.8.8.another.zen.dq.spamhaus.net."]);
}
