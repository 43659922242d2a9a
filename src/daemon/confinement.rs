//! What the process may still do, step by step, and what could not be taken away.

use std::fmt;

/// How far a step of confinement got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It holds, and was read back.
    Enforced,
    /// A part of it holds.
    Partial,
    /// It does not hold.
    Off,
}

impl Extent {
    /// The word for logs and status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Partial => "partial",
            Self::Off => "off",
        }
    }
}

/// One step of confinement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name: `user`, `groups`, `capabilities`, `no_new_privs`, `landlock`, `dumpable` or `core`.
    pub name: &'static str,
    /// How far it got.
    pub extent: Extent,
    /// What holds, or why it does not; may be empty.
    pub reason: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.extent.word())?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

/// All steps, in the order in which they were taken. Empty before [`Daemon::confine`](super::Daemon::confine).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    steps: Vec<Step>,
}

impl Confinement {
    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The first step that is not wholly enforced.
    pub fn gap(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.extent != Extent::Enforced)
    }

    /// Notes a step that holds or does not.
    pub(super) fn note(&mut self, name: &'static str, extent: Extent, reason: impl Into<String>) {
        self.steps.push(Step { name, extent, reason: reason.into() });
    }
}

impl fmt::Display for Confinement {
    /// All steps in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.steps.iter().enumerate() {
            write!(f, "{}{step}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
