#![no_main]
#![allow(dead_code, reason = "each target takes what it needs")]

#[path = "../bodies.rs"]
mod bodies;
#[path = "../../tests/support/side.rs"]
mod side;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::recipient::recipient(data));
