//! The name server of the bench: zones of its own or another server's, on UDP and TCP, well or badly behaved.
//!
//! A process of its own, so that its CPU is nobody's. It counts what it was asked, by name. Plain threads
//! and `thread::sleep`: an async timer counts in whole milliseconds, too coarse for a delay of 20.

use crate::Failure;
use crate::zones;
use nix::sys::socket::{setsockopt, sockopt};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What the server does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Behaviour {
    /// Answers after this many milliseconds.
    Answer(u64),
    Drop,
    Refuse,
    /// Says that it could not find out, as a resolver whose way out is gone.
    ServFail,
    /// Answers with bytes that are no DNS message.
    Garbage,
}

/// How a name server is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) behaviour: Behaviour,
    /// Of a hundred packets, how many are lost on the way here, and as many on the way back.
    pub(crate) loss: u32,
    /// 0: any that is free.
    pub(crate) port: u16,
    /// A server on UDP of loopback that knows the answers; otherwise the bench's own zones.
    pub(crate) upstream: Option<u16>,
}

impl Plan {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        Self { behaviour, loss: 0, port: 0, upstream: None }
    }
}

/// What the threads share.
struct Server {
    behaviour: RwLock<Behaviour>,
    loss: u32,
    upstream: Option<u16>,
    counts: Mutex<HashMap<String, u64>>,
}

/// Serves until standard input ends; prints its port first.
///
/// An empty line on standard input is answered with the counts as one line of JSON, and sets them to zero; another line
/// is a new behaviour.
pub(crate) fn serve(plan: &str) -> Result<(), Failure> {
    let plan: Plan = serde_json::from_str(plan)?;
    let (udp, tcp) = bind(plan.port)?;
    // A burst of 1,024 sessions asks 5,000 names at once; the default buffer holds some 250 of them, and
    // the loss would be the bench's fault. Past `rmem_max` only root may go.
    if setsockopt(&udp, sockopt::RcvBufForce, &(16 << 20)).is_err() {
        setsockopt(&udp, sockopt::RcvBuf, &(4 << 20))?;
    }
    let port = udp.local_addr()?.port();
    let server = Arc::new(Server {
        behaviour: RwLock::new(plan.behaviour),
        loss: plan.loss,
        upstream: plan.upstream,
        counts: Mutex::default(),
    });

    let shared = Arc::clone(&server);
    thread::spawn(move || serve_udp(&udp, &shared));
    let shared = Arc::clone(&server);
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || serve_tcp(stream, &shared));
        }
    });

    let mut out = std::io::stdout().lock();
    writeln!(out, "{port}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.is_empty() {
            *server.behaviour.write().unwrap_or_else(PoisonError::into_inner) = serde_json::from_str(&line)?;
        }
        let asked = std::mem::take(&mut *server.counts.lock().unwrap_or_else(PoisonError::into_inner));
        writeln!(out, "{}", serde_json::to_string(&asked)?)?;
        out.flush()?;
    }
    Ok(())
}

/// One port for both: a free one for TCP may be taken for UDP, so there are some tries.
fn bind(port: u16) -> Result<(UdpSocket, TcpListener), Failure> {
    for _ in 0..100 {
        let tcp = TcpListener::bind(("127.0.0.1", port))
            .map_err(|error| format!("name server: port {port}: {error}"))?;
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr()?) {
            return Ok((udp, tcp));
        }
    }
    Err("name server: no port that is free for both UDP and TCP".into())
}

fn serve_udp(socket: &UdpSocket, server: &Server) {
    let (later, due) = mpsc::channel::<(Instant, Vec<u8>, SocketAddr)>();
    let Ok(back) = socket.try_clone() else { return };
    // The delay is the same for all, so first in is first out.
    thread::spawn(move || {
        for (when, answer, client) in due {
            thread::sleep(when.saturating_duration_since(Instant::now()));
            // A client that has gone away is no concern of a name server.
            let _ = back.send_to(&answer, client);
        }
    });
    let (Ok(mut knowledge), mut dice) = (Knowledge::open(server.upstream), Dice::new()) else { return };
    let mut packet = [0; 1500];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet) else { continue };
        if dice.falls_below(server.loss) {
            continue;
        }
        let Some((answer, delay)) = server.answer(&packet[..length], &mut knowledge) else { continue };
        if dice.falls_below(server.loss) {
            continue;
        }
        if delay.is_zero() {
            let _ = socket.send_to(&answer, client);
        } else if later.send((Instant::now() + delay, answer, client)).is_err() {
            return;
        }
    }
}

/// What a lost segment costs before it is sent again: the least retransmission timeout of Linux.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// One connection with as many questions on their way as the client likes; ends with the first thing that goes wrong.
///
/// TCP loses nothing: a lost segment comes later, and so does everything behind it.
fn serve_tcp(mut stream: TcpStream, server: &Server) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (later, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let mut back = stream.try_clone().ok()?;
    thread::spawn(move || {
        for (when, answer) in due {
            thread::sleep(when.saturating_duration_since(Instant::now()));
            if back.write_all(&answer).is_err() {
                return;
            }
        }
    });
    let (mut knowledge, mut dice) = (Knowledge::open(server.upstream).ok()?, Dice::new());
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).ok()?;
        let Some((answer, mut delay)) = server.answer(&query, &mut knowledge) else { continue };
        for _way in 0..2 {
            if dice.falls_below(server.loss) {
                delay += RETRANSMISSION;
            }
        }
        let mut framed = u16::try_from(answer.len()).ok()?.to_be_bytes().to_vec();
        framed.extend(answer);
        if delay.is_zero() {
            stream.write_all(&framed).ok()?;
        } else {
            later.send((Instant::now() + delay, framed)).ok()?;
        }
    }
}

impl Server {
    /// What goes back for a query, and when; `None` for silence.
    fn answer(&self, query: &[u8], knowledge: &mut Knowledge) -> Option<(Vec<u8>, Duration)> {
        let question = zones::Question::parse(query)?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(question.name.clone()).or_default() += 1;
        drop(counts);
        let behaviour = *self.behaviour.read().unwrap_or_else(PoisonError::into_inner);
        match behaviour {
            Behaviour::Drop => None,
            Behaviour::Refuse => Some((question.refuse(query), Duration::ZERO)),
            Behaviour::ServFail => Some((question.fail(query), Duration::ZERO)),
            // The right number in front, so that it is not thrown away as somebody else's answer.
            Behaviour::Garbage => Some((
                [&query[..2], b"\x84\x80 this is no DNS message \xc0\xff\xc0"].concat(),
                Duration::ZERO,
            )),
            Behaviour::Answer(delay) => {
                let begun = Instant::now();
                let answer = match knowledge {
                    Knowledge::Own => question.resolve(query),
                    Knowledge::Upstream(socket) => ask(socket, query)?,
                };
                Some((answer, Duration::from_millis(delay).saturating_sub(begun.elapsed())))
            }
        }
    }
}

/// Where the answers come from.
enum Knowledge {
    Own,
    Upstream(UdpSocket),
}

impl Knowledge {
    fn open(upstream: Option<u16>) -> std::io::Result<Self> {
        let Some(port) = upstream else { return Ok(Self::Own) };
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self::Upstream(socket))
    }
}

/// One question after the other: on loopback an answer takes less time than a second thread would.
fn ask(socket: &UdpSocket, query: &[u8]) -> Option<Vec<u8>> {
    socket.send(query).ok()?;
    let mut packet = [0; 1500];
    loop {
        let length = socket.recv(&mut packet).ok()?;
        // An answer that came too late for the question before is not this one's.
        if packet.get(..2) == query.get(..2) {
            return Some(packet[..length].to_vec());
        }
    }
}

/// Which packets are lost: the same ones in each run.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn falls_below(&mut self, per_cent: u32) -> bool {
        // Xorshift, George Marsaglia: enough for a network.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        per_cent > 0 && (self.0 >> 32) % 100 < u64::from(per_cent)
    }
}
