//! The program itself: starts, signals, commands, and what it tells.

#[path = "../common/mod.rs"]
mod common;

mod budget;
mod commands;
mod confinement;
mod control;
mod explain;
mod handover;
mod inherited;
mod lists;
mod lookup;
mod manager;
mod maps;
mod memory;
mod process;
mod reload;
mod secrets;
mod signals;
mod sockets;
mod start;
mod stop;
mod store;
mod watchdog;

use std::future::Future;

use common::nameserver::Act;
use common::phone::Phone;
use process::{Daemon, Machine, Names};

/// Runs what talks to the daemon.
fn run<T>(talk: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(talk)
}
