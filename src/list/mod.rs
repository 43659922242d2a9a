//! Look-up tables, compiled once and pure: networks, domains, access maps, patterns.

pub mod access;
mod domains;
mod flaw;
mod networks;
pub mod pattern;

pub use domains::Domains;
pub use flaw::{Flaw, Flaws};
pub use networks::Networks;
