//! The floor: a tokio filter on one thread that answers every command and knows nothing.
//!
//! What is left when all work is taken out of a milter: accept, read, find the frames, write, close.

use crate::Failure;
use std::net::Ipv4Addr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UnixListener};

/// Serves at a door in libmilter's notation: `inet:port@host` or `unix:/path`.
pub(crate) fn serve(door: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        if let Some(path) = door.strip_prefix("unix:") {
            let listener = UnixListener::bind(path)?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(converse(stream));
            }
        }
        let port = door.strip_prefix("inet:").and_then(|rest| rest.split('@').next()).unwrap_or_default();
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port.parse()?).into())?;
        let listener = socket.listen(1024)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(converse(stream));
        }
    })
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut input = Vec::with_capacity(1024);
    let mut output = Vec::with_capacity(64);
    while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
        let mut at = 0;
        while let Some(&[a, b, c, d]) = input.get(at..at + 4) {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(frame) = input.get(at + 4..at + 4 + length) else { break };
            match frame.first() {
                Some(b'O') => output.extend(b"\0\0\0\x0dO\0\0\0\x06\0\0\0\0\0\0\0\0"),
                Some(b'D' | b'A') => {}
                Some(b'Q') | None => return,
                Some(_) => output.extend(b"\0\0\0\x01c"),
            }
            at += 4 + length;
        }
        input.drain(..at);
        if !output.is_empty() {
            if stream.write_all(&output).await.is_err() {
                return;
            }
            output.clear();
        }
    }
}
