//! Where to listen: libmilter's notation, and binding to it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{Backlog, listen, setsockopt, sockopt};

use super::file::{knock, make, pin, pinned};
use super::stream::Listener;

/// An endpoint in libmilter's notation: `inet:port@host`, `inet6:port@host`, `unix:/path`,
/// `local:/path` or a bare path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    /// IPv4; without a host, all interfaces.
    Inet {
        /// The port; 0 lets the system choose.
        port: u16,
        /// A host name or address.
        host: Option<String>,
    },
    /// IPv6; without a host, all interfaces.
    Inet6 {
        /// The port; 0 lets the system choose.
        port: u16,
        /// A host name or address.
        host: Option<String>,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadListen {
    /// Neither a known scheme nor an absolute path.
    #[error("not an endpoint; write inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH")]
    Scheme,
    /// The port is no number from 0 to 65535.
    #[error("the port must be a number from 0 to 65535, as in inet:11332@localhost")]
    Port,
    /// There is an `@` or a colon for a host, and no host.
    #[error("the host is missing; write inet:PORT@HOST, or inet:PORT for all interfaces")]
    Host,
    /// The path of a Unix socket is relative or too long.
    #[error("the path of a Unix socket must be absolute and at most 107 octets long")]
    Path,
}

impl FromStr for Listen {
    type Err = BadListen;

    /// Reads libmilter's notation; Postfix's `inet:host:port` is understood too, since the two are mixed
    /// up all the time. Schemes may be in any case.
    fn from_str(text: &str) -> Result<Self, BadListen> {
        let text = text.trim();
        if text.starts_with('/') {
            return path(text);
        }
        let (scheme, rest) = text.split_once(':').ok_or(BadListen::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "inet" => endpoint(rest).map(|(port, host)| Self::Inet { port, host }),
            "inet6" => endpoint(rest).map(|(port, host)| Self::Inet6 { port, host }),
            "unix" | "local" => path(rest),
            _ => Err(BadListen::Scheme),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port, host) = match self {
            Self::Inet { port, host } => ("inet", port, host),
            Self::Inet6 { port, host } => ("inet6", port, host),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        write!(f, "{scheme}:{port}")?;
        host.as_ref().map_or(Ok(()), |host| write!(f, "@{host}"))
    }
}

fn path(text: &str) -> Result<Listen, BadListen> {
    // sun_path holds 108 octets with the terminating NUL (unix(7)).
    let fits = text.starts_with('/') && text.len() <= 107 && !text.contains('\0');
    if fits { Ok(Listen::Unix(PathBuf::from(text))) } else { Err(BadListen::Path) }
}

fn endpoint(text: &str) -> Result<(u16, Option<String>), BadListen> {
    let (port, host) = match text.split_once('@') {
        Some((port, host)) => (port, Some(host)),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (port, Some(host)),
            None => (text, None),
        },
    };
    let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']').trim());
    // A host that is named and empty is a slip, such as an unset variable; it must not mean all interfaces.
    if host.is_some_and(str::is_empty) {
        return Err(BadListen::Host);
    }
    Ok((port.trim().parse().map_err(|_| BadListen::Port)?, host.map(str::to_owned)))
}

/// Why an endpoint could not be bound. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host name has no address of that family.
    #[error("{0}: the host has no such address; write an address of this machine, or none for all of them")]
    Host(Listen),
    /// Something else listens there.
    #[error("{0}: already in use; stop what listens there (ss -ltnxp shows it) or choose another endpoint")]
    InUse(Listen),
    /// The path is taken by something that is no socket.
    #[error("{0}: there is a file that is no socket; remove it or choose another path")]
    NotASocket(Listen),
    /// The socket file cannot be given to the account or group that the settings name.
    #[error(
        "{listen}: cannot change owner or group of the socket: {source}; who is not root can name groups only \
         that they are a member of (socket.group)"
    )]
    Owner {
        /// The endpoint.
        listen: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("{listen}: {source}{}", hint(.source))]
    System {
        /// The endpoint.
        listen: Listen,
        /// What the system said.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 and foreign directories need another user, or a socket unit"
        }
        io::ErrorKind::NotFound => "; create the directory and let the service's user write to it",
        io::ErrorKind::AddrNotAvailable => "; the address is none of this machine's",
        _ => "",
    }
}

/// A bound endpoint, not yet served.
#[derive(Debug)]
pub struct Socket {
    listen: Listen,
    kind: Mutex<Option<Kind>>,
    /// Device and inode of the socket file that we made; what is there later may not be ours.
    made: Option<(u64, u64)>,
    /// The name under which the service manager passed it.
    name: Option<String>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listen {
    /// Binds the endpoint. A host name with several addresses gives several sockets.
    ///
    /// A socket file that nobody answers on any more is replaced; anything else at that path is left
    /// alone. The file gets `mode`, such as `0o660`.
    ///
    /// # Errors
    /// [`BindError`] in words for an administrator.
    pub fn bind(&self, mode: u32) -> Result<Vec<Socket>, BindError> {
        let addresses = match self {
            Self::Unix(path) => return self.bind_unix(path, mode).map(|socket| vec![socket]),
            Self::Inet { port, host } => {
                self.resolve(host.as_deref(), *port, Ipv4Addr::UNSPECIFIED.into())?
            }
            Self::Inet6 { port, host } => {
                self.resolve(host.as_deref(), *port, Ipv6Addr::UNSPECIFIED.into())?
            }
        };
        addresses.into_iter().map(|address| self.bind_tcp(address)).collect()
    }

    fn resolve(&self, host: Option<&str>, port: u16, any: IpAddr) -> Result<Vec<SocketAddr>, BindError> {
        let Some(host) = host else { return Ok(vec![SocketAddr::new(any, port)]) };
        let found = (host, port).to_socket_addrs().map_err(|_| BindError::Host(self.clone()))?;
        let mut addresses: Vec<SocketAddr> = found.filter(|found| found.is_ipv4() == any.is_ipv4()).collect();
        addresses.dedup();
        if addresses.is_empty() { Err(BindError::Host(self.clone())) } else { Ok(addresses) }
    }

    fn bind_tcp(&self, address: SocketAddr) -> Result<Socket, BindError> {
        let listener = TcpListener::bind(address).map_err(|error| self.error(error))?;
        // The standard library's queue of 128 overflows when a crowd comes, which costs a second, or the session.
        listen(&listener, Backlog::MAXALLOWABLE).map_err(|error| self.error(error.into()))?;
        let listen = match (self.clone(), listener.local_addr()) {
            (Self::Inet { host, .. }, Ok(address)) => Self::Inet { port: address.port(), host },
            (Self::Inet6 { host, .. }, Ok(address)) => Self::Inet6 { port: address.port(), host },
            (listen, _) => listen,
        };
        Ok(Socket { listen, kind: Mutex::new(Some(Kind::Tcp(listener))), made: None, name: None })
    }

    fn bind_unix(&self, path: &Path, mode: u32) -> Result<Socket, BindError> {
        self.clear(path)?;
        let system = |source| BindError::System { listen: self.clone(), source };
        let listener = make(path, mode).map_err(|error| self.error(error))?;
        let (file, id) = pin(path).map_err(system)?;
        std::fs::set_permissions(pinned(&file), std::fs::Permissions::from_mode(mode)).map_err(system)?;
        let kind = Mutex::new(Some(Kind::Unix(listener)));
        Ok(Socket { listen: self.clone(), kind, made: Some(id), name: None })
    }

    /// Removes a socket file that nobody answers on; refuses to touch anything else.
    fn clear(&self, path: &Path) -> Result<(), BindError> {
        let Ok(file) = std::fs::symlink_metadata(path) else { return Ok(()) };
        if !file.file_type().is_socket() {
            return Err(BindError::NotASocket(self.clone()));
        }
        match knock(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)
                .map_err(|source| BindError::System { listen: self.clone(), source }),
            Ok(()) | Err(_) => Err(BindError::InUse(self.clone())),
        }
    }

    fn error(&self, source: io::Error) -> BindError {
        if source.kind() == io::ErrorKind::AddrInUse {
            BindError::InUse(self.clone())
        } else {
            BindError::System { listen: self.clone(), source }
        }
    }
}

impl Socket {
    /// Where it listens, with the port that the system chose if the setting said 0.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// A socket that the service manager bound and passed under `name`. Its file, if it has one, is not
    /// removed when it is closed, and callers wait in its backlog for the next process.
    ///
    /// # Errors
    /// If its address cannot be read.
    pub fn from_tcp(listener: TcpListener, name: &str) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (port, host) = (address.port(), Some(address.ip().to_string()));
        let listen =
            if address.is_ipv4() { Listen::Inet { port, host } } else { Listen::Inet6 { port, host } };
        Ok(Self::inherited(listen, Kind::Tcp(listener), name))
    }

    /// The same for a Unix socket. One in the abstract name space is shown as `unix:@name`.
    ///
    /// # Errors
    /// If its address cannot be read.
    pub fn from_unix(listener: UnixListener, name: &str) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let path = match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => path.to_owned(),
            (None, name) => format!("@{}", String::from_utf8_lossy(name.unwrap_or_default())).into(),
        };
        Ok(Self::inherited(Listen::Unix(path), Kind::Unix(listener), name))
    }

    fn inherited(listen: Listen, kind: Kind, name: &str) -> Self {
        Self { listen, kind: Mutex::new(Some(kind)), made: None, name: Some(name.to_owned()) }
    }

    /// The name under which the service manager passed it, if it did.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Stops listening at once, and removes the socket file if it is still the one that was made. Whoever
    /// serves the socket in this process must stop accepting, too.
    pub fn close(&self) {
        let kind = self.kind.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(Kind::Unix(_)), Listen::Unix(path), Some(made)) = (&kind, &self.listen, self.made) else {
            return;
        };
        if std::fs::symlink_metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == made) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Lets another account or group own the socket file; a no-op for TCP and for what the service manager
    /// passed. A group that is not named stays, so that a directory with the set-group-ID bit can give the
    /// MTA access.
    ///
    /// # Errors
    /// What the system says.
    pub fn hand_to(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let (Listen::Unix(path), Some(own)) = (&self.listen, self.made) else { return Ok(()) };
        let (file, made) = pin(path)?;
        if own == made {
            std::os::unix::fs::chown(pinned(&file), user, group)
        } else {
            Err(io::Error::other("somebody replaced the socket file"))
        }
    }

    /// A handle on a Unix socket for the current runtime, for who serves it without [`Server`](super::Server).
    ///
    /// # Errors
    /// If it is closed or no Unix socket, and what the system says.
    pub fn unix_listener(&self) -> io::Result<tokio::net::UnixListener> {
        match self.listener()? {
            Listener::Unix(listener) => Ok(listener),
            Listener::Tcp(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The same for a TCP socket.
    ///
    /// # Errors
    /// As [`Socket::unix_listener`].
    pub fn tcp_listener(&self) -> io::Result<tokio::net::TcpListener> {
        match self.listener()? {
            Listener::Tcp(listener) => Ok(listener),
            Listener::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A handle on the same socket for the current runtime.
    pub(super) fn listener(&self) -> io::Result<Listener> {
        let kind = self.kind.lock().unwrap_or_else(PoisonError::into_inner);
        match kind.as_ref().ok_or(io::ErrorKind::NotConnected)? {
            Kind::Tcp(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                // What is accepted inherits it (Linux): the second of two answers in a row does not wait until the first is
                // acknowledged, and no session pays for it. A socket that does not know it is served without.
                let _ = setsockopt(&listener, sockopt::TcpNoDelay, &true);
                tokio::net::TcpListener::from_std(listener).map(Listener::Tcp)
            }
            Kind::Unix(listener) => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener).map(Listener::Unix)
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_of_libmilter_is_read_and_that_of_postfix_too() {
        for (text, shown) in [
            ("inet:11332@localhost", "inet:11332@localhost"),
            ("INET:11332", "inet:11332"),
            ("inet:127.0.0.1:11332", "inet:11332@127.0.0.1"),
            ("inet6:11332@[::1]", "inet6:11332@::1"),
            ("inet6:[::1]:11332", "inet6:11332@::1"),
            ("unix:/run/gatepost/milter.sock", "unix:/run/gatepost/milter.sock"),
            ("local:/run/x", "unix:/run/x"),
            ("/run/x", "unix:/run/x"),
        ] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()).as_deref(), Ok(shown));
        }
        for (text, why) in [
            ("", BadListen::Scheme),
            ("11332", BadListen::Scheme),
            ("tcp:11332", BadListen::Scheme),
            ("inet:", BadListen::Port),
            ("inet:smtp@localhost", BadListen::Port),
            ("inet:70000@localhost", BadListen::Port),
            ("inet:11332@", BadListen::Host),
            ("inet:11332@[]", BadListen::Host),
            ("inet::11332", BadListen::Host),
            ("unix:run/x", BadListen::Path),
        ] {
            assert_eq!(text.parse::<Listen>(), Err(why), "{text}");
        }
        assert_eq!(format!("unix:/{}", "x".repeat(107)).parse::<Listen>(), Err(BadListen::Path));
    }

    #[test]
    fn a_stale_socket_is_replaced_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("milter.sock");
        let listen = Listen::Unix(path.clone());
        drop(UnixListener::bind(&path).expect("a socket that nobody answers on"));
        let socket = listen.bind(0o660).expect("a socket").remove(0);
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o660);
        assert!(matches!(listen.bind(0o660), Err(BindError::InUse(_))), "it answers");
        drop(socket);
        assert!(!path.exists(), "the socket file goes with its owner");
        std::fs::write(&path, "precious").expect("a file");
        assert!(matches!(listen.bind(0o660), Err(BindError::NotASocket(_))));
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("/nowhere", &path).expect("a link");
        assert!(matches!(listen.bind(0o660), Err(BindError::NotASocket(_))));
    }

    #[test]
    fn a_socket_file_that_somebody_replaced_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("milter.sock");
        let socket = Listen::Unix(path.clone()).bind(0o600).expect("a socket");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "other").expect("a file");
        let other = folder.path().join("other");
        std::fs::rename(&path, &other).expect("renamed");
        std::os::unix::fs::symlink(&other, &path).expect("a link");
        assert!(socket[0].hand_to(Some(0), None).is_err(), "nor given away");
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn a_crowd_has_room_in_the_queue() {
        let any = Listen::Inet { port: 0, host: Some("127.0.0.1".into()) };
        let socket = any.bind(0).expect("a port").remove(0);
        let Listen::Inet { port, .. } = *socket.listen() else { panic!("{:?}", socket.listen()) };
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("the system's own limit");
        let crowd = most.trim().parse::<usize>().expect("a number").min(500);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Nobody takes them. Who finds no room asks again after a second, and finds none.
        let connect = || std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(3));
        let waiting = (0..crowd).map(|_| connect()).collect::<Result<Vec<_>, _>>();
        assert_eq!(waiting.expect("there is room for all").len(), crowd);
    }

    #[tokio::test]
    async fn answers_over_tcp_do_not_wait_for_an_acknowledgement_of_the_one_before() {
        let any = Listen::Inet { port: 0, host: Some("127.0.0.1".into()) };
        let bound = any.bind(0).expect("a port").remove(0);
        let inherited = TcpListener::bind("127.0.0.1:0").expect("a port");
        let inherited = Socket::from_tcp(inherited, "milter").expect("a socket");
        for socket in [bound, inherited] {
            let listener = socket.tcp_listener().expect("a listener");
            let address = listener.local_addr().expect("an address");
            let (near, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
            assert!(!near.expect("a connection").nodelay().expect("what the system says"));
            assert!(accepted.expect("a connection").0.nodelay().expect("what the system says"));
        }
    }

    #[test]
    fn a_port_in_use_says_what_to_do() {
        let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = holder.local_addr().expect("an address").port();
        let listen = Listen::Inet { port, host: Some("127.0.0.1".into()) };
        let error = listen.bind(0).expect_err("in use").to_string();
        assert!(error.contains("already in use; stop what listens there"), "{error}");
    }
}
