//! Asking a running daemon on one of its sockets.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Where the control socket is if nobody says otherwise.
pub const CONTROL_SOCKET: &str = "/run/gatepost/control.sock";
/// Where the socket is that only tells, if nobody says otherwise.
pub const METRICS_SOCKET: &str = "/run/gatepost/metrics.sock";

/// Longest time for a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is waited for as long as it takes: it reads all files, perhaps after somebody else's reading, and whoever gave up
/// would take what comes into force for a failure. systemd has a time of its own for it (`TimeoutStartSec=`), and a daemon
/// that hangs is ended by its watchdog.
const RELOAD: &str = "reload";
/// Longest reply that is read, in octets; the metrics have some 20,000.
const LONGEST: u64 = 4 << 20;

/// Why a daemon did not reply. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error(
        "{}: nobody answers there ({cause}); is the service running (systemctl status gatepost), and is \
         gatepost-control.socket or control.listen set up?",
        .socket.display()
    )]
    Away {
        /// Where it was to be.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The socket is not for this account.
    #[error(
        "{}: permission denied; be root, or join the group gatepost-admin and log in again",
        .0.display()
    )]
    Forbidden(PathBuf),
    /// No whole reply in time.
    #[error("{}: no reply within {} seconds; see the log of the service", .0.display(), PATIENCE.as_secs())]
    Late(PathBuf),
    /// The connection failed in between.
    #[error("{}: the connection broke: {cause}; see the log of the service", .socket.display())]
    Broken {
        /// Where it was.
        socket: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Sends one request, such as `status`, and gives the whole reply.
///
/// # Errors
/// [`AskError`] in words for an administrator.
pub async fn ask(socket: &Path, request: &str) -> Result<String, AskError> {
    let asking = async {
        let mut stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => AskError::Forbidden(socket.to_owned()),
            _ => AskError::Away { socket: socket.to_owned(), cause: error },
        })?;
        let broken = |cause| AskError::Broken { socket: socket.to_owned(), cause };
        stream.write_all(format!("{request}\n").as_bytes()).await.map_err(broken)?;
        let mut reply = String::new();
        stream.take(LONGEST).read_to_string(&mut reply).await.map_err(broken)?;
        if reply.is_empty() {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(reply)
    };
    if request == RELOAD {
        return asking.await;
    }
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(AskError::Late(socket.to_owned())))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reload_that_takes_a_minute_is_waited_for_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("somebody who asks");
                let read = stream.read(&mut [0; 64]).await;
                read.expect("a request");
                tokio::time::sleep(Duration::from_mins(1)).await;
                let _ = stream.write_all(b"done\n").await;
            }
        });
        assert_eq!(ask(&socket, "reload").await.expect("a reply"), "done\n");
        assert!(matches!(ask(&socket, "status").await, Err(AskError::Late(_))));
    }
}
