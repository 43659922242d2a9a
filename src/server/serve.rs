//! Accepting connections, and ending them in time.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::connection::{Connection, End, Outcome};
use super::crowd::Crowd;
use super::handover::Rested;
use super::listen::Socket;
use super::room::{Place, shed};
use super::stream::{Listener, Stream};
use crate::limits::Limits;
use crate::milter::{Actions, Filter, Unspoken};
use crate::smtp::SessionId;
use crate::telemetry::{Budget, Ended, Metrics};

/// How long an idle connection may stay after a server began to drain: time for a QUIT under way.
const GRACE: Duration = Duration::from_secs(1);
/// How long accepting pauses when the system has no more descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a filter on any number of sockets.
///
/// ```no_run
/// # use gatepost::{limits::Limits, milter::Filter, server::{Listen, Server}};
/// # async fn example(filter: impl Filter) -> Result<(), Box<dyn std::error::Error>> {
/// let sockets = "inet:8890@localhost".parse::<Listen>()?.bind(0o660)?;
/// Server::new(filter, Limits::default()).serve(&sockets).await?;
/// # Ok(()) }
/// ```
pub struct Server<F: Filter> {
    pub(super) shared: Arc<Shared<F>>,
}

impl<F: Filter> Clone for Server<F> {
    /// Another handle on the same server, for another runtime or for who stops it.
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// Counts of a server since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Connections open now.
    pub open: usize,
    /// Connections ever served.
    pub served: u64,
    /// Connections that were told to go on without the filter, for lack of room.
    pub shed: u64,
    /// Sessions that ended in a panic.
    pub panics: u64,
    /// Connections closed for what their peer sent.
    pub malformed: u64,
    /// Connections put to rest for another process.
    pub handed: u64,
    /// Connections that came from another process.
    pub taken: u64,
    /// Connections that came from another process and could not be taken over.
    pub dropped: u64,
}

/// What all connections of a server share.
pub(super) struct Shared<F> {
    pub(super) filter: ArcSwap<F>,
    pub(super) limits: Limits,
    pub(super) phase: watch::Sender<Phase>,
    process: u32,
    served: AtomicU64,
    pub(super) open: AtomicUsize,
    pub(super) shed: AtomicU64,
    panics: AtomicU64,
    malformed: AtomicU64,
    pub(super) handed: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) rested: Mutex<Vec<Rested>>,
    pub(super) left: Notify,
    pub(super) metrics: Arc<Metrics>,
    pub(super) crowd: Crowd,
    /// Accepting loops there are, and those that answered the last pulse, whose number the channel has.
    loops: AtomicUsize,
    answered: AtomicUsize,
    pulse: watch::Sender<usize>,
    late: Budget,
    strange: Budget,
    shortage: Budget,
    pub(super) full: Budget,
    unspoken: Budget,
    missing: Budget,
}

/// Whether the server takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Connections without an open message end at `idle`, all others at `all`.
    Draining {
        idle: Instant,
        all: Instant,
    },
    /// Connections rest where they are; judgements under way have until `judged`.
    HandingOver {
        judged: Instant,
    },
}

impl<F: Filter> Server<F> {
    /// A server of `filter`.
    pub fn new(filter: F, limits: Limits) -> Self {
        Self::counting(filter, limits, Arc::default())
    }

    /// The same, and counts what happens.
    pub fn counting(filter: F, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let minute = Duration::from_mins(1);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let shared = Shared {
            filter: ArcSwap::from_pointee(filter),
            limits,
            phase: watch::Sender::new(Phase::Serving),
            process: u32::try_from(started & 0xffff_ffff).unwrap_or_default(),
            served: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            shed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            handed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            rested: Mutex::default(),
            left: Notify::new(),
            metrics,
            crowd: Crowd::new(limits.per_client),
            loops: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            pulse: watch::Sender::new(0),
            late: Budget::new(10, minute),
            strange: Budget::new(10, minute),
            shortage: Budget::new(1, minute),
            full: Budget::new(1, minute),
            unspoken: Budget::new(10, minute),
            missing: Budget::new(10, minute),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Replaces the filter. Open sessions keep the one they began with.
    pub fn replace(&self, filter: F) {
        self.shared.filter.store(Arc::new(filter));
    }

    /// The filter that new sessions get.
    pub fn filter(&self) -> Arc<F> {
        self.shared.filter.load_full()
    }

    /// What has happened so far.
    pub fn tally(&self) -> Tally {
        let shared = &self.shared;
        Tally {
            open: shared.open.load(Ordering::Relaxed),
            served: shared.served.load(Ordering::Relaxed),
            shed: shared.shed.load(Ordering::Relaxed),
            panics: shared.panics.load(Ordering::Relaxed),
            malformed: shared.malformed.load(Ordering::Relaxed),
            handed: shared.handed.load(Ordering::Relaxed),
            taken: shared.taken.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
        }
    }

    /// Log lines held back so far, by event.
    pub fn suppressed(&self) -> [(&'static str, u64); 6] {
        let Shared { late, strange, shortage, full, unspoken, missing, .. } = &*self.shared;
        [
            ("close", late.held_back()),
            ("protocol", strange.held_back()),
            ("accept", shortage.held_back()),
            ("shed", full.held_back()),
            ("unspoken", unspoken.held_back()),
            ("negotiation", missing.held_back()),
        ]
    }

    /// Accepts and serves connections on the current runtime until [`Server::drain`] is called and the
    /// last connection has ended. Several runtimes may serve the same sockets.
    ///
    /// # Errors
    /// If a socket cannot be registered with the runtime. Errors of single connections and of
    /// accepting never end it.
    pub async fn serve(&self, sockets: &[Socket]) -> io::Result<()> {
        let mut accepting = tokio::task::JoinSet::new();
        for socket in sockets {
            match socket.listener() {
                Ok(listener) => drop(accepting.spawn(Arc::clone(&self.shared).accept(listener))),
                // A drain that came first has closed it.
                Err(_) if self.is_draining() => {}
                Err(error) => return Err(error),
            }
        }
        while accepting.join_next().await.is_some() {}
        // A caller is refused at once then, instead of waiting for nobody.
        sockets.iter().for_each(Socket::close);
        self.shared.emptied().await;
        Ok(())
    }

    /// Asks every accepting loop whether it still moves; [`Server::has_pulse`] tells. One asker at a time.
    pub fn pulse(&self) {
        self.shared.answered.store(0, Ordering::SeqCst);
        self.shared.pulse.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// Whether every accepting loop has answered the last [pulse](Server::pulse).
    pub fn has_pulse(&self) -> bool {
        self.shared.answered.load(Ordering::SeqCst) >= self.shared.loops.load(Ordering::SeqCst)
    }

    /// Serves one connection that counts nowhere: to see whether sessions are served.
    pub async fn rehearse(&self, stream: tokio::net::UnixStream) {
        let id = SessionId::rehearsal(self.shared.process);
        Connection::new(Stream::Unix(stream), id, Arc::clone(&self.shared)).serve().await;
    }

    /// Whether [`Server::drain`] was called.
    pub fn is_draining(&self) -> bool {
        *self.shared.phase.borrow() != Phase::Serving
    }

    /// Ends a [drain](Server::drain) at once: no message may finish any more.
    pub fn stop(&self) {
        let now = Instant::now();
        self.shared.phase.send_replace(Phase::Draining { idle: now, all: now });
    }

    /// Stops accepting at once; open messages may finish within the drain limit, and idle connections
    /// within a second. Returns at once; [`Server::serve`] returns when all is done.
    pub fn drain(&self) {
        self.drain_within(self.shared.limits.drain);
    }

    /// [Drains](Server::drain), but for no longer than this.
    pub fn drain_within(&self, time: Duration) {
        let now = Instant::now();
        let all = now + time.min(self.shared.limits.drain);
        let idle = all.min(now + GRACE);
        self.shared.phase.send_replace(Phase::Draining { idle, all });
    }
}

impl<F: Filter> Shared<F> {
    async fn accept(self: Arc<Self>, listener: Listener) {
        let mut phase = self.phase.subscribe();
        let mut pulse = self.pulse.subscribe();
        let _counted = Counted::new(&self);
        loop {
            let room = Arc::clone(&self);
            let accepted = tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
                Ok(()) = pulse.changed() => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                accepted = async { room.room().await; listener.accept().await } => accepted,
            };
            match accepted {
                Ok(stream) => Arc::clone(&self).take(stream),
                Err(error) if transient(&error) => {}
                Err(error) => {
                    if let Some(suppressed) = self.shortage.spend() {
                        tracing::error!(
                            event = "accept", %error, suppressed,
                            "cannot take a connection; raise the limit on open files if there are too many"
                        );
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits until there is room for a connection, if only to be told that there is none.
    async fn room(&self) {
        loop {
            let left = self.left.notified();
            if self.open.load(Ordering::Relaxed) < self.limits.connections + self.limits.spare_connections() {
                return;
            }
            left.await;
        }
    }

    pub(super) fn take(self: Arc<Self>, stream: Stream) {
        let number = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        let id = SessionId { process: self.process, number };
        let place = Place::take(&self);
        if place.number > self.limits.connections {
            let limit = self.limits.connections;
            self.note_shed(|suppressed| {
                tracing::warn!(
                    event = "shed",
                    limit,
                    suppressed,
                    "too many connections: mail goes on unchecked or is deferred; raise the limit or look who connects"
                );
            });
            tokio::spawn(shed(stream, id, place));
            return;
        }
        let connection = Connection::new(stream, id, Arc::clone(&self));
        self.spawn(connection, place);
    }

    /// Serves a connection in a task of its own.
    pub(super) fn spawn(self: Arc<Self>, mut connection: Connection<F>, place: Place<F>) {
        let id = connection.id();
        let task = async move {
            let end = AssertUnwindSafe(connection.serve()).catch_unwind().await;
            match end.map(|end| connection.finish(end)) {
                Ok(Outcome::Ended(end)) => self.ended(id, &end),
                Ok(Outcome::Rested(rested)) => {
                    self.rested.lock().unwrap_or_else(PoisonError::into_inner).push(rested);
                }
                Err(_) => {
                    self.panics.fetch_add(1, Ordering::Relaxed);
                    self.metrics.session(Ended::Panic);
                    tracing::error!(
                        event = "panic", session = %id,
                        "a session ended in a programming error; the MTA goes on as it is set to; please report it"
                    );
                }
            }
            drop(place);
        };
        // On the heap at once: a task is moved several times on its way there, and this one is large.
        tokio::spawn(Box::pin(task));
    }

    fn ended(&self, id: SessionId, end: &End) {
        self.metrics.session(match end {
            End::Quit => Ended::Quit,
            End::Gone => Ended::Gone,
            End::Drained | End::Rested => Ended::Drained,
            End::Late(_) => Ended::Late,
            End::Protocol(_) => Ended::Protocol,
            End::Socket(_) => Ended::Socket,
        });
        match end {
            End::Quit => self.closed(id, "quit"),
            End::Gone => self.closed(id, "gone"),
            End::Drained | End::Rested => self.closed(id, "drained"),
            End::Socket(error) => self.closed(id, &error.to_string()),
            End::Late(reason) => {
                if let Some(suppressed) = self.late.spend() {
                    tracing::info!(event = "close", session = %id, reason, suppressed, "connection closed: {reason}");
                }
            }
            End::Protocol(error) => {
                self.malformed.fetch_add(1, Ordering::Relaxed);
                if let Some(suppressed) = self.strange.spend() {
                    tracing::warn!(
                        event = "protocol", session = %id, reason = %error, suppressed,
                        "closed a connection that does not speak milter"
                    );
                }
            }
        }
    }

    /// Says that a connection ended as connections do.
    fn closed(&self, id: SessionId, reason: &str) {
        tracing::debug!(event = "close", session = %id, reason, open = self.open.load(Ordering::Relaxed), "connection closed");
    }

    /// Says that a part of a decision was left out.
    pub(super) fn unspoken(&self, id: SessionId, unspoken: Unspoken) {
        if let Some(suppressed) = self.unspoken.spend() {
            tracing::warn!(
                event = "unspoken", session = %id, reason = %unspoken, suppressed,
                "a part of a decision could not be told to the MTA"
            );
        }
    }

    /// Says that the MTA did not offer everything that the filter wants to do.
    pub(super) fn missing(&self, id: SessionId, missing: Actions) {
        if let Some(suppressed) = self.missing.spend() {
            tracing::warn!(
                event = "negotiation", session = %id, missing = %format_args!("0x{:x}", missing.0), suppressed,
                "the MTA does not offer all actions; what needs them is left out"
            );
        }
    }

    /// Waits until the connections are handed over and judgements have had their time.
    pub(super) async fn handing_over(&self) {
        let mut phase = self.phase.subscribe();
        let judged = loop {
            if let Phase::HandingOver { judged } = *phase.borrow_and_update() {
                break judged;
            }
            if phase.changed().await.is_err() {
                return std::future::pending().await;
            }
        };
        tokio::time::sleep_until(judged).await;
    }

    /// Makes sure that no session of this process gets the number of one that was taken over.
    pub(super) fn reserve(&self, id: SessionId) {
        if id.process == self.process {
            self.served.fetch_max(id.number, Ordering::Relaxed);
        }
    }

    /// Waits until nobody accepts any more, and the last connection has ended.
    pub(super) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            // In this order: what a loop has accepted has its place before the loop ends.
            if self.loops.load(Ordering::SeqCst) == 0 && self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

/// An accepting loop among the others, until it is dropped.
pub(super) struct Counted<F> {
    shared: Arc<Shared<F>>,
}

impl<F> Counted<F> {
    pub(super) fn new(shared: &Arc<Shared<F>>) -> Self {
        shared.loops.fetch_add(1, Ordering::SeqCst);
        Self { shared: Arc::clone(shared) }
    }
}

impl<F> Drop for Counted<F> {
    fn drop(&mut self) {
        self.shared.loops.fetch_sub(1, Ordering::SeqCst);
        self.shared.left.notify_waiters();
    }
}

/// Errors of accept(2) that concern the connection only, not the listener.
fn transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
