//! TCP and Unix sockets as one.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike as _, SockaddrStorage, getpeername, getsockname, getsockopt,
    setsockopt, sockopt,
};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A listening socket of the runtime.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// A connection of an MTA.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    /// Takes what is there.
    ///
    /// What does not fill the buffer was all: the runtime then knows, without another read that finds nothing.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    pub(super) fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(octets),
            Self::Unix(stream) => stream.try_write(octets),
        }
    }

    /// The socket without the runtime.
    pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(OwnedFd::from),
            Self::Unix(stream) => stream.into_std().map(OwnedFd::from),
        }
    }

    /// A connected socket for the current runtime; whatever else it may be is an error.
    pub(super) fn from_fd(socket: OwnedFd) -> io::Result<Self> {
        let family = getsockname::<SockaddrStorage>(socket.as_raw_fd())?.family();
        if getsockopt(&socket, sockopt::SockType)? != SockType::Stream {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        getpeername::<SockaddrStorage>(socket.as_raw_fd())?;
        match family {
            Some(AddressFamily::Inet | AddressFamily::Inet6) => {
                let stream = std::net::TcpStream::from(socket);
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Self::Tcp)
            }
            Some(AddressFamily::Unix) => {
                let stream = std::os::unix::net::UnixStream::from(socket);
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Self::Unix)
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Acknowledges what was received at once.
    ///
    /// Sendmail sends ABORT, macros and their command with a write each; Nagle's algorithm holds the next
    /// one back until the last is acknowledged, which Linux delays by 40 ms if there is no answer to it.
    /// Linux forgets the setting, so it is made again whenever a read ended between two of them.
    pub(super) fn acknowledge(&self) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_quickack(true);
        }
    }

    /// Lets the kernel find out about an MTA that vanished.
    pub(super) fn prepare(&self) {
        if let Self::Tcp(stream) = self {
            let _ = setsockopt(stream, sockopt::KeepAlive, &true);
        }
    }
}
