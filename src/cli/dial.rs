//! Connections to filters, as mail servers make them.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::server::{CallError, Listen};

/// Longest wait for a connection; on this host it takes no time.
const PATIENCE: Duration = Duration::from_secs(5);

/// A stream of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Connects to a socket in libmilter's notation.
pub(super) async fn dial(listen: &Listen) -> Result<Box<dyn Stream>, CallError> {
    let connecting = async {
        let stream: Box<dyn Stream> = match listen {
            Listen::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Listen::Inet { port, host } => {
                Box::new(TcpStream::connect((host.as_deref().unwrap_or("127.0.0.1"), *port)).await?)
            }
            Listen::Inet6 { port, host } => {
                Box::new(TcpStream::connect((host.as_deref().unwrap_or("::1"), *port)).await?)
            }
        };
        io::Result::Ok(stream)
    };
    match timeout(PATIENCE, connecting).await {
        Ok(stream) => Ok(stream?),
        Err(_) => Err(CallError::Deadline(PATIENCE)),
    }
}

/// Whether this account may not connect.
pub(super) fn is_forbidden(error: &CallError) -> bool {
    matches!(error, CallError::Connection(cause) if cause.kind() == io::ErrorKind::PermissionDenied)
}

/// What to do if a conversation with a filter fails.
pub(super) fn remedy(error: &CallError) -> &'static str {
    if is_forbidden(error) {
        "be root, or a member of the socket's group"
    } else {
        "start the service, or look who listens there: ss -lp"
    }
}
