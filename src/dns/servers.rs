//! The name servers, and how a question is put to them until one answers.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::Settings;
use super::answer::{Answer, Fault, Reply, classify};
use super::exchange::{Exchange, Transport};
use super::hedge::{Allowance, Pace};
use super::landing::GRACE;
use super::question::Question;
use crate::verdict::{List, Trouble};

/// How long a server that kept silent is asked after all others.
const PENALTY: Duration = Duration::from_secs(30);

/// How often a question is asked beside the planned tries, when its datagram may be lost. Of a hundred packets lost
/// two, one question in 2,500 still waits for a planned try then.
const HEDGES: u32 = 2;

/// The name servers, in the order of the settings, and how they did of late.
pub(super) struct Servers {
    addresses: Vec<SocketAddr>,
    per_try: Duration,
    record: Mutex<Record>,
    exchange: Exchange,
}

struct Record {
    /// By server: since when it kept silent.
    silent: Vec<Option<Instant>>,
    /// By server.
    paces: Vec<Pace>,
    hedges: Allowance,
}

impl Record {
    fn is_ill(&self, server: usize, now: Instant) -> bool {
        self.silent[server].is_some_and(|since| now.duration_since(since) < PENALTY)
    }
}

impl Servers {
    pub(super) fn new(settings: &Settings) -> Self {
        let addresses = settings.servers.clone();
        let record = Mutex::new(Record {
            silent: vec![None; addresses.len()],
            paces: vec![Pace::default(); addresses.len()],
            hedges: Allowance::default(),
        });
        // Every try is listened to as long as its question lives.
        let exchange = Exchange::new(settings.lifetime + GRACE);
        Self { addresses, per_try: settings.per_try, record, exchange }
    }

    /// The two servers to ask first, by number; fewer if there are fewer.
    fn first_two(&self) -> (Option<usize>, Option<usize>) {
        let now = Instant::now();
        let record = self.record();
        let is_ill = |server: &usize| record.is_ill(*server, now);
        let all = 0..self.addresses.len();
        let mut order = all.clone().filter(|server| !is_ill(server)).chain(all.filter(is_ill));
        (order.next(), order.next())
    }

    /// How long to wait for this server before its question is asked again; none if that is not known.
    fn patience(&self, server: usize) -> Option<Duration> {
        let mut record = self.record();
        record.hedges.earn();
        record.paces[server].patience()
    }

    pub(super) fn health(&self) -> Vec<ServerHealth> {
        let now = Instant::now();
        let silent = self.record().silent.clone();
        let ago = |since: Option<Instant>| Some(now.duration_since(since?)).filter(|ago| *ago < PENALTY);
        self.addresses
            .iter()
            .zip(silent)
            .map(|(&address, since)| ServerHealth { address, silent: ago(since) })
            .collect()
    }

    fn blame(&self, server: usize) {
        self.record().silent[server] = Some(Instant::now());
    }

    /// It answered, a datagram after this time.
    fn praise(&self, server: usize, took: Option<Duration>) {
        let mut record = self.record();
        record.silent[server] = None;
        if let Some(took) = took {
            record.paces[server].learn(took);
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a name server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerHealth {
    /// Its address.
    pub address: SocketAddr,
    /// How long ago it last kept silent, if that still counts against it: it is asked after the others then.
    pub silent: Option<Duration>,
}

/// One question put to the servers.
///
/// UDP to the first server, after `per_try` UDP to the second (or the first again), after that TCP. Earlier
/// tries are still listened to. A server that says SERVFAIL or REFUSED is asked no more: the next one is,
/// once, and then that is the answer.
///
/// Beside that, a first datagram that is not answered when answers usually have come is [hedged](HEDGES).
pub(super) struct Round<'a> {
    pub(super) servers: &'a Servers,
    pub(super) question: &'a Question,
    pub(super) list: List,
}

impl Round<'_> {
    /// Asks until `deadline`. If nobody has answered by then, `late` is told, and answers are waited for
    /// until `end`; such a late one is the result then.
    pub(super) async fn run(
        &self,
        deadline: Instant,
        end: Instant,
        late: impl FnOnce(Trouble),
    ) -> Result<Reply, Trouble> {
        let (Some(first), second) = self.servers.first_two() else { return Err(Trouble::Network) };
        let mut plan = Plan::new(first, second);
        let mut tries = FuturesUnordered::new();
        let mut hedges = Hedges::new(first, second, self.servers.patience(first));
        tries.push(self.ask(first, Transport::Udp, Role::Planned));
        let mut next = Instant::now() + self.servers.per_try;
        loop {
            let hedge =
                hedges.next.filter(|at| plan.stage == Stage::FirstDatagram && *at < next.min(deadline));
            let step = tokio::select! {
                biased;
                Some(made) = tries.next(), if !tries.is_empty() => {
                    let Tried { server, transport, role, took, result } = made;
                    match result {
                        // Who may not ask through another server still may through the first.
                        Ok(reply) if role == Role::Hedge && server != first && self.is_about_us(&reply) => Step::Wait,
                        Ok(reply) => {
                            let took = (transport == Transport::Udp).then_some(took);
                            self.servers.praise(server, took);
                            return Ok(reply);
                        }
                        // Not there at all: no loss of time, and no blame, for it is not needed.
                        Err(Fault::Unreachable) if role == Role::Hedge && server != first => {
                            tries.push(self.ask(first, Transport::Udp, Role::Hedge));
                            Step::Wait
                        }
                        // What another server cannot answer either is the first one's to tell.
                        Err(fault) if role == Role::Hedge && server != first && fault != Fault::Truncated => {
                            Step::Wait
                        }
                        Err(fault) => {
                            if matches!(fault, Fault::Garbled | Fault::Unreachable) {
                                self.servers.blame(server);
                            }
                            plan.after(server, transport, fault)
                        }
                    }
                }
                () = sleep_until(hedge.unwrap_or(next.min(deadline))) => {
                    if hedge.is_some() {
                        if let Some(server) = hedges.take(self.servers) {
                            tries.push(self.ask(server, Transport::Udp, Role::Hedge));
                        }
                        continue;
                    }
                    self.servers.blame(plan.current);
                    if Instant::now() >= deadline {
                        break;
                    }
                    plan.after_silence()
                }
            };
            match step {
                Step::Ask(server, transport) => {
                    tries.push(self.ask(server, transport, Role::Planned));
                    next = if transport == Transport::Udp {
                        Instant::now() + self.servers.per_try
                    } else {
                        deadline
                    };
                }
                Step::Wait if tries.is_empty() => return Err(plan.trouble(Trouble::Network)),
                Step::Wait => next = next.max(Instant::now()),
                Step::Enough => return Err(plan.trouble(Trouble::Network)),
            }
        }
        let trouble = plan.trouble(Trouble::Timeout);
        late(trouble);
        loop {
            tokio::select! {
                biased;
                Some(made) = tries.next(), if !tries.is_empty() => if let Ok(reply) = made.result {
                    return Ok(reply);
                },
                () = sleep_until(end), if !tries.is_empty() => return Err(trouble),
                else => return Err(trouble),
            }
        }
    }

    /// Whether a reply says nothing about the subject: the operator's codes, and answers that were rewritten.
    fn is_about_us(&self, reply: &Reply) -> bool {
        matches!(classify(self.list, &reply.records), Answer::Failed(_))
    }

    async fn ask(&self, server: usize, transport: Transport, role: Role) -> Tried {
        let Servers { addresses, exchange, .. } = self.servers;
        let start = Instant::now();
        let result = exchange.ask(addresses[server], transport, self.question).await;
        Tried { server, transport, role, took: start.elapsed(), result }
    }
}

/// What became of one try.
struct Tried {
    server: usize,
    transport: Transport,
    role: Role,
    took: Duration,
    result: Result<Reply, Fault>,
}

/// Why a try was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Planned,
    /// Because the first datagram may be lost.
    Hedge,
}

/// The datagrams beside the plan.
struct Hedges {
    first: usize,
    second: Option<usize>,
    /// When the next one is due.
    next: Option<Instant>,
    /// Until the one after that.
    pause: Duration,
    sent: u32,
}

impl Hedges {
    fn new(first: usize, second: Option<usize>, patience: Option<Duration>) -> Self {
        let pause = patience.unwrap_or_default();
        Self { first, second, next: patience.map(|patience| Instant::now() + patience), pause, sent: 0 }
    }

    /// Whom to ask now: another server if there is a healthy one, for it may be the first one that is slow, and
    /// then the first one again. Nobody when the budget is used up.
    fn take(&mut self, servers: &Servers) -> Option<usize> {
        let now = Instant::now();
        let mut record = servers.record();
        if !record.hedges.spend() {
            self.next = None;
            return None;
        }
        self.sent += 1;
        self.next = (self.sent < HEDGES).then_some(now + self.pause);
        let other = self.second.filter(|second| self.sent == 1 && !record.is_ill(*second, now));
        Some(other.unwrap_or(self.first))
    }
}

/// What to try after what has happened so far. Knows no clock and no socket.
struct Plan {
    first: usize,
    second: Option<usize>,
    /// The server whose turn it is: it is blamed for silence.
    current: usize,
    stage: Stage,
    /// The first server that lost or garbled a datagram, and so is worth a connection.
    lossy: Option<usize>,
    /// SERVFAIL or REFUSED, and which server said so.
    said: Option<(usize, Fault)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    FirstDatagram,
    SecondDatagram,
    Connection,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Ask(usize, Transport),
    /// For the tries under way.
    Wait,
    Enough,
}

impl Plan {
    fn new(first: usize, second: Option<usize>) -> Self {
        Self { first, second, current: first, stage: Stage::FirstDatagram, lossy: None, said: None }
    }

    fn after_silence(&mut self) -> Step {
        self.lossy = self.lossy.or(Some(self.current));
        // The only server is asked again: the datagram may be lost.
        let again = self.said.is_none().then_some(self.first);
        self.advance(again)
    }

    fn after(&mut self, server: usize, transport: Transport, fault: Fault) -> Step {
        match fault {
            Fault::Truncated if transport == Transport::Udp => {
                (self.said, self.stage) = (None, Stage::Connection);
                self.current = server;
                Step::Ask(server, Transport::Tcp)
            }
            // One that was asked again before its try was over says it again.
            Fault::ServFail | Fault::Refused if self.said.is_some_and(|(before, _)| before == server) => {
                Step::Wait
            }
            Fault::ServFail | Fault::Refused => {
                let last_word = self.said.is_some() || self.second.is_none_or(|second| second == server);
                self.said = Some((server, fault));
                match self.stage {
                    _ if last_word => Step::Enough,
                    Stage::FirstDatagram => self.advance(None),
                    Stage::SecondDatagram | Stage::Connection => Step::Wait,
                }
            }
            Fault::Truncated | Fault::Garbled | Fault::Unreachable => {
                if fault == Fault::Garbled && transport == Transport::Udp {
                    self.lossy = self.lossy.or(Some(server));
                }
                if server == self.current { self.advance(None) } else { Step::Wait }
            }
        }
    }

    fn advance(&mut self, again: Option<usize>) -> Step {
        if self.stage == Stage::FirstDatagram
            && let Some(server) = self.second.or(again)
        {
            self.stage = Stage::SecondDatagram;
            self.current = server;
            return Step::Ask(server, Transport::Udp);
        }
        if self.said.is_some() {
            return Step::Enough;
        }
        match self.lossy {
            Some(server) if self.stage != Stage::Connection => {
                self.stage = Stage::Connection;
                self.current = server;
                Step::Ask(server, Transport::Tcp)
            }
            _ => Step::Wait,
        }
    }

    fn trouble(&self, otherwise: Trouble) -> Trouble {
        self.said.map_or(otherwise, |(_, fault)| fault.trouble())
    }
}

#[cfg(test)]
mod tests {
    use super::Step::{Ask, Enough, Wait};
    use super::Transport::{Tcp, Udp};
    use super::*;

    #[test]
    fn silence_leads_from_server_to_server_and_to_tcp() {
        let mut two = Plan::new(0, Some(1));
        assert_eq!(two.after_silence(), Ask(1, Udp));
        assert_eq!(two.after_silence(), Ask(0, Tcp));
        assert_eq!(two.after_silence(), Wait);
        let mut one = Plan::new(0, None);
        assert_eq!(one.after_silence(), Ask(0, Udp));
        assert_eq!(one.after_silence(), Ask(0, Tcp));
    }

    #[test]
    fn a_second_opinion_on_an_error_is_asked_for_once() {
        let mut one = Plan::new(0, None);
        assert_eq!(one.after(0, Udp, Fault::ServFail), Enough);
        let mut two = Plan::new(0, Some(1));
        assert_eq!(two.after(0, Udp, Fault::Refused), Ask(1, Udp));
        assert_eq!(two.after(1, Udp, Fault::ServFail), Enough);
        assert_eq!(two.trouble(Trouble::Network), Trouble::ServFail);
        let mut silent = Plan::new(0, Some(1));
        assert_eq!(silent.after(0, Udp, Fault::Refused), Ask(1, Udp));
        assert_eq!(silent.after_silence(), Enough);
        assert_eq!(silent.trouble(Trouble::Network), Trouble::Refused);
        let mut late = Plan::new(0, Some(1));
        assert_eq!(late.after_silence(), Ask(1, Udp));
        assert_eq!(late.after(0, Udp, Fault::ServFail), Wait);
        let mut repeated = Plan::new(0, Some(1));
        assert_eq!(repeated.after(0, Udp, Fault::ServFail), Ask(1, Udp));
        assert_eq!(repeated.after(0, Udp, Fault::ServFail), Wait, "the same opinion again");
        assert_eq!(repeated.after(1, Udp, Fault::Refused), Enough);
        let mut alone = Plan::new(0, Some(1));
        assert_eq!(alone.after_silence(), Ask(1, Udp));
        assert_eq!(alone.after(1, Udp, Fault::Refused), Enough, "the first one is silent");
        assert_eq!(alone.trouble(Trouble::Network), Trouble::Refused);
    }

    #[test]
    fn a_server_that_cannot_be_reached_costs_no_time() {
        let mut one = Plan::new(0, None);
        assert_eq!(one.after(0, Udp, Fault::Unreachable), Wait, "and nothing is under way");
        let mut two = Plan::new(0, Some(1));
        assert_eq!(two.after(0, Udp, Fault::Unreachable), Ask(1, Udp));
        assert_eq!(two.after(1, Udp, Fault::Unreachable), Wait);
        let mut lost = Plan::new(0, Some(1));
        assert_eq!(lost.after_silence(), Ask(1, Udp));
        assert_eq!(lost.after(1, Udp, Fault::Unreachable), Ask(0, Tcp));
    }

    #[test]
    fn what_udp_cut_or_garbled_is_asked_over_tcp() {
        let mut cut = Plan::new(0, Some(1));
        assert_eq!(cut.after(0, Udp, Fault::Truncated), Ask(0, Tcp));
        assert_eq!(cut.after(0, Tcp, Fault::Truncated), Wait);
        let mut garbled = Plan::new(0, None);
        assert_eq!(garbled.after(0, Udp, Fault::Garbled), Ask(0, Tcp));
        assert_eq!(garbled.after(0, Tcp, Fault::Garbled), Wait);
        let mut second_thoughts = Plan::new(0, Some(1));
        assert_eq!(second_thoughts.after(0, Udp, Fault::ServFail), Ask(1, Udp));
        assert_eq!(second_thoughts.after(1, Udp, Fault::Truncated), Ask(1, Tcp));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_asked_last_for_half_a_minute() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let settings = Settings { servers: vec![address(1), address(2)], ..Settings::default() };
        let servers = Servers::new(&settings);
        servers.blame(0);
        assert_eq!(servers.first_two(), (Some(1), Some(0)));
        tokio::time::advance(PENALTY).await;
        assert_eq!(servers.first_two(), (Some(0), Some(1)));
        servers.blame(1);
        servers.praise(1, None);
        servers.blame(0);
        servers.praise(0, None);
        assert_eq!(servers.first_two(), (Some(0), Some(1)));
    }
}
