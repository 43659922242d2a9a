//! Signs of life: not from a daemon that is stuck, and always from one that is only busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::common::wire::{Wire, greeting, packet};
use super::manager::Ear;
use super::process::new_key;
use super::{Machine, Names, run};

#[test]
fn a_process_that_is_stopped_gives_no_sign_of_life_and_goes_on_where_it_was() {
    let (names, key) = (Names::start(), new_key());
    let (ear, machine) = Ear::new(Machine::with(&names, &key, &[]));
    // What the daemon says to itself is judged like any mail.
    machine.write(
        "gatepost.toml",
        "[[rule]]\nname = \"bounces\"\nwhen = { sender = [\"<>\"] }\naction = \"reject\"\n",
    );
    let machine = machine.variable("WATCHDOG_USEC", "3000000");
    let daemon = machine.start();
    run(async {
        let mut wire = Wire::dial(daemon.port).await;
        assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        ear.hear(&["WATCHDOG=1"]);
        daemon.signal(Signal::SIGSTOP);
        // One may have been under way.
        ear.hears_within(Duration::from_millis(200), "WATCHDOG=1");
        assert!(!ear.hears_within(Duration::from_secs(4), "WATCHDOG=1"), "it is stopped");
        daemon.signal(Signal::SIGCONT);
        ear.hear(&["WATCHDOG=1"]);
        assert_eq!(wire.exchange(&packet(b'M', b"<u@ok.example>\0"), 1).await, "c");
    });
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0));
    assert!(
        lines.last().is_some_and(|line| line.contains("served=1")),
        "its own sessions count nowhere: {lines:#?}"
    );
    let mut verdicts = lines.iter().filter(|line| line.contains("event=verdict"));
    assert!(
        verdicts.all(|line| line.contains("client_ip=8.8.0.2")),
        "nor does the log tell of them: {lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.contains(" sessions=1 ") && line.contains(" reject=0 ")),
        "{lines:#?}"
    );
    assert_eq!(names.asked().iter().filter(|asked| asked.full.contains("localhost")).count(), 0);
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let (names, key) = (Names::start(), new_key());
    let (ear, machine) = Ear::new(Machine::with(&names, &key, &[]));
    let machine = machine.variable("WATCHDOG_USEC", "3000000");
    let mut daemon = machine.start();
    daemon.listen(false);
    // A pipe has room for some hundred lines, and the daemon for some thousand more.
    run(async {
        let mut wire = Wire::dial(daemon.port).await;
        assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        let name =
            [["x".repeat(60), "y".repeat(60), "z".repeat(60)].join("."), "example".to_owned()].join(".");
        for n in 0..6_000 {
            let sender = format!("<{n}@{name}>\0");
            let octets = [packet(b'M', sender.as_bytes()), packet(b'A', b"")].concat();
            assert_eq!(wire.exchange(&octets, 1).await, "c", "{n}");
        }
    });
    ear.hear(&["WATCHDOG=1"]);
    assert_eq!(daemon.with(&["event=watchdog"]).len(), 0);
    daemon.listen(true);
    let told = daemon.wait_for(&["WARN", "event=log", "log lines were lost"]);
    let suppressed = told.split("suppressed=").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(suppressed.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count > 0)), "{told}");
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0));
    assert!(lines.last().is_some_and(|line| line.contains("served=1")), "{:?}", lines.last());
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
