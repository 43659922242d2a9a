//! Many peers at once, and peers that cost too much.

use std::time::Duration;

use futures_util::future::join_all;
use gatepost::limits::Overload;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::{Clock, Limits, Log, Served, Wire, connect, greeting, mail, offer, packet};

// case: 68
#[tokio::test]
async fn an_mta_that_never_reads_is_closed() {
    let clock = Clock::stop();
    let (log, _guard) = Log::listen();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("milter.sock");
    let endpoint = format!("unix:{}", path.display());
    let served =
        Served::at(&[&endpoint], Limits { write_time: Duration::from_secs(10), ..Limits::default() });
    let mut stream = UnixStream::connect(&path).await.expect("somebody listens");
    let flood = packet(b'H', b"x\0").repeat(10_000);
    stream.write_all(&greeting()).await.expect("to send");
    // Writes as much as goes: in the end nothing is taken any more, since no answer is.
    let pushing = async { while stream.write_all(&flood).await.is_ok() {} };
    let ((), time) = clock.run(pushing).await;
    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&time), "{time:?}");
    clock.settle().await;
    assert_eq!(log.with(&["INFO", "event=close", "the MTA does not read"]).len(), 1, "{:#?}", log.lines());
    assert_eq!(served.server.tally().open, 0);
}

#[tokio::test]
async fn a_panic_costs_one_session_and_tells_nothing() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits::default());
    let mut other = served.greeted().await;
    let mut wire = served.greeted().await;
    wire.send(&mail("panic")).await.expect("to send");
    assert!(wire.is_closed().await);
    assert_eq!(log.with(&["ERROR", "event=panic", "session="]).len(), 1);
    assert!(log.lines().iter().all(|line| !line.contains("secret")), "{:#?}", log.lines());
    assert_eq!((served.server.tally().panics, served.server.tally().open), (1, 1));
    assert_eq!(other.exchange(&mail("u@example.org"), 1).await, "c");
    assert_eq!(served.phone().await.connect("192.0.2.1").await, "continue");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_sent_on_and_many_more_wait() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits { connections: 16, ..Limits::default() });
    let mut full = Vec::new();
    for _ in 0..16 {
        full.push(served.greeted().await);
    }
    // An eighth more and eight are told at once.
    let mut shed = Vec::new();
    for _ in 0..10 {
        let mut wire = served.wire().await;
        assert_eq!(wire.exchange(&[offer(), connect("192.0.2.1")].concat(), 2).await, "Oa");
        shed.push(wire);
    }
    assert_eq!((served.server.tally().open, served.server.tally().shed), (26, 10));
    assert_eq!(log.with(&["WARN", "event=shed", "limit=16"]).len(), 1, "one line a minute");
    // Beyond that they wait in the kernel, and are served when there is room.
    let mut waiting = served.wire().await;
    waiting.send(&greeting()).await.expect("to send");
    let silent = tokio::time::timeout(Duration::from_millis(50), waiting.stream.readable()).await;
    assert!(silent.is_err(), "not accepted yet");
    assert_eq!(served.server.tally().open, 26);
    drop((full.drain(..2).collect::<Vec<_>>(), shed));
    assert_eq!(waiting.exchange(b"", 3).await, "Occ");
    assert_eq!(full[0].exchange(&mail("refuse"), 1).await, "y", "who was in is served");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_deferred_if_that_is_wanted() {
    let limits = Limits { connections: 1, overload: Overload::Tempfail, ..Limits::default() };
    let served = Served::start(limits);
    let _full = served.greeted().await;
    let mut phone = served.phone().await;
    assert_eq!(phone.connect("192.0.2.1").await, "451 4.3.2 too many sessions at once, try again later");
}

#[tokio::test]
async fn a_client_has_its_share_and_no_more() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits { per_client: 2, ..Limits::default() });
    let mut open = Vec::new();
    for (client, reply) in [
        ("192.0.2.1", "continue"),
        ("192.0.2.1", "continue"),
        ("192.0.2.1", "accept"),
        ("192.0.2.2", "continue"),
        ("2001:db8::1", "continue"),
        ("2001:db8::2", "continue"),
        ("2001:db8::3", "accept"),
        ("2001:db8:0:1::3", "continue"),
        // This host may be the MTA's own content filter.
        ("127.0.0.1", "continue"),
        ("127.0.0.1", "continue"),
        ("127.0.0.1", "continue"),
    ] {
        let mut phone = served.phone().await;
        assert_eq!(phone.connect(client).await, reply, "{client}");
        open.push(phone);
    }
    assert_eq!(served.server.tally().shed, 2);
    assert_eq!(
        log.with(&["WARN", "event=shed", "client_ip=192.0.2.1", "limit=2"]).len(),
        1,
        "{:#?}",
        log.lines()
    );
    assert_eq!(served.server.suppressed().iter().find(|(event, _)| *event == "shed"), Some(&("shed", 1)));
    drop(open.drain(..1).collect::<Vec<_>>());
    served.open(10).await;
    assert_eq!(served.phone().await.connect("192.0.2.1").await, "continue", "a place is free again");
}

// case: 69
#[tokio::test]
async fn two_hundred_sessions_at_once_all_end_well() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits::default());
    let session = |n: u32| {
        let served = &served;
        async move {
            let mut phone = served.phone().await;
            assert_eq!(phone.connect(&format!("192.0.2.{n}")).await, "continue");
            assert_eq!(phone.helo("mx.example").await, "continue");
            for _ in 0..3 {
                assert_eq!(phone.from("<u@example.org>").await, "continue");
                assert_eq!(phone.rcpt("<us@example.org>").await, "continue");
                assert_eq!(phone.data().await, "continue");
                phone.abort().await;
                assert_eq!(phone.from("<refuse>").await, "550 5.7.1 refused");
                phone.abort().await;
            }
            assert!(phone.quit().await);
        }
    };
    join_all((0..200).map(session)).await;
    served.open(0).await;
    let tally = served.server.tally();
    assert_eq!((tally.served, tally.malformed, tally.panics, tally.shed), (200, 0, 0, 0));
    assert!(log.lines().iter().all(|line| line.starts_with("DEBUG")), "{:#?}", log.lines());
}

/// How long a command with its macros takes over TCP, each sent with a write of its own; the median of many.
async fn two_writes(wire: &mut Wire, abort: bool) -> Duration {
    let mut times = Vec::new();
    for n in 0..51 {
        let start = std::time::Instant::now();
        if abort {
            wire.send(&packet(b'A', b"")).await.expect("to send");
        }
        wire.send(&packet(b'D', format!("Mi\0{n}\0").as_bytes())).await.expect("to send");
        assert_eq!(wire.exchange(&mail("u@example.org"), 1).await, "c");
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

// case: 67
#[tokio::test]
async fn two_writes_over_tcp_do_not_wait_for_a_delayed_acknowledgement() {
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    // Sendmail leaves Nagle's algorithm on: each pair would take the 40 ms of a delayed acknowledgement.
    wire.stream.set_nodelay(false).expect("as Sendmail has it");
    for abort in [false, true] {
        // Five attempts: the machine may be busy, but a delay of 40 ms is there every time.
        let mut medians = Vec::new();
        while medians.last().is_none_or(|median| *median >= Duration::from_millis(5)) {
            assert!(medians.len() < 5, "never below 5 ms, with ABORT between messages: {abort}: {medians:?}");
            medians.push(two_writes(&mut wire, abort).await);
        }
    }
}

#[tokio::test]
async fn a_peer_that_floods_leaves_the_thread_to_others() {
    let served = Served::start(Limits::default());
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", served.port())).expect("somebody listens");
    let flood = std::thread::spawn(move || {
        use std::io::Write as _;
        let macros = packet(b'D', b"H").repeat(10_000);
        let mut open = stream.write_all(&greeting()).is_ok();
        while open {
            open = stream.write_all(&macros).is_ok();
        }
    });
    served.open(1).await;
    for _ in 0..20 {
        assert_eq!(served.phone().await.connect("192.0.2.1").await, "continue");
    }
    drop(served);
    drop(flood);
}
