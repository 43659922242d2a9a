//! A milter library, and the daemon built with it.

pub mod limits;
pub mod milter;
pub mod server;
pub mod smtp;
pub mod verdict;
