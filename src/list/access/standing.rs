//! What the answers of a whole session mean together.
//!
//! The last word counts: what a map says about a recipient lifts what it said about the sender, and that
//! what it said about the client. So an allowed recipient can be reached by whomever, and a denial waits
//! until the recipient is known. Nothing that is said of one recipient holds for another.

use serde::{Deserialize, Serialize};

use super::{Answer, Ruling};

/// When a denial of a client or sender is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Delay {
    /// At RCPT, unless the recipient lifts it.
    #[default]
    UntilRcpt,
    /// At once.
    None,
}

/// Whom an allowed recipient spares the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Exemption {
    /// A message all of whose recipients are allowed.
    #[default]
    AllRecipients,
    /// A message with an allowed recipient, as in milter-spamc.
    AnyRecipient,
}

/// What has been said so far about a session and its open message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    connect: Ruling,
    mail: Ruling,
    /// Recipients that were accepted: allowed, to be checked, to be dropped.
    allowed: u32,
    checked: u32,
    dropped: u32,
    hater: bool,
    quarantine: Option<Box<str>>,
}

/// What is to be said now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Now {
    /// To go on.
    Continue,
    /// This denial, a [`Ruling::Refuse`] or [`Ruling::Defer`].
    Deny(Ruling),
    /// To go on; of this recipient the message is dropped. `DISCARD` cannot be said for a recipient alone,
    /// so it has to be removed at the end of the message.
    Drop,
}

/// Whether a message is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// It is.
    Due,
    /// It need not be.
    Spared,
}

/// What is to become of a message as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Whether it is checked.
    pub checks: Checks,
    /// Whether nobody is left who is to get it: `DISCARD`.
    pub discard: bool,
    /// The reason of a quarantine.
    pub quarantine: Option<Box<str>>,
}

impl Standing {
    /// Takes what a map says about the client.
    pub fn connect(&mut self, answer: &Answer, delay: Delay) -> Now {
        self.connect = answer.ruling.clone();
        now(&self.connect, delay)
    }

    /// Begins a message, and takes what a map says about its sender.
    pub fn mail(&mut self, answer: &Answer, delay: Delay) -> Now {
        self.end_message();
        self.mail = answer.ruling.clone();
        now(last([&self.mail, &self.connect]), delay)
    }

    /// Takes what a map says about one recipient.
    pub fn rcpt(&mut self, answer: &Answer) -> Now {
        let hater = answer.hater.is_some();
        match last([&answer.ruling, &self.mail, &self.connect]) {
            denial @ (Ruling::Refuse(_) | Ruling::Defer(_)) => return Now::Deny(denial.clone()),
            Ruling::Discard => {
                self.dropped += 1;
                return Now::Drop;
            }
            Ruling::Quarantine(reason) => {
                self.quarantine.get_or_insert(reason.clone());
                self.checked += 1;
            }
            Ruling::Allow if !hater => self.allowed += 1,
            Ruling::Allow | Ruling::Nothing => self.checked += 1,
        }
        self.hater |= hater;
        Now::Continue
    }

    /// What is to become of the message, after its last recipient.
    pub fn message(&self, exemption: Exemption) -> Whole {
        let spared = match exemption {
            Exemption::AllRecipients => self.allowed > 0 && self.checked == 0,
            Exemption::AnyRecipient => self.allowed > 0 && !self.hater,
        };
        Whole {
            checks: if spared { Checks::Spared } else { Checks::Due },
            discard: self.dropped > 0 && self.allowed + self.checked == 0,
            quarantine: self.quarantine.clone(),
        }
    }

    /// Forgets the message; what was said about the client stays.
    pub fn end_message(&mut self) {
        *self = Self { connect: std::mem::take(&mut self.connect), ..Self::default() };
    }
}

/// The latest of them that says anything.
fn last<const N: usize>(rulings: [&Ruling; N]) -> &Ruling {
    rulings.into_iter().find(|ruling| **ruling != Ruling::Nothing).unwrap_or(&Ruling::Nothing)
}

fn now(ruling: &Ruling, delay: Delay) -> Now {
    match ruling {
        Ruling::Refuse(_) | Ruling::Defer(_) if delay == Delay::None => Now::Deny(ruling.clone()),
        _ => Now::Continue,
    }
}
