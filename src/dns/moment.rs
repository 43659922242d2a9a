//! Questions that are put at the same moment: they share settings, key and clock.
//!
//! It does not outlive the moment, and never waits.

use std::sync::Arc;

use arc_swap::Guard;
use tokio::time::Instant;

use super::cache::Found;
use super::flight::Ticket;
use super::landing::{Landing, Place};
use super::question::room;
use super::zone::count;
use super::{Answer, Dns, Key, Live, Source, Subject, TABLE_TTL};
use crate::clock::Time;
use crate::smtp::Domain;
use crate::verdict::{List, Origin, Trouble};

/// Settings, key and clock as they are now, for questions that are put together; see [`Dns::moment`].
pub struct Moment<'a> {
    pub(super) dns: &'a Arc<Dns>,
    pub(super) live: Guard<Arc<Live>>,
    pub(super) key: Guard<Option<Arc<Key>>>,
    pub(super) generation: u64,
    pub(super) now: Time,
}

impl Moment<'_> {
    /// Asks `list` about `subject`. Never blocks: the answer is known, or comes to the ticket.
    ///
    /// A question that has to be sent goes on to its end on the present tokio runtime, whatever becomes of the
    /// ticket. A subject of the wrong kind for the list is not sent: [`Trouble::Misuse`].
    ///
    /// # Panics
    /// Outside a tokio runtime, if a question has to be sent.
    pub fn ask(&self, list: List, subject: Subject) -> Ticket {
        let Self { dns, live, generation, now, .. } = self;
        let zone = dns.zone(list);
        count(&zone.counts.asked);
        if !subject.suits(list) {
            count(&zone.counts.misuse);
            dns.metrics.dns_error(list, Trouble::Misuse);
            return Ticket::known(Answer::Failed(Trouble::Misuse), Origin::None);
        }
        let Ok(key) = dns.key_for(list, live, self.key.as_ref()) else {
            dns.metrics.dns_error(list, Trouble::NoKey);
            return Ticket::known(Answer::Failed(Trouble::NoKey), Origin::None);
        };
        let subject = subject.canonical(self.room(list, key));
        let topic = dns.cache.topic(list, subject);
        let mut place = Place::None;
        let found = dns.cache.look(&topic, *generation, *now, || {
            place = dns.place(live)?;
            zone.permits()
        });
        match found {
            Found::Known(answer) => {
                count(&zone.counts.hits);
                Ticket::known(answer, Origin::Hit)
            }
            Found::Joined(flight) => {
                count(&zone.counts.coalesced);
                Ticket::waiting(flight, Origin::Coalesced)
            }
            Found::Barred(trouble) => {
                count(if trouble == Trouble::Busy { &zone.counts.busy } else { &zone.counts.resting });
                dns.metrics.dns_error(list, trouble);
                Ticket::known(Answer::Failed(trouble), Origin::None)
            }
            Found::Asked(flight) => {
                count(&zone.counts.queries);
                let ticket = Ticket::waiting(Arc::clone(&flight), Origin::Miss);
                let (dns, generation, start) = (Arc::clone(dns), *generation, Instant::now());
                let landing = Landing { dns, topic, flight, generation, start, asked: *now };
                match &self.dns.source {
                    Source::Table(table) => {
                        let name = format!("{}.{}", landing.topic.subject.name(), list.name());
                        match table.trouble(&name) {
                            Some(trouble) => landing.land(Answer::Failed(trouble)),
                            None => landing.take(&table.answer(&name), Some(TABLE_TTL), &live.settings, true),
                        }
                    }
                    Source::Resolver => {
                        self.dns.spend(list, live);
                        let (live, key) = (Arc::clone(live), key.cloned());
                        tokio::spawn(landing.fly(live, key, place));
                    }
                }
                ticket
            }
        }
    }

    /// The domain as `list` is asked about it: without labels on the left if it would not fit beside the key.
    pub fn fit(&self, list: List, domain: &Domain) -> Domain {
        let key = self.dns.key_for(list, &self.live, self.key.as_ref()).ok().flatten();
        domain.fit(self.room(list, key))
    }

    /// The octets that a subject may have.
    fn room(&self, list: List, key: Option<&Arc<Key>>) -> usize {
        match (&self.dns.source, key) {
            // Without its key a list of DQS is not asked, and there is nothing to make room for.
            (Source::Resolver, None) if list.is_dqs() => usize::MAX,
            (Source::Resolver, key) => room(key.map(AsRef::as_ref), list, &self.live.settings.zone_base),
            (Source::Table(_), _) => usize::MAX,
        }
    }
}
