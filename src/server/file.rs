//! The file of a Unix socket: endpoint with its permissions, and held on to.
//!
//! What may be done to a path that holds something already is the business of who binds.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use nix::sys::stat::{Mode, fchmod};

/// Listens on a new socket file. Not for an instant has it permissions beyond `mode`; the umask may have taken
/// some away.
///
/// On Linux `bind(2)` gives the file the permissions of the socket, less the umask. Changing the umask instead
/// would change it for all threads.
pub(super) fn make(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let endpoint = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    fchmod(&endpoint, Mode::from_bits_truncate(mode))?;
    bind(endpoint.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&endpoint, Backlog::MAXALLOWABLE)?;
    Ok(endpoint.into())
}

/// Whether somebody listens on a socket file, without waiting: who does not take connections is there all the same.
///
/// # Errors
/// What `connect(2)` says: `ConnectionRefused` if nobody listens, `WouldBlock` if all places in the queue are taken.
pub fn knock(path: &Path) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let endpoint = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    Ok(connect(endpoint.as_raw_fd(), &UnixAddr::new(path)?)?)
}

/// A hold on a socket file itself, with its device and inode. Root must not change mode or owner of what
/// somebody who can write to the directory may have put at the path meanwhile.
pub(super) fn pin(path: &Path) -> io::Result<(File, (u64, u64))> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let what = file.metadata()?;
    if what.file_type().is_socket() {
        Ok((file, (what.dev(), what.ino())))
    } else {
        Err(io::Error::other("somebody replaced the socket file"))
    }
}

/// A path that leads to a file that is [pinned](pin), and nowhere else.
pub(super) fn pinned(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_full_queue_is_somebody_and_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("full.sock");
        let listener =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).expect("a path")).expect("a file");
        listen(&listener, Backlog::new(0).expect("a queue")).expect("it listens");
        assert!(knock(&path).is_ok(), "somebody is there");
        // Connections that nobody takes stay in the queue, also when their other end is gone.
        let full = (0..4).find_map(|_| knock(&path).err()).expect("a queue of one place");
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let (told, bound) = std::sync::mpsc::channel();
        let at = crate::server::Listen::Unix(path.clone());
        std::thread::spawn(move || told.send(at.bind(0o600).map(drop)));
        let bound = bound.recv_timeout(std::time::Duration::from_mins(1)).expect("a start does not hang");
        assert!(matches!(bound, Err(crate::server::BindError::InUse(_))), "{bound:?}");
        drop(listener);
        assert_eq!(knock(&path).expect_err("nobody").kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_new_socket_file_is_never_open_to_more_than_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        // Whatever the umask of the test is, it lets the owner in: bind(2) alone would give 0700 and more.
        for mode in [0, 0o200, 0o600] {
            let path = directory.path().join(format!("{mode:o}.sock"));
            let _listener = make(&path, mode).expect("a socket");
            let given = std::fs::metadata(&path).expect("a file").permissions().mode() & 0o7777;
            assert_eq!(given & !mode, 0, "{given:o} for {mode:o}");
        }
    }
}
