//! Look-up tables, compiled once and pure: those of settings, and lists of any size from files.

mod domains;
mod mailboxes;
mod networks;
mod table;

pub use domains::Domains;
pub use mailboxes::{MailboxPattern, Mailboxes};
pub use networks::Networks;
pub use table::{Entry, Fault, Format, Kind, Records, Table};
