//! Look-up tables, compiled once and pure: networks and domains of settings, lists of any size from files.

mod domains;
mod networks;
mod table;

pub use domains::Domains;
pub use networks::Networks;
pub use table::{Entry, Fault, Format, Kind, Records, Table};
