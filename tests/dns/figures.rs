//! What it tells about itself: counters, figures, words.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost::dns::{Answer, Counters, Dns, Settings, Source, TestEntry, ZoneHealth, ZoneState};
use gatepost::telemetry::{CacheFigures, Metrics, Process, Snapshot, ZoneFigures};
use gatepost::verdict::{List, Trouble};
use hickory_proto::op::ResponseCode;
use tokio::time::Instant;

use super::common::clock::Clock;
use super::common::log::Log;
use super::common::nameserver::{Act, NameServer};
use super::common::openmetrics::Page;
use super::lists::own;
use super::{ask, dns, domain, ip, key, ms, settings};

#[tokio::test]
async fn what_became_of_questions_is_counted_by_list_and_together() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.on("2.0.8.8.zen", Act::records(["127.0.0.2"]).after(ms(50)));
    server.on("3.0.8.8.zen", Act::Code(ResponseCode::ServFail));
    server.on("4.0.8.8.zen", Act::records(["127.255.255.254"]));
    server.on("9.0.8.8.zen", Act::Silence);
    let metrics = Arc::<Metrics>::default();
    let settings = Settings { queries: 1, waiting_queries: 0, ..settings(&[server.address()]) };
    let dns = Dns::counting(settings.clone(), Some(key()), Source::Resolver, Arc::clone(&metrics));
    // The second one joins the first, the third one finds no place.
    let same = [dns.ask(List::ZEN, ip("8.8.0.2")), dns.ask(List::ZEN, ip("8.8.0.2"))];
    assert_eq!(ask(&dns, List::ZEN, ip("8.8.0.7")).await.answer, Answer::Failed(Trouble::Busy));
    for mut ticket in same {
        clock.run(ticket.wait(Instant::now() + ms(1_800))).await;
    }
    for client in ["8.8.0.1", "8.8.0.2", "8.8.0.3", "8.8.0.9"] {
        clock.run(ask(&dns, List::ZEN, ip(client))).await;
    }
    // One that is never answered is one failure, also when its last hope is gone.
    clock.pass(ms(2_100)).await;
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.4"))).await;
    for subject in [ip("8.8.0.5"), ip("8.8.0.6"), domain("spam.example")] {
        clock.run(ask(&dns, List::ZEN, subject)).await;
    }
    clock.run(ask(&dns, List::DBL, domain("spam.example"))).await;
    let zen = Counters {
        asked: 11,
        hits: 1,
        coalesced: 1,
        queries: 5,
        listed: 1,
        not_listed: 1,
        failures: 2,
        service_errors: 1,
        misuse: 1,
        busy: 1,
        resting: 2,
        late: 0,
    };
    assert_eq!(dns.health()[0].counters, zen);
    let dbl = Counters { asked: 1, queries: 1, not_listed: 1, ..Counters::default() };
    dns.reconfigure(Settings { lists: vec![List::DBL], ..settings });
    assert_eq!(dns.health().iter().map(|zone| zone.counters).collect::<Vec<_>>(), [dbl]);
    assert_eq!(dns.counted(), zen.plus(dbl), "of lists that are not in use any more, too");
    let page = page(&metrics);
    // The operator's word also stands for the questions that were not sent for its sake.
    for (cause, count) in
        [("timeout", 1.0), ("servfail", 1.0), ("service-254", 3.0), ("misuse", 1.0), ("busy", 1.0)]
    {
        page.expect(&format!("gatepost_dns_errors_total{{zone=\"zen\",cause=\"{cause}\"}}"), count);
    }
    for result in ["listed", "not-listed", "servfail", "timeout", "service-error"] {
        let told = log.with(&["DEBUG", "event=dns", "zone=zen", &format!(" result={result} ")[..]]);
        assert_eq!(told.len(), 1, "{result}: {:#?}", log.lines());
    }
}

fn page(metrics: &Arc<Metrics>) -> Page {
    Page::read(&metrics.text(Snapshot {
        open: 0,
        zones: vec![ZoneFigures {
            list: List::ZEN,
            healthy: true,
            open: false,
            queries: 0,
            hits: 0,
            coalesced: 0,
        }],
        files: Vec::new(),
        cache: CacheFigures::default(),
        budget: None,
        suppressed: Vec::new(),
        reload_success: true,
        reloaded: SystemTime::now(),
        process: Process::new().usage(),
    }))
}

#[tokio::test]
async fn the_cache_tells_how_full_it_is_and_forgets_one_list_or_all() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.on("slow.example.dbl", Act::NotFound(Some(60)).after(ms(500)));
    let small = Settings { cache_max: 6, ..settings(&[server.address()]) };
    let dns = Dns::new(small.clone(), Some(key()), Source::Resolver);
    for n in 0..4 {
        clock.run(ask(&dns, List::ZEN, ip(&format!("8.8.0.{n}")))).await;
        clock.run(ask(&dns, List::DBL, domain(&format!("{n}.example")))).await;
    }
    let slow = dns.ask(List::DBL, domain("slow.example"));
    assert_eq!(dns.cache_figures(), CacheFigures { answers: 6, questions: 1, evictions: 2 });
    drop(slow);
    clock.pass(ms(600)).await;
    assert_eq!(dns.cache_figures(), CacheFigures { answers: 6, questions: 0, evictions: 3 });
    assert_eq!(dns.cache_max(), 6);
    dns.reconfigure(Settings { cache_max: 5, ..small });
    assert_eq!((dns.cache_max(), dns.cache_figures().evictions), (5, 4));
    dns.forget(List::DBL);
    assert_eq!(dns.cached(), 2, "those of ZEN");
    let asked = server.total();
    clock.run(ask(&dns, List::ZEN, ip("8.8.0.3"))).await;
    assert_eq!(server.total(), asked, "are still known");
    dns.flush();
    assert_eq!(dns.cached(), 0);
}

#[tokio::test]
async fn questions_to_dqs_are_counted_once_each_probes_included() {
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.on("3.0.8.8.zen", Act::Silence);
    let settings = Settings {
        query_budget: 100,
        lists: vec![List::ZEN],
        probe_interval: Duration::from_mins(15),
        ..settings(&[server.address()])
    };
    let dns = Dns::new(settings.clone(), Some(key()), Source::Resolver);
    for client in ["8.8.0.2", "8.8.0.2", "8.8.0.3"] {
        clock.run(ask(&dns, List::ZEN, ip(client))).await;
    }
    clock.run(ask(&dns, own("budget.example", false), ip("8.8.0.2"))).await;
    let sent = || dns.query_budget().map(|budget| (budget.sent, budget.limit));
    assert_eq!(sent(), Some((2, 100)), "not what was known, further tries, or other lists");
    tokio::spawn(Arc::clone(&dns).watch());
    clock.pass(ms(100)).await;
    assert_eq!(sent(), Some((4, 100)));
    dns.reconfigure(Settings { query_budget: 0, ..settings });
    assert_eq!(sent(), None);
}

#[tokio::test]
async fn lines_that_are_held_back_are_counted_by_event() {
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let server = NameServer::start().await;
    server.script(|asked| {
        Some(match asked.name.split('.').next()? {
            "1" => Act::Code(ResponseCode::NotImp),
            "2" => Act::Silence,
            "3" => Act::Code(ResponseCode::ServFail),
            "4" => Act::records(["127.0.1.255"]),
            _ => Act::records(["127.255.255.255"]),
        })
    });
    let dns = dns(&[server.address()]);
    // Each kind of trouble has a line of its own.
    for (n, result) in [(1, "network"), (2, "timeout"), (3, "servfail"), (4, "misuse")] {
        for name in ["a.example", "b.example", "c.example"] {
            clock.run(ask(&dns, List::DBL, domain(&format!("{n}.{name}")))).await;
        }
        let told = log.with(&["WARN", "event=dns", "zone=dbl", &format!("result={result} ")[..]]);
        assert_eq!(told.len(), 1, "{result}: {:#?}", log.lines());
    }
    clock.run(ask(&dns, List::ZRD, domain("1.example"))).await;
    clock.run(ask(&dns, List::ZRD, domain("1.spam.example"))).await;
    assert_eq!(dns.suppressed(), [("zone_state", 0), ("dns", 9)]);
    // Left alone again by each of the questions that a reload lets out.
    for list in [List::DBL, List::ZRD] {
        for _ in 0..3 {
            clock.run(ask(&dns, list, domain("5.example"))).await;
            dns.set_key(Some(key()));
            clock.jump(Duration::from_secs(6)).await;
        }
    }
    assert_eq!(dns.suppressed(), [("zone_state", 4), ("dns", 9)]);
}

#[tokio::test]
async fn a_key_is_told_by_its_fingerprint() {
    let dns = Dns::new(settings(&[]), None, Source::Resolver);
    assert_eq!(dns.key_fingerprint(), None);
    dns.set_key(Some(key()));
    assert_eq!(dns.key_fingerprint(), Some(key().fingerprint()));
}

/// Those that leave a list alone, and what an administrator reads first in the advice.
const TROUBLE: [(Trouble, &str); 12] = [
    (Trouble::Service(250), "renew or replace the key"),
    (Trouble::Service(251), "talk to Spamhaus"),
    (Trouble::Service(252), "zone base"),
    (Trouble::Service(253), "return code documentation"),
    (Trouble::Service(254), "a recursive resolver of your own"),
    (Trouble::Service(255), "query limit"),
    (Trouble::Timeout, "name servers run"),
    (Trouble::Network, "name servers run"),
    (Trouble::ServFail, "the plan includes this list"),
    (Trouble::Refused, "the plan includes this list"),
    (Trouble::Bogus, "does not rewrite answers"),
    (Trouble::Declined, "the list's terms"),
];

#[test]
fn what_is_wrong_with_a_list_is_told_in_words_that_the_documentation_has() {
    let page = include_str!("../../docs/troubleshooting.md");
    let well = ZoneHealth {
        list: List::ZEN,
        state: ZoneState::Ok,
        since: None,
        test_entry: TestEntry::Listed,
        counters: Counters::default(),
    };
    assert_eq!((well.trouble(), well.to_string()), (None, "zen ok".to_owned()));
    for (trouble, advice) in TROUBLE {
        let state = ZoneState::Open { trouble, until: Instant::now() };
        let ill = ZoneHealth { state, test_entry: TestEntry::Missing, ..well };
        let (what, remedy) = ill.trouble().expect("trouble");
        assert!(page.contains(&format!("`{what}`")), "{what}");
        assert!(remedy.contains(advice), "{what}: {remedy}");
        assert_eq!(ill.to_string(), format!("zen {what}"));
    }
    let doubtful = ZoneHealth { test_entry: TestEntry::Missing, ..well };
    let (what, remedy) = doubtful.trouble().expect("trouble");
    assert!(what.contains("test entry is missing") && remedy.contains("zone base"), "{what}: {remedy}");
    assert_eq!(doubtful.to_string(), "zen test entry missing");
}
