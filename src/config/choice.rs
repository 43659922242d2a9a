//! Settings that are one word out of a few.

use crate::limits::Overload;
use crate::list::access::{Comments, Delay, Duplicates, Exemption, Logins, Loopback, Syntax};
use crate::policy::{self, OnTrouble, ReplyStyle};
use crate::smtp::Stage;
use crate::telemetry::Level;
use crate::verdict::{Act, List};

/// A setting that is one word out of a few.
pub trait Word: Sized + Copy + 'static {
    /// The words that a configuration may use, in the order of the values.
    const WORDS: &'static [&'static str];

    /// The word in the configuration.
    fn word(self) -> &'static str;

    /// Reads the word, in any case.
    fn from_word(word: &str) -> Option<Self>;
}

/// Gives the values of a type their words, and other words that are understood too.
macro_rules! words {
    ($name:ty { $($variant:ident = $word:literal $(| $alias:literal)*,)+ }) => {
        impl Word for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word.to_ascii_lowercase().as_str() {
                    $($word $(| $alias)* => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

/// What a start without a DQS key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutKey {
    /// It fails, and says what is missing.
    Refuse,
    /// The daemon runs, asks nothing and lets everything in.
    Accept,
}

/// How much confinement the process needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// As much as the system offers; what is missing is told.
    On,
    /// All of it: it does not start with less.
    Require,
    /// No Landlock. Root is given up all the same.
    Off,
}

words! { Sandbox { On = "on", Require = "require", Off = "off", } }
words! { WithoutKey { Refuse = "refuse", Accept = "accept", } }
// The other words are those of Python's logging, which the Python milter takes.
words! {
    Level {
        Error = "error" | "critical" | "fatal",
        Warn = "warning" | "warn",
        Info = "info" | "notice",
        Debug = "debug",
        Trace = "trace",
    }
}
words! {
    Act {
        Refuse = "reject",
        Defer = "tempfail",
        Discard = "discard",
        Quarantine = "quarantine",
        Tag = "tag",
        Log = "log",
    }
}
words! { Overload { Accept = "accept", Tempfail = "tempfail", } }
words! { policy::Mode { Enforce = "enforce", Shadow = "shadow", } }
words! { Syntax { Sendmail = "sendmail", Postfix = "postfix", } }
words! { Delay { UntilRcpt = "rcpt", None = "none", } }
words! { Exemption { EachRecipient = "all", LaterRecipients = "any", } }
words! { Loopback { Allowed = "allow", Searched = "search", } }
words! { Logins { Trusted = "trust", Ignored = "ignore", } }
words! { Duplicates { First = "first", Last = "last", } }
words! { Comments { Lines = "line", Inline = "inline", } }
words! { OnTrouble { LetIn = "accept", Defer = "tempfail", } }
words! { ReplyStyle { Own = "new", Python = "python", } }

impl Word for Stage {
    /// Verdicts can be given at the stages of the envelope.
    const WORDS: &'static [&'static str] = &["connect", "helo", "mail", "rcpt"];

    fn word(self) -> &'static str {
        self.name()
    }

    fn from_word(word: &str) -> Option<Self> {
        word.parse().ok().filter(|stage| *stage <= Self::Rcpt)
    }
}

/// Permissions of a file, such as `0o660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// What certain codes of a list do: first code, last code, act.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeActs(pub Vec<(u8, u8, Act)>);

/// What becomes of mail while a list of DQS cannot be reached, list by list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFailure([OnTrouble; List::DQS.len()]);

impl OnFailure {
    /// The same for all lists.
    pub const fn all(act: OnTrouble) -> Self {
        Self([act; List::DQS.len()])
    }

    /// What holds for one list; other lists have a setting of their own.
    pub fn of(self, list: List) -> OnTrouble {
        self.0.get(list.number()).copied().unwrap_or(OnTrouble::LetIn)
    }

    /// Changes what holds for one list.
    pub(super) fn set(&mut self, list: List, act: OnTrouble) {
        if let Some(place) = self.0.get_mut(list.number()) {
            *place = act;
        }
    }
}
