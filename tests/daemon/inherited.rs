//! Sockets that the service manager passes, and what it may tell wrongly about them.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use tokio::net::UnixStream;

use super::common::wire::{Wire, greeting};
use super::process::{new_key, own};
use super::{Machine, Names, run};

/// Puts standard input and output where a service manager begins to count.
const PASS: &str = "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_PID=$$;";

fn null() -> OwnedFd {
    File::open("/dev/null").expect("it is everywhere").into()
}

fn tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

#[test]
fn sockets_of_two_kinds_serve_and_stay_behind() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let (tcp, path) = (tcp(), machine.path("unit.sock"));
    let port = tcp.local_addr().expect("an address").port();
    let unix = UnixListener::bind(&path).expect("a socket");
    own(&path);
    let script = format!("{PASS} export LISTEN_FDS=2 LISTEN_FDNAMES=milter:milter;");
    let machine = machine.launched(&script, tcp, unix);
    let daemon = machine.start();
    let ready = daemon.with(&["event=ready"]).remove(0);
    let told =
        format!("inet:{port}@127.0.0.1 (socket unit, milter), unix:{} (socket unit, milter)", path.display());
    assert!(ready.contains(&told), "{ready}");
    let warning = daemon.with(&["WARN", "event=inherited", "listen is set"]);
    assert!(warning.len() == 1 && warning[0].contains("gatepost.env:3"), "{warning:?}");
    assert!(warning[0].contains("systemctl edit gatepost.socket, [Socket] ListenStream="), "{warning:?}");
    run(async {
        assert_eq!(Wire::dial(port).await.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        let stream = UnixStream::connect(&path).await.expect("a socket");
        assert_eq!(Wire::new(stream).exchange(&greeting("8.8.0.2"), 3).await, "Occ");
    });
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0), "{lines:#?}");
    // The service manager, here the test, holds them still: callers wait for the next process.
    run(async {
        let waiting = UnixStream::connect(&path).await.expect("the socket is there");
        let daemon = machine.start();
        assert_eq!(Wire::new(waiting).exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        assert_eq!(daemon.stop().0, Some(0));
    });
}

/// Starts a daemon that ends by itself, with one line that has these words.
fn fails(variables: &str, one: impl Into<OwnedFd>, other: impl Into<OwnedFd>, words: &[&str]) {
    let (names, key) = (Names::start(), new_key());
    let machine =
        Machine::with(&names, &key, &[]).launched(&format!("{PASS} export {variables};"), one, other);
    let ended = machine.run(&["run"]);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word} in {ended:?}");
    }
}

#[test]
fn a_name_that_is_none_of_ours_is_told_with_those_that_are() {
    let words = ["named gatepost.socket;", "FileDescriptorName=milter, control or metrics"];
    fails("LISTEN_FDS=2 LISTEN_FDNAMES=milter:gatepost.socket", tcp(), tcp(), &words);
    // No names at all.
    fails("LISTEN_FDS=1", tcp(), null(), &["named unknown;"]);
}

#[test]
fn descriptors_that_are_not_there_are_told() {
    let words = ["LISTEN_FDS=3", "descriptor 5 is not open", "socket unit"];
    fails("LISTEN_FDS=3 LISTEN_FDNAMES=milter:milter:milter", tcp(), tcp(), &words);
    fails("LISTEN_FDS=1000000000", tcp(), tcp(), &["not one name for each descriptor"]);
    fails("LISTEN_FDS=2 LISTEN_FDNAMES=milter", tcp(), tcp(), &["LISTEN_FDNAMES=milter", "not one name"]);
    fails("LISTEN_FDS=two", tcp(), tcp(), &["LISTEN_FDS=two", "no number"]);
}

#[test]
fn descriptors_that_are_no_such_sockets_are_told() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let words = ["a datagram socket as milter", "ListenStream="];
    fails("LISTEN_FDS=1 LISTEN_FDNAMES=milter", udp, null(), &words);
    let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let words = ["something that does not listen as milter", "Accept=no"];
    fails("LISTEN_FDS=1 LISTEN_FDNAMES=milter", one, null(), &words);
    drop(other);
    fails("LISTEN_FDS=1 LISTEN_FDNAMES=milter", null(), null(), &["does not listen"]);
    fails(
        "LISTEN_FDS=1 LISTEN_FDNAMES=control",
        tcp(),
        null(),
        &["a TCP socket as control", "ListenStream=/PATH"],
    );
}

#[test]
fn what_an_unknown_version_stored_is_closed_and_told() {
    let (names, key) = (Names::start(), new_key());
    let script = format!("{PASS} export LISTEN_FDS=2 LISTEN_FDNAMES=relic:milter;");
    let socket = tcp();
    let port = socket.local_addr().expect("an address").port();
    let daemon = Machine::with(&names, &key, &[]).launched(&script, null(), socket).start();
    assert_eq!(daemon.with(&["WARN", "event=inherited", "named relic that", "closed"]).len(), 1);
    assert_eq!(daemon.port, port);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn sockets_for_another_process_are_left_alone_and_told() {
    let (names, key) = (Names::start(), new_key());
    let script = format!("{PASS} export LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=milter;");
    let socket = tcp();
    let port = socket.local_addr().expect("an address").port();
    let daemon = Machine::with(&names, &key, &[]).launched(&script, socket, null()).start();
    assert_eq!(daemon.with(&["WARN", "LISTEN_PID=1", "without a shell in between"]).len(), 1);
    assert_ne!(daemon.port, port, "its own setting");
    assert_eq!(daemon.stop().0, Some(0));
}
