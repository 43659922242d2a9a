//! Packets over a socket, legal or not.

use std::io;
use std::time::Duration;

use gatepost::limits::Limits;
use gatepost::milter::{Command, Frame, Offer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for a packet: a test that hangs must end.
const PATIENCE: Duration = Duration::from_secs(60);

/// One packet.
pub fn packet(code: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::put(code, &[data], &mut out);
    out
}

/// What an MTA of today offers.
pub fn offer() -> Vec<u8> {
    let mut out = Vec::new();
    Command::Negotiate(Offer::V6).put(&mut out);
    out
}

/// CONNECT of a client without a name.
pub fn connect(address: &str) -> Vec<u8> {
    let family = if address.contains(':') { b'6' } else { b'4' };
    let data =
        [b"[", address.as_bytes(), b"]\0", &[family], &4_711_u16.to_be_bytes(), address.as_bytes(), b"\0"];
    packet(b'C', &data.concat())
}

/// OPTNEG, CONNECT and HELO: three replies.
pub fn greeting(address: &str) -> Vec<u8> {
    [offer(), connect(address), packet(b'H', b"localhost\0")].concat()
}

/// A socket on which packets go back and forth.
pub struct Wire<S = TcpStream> {
    pub stream: S,
    input: Vec<u8>,
}

impl Wire {
    /// Calls a port of this machine.
    pub async fn dial(port: u16) -> Self {
        Self::new(TcpStream::connect(("127.0.0.1", port)).await.expect("somebody listens"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, input: Vec::new() }
    }

    /// Sends octets as they are.
    pub async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await
    }

    /// The next packet, or nothing where the connection ends.
    ///
    /// # Panics
    /// When nothing comes for a minute.
    pub async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, self.next()).await.expect("a packet or the end within a minute")
    }

    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let taken = Frame::take(&self.input, &Limits::default()).expect("a packet");
            if let Some((frame, used)) = taken {
                let packet = (frame.code, frame.data.to_vec());
                self.input.drain(..used);
                return Some(packet);
            }
            let mut octets = [0; 4_096];
            match self.stream.read(&mut octets).await {
                Ok(count @ 1..) => self.input.extend_from_slice(&octets[..count]),
                // A reset is an end as well.
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Sends packets and takes the codes of so many replies; fewer if the connection ends.
    pub async fn exchange(&mut self, octets: &[u8], replies: usize) -> String {
        let mut codes = String::new();
        if self.send(octets).await.is_ok() {
            while codes.len() < replies {
                let Some((code, _)) = self.receive().await else { break };
                codes.push(char::from(code));
            }
        }
        codes
    }

    /// Whether the other side has closed, and said nothing before it did.
    pub async fn is_closed(&mut self) -> bool {
        self.receive().await.is_none()
    }
}
