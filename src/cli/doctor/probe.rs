//! Connecting as another account, from its root directory: in a process of its own.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{User, chdir, chroot, initgroups, setgid, setuid};

use crate::cli::args::ProbeSocket;
use crate::daemon::Exit;
use crate::server::knock;

/// Connects to `path` as `account`, with `root` as its root directory if there is one.
///
/// # Errors
/// Why it could not.
pub(super) fn try_as(account: &str, root: Option<&Path>, path: &Path) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["probe-socket", "--account", account]);
    if let Some(root) = root {
        command.arg("--chroot").arg(root);
    }
    let done =
        command.arg("--").arg(path).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
}

/// The process that [`try_as`] starts.
pub(in crate::cli) fn run(what: &ProbeSocket) -> Exit {
    match connect(what) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("{error}");
            Exit::Unavailable
        }
    }
}

fn connect(what: &ProbeSocket) -> Result<(), String> {
    let user = User::from_name(&what.account).ok().flatten().ok_or("no such account")?;
    // While names can still be looked up.
    let name = CString::new(what.account.as_str()).map_err(|_| "no such account")?;
    let failed = |error: nix::Error| format!("cannot become {}: {}", what.account, error.desc());
    initgroups(&name, user.gid).map_err(failed)?;
    if let Some(root) = &what.chroot {
        chroot(root).map_err(failed)?;
    }
    chdir("/").map_err(failed)?;
    setgid(user.gid).map_err(failed)?;
    setuid(user.uid).map_err(failed)?;
    knock(&what.path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => "nobody takes the connections that wait there".to_owned(),
        _ => error.to_string(),
    })
}
