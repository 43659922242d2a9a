//! Signals before and after the daemon can act on them.

use nix::sys::signal::{SigSet, Signal};

/// Holds back what would end the process before its handlers are there: a reload or a stop that comes
/// while the daemon starts is carried out when it is ready.
///
/// To be called first, in the only thread.
pub fn hold() {
    // It fails for numbers that are no signals only.
    let _ = ours().thread_block();
}

/// Lets come what was held back. To be called in one thread when the handlers are installed.
pub(super) fn release() {
    let _ = ours().thread_unblock();
}

fn ours() -> SigSet {
    [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].into_iter().collect()
}
