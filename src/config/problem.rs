//! What is wrong with a configuration: where, what, and what to do.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use super::text::LARGEST;
use super::value::elide;
use crate::smtp::plain;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Built in.
    Default,
    /// A file, with line and column where they are known, both counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line, or 0.
        line: usize,
        /// The column in characters, or 0.
        column: usize,
    },
    /// The process environment.
    Environment,
    /// A credential of the service manager (`$CREDENTIALS_DIRECTORY`).
    Credential(PathBuf),
    /// The command line.
    CommandLine,
    /// All sources together: something that none of them says.
    Nowhere,
}

impl Place {
    /// A file as a whole.
    pub fn file(path: &Path) -> Self {
        Self::File { path: path.to_owned(), line: 0, column: 0 }
    }

    /// A line of a file.
    pub fn line(path: &Path, line: usize) -> Self {
        Self::File { path: path.to_owned(), line, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                f.write_str(&shown(path))?;
                if *line > 0 {
                    write!(f, ":{line}")?;
                }
                if *column > 0 {
                    write!(f, ":{column}")?;
                }
                Ok(())
            }
            Self::Environment => f.write_str("environment"),
            Self::Credential(path) => f.write_str(&shown(path)),
            Self::CommandLine => f.write_str("command line"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// A path on one line: whoever names a file may put anything into its name.
fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

/// The cause of a [`Problem`] that is about a missing key begins so.
pub(super) const NO_KEY: &str = "there is no DQS key";

/// One thing that is wrong, or worth knowing. Never holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The setting by the name it has in that place; empty if it concerns none, or the whole file.
    pub setting: String,
    /// What is wrong, and why.
    pub cause: String,
    /// What to do about it; may be empty in a notice.
    pub remedy: String,
}

impl Problem {
    /// Whether it is that there is no key, so that nothing is checked.
    pub fn is_missing_key(&self) -> bool {
        self.cause.starts_with(NO_KEY)
    }
}

/// Longest piece of a line that is shown, in characters.
const SHOWN: usize = 100;

impl Problem {
    /// The line of the file that it is about, as far as it may be shown: nothing that may be a key, and no line that
    /// speaks of one.
    pub fn line(&self) -> Option<String> {
        let Place::File { path, line, .. } = &self.place else { return None };
        let number = line.checked_sub(1)?;
        // A list of a million lines quotes its own, and is not read for each of them.
        let is_short = |about: fs::Metadata| about.is_file() && about.len() <= LARGEST;
        let text = fs::metadata(path).is_ok_and(is_short).then(|| fs::read_to_string(path).ok())??;
        let line = text.lines().nth(number)?.trim();
        let speaks_of_key = line.to_ascii_lowercase().contains("key");
        let quoted = || plain(&elide(line)).chars().take(SHOWN).collect();
        (!line.is_empty() && !speaks_of_key).then(quoted)
    }
}

impl fmt::Display for Problem {
    /// One line: `/etc/gatepost/gatepost.toml:14:3: zen.reject_codes: cause; remedy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.setting.is_empty() {
            write!(f, "{}: ", self.setting)?;
        }
        f.write_str(&self.cause)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, all sources together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// What has to be mended, in the order of the sources and their lines; never empty.
    pub errors: Vec<Problem>,
    /// What does not stop a start.
    pub notices: Vec<Problem>,
}

impl fmt::Display for Problems {
    /// The errors, one on each line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.errors.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}
