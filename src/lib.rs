//! A milter library, and the daemon built with it.

pub mod check;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dns;
pub mod gate;
pub mod limits;
pub mod list;
pub mod milter;
pub mod policy;
pub mod server;
pub mod smtp;
pub mod telemetry;
pub mod verdict;
