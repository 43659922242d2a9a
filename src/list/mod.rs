//! Look-up tables, compiled once and pure: networks and domains.

mod domains;
mod networks;

pub use domains::Domains;
pub use networks::Networks;
