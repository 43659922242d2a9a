//! Asking a running daemon on one of its sockets.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
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
/// What is waited for as long as it takes and the daemon says meanwhile how it does: it reads all files, perhaps after somebody
/// else's reading, and whoever gave up would take what comes into force for a failure. A daemon that does not start or hangs is
/// not waited for: its socket is held open by systemd, which has a time of its own for a reload, but none for other callers.
const RELOAD: &str = "reload";
/// What every daemon that runs answers at once.
const STATUS: &str = "status";
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
    let mut asking = pin!(asking);
    loop {
        if let Ok(reply) = timeout(PATIENCE, &mut asking).await {
            return reply;
        }
        if request != RELOAD || Box::pin(ask(socket, STATUS)).await.is_err() {
            return Err(AskError::Late(socket.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// A daemon that says at once how it does, and takes a minute for everything else.
    fn slow(socket: &Path) {
        let listener = UnixListener::bind(socket).expect("a socket");
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("somebody who asks");
                tokio::spawn(async move {
                    let mut request = [0; 64];
                    let count = stream.read(&mut request).await.expect("a request");
                    if &request[..count] != b"status\n" {
                        tokio::time::sleep(Duration::from_mins(1)).await;
                    }
                    let _ = stream.write_all(b"done\n").await;
                });
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_that_takes_a_minute_is_waited_for_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control.sock");
        slow(&socket);
        assert_eq!(ask(&socket, "reload").await.expect("a reply"), "done\n");
        assert!(matches!(ask(&socket, "drain").await, Err(AskError::Late(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_is_not_waited_for_where_nobody_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control.sock");
        // As a service manager holds it open for a daemon that does not start.
        let _held = UnixListener::bind(&socket).expect("a socket");
        let asked = timeout(Duration::from_hours(1), ask(&socket, "reload")).await;
        assert!(matches!(asked, Ok(Err(AskError::Late(_)))), "{asked:?}");
    }
}
