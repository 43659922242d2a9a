//! SIGTERM: an open message finishes, and the end comes in time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::{TcpStream, UnixStream};

use super::common::wire::{Wire, greeting, packet};
use super::process::new_key;
use super::{Act, Machine, Names, Phone, run};

// case: 65
#[test]
fn an_open_message_finishes_before_the_end() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &["DRAIN_TIMEOUT=30"]);
    let mut daemon = machine.start();
    run(async {
        let mut phone = Phone::dial(daemon.port).await;
        assert_eq!(phone.connect("8.8.0.2").await, "continue");
        assert_eq!(phone.from("<u@ok.example>").await, "continue");
        assert_eq!(phone.rcpt("<us@example.org>").await, "withheld");
        daemon.signal(Signal::SIGTERM);
        daemon.wait_for(&["event=draining", "open=1"]);
        // Refused, not left waiting; the listener goes right after the line.
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", daemon.port)).await.is_ok() {
            assert!(start.elapsed() < Duration::from_secs(20), "still listening");
        }
        assert_eq!(phone.data().await, "continue");
        assert!(phone.quit().await);
    });
    let (status, lines) = daemon.end();
    assert_eq!(status, Some(0));
    assert!(lines.last().is_some_and(|line| line.contains("event=stopped served=1")), "{lines:#?}");
}

#[test]
fn the_end_sums_up_what_happened() {
    let (names, key) = (Names::start(), new_key());
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let machine = Machine::with(&names, &key, &["ENFORCE_STAGE=mail", "LOG_SUMMARY=86400"]);
    let mut daemon = machine.start();
    run(async {
        for (client, reply) in [("8.8.0.2", "554 "), ("8.8.0.9", "continue")] {
            let mut phone = Phone::dial(daemon.port).await;
            assert_eq!(phone.connect(client).await, "continue");
            assert!(phone.from("<u@ok.example>").await.starts_with(reply), "{client}");
            assert!(phone.quit().await);
        }
    });
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for(&[
        "event=summary",
        " sessions=2 messages=0 reject=1 tempfail=0 discard=0 quarantine=0 tag=0 would=0 lookups=6 cached=2 failures=0 lost=0 ",
    ]);
    assert_eq!(daemon.end().0, Some(0));
    let idle = Machine::with(&names, &key, &[]).start();
    let (_, lines) = idle.stop();
    assert!(!lines.iter().any(|line| line.contains("event=summary")), "nothing happened: {lines:#?}");
}

#[test]
fn the_end_comes_in_time_whatever_is_open() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &["DRAIN_TIMEOUT=1"]);
    let daemon = machine.start();
    run(async {
        let mut wire = Wire::dial(daemon.port).await;
        assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        assert_eq!(wire.exchange(&packet(b'M', b"<u@ok.example>\0"), 1).await, "c");
        let start = Instant::now();
        let (status, lines) = daemon.stop();
        assert_eq!(status, Some(0), "{lines:#?}");
        let took = start.elapsed();
        assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
        assert!(wire.is_closed().await);
    });
}

#[test]
fn a_unix_socket_serves_and_goes() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::new();
    let path = machine.path("milter.sock");
    machine.configure(&names, &key, &[]);
    let machine = machine.env("LISTEN", &format!("unix:{}", path.display()));
    let daemon = machine.start();
    run(async {
        let stream = UnixStream::connect(&path).await.expect("a socket");
        assert_eq!(Wire::new(stream).exchange(&greeting("8.8.0.2"), 3).await, "Occ");
    });
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(daemon.stop().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn several_threads_serve_and_end_together() {
    let (names, key) = (Names::start(), new_key());
    let daemon = Machine::with(&names, &key, &["THREADS=3", "ENFORCE_STAGE=mail"]).start();
    run(async {
        for n in 0..30 {
            let mut phone = Phone::dial(daemon.port).await;
            assert_eq!(phone.connect(&format!("8.8.1.{n}")).await, "continue");
            assert_eq!(phone.from("<u@ok.example>").await, "continue");
            assert!(phone.quit().await);
        }
    });
    assert_eq!(names.count("ok.example.dbl"), 1, "one cache for all");
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0));
    assert!(lines.last().is_some_and(|line| line.contains("served=30")), "{lines:#?}");
}
