//! Look-up tables, compiled once and pure: those of settings, lists and access maps of any size, patterns.

pub mod access;
mod address;
pub mod cdb;
mod domains;
mod flaw;
pub mod lmdb;
mod mailboxes;
mod networks;
pub mod pattern;
pub mod recipients;
mod table;

pub use domains::Domains;
pub use flaw::Flaws;
pub use mailboxes::{MailboxPattern, Mailboxes};
pub use networks::{Networks, is_wide};
pub use table::{Entry, Fault, Format, Kind, Records, Table};
