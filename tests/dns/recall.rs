//! Remembered answers that go from one process to the next.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost::dns::{Answer, BadAnswers, Dns, Settings, Source, Subject};
use gatepost::server::{enclose, open};
use gatepost::smtp::Domain;
use gatepost::verdict::{List, Origin};
use hickory_proto::op::ResponseCode;

use super::common::clock::Clock;
use super::common::nameserver::{Act, NameServer};
use super::{KEY, ask, dns, domain, ip, key, listed, settings};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One that can ask nobody.
fn deaf(settings: Settings) -> Arc<Dns> {
    Dns::new(Settings { servers: Vec::new(), ..settings }, Some(key()), Source::Resolver)
}

fn known(dns: &Arc<Dns>, list: List, subject: Subject) -> Option<Answer> {
    let answered = dns.ask(list, subject).ready()?;
    (answered.origin == Origin::Hit).then_some(answered.answer)
}

#[tokio::test]
async fn what_one_process_remembers_the_next_one_knows_for_the_time_that_is_left() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.on(
        "2.0.8.8.zen",
        Act::Records(vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 10)], 300),
    );
    server.on("ok.example.dbl", Act::NotFound(Some(200)));
    server.on("bad.example.dbl", Act::Code(ResponseCode::ServFail));
    let one = dns(&[server.address()]);
    let asked =
        [(List::ZEN, ip("8.8.0.2")), (List::DBL, domain("ok.example")), (List::DBL, domain("bad.example"))];
    for (list, subject) in asked {
        clock.run(ask(&one, list, subject)).await;
    }
    clock.jump(seconds(100)).await;
    let (count, told) = one.tell(20_000, seconds(1_000));
    assert_eq!(count, 2, "trouble is not told");
    assert!(!String::from_utf8_lossy(&told).contains(KEY));
    let other = deaf(settings(&[]));
    assert_eq!(other.recall(&told, seconds(1_050)), Ok(2));
    assert_eq!(known(&other, List::ZEN, ip("8.8.0.2")), Some(listed(0, [2, 10])));
    assert_eq!(known(&other, List::DBL, domain("ok.example")), Some(Answer::NotListed));
    assert_eq!(known(&other, List::DBL, domain("bad.example")), None);
    // 50 s are left of one, 150 of the other.
    clock.jump(seconds(51)).await;
    assert_eq!(known(&other, List::DBL, domain("ok.example")), None);
    assert_eq!(known(&other, List::ZEN, ip("8.8.0.2")), Some(listed(0, [2, 10])));
    clock.jump(seconds(100)).await;
    assert_eq!(known(&other, List::ZEN, ip("8.8.0.2")), None);
    assert_eq!(deaf(settings(&[])).recall(&told, seconds(1_200)), Ok(0), "too late");
    // Settings that are stricter now hold for what was told, too, each for its own kind of answer.
    let usual = settings(&[]);
    for (strict, is_known) in [
        (Settings { ttl_listed: seconds(10), ..usual.clone() }, [false, true]),
        (Settings { ttl_unlisted: seconds(10), ..usual }, [true, false]),
    ] {
        let strict = deaf(strict);
        assert_eq!(strict.recall(&told, seconds(1_050)), Ok(2));
        clock.jump(seconds(11)).await;
        let both =
            [known(&strict, List::ZEN, ip("8.8.0.2")), known(&strict, List::DBL, domain("ok.example"))];
        assert_eq!(both.map(|answer| answer.is_some()), is_known);
    }
}

#[tokio::test]
async fn of_a_large_memory_no_more_are_told_than_wanted_and_nearly_as_many() {
    let line = |n: usize| format!(r#"["dbl","host{n}.example",[],60000]"#);
    let lines: Vec<String> = (0..5_000).map(line).collect();
    let answers = format!(r#"{{"zone_base":"dq.spamhaus.net","at":0,"answers":[{}]}}"#, lines.join(","));
    let large = deaf(settings(&[]));
    assert_eq!(large.recall(answers.as_bytes(), Duration::ZERO), Ok(5_000));
    let (count, told) = large.tell(1_000, Duration::ZERO);
    assert!((900..=1_000).contains(&count), "{count}");
    assert_eq!(deaf(settings(&[])).recall(&told, Duration::ZERO), Ok(count));
}

#[tokio::test]
async fn only_so_many_are_told_and_those_used_last() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.otherwise(Act::NotFound(Some(200)));
    let small = Settings { cache_max: 10, ..settings(&[server.address()]) };
    let one = Dns::new(small, Some(key()), Source::Resolver);
    let subject = |n: usize| domain(&format!("host{n}.example"));
    for n in 0..6 {
        clock.run(ask(&one, List::DBL, subject(n))).await;
    }
    assert!(known(&one, List::DBL, subject(0)).is_some());
    let (count, told) = one.tell(3, Duration::ZERO);
    let other = deaf(settings(&[]));
    assert_eq!((count, other.recall(&told, Duration::ZERO)), (3, Ok(3)));
    for n in 0..6 {
        assert_eq!(known(&other, List::DBL, subject(n)).is_some(), [0, 4, 5].contains(&n), "{n}");
    }
    let none = deaf(Settings { cache_max: 0, ..settings(&[]) });
    assert_eq!((none.recall(&told, Duration::ZERO), none.cached()), (Ok(0), 0));
    let two = deaf(Settings { cache_max: 2, ..settings(&[]) });
    assert_eq!((two.recall(&told, Duration::ZERO), two.cached()), (Ok(3), 2));
    assert!(known(&two, List::DBL, subject(0)).is_some(), "used last");
}

/// If this fails, the form has changed: see `the_form_is_that_of_the_fixture` in `tests/handover`.
#[tokio::test]
async fn the_form_of_answers_is_that_of_the_fixture() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    let records =
        |octets: &[[u8; 4]]| Act::Records(octets.iter().map(|&octets| octets.into()).collect(), 120);
    server.on("2.0.8.8.zen", records(&[[127, 0, 0, 2], [127, 0, 0, 10]]));
    server.on("spam.example.dbl", records(&[[127, 0, 1, 2]]));
    server.on("new.example.zrd", records(&[[127, 0, 2, 3]]));
    server.otherwise(Act::NotFound(Some(90)));
    let small = Settings { cache_max: 10, ..settings(&[server.address()]) };
    let one = Dns::new(small, Some(key()), Source::Resolver);
    let entries = [
        (List::ZEN, ip("8.8.0.2"), listed(0, [2, 10])),
        (List::ZEN, ip("2001:db8::1"), Answer::NotListed),
        (List::DBL, domain("spam.example"), listed(1, [2])),
        (List::ZRD, domain("new.example"), listed(2, [3])),
    ];
    for (list, subject, _) in entries.clone() {
        clock.run(ask(&one, list, subject)).await;
    }
    let (_, told) = one.tell(20_000, seconds(86_400));
    let written = enclose(1, &told);
    // For whoever has to write the fixture anew.
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers");
    fs::write(&place, &written).expect("a file");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/handover/answers-v1/answers");
    let fixture = fs::read(fixture).unwrap_or_default();
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&fixture),
        "now: {}",
        place.display()
    );
    let other = deaf(settings(&[]));
    let told = open(1, &fixture).expect("a known version");
    assert_eq!(other.recall(told, seconds(86_401)), Ok(4));
    for (list, subject, answer) in entries {
        assert_eq!(known(&other, list, subject.clone()), Some(answer), "{list} {subject}");
    }
}

#[tokio::test]
async fn what_no_process_can_have_told_is_not_remembered() {
    let now = seconds(1_000);
    let told =
        |answers: &str| format!(r#"{{"zone_base":"dq.spamhaus.net","at":1000000,"answers":[{answers}]}}"#);
    let none = deaf(settings(&[]));
    for (text, error) in [
        (String::new(), BadAnswers::Form(0)),
        ("{}".to_owned(), BadAnswers::Form(2)),
        (told(r#"["dbl","spam.example"]"#), BadAnswers::Form(77)),
        (told("").replace("1000000", "1000001"), BadAnswers::Later),
        (told("").replace("dq.", ""), BadAnswers::Zones),
    ] {
        assert_eq!(none.recall(text.as_bytes(), now), Err(error), "{text}");
    }
    // Single ones that make no sense are left out; the good one among them stays.
    let lines = [
        r#"["xbl","spam.example",["127.0.1.2"],9000]"#,
        r#"["zen","spam.example",["127.0.0.2"],9000]"#,
        r#"["dbl","8.8.0.2 ",["127.0.0.2"],9000]"#,
        r#"["dbl","one.example",["127.255.255.254"],9000]"#,
        r#"["dbl","two.example",["192.0.2.1"],9000]"#,
        r#"["dbl","three.example",["127.0.0.2"],9000]"#,
        r#"["dbl","four.example",["127.0.1.2"],0]"#,
        r#"["dbl","..",[],9000]"#,
        r#"["dbl","good.example",["127.0.1.2"],18446744073709551615]"#,
    ];
    let some = deaf(settings(&[]));
    assert_eq!(some.recall(told(&lines.join(",")).as_bytes(), now), Ok(1));
    assert_eq!(known(&some, List::DBL, domain("good.example")), Some(listed(1, [2])));
    let moved =
        Settings { zone_base: Domain::from_setting("dq.example.net").expect("a domain"), ..settings(&[]) };
    assert_eq!(deaf(moved).recall(told(lines[8]).as_bytes(), now), Err(BadAnswers::Zones));
}
