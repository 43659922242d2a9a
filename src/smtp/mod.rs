//! What SMTP says: addresses, names, replies and the conversation so far.
//!
//! Plain data and pure functions. Nothing here does I/O, knows a list, or judges.

mod client;
mod dialog;
mod domain;
mod macros;
mod mailbox;
mod needs;
mod path;
mod reply;
mod stage;
mod syntax;
mod text;

pub use client::{Client, canonical, household, is_special};
pub use dialog::{Dialog, Recipient, SessionId, Transaction};
pub use domain::{Domain, NoDomain};
pub use macros::Macros;
pub use mailbox::{Mailbox, TypedMailbox};
pub use needs::{Event, Events, Needs, Part, Parts, Permit, Permits};
pub use path::ReversePath;
pub use reply::{BadReply, Reply};
pub use stage::Stage;
pub use syntax::{AddressFault, AddressFaults, Side};
pub(crate) use text::{KEY_LENGTH, KEY_LIKE, holds_like_key, is_like_key, plain_json, without_keys};
pub use text::{excerpt, is_unprintable, plain, printable};
