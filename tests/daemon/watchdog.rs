//! Signs of life: not from a daemon that is stuck, and always from one that is only busy.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::manager::Ear;
use super::process::new_key;
use super::{Machine, Names};

#[test]
fn a_runtime_that_is_stuck_gives_no_sign_of_life() {
    let (names, key) = (Names::start(), new_key());
    let (ear, machine) = Ear::new(Machine::with(&names, &key, &[]));
    let machine = machine.variable("WATCHDOG_USEC", "3000000");
    let mut daemon = machine.start();
    ear.hear(&["WATCHDOG=1"]);
    ear.hear(&["WATCHDOG=1"]);
    // Nobody reads its log any more: it is stuck as soon as it has said enough.
    daemon.listen(false);
    let mut calls = 0;
    while let Ok(mut call) = TcpStream::connect(("127.0.0.1", daemon.port)) {
        calls += 1;
        assert!(calls < 10_000, "it is never stuck");
        call.set_read_timeout(Some(Duration::from_secs(1))).expect("a time");
        call.write_all(&[0, 0, 0, 1, b'Q']).expect("a daemon");
        if call.read(&mut [0]).is_err() {
            break;
        }
    }
    // One may have been under way.
    ear.hears_within(Duration::from_millis(200), "WATCHDOG=1");
    assert!(!ear.hears_within(Duration::from_secs(4), "WATCHDOG=1"), "it is stuck");
    daemon.listen(true);
    daemon.wait_for(&["ERROR", "event=watchdog", "a runtime did not answer"]);
    ear.hear(&["WATCHDOG=1"]);
    daemon.wait_for(&["WARN", "event=watchdog", "it goes on"]);
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0));
    let served = format!("served={calls}");
    assert!(
        lines.last().is_some_and(|line| line.contains(&served)),
        "its own sessions count nowhere: {lines:#?}"
    );
    assert_eq!(names.asked().iter().filter(|asked| asked.full.contains("localhost")).count(), 0);
}

#[test]
fn a_busy_machine_is_no_reason_for_silence() {
    let (names, key) = (Names::start(), new_key());
    let (ear, machine) = Ear::new(Machine::with(&names, &key, &["THREADS=4"]));
    let machine = machine.variable("WATCHDOG_USEC", "12000000");
    let daemon = machine.start();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 * thread::available_parallelism().map_or(4, usize::from) {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let start = Instant::now();
        let mut signs = 0;
        while start.elapsed() < Duration::from_secs(15)
            && ear.hears_within(Duration::from_secs(12), "WATCHDOG=1")
        {
            signs += 1;
        }
        over.store(true, Ordering::Relaxed);
        assert!(signs >= 2 && start.elapsed() >= Duration::from_secs(15), "{signs} in {:?}", start.elapsed());
    });
    assert_eq!(daemon.with(&["event=watchdog"]).len(), 0);
    assert_eq!(daemon.stop().0, Some(0));
}
