//! Files that are watched: read at start, and again when they change.
//!
//! What a file means is the business of a parse function; here nothing is looked up, and nobody decides what a missing
//! list means for mail. Readers take a snapshot without a lock. Reading, parsing and freeing happen in the
//! thread of the [`Watcher`], one file after the other: neither a session nor a runtime ever waits for them.

mod file;
pub mod map;
mod watched;
mod watcher;

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::list::Fault;
use crate::smtp::printable;

pub use file::{open, read};
pub use map::{Map, Trouble, Unanswered};
pub use watched::{Current, Failed, State, Watched};
pub use watcher::{PERIOD, Watcher};

/// What a parse function makes of a file.
#[derive(Debug)]
pub struct Parsed<T> {
    /// What readers get.
    pub value: T,
    /// How many entries it has, for people.
    pub entries: usize,
    /// What is strange in the file, but does no harm.
    pub warnings: Vec<Fault>,
}

/// Reads the text of a file. What is wrong with it comes with its lines; the value in use stays then.
pub type Parse<T> = Box<dyn Fn(&[u8]) -> Result<Parsed<T>, Vec<Fault>> + Send + Sync>;

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; never empty.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Failure {
    /// One line for each fault: `/etc/gatepost/list:14: cause; remedy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        for (n, fault) in self.faults.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{path}:{fault}")?;
        }
        Ok(())
    }
}

/// Longest path that Linux has (`PATH_MAX`).
const PATH: usize = 4_096;

/// A path as it stands in messages.
fn shown(path: &std::path::Path) -> String {
    printable(path.as_os_str().as_bytes(), PATH)
}

#[cfg(test)]
mod tests;
