//! Signs of life: not from a daemon that is stuck, and always from one that is only busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::manager::Ear;
use super::process::{new_key, own};
use super::{Machine, Names};

#[test]
fn a_runtime_that_is_stuck_gives_no_sign_of_life() {
    let (names, key) = (Names::start(), new_key());
    let (ear, machine) = Ear::new(Machine::with(&names, &key, &["THREADS=2"]));
    let machine = machine.variable("WATCHDOG_USEC", "3000000");
    let mut daemon = machine.start();
    ear.hear(&["WATCHDOG=1"]);
    ear.hear(&["WATCHDOG=1"]);
    // A reload reads a file that does not end.
    let path = machine.path("gatepost.toml");
    std::fs::remove_file(&path).expect("it was there");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    own(&path);
    daemon.signal(Signal::SIGHUP);
    ear.hear(&["RELOADING=1"]);
    daemon.wait_for(&["ERROR", "event=watchdog", "a runtime did not answer"]);
    // One may have been under way.
    ear.hears_within(Duration::from_millis(200), "WATCHDOG=1");
    assert!(!ear.hears_within(Duration::from_secs(4), "WATCHDOG=1"), "it is stuck");
    std::fs::write(&path, "").expect("a reader");
    ear.hear(&["WATCHDOG=1"]);
    daemon.wait_for(&["WARN", "event=watchdog", "it goes on"]);
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0));
    assert!(
        lines.last().is_some_and(|line| line.contains("served=0")),
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
