//! A milter library, and the daemon built with it.

pub mod config;
pub mod limits;
pub mod smtp;
pub mod verdict;
