//! The stages of an SMTP session at which a filter can judge.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A stage of the SMTP session, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The client has connected; its address and name are known.
    Connect,
    /// HELO or EHLO, once or several times, or never.
    Helo,
    /// MAIL FROM: the login and the reverse-path are known.
    Mail,
    /// RCPT TO, once for each recipient.
    Rcpt,
    /// DATA, before any of the message is seen.
    Data,
    /// The end of the message; the only stage that can change it.
    Message,
}

impl Stage {
    /// The name in settings and log lines: lower case, one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Message => "message",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Connect, Self::Helo, Self::Mail, Self::Rcpt, Self::Data, Self::Message]
            .into_iter()
            .find(|stage| stage.name().eq_ignore_ascii_case(name))
            .ok_or(())
    }
}
