//! What several test programs share.
#![allow(dead_code, unreachable_pub, reason = "each test program takes what it needs")]

pub mod recording;
pub mod side;
