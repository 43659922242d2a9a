//! The conversation so far.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::{Client, Macros};

/// Identifies one session in log lines: unique within the life of the host's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct SessionId {
    /// Which process: its start time in seconds.
    pub process: u32,
    /// Which session of that process, counted from 1.
    pub number: u64,
}

impl SessionId {
    /// The session that a process has with itself, to see whether sessions are served: it is in no log line and in no count.
    pub fn rehearsal(process: u32) -> Self {
        Self { process, number: u64::MAX }
    }

    /// Whether it is that.
    pub fn is_rehearsal(self) -> bool {
        self.number == u64::MAX
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.process, self.number)
    }
}

/// What is known of an SMTP session, as far as it has gone.
///
/// Texts are the raw octets that the client typed: of any encoding, any length up to the limit, and
/// never to be shown without [`printable`](super::printable).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// The session's id in the log.
    pub id: SessionId,
    /// The client's address.
    pub client: Client,
    /// The client's host name as the MTA verified it; `[address]` or `unknown` if it could not.
    pub client_name: Vec<u8>,
    /// The argument of the latest HELO or EHLO.
    pub helo: Option<Vec<u8>>,
    /// The open message.
    pub transaction: Option<Transaction>,
    /// Messages that were begun in this session.
    pub messages: u32,
    /// Macros, by stage.
    pub macros: Macros,
}

/// One message: from MAIL to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The argument of MAIL, brackets and all.
    pub sender: Vec<u8>,
    /// The ESMTP parameters of MAIL, one each, as typed; for a filter that asks for
    /// [`Part::Parameters`](super::Part::Parameters).
    pub parameters: Vec<Vec<u8>>,
    /// The recipient in question last, and before it the earlier ones for a filter that asks for
    /// [`Part::Recipients`](super::Part::Recipients), as far as [`Limits`](crate::limits::Limits) go.
    pub recipients: Vec<Recipient>,
}

/// One recipient of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The argument of RCPT, brackets and all.
    pub address: Vec<u8>,
    /// The ESMTP parameters of RCPT, one each, as typed; kept on the same terms as those of MAIL.
    pub parameters: Vec<Vec<u8>>,
}

impl Recipient {
    /// Octets of memory that it takes.
    pub(crate) fn size(&self) -> usize {
        let parameters = self.parameters.iter().map(|text| size_of::<Vec<u8>>() + text.capacity());
        size_of::<Self>() + self.address.capacity() + parameters.sum::<usize>()
    }
}

impl Dialog {
    /// Whether the client has authenticated: a login is present for the open message.
    pub fn is_authenticated(&self) -> bool {
        self.is_login(self.macros.find("{auth_authen}"))
    }

    /// Whether this value of `{auth_authen}` is a login: known from MAIL on only, and not if it is empty.
    pub(crate) fn is_login(&self, authen: Option<&[u8]>) -> bool {
        self.transaction.is_some() && authen.is_some_and(|login| !login.is_empty())
    }

    /// The MTA's queue id, as soon as it has one: Postfix after the first recipient, Sendmail at MAIL.
    pub fn queue_id(&self) -> Option<&[u8]> {
        self.macros.find("i").filter(|id| !id.is_empty())
    }

    /// Ends the open message, if there is one; CONNECT and HELO stay.
    pub fn end_message(&mut self) {
        self.transaction = None;
        self.macros.forget_message();
    }
}
