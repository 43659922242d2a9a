//! Octets into packets, from peers of all kinds.

use super::{Clock, Limits, Log, Served, connect, greeting, offer, packet, session};
use std::time::Duration;

/// The codes of the replies to that session.
const REPLIES: &str = "Occcccccccyc";

// case: 14
#[tokio::test]
async fn octet_by_octet_a_session_gets_the_same_replies() {
    let served = Served::start(Limits::default());
    let octets = session();
    assert_eq!(served.wire().await.exchange(&octets, REPLIES.len()).await, REPLIES);
    let mut wire = served.wire().await;
    wire.stream.set_nodelay(true).expect("to send at once");
    for octet in &octets {
        wire.send(&[*octet]).await.expect("to send");
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.exchange(b"", REPLIES.len()).await, REPLIES);
}

// case: 15, 16
#[tokio::test]
async fn a_session_may_be_cut_anywhere() {
    let served = Served::start(Limits::default());
    let octets = session();
    for cut in 1..octets.len() {
        let mut wire = served.wire().await;
        wire.send(&octets[..cut]).await.expect("to send");
        // A turn for the server, so that it reads half a packet.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.exchange(&octets[cut..], REPLIES.len()).await, REPLIES, "cut at {cut}");
    }
    assert_eq!(served.server.tally().malformed, 0);
}

// case: 9
#[tokio::test]
async fn a_negotiation_may_be_longer_than_today_but_not_shorter() {
    let served = Served::start(Limits::default());
    for short in [0, 4, 8, 11] {
        let mut wire = served.wire().await;
        wire.send(&packet(b'O', &[0; 11][..short])).await.expect("to send");
        assert!(wire.is_closed().await, "{short}");
    }
    let longer = [&offer()[5..], &[0; 20]].concat();
    assert_eq!(served.wire().await.exchange(&packet(b'O', &longer), 1).await, "O");
    assert_eq!(served.server.tally().malformed, 4);
}

// case: 8
#[tokio::test]
async fn a_version_of_the_last_century_is_closed_with_a_line() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits::default());
    for version in [0, 1] {
        let mut wire = served.wire().await;
        wire.send(&packet(b'O', &[0, 0, 0, version, 0, 0, 0, 1, 0, 0, 0, 1])).await.expect("to send");
        assert!(wire.is_closed().await);
    }
    assert_eq!(log.with(&["WARN", "event=protocol", "older than 2"]).len(), 2);
}

// case: 11, 23
#[tokio::test]
async fn what_does_not_begin_with_negotiation_is_closed() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits::default());
    for first in [connect("192.0.2.1"), packet(b'H', b"mx.example\0"), packet(b'Z', b"")] {
        let mut wire = served.wire().await;
        wire.send(&first).await.expect("to send");
        assert!(wire.is_closed().await);
    }
    assert_eq!(log.with(&["WARN", "event=protocol"]).len(), 3);
    let mut wire = served.wire().await;
    wire.send(&packet(b'Q', b"")).await.expect("to send");
    assert!(wire.is_closed().await);
    let mut wire = served.greeted().await;
    wire.send(&packet(b'Z', b"")).await.expect("to send");
    assert!(wire.is_closed().await);
    assert_eq!(log.with(&["WARN", "event=protocol", "unknown command 0x5a"]).len(), 1);
    assert_eq!(log.with(&["WARN"]).len(), 4, "QUIT is quiet");
}

// case: 12
#[tokio::test]
async fn a_second_negotiation_or_client_is_closed() {
    let served = Served::start(Limits::default());
    for second in [offer(), connect("192.0.2.1")] {
        let mut wire = served.greeted().await;
        wire.send(&second).await.expect("to send");
        assert!(wire.is_closed().await);
    }
}

// case: 17, 18, 19
#[tokio::test]
async fn absurd_lengths_are_closed_at_once() {
    let served = Served::start(Limits::default());
    for length in [0_u32, 0x8000_0001, 0xffff_ffff, 0x7fff_ffff, 0x0010_0001] {
        for first in [Vec::new(), greeting()] {
            let mut wire = served.wire().await;
            let replies = if first.is_empty() { 0 } else { 3 };
            wire.exchange(&first, replies).await;
            wire.send(&length.to_be_bytes()).await.expect("to send");
            assert!(wire.is_closed().await, "{length:#x}");
        }
    }
    // Only a header may be that long, and only for a filter that looks at headers.
    for code in [b'M', b'L'] {
        let mut wire = served.greeted().await;
        wire.send(&[0, 1, 0, 1, code]).await.expect("to send");
        assert!(wire.is_closed().await);
    }
    assert_eq!(served.server.tally().malformed, 12);
}

// case: 20
#[tokio::test]
async fn a_packet_must_arrive_in_time_and_silence_between_packets_may_last() {
    let clock = Clock::stop();
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits { frame_time: Duration::from_secs(30), ..Limits::default() });
    let (mut slow, mut idle, mut drop_by_drop) =
        (served.greeted().await, served.greeted().await, served.greeted().await);
    let head = [&60_000_u32.to_be_bytes()[..], b"M<", &[b'x'; 100]].concat();
    slow.send(&head).await.expect("to send");
    drop_by_drop.send(&head).await.expect("to send");
    for _ in 0..29 {
        clock.pass(Duration::from_secs(1)).await;
        drop_by_drop.send(b"x").await.expect("to send");
    }
    assert_eq!(served.server.tally().open, 3);
    clock.pass(Duration::from_secs(2)).await;
    assert_eq!(served.server.tally().open, 1, "a drop now and then does not help");
    assert!(slow.is_closed().await);
    assert!(drop_by_drop.is_closed().await);
    assert_eq!(log.with(&["INFO", "event=close", "a packet took too long"]).len(), 2);
    assert_eq!(idle.exchange(&packet(b'M', b"<u@example.org>\0"), 1).await, "c");
}

#[tokio::test]
async fn peers_that_are_late_on_purpose_do_not_flood_the_log() {
    let clock = Clock::stop();
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits { frame_time: Duration::from_secs(30), ..Limits::default() });
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut wire = served.greeted().await;
        wire.send(&60_000_u32.to_be_bytes()).await.expect("to send");
        slow.push(wire);
    }
    clock.pass(Duration::from_secs(31)).await;
    for wire in &mut slow {
        assert!(wire.is_closed().await);
    }
    assert_eq!(log.with(&["INFO", "event=close", "a packet took too long"]).len(), 10, "{:#?}", log.lines());
    assert!(served.server.suppressed().contains(&("close", 30)), "{:?}", served.server.suppressed());
    // After a minute the next line says how many there were.
    clock.pass(Duration::from_mins(1)).await;
    let mut wire = served.greeted().await;
    wire.send(&60_000_u32.to_be_bytes()).await.expect("to send");
    clock.pass(Duration::from_secs(31)).await;
    assert!(wire.is_closed().await);
    assert_eq!(log.with(&["INFO", "event=close", "suppressed=30"]).len(), 1, "{:#?}", log.lines());
}

// case: 21
#[tokio::test]
async fn strangers_are_named_and_do_not_flood_the_log() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits::default());
    for (first, hint) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "an HTTP request?"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "a TLS handshake?"),
        (b"\x03\0\0\x2f\x2a\xe0", "a remote desktop client?"),
        (b"EHLO scanner.example\r\n", "an SMTP client?"),
    ] {
        let mut wire = served.wire().await;
        wire.send(first).await.expect("to send");
        assert!(wire.is_closed().await, "{hint}");
        assert_eq!(log.with(&["WARN", "event=protocol", hint]).len(), 1, "{:#?}", log.lines());
    }
    for _ in 0..100 {
        let mut wire = served.wire().await;
        wire.send(b"GET / HTTP/1.1\r\n\r\n").await.expect("to send");
        assert!(wire.is_closed().await);
    }
    assert_eq!(log.with(&["WARN"]).len(), 10);
    assert_eq!(served.server.tally().malformed, 104);
}

// case: 51
#[tokio::test]
async fn strange_macros_are_survived() {
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    for macros in [
        &b"H"[..],
        b"Ci\0",
        b"Mi\x004ABC\0{odd}\0",
        b"Mi\x004ABC\0{open}\0open",
        b"?i\x004ABC\0",
        &[&b"M"[..], &b"{n}\0v\0".repeat(10_000)].concat(),
    ] {
        wire.send(&packet(b'D', macros)).await.expect("to send");
        let next = [packet(b'M', b"<u@example.org>\0"), packet(b'A', b"")].concat();
        assert_eq!(
            wire.exchange(&next, 1).await,
            "c",
            "{:?}",
            String::from_utf8_lossy(&macros[..macros.len().min(20)])
        );
    }
    wire.send(&packet(b'D', b"")).await.expect("to send");
    assert!(wire.is_closed().await, "macros of no command");
}
