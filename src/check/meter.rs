//! How often something happens: connections, messages and recipients per time.
//!
//! Counts, and says whether there is room for one more; what is done if there is none is the policy's business. A meter
//! takes a bounded amount of memory whatever clients do, and lives as long as a configuration has a limit like it.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use lru::LruCache;

use crate::clock::{Clock, Time};
use crate::smtp::household;

/// Clients or senders that one meter knows at a time; each takes some 60 octets. Beyond it the one that was not seen for
/// the longest time is forgotten: it begins anew, which is what would have become of most of them anyway.
const KNOWN: NonZeroUsize = NonZeroUsize::new(100_000).expect("a number");

/// How much may happen in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How often it may happen at once.
    pub most: NonZeroU32,
    /// The time in which that much is earned again, bit by bit.
    pub within: Duration,
}

/// Counts something by whom it is about.
pub struct Meter {
    limiter: RateLimiter<u64, Store, Since>,
    states: States,
    hash: RandomState,
    /// What one of them takes of the time.
    period: Duration,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("known", &self.known()).finish_non_exhaustive()
    }
}

impl Meter {
    fn new(rate: Rate) -> Self {
        Self::by(Clock::default(), rate)
    }

    fn by(clock: Clock, rate: Rate) -> Self {
        // A period that is too short to be told from none limits nothing.
        let period = (rate.within / rate.most.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(period).expect("a period above 0").allow_burst(rate.most);
        let states: States = Arc::new(Mutex::new(LruCache::new(KNOWN)));
        let limiter = RateLimiter::new(quota, Store(Arc::clone(&states)), Since::new(clock));
        Self { limiter, states, hash: RandomState::new(), period }
    }

    /// Counts one more, if there is room for it. What finds no room is not counted: who keeps trying gets in as
    /// soon as somebody who waits.
    pub fn take(&self, of: &Counted<'_>) -> bool {
        self.limiter.check_key(&self.hash.hash_one(of)).is_ok()
    }

    /// Takes back one that was counted: it did not happen after all.
    pub fn give_back(&self, of: &Counted<'_>) {
        let mut known = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        // The state is the time at which everything is earned again.
        if let Some(state) = known.get_mut(&self.hash.hash_one(of)) {
            *state = state.saturating_sub(self.period.into());
        }
    }

    /// How many clients or senders it knows.
    pub fn known(&self) -> usize {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Whom something is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted<'a> {
    /// A client, as its [household].
    Client(IpAddr),
    /// A sender.
    Sender(&'a str),
}

impl Counted<'_> {
    /// The client with this address.
    pub fn client(ip: IpAddr) -> Self {
        Self::Client(household(ip))
    }
}

/// All meters of the process. A new configuration goes on with those that it has, too.
#[derive(Debug, Default)]
pub struct Meters(Mutex<Vec<(String, Rate, Weak<Meter>)>>);

impl Meters {
    /// The meter of what is called so, with this rate: that of the configuration before, if it had it.
    pub fn find(&self, name: &str, rate: Rate) -> Arc<Meter> {
        let mut meters = self.meters();
        meters.retain(|(.., meter)| meter.strong_count() > 0);
        let known = meters.iter().find(|(of, at, _)| of == name && *at == rate);
        if let Some(meter) = known.and_then(|(.., meter)| meter.upgrade()) {
            return meter;
        }
        let meter = Arc::new(Meter::new(rate));
        meters.push((name.to_owned(), rate, Arc::downgrade(&meter)));
        meter
    }

    fn meters(&self) -> MutexGuard<'_, Vec<(String, Rate, Weak<Meter>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of each client or sender, by a keyed digest: addresses of any length take the same room, and nobody can
/// choose them so that they fall together.
type States = Arc<Mutex<LruCache<u64, Nanos>>>;

struct Store(States);

impl StateStore for Store {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, next) = f(known.get(key).copied())?;
        known.put(*key, next);
        Ok(outcome)
    }
}

/// The time since a moment; what was used up is earned again while the machine sleeps, too.
#[derive(Clone, Copy)]
struct Since {
    clock: Clock,
    begin: Time,
}

impl Since {
    fn new(clock: Clock) -> Self {
        Self { clock, begin: clock.now() }
    }
}

impl governor::clock::Clock for Since {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.clock.now().since(self.begin).into()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn rate(most: u32, within: Duration) -> Rate {
        Rate { most: NonZeroU32::new(most).expect("a number"), within }
    }

    fn client(text: &str) -> Counted<'static> {
        Counted::client(text.parse().expect("an address"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_used_up_comes_back_bit_by_bit() {
        let meter = Meter::new(rate(3, Duration::from_mins(1)));
        let one = client("192.0.2.1");
        assert_eq!([(); 5].map(|()| meter.take(&one)), [true, true, true, false, false]);
        assert!(meter.take(&client("192.0.2.2")), "another client has its own");
        tokio::time::advance(Duration::from_secs(19)).await;
        assert!(!meter.take(&one));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([(); 2].map(|()| meter.take(&one)), [true, false]);
        tokio::time::advance(Duration::from_mins(5)).await;
        assert_eq!([(); 4].map(|()| meter.take(&one)), [true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_used_up_its_share_before_the_machine_slept_has_earned_it_after() {
        thread_local!(static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) });
        let meter = Meter::by(Clock::with(|| SLEPT.get()), rate(3, Duration::from_mins(1)));
        let one = client("192.0.2.1");
        assert_eq!([(); 4].map(|()| meter.take(&one)), [true, true, true, false]);
        SLEPT.set(Duration::from_secs(20));
        assert_eq!([(); 2].map(|()| meter.take(&one)), [true, false]);
        SLEPT.set(Duration::from_hours(1));
        assert_eq!([(); 4].map(|()| meter.take(&one)), [true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_can_be_taken_again_and_no_more() {
        let meter = Meter::new(rate(3, Duration::from_mins(1)));
        let one = client("192.0.2.1");
        meter.give_back(&one);
        assert_eq!([(); 4].map(|()| meter.take(&one)), [true, true, true, false]);
        meter.give_back(&one);
        assert_eq!([(); 2].map(|()| meter.take(&one)), [true, false]);
        tokio::time::advance(Duration::from_mins(5)).await;
        assert!(meter.take(&one));
        for _ in 0..10 {
            meter.give_back(&one);
        }
        assert_eq!([(); 4].map(|()| meter.take(&one)), [true, true, true, false]);
    }

    #[test]
    fn an_ipv6_client_is_its_64() {
        let meter = Meter::new(rate(1, Duration::from_hours(1)));
        assert!(meter.take(&client("2001:db8::1")));
        assert!(!meter.take(&client("2001:db8::ffff:2")));
        assert!(meter.take(&client("2001:db8:0:1::1")));
        assert!(meter.take(&client("192.0.2.1")) && meter.take(&client("192.0.2.2")));
        assert!(
            meter.take(&Counted::Sender("a@spam.example")) && meter.take(&Counted::Sender("b@spam.example"))
        );
    }

    #[test]
    fn memory_is_bounded_whatever_clients_do() {
        let meter = Meter::new(rate(1, Duration::from_hours(1)));
        for n in 0..=200_000_u32 {
            assert!(meter.take(&Counted::client(IpAddr::from(n.to_be_bytes()))));
        }
        assert_eq!(meter.known(), KNOWN.get());
        assert!(!meter.take(&Counted::client(IpAddr::from(200_000_u32.to_be_bytes()))));
    }

    #[test]
    fn a_meter_survives_a_new_configuration_that_has_it_and_no_other() {
        let meters = Meters::default();
        let hour = rate(1, Duration::from_hours(1));
        let first = meters.find("burst", hour);
        assert!(first.take(&client("192.0.2.1")));
        let again = meters.find("burst", hour);
        drop(first);
        assert!(!again.take(&client("192.0.2.1")));
        assert!(meters.find("burst", rate(2, Duration::from_hours(1))).take(&client("192.0.2.1")));
        assert!(meters.find("other", hour).take(&client("192.0.2.1")));
        drop(again);
        assert!(meters.find("burst", hour).take(&client("192.0.2.1")), "nobody had it any more");
        assert_eq!(meters.meters().len(), 1);
    }

    #[test]
    fn many_threads_take_no_more_than_there_is() {
        let meter = Meter::new(rate(100, Duration::from_hours(10)));
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..100).filter(|_| meter.take(&client("192.0.2.1"))).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
        });
        assert_eq!(taken, 100);
    }
}
