//! What is remembered, and for how long.

use tokio::time::Instant;

use super::*;
use crate::smtp::Domain;

fn topic(cache: &Cache, n: usize) -> Topic {
    let domain = Domain::from_setting(&format!("host{n}.example")).expect("a domain");
    cache.topic(List::DBL, Subject::Domain(domain))
}

fn settings() -> Settings {
    Settings::default()
}

fn put(cache: &Cache, n: usize) {
    cache.store(&topic(cache, n), Answer::NotListed, Some(60), 0, &settings(), cache.now());
}

fn fail(cache: &Cache, generation: u64) {
    let answer = Answer::Failed(Trouble::ServFail);
    cache.store(&topic(cache, 1), answer, None, generation, &settings(), cache.now());
}

fn knows(cache: &Cache, n: usize) -> Option<Answer> {
    match cache.look(&topic(cache, n), 0, cache.now(), || Err(Trouble::Resting)) {
        Found::Known(answer) => Some(answer),
        _ => None,
    }
}

// case: C07
#[test]
fn the_least_recently_used_answer_goes_first() {
    let cache = Cache::new(3);
    for n in 1..=3 {
        put(&cache, n);
    }
    assert!(knows(&cache, 1).is_some());
    put(&cache, 4);
    assert_eq!(cache.len(), 3);
    assert_eq!((knows(&cache, 1).is_some(), knows(&cache, 2).is_some()), (true, false));
}

#[test]
fn the_total_never_passes_the_limit_whatever_it_is() {
    for limit in [0, 1, 3, 63, 64, 100, 129, 1_000, 2_001] {
        let cache = Cache::new(limit);
        for n in 0..3 * limit + 10 {
            put(&cache, n);
            assert!(cache.len() <= limit);
        }
        assert_eq!(cache.len(), limit, "of three times as many");
    }
}

// case: C08
#[test]
fn a_cache_of_size_zero_remembers_nothing() {
    let cache = Cache::new(0);
    put(&cache, 1);
    assert_eq!((cache.len(), knows(&cache, 1)), (0, None));
}

#[test]
fn a_new_size_keeps_what_fits_and_the_flights() {
    let cache = Cache::new(2_000);
    for n in 0..1_500 {
        put(&cache, n);
    }
    let Found::Asked(flight) = cache.look(&topic(&cache, 9_999), 0, cache.now(), || Ok(())) else {
        panic!("asked")
    };
    cache.resize(10);
    assert_eq!(cache.len(), 10);
    let Found::Joined(same) = cache.look(&topic(&cache, 9_999), 0, cache.now(), || Ok(())) else {
        panic!("joined")
    };
    assert!(Arc::ptr_eq(&flight, &same));
    cache.resize(5_000);
    assert_eq!(cache.len(), 10);
    cache.land(&topic(&cache, 9_999), &flight, Answer::NotListed);
    assert!(matches!(cache.look(&topic(&cache, 9_999), 0, cache.now(), || Ok(())), Found::Asked(_)));
}

// case: C11
#[test]
fn times_to_live_are_kept_between_floor_and_setting() {
    let usual = settings();
    let short = Settings { ttl_listed: Duration::from_secs(10), ..settings() };
    let fixed = Settings { honor_ttl: false, ..settings() };
    for (ttl, settings, seconds) in [
        (Some(0), &usual, 30),
        (Some(45), &usual, 45),
        (Some(0x7fff_ffff), &usual, 600),
        (Some(u32::MAX), &usual, 600),
        (None, &usual, 30),
        (Some(0), &short, 10),
        (Some(60), &short, 10),
        (Some(60), &fixed, 600),
    ] {
        assert_eq!(lifetime(ttl, settings.ttl_listed, settings), Duration::from_secs(seconds), "{ttl:?}");
    }
    let endless = Settings { ttl_listed: Duration::MAX, honor_ttl: false, ..usual };
    let cache = Cache::new(1);
    cache.store(&topic(&cache, 1), Answer::Listed(Codes::of(1, [2])), None, 0, &endless, cache.now());
    assert!(knows(&cache, 1).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_longer_each_time_and_not_beyond_a_new_key() {
    let cache = Cache::new(10);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        fail(&cache, 0);
        let start = Instant::now();
        while knows(&cache, 1).is_some() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        pauses.push(start.elapsed().as_secs());
    }
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    fail(&cache, 0);
    assert!(matches!(cache.look(&topic(&cache, 1), 1, cache.now(), || Ok(())), Found::Asked(_)));
    fail(&cache, 1);
    tokio::time::advance(FIRST_PAUSE).await;
    let found = cache.look(&topic(&cache, 1), 1, cache.now(), || Err(Trouble::Resting));
    assert!(matches!(found, Found::Joined(_)), "with the new key it was the first failure");
}

#[test]
fn names_are_spread_over_the_tables_anew_in_each_process() {
    let hashes = |cache: &Cache| -> std::collections::BTreeSet<u64> {
        (0..1_000).map(|n| AsReckoned::default().hash_one(topic(cache, n))).collect()
    };
    let (one, other) = (hashes(&Cache::new(1)), hashes(&Cache::new(1)));
    assert_eq!((one.len(), other.len()), (1_000, 1_000));
    assert!(one.is_disjoint(&other), "nobody can know which ones collide");
}

#[test]
fn what_an_operator_says_is_never_remembered() {
    let cache = Cache::new(10);
    for trouble in [
        Trouble::Service(250),
        Trouble::Bogus,
        Trouble::Misuse,
        Trouble::Busy,
        Trouble::Resting,
        Trouble::NoKey,
    ] {
        cache.store(&topic(&cache, 1), Answer::Failed(trouble), Some(2_100), 0, &settings(), cache.now());
        assert_eq!(cache.len(), 0, "{trouble:?}");
    }
}
