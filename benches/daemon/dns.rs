//! The name server of the bench: the three DQS zones on UDP and TCP, well or badly behaved.
//!
//! A process of its own, so that its CPU is nobody's. It counts what it was asked, by name. Plain threads
//! and `thread::sleep`: an async timer counts in whole milliseconds, too coarse for a delay of 20.

use crate::Failure;
use crate::subject::{self, KEY};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What the server does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers after this many milliseconds.
    Answer(u64),
    Drop,
    Refuse,
    /// Answers with bytes that are no DNS message.
    Garbage,
}

impl Behaviour {
    pub(crate) fn word(self) -> String {
        match self {
            Self::Answer(delay) => format!("answer:{delay}"),
            Self::Drop => "drop".into(),
            Self::Refuse => "refuse".into(),
            Self::Garbage => "garbage".into(),
        }
    }
}

impl FromStr for Behaviour {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        match word.split_once(':') {
            Some(("answer", delay)) => Ok(Self::Answer(delay.parse()?)),
            None if word == "drop" => Ok(Self::Drop),
            None if word == "refuse" => Ok(Self::Refuse),
            None if word == "garbage" => Ok(Self::Garbage),
            _ => Err(format!("{word}: no such behaviour of the name server").into()),
        }
    }
}

type Counts = Arc<Mutex<HashMap<String, u64>>>;

/// Serves until standard input ends; prints its port first.
///
/// Each line on standard input is answered with the counts as one line of JSON, and sets them to zero.
pub(crate) fn serve(behaviour: Behaviour) -> Result<(), Failure> {
    let (udp, tcp) = bind()?;
    // A burst of 1,024 sessions asks 5,000 names at once; the default buffer holds some 250 of them, and
    // the loss would be the bench's fault. Past `rmem_max` only root may go.
    if setsockopt(&udp, sockopt::RcvBufForce, &(16 << 20)).is_err() {
        setsockopt(&udp, sockopt::RcvBuf, &(4 << 20))?;
    }
    let port = udp.local_addr()?.port();
    let counts = Counts::default();

    let seen = Arc::clone(&counts);
    thread::spawn(move || serve_udp(&udp, behaviour, &seen));
    let seen = Arc::clone(&counts);
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let seen = Arc::clone(&seen);
            thread::spawn(move || serve_tcp(stream, behaviour, &seen));
        }
    });

    let mut out = std::io::stdout().lock();
    writeln!(out, "{port}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let asked = std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
        writeln!(out, "{}", serde_json::to_string(&asked)?)?;
        out.flush()?;
    }
    Ok(())
}

/// One port for both: a free one for TCP may be taken for UDP, so there are some tries.
fn bind() -> Result<(UdpSocket, TcpListener), Failure> {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr()?) {
            return Ok((udp, tcp));
        }
    }
    Err("name server: no port that is free for both UDP and TCP".into())
}

fn serve_udp(socket: &UdpSocket, behaviour: Behaviour, counts: &Counts) {
    let (later, due) = mpsc::channel::<(Instant, Vec<u8>, SocketAddr)>();
    let delay = match behaviour {
        Behaviour::Answer(delay) => Duration::from_millis(delay),
        _ => Duration::ZERO,
    };
    if let Ok(socket) = socket.try_clone() {
        // The delay is the same for all, so first in is first out.
        thread::spawn(move || {
            for (when, answer, client) in due {
                thread::sleep(when.saturating_duration_since(Instant::now()));
                // A client that has gone away is no concern of a name server.
                let _ = socket.send_to(&answer, client);
            }
        });
    }
    let mut packet = [0; 1500];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet) else { continue };
        let Some(answer) = answer(&packet[..length], behaviour, counts) else { continue };
        if delay.is_zero() {
            let _ = socket.send_to(&answer, client);
        } else if later.send((Instant::now() + delay, answer, client)).is_err() {
            return;
        }
    }
}

/// One connection, one question after the other; ends with the first thing that goes wrong.
fn serve_tcp(mut stream: TcpStream, behaviour: Behaviour, counts: &Counts) -> Option<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).ok()?;
        let Some(answer) = answer(&query, behaviour, counts) else { continue };
        if let Behaviour::Answer(delay) = behaviour {
            thread::sleep(Duration::from_millis(delay));
        }
        stream.write_all(&u16::try_from(answer.len()).ok()?.to_be_bytes()).ok()?;
        stream.write_all(&answer).ok()?;
    }
}

/// What goes back for a query; `None` for silence.
fn answer(query: &[u8], behaviour: Behaviour, counts: &Counts) -> Option<Vec<u8>> {
    let question = Question::parse(query)?;
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(question.name.clone()).or_default() += 1;
    match behaviour {
        Behaviour::Drop => None,
        Behaviour::Refuse => Some(question.reply(query, REFUSED, &[])),
        // The right number in front, so that it is not thrown away as somebody else's answer.
        Behaviour::Garbage => Some([&query[..2], b"\x84\x80 this is no DNS message \xc0\xff\xc0"].concat()),
        Behaviour::Answer(_) => Some(question.resolve(query)),
    }
}

const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;
const REFUSED: u8 = 5;
const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const CLASS_IN: [u8; 2] = [0, 1];
const TTL: [u8; 4] = 300_u32.to_be_bytes();

/// A query of one question (RFC 1035, section 4.1.2).
struct Question {
    /// In lower case, without the last dot.
    name: String,
    kind: u16,
    /// Where the question ends in the query.
    end: usize,
    /// Where `dq.spamhaus.net` begins in the query, for compression.
    apex: usize,
}

impl Question {
    fn parse(query: &[u8]) -> Option<Self> {
        if query.get(2)? & 0x80 != 0 || query.get(4..6)? != [0, 1] {
            return None;
        }
        let (mut at, mut name, mut starts) = (12, String::new(), Vec::new());
        loop {
            let length = usize::from(*query.get(at)?);
            if length == 0 {
                break;
            }
            if length > 63 {
                return None;
            }
            starts.push(at);
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&String::from_utf8_lossy(query.get(at + 1..=at + length)?).to_ascii_lowercase());
            at += length + 1;
        }
        let kind = u16::from_be_bytes([*query.get(at + 1)?, *query.get(at + 2)?]);
        let apex = starts.len().checked_sub(3).map_or(12, |label| starts[label]);
        query.get(at + 3..at + 5)?;
        Some(Self { name, kind, end: at + 5, apex })
    }

    fn resolve(&self, query: &[u8]) -> Vec<u8> {
        // Lists that have nobody.
        if self.name.ends_with(".lists.example") {
            return self.reply(query, NAME_ERROR, &[]);
        }
        let zone = self.name.strip_suffix(".dq.spamhaus.net").and_then(|rest| rest.rsplit_once('.'));
        // A wrong key is refused, as by the real service: a filter that garbles it must not look clean.
        let Some((subject, zone)) = zone.and_then(|(rest, zone)| {
            rest.strip_suffix(KEY).and_then(|rest| rest.strip_suffix('.')).map(|subject| (subject, zone))
        }) else {
            return self.reply(query, REFUSED, &[]);
        };
        match subject::listing(zone, subject) {
            Some(address) if self.kind == TYPE_A => {
                let mut record = vec![0xc0, 12];
                record.extend(TYPE_A.to_be_bytes());
                record.extend(CLASS_IN);
                record.extend(TTL);
                record.extend([0, 4]);
                record.extend(address.octets());
                self.reply(query, NO_ERROR, &record)
            }
            Some(_) => self.reply(query, NO_ERROR, &[]),
            None => self.reply(query, NAME_ERROR, &[]),
        }
    }

    /// One answer record, or the SOA record that says how long a "no" holds (RFC 2308).
    fn reply(&self, query: &[u8], code: u8, record: &[u8]) -> Vec<u8> {
        let answers = u8::from(!record.is_empty());
        let authorities = u8::from(record.is_empty() && code != REFUSED);
        let mut reply = Vec::with_capacity(self.end + 64);
        reply.extend(&query[..2]);
        reply.extend([0x84 | (query[2] & 1), 0x80 | code, 0, 1, 0, answers, 0, authorities, 0, 0]);
        reply.extend(&query[12..self.end]);
        reply.extend(record);
        if authorities == 1 {
            let apex = [0xc0, u8::try_from(self.apex).unwrap_or(12)];
            reply.extend(apex);
            reply.extend(TYPE_SOA.to_be_bytes());
            reply.extend(CLASS_IN);
            reply.extend(TTL);
            reply.extend([0, 24]);
            reply.extend(apex); // primary server
            reply.extend(apex); // mailbox
            for number in [1, 60, 60, 3600, 300_u32] {
                reply.extend(number.to_be_bytes());
            }
        }
        reply
    }
}
