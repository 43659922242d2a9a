//! Room for as many open files as the connections and questions need.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::StartError;
use crate::limits::Limits;

/// Files that are open whatever happens: sockets to listen on, the log, the runtime's own.
const OTHERS: usize = 64;
/// Files of one runtime: its poll, its wake-up, a copy of each listening socket.
const RUNTIME: usize = 8;

/// Raises the limit on open files to what `limits` needs, as far as the process may. The usual limit of
/// 1,024 is less than the connections that are served at once.
///
/// # Errors
/// If not even a daemon without connections fits: the runtime would fail at some place later.
pub(super) fn make_room(limits: &Limits, threads: usize) -> Result<(), StartError> {
    let connections = limits.connections + limits.spare_connections();
    let needed = u64::try_from(connections + limits.queries + OTHERS).unwrap_or(u64::MAX);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= needed || setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_ok() {
        return Ok(());
    }
    let wanted = needed.min(hard);
    let given = if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    let least = u64::try_from(OTHERS + threads * RUNTIME).unwrap_or(u64::MAX);
    if given < least {
        return Err(StartError::Descriptors { given, least });
    }
    if given < needed {
        tracing::warn!(
            event = "descriptors",
            needed,
            given,
            "too few open files are allowed for so many connections; raise LimitNOFILE, or lower connections"
        );
    }
    Ok(())
}
