//! A scripted name server on real loopback sockets, UDP and TCP on one port.
//!
//! It runs as tasks of the test's own runtime, so it obeys a stopped clock. What it answers to a name is an
//! [`Act`], chosen by a table; a name that is not in the table gets NXDOMAIN. Names are given as the lists
//! know them, without key and zone base: `2.0.8.8.zen`, `spam.example.dbl`. It keeps a record of every
//! question.
//!
//! ```ignore
//! let server = NameServer::start().await;
//! server.on("2.0.8.8.zen", Act::records(["127.0.0.2"]));
//! // … ask server.address() …
//! assert_eq!(server.count("2.0.8.8.zen"), 1);
//! ```

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// What the server does with a question.
#[derive(Clone)]
pub enum Act {
    /// Answers with these A records of this time to live, in seconds.
    Records(Vec<Ipv4Addr>, u32),
    /// The same behind an alias.
    Alias(Vec<Ipv4Addr>, u32),
    /// An alias that leads nowhere: NOERROR or NXDOMAIN.
    DeadAlias(ResponseCode),
    /// An alias of this name, and no records.
    AliasOf(&'static str),
    /// Two A records of 60 s, the first one of another name.
    Strange([Ipv4Addr; 2]),
    /// An AAAA record and nothing else.
    Aaaa,
    /// NXDOMAIN, with a SOA record of this time to live and minimum, or without.
    NotFound(Option<u32>),
    /// NOERROR without an answer, with or without SOA.
    Empty(Option<u32>),
    /// A bare response code, such as SERVFAIL.
    Code(ResponseCode),
    /// Nothing.
    Silence,
    /// The answer of the other act, after a while.
    After(Duration, Box<Act>),
    /// Over UDP an empty answer with the TC bit, over TCP the other act.
    Cut(Box<Act>),
    /// Over UDP the first act, over TCP the second.
    ByTransport(Box<Act>, Box<Act>),
    /// The other act's response with another identifier.
    WrongId(Box<Act>),
    /// The other act's response to another question.
    WrongQuestion(Box<Act>),
    /// The other act, and then the end of the connection it came over.
    Last(Box<Act>),
    /// These octets, after the question's identifier if `true`.
    Octets(bool, Vec<u8>),
    /// An A record of three octets.
    ShortRecord,
    /// Several responses, one after the other.
    Several(Vec<Act>),
}

impl Act {
    /// A records with the lists' usual time to live, 60 s.
    pub fn records<const N: usize>(records: [&str; N]) -> Self {
        Self::Records(records.map(|record| record.parse().expect("an address")).into(), 60)
    }

    /// This act, after a while.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self::After(time, Box::new(self))
    }
}

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// As a datagram.
    Udp,
    /// Over a connection.
    Tcp,
}

/// A question that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The whole name, with the final dot.
    pub full: String,
    /// The name without key and zone base.
    pub name: String,
    /// A, AAAA ….
    pub record_type: RecordType,
    /// How it came.
    pub transport: Transport,
    /// The payload size of its EDNS record.
    pub payload: Option<u16>,
    /// Its identifier.
    pub id: u16,
    /// The port it came from.
    pub port: u16,
}

impl Asked {
    /// The list: `zen`, `dbl`, `zrd`.
    pub fn list(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }
}

type Script = dyn Fn(&Asked) -> Option<Act> + Send + Sync;

#[derive(Default)]
struct Book {
    acts: HashMap<String, Act>,
    otherwise: Option<Act>,
    script: Option<Arc<Script>>,
    asked: Vec<Asked>,
}

/// The server; stops when dropped.
pub struct NameServer {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    tasks: Vec<JoinHandle<()>>,
}

impl NameServer {
    /// Starts a server on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        super::log::set_up();
        loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a UDP socket");
            let address = udp.local_addr().expect("an address");
            // The same port may be taken for TCP: then another one.
            let Ok(tcp) = TcpListener::bind(address).await else { continue };
            let book = Arc::<Mutex<Book>>::default();
            let tasks = vec![
                tokio::spawn(serve_udp(Arc::new(udp), Arc::clone(&book))),
                tokio::spawn(serve_tcp(tcp, Arc::clone(&book))),
            ];
            return Self { address, book, tasks };
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens when `name` is asked for.
    pub fn on(&self, name: &str, act: Act) {
        self.book().acts.insert(name.to_owned(), act);
    }

    /// From now on this happens when a name is asked for that is not in the table.
    pub fn otherwise(&self, act: Act) {
        self.book().otherwise = Some(act);
    }

    /// From now on `script` is asked first what to do.
    pub fn script(&self, script: impl Fn(&Asked) -> Option<Act> + Send + Sync + 'static) {
        self.book().script = Some(Arc::new(script));
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.book().asked.clone()
    }

    /// How often `name` was asked for.
    pub fn count(&self, name: &str) -> usize {
        self.asked().iter().filter(|asked| asked.name == name).count()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic under the lock")
    }

    /// How many questions came in all.
    pub fn total(&self) -> usize {
        self.book().asked.len()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, book: Arc<Mutex<Book>>) {
    let mut question = [0; 4_096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut question).await else { continue };
        let (message, act) = look_up(&question[..length], Transport::Udp, peer, &book);
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            for (wait, response) in responses(&message, &act, Transport::Udp) {
                pause(wait).await;
                let _ = socket.send_to(&response, peer).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, book: Arc<Mutex<Book>>) {
    loop {
        let Ok((mut stream, peer)) = listener.accept().await else { continue };
        let book = Arc::clone(&book);
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; length.into()];
                if stream.read_exact(&mut question).await.is_err() {
                    return;
                }
                let (message, act) = look_up(&question, Transport::Tcp, peer, &book);
                let responses = responses(&message, &act, Transport::Tcp);
                let is_last = is_last(&act);
                if responses.is_empty() && !is_last {
                    // Silence is an open connection on which nothing comes.
                    std::future::pending::<()>().await;
                }
                for (wait, response) in responses {
                    pause(wait).await;
                    let length = u16::try_from(response.len()).expect("a short response");
                    let framed = [&length.to_be_bytes()[..], &response].concat();
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
                if is_last {
                    return;
                }
            }
        });
    }
}

fn is_last(act: &Act) -> bool {
    match act {
        Act::Last(_) => true,
        Act::Cut(act) | Act::ByTransport(_, act) => is_last(act),
        _ => false,
    }
}

/// tokio takes a sleep of nothing for one to the next millisecond, which a stopped clock never sees.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn look_up(question: &[u8], transport: Transport, peer: SocketAddr, book: &Mutex<Book>) -> (Message, Act) {
    let message = Message::from_vec(question).expect("a question that can be read");
    let query = message.queries.first().expect("a question");
    let full = plain(query.name());
    let asked = Asked {
        name: short(&full),
        full,
        record_type: query.query_type(),
        transport,
        payload: message.edns.as_ref().map(hickory_proto::op::Edns::max_payload),
        id: message.id,
        port: peer.port(),
    };
    let mut book = book.lock().expect("no panic under the lock");
    book.asked.push(asked.clone());
    let scripted = book.script.clone().and_then(|script| script(&asked));
    let act = scripted
        .or_else(|| book.acts.get(&asked.name).cloned())
        .or_else(|| book.otherwise.clone())
        .unwrap_or(Act::NotFound(Some(60)));
    (message, act)
}

/// The labels as they are, without the escapes of the presentation form.
fn plain(name: &Name) -> String {
    let labels: Vec<_> = name.iter().map(String::from_utf8_lossy).collect();
    labels.join(".") + "."
}

/// `2.0.8.8.KEY.zen.dq.spamhaus.net.` → `2.0.8.8.zen`.
fn short(full: &str) -> String {
    let labels: Vec<&str> = full.trim_end_matches('.').split('.').collect();
    match labels.iter().rposition(|label| matches!(*label, "zen" | "dbl" | "zrd" | "authbl")) {
        Some(zone) if zone > 0 => [&labels[..zone - 1], &labels[zone..=zone]].concat().join("."),
        _ => full.to_owned(),
    }
}

/// What is sent, each after a pause.
fn responses(question: &Message, act: &Act, transport: Transport) -> Vec<(Duration, Vec<u8>)> {
    let at_once = |octets| vec![(Duration::ZERO, octets)];
    match (act, transport) {
        (Act::Silence, _) => Vec::new(),
        (Act::After(time, act), _) => {
            let mut responses = responses(question, act, transport);
            if let Some((wait, _)) = responses.first_mut() {
                *wait += *time;
            }
            responses
        }
        (Act::Several(acts), _) => acts.iter().flat_map(|act| responses(question, act, transport)).collect(),
        (Act::Cut(_), Transport::Udp) => {
            let mut response = blank(question);
            response.metadata.truncation = true;
            at_once(response.to_vec().expect("a response"))
        }
        (Act::Last(act), _)
        | (Act::ByTransport(act, _), Transport::Udp)
        | (Act::Cut(act) | Act::ByTransport(_, act), Transport::Tcp) => responses(question, act, transport),
        (Act::WrongId(act), _) => {
            let mut responses = responses(question, act, transport);
            for (_, octets) in &mut responses {
                octets[0] ^= 0x55;
            }
            responses
        }
        (Act::WrongQuestion(act), _) => {
            let mut other = question.clone();
            let name = Name::from_ascii("2.0.0.127.other.example.").expect("a name");
            other.queries = vec![Query::query(name, RecordType::A)];
            responses(&other, act, transport)
        }
        (Act::Octets(with_id, octets), _) => {
            let id = question.id.to_be_bytes();
            at_once(if *with_id { [&id[..], octets].concat() } else { octets.clone() })
        }
        (Act::ShortRecord, _) => {
            let response = filled(question, &Act::records(["127.0.0.2"]));
            let mut octets = response.to_vec().expect("a response");
            // The last six octets are the length and the four octets of the address.
            let length = octets.len() - 5;
            octets[length] = 3;
            octets.pop();
            at_once(octets)
        }
        (act, _) => at_once(filled(question, act).to_vec().expect("a response")),
    }
}

fn blank(question: &Message) -> Message {
    let mut response = Message::response(question.id, question.op_code);
    response.metadata.message_type = MessageType::Response;
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    response.add_query(question.queries[0].clone());
    response
}

fn filled(question: &Message, act: &Act) -> Message {
    let mut response = blank(question);
    let name = question.queries[0].name().clone();
    let elsewhere = Name::from_ascii("target.example.").expect("a name");
    let alias = Record::from_rdata(name.clone(), 60, RData::CNAME(CNAME(elsewhere.clone())));
    match act {
        Act::Records(records, ttl) => {
            for record in records {
                response.add_answer(Record::from_rdata(name.clone(), *ttl, RData::A(A(*record))));
            }
        }
        Act::Alias(records, ttl) => {
            response.add_answer(alias);
            for record in records {
                response.add_answer(Record::from_rdata(elsewhere.clone(), *ttl, RData::A(A(*record))));
            }
        }
        Act::DeadAlias(code) => {
            response.add_answer(alias);
            response.metadata.response_code = *code;
        }
        Act::AliasOf(target) => {
            let target = Name::from_ascii(target).expect("a name");
            response.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(target))));
        }
        Act::Strange([first, second]) => {
            response.add_answer(Record::from_rdata(elsewhere, 60, RData::A(A(*first))));
            response.add_answer(Record::from_rdata(name, 60, RData::A(A(*second))));
        }
        Act::Aaaa => {
            let loopback = RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1));
            response.add_answer(Record::from_rdata(name, 60, loopback));
        }
        Act::NotFound(soa) | Act::Empty(soa) => {
            if matches!(act, Act::NotFound(_)) {
                response.metadata.response_code = ResponseCode::NXDomain;
            }
            if let Some(ttl) = soa {
                let root = Name::root();
                let soa = SOA::new(root.clone(), root.clone(), 1, 3_600, 600, 86_400, *ttl);
                response.add_authority(Record::from_rdata(root, *ttl, RData::SOA(soa)));
            }
        }
        Act::Code(code) => response.metadata.response_code = *code,
        _ => unreachable!("handled where responses are made"),
    }
    response
}
