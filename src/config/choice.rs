//! Settings that are one word out of a few.

use crate::verdict::List;

/// Declares an enum whose variants are words of the configuration.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The words that a configuration may use, in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word in the configuration.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads the word, in any case.
            pub fn from_word(word: &str) -> Option<Self> {
                match word.to_ascii_lowercase().as_str() {
                    $($word $(| $alias)* => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

choice! {
    /// How much is logged.
    LogLevel {
        /// Only what needs somebody.
        Error = "error" | "critical",
        /// Also what may need somebody.
        Warn = "warning" | "warn",
        /// Also one line for each decision.
        Info = "info",
        /// Also what was skipped, and why.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// What a start without a DQS key does.
    WithoutKey {
        /// It fails, and says what is missing.
        Refuse = "refuse",
        /// The daemon runs, asks nothing and lets everything in.
        Accept = "accept",
    }
}

choice! {
    /// What becomes of mail from a domain that ZRD lists.
    ZrdAction {
        /// A permanent refusal.
        Reject = "reject",
        /// A temporary one: the domain may be older when the client comes again.
        Tempfail = "tempfail",
    }
}

choice! {
    /// What becomes of mail while a list cannot be reached.
    OnTrouble {
        /// It comes in unchecked.
        LetIn = "accept",
        /// The client is told to come again.
        Defer = "tempfail",
    }
}

choice! {
    /// Whose words the SMTP replies use.
    ReplyStyle {
        /// Replies that name the list and where to ask.
        New = "new",
        /// The texts of the Python milter, word for word.
        Seed = "seed",
    }
}

/// What becomes of mail while a list cannot be reached, list by list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFailure {
    /// Trouble with ZEN.
    pub zen: OnTrouble,
    /// Trouble with DBL.
    pub dbl: OnTrouble,
    /// Trouble with ZRD.
    pub zrd: OnTrouble,
}

impl OnFailure {
    /// The same for all lists.
    pub const fn all(act: OnTrouble) -> Self {
        Self { zen: act, dbl: act, zrd: act }
    }

    /// What holds for one list.
    pub fn of(self, list: List) -> OnTrouble {
        match list {
            List::Zen => self.zen,
            List::Dbl => self.dbl,
            List::Zrd => self.zrd,
        }
    }

    /// Changes what holds for one list.
    pub(super) fn set(&mut self, list: List, act: OnTrouble) {
        match list {
            List::Zen => self.zen = act,
            List::Dbl => self.dbl = act,
            List::Zrd => self.zrd = act,
        }
    }
}
