//! What a filter, or the caller, can do wrong.

use crate::milter::ProtocolError;
use crate::verdict::BadHeader;

/// What a filter said that Sendmail or Postfix would not put up with, or would misunderstand.
///
/// A real MTA drops the filter for the rest of the SMTP session and applies its failure action, or
/// does worse: hangs, loses mail, lets mail in unchecked. Texts are one clause each, for a test's output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A length field that no packet can have.
    #[error("{0}")]
    Frame(#[from] ProtocolError),
    /// A packet above 65,536 octets, code included: Sendmail's buffer.
    #[error("a packet of {0} octets; 65,536 are possible")]
    Oversized(usize),
    /// The answer to OPTNEG is not OPTNEG.
    #[error("{} instead of the answer to the negotiation", letter(*.0))]
    NotNegotiated(u8),
    /// The answer to OPTNEG has fewer than 12 octets.
    #[error("an answer to the negotiation that is too short")]
    ShortNegotiation,
    /// A version above the one offered (Postfix drops the filter) or above 6, or below 2 (Sendmail does).
    #[error("protocol version {answered}; {offered} was offered")]
    Version {
        /// What the filter answered.
        answered: u32,
        /// What it was offered.
        offered: u32,
    },
    /// Action bits that were not offered or do not exist; both MTAs refuse them.
    #[error("action bits 0x{0:x}, which were not offered")]
    Actions(u32),
    /// Protocol bits that were not offered or do not exist; Sendmail refuses them, Postfix obeys some.
    #[error("protocol bits 0x{0:x}, which were not offered")]
    Protocol(u32),
    /// The MDS bits: no stock MTA can send larger pieces of the body.
    #[error("larger pieces of the body, which no stock MTA can send")]
    ChunkSize,
    /// A symbol list that one of the MTAs would misread.
    #[error("a symbol list {0}")]
    Symbols(&'static str),
    /// A packet although no reply is due: there was no event, it had its reply, or none was agreed.
    #[error("{} although no reply is due", letter(*.0))]
    Unsolicited(u8),
    /// A reply code that does not exist, or that exists in header files only (`f`, `4`, `l`).
    #[error("the unknown reply {}", letter(*.0))]
    UnknownCode(u8),
    /// A reply that is not possible at this event.
    #[error("{} in reply to {event}", letter(*.code))]
    Misplaced {
        /// The reply's code.
        code: u8,
        /// The event's name.
        event: &'static str,
    },
    /// Something for which the necessary bit was not agreed.
    #[error("{0}, which was not agreed")]
    NotAgreed(&'static str),
    /// A string without its NUL. Older Postfix passes on what lies behind it in its memory.
    #[error("a string in {} without its NUL", letter(*.0))]
    Unterminated(u8),
    /// Octets behind the end of what belongs into the packet.
    #[error("octets after the end of {}", letter(*.0))]
    Trailing(u8),
    /// The text of REPLYCODE breaks a rule that keeps SMTP whole.
    #[error("a reply text {0}")]
    ReplyText(&'static str),
    /// A header name or value that would break the message.
    #[error("{0}")]
    Header(#[from] BadHeader),
    /// A header index that libmilter refuses, or 0 where header fields are counted from 1.
    #[error("header index {0}")]
    Index(u32),
    /// An address, parameter or reason that is empty, not UTF-8, or holds control characters.
    #[error("{0}")]
    Text(&'static str),
    /// Another request between two pieces of a new body: Postfix refuses the message.
    #[error("another request between two pieces of a new body")]
    SplitBody,
    /// More changes to one message than this side keeps: 65,536, or 64 MiB of them.
    #[error("more than 65,536 changes to one message, or more than 64 MiB of them")]
    Excess,
}

/// What the caller asked for that no MTA does at this point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// The reply to the previous event has not been received.
    #[error("a reply is due; receive it before the next event")]
    ReplyDue,
    /// The event cannot come now.
    #[error("{0} cannot come at this point of an SMTP session")]
    Turn(&'static str),
    /// A piece of the body of more than 65,535 octets.
    #[error("a piece of the body of {0} octets; MTAs send 65,535 at most")]
    Chunk(usize),
}

fn letter(code: u8) -> String {
    if code.is_ascii_graphic() { format!("'{}'", char::from(code)) } else { format!("0x{code:02x}") }
}
