//! Descriptors that the service manager passed, by name (`sd_listen_fds(3)`).
//!
//! Their numbers are all that the environment tells, and a number is no owner. So each one is sent to
//! ourselves over a socket pair, which gives an owned copy without `unsafe`, and the original is closed.

use std::env;
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::close;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType, recvmsg};

use crate::server::Socket;

/// The first number that is passed; those below are standard input, output and error.
const FIRST: RawFd = 3;
/// The names of listening sockets, as in `FileDescriptorName=` of a socket unit.
const NAMES: &str = "milter, control or metrics";

/// What the service manager passed.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Sockets for MTAs, in the order of the socket unit.
    pub milter: Vec<Socket>,
    /// Sockets for commands of the administrator.
    pub control: Vec<UnixListener>,
    /// Sockets that only tell the counters.
    pub metrics: Vec<UnixListener>,
    /// What the process before left in the descriptor store (`session-…`, `sessions`, `answers`), with its names.
    pub stored: Vec<(String, OwnedFd)>,
    /// What the administrator should know although it stops nothing.
    pub notices: Vec<String>,
}

/// Why descriptors cannot be taken over. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// A variable is none of what `sd_listen_fds(3)` describes.
    #[error("{variable}={value}: {cause}; start gatepost by its socket unit, or without that variable")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// Why that is wrong.
        cause: &'static str,
    },
    /// There are fewer descriptors than announced.
    #[error(
        "LISTEN_FDS={count}: descriptor {number} is not open; start gatepost by its socket unit, or without \
         that variable"
    )]
    NotOpen {
        /// What `LISTEN_FDS` says.
        count: RawFd,
        /// The first that is missing.
        number: RawFd,
    },
    /// A socket that nobody here knows what to do with.
    #[error(
        "the service manager passed a socket named {0}; a socket unit of gatepost needs \
         FileDescriptorName={NAMES}"
    )]
    Name(String),
    /// A descriptor that cannot be what its name says.
    #[error("the service manager passed {what} as {name}; its socket unit needs {remedy}")]
    Kind {
        /// The name.
        name: String,
        /// What it is.
        what: &'static str,
        /// What it should be.
        remedy: &'static str,
    },
    /// The system refused.
    #[error("cannot take over the descriptors of the service manager: {0}")]
    System(#[from] io::Error),
}

impl Inherited {
    /// Takes over all descriptors that were passed to this process. To be called once, before any file is
    /// opened or thread started; the variables are not passed on to anybody, since nothing is executed.
    ///
    /// # Errors
    /// [`InheritError`], in words for an administrator.
    pub fn take() -> Result<Self, InheritError> {
        let Some(announced) = Announced::read(|name| env::var_os(name))? else {
            return Ok(Self::default());
        };
        if announced.process != std::process::id() {
            let notice = format!(
                "LISTEN_PID={}: sockets were passed to another process and are not used; let the service \
                 execute gatepost itself, without a shell in between",
                announced.process
            );
            return Ok(Self { notices: vec![notice], ..Self::default() });
        }
        let descriptors = own(announced.count)?;
        let mut inherited = Self::default();
        for (name, descriptor) in announced.names.into_iter().zip(descriptors) {
            inherited.sort(name, descriptor)?;
        }
        Ok(inherited)
    }

    fn sort(&mut self, name: String, descriptor: OwnedFd) -> Result<(), InheritError> {
        match name.as_str() {
            "milter" => {
                let what = Kind::of(&descriptor);
                self.milter.push(match what {
                    Kind::Tcp => Socket::from_tcp(descriptor.into(), &name)?,
                    Kind::Unix => Socket::from_unix(descriptor.into(), &name)?,
                    _ => return Err(wrong(name, what, "ListenStream= and Accept=no")),
                });
            }
            "control" | "metrics" => match Kind::of(&descriptor) {
                Kind::Unix => {
                    let listener = UnixListener::from(descriptor);
                    listener.set_nonblocking(true)?;
                    if name == "control" { &mut self.control } else { &mut self.metrics }.push(listener);
                }
                what => return Err(wrong(name, what, "ListenStream=/PATH and Accept=no")),
            },
            "sessions" | "answers" => self.stored.push((name, descriptor)),
            _ if name.starts_with("session-") => self.stored.push((name, descriptor)),
            // Another version may have stored what this one does not know. A socket that waits for somebody
            // would wait for ever.
            _ if matches!(Kind::of(&descriptor), Kind::Other) => self.notices.push(format!(
                "the service manager kept something named {name} that this version does not know; it is closed"
            )),
            _ => return Err(InheritError::Name(name)),
        }
        Ok(())
    }
}

fn wrong(name: String, what: Kind, remedy: &'static str) -> InheritError {
    let what = match what {
        Kind::Tcp => "a TCP socket",
        Kind::Unix => "a Unix socket",
        Kind::Datagram => "a datagram socket",
        Kind::Other => "something that does not listen",
    };
    InheritError::Kind { name, what, remedy }
}

/// What a descriptor is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A listening TCP socket.
    Tcp,
    /// A listening Unix stream socket.
    Unix,
    Datagram,
    Other,
}

impl Kind {
    fn of(descriptor: &OwnedFd) -> Self {
        let listens = socket_acceptconn(descriptor).unwrap_or(false);
        match (socket_type(descriptor), socket_domain(descriptor)) {
            (Ok(SocketType::DGRAM), _) => Self::Datagram,
            (Ok(SocketType::STREAM), Ok(AddressFamily::UNIX)) if listens => Self::Unix,
            (Ok(SocketType::STREAM), Ok(AddressFamily::INET | AddressFamily::INET6)) if listens => Self::Tcp,
            _ => Self::Other,
        }
    }
}

/// What the environment announces.
#[derive(Debug, PartialEq, Eq)]
struct Announced {
    process: u32,
    count: RawFd,
    names: Vec<String>,
}

impl Announced {
    /// Reads `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`.
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, InheritError> {
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let (Some(count), Some(process)) = (text("LISTEN_FDS"), text("LISTEN_PID")) else { return Ok(None) };
        let wrong = |variable, value: &str, cause| {
            let value = crate::smtp::printable(value.as_bytes(), 60);
            InheritError::Variable { variable, value, cause }
        };
        let process =
            process.parse().map_err(|_| wrong("LISTEN_PID", &process, "this is no process number"))?;
        let number = count.parse::<RawFd>().ok().filter(|n| *n >= 0 && n.checked_add(FIRST).is_some());
        let count = number.ok_or_else(|| wrong("LISTEN_FDS", &count, "this is no number of descriptors"))?;
        let wanted = usize::try_from(count).unwrap_or_default();
        let names = match text("LISTEN_FDNAMES").filter(|names| !names.is_empty() || wanted > 1) {
            Some(names) if wanted > 0 => names.split(':').map(str::to_owned).collect(),
            // Not for too large a number, which is wrong anyway: memory for so many names.
            _ => vec!["unknown".to_owned(); wanted.min(1)],
        };
        if names.len() != wanted {
            let value = variable("LISTEN_FDNAMES").unwrap_or_default();
            let cause = "there is not one name for each descriptor of LISTEN_FDS";
            return Err(wrong("LISTEN_FDNAMES", &value.to_string_lossy(), cause));
        }
        Ok(Some(Self { process, count, names }))
    }
}

/// Owned copies of the first so many descriptors; the originals are closed.
fn own(count: RawFd) -> Result<Vec<OwnedFd>, InheritError> {
    // A new descriptor gets the lowest free number: if that is one of those announced, it was not open.
    let (ours, theirs) = UnixStream::pair()?;
    let last = FIRST + count - 1;
    let free = ours.as_raw_fd().min(theirs.as_raw_fd());
    if free <= last {
        return Err(InheritError::NotOpen { count, number: free });
    }
    let mut owned = Vec::new();
    for number in FIRST..=last {
        sendmsg::<()>(
            theirs.as_raw_fd(),
            &[IoSlice::new(b"x")],
            &[ControlMessage::ScmRights(&[number])],
            MsgFlags::empty(),
            None,
        )
        .map_err(io::Error::from)?;
        owned.push(receive(&ours)?);
        close(number).map_err(io::Error::from)?;
    }
    Ok(owned)
}

fn receive(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut octet = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut octet)], &mut rights, RecvFlags::CMSG_CLOEXEC)?;
    let mut owned = None;
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            owned = descriptors.last().or(owned);
        }
    }
    owned.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Announced>, InheritError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Announced::read(|name| find(name).map(|(_, value)| value.into()))
    }

    #[test]
    fn names_and_number_are_read_as_the_service_manager_writes_them() {
        let pid = ("LISTEN_PID", "7");
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let announced = |count, given: &[&str]| Announced { process: 7, count, names: names(given) };
        assert_eq!(read(&[]).expect("nothing"), None);
        assert_eq!(read(&[("LISTEN_FDS", "2")]).expect("nobody is meant"), None);
        for (fds, given, expected) in [
            ("0", "", announced(0, &[])),
            ("1", "", announced(1, &["unknown"])),
            ("1", "milter", announced(1, &["milter"])),
            ("3", "milter:milter:control", announced(3, &["milter", "milter", "control"])),
        ] {
            let found = read(&[pid, ("LISTEN_FDS", fds), ("LISTEN_FDNAMES", given)]);
            assert_eq!(found.expect("legal"), Some(expected));
        }
    }

    #[test]
    fn lies_are_told_with_the_variable_and_the_remedy() {
        let pid = ("LISTEN_PID", "7");
        for (variables, words) in [
            (vec![pid, ("LISTEN_FDS", "many")], "LISTEN_FDS=many: this is no number"),
            (vec![pid, ("LISTEN_FDS", "-1")], "LISTEN_FDS=-1"),
            (vec![pid, ("LISTEN_FDS", "2147483647")], "LISTEN_FDS=2147483647"),
            (vec![("LISTEN_PID", "self"), ("LISTEN_FDS", "1")], "LISTEN_PID=self: this is no process"),
            (
                vec![pid, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "milter")],
                "LISTEN_FDNAMES=milter: there is not",
            ),
            (vec![pid, ("LISTEN_FDS", "2000000000")], "LISTEN_FDNAMES=: there is not one name"),
        ] {
            let error = read(&variables).expect_err("a lie").to_string();
            assert!(error.contains(words) && error.contains("; start gatepost"), "{error}");
        }
    }
}
