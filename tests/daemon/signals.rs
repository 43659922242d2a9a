//! Signals at bad moments, and threads that fail.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::common::wire::{Wire, greeting, packet};
use super::process::new_key;
use super::{Machine, Names, run};

#[test]
fn a_reload_that_comes_before_readiness_is_done_after_it() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let mut daemon = machine.spawn_unheard();
    daemon.signal(Signal::SIGHUP);
    daemon.listen(true);
    daemon.wait_for(&["event=ready"]);
    daemon.wait_for(&["event=reloaded"]);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_stop_that_comes_before_readiness_is_a_clean_one() {
    let (names, key) = (Names::start(), new_key());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let machine = Machine::with(&names, &key, &["THREADS=3"]);
        let daemon = machine.spawn_unheard();
        daemon.signal(signal);
        daemon.listen(true);
        let (status, lines) = daemon.end();
        assert_eq!(status, Some(0), "{lines:#?}");
        assert!(lines.last().is_some_and(|line| line.contains("event=stopped")), "{lines:#?}");
    }
}

#[test]
fn a_second_stop_ends_open_messages_at_once() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &["DRAIN_TIMEOUT=600", "THREADS=2"]);
    let mut daemon = machine.start();
    run(async {
        let mut wire = Wire::dial(daemon.port).await;
        assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        assert_eq!(wire.exchange(&packet(b'M', b"<u@ok.example>\0"), 1).await, "c");
        daemon.signal(Signal::SIGTERM);
        daemon.wait_for(&["event=draining", "open=1"]);
        daemon.signal(Signal::SIGTERM);
        let start = Instant::now();
        let (status, lines) = daemon.end();
        assert_eq!(status, Some(0), "{lines:#?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert!(wire.is_closed().await);
    });
}

#[test]
fn with_too_few_descriptors_it_says_so_instead_of_failing_later() {
    let (names, key) = (Names::start(), new_key());
    let null = || std::fs::File::open("/dev/null").expect("it is everywhere");
    let machine = Machine::with(&names, &key, &["THREADS=4"]).launched("ulimit -n 90;", null(), null());
    let ended = machine.run(&["run"]);
    assert_eq!((ended.status, ended.stderr.lines().count()), (Some(69), 1), "{ended:?}");
    assert!(ended.stderr.contains("only 90 open files are allowed, and 96 are the least"), "{ended:?}");
    let machine = Machine::with(&names, &key, &["THREADS=4"]).launched("ulimit -n 96;", null(), null());
    let daemon = machine.start();
    assert_eq!(daemon.with(&["event=descriptors", "given=96"]).len(), 1);
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0), "{lines:#?}");
}
