//! What can be wrong with what a peer sends.

use super::frame::guess;

/// Why a connection is given up. Its text is one clause for the log and holds nothing of the peer's making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A length field of 0.
    #[error("a packet of length 0")]
    EmptyFrame,
    /// A length field above the limit for this kind of packet.
    #[error("a packet of {length} octets, more than the {limit} allowed{}", guess(*.length))]
    Oversized {
        /// What the length field says.
        length: u32,
        /// What is allowed.
        limit: usize,
    },
    /// The first packet is not OPTNEG.
    #[error("a conversation that does not begin with negotiation")]
    NotNegotiated,
    /// OPTNEG with fewer than 12 octets of data.
    #[error("a negotiation packet that is too short")]
    ShortNegotiation,
    /// An MTA older than protocol version 2.
    #[error("protocol version {0}, older than 2")]
    Version(u32),
    /// A command that does not exist.
    #[error("unknown command 0x{0:02x}")]
    UnknownCommand(u8),
    /// A command whose data cannot be read.
    #[error("a malformed {0} packet")]
    Malformed(&'static str),
    /// A command that cannot come at this point.
    #[error("an unexpected {0} packet")]
    OutOfOrder(&'static str),
}

/// A part of a decision that the protocol cannot carry at this point, and that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unspoken {
    /// This verdict does not exist at this stage.
    #[error("{verdict} cannot be said at {stage}")]
    Verdict {
        /// The verdict's name.
        verdict: &'static str,
        /// The stage's name.
        stage: &'static str,
    },
    /// Changes are possible at the end of the message only.
    #[error("a message cannot be changed at {0}")]
    EditStage(&'static str),
    /// The MTA did not agree to this kind of change.
    #[error("the MTA did not agree to {0}")]
    NotAgreed(&'static str),
    /// An empty recipient, or an address or parameter with control characters in it.
    #[error("a recipient is empty, or an address or parameter holds control characters")]
    Text,
    /// A change that does not fit into a packet that all MTAs take, 65,536 octets.
    #[error("{0} with more than 65,536 octets")]
    TooLong(&'static str),
}
