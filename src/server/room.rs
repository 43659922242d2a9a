//! Room for connections and sessions: their places, and what those are told that have none.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::connection::Connection;
use super::crowd::Crowd;
use super::serve::{Phase, Server, Shared};
use super::stream::Stream;
use crate::limits::{Limits, Overload};
use crate::milter::Filter;
use crate::smtp::{Client, Dialog, Event, Needs, Reply, SessionId, Stage};
use crate::telemetry::{Ended, ShedAs};
use crate::verdict::{Decision, Verdict};

/// How long a connection beyond the limit lasts at most.
const BRIEF: Duration = Duration::from_secs(5);

/// A connection's place among the others, given back when dropped.
pub(super) struct Place<F> {
    shared: Arc<Shared<F>>,
    pub(super) number: usize,
}

impl<F> Place<F> {
    pub(super) fn take(shared: &Arc<Shared<F>>) -> Self {
        Self { number: shared.open.fetch_add(1, Ordering::Relaxed) + 1, shared: Arc::clone(shared) }
    }
}

impl<F> Drop for Place<F> {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.left.notify_waiters();
    }
}

/// A session's place among those of its client, given back when dropped.
pub(super) struct Seat<F> {
    shared: Arc<Shared<F>>,
    group: IpAddr,
}

impl<F> Drop for Seat<F> {
    fn drop(&mut self) {
        self.shared.crowd.leave(self.group);
    }
}

impl<F: Filter> Shared<F> {
    /// Counts a session that is let go, and says so if there is a line left for it.
    pub(super) fn note_shed(&self, say: impl FnOnce(u64)) {
        self.shed.fetch_add(1, Ordering::Relaxed);
        self.metrics.shed(match self.limits.overload {
            Overload::Accept => ShedAs::Accept,
            Overload::Tempfail => ShedAs::Tempfail,
        });
        if let Some(suppressed) = self.full.spend() {
            say(suppressed);
        }
    }

    /// Takes the seat of a session that goes on, whether it has one or not.
    pub(super) fn readmit(self: &Arc<Self>, client: &Client) -> Option<Seat<F>> {
        self.group(client).and_then(|group| self.enter(group))
    }

    /// What a client is counted as, if clients are.
    fn group(&self, client: &Client) -> Option<IpAddr> {
        Crowd::group(client).filter(|_| self.crowd.is_limited())
    }

    fn enter(self: &Arc<Self>, group: IpAddr) -> Option<Seat<F>> {
        self.crowd.enter(group).then(|| Seat { shared: Arc::clone(self), group })
    }

    /// Takes a seat for one more session of an SMTP client, if it may have one.
    ///
    /// # Errors
    /// What the session is told instead.
    pub(super) fn admit(
        self: &Arc<Self>,
        id: SessionId,
        client: &Client,
    ) -> Result<Option<Seat<F>>, Decision> {
        let Some(group) = self.group(client) else { return Ok(None) };
        if let Some(seat) = self.enter(group) {
            return Ok(Some(seat));
        }
        let limit = self.limits.per_client;
        self.note_shed(|suppressed| {
            tracing::warn!(
                event = "shed", session = %id, client_ip = %client, limit, suppressed,
                "too many sessions of one client: mail goes on unchecked or is deferred"
            );
        });
        Err(pass(self.limits.overload))
    }
}

/// Answers a connection beyond the limit: the MTA goes on without us, or defers, at once.
///
/// An MTA negotiates and connects at once, and has no more to say then: whoever takes longer only holds a place.
pub(super) async fn shed<F: Filter>(stream: Stream, id: SessionId, place: Place<F>) {
    let Shared { limits, metrics, .. } = &*place.shared;
    let filter = Pass(limits.overload);
    let limits = Limits { per_client: 0, ..*limits };
    let shared = Server::counting(filter, limits, Arc::clone(metrics)).shared;
    let mut phase = place.shared.phase.subscribe();
    let mut connection = Connection::new(stream, id, shared);
    tokio::select! {
        _ = tokio::time::timeout(BRIEF, connection.serve()) => {}
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
    }
    place.shared.metrics.session(Ended::Shed);
    drop(place);
}

/// Lets every session go at its first event.
struct Pass(Overload);

fn pass(overload: Overload) -> Decision {
    let later = || Reply::new(451, "4.3.2", "too many sessions at once, try again later").ok();
    match overload {
        Overload::Tempfail => later().map_or(Verdict::Accept, Verdict::Defer),
        Overload::Accept => Verdict::Accept,
    }
    .into()
}

impl Filter for Pass {
    type Memory = ();

    fn needs(&self) -> Needs {
        Needs::default().event(Event::Connect)
    }

    async fn judge(&self, _: Stage, _: &Dialog, (): &mut ()) -> Decision {
        pass(self.0)
    }
}
