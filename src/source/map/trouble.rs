//! Why a map gave no answer.

use std::time::Duration;

use super::wire::Lie;

/// Why a map that is asked key by key gave no answer. What that means for mail is the caller's to say.
///
/// All texts in it are printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody is there.
    #[error("it cannot be reached: {0}")]
    Away(String),
    /// The time for all keys of a question is over.
    #[error("it took more than {} ms for all keys together", .0.as_millis())]
    Late(Duration),
    /// The connection ended where an answer should have been, twice.
    #[error("it closes the connection without an answer")]
    Closed,
    /// What it sent is no answer.
    #[error("what it sent is no answer: {0}")]
    Garbage(Lie),
    /// It said so: `TEMP`, `TIMEOUT`.
    #[error("it says that it cannot tell now: {0}")]
    Temporary(String),
    /// It said so: `PERM`.
    #[error("it says that it will not tell: {0}")]
    Permanent(String),
    /// A value that is none.
    #[error("its value for {key} cannot be used: {cause}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with the value.
        cause: String,
    },
    /// A question that would need more keys than may be asked.
    #[error("more than {0} keys would have to be asked")]
    Keys(usize),
    /// More sessions wait for it than may.
    #[error("too many sessions wait for it")]
    Busy,
    /// It gave no answer lately, and is not asked for a while.
    #[error("it kept others waiting, and is left alone for a moment")]
    Resting,
    /// A database that cannot be read.
    #[error("it cannot be read: {0}")]
    Database(String),
}

impl Trouble {
    /// One word for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::Late(_) => "late",
            Self::Closed => "closed",
            Self::Garbage(_) => "garbage",
            Self::Temporary(_) => "temporary",
            Self::Permanent(_) => "permanent",
            Self::Value { .. } => "value",
            Self::Keys(_) => "keys",
            Self::Busy => "busy",
            Self::Resting => "resting",
            Self::Database(_) => "database",
        }
    }
}
