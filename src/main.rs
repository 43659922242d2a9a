//! The gatepost daemon.
fn main() {}
