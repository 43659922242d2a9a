//! Reading one file, whatever it turns out to be.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;

use crate::list::Fault;

/// How often a file is read that changes while it is read.
const TRIES: usize = 3;

/// The coarsest clock of a file system: within it two changes may leave the same time behind. FAT has 2 s.
const GRAIN: Duration = Duration::from_millis(2_500);

/// What tells a file from the one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Changes with permissions, too: a file that becomes readable is worth another look.
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of what a path leads to, links followed.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::of(&metadata))
    }

    /// Whether this is another file, and not the same one with other content.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        (self.device, self.inode) != (other.device, other.inode)
    }

    /// Whether the file changed so lately that another change would not show.
    fn is_fresh(&self) -> bool {
        let seconds = u64::try_from(self.changed.0.max(self.modified.0)).unwrap_or(0);
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        age.is_ok_and(|age| age < GRAIN)
    }
}

/// A file that was read as a whole.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) octets: Vec<u8>,
    pub(super) identity: Identity,
    /// Another change may not show in the identity.
    pub(super) fresh: bool,
}

/// Reads a regular file of at most `limit` octets. Directories, FIFOs, sockets and devices are neither waited for nor
/// touched.
///
/// # Errors
/// What is wrong, and what to do.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Fault> {
    content(path, limit).map(|content| content.octets)
}

/// As [`read`]. A file that is replaced or written while it is read is read again.
pub(super) fn content(path: &Path, limit: usize) -> Result<Content, Fault> {
    for _ in 0..TRIES {
        // Before it is opened: to open a device may do things.
        suits(&std::fs::metadata(path).map_err(|error| trouble(&error))?, limit)?;
        let mut file = open(path).map_err(|error| trouble(&error))?;
        let before = file.metadata().map_err(|error| trouble(&error))?;
        suits(&before, limit)?;
        let octets = whole(&mut file, &before, limit).map_err(|error| trouble(&error))?;
        let identity = Identity::of(&before);
        let is_same =
            |metadata: io::Result<Metadata>| metadata.is_ok_and(|after| Identity::of(&after) == identity);
        if octets.len() as u64 == identity.size
            && is_same(file.metadata())
            && is_same(std::fs::metadata(path))
        {
            return Ok(Content { octets, identity, fresh: identity.is_fresh() });
        }
    }
    Err(Fault::whole("the file changes while it is read", "write it aside and rename it"))
}

/// Looks whether a path leads to a regular file that can be read, without reading it.
#[cfg(feature = "sqlite")]
pub(super) fn regular(path: &Path) -> Result<(), Fault> {
    suits(&std::fs::metadata(path).map_err(|error| trouble(&error))?, usize::MAX)?;
    open(path).map(drop).map_err(|error| trouble(&error))
}

/// Opens whatever is there for reading, and never waits for it: opening a FIFO usually takes until somebody writes.
///
/// # Errors
/// As with any file.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

fn whole(file: &mut File, metadata: &Metadata, limit: usize) -> io::Result<Vec<u8>> {
    let size = usize::try_from(metadata.size()).unwrap_or(limit).min(limit);
    // One octet more shows that it grew.
    let mut octets = Vec::with_capacity(size + 1);
    file.take(size as u64 + 1).read_to_end(&mut octets)?;
    Ok(octets)
}

fn suits(metadata: &Metadata, limit: usize) -> Result<(), Fault> {
    let kind = metadata.file_type();
    if !kind.is_file() {
        return Err(Fault::whole(format!("this is {}, not a file", name(kind)), "name a regular file"));
    }
    if metadata.size() > limit as u64 {
        let cause = format!("the file has {} octets, more than {limit}", metadata.size());
        return Err(Fault::whole(cause, "divide it, or serve it with rbldnsd"));
    }
    Ok(())
}

fn name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Why a file cannot be read.
pub(super) fn trouble(error: &io::Error) -> Fault {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "create it, or correct the path",
        io::ErrorKind::PermissionDenied => "let the account of gatepost read it, and search its directories",
        _ => "",
    };
    Fault::whole(format!("cannot be read: {error}"), remedy)
}
