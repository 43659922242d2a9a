//! Whole sessions, as a mail server has them: settings, sockets, gate and name server together.
//!
//! Each test names the cases of `tests/data/dqs-cases.json` that it plays.

#[path = "../common/mod.rs"]
mod common;

mod allow;
mod answers;
mod cache;
mod coverage;
mod files;
mod helo;
mod maps;
mod names;
mod policy;
mod replies;
mod resume;
mod sender;
mod servers;
mod stages;
mod trouble;

use std::time::Duration;

use common::clock::Clock;
use common::log::Log;
use common::nameserver::{Act, NameServer};
use common::world::{CLEAN, KEY, World};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A world where `name` is listed with one code.
async fn listing(name: &str, record: &str, settings: &[&str]) -> World {
    let world = World::new(settings).await;
    world.names.on(name, Act::records([record]));
    world
}
