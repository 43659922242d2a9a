//! The service manager's descriptor store (`FDSTORE=1` of `sd_notify(3)`).
//!
//! Descriptors in it outlive the process and are passed to the next one, by name. The manager answers
//! nothing: what it did shows in what it closed.

use std::env;
use std::io::{self, IoSlice, Read as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// How long the service manager may take for its messages; it needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// The name of a descriptor that only shows whether there is room for it.
const PROBE: &str = "probe";

/// A socket on which the service manager hears us, if there is one. Nothing waits on it for long.
pub(super) fn connect() -> Option<UnixDatagram> {
    let name = env::var_os("NOTIFY_SOCKET")?;
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(socket)
}

/// The way to the service manager.
pub(super) struct Store {
    socket: UnixDatagram,
}

impl Store {
    /// A way to the service manager, if there is one.
    pub(super) fn open() -> Option<Self> {
        connect().map(|socket| Self { socket })
    }

    /// How many descriptors it takes, if it says so (systemd 254 and later).
    pub(super) fn limit() -> Option<usize> {
        env::var("FDSTORE").ok()?.parse().ok()
    }

    /// Whether it has room for one more descriptor now.
    ///
    /// It gets one end of a socket pair. What it does not keep it closes, which shows at the other end; what
    /// it keeps it gives up again when this end goes.
    ///
    /// # Errors
    /// If it does not take messages, or does not come to them.
    pub(super) fn has_room(&self) -> io::Result<bool> {
        let (theirs, mut ours) = UnixStream::pair()?;
        self.keep(PROBE, &theirs)?;
        drop(theirs);
        self.barrier()?;
        ours.set_nonblocking(true)?;
        let closed = matches!(ours.read(&mut [0]), Ok(0));
        self.forget(PROBE)?;
        // What a process has said is heard only as long as it lives.
        self.barrier()?;
        Ok(!closed)
    }

    /// Asks it to keep a descriptor under a name.
    ///
    /// # Errors
    /// If the message could not be sent.
    pub(super) fn keep(&self, name: &str, descriptor: impl AsFd) -> io::Result<()> {
        self.send(&format!("FDSTORE=1\nFDNAME={name}\n"), Some(&descriptor))
    }

    /// Asks it to give up all descriptors of a name.
    ///
    /// # Errors
    /// If the message could not be sent.
    pub(super) fn forget(&self, name: &str) -> io::Result<()> {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), None::<&UnixStream>)
    }

    /// Waits until it has come to all messages before this one.
    ///
    /// # Errors
    /// If it does not within two seconds.
    pub(super) fn barrier(&self) -> io::Result<()> {
        let (theirs, mut ours) = UnixStream::pair()?;
        self.send("BARRIER=1", Some(&theirs))?;
        drop(theirs);
        ours.set_read_timeout(Some(PATIENCE))?;
        match ours.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(error) => Err(error),
        }
    }

    fn send(&self, text: &str, descriptor: Option<&impl AsFd>) -> io::Result<()> {
        let raw = descriptor.as_ref().map(|descriptor| [descriptor.as_fd().as_raw_fd()]);
        let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
        let octets = [IoSlice::new(text.as_bytes())];
        let flags = MsgFlags::MSG_NOSIGNAL;
        loop {
            match sendmsg::<()>(self.socket.as_raw_fd(), &octets, rights.as_slice(), flags, None) {
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
