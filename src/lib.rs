//! A milter library, and the daemon built with it.

pub mod limits;
pub mod milter;
pub mod smtp;
pub mod verdict;
