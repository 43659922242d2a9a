//! What several test files share.
#![allow(dead_code, unreachable_pub, reason = "every test file uses another part of it")]

pub mod clock;
pub mod log;
pub mod nameserver;
pub mod openmetrics;
pub mod phone;
pub mod wire;
pub mod world;
