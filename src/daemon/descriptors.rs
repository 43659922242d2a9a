//! Room for as many open files as the connections and questions need.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::limits::Limits;

/// Files that are open whatever happens: sockets to listen on, the log, the runtime's own.
const OTHERS: usize = 64;

/// Raises the limit on open files to what `limits` needs, as far as the process may. The usual limit of
/// 1,024 is less than the connections that are served at once.
pub(super) fn make_room(limits: &Limits) {
    let connections = limits.connections + limits.spare_connections();
    let needed = u64::try_from(connections + limits.queries + OTHERS).unwrap_or(u64::MAX);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= needed || setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_ok() {
        return;
    }
    let wanted = needed.min(hard);
    let given = if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    if given < needed {
        tracing::warn!(
            event = "descriptors",
            needed,
            given,
            "too few open files are allowed for so many connections; raise LimitNOFILE, or lower connections"
        );
    }
}
