//! The milter protocol, versions 2 to 6, without I/O.
//!
//! Octets in, octets out: [`Session`] is the filter's side, [`mta`] the MTA's. Sockets, deadlines and
//! tasks are the business of [`server`](crate::server); what to answer is decided by a [`Filter`].
//!
//! There is no standard for this protocol. Sendmail's libmilter and Postfix define it; where they
//! differ, the code says so.

mod command;
mod error;
mod filter;
mod frame;
pub mod mta;
mod negotiation;
mod response;
mod session;

pub use command::{Command, Strings};
pub use error::{ProtocolError, Unspoken};
pub use filter::{Filter, Flow};
pub use frame::Frame;
pub use negotiation::{Actions, Agreement, Offer, Protocol, VERSION};
pub use response::Response;
pub use session::{Due, Session, Step};
