//! Where the protocol meets sockets.

mod call;

pub use call::{Call, CallError};
