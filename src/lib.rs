//! A milter library, and the daemon built with it.

pub mod dns;
pub mod limits;
pub mod smtp;
pub mod verdict;
