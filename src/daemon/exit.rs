//! Exit statuses, as in sysexits.h.

use std::process::{ExitCode, Termination};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing listed.
    Ok,
    /// `lookup`: listed. `explain`: refused.
    Listed,
    /// `lookup`: could not tell.
    Unknown,
    /// The command line is wrong (64).
    Usage,
    /// An endpoint or a service is not available (69).
    Unavailable,
    /// A programming error (70).
    Software,
    /// Something could not be read or written (74).
    Io,
    /// Permission is missing (77).
    Permission,
    /// The configuration is wrong (78).
    Config,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Ok => 0,
            Self::Listed => 1,
            Self::Unknown => 2,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::Io => 74,
            Self::Permission => 77,
            Self::Config => 78,
        })
    }
}
