//! Descriptors, which are the process's own: alone in a program, one test at a time.

#[path = "common/mod.rs"]
mod common;

use std::fs::File;
use std::sync::Mutex;
use std::time::Duration;

use common::log::Log;
use common::wire::{Wire, greeting};
use common::world::World;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::new(());

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

/// Waits for a condition, half a minute at most.
async fn until(condition: impl Fn() -> bool) {
    let settled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("the condition within half a minute");
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

// case: 22
#[test]
fn a_thousand_connections_without_an_octet_leave_nothing_behind() {
    run(async {
        let (log, _guard) = Log::listen();
        let world = World::new(&[]).await;
        let mut wire = Wire::dial(world.port).await;
        assert_eq!(wire.exchange(&greeting("127.0.0.1"), 3).await, "Occ");
        let before = descriptors();
        for _ in 0..1_000 {
            drop(TcpStream::connect(("127.0.0.1", world.port)).await.expect("somebody listens"));
        }
        until(|| world.server.tally().served == 1_001 && world.server.tally().open == 1).await;
        assert_eq!(descriptors(), before);
        let loud: Vec<_> = log.lines().into_iter().filter(|line| !line.starts_with("DEBUG")).collect();
        assert_eq!(loud, [""; 0]);
        assert_eq!(wire.exchange(b"\0\0\0\x07Mu@x.y\0", 0).await, "");
    });
}

#[test]
fn the_server_survives_a_process_without_descriptors() {
    run(async {
        let (log, _guard) = Log::listen();
        let world = World::new(&[]).await;
        let mut early = Wire::dial(world.port).await;
        assert_eq!(early.exchange(&greeting("127.0.0.1"), 3).await, "Occ");
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        setrlimit(Resource::RLIMIT_NOFILE, descriptors() as u64 + 20, hard).expect("a lower limit");
        let mut hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        // One for the client; none is left to accept it with.
        hoard.pop();
        let mut late = Wire::dial(world.port).await;
        late.send(&greeting("127.0.0.1")).await.expect("to send");
        until(|| !log.with(&["ERROR", "event=accept", "raise the limit on open files"]).is_empty()).await;
        let mail = [&b"\0\0\0\x0fM<u@localhost>\0"[..]].concat();
        assert_eq!(early.exchange(&mail, 1).await, "c", "who is in is served");
        drop(hoard);
        assert_eq!(late.exchange(b"", 3).await, "Occ", "and who waited, as soon as it is possible");
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the old limit");
        assert_eq!(log.with(&["event=accept"]).len(), 1, "one line a minute");
    });
}
