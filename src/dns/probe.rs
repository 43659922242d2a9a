//! Asking lists for their test entries, unasked.
//!
//! Each kind of list has its own entries: DBL takes a question about an address for a mistake, and answers so.
//! Probes pass by the cache, the breaker and the rules for subjects.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};

use super::breaker::State;
use super::{Answer, Dns, Source, Subject};
use crate::smtp::Domain;
use crate::verdict::{Kind, List, Test, Trouble};

/// What the list must have, and what it must not have (RFC 5782, section 5; for DBL and ZRD as Spamhaus
/// documents them); nothing for a list without such entries.
pub fn test_entries(list: List) -> Option<(Subject, Subject)> {
    let Test { present, absent } = list.definition().test?;
    let subject = |text: &str| match list.kind() {
        Kind::Address => text.parse().ok().map(Subject::Ip),
        Kind::Domain => Domain::from_setting(text).ok().map(Subject::Domain),
        Kind::Mailbox(digest) => Some(Subject::mailbox(text, digest)),
    };
    Some((subject(present)?, subject(absent)?))
}

impl Dns {
    /// Probes the lists in use: now, every `probe_interval`, after a new key, and to close breakers. Runs until
    /// dropped. One per process.
    pub async fn watch(self: Arc<Self>) {
        if let Source::Table(_) = self.source {
            return std::future::pending().await;
        }
        let (mut known, mut watches) = (Vec::new(), FuturesUnordered::new());
        loop {
            for list in &self.live.load().settings.lists {
                // A list that has no test entries is tried by the questions of sessions.
                if list.definition().test.is_some() && !known.contains(list) {
                    known.push(*list);
                    watches.push(self.watch_one(*list));
                }
            }
            tokio::select! {
                () = self.lists_changed.notified() => {}
                Some(()) = watches.next() => {}
            }
        }
    }

    async fn watch_one(&self, list: List) {
        let zone = self.zone(list);
        let mut routine = Instant::now();
        loop {
            let live = self.live.load_full();
            let interval = live.settings.probe_interval;
            let due = match zone.state() {
                _ if !live.settings.lists.contains(&list) => None,
                State::Open { until, .. } => Some(until),
                State::Trial { .. } => Some(Instant::now() + Duration::from_secs(1)),
                State::Closed => (!interval.is_zero()).then_some(routine),
            };
            let rest = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = zone.changed.notified() => {
                    // A new key shows at once whether it is any good; an open breaker has its own time.
                    if matches!(zone.state(), State::Closed) {
                        routine = Instant::now();
                    }
                    continue;
                }
                () = rest => {}
            }
            let open = !matches!(zone.state(), State::Closed);
            if !open || zone.try_now() {
                self.probe(list).await;
            }
            routine = Instant::now() + jitter(interval);
        }
    }

    /// Asks for both entries of a list.
    async fn probe(&self, list: List) {
        let Some((present, absent)) = test_entries(list) else { return };
        let (zone, asked) = (self.zone(list), Instant::now());
        let Some(listed) = self.ask_directly(list, &present).await else { return };
        zone.learn_test_entry(listed);
        if let Answer::Failed(trouble) = listed
            && trouble != Trouble::Misuse
        {
            zone.learn(listed, asked);
            return;
        }
        let Some(unlisted) = self.ask_directly(list, &absent).await else { return };
        if let Answer::Listed(_) = unlisted {
            zone.learn_wildcard(asked);
            // What it said about others is worth as much.
            self.cache.forget(list);
        } else {
            zone.learn(unlisted, asked);
        }
    }
}

/// The interval, ten per cent more or less: many hosts must not ask at the same time.
fn jitter(interval: Duration) -> Duration {
    let spread = u32::try_from(RandomState::new().hash_one(0_u8) % 201).unwrap_or(100);
    interval * (900 + spread) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_start_at_the_same_time_do_not_probe_at_the_same_time() {
        let waits: Vec<u128> =
            (0..200).map(|_| jitter(Duration::from_secs(1_000)).as_secs().into()).collect();
        assert!(waits.iter().all(|wait| (900..=1_100).contains(wait)), "{waits:?}");
        let (early, late) = (
            waits.iter().filter(|wait| **wait < 970).count(),
            waits.iter().filter(|wait| **wait > 1_030).count(),
        );
        // A third of them each, by chance.
        assert!(early > 20 && late > 20, "{waits:?}");
    }
}
