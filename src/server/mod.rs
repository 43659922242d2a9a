//! Where the protocol meets sockets: listening, accepting, reading, writing, deadlines, draining, hand-over.
//!
//! Knows nothing of what a filter decides; generic over [`Filter`](crate::milter::Filter).

mod buffer;
mod call;
mod connection;
mod crowd;
mod envelope;
mod file;
mod handover;
mod listen;
mod output;
mod room;
mod serve;
mod stream;
mod wait;

pub use call::{Call, CallError};
pub use envelope::{BadStates, enclose, open};
pub use file::knock;
pub use handover::{OVERHEAD, Rested, Taken, pack, unpack};
pub use listen::{BadListen, BindError, Listen, Socket};
pub use serve::{Server, Tally};
