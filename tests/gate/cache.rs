//! What is remembered between sessions.

use std::time::Duration;

use futures_util::future::join_all;

use super::common::wire::packet;
use super::common::world::CLEAN_NAME;
use super::{Act, CLEAN, Clock, Log, World, listing, ms};

// case: C01
#[tokio::test]
async fn the_same_client_within_a_second_is_asked_about_once() {
    let world = listing("2.0.8.8.zen", "127.0.0.4", &["CACHE_TTL_LISTED=600"]).await;
    for _ in 0..2 {
        assert!(world.connect("8.8.0.2").await.starts_with("554 "));
    }
    assert_eq!(world.asked(), ["2.0.8.8.zen"]);
}

// case: C03
#[tokio::test]
async fn a_clean_name_is_remembered_as_long_as_the_list_says() {
    let clock = Clock::stop();
    let world = World::new(&["CACHE_TTL_UNLISTED=300", "ZRD_ENABLE=0"]).await;
    world.names.otherwise(Act::NotFound(Some(150)));
    let count = || world.names.count("mx.example.dbl");
    for (wait, asked) in [(0, 1), (100, 1), (51, 2)] {
        clock.jump(Duration::from_secs(wait)).await;
        assert_eq!(clock.run(world.helo("mx.example")).await.0, "continue");
        assert_eq!(count(), asked, "{wait}");
    }
}

/// Before anybody thinks that the question was lost on the way.
const SLOWLY: Duration = ms(90);

// case: C06
#[tokio::test]
async fn twenty_sessions_at_once_are_one_question_to_each_list() {
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    world.names.on("spam.example.dbl", Act::records(["127.0.1.2"]).after(SLOWLY));
    world.names.on("spam.example.zrd", Act::NotFound(Some(60)).after(SLOWLY));
    let mut phones = Vec::new();
    for _ in 0..20 {
        let mut phone = world.call().await;
        phone.connect(CLEAN).await;
        phones.push(phone);
    }
    let all = join_all(phones.iter_mut().map(|phone| phone.from("<u@spam.example>")));
    let (answers, time) = clock.run(all).await;
    assert!(answers.iter().all(|said| said.starts_with("550 5.7.1 Sender domain ")), "{answers:?}");
    assert!((ms(85)..=ms(110)).contains(&time), "{time:?}");
    assert_eq!(world.asked(), ["spam.example.dbl", "spam.example.zrd"]);
}

#[tokio::test]
async fn a_session_that_leaves_takes_no_answer_with_it() {
    let clock = Clock::stop();
    let world = World::new(&["ZRD_ENABLE=0"]).await;
    world.names.on("spam.example.dbl", Act::records(["127.0.1.2"]).after(SLOWLY));
    let (mut leaves, mut stays) = (world.call().await, world.call().await);
    leaves.connect(CLEAN).await;
    stays.connect(CLEAN).await;
    let mut asking = Box::pin(leaves.from("<u@spam.example>"));
    assert!(futures_util::FutureExt::now_or_never(&mut asking).is_none());
    clock.pass(ms(50)).await;
    drop(asking);
    drop(leaves);
    assert!(clock.run(stays.from("<u@spam.example>")).await.0.starts_with("550 "));
    assert_eq!(world.asked(), ["spam.example.dbl"]);
}

/// Questions that were sent and whose flight has not ended.
fn under_way(world: &World) -> u64 {
    let counters = world.dns.health().into_iter().map(|zone| zone.counters);
    counters.map(|c| c.queries - c.listed - c.not_listed - c.failures - c.service_errors).sum()
}

// A connection's end cancels no question: it ends at its deadline, and what it brings is for the next session.
#[tokio::test]
async fn questions_of_a_session_that_left_end_in_time_and_warm_the_cache() {
    let clock = Clock::stop();
    for end in [&b""[..], b"\0\0\0\x01Q", b"\0\0\0\x12R<half"] {
        let (log, _guard) = Log::listen();
        let world = World::new(&[]).await;
        world.names.on("spam.example.dbl", Act::records(["127.0.1.2"]).after(SLOWLY));
        world.names.on("spam.example.zrd", Act::Silence);
        let mut phone = world.call().await;
        assert_eq!(clock.run(phone.connect(CLEAN)).await.0, "continue");
        let mail = packet(b'M', b"<u@spam.example>\0");
        phone.wire.send(&[&mail[..], end].concat()).await.expect("to send");
        clock.pass(ms(50)).await;
        assert_eq!((under_way(&world), world.asked().len()), (2, 2), "{:?}", world.asked());
        drop(phone);
        clock.pass(ms(1_800)).await;
        assert_eq!((under_way(&world), world.server.tally().open), (0, 0), "{:?}", world.dns.health());
        let asked = world.names.total();
        clock.pass(Duration::from_secs(10)).await;
        assert_eq!(world.names.total(), asked, "nothing is asked again for nobody");
        let closed = log.with(&["event=close"]);
        assert!(closed.len() == 1 && closed[0].starts_with("DEBUG"), "{closed:#?}");
        assert!(clock.run(world.from("<u@spam.example>")).await.0.starts_with("550 "));
        assert_eq!(world.names.count("spam.example.dbl"), 1, "what came is remembered");
        // Its line must not fall into the next round.
        clock.pass(ms(2_000)).await;
        assert_eq!(world.server.tally().open, 0);
    }
}

// case: C07
#[tokio::test]
async fn a_small_cache_forgets_what_was_not_used_longest() {
    let world = World::new(&["CACHE_MAX=3", "ZEN_ENABLE=0", "ZRD_ENABLE=0"]).await;
    for n in [1, 2, 3, 4, 1] {
        assert_eq!(world.from(format!("<u@x{n}.example>")).await, "continue");
        assert!(world.dns.cached() <= 3);
    }
    assert_eq!(world.names.count("x1.example.dbl"), 2);
    assert_eq!(world.from("<u@x4.example>").await, "continue");
    assert_eq!(world.names.count("x4.example.dbl"), 1);
}

// case: C08
#[tokio::test]
async fn everything_works_without_a_cache() {
    let world = listing("2.0.8.8.zen", "127.0.0.4", &["CACHE_MAX=0"]).await;
    for n in 1..=3 {
        assert!(world.connect("8.8.0.2").await.starts_with("554 "));
        assert_eq!(world.names.count("2.0.8.8.zen"), n);
    }
    assert_eq!(world.dns.cached(), 0);
}

// case: C11
#[tokio::test]
async fn absurd_times_to_live_are_brought_within_bounds() {
    let clock = Clock::stop();
    let world = World::new(&[]).await;
    for (address, name, ttl, kept) in
        [("8.8.0.1", "1.0.8.8.zen", 0, 30), ("8.8.0.2", "2.0.8.8.zen", 0x7fff_ffff, 600)]
    {
        world.names.on(name, Act::Records(vec![[127, 0, 0, 4].into()], ttl));
        for (wait, asked) in [(0, 1), (kept - 1, 1), (2, 2)] {
            clock.jump(Duration::from_secs(wait)).await;
            assert!(clock.run(world.connect(address)).await.0.starts_with("554 "));
            assert_eq!(world.names.count(name), asked, "{ttl} after {wait}");
        }
    }
    assert_eq!(world.names.count(CLEAN_NAME), 0);
}
