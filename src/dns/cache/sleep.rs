//! What a machine that slept still believes.

use std::cell::Cell;

use super::*;
use crate::smtp::Domain;

thread_local!(static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) });

fn cache() -> Cache {
    Cache::by(Clock::with(|| SLEPT.get()), 10)
}

fn sleep(seconds: u64) {
    SLEPT.set(SLEPT.get() + Duration::from_secs(seconds));
}

fn topic(cache: &Cache) -> Topic {
    cache.topic(List::DBL, Subject::Domain(Domain::from_setting("host.example").expect("a domain")))
}

fn listed() -> Answer {
    Answer::Listed(Codes::of(1, [2]))
}

fn store(cache: &Cache, answer: Answer, asked: Time) {
    cache.store(&topic(cache), answer, Some(60), 0, &Settings::default(), asked);
}

fn known(cache: &Cache) -> Option<Answer> {
    match cache.look(&topic(cache), 0, cache.now(), || Err(Trouble::Resting)) {
        Found::Known(answer) => Some(answer),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_outlives_its_time_over_a_sleep_of_the_machine() {
    for answer in [listed(), Answer::NotListed] {
        let cache = cache();
        store(&cache, answer, cache.now());
        sleep(40);
        tokio::time::advance(Duration::from_secs(19)).await;
        assert_eq!(known(&cache), Some(answer));
        sleep(1);
        assert_eq!(known(&cache), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lay_at_the_door_while_the_machine_slept_is_as_old_as_its_question() {
    let cache = cache();
    let asked = cache.now();
    sleep(50);
    store(&cache, listed(), asked);
    assert_eq!(known(&cache), Some(listed()));
    sleep(10);
    assert_eq!(known(&cache), None);
    store(&cache, listed(), asked);
    assert_eq!(known(&cache), None, "too old already");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_from_when_it_was_known() {
    let cache = cache();
    let asked = cache.now();
    sleep(3_600);
    store(&cache, Answer::Failed(Trouble::Timeout), asked);
    assert_eq!(known(&cache), Some(Answer::Failed(Trouble::Timeout)));
    sleep(5);
    assert_eq!(known(&cache), None);
}

#[tokio::test(start_paused = true)]
async fn what_went_out_of_date_in_a_sleep_is_not_told_to_the_next_process() {
    let cache = cache();
    cache.store(
        &cache.topic(List::ZEN, Subject::Ip("192.0.2.1".parse().expect("an address"))),
        listed(),
        Some(60),
        0,
        &Settings::default(),
        cache.now(),
    );
    assert_eq!(cache.latest(10).len(), 1);
    sleep(60);
    assert_eq!(cache.latest(10).len(), 0);
}
