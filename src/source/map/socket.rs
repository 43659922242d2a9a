//! A client of socket maps: connections that are used again, each for one question at a time.
//!
//! Whatever the server does, a question ends at the time that its caller sets, and takes no more memory than one
//! reply may have. A connection that did anything strange is not used again.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Handle, Id};
use tokio::sync::Semaphore;

use super::trouble::Trouble;
use super::wire::{self, Lie, Reply};
use crate::list::access::{Server, Socketmap};
use crate::smtp::excerpt;

/// Questions that are put to a server at once. Most of them serve a connection with a process or thread each.
const AT_ONCE: usize = 16;
/// Octets of a reason that are shown.
const REASON: usize = 200;

/// The client of one map.
#[derive(Debug)]
pub(super) struct Client {
    map: Socketmap,
    /// Connections that nobody uses, by the runtime that watches them.
    idle: Mutex<Vec<(Id, Connection)>>,
    places: Semaphore,
}

#[derive(Debug)]
enum Connection {
    Inet(TcpStream),
    Unix(UnixStream),
}

/// How a question to one connection ended.
enum Ended {
    /// The connection was over before an answer began.
    Closed,
    Trouble(Trouble),
}

impl Client {
    pub(super) fn new(map: Socketmap) -> Self {
        Self { map, idle: Mutex::default(), places: Semaphore::new(AT_ONCE) }
    }

    /// What the map has for a key. Whoever asks sees to the time.
    pub(super) async fn ask(&self, key: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let _place = self.places.acquire().await.map_err(|_| Trouble::Busy)?;
        let query = wire::query(&self.map.name, key);
        // A server that has just been started anew knows nothing of the connections before; one that always hangs up is
        // not asked for ever.
        for _ in 0..2 {
            let mut connection = match self.take() {
                Some(connection) => connection,
                None => Connection::new(&self.map.server).await?,
            };
            match connection.put(&query).await {
                Ok(reply) => {
                    let answer = read(&reply);
                    if !matches!(answer, Err(Trouble::Garbage(_))) {
                        self.give(connection);
                    }
                    return answer;
                }
                Err(Ended::Closed) => {}
                Err(Ended::Trouble(trouble)) => return Err(trouble),
            }
        }
        Err(Trouble::Closed)
    }

    /// A connection of this runtime that is still open and silent.
    fn take(&self) -> Option<Connection> {
        let own = Handle::current().id();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(at) = idle.iter().rposition(|(runtime, _)| *runtime == own) {
            let (_, connection) = idle.swap_remove(at);
            if connection.is_silent() {
                return Some(connection);
            }
        }
        None
    }

    fn give(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= AT_ONCE {
            idle.remove(0);
        }
        idle.push((Handle::current().id(), connection));
    }
}

fn read(reply: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
    let reason = |text| excerpt(text, REASON);
    match wire::reply(reply).map_err(Trouble::Garbage)? {
        Reply::Found(value) => Ok(Some(value.to_vec())),
        Reply::NotFound => Ok(None),
        Reply::Temporary(text) | Reply::Timeout(text) => Err(Trouble::Temporary(reason(text))),
        Reply::Permanent(text) => Err(Trouble::Permanent(reason(text))),
    }
}

impl Connection {
    async fn new(server: &Server) -> Result<Self, Trouble> {
        let connection = match server {
            Server::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            Server::Inet(address) => TcpStream::connect(address).await.map(Self::Inet),
        };
        let connection = connection.map_err(|error| Trouble::Away(error.to_string()))?;
        if let Self::Inet(stream) = &connection {
            // Questions are small, and each waits for its answer.
            stream.set_nodelay(true).map_err(|error| Trouble::Away(error.to_string()))?;
        }
        Ok(connection)
    }

    /// Whether the other side has neither closed the connection nor said anything.
    fn is_silent(&self) -> bool {
        let mut octet = [0];
        let read = match self {
            Self::Inet(stream) => stream.try_read(&mut octet),
            Self::Unix(stream) => stream.try_read(&mut octet),
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Puts a question, and reads the reply to it.
    async fn put(&mut self, query: &[u8]) -> Result<Vec<u8>, Ended> {
        if self.write(query).await.is_err() {
            return Err(Ended::Closed);
        }
        let garbage = |lie| Ended::Trouble(Trouble::Garbage(lie));
        let mut octets = Vec::new();
        loop {
            if let Some((reply, size)) = wire::take(&octets).map_err(garbage)? {
                if octets.len() > size {
                    return Err(garbage(Lie::Extra));
                }
                return Ok(reply.to_vec());
            }
            match self.read(&mut octets).await {
                Ok(0) | Err(_) if octets.is_empty() => return Err(Ended::Closed),
                Ok(0) | Err(_) => return Err(Ended::Trouble(Trouble::Closed)),
                Ok(_) => {}
            }
        }
    }

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Inet(stream) => stream.write_all(octets).await,
            Self::Unix(stream) => stream.write_all(octets).await,
        }
    }

    /// Reads what there is, up to the room that the vector has.
    async fn read(&mut self, octets: &mut Vec<u8>) -> io::Result<usize> {
        octets.reserve(512);
        match self {
            Self::Inet(stream) => stream.read_buf(octets).await,
            Self::Unix(stream) => stream.read_buf(octets).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_says_a_key_of_dqs_is_told_without_it_and_its_beginning() {
        for before in 0..REASON + 10 {
            for word in ["TEMP", "TIMEOUT", "PERM"] {
                let reply = format!("{word} {} abcdefghij0123456789klmnop", "x".repeat(before));
                let said = read(reply.as_bytes()).expect_err("no value").to_string();
                assert!(!said.contains("abc"), "{said}");
            }
        }
    }
}
