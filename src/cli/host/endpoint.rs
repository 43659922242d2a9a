//! Where the daemon of this machine is reached.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::systemd::Unit;
use crate::config::Config;
use crate::server::Listen;

/// The socket of the packaged `gatepost.socket`.
pub(in crate::cli) const SOCKET: &str = "/run/gatepost/milter.sock";
/// Its other socket, below Postfix' queue directory, so that `smtpd` reaches it with and without chroot.
pub(in crate::cli) const WITHIN_QUEUE: &str = "gatepost/milter.sock";

/// The endpoints of the configuration, unless a socket unit provides others that exist: those then, since
/// sockets that are handed to the daemon come before its settings.
pub(in crate::cli) fn endpoints(config: &Config, queue: Option<&Path>) -> Vec<Listen> {
    let within = queue.map(|queue| queue.join(WITHIN_QUEUE));
    let activated = within.into_iter().chain([SOCKET.into()]).filter(|path| is_socket(path));
    let mut found: Vec<Listen> = activated.map(Listen::Unix).collect();
    let has_unit = || Unit::find("gatepost.socket").is_some();
    if found.is_empty() || (config.listen != Config::default().listen && !has_unit()) {
        found.clone_from(&config.listen);
    }
    found
}

/// Whether there is a socket at a path.
pub(in crate::cli) fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}
