//! What is wrong with a file, line by line, and what to do.

use std::borrow::Cow;
use std::fmt;

use crate::smtp::excerpt;

/// Faults kept of one file: enough to see what they have in common, and no flood in the log.
const KEPT: usize = 20;

/// Longest part of a line that is shown, in characters.
const EXCERPT: usize = 60;

/// One thing that is wrong with a file. Its texts are printable, whatever the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong, and why.
    pub cause: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl Fault {
    /// Something wrong with a file as a whole.
    pub fn whole(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { line: 0, cause: cause.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Fault {
    /// `14: cause; remedy`, to stand behind the path and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, " {}", self.cause)?,
            line => write!(f, "{line}: {}", self.cause)?,
        }
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// Why a line, or a part of it, is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) cause: &'static str,
    pub(super) remedy: Cow<'static, str>,
}

pub(super) fn wrong(cause: &'static str, remedy: impl Into<Cow<'static, str>>) -> Wrong {
    Wrong { cause, remedy: remedy.into() }
}

/// The faults of one file, as many as anybody reads.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kept: Vec<Fault>,
    count: usize,
}

impl Faults {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Notes what is wrong with a line, which is shown in part.
    pub(super) fn line(&mut self, number: usize, line: &[u8], wrong: &Wrong) {
        self.count += 1;
        if self.kept.len() < KEPT {
            let shown = excerpt(line, EXCERPT);
            let cause = format!("\"{shown}\": {}", wrong.cause);
            self.kept.push(Fault { line: number, cause, remedy: wrong.remedy.clone().into_owned() });
        }
    }

    /// Notes what is wrong with the file.
    pub(super) fn file(&mut self, cause: impl Into<String>, remedy: impl Into<String>) {
        self.count += 1;
        self.kept.push(Fault::whole(cause, remedy));
    }

    /// Notes what is wrong at a line that is better not shown.
    pub(super) fn at(&mut self, line: usize, cause: impl Into<String>, remedy: impl Into<String>) {
        self.count += 1;
        self.kept.push(Fault { line, ..Fault::whole(cause, remedy) });
    }

    /// What is wrong, and how much more of it there is.
    pub(super) fn told(mut self) -> Vec<Fault> {
        let more = self.count - self.kept.len();
        if more > 0 {
            self.kept.push(Fault::whole(format!("and {more} more"), ""));
        }
        self.kept
    }
}
