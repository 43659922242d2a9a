//! What the system knows about this process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::stat::Mode;
use nix::unistd::{SysconfVar, sysconf};

/// The entries `.` and `..`, and the directory itself, which is open while it is read.
const NOT_COUNTED: usize = 3;

/// Looks at this process. Opens what it reads beforehand: later the process may be confined.
#[derive(Debug)]
pub struct Process {
    started: SystemTime,
    memory: Option<File>,
    files: Option<Mutex<Dir>>,
}

/// What a look at the process brought; nothing where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// When it started.
    pub started: SystemTime,
    /// Processor time so far, all threads.
    pub cpu: Option<Duration>,
    /// Memory that is not swapped out, in octets.
    pub resident: Option<u64>,
    /// Address space, in octets.
    pub virtual_size: Option<u64>,
    /// Files open now.
    pub open_files: Option<u64>,
    /// Files that may be open.
    pub max_files: Option<u64>,
}

impl Process {
    /// Begins to look at the process that calls it, which counts as started now.
    pub fn new() -> Self {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let files = Dir::open("/proc/self/fd", flags, Mode::empty()).ok().map(Mutex::new);
        Self { started: SystemTime::now(), memory: File::open("/proc/self/statm").ok(), files }
    }

    /// Looks now.
    pub fn usage(&self) -> Usage {
        let memory = self.memory.as_ref().and_then(|file| pages(file).ok());
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| u64::try_from(size).ok());
        let octets = |pages: Option<u64>| Some(pages? * page?);
        Usage {
            started: self.started,
            cpu: getrusage(UsageWho::RUSAGE_SELF).ok().map(|usage| {
                let micros = [usage.user_time(), usage.system_time()].map(|time| {
                    let (seconds, micros) = (time.tv_sec(), time.tv_usec());
                    u64::try_from(seconds * 1_000_000 + micros).unwrap_or_default()
                });
                Duration::from_micros(micros.iter().sum())
            }),
            virtual_size: octets(memory.map(|(size, _)| size)),
            resident: octets(memory.map(|(_, resident)| resident)),
            open_files: self.open_files(),
            max_files: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
        }
    }

    fn open_files(&self) -> Option<u64> {
        let mut files = self.files.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(files.iter().count().checked_sub(NOT_COUNTED)?).ok()
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

/// Size and resident size in pages (proc(5), statm).
fn pages(file: &File) -> io::Result<(u64, u64)> {
    let mut text = [0; 128];
    let count = file.read_at(&mut text, 0)?;
    let mut fields = std::str::from_utf8(&text[..count]).unwrap_or_default().split(' ');
    let mut next = || fields.next().and_then(|field| field.parse().ok()).ok_or(io::ErrorKind::InvalidData);
    Ok((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let process = Process::new();
        let usage = process.usage();
        assert!(usage.resident > Some(1 << 20) && usage.virtual_size > usage.resident, "{usage:?}");
        assert!(usage.cpu.is_some() && usage.max_files >= usage.open_files, "{usage:?}");
        // Other tests of this program open and close files meanwhile.
        let many: Vec<File> = (0..200).filter_map(|_| File::open("/dev/null").ok()).collect();
        assert!(process.usage().open_files >= usage.open_files.map(|files| files + 100), "{}", many.len());
    }
}
