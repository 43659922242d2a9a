//! Open sessions to the next process, through the service manager's descriptor store.
//!
//! Each connection goes under a name of its own, `session-N`, and the states of all of them in one sealed
//! memory file, `sessions`; [`answers`] go with them. Where the store does not take them all, or there is none, sessions are drained.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::answers;
use super::store::Store;
use crate::dns::Dns;
use crate::gate::Gate;
use crate::server::{BadStates, OVERHEAD, Rested, Server, pack, unpack};

/// How long look-ups under way may take to end, while all other sessions wait: time for a second try after
/// a lost packet. Those that do not end are asked again by the next process.
const JUDGING: Duration = Duration::from_secs(1);
/// How long sessions that do not fit into the store may take to end: the others wait for that.
const REST: Duration = Duration::from_secs(1);
/// Octets of all states together. A usual one has below 1,000; a large packet that is half received, or an
/// answer that is half sent, has its own length and more.
const STATES: usize = 64 << 20;
/// The name of the file with the states.
const SESSIONS: &str = "sessions";
/// What the names of connections begin with.
const SESSION: &str = "session-";

/// Why states that a process left behind cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there are none")]
    Missing,
    #[error("there are several")]
    Several,
    #[error("they are in no sealed memory file")]
    Unsealed,
    #[error("they have {0} octets, more than {STATES}")]
    Large(u64),
    #[error(transparent)]
    Bad(#[from] BadStates),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Ends serving: hands all sessions to the service manager for the next process, and drains what cannot be
/// handed over. [`Server::serve`] returns when all is done.
pub(super) async fn leave(server: &Server<Gate>, dns: &Dns) {
    let Some(store) = Store::open() else { return server.drain() };
    // A service manager that does not answer must not keep the sessions waiting.
    let probed = tokio::task::spawn_blocking(move || (store.has_room(), store)).await;
    let Ok((has_room, store)) = probed else { return server.drain() };
    let room = match (Store::limit(), has_room) {
        // Two places are for the states and for a last look whether all was kept.
        (limit, Ok(true)) => limit.unwrap_or(usize::MAX).saturating_sub(2),
        (_, Ok(false)) => 0,
        (_, Err(error)) => {
            tracing::warn!(event = "handover", %error, "the service manager does not answer; open sessions are drained");
            return server.drain();
        }
    };
    if room == 0 {
        tracing::info!(
            event = "handover",
            handed = 0,
            "no room in the descriptor store (FileDescriptorStoreMax=); open sessions are drained"
        );
        return server.drain();
    }
    let start = Instant::now();
    let mut rested = server.hand_over(JUDGING).await;
    // Who waits for an answer comes first.
    rested.sort_by_key(|rested| !rested.in_message);
    let drained = rested.split_off(fitting(&rested, room));
    match push(&store, &rested) {
        Ok(true) => {
            server.count_handed(rested.len());
            // In the place of the last look, while the sessions wait for the next process anyway.
            let answers = answers::leave(&store, dns).unwrap_or_else(|error| {
                tracing::warn!(event = "answers", %error, "remembered answers are lost");
                0
            });
            let took = start.elapsed().as_millis();
            tracing::info!(
                event = "handover",
                handed = rested.len(),
                drained = drained.len(),
                answers,
                took,
                "open sessions wait for the next process"
            );
            if !drained.is_empty() {
                server.drain_within(REST);
                server.take_back(drained);
            }
        }
        outcome => {
            let error = outcome.err().map_or_else(|| "it has no room".to_owned(), |error| error.to_string());
            tracing::warn!(
                event = "handover",
                handed = 0,
                drained = rested.len() + drained.len(),
                error,
                "the service manager did not keep all sessions (FileDescriptorStoreMax=); they are drained"
            );
            for name in (0..rested.len()).map(name).chain([SESSIONS.to_owned()]) {
                let _ = store.forget(&name);
            }
            server.drain();
            server.take_back(rested.into_iter().chain(drained));
        }
    }
}

/// Takes over what the process before left in the store, and empties the store. To be called on a runtime
/// that lasts as long as the sessions.
pub(super) fn take_over(server: &Server<Gate>, dns: &Dns, stored: Vec<(String, OwnedFd)>) {
    if stored.is_empty() {
        return;
    }
    if let Some(store) = Store::open() {
        // Before anything is said: after a crash nobody must go on from states that are out of date.
        let mut names: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let failed = names.into_iter().find_map(|name| store.forget(name).err());
        if let Some(error) = failed {
            tracing::warn!(event = "handover", %error, "the service manager's descriptor store cannot be emptied");
        }
    }
    let (remembered, stored): (Vec<_>, Vec<_>) =
        stored.into_iter().partition(|(name, _)| name == answers::ANSWERS);
    answers::take_over(dns, remembered);
    if stored.is_empty() {
        return;
    }
    let (states, sessions): (Vec<_>, Vec<_>) = stored.into_iter().partition(|(name, _)| name == SESSIONS);
    let (states, why) = match read(states) {
        Ok(states) => (states, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let mut streams = Streams::sort(sessions);
    let mut closed = 0;
    let rested: Vec<Rested> = states
        .into_iter()
        .filter_map(|(number, state)| {
            let stream = streams.take(number);
            // The MTA hung up meanwhile, and the service manager noticed first.
            closed += usize::from(stream.is_none());
            Some(Rested { stream: stream?, state, in_message: false })
        })
        .collect();
    let taken = server.take_over(rested);
    let stray = streams.count;
    server.count_dropped(stray);
    let dropped = taken.dropped + stray;
    let taken = taken.taken;
    match why {
        Some(why) => tracing::error!(
            event = "handover", taken, dropped, closed, %why,
            "sessions of the process before are closed: their states cannot be used"
        ),
        None if dropped > 0 => tracing::error!(
            event = "handover",
            taken,
            dropped,
            closed,
            "some sessions of the process before are closed"
        ),
        None => tracing::info!(event = "handover", taken, dropped, closed, "open sessions go on here"),
    }
}

/// Connections by number; those whose name is not clear stay here to be counted.
struct Streams {
    by_number: BTreeMap<u32, Option<OwnedFd>>,
    count: usize,
}

impl Streams {
    fn sort(sessions: Vec<(String, OwnedFd)>) -> Self {
        let mut by_number = BTreeMap::new();
        let count = sessions.len();
        for (name, stream) in sessions {
            let number = name.strip_prefix(SESSION).and_then(|number| number.parse().ok());
            // A name that comes twice tells nothing.
            let twice = |slot: &mut Option<OwnedFd>| *slot = None;
            if let Some(number) = number {
                by_number.entry(number).and_modify(twice).or_insert(Some(stream));
            }
        }
        Self { by_number, count }
    }

    fn take(&mut self, number: u32) -> Option<OwnedFd> {
        let stream = self.by_number.get_mut(&number)?.take();
        self.count -= usize::from(stream.is_some());
        stream
    }
}

fn name(number: usize) -> String {
    format!("{SESSION}{number}")
}

/// How many of the first connections have room.
fn fitting(rested: &[Rested], room: usize) -> usize {
    let mut octets = 0;
    let fits = |rested: &&Rested| {
        octets += rested.state.len() + OVERHEAD;
        octets < STATES - 1_024
    };
    rested.iter().take(room).take_while(fits).count()
}

/// Gives connections and their states to the service manager; `false` if it did not keep them.
fn push(store: &Store, rested: &[Rested]) -> io::Result<bool> {
    if rested.is_empty() {
        return Ok(true);
    }
    let packed = pack((0..).zip(rested.iter().map(|rested| &rested.state[..])));
    store.keep(SESSIONS, sealed(&packed)?)?;
    for (number, rested) in rested.iter().enumerate() {
        store.keep(&name(number), &rested.stream)?;
    }
    // It comes to messages in their order. If there is room for one more, there was room for all.
    store.has_room()
}

/// A file in memory that nobody can change any more.
pub(super) fn sealed(octets: &[u8]) -> io::Result<File> {
    let mut file =
        File::from(memfd_create(c"gatepost", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(octets)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals() | SealFlag::F_SEAL_SEAL))?;
    Ok(file)
}

/// The seals without which a file may change while it is read.
fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

/// The states that a process left behind.
fn read(files: Vec<(String, OwnedFd)>) -> Result<Vec<(u32, Vec<u8>)>, Unusable> {
    let octets = contents(files)?;
    Ok(unpack(&octets)?.into_iter().map(|(number, state)| (number, state.to_owned())).collect())
}

/// What is in the one file of a kind.
pub(super) fn contents(mut files: Vec<(String, OwnedFd)>) -> Result<Vec<u8>, Unusable> {
    let (_, file) = files.pop().ok_or(Unusable::Missing)?;
    if !files.is_empty() {
        return Err(Unusable::Several);
    }
    let sealed = fcntl(&file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    if !sealed.is_ok_and(|sealed| sealed.contains(seals())) {
        return Err(Unusable::Unsealed);
    }
    let file = File::from(file);
    let length = file.metadata()?.len();
    let size = usize::try_from(length).ok().filter(|size| *size <= STATES).ok_or(Unusable::Large(length))?;
    let mut octets = vec![0; size];
    file.read_exact_at(&mut octets, 0)?;
    Ok(octets)
}
