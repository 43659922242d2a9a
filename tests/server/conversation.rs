//! Orders of events that MTAs come up with.

use std::time::Duration;

use super::{Clock, Limits, Log, Served, connect, mail, packet};

fn rcpt(macros: &str) -> Vec<u8> {
    [packet(b'D', format!("R{{rcpt_addr}}\0{macros}\0").as_bytes()), packet(b'R', b"<us@example.org>\0")]
        .concat()
}

// case: 33
#[tokio::test]
async fn helo_may_be_missing() {
    let served = Served::start(Limits::default());
    let mut phone = served.phone().await;
    assert_eq!(phone.connect("192.0.2.1").await, "continue");
    assert_eq!(phone.from("<u@example.org>").await, "continue");
}

// case: 44
#[tokio::test]
async fn abort_is_never_answered() {
    let served = Served::start(Limits::default());
    let abort = || packet(b'A', b"");
    let mut wire = served.wire().await;
    assert_eq!(wire.exchange(&[super::offer(), abort(), abort()].concat(), 1).await, "O");
    assert_eq!(wire.exchange(&[connect("192.0.2.1"), abort()].concat(), 1).await, "c");
    assert_eq!(
        wire.exchange(&[abort(), packet(b'H', b"mx.example\0"), abort(), abort()].concat(), 1).await,
        "c"
    );
    assert_eq!(wire.exchange(&[mail("u@example.org"), abort(), mail("refuse")].concat(), 2).await, "cy");
}

// case: 43, 45
#[tokio::test]
async fn messages_are_the_same_with_and_without_abort_between_them() {
    let served = Served::start(Limits::default());
    for between in [packet(b'A', b""), Vec::new()] {
        let mut wire = served.greeted().await;
        for (n, sender) in ["echo", "u@example.org", "echo"].into_iter().enumerate() {
            assert_eq!(wire.exchange(&mail(sender), 1).await, "c");
            wire.send(&rcpt(sender)).await.expect("to send");
            let (code, text) = wire.receive().await.expect("a reply");
            if sender == "echo" {
                let reply = format!("550 5.7.1 {} \"echo\"\0", n + 1);
                assert_eq!((code, String::from_utf8_lossy(&text).into_owned()), (b'y', reply));
            } else {
                assert_eq!(wire.exchange(&packet(b'E', b""), 1).await, "c");
            }
            wire.send(&between).await.expect("to send");
        }
    }
}

// case: 46
#[tokio::test]
async fn macros_of_a_recipient_that_never_came_give_way() {
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    wire.exchange(&mail("echo"), 1).await;
    wire.send(&packet(b'D', b"R{rcpt_addr}\0gone@example.org\0")).await.expect("to send");
    wire.send(&rcpt("here@example.org")).await.expect("to send");
    let (_, text) = wire.receive().await.expect("a reply");
    assert_eq!(text, b"550 5.7.1 1 \"here@example.org\"\0");
}

// case: 47
#[tokio::test]
async fn an_mta_that_leaves_in_mid_message_leaves_nothing_behind() {
    let (log, _guard) = Log::listen();
    let served = Served::start(Limits::default());
    for way in ["eof", "reset", "quit", "half"] {
        let mut wire = served.greeted().await;
        assert_eq!(wire.exchange(&mail("u@example.org"), 1).await, "c");
        match way {
            "reset" => {
                // Unread data make the kernel reset the connection.
                wire.send(&mail("x")).await.expect("to send");
                wire.stream.readable().await.expect("the reply");
            }
            "quit" => wire.send(&packet(b'Q', b"")).await.expect("to send"),
            "half" => wire.send(&packet(b'R', b"<us@example.org>\0")[..7]).await.expect("to send"),
            _ => {}
        }
        drop(wire);
        served.open(0).await;
    }
    assert_eq!(log.with(&["event=close"]).len(), 4, "{:#?}", log.lines());
    assert!(log.lines().iter().all(|line| line.starts_with("DEBUG")), "{:#?}", log.lines());
}

// case: 48
#[tokio::test]
async fn a_connection_can_carry_a_second_session() {
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    let session = [mail("u@example.org"), rcpt("a"), packet(b'E', b"")].concat();
    assert_eq!(wire.exchange(&session, 3).await, "ccc");
    let next =
        [packet(b'K', b""), connect("192.0.2.2"), packet(b'H', b"mx.example\0"), mail("echo")].concat();
    assert_eq!(wire.exchange(&next, 3).await, "ccc");
    wire.send(&rcpt("b")).await.expect("to send");
    let (_, text) = wire.receive().await.expect("a reply");
    assert_eq!(text, b"550 5.7.1 1 \"b\"\0", "counted anew");
    // In mid-message as well.
    assert_eq!(wire.exchange(&[packet(b'K', b""), connect("192.0.2.3")].concat(), 1).await, "c");
}

// case: 50
#[tokio::test]
async fn unknown_commands_change_nothing() {
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    assert_eq!(wire.exchange(&packet(b'U', b"XYZ\0"), 1).await, "c");
    assert_eq!(wire.exchange(&mail("echo"), 1).await, "c");
    assert_eq!(wire.exchange(&packet(b'U', b"XYZ\0"), 1).await, "c");
    assert_eq!(wire.exchange(&rcpt("a"), 1).await, "y");
}

// case: 52
#[tokio::test]
async fn the_end_of_a_message_may_bring_its_last_octets() {
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    let head = [mail("u@example.org"), rcpt("a"), packet(b'B', b"")].concat();
    assert_eq!(wire.exchange(&head, 3).await, "ccc");
    assert_eq!(wire.exchange(&packet(b'E', b"last octets\r\n"), 1).await, "c");
    assert_eq!(wire.exchange(&mail("refuse"), 1).await, "y", "one reply to the end, not two");
}

// case: 53
#[tokio::test]
async fn declined_events_are_answered_all_the_same() {
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    let declined = [packet(b'T', b""), packet(b'L', b"Subject\0x\0"), packet(b'N', b"")].concat();
    assert_eq!(wire.exchange(&[mail("u@example.org"), rcpt("a")].concat(), 2).await, "cc");
    assert_eq!(wire.exchange(&declined, 3).await, "ccc");
}

// case: 59
#[tokio::test]
async fn changes_and_the_last_word_leave_together() {
    use tokio::io::AsyncReadExt as _;
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    assert_eq!(wire.exchange(&[mail("change"), rcpt("a")].concat(), 2).await, "cc");
    wire.send(&packet(b'E', b"")).await.expect("to send");
    let mut octets = vec![0; 65_536];
    let count = wire.stream.read(&mut octets).await.expect("a reply");
    assert!(octets[..count].ends_with(b"\0\0\0\x01c"), "all of it in one read");
    assert_eq!(octets[..count].windows(9).filter(|octets| octets == b"X-Number-").count(), 20);
}

// case: 70
#[tokio::test]
async fn ten_idle_minutes_between_messages_do_not_matter() {
    let clock = Clock::stop();
    let served = Served::start(Limits::default());
    let mut wire = served.greeted().await;
    for _ in 0..3 {
        assert_eq!(wire.exchange(&[mail("u@example.org"), packet(b'A', b"")].concat(), 1).await, "c");
        clock.settle().await;
        clock.jump(Duration::from_mins(10)).await;
    }
    clock.jump(Limits::default().idle).await;
    assert!(wire.is_closed().await, "but not for ever");
}
