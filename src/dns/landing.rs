//! A question's way from the queue over the name servers into the cache.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::answer::{classify, unknown};
use super::cache::Topic;
use super::flight::Flight;
use super::question::Question;
use super::servers::Round;
use super::zone::count;
use super::{Answer, Dns, Key, Live, Settings};
use crate::clock::Time;
use crate::verdict::Trouble;

/// How long after the lifetime an answer is still welcome, for the cache: by then the same client
/// usually has come back.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Where a question stands.
pub(super) enum Place {
    None,
    Queue(Queued),
    Wire(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit),
}

/// A place in the queue, given up when dropped.
pub(super) struct Queued {
    queue: Arc<AtomicUsize>,
    pub(super) ahead: usize,
}

impl Queued {
    pub(super) fn new(queue: &Arc<AtomicUsize>) -> Self {
        Self { queue: Arc::clone(queue), ahead: queue.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.queue.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The duty to land a flight, whatever happens: a task that panics or dies with its runtime must
/// not leave others waiting.
pub(super) struct Landing {
    pub(super) dns: Arc<Dns>,
    pub(super) topic: Topic,
    pub(super) flight: Arc<Flight>,
    pub(super) generation: u64,
    /// When it was asked, for those who wait.
    pub(super) start: Instant,
    /// The same, for what is remembered of it.
    pub(super) asked: Time,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.dns.cache.land(&self.topic, &self.flight, Answer::Failed(Trouble::Network));
    }
}

impl Landing {
    pub(super) fn land(&self, answer: Answer) {
        self.dns.cache.land(&self.topic, &self.flight, answer);
    }

    /// Asks the name servers, and lands with what they say.
    pub(super) async fn fly(self, live: Arc<Live>, key: Option<Arc<Key>>, place: Place) {
        let (Topic { list, subject, .. }, start) = (&self.topic, self.start);
        let deadline = start + live.settings.lifetime;
        let _place = match place {
            Place::Queue(queued) => {
                let permit = timeout_at(deadline, Arc::clone(&live.places).acquire_owned()).await;
                drop(queued);
                let Ok(Ok(permit)) = permit else {
                    self.dns.metrics.dns_error(*list, Trouble::Busy);
                    return self.land(Answer::Failed(Trouble::Busy));
                };
                Place::Wire(permit)
            }
            place => place,
        };
        let Some(question) = Question::new(subject, key.as_deref(), *list, &live.settings.zone_base) else {
            return self.land(Answer::Failed(Trouble::Network));
        };
        let round = Round { servers: &live.servers, question: &question, list: *list };
        let mut in_time = true;
        let result = round
            .run(deadline, deadline + GRACE, |trouble| {
                in_time = false;
                self.fail(trouble, &live.settings);
            })
            .await;
        self.dns.metrics.dns_time(*list, start.elapsed());
        match result {
            Ok(reply) => self.take(&reply.records, reply.ttl, &live.settings, in_time),
            Err(trouble) if in_time => self.fail(trouble, &live.settings),
            Err(_) => {}
        }
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = self.flight.said().map_or("none", Answer::name);
        tracing::debug!(event = "dns", zone = list.name(), %subject, result, ms, in_time, "question answered");
    }

    /// Ends the flight with what a list said. One that comes too late is for the cache only.
    pub(super) fn take(&self, records: &[Ipv4Addr], ttl: Option<u32>, settings: &Settings, in_time: bool) {
        let Topic { list, subject, .. } = &self.topic;
        let zone = self.dns.zone(*list);
        let mut answer = classify(*list, records);
        if in_time || !matches!(answer, Answer::Failed(_)) {
            self.store(answer, ttl, settings);
        }
        // Looked at after the store, so that either this or the probe, which says it before it forgets, takes it out again.
        if matches!(answer, Answer::Listed(_)) && zone.is_doubted(self.start) {
            self.dns.cache.forget_one(&self.topic);
            answer = Answer::Failed(Trouble::Bogus);
        }
        if in_time {
            self.learn(answer);
        } else {
            count(&zone.counts.late);
        }
        self.note(answer);
        zone.tell(answer, subject);
        zone.tell_strange(unknown(*list, records));
        self.land(answer);
    }

    /// Ends the flight without an answer.
    fn fail(&self, trouble: Trouble, settings: &Settings) {
        let Topic { list, subject, .. } = &self.topic;
        let answer = Answer::Failed(trouble);
        self.store(answer, None, settings);
        self.learn(answer);
        self.note(answer);
        self.dns.zone(*list).tell(answer, subject);
        self.land(answer);
    }

    fn note(&self, answer: Answer) {
        if let Answer::Failed(trouble) = answer {
            self.dns.metrics.dns_error(self.topic.list, trouble);
        }
    }

    fn store(&self, answer: Answer, ttl: Option<u32>, settings: &Settings) {
        // Asked below another zone base: an answer of other lists than ours by now.
        if self.dns.live.load().settings.zone_base != settings.zone_base {
            return;
        }
        self.dns.cache.store(&self.topic, answer, ttl, self.generation, settings, self.asked);
    }

    fn learn(&self, answer: Answer) {
        if self.generation == self.dns.generation.load(Ordering::Acquire) {
            self.dns.zone(self.topic.list).learn(answer, self.start);
        }
    }
}
