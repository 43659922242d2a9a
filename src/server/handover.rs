//! Open connections on their way to another process.
//!
//! How sockets and octets get there is the daemon's business: this brings connections to rest, and wakes
//! them up where they were.

use std::borrow::Borrow;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::connection::Connection;
use super::envelope::{BadStates, enclose, open};
use super::room::Place;
use super::serve::{Phase, Server};
use super::stream::Stream;
use crate::milter::{Filter, Session};
use crate::telemetry::{Ended, Handover};

/// The form of the states that is written. Fields may be added to a state without a new number if the
/// release before can be read without them; anything else needs one, and a reader for the old form.
const VERSION: u32 = 1;
/// How long after the last judgement's time connections may take to come to rest; they need none.
const MARGIN: Duration = Duration::from_secs(1);

/// A connection at rest: its socket, and all that is known of it.
#[derive(Debug)]
pub struct Rested {
    /// The socket.
    pub stream: OwnedFd,
    /// What [`Server::take_over`] needs to go on, in a form of its own.
    pub state: Vec<u8>,
    /// Whether somebody waits for an answer, or a message is open.
    pub in_message: bool,
}

/// What became of connections that another process left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Those that go on.
    pub taken: usize,
    /// Those that were closed: their state could not be read, or the descriptor is no connection.
    pub dropped: usize,
}

/// Why a connection cannot go on from a state.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadState {
    /// At this octet. What stands there may be a client's and is not told.
    #[error("its state cannot be read (octet {0})")]
    Form(usize),
    #[error("its state is impossible")]
    Impossible,
    #[error("its descriptor is no connection: {0}")]
    Socket(#[from] io::Error),
}

/// All that is known of a connection.
#[derive(Serialize, Deserialize)]
pub(super) struct State<S, M> {
    pub(super) session: S,
    pub(super) memory: M,
    /// Received and not yet answered.
    #[serde(with = "octets", default)]
    pub(super) input: Vec<u8>,
    /// Said and not yet sent.
    #[serde(with = "octets", default)]
    pub(super) output: Vec<u8>,
    /// What is left of the wait, in milliseconds.
    #[serde(default)]
    pub(super) left: Option<u64>,
}

impl<S: Serialize, M: Serialize> State<S, M> {
    pub(super) fn store(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(io::Error::from)
    }
}

impl<S: DeserializeOwned, M: DeserializeOwned> State<S, M> {
    fn read(state: &[u8]) -> Result<Self, BadState> {
        serde_json::from_slice(state).map_err(|error| BadState::Form(error.column()))
    }
}

/// Octets as a text of the characters with these numbers: shorter than a list of numbers.
mod octets {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&octets.iter().map(|&octet| char::from(octet)).collect::<String>())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let octets: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        octets.map_err(|_| D::Error::custom("a character that is no octet"))
    }
}

/// Packs the states of connections, each with its number.
pub fn pack<T: Borrow<[u8]>>(states: impl IntoIterator<Item = (u32, T)>) -> Vec<u8> {
    let mut packed = Vec::new();
    for (number, state) in states {
        let state = state.borrow();
        packed.extend_from_slice(&number.to_be_bytes());
        packed.extend_from_slice(&u32::try_from(state.len()).unwrap_or(u32::MAX).to_be_bytes());
        packed.extend_from_slice(state);
    }
    enclose(VERSION, &packed)
}

/// Octets that a state takes in [`pack`]ed form, beside its own.
pub const OVERHEAD: usize = 8;

/// Reads what [`pack`] wrote, of this release or the one before.
///
/// # Errors
/// [`BadStates`]; nothing of it can be used then.
pub fn unpack(packed: &[u8]) -> Result<Vec<(u32, &[u8])>, BadStates> {
    let mut body = open(VERSION, packed)?;
    let mut states = Vec::new();
    while !body.is_empty() {
        let (number, rest) = body.split_first_chunk().ok_or(BadStates::Length)?;
        let (length, rest) = rest.split_first_chunk().ok_or(BadStates::Length)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (state, rest) = rest.split_at_checked(length).ok_or(BadStates::Length)?;
        states.push((u32::from_be_bytes(*number), state));
        body = rest;
    }
    Ok(states)
}

impl<F: Filter> Server<F> {
    /// Stops accepting at once and brings all connections to rest where they are: between two packets, in
    /// the middle of one, or, after `judging`, while an answer is still due. [`Server::serve`] returns when
    /// they are.
    ///
    /// A judgement under way has until `judging` to end; if it does not, it is begun anew by who takes the
    /// connection over. Gives nothing if the server is draining already. What becomes of them is for
    /// [`Server::count_handed`] and [`Server::take_back`].
    pub async fn hand_over(&self, judging: Duration) -> Vec<Rested> {
        let shared = &self.shared;
        let judged = Instant::now() + judging;
        let begun = shared.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::HandingOver { judged };
            }
            serving
        });
        if !begun {
            return Vec::new();
        }
        if tokio::time::timeout_at(judged + MARGIN, shared.emptied()).await.is_err() {
            let open = self.tally().open;
            let what = match open {
                0 => "a listener was not left in time: whoever connected there meanwhile may be lost",
                _ => "sessions did not come to rest in time and are lost",
            };
            tracing::error!(event = "handover", open, "{what}");
        }
        let mut rested = shared.rested.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rested)
    }

    /// Counts connections that another process gets.
    pub fn count_handed(&self, count: usize) {
        let handed = u64::try_from(count).unwrap_or_default();
        self.shared.handed.fetch_add(handed, Ordering::Relaxed);
        self.shared.metrics.handover(Handover::Out, handed);
        for _ in 0..count {
            self.shared.metrics.session(Ended::HandedOver);
        }
    }

    /// Serves connections that were brought to rest by [`Server::hand_over`], here or in another process:
    /// each goes on where it was. To be called on a runtime that lasts as long as they do.
    ///
    /// They count as open connections, whatever the limit. One that cannot go on is closed and counted.
    pub fn take_over(&self, connections: impl IntoIterator<Item = Rested>) -> Taken {
        let count = self.take_back(connections);
        let taken = u64::try_from(count.taken).unwrap_or_default();
        self.shared.taken.fetch_add(taken, Ordering::Relaxed);
        self.shared.metrics.handover(Handover::In, taken);
        count
    }

    /// The same with connections of this server that no other process could get: they never left.
    pub fn take_back(&self, connections: impl IntoIterator<Item = Rested>) -> Taken {
        let mut count = Taken::default();
        let (mut first, mut partly) = (None, 0);
        for rested in connections {
            match self.restore(rested) {
                Ok(sees_less) => {
                    count.taken += 1;
                    partly += usize::from(sees_less);
                }
                Err(error) => {
                    count.dropped += 1;
                    first = first.or(Some(error));
                }
            }
        }
        if let Some(error) = first {
            let dropped = count.dropped;
            tracing::warn!(event = "handover", dropped, %error, "cannot go on with a session of the process before");
        }
        if partly > 0 {
            tracing::warn!(
                event = "handover",
                partly,
                "the configuration wants to see more than open sessions have negotiated; they go on with what they have"
            );
        }
        self.count_dropped(count.dropped);
        count
    }

    /// Counts connections of another process that came without a state.
    pub fn count_dropped(&self, count: usize) {
        let dropped = u64::try_from(count).unwrap_or_default();
        self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.shared.metrics.handover(Handover::Lost, dropped);
    }

    /// Wakes a connection up; tells whether it sees less than the filter wants to.
    fn restore(&self, rested: Rested) -> Result<bool, BadState> {
        let state = State::<Session, F::Memory>::read(&rested.state)?;
        let stream = Stream::from_fd(rested.stream)?;
        let connection = Connection::restored(stream, state, Arc::clone(&self.shared))?;
        self.shared.reserve(connection.id());
        let sees_less = connection.sees_less();
        let place = Place::take(&self.shared);
        Arc::clone(&self.shared).spawn(connection, place);
        Ok(sees_less)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::super::envelope::{HEAD, checksum};
    use super::super::serve::Counted;
    use super::*;
    use crate::limits::Limits;
    use crate::smtp::{Dialog, Needs, Stage};
    use crate::verdict::Decision;

    struct Quiet;

    impl Filter for Quiet {
        type Memory = ();

        fn needs(&self) -> Needs {
            Needs::default()
        }

        async fn judge(&self, _: Stage, _: &Dialog, (): &mut ()) -> Decision {
            Decision::default()
        }
    }

    #[tokio::test]
    async fn a_connection_that_another_thread_takes_as_a_hand_over_begins_is_not_lost() {
        let server = Server::new(Quiet, Limits::default());
        let accepting = Counted::new(&server.shared);
        let mut phase = server.shared.phase.subscribe();
        let handle = server.clone();
        let handing = tokio::spawn(async move { handle.hand_over(Duration::ZERO).await });
        phase.wait_for(|phase| *phase != Phase::Serving).await.expect("it begins");
        // accept() has returned, and the connection has no place yet.
        let (stream, _peer) = UnixStream::pair().expect("a connection");
        Arc::clone(&server.shared).take(Stream::Unix(stream));
        drop(accepting);
        assert_eq!(handing.await.expect("no panic").len(), 1);
    }

    #[test]
    fn what_is_packed_can_be_unpacked_and_nothing_else() {
        let states = [(0, &b"one"[..]), (7, b""), (8, b"three")];
        let packed = pack(states);
        assert_eq!(unpack(&packed).as_deref(), Ok(&states[..]));
        assert_eq!(packed.len(), HEAD + 3 * OVERHEAD + 8);
        for end in 0..packed.len() {
            assert!(unpack(&packed[..end]).is_err(), "cut at {end}");
        }
        for place in 0..packed.len() {
            let mut changed = packed.clone();
            changed[place] ^= 1;
            assert!(unpack(&changed).is_err(), "changed at {place}");
        }
        let mut later = packed.clone();
        later[11] = 2;
        assert_eq!(unpack(&later), Err(BadStates::Version(2)));
        assert_eq!(unpack(&[&packed[..], b"x"].concat()), Err(BadStates::Length));
    }

    #[test]
    fn a_length_that_lies_under_a_right_checksum_is_found_out() {
        let mut packed = pack([(1, &b"state"[..])]);
        packed[HEAD + 4..HEAD + 8].copy_from_slice(&u32::MAX.to_be_bytes());
        let sum = checksum(&packed[HEAD..]);
        packed[20..HEAD].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(unpack(&packed), Err(BadStates::Length));
    }

    #[test]
    fn any_octets_survive_as_text() {
        let input: Vec<u8> = (0..=255).collect();
        let state = State { session: 1, memory: (), input: input.clone(), output: Vec::new(), left: None };
        let read = State::<i32, ()>::read(&state.store().expect("stored")).expect("read");
        assert_eq!(read.input, input);
        let wrong = r#"{"session":1,"memory":null,"input":"\u0100"}"#.as_bytes();
        assert!(State::<i32, ()>::read(wrong).is_err());
    }
}
