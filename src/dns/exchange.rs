//! One question to one name server, over UDP or TCP.
//!
//! UDP sockets are connected, so that the kernel drops what comes from elsewhere and reports at once when
//! nobody listens, and they are used again: making one costs more than the whole rest of a question. That
//! the source port stays the same for some questions gives nothing away, for whoever wants to forge an
//! answer has to know the question, and every question holds the account key.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::{Handle, Id};

use super::answer::{Fault, Reply, decode};
use super::question::{PAYLOAD, Question};

/// Idle sockets kept per runtime and server: what a busy moment needs, not what a flood left behind.
const IDLE: usize = 32;

/// Questions per socket; then a new one takes another port.
const USES: u16 = 256;

/// How a question travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// The idle UDP sockets. A socket belongs to the runtime that made it.
#[derive(Default)]
pub(super) struct Sockets(Mutex<HashMap<(Id, SocketAddr), Vec<Idle>>>);

struct Idle {
    socket: UdpSocket,
    uses: u16,
}

/// Asks `server` and waits for the response that belongs to the question, for ever if need be.
pub(super) async fn ask(
    sockets: &Sockets,
    server: SocketAddr,
    transport: Transport,
    question: &Question,
) -> Result<Reply, Fault> {
    match transport {
        Transport::Udp => udp(sockets, server, question).await,
        Transport::Tcp => tcp(server, question).await.unwrap_or_else(|error| Err(fault(&error))),
    }
}

async fn udp(sockets: &Sockets, server: SocketAddr, question: &Question) -> Result<Reply, Fault> {
    let runtime = Handle::current().id();
    let mut idle = match sockets.take(runtime, server) {
        Some(idle) => idle,
        None => Idle { socket: connect(server).await.map_err(|error| fault(&error))?, uses: 0 },
    };
    idle.socket.send(question.octets()).await.map_err(|error| fault(&error))?;
    let mut response = [0; PAYLOAD as usize];
    let length = loop {
        let length = idle.socket.recv(&mut response).await.map_err(|error| fault(&error))?;
        if question.is_answered_by(&response[..length]) {
            break length;
        }
    };
    idle.uses += 1;
    // A socket whose question was given up is dropped instead, and with it the answer that may come.
    if idle.uses < USES {
        sockets.give_back(runtime, server, idle);
    }
    decode(&response[..length])
}

async fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// The message behind its length in two octets (RFC 1035, section 4.2.2).
async fn tcp(server: SocketAddr, question: &Question) -> io::Result<Result<Reply, Fault>> {
    let mut stream = TcpStream::connect(server).await?;
    let message = question.octets();
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let framed = zeroize::Zeroizing::new([&length.to_be_bytes(), message].concat());
    stream.write_all(&framed).await?;
    loop {
        let length = usize::from(stream.read_u16().await?);
        // At most 64 KiB, and only as much as really comes.
        let mut response = Vec::new();
        (&mut stream).take(length as u64).read_to_end(&mut response).await?;
        if response.len() < length {
            return Ok(Err(Fault::Garbled));
        }
        if question.is_answered_by(&response) {
            return Ok(decode(&response));
        }
    }
}

fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Garbled,
        _ => Fault::Unreachable,
    }
}

impl Sockets {
    fn take(&self, runtime: Id, server: SocketAddr) -> Option<Idle> {
        self.idle().get_mut(&(runtime, server))?.pop()
    }

    fn give_back(&self, runtime: Id, server: SocketAddr, idle: Idle) {
        let mut sockets = self.idle();
        let idles = sockets.entry((runtime, server)).or_default();
        if idles.len() < IDLE {
            idles.push(idle);
        }
    }

    /// Closes all idle sockets.
    pub(super) fn clear(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<(Id, SocketAddr), Vec<Idle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
