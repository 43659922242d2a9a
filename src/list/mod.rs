//! Look-up tables, compiled once and pure: networks, domains, mailboxes.

mod domains;
mod mailboxes;
mod networks;

pub use domains::Domains;
pub use mailboxes::{Entry, Mailboxes};
pub use networks::Networks;
