//! UDP sockets, and the questions that wait at them.
//!
//! A name server on this host is asked over a few sockets that serve many questions. Any other one gets a socket, and with it a
//! port, for each datagram: off this host the port is half of what a forger has to guess (RFC 5452, section 9.2),
//! while what comes from a loopback address was sent by this host, and by the socket that has the name server's port.
//! All sockets are connected, so the kernel drops what comes from elsewhere, and tells when nobody listens.
//!
//! No clock, no second try.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::answer::{Fault, Reply};
use super::query::{PAYLOAD, Query, id};
use super::question::Question;
use super::wire::silently;

/// Questions that wait at one socket at once. Their answers, most of them below 512 octets and each with the kernel's
/// own overhead of as much, fit into its receive buffer even if we read none of them meanwhile.
const WAITING: usize = 128;

/// The receive buffer that is asked for. Linux gives 208 KiB without asking, and as a rule no more than 416.
const BUFFER: usize = 512 << 10;

/// How many questions, and for how long, one socket is given: then it is another port's turn.
const QUESTIONS: u32 = 1_024;
const AGE: Duration = Duration::from_secs(30);

/// Puts a question to `server` once, from a port of its own, and waits for the answer, for ever if need be.
pub(super) async fn ask_alone(server: SocketAddr, question: &Question) -> Result<Reply, Fault> {
    let query = Query::new(question).ok_or(Fault::Garbled)?;
    let socket = open(server).map_err(|_| Fault::Unreachable)?;
    send(&socket, query.octets()).await.map_err(|_| Fault::Unreachable)?;
    let mut datagram = vec![0; PAYLOAD.into()];
    loop {
        let length = socket.recv(&mut datagram).await.map_err(|_| Fault::Unreachable)?;
        if let Some(said) = query.read(&datagram[..length]) {
            return said;
        }
    }
}

/// The sockets to a name server on this host.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<Arc<Line>>>);

impl Lines {
    /// Puts a question to `server` once, and waits for the answer, for ever if need be.
    pub(super) async fn ask(&self, server: SocketAddr, question: &Question) -> Result<Reply, Fault> {
        loop {
            let query = Query::new(question).ok_or(Fault::Garbled)?;
            let line = self.pick(server).map_err(|_| Fault::Unreachable)?;
            let Some(mut claim) = line.desk.claim(query) else { continue };
            if send(&line.desk.socket, &claim.octets).await.is_ok() {
                // The desk is closed with an error.
                return (&mut claim.hears).await.unwrap_or(Err(Fault::Unreachable));
            }
            line.desk.close();
            // What the kernel has to tell of an earlier question it tells at the next one, and does not send that.
            if claim.number == 1 {
                return Err(Fault::Unreachable);
            }
        }
    }

    /// A socket that may be given another question.
    fn pick(&self, server: SocketAddr) -> io::Result<Arc<Line>> {
        let now = Instant::now();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.iter().find(|line| line.is_fresh(now) && line.desk.book().has_room()) {
            return Ok(Arc::clone(line));
        }
        match Line::open(server, now) {
            Ok(line) => {
                let line = Arc::new(line);
                lines.retain(|line| line.is_fresh(now));
                lines.push(Arc::clone(&line));
                Ok(line)
            }
            // Without descriptors a full or an old one is better than none: what it drops is asked for again.
            Err(error) => {
                let other = lines.iter().rev().find(|line| !line.desk.book().closed);
                other.map(Arc::clone).ok_or(error)
            }
        }
    }
}

/// A socket and the task that reads it. Lives as long as it is fresh or somebody waits.
struct Line {
    desk: Arc<Desk>,
    opened: Instant,
    reader: AbortHandle,
}

impl Line {
    fn open(server: SocketAddr, now: Instant) -> io::Result<Self> {
        let socket = open(server)?;
        // What it gets is what is used; the limit above holds with the least of it.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER);
        let desk = Arc::new(Desk { socket, book: Mutex::default() });
        let reader = tokio::spawn(silently(read(Arc::clone(&desk)))).abort_handle();
        Ok(Self { desk, opened: now, reader })
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.opened) < AGE && self.desk.book().is_open()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A socket and who waits at it.
struct Desk {
    socket: UdpSocket,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    waiting: HashMap<u16, Waiter>,
    asked: u32,
    closed: bool,
}

struct Waiter {
    number: u32,
    query: Query,
    told: oneshot::Sender<Result<Reply, Fault>>,
}

impl Book {
    fn is_open(&self) -> bool {
        !self.closed && self.asked < QUESTIONS
    }

    fn has_room(&self) -> bool {
        self.is_open() && self.waiting.len() < WAITING
    }
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a question; not with an identifier under which another one waits, or when closed.
    fn claim(&self, query: Query) -> Option<Claim<'_>> {
        let mut book = self.book();
        if book.closed {
            return None;
        }
        let (id, octets) = (query.id(), query.octets().into());
        let (told, hears) = oneshot::channel();
        let number = book.asked + 1;
        match book.waiting.entry(id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(place) => place.insert(Waiter { number, query, told }),
        };
        book.asked = number;
        Some(Claim { desk: self, id, number, octets, hears })
    }

    /// Hands a datagram to whom it answers, if to anybody.
    fn deliver(&self, datagram: &[u8]) {
        let Some(id) = id(datagram) else { return };
        let mut book = self.book();
        let Entry::Occupied(waiter) = book.waiting.entry(id) else { return };
        let Some(said) = waiter.get().query.read(datagram) else { return };
        // Who has given up meanwhile is not told.
        let _ = waiter.remove().told.send(said);
    }

    /// Takes no more questions; whoever waits hears that there is no answer.
    fn close(&self) {
        let mut book = self.book();
        book.closed = true;
        book.waiting.clear();
    }
}

/// A question that waits.
struct Claim<'a> {
    desk: &'a Desk,
    id: u16,
    /// The how manieth of its socket.
    number: u32,
    octets: Box<[u8]>,
    hears: oneshot::Receiver<Result<Reply, Fault>>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // Answered, the identifier may be another one's by now.
        if let Entry::Occupied(waiter) = self.desk.book().waiting.entry(self.id)
            && waiter.get().number == self.number
        {
            waiter.remove();
        }
    }
}

/// Reads answers until the kernel has an error to tell: that nobody listens, as a rule.
async fn read(desk: Arc<Desk>) {
    let reading = Reading(desk);
    let mut datagram = vec![0; PAYLOAD.into()];
    while let Ok(length) = reading.0.socket.recv(&mut datagram).await {
        reading.0.deliver(&datagram[..length]);
    }
}

/// Whatever ends the reading, nobody is left to wait.
struct Reading(Arc<Desk>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A connected socket on a port of the kernel's choice.
///
/// The kernel's ports are random enough, and never those that another program is about to use.
fn open(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

async fn send(socket: &UdpSocket, octets: &[u8]) -> io::Result<()> {
    // Past tokio, which would first ask the kernel whether a new socket can be written to. It is one that never waits.
    match rustix::net::send(socket, octets, SendFlags::empty()) {
        Err(rustix::io::Errno::WOULDBLOCK) => socket.send(octets).await.map(drop),
        sent => sent.map(drop).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Listener;

    use futures_util::poll;

    use super::super::Subject;
    use super::*;
    use crate::smtp::Domain;
    use crate::verdict::List;

    fn question() -> Question {
        let base = Domain::from_setting("dq.spamhaus.net").expect("a domain");
        Question::new(&Subject::Ip([192, 0, 2, 1].into()), None, List::ZEN, &base).expect("a question")
    }

    fn query() -> Query {
        Query::new(&question()).expect("a message")
    }

    /// Somebody who listens, and says nothing.
    fn listener() -> (Listener, SocketAddr) {
        let socket = Listener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("an address");
        (socket, address)
    }

    /// What `query` is answered with: REFUSED.
    fn refusal(query: &[u8]) -> Vec<u8> {
        let mut octets = query.to_vec();
        (octets[2], octets[3]) = (0x81, 0x85);
        octets
    }

    async fn soon<T>(answer: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), answer).await.expect("an answer")
    }

    #[tokio::test]
    async fn what_the_kernel_tells_of_one_question_is_not_the_answer_to_the_next() {
        let (listener, server) = listener();
        drop(listener);
        let (lines, question) = (Lines::default(), question());
        let first = lines.ask(server, &question);
        let second = lines.ask(server, &question);
        tokio::pin!(first, second);
        assert!(poll!(&mut first).is_pending());
        // The name server comes up, and nobody has read yet that there was none.
        let listener = Listener::bind(server).expect("the same port");
        listener.set_nonblocking(true).expect("a socket");
        assert!(poll!(&mut second).is_pending(), "sent again, over another socket");
        assert_eq!(soon(first).await, Err(Fault::Unreachable));
        let mut datagram = [0; 512];
        let (length, from) = listener.recv_from(&mut datagram).expect("the second question");
        listener.send_to(&refusal(&datagram[..length]), from).expect("to send");
        assert_eq!(soon(second).await, Err(Fault::Refused));
    }

    #[tokio::test]
    async fn a_socket_that_nobody_needs_any_more_is_closed() {
        let (_listener, server) = listener();
        let line = Line::open(server, Instant::now()).expect("a socket");
        let desk = Arc::downgrade(&line.desk);
        tokio::task::yield_now().await;
        assert!(desk.upgrade().is_some());
        drop(line);
        tokio::task::yield_now().await;
        assert!(desk.upgrade().is_none());
    }

    #[tokio::test]
    async fn a_question_that_is_given_up_leaves_its_place_to_others_and_an_answered_one_takes_nobodys() {
        let (_listener, server) = listener();
        let line = Line::open(server, Instant::now()).expect("a socket");
        let (desk, waiting) = (&line.desk, || line.desk.book().waiting.len());
        let claims: Vec<_> = (0..WAITING).filter_map(|_| desk.claim(query())).collect();
        let claimed = claims.len();
        assert!(claimed > WAITING / 2 && waiting() == claimed, "a few may have had the same identifier");
        drop(claims);
        assert_eq!(waiting(), 0);
        let query = query();
        let answered = desk.claim(query.clone()).expect("a place");
        desk.deliver(&refusal(query.octets()));
        assert_eq!(waiting(), 0);
        let other = desk.claim(query.clone()).expect("the identifier is free again");
        drop(answered);
        assert_eq!(waiting(), 1, "the other one still waits");
        drop(other);
    }
}
