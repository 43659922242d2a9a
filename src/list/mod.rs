//! Look-up tables, compiled once and pure: networks, domains, patterns.


mod domains;
mod networks;
pub mod pattern;

pub use domains::Domains;
pub use networks::Networks;
