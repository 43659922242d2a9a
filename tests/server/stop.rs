//! Ending in order: what is open may finish, and nothing new begins.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};

use super::{Clock, Limits, Log, Served, greeting, mail, packet};

// case: 65
#[tokio::test]
async fn an_open_message_finishes_and_nothing_new_begins() {
    let clock = Clock::stop();
    let (log, _guard) = Log::listen();
    let mut served = Served::start(Limits { drain: Duration::from_secs(5), ..Limits::default() });
    let (mut open, mut idle) = (served.greeted().await, served.greeted().await);
    assert_eq!(open.exchange(&mail("u@example.org"), 1).await, "c");
    served.server.drain();
    clock.settle().await;
    assert!(TcpStream::connect(("127.0.0.1", served.port())).await.is_err(), "the listener is closed first");
    clock.pass(Duration::from_millis(1_100)).await;
    assert!(idle.is_closed().await, "an idle connection has a second to say QUIT");
    let rest = [packet(b'R', b"<us@example.org>\0"), packet(b'E', b"")].concat();
    assert_eq!(open.exchange(&rest, 2).await, "cc", "the message goes to its end");
    clock.run(&mut served.serving).await.0.expect("served to the end");
    assert!(open.is_closed().await);
    assert_eq!(log.with(&["event=close", "reason=drained"]).len(), 2);
}

// case: 65
#[tokio::test]
async fn a_message_that_never_ends_does_not_keep_the_server() {
    let clock = Clock::stop();
    let mut served = Served::start(Limits { drain: Duration::from_secs(5), ..Limits::default() });
    let mut open = served.greeted().await;
    assert_eq!(open.exchange(&mail("u@example.org"), 1).await, "c");
    served.server.drain();
    let (ended, time) = clock.run(&mut served.serving).await;
    ended.expect("served to the end");
    assert!((Duration::from_millis(4_990)..=Duration::from_millis(5_050)).contains(&time), "{time:?}");
    assert!(open.is_closed().await);
}

// case: 65
#[tokio::test]
async fn an_answer_under_way_is_given_before_the_end() {
    let clock = Clock::stop();
    let mut served = Served::start(Limits::default());
    let mut open = served.greeted().await;
    open.send(&mail("slow")).await.expect("to send");
    clock.settle().await;
    served.server.drain();
    let (codes, _) = clock.run(open.exchange(b"", 1)).await;
    assert_eq!(codes, "c");
    clock.run(&mut served.serving).await.0.expect("served to the end");
}

// case: 65
#[tokio::test]
async fn the_socket_file_goes_only_if_it_is_ours() {
    for replaced in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("milter.sock");
        let mut served = Served::at(&[&format!("unix:{}", path.display())], Limits::default());
        drop(UnixStream::connect(&path).await.expect("somebody listens"));
        if replaced {
            std::fs::remove_file(&path).expect("removed");
            std::fs::write(&path, "another's").expect("a file");
        }
        served.server.drain();
        (&mut served.serving).await.expect("served to the end");
        assert_eq!(path.exists(), replaced);
    }
}

#[tokio::test]
async fn a_peer_that_never_stops_sending_does_not_keep_the_server() {
    let mut served = Served::start(Limits { drain: Duration::from_millis(100), ..Limits::default() });
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
    served.server.drain();
    let ended = tokio::time::timeout(Duration::from_secs(20), &mut served.serving).await;
    ended.expect("not kept").expect("served to the end");
    flood.join().expect("it was hung up on");
}

#[tokio::test]
async fn what_was_sent_ahead_does_not_keep_the_server() {
    let clock = Clock::stop();
    let mut served = Served::start(Limits { drain: Duration::from_secs(5), ..Limits::default() });
    let mut ahead = served.greeted().await;
    let message = [mail("slow"), packet(b'A', b"")].concat();
    ahead.send(&message.repeat(1_000)).await.expect("to send");
    clock.settle().await;
    served.server.drain();
    let (ended, time) = clock.run(&mut served.serving).await;
    ended.expect("served to the end");
    assert!(time < Duration::from_millis(6_050), "{time:?}: no longer than the judgement under way");
    assert!(ahead.exchange(b"", 7).await.starts_with("ccccc"), "what was judged is told");
}

#[tokio::test]
async fn a_peer_that_does_not_read_keeps_the_server_no_longer_than_any_other() {
    let clock = Clock::stop();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("milter.sock");
    let limits = Limits { drain: Duration::from_secs(5), ..Limits::default() };
    let mut served = Served::at(&[&format!("unix:{}", path.display())], limits);
    let mut stream = UnixStream::connect(&path).await.expect("somebody listens");
    let flood = packet(b'U', b"X\0").repeat(10_000);
    stream.write_all(&greeting()).await.expect("to send");
    let pushing = tokio::spawn(async move { while stream.write_all(&flood).await.is_ok() {} });
    clock.settle().await;
    served.server.drain();
    let (ended, time) = clock.run(&mut served.serving).await;
    ended.expect("served to the end");
    assert!((4_990..=5_050).contains(&time.as_millis()), "{time:?}");
    pushing.await.expect("it was hung up on");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_does_not_keep_the_server() {
    let mut served = Served::start(Limits { connections: 1, ..Limits::default() });
    let _full = served.greeted().await;
    let mut shed = served.wire().await;
    assert_eq!(shed.exchange(&super::offer(), 1).await, "O");
    let dripping = tokio::spawn(async move {
        while shed.send(&packet(b'D', b"H")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    served.server.drain();
    let ended = tokio::time::timeout(Duration::from_secs(20), &mut served.serving).await;
    ended.expect("not kept").expect("served to the end");
    dripping.await.expect("it was hung up on");
}

#[tokio::test]
async fn stopping_ends_open_messages_too() {
    let clock = Clock::stop();
    let mut served = Served::start(Limits { drain: Duration::from_mins(1), ..Limits::default() });
    let mut open = served.greeted().await;
    assert_eq!(open.exchange(&mail("u@example.org"), 1).await, "c");
    served.server.drain();
    clock.pass(Duration::from_secs(2)).await;
    served.server.stop();
    let (ended, time) = clock.run(&mut served.serving).await;
    ended.expect("served to the end");
    assert_eq!(time, Duration::ZERO);
    assert!(open.is_closed().await);
}
