//! What is wrong with a map, line by line.

use std::fmt;

/// Most lines that are told of one map; a table of another kind has a mistake in each line.
const MOST: usize = 100;
/// What to do about a line where the cause says nothing of it.
const REMEDY: &str = "mend the line or take it out";

/// A line that cannot be used, or that is worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The line, counted from 1; 0 for the map as a whole.
    pub line: u32,
    /// What is wrong, and why.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Flaw {
    /// `14: cause; remedy`: what follows the file and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}: ", self.line)?;
        }
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

/// All flaws of a map, as many as anybody would read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flaws {
    shown: Vec<Flaw>,
    more: usize,
}

impl Flaws {
    /// Adds one; `text` is the cause, and behind a semicolon the remedy.
    pub fn add(&mut self, line: u32, text: &str) {
        if self.shown.len() == MOST {
            self.more += 1;
            return;
        }
        let (cause, remedy) = text.split_once("; ").unwrap_or((text, REMEDY));
        self.shown.push(Flaw { line, cause: cause.to_owned(), remedy: remedy.to_owned() });
    }

    /// Those that are told, in the order of lines.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Flaw> {
        self.shown.iter()
    }

    /// How many more there are.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl fmt::Display for Flaws {
    /// One on each line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, flaw) in self.shown.iter().enumerate() {
            write!(f, "{}{flaw}", if n == 0 { "" } else { "\n" })?;
        }
        if self.more > 0 { write!(f, "\n{} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for Flaws {}
