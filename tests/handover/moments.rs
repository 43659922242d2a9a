//! A hand-over at every moment at which a connection waits.

use std::sync::Arc;
use std::time::Duration;

use gatepost::limits::Limits;
use gatepost::milter::{Filter, Flow};
use gatepost::server::{Listen, Server};
use gatepost::smtp::{Dialog, Event, Needs, Permit, Reply, Stage};
use gatepost::verdict::{Decision, Edit, Verdict};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::{Clock, ENOUGH, Log, Wire, call, connect, exchange, greeting, offer, packet};

/// Octets of a body that no socket takes at once.
const LARGE: usize = 8 << 20;

/// Does what the sender's address says, and counts what it was shown of the body.
struct Puppet;

impl Filter for Puppet {
    type Memory = usize;

    fn needs(&self) -> Needs {
        [Event::Connect, Event::Helo, Event::Mail, Event::Body]
            .into_iter()
            .fold(Needs::default(), Needs::event)
            .permit(Permit::ReplaceBody)
    }

    async fn judge(&self, stage: Stage, dialog: &Dialog, memory: &mut usize) -> Decision {
        let sender = dialog.transaction.as_ref().map_or(&b""[..], |message| &message.sender);
        match (stage, sender) {
            (Stage::Mail, b"<slow>") => tokio::time::sleep(Duration::from_secs(1)).await,
            (Stage::Message, b"<long>") => tokio::time::sleep(Duration::from_secs(12)).await,
            (Stage::Message, b"<count>") => {
                return Verdict::Refuse(
                    Reply::new(550, "5.7.1", &format!("{memory} octets")).expect("a reply"),
                )
                .into();
            }
            (Stage::Message, b"<large>") => {
                let edits = vec![Edit::ReplaceBody(vec![b'x'; LARGE].into())];
                return Decision { verdict: Verdict::Continue, edits };
            }
            _ => {}
        }
        Decision::default()
    }

    fn body(&self, _: &Dialog, memory: &mut usize, chunk: &[u8]) -> Flow {
        *memory += chunk.len();
        Flow::Next
    }
}

fn server() -> Server<Puppet> {
    limited(Limits::default())
}

fn limited(limits: Limits) -> Server<Puppet> {
    super::common::log::set_up();
    Server::new(Puppet, limits)
}

fn mail(sender: &str) -> Vec<u8> {
    packet(b'M', format!("<{sender}>\0").as_bytes())
}

/// A server on a Unix socket, which accepts.
fn listening(path: &std::path::Path, limits: Limits) -> (Server<Puppet>, JoinHandle<()>) {
    let server = limited(limits);
    let sockets = Listen::Unix(path.to_owned()).bind(0o600).expect("a socket");
    let handle = server.clone();
    (server, tokio::spawn(async move { handle.serve(&sockets).await.expect("a server") }))
}

#[tokio::test]
async fn a_judgement_that_ends_in_time_is_given_by_who_began_it() {
    let clock = Clock::stop();
    let (old, new) = (server(), server());
    let mut wire = call(&old).await;
    assert_eq!(wire.exchange(&greeting("192.0.2.1"), 3).await, "Occ");
    wire.send(&mail("slow")).await.expect("to send");
    clock.settle().await;
    let (_, took) = clock.run(exchange(&old, &new, Duration::from_secs(2))).await;
    assert!(took < Duration::from_millis(1_020), "{took:?}: no longer than the judgement");
    assert_eq!(wire.exchange(b"", 1).await, "c");
    assert_eq!(wire.exchange(&packet(b'H', b"again\0"), 1).await, "c", "and no second answer before it");
}

#[tokio::test]
async fn a_judgement_that_does_not_end_in_time_is_begun_anew_and_answered_once() {
    let clock = Clock::stop();
    let (old, new) = (server(), server());
    let mut wire = call(&old).await;
    assert_eq!(wire.exchange(&greeting("192.0.2.1"), 3).await, "Occ");
    // The packet behind it is there already, and half of a third.
    let ahead = [mail("slow"), packet(b'H', b"again\0"), packet(b'Q', b"")[..3].to_vec()].concat();
    wire.send(&ahead).await.expect("to send");
    clock.settle().await;
    let (_, took) = clock.run(exchange(&old, &new, Duration::from_millis(300))).await;
    assert!((300..320).contains(&took.as_millis()), "{took:?}: the time that was given");
    let (codes, took) = clock.run(wire.exchange(b"", 1)).await;
    assert_eq!(codes, "c");
    assert!((1_000..1_020).contains(&took.as_millis()), "{took:?}: once more");
    assert_eq!(clock.run(wire.exchange(b"", 1)).await.0, "c");
    wire.send(&packet(b'Q', b"")[3..]).await.expect("to send");
    assert!(wire.is_closed().await);
    clock.settle().await;
    assert_eq!((old.tally().handed, new.tally().taken, new.tally().open), (1, 1, 0));
}

#[tokio::test]
async fn the_end_of_a_message_may_take_longer_than_a_hand_over() {
    let clock = Clock::stop();
    let (old, new) = (server(), server());
    let mut wire = call(&old).await;
    wire.exchange(&greeting("192.0.2.1"), 3).await;
    assert_eq!(wire.exchange(&mail("long"), 1).await, "c");
    wire.send(&packet(b'E', b"")).await.expect("to send");
    assert_eq!(clock.run(wire.exchange(b"", 1)).await.0, "p");
    clock.run(exchange(&old, &new, Duration::from_secs(2))).await;
    assert_eq!(clock.run(wire.exchange(b"", 3)).await.0, "ppc");
    assert_eq!(new.tally().panics, 0);
}

#[tokio::test]
async fn what_the_filter_saw_of_a_body_is_remembered() {
    let (old, new) = (server(), server());
    let mut wire = call(&old).await;
    wire.exchange(&greeting("192.0.2.1"), 3).await;
    assert_eq!(wire.exchange(&[mail("count"), packet(b'B', b"12345")].concat(), 2).await, "cc");
    exchange(&old, &new, ENOUGH).await;
    wire.send(&[packet(b'B', b"678"), packet(b'E', b"9")].concat()).await.expect("to send");
    assert_eq!(wire.receive().await.expect("an answer").0, b'c');
    assert_eq!(wire.receive().await.expect("an answer").1, b"550 5.7.1 9 octets\0");
}

#[tokio::test]
async fn an_answer_that_is_half_sent_goes_on_at_its_next_octet() {
    let folder = tempfile::tempdir().expect("a folder");
    for unix in [false, true] {
        let path = folder.path().join("milter.sock");
        let mut servers: Vec<_> = (0..4).map(|_| server()).collect();
        let mut heard = Vec::new();
        let end = [mail("large"), packet(b'E', b"")].concat();
        if unix {
            let (server, serving) = listening(&path, Limits::default());
            let mut wire = Wire::new(UnixStream::connect(&path).await.expect("a server"));
            wire.exchange(&greeting("192.0.2.1"), 3).await;
            assert_eq!(wire.exchange(&end[..end.len() - 5], 1).await, "c");
            wire.send(&end[end.len() - 5..]).await.expect("to send");
            servers.insert(0, server);
            read_on(&mut wire.stream, &servers, &mut heard).await;
            serving.await.expect("it ended");
        } else {
            let mut wire = call(&servers[0]).await;
            wire.exchange(&greeting("192.0.2.1"), 3).await;
            assert_eq!(wire.exchange(&end[..end.len() - 5], 1).await, "c");
            wire.send(&end[end.len() - 5..]).await.expect("to send");
            read_on(&mut wire.stream, &servers, &mut heard).await;
        }
        let mut rest = &heard[..];
        let mut body = 0;
        let limits = Limits { frame: 1 << 20, ..Limits::default() };
        while let Some((frame, used)) = gatepost::milter::Frame::take(rest, &limits).expect("a packet") {
            rest = &rest[used..];
            match frame.code {
                b'b' => body += frame.data.len(),
                code => assert_eq!((code, rest), (b'c', &b""[..]), "the last one"),
            }
        }
        assert_eq!(body, LARGE, "every octet, and once");
    }
}

/// Reads some of an answer, hands over in the middle of it, and so on.
async fn read_on(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    servers: &[Server<Puppet>],
    heard: &mut Vec<u8>,
) {
    for pair in servers.windows(2) {
        heard.push(stream.read_u8().await.expect("an answer"));
        assert_eq!(exchange(&pair[0], &pair[1], ENOUGH).await, 1);
        let mut some = vec![0; 300_000];
        stream.read_exact(&mut some).await.expect("an answer");
        heard.extend(some);
    }
    while !heard.ends_with(b"\0\0\0\x01c") {
        assert_ne!(stream.read_buf(heard).await.expect("an answer"), 0, "the end comes too early");
    }
}

#[tokio::test]
async fn deadlines_go_on_where_they_were() {
    let clock = Clock::stop();
    let limits = Limits { frame_time: Duration::from_secs(30), ..Limits::default() };
    let (old, new) = (limited(limits), limited(limits));
    let (mut half, mut idle) = (call(&old).await, call(&old).await);
    half.send(&greeting("192.0.2.1")[..9]).await.expect("to send");
    clock.pass(Duration::from_secs(25)).await;
    assert_eq!(clock.run(exchange(&old, &new, Duration::ZERO)).await.0, 2);
    let (closed, took) = clock.run(half.is_closed()).await;
    assert!(closed);
    assert!((4_900..5_100).contains(&took.as_millis()), "{took:?}");
    assert_eq!(idle.exchange(&greeting("192.0.2.1"), 3).await, "Occ");
}

#[tokio::test]
async fn nothing_is_accepted_any_more_and_the_shed_are_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("milter.sock");
    let (server, serving) = listening(&path, Limits { connections: 1, ..Limits::default() });
    let mut kept = Wire::new(UnixStream::connect(&path).await.expect("a server"));
    assert_eq!(kept.exchange(&greeting("192.0.2.1"), 3).await, "Occ");
    let mut shed = Wire::new(UnixStream::connect(&path).await.expect("a server"));
    assert_eq!(shed.exchange(&greeting("192.0.2.1")[..17], 1).await, "O");
    let next = limited(Limits::default());
    assert_eq!(exchange(&server, &next, ENOUGH).await, 1, "one is handed over");
    serving.await.expect("it ended");
    assert!(shed.is_closed().await, "the other is not");
    assert!(UnixStream::connect(&path).await.is_err());
    assert_eq!(kept.exchange(&mail("us"), 1).await, "c");
    assert!(server.hand_over(ENOUGH).await.is_empty(), "once only");
}

#[tokio::test]
async fn who_cannot_hand_over_after_all_takes_its_sessions_back_and_drains() {
    let (log, _guard) = Log::listen();
    let server = server();
    let (mut open, mut idle) = (call(&server).await, call(&server).await);
    open.exchange(&greeting("192.0.2.1"), 3).await;
    assert_eq!(open.exchange(&mail("us"), 1).await, "c");
    let rested = server.hand_over(ENOUGH).await;
    assert_eq!(rested.iter().filter(|rested| rested.in_message).count(), 1);
    server.drain();
    assert_eq!(server.take_back(rested).taken, 2);
    assert_eq!(open.exchange(&packet(b'E', b""), 1).await, "c");
    assert!(idle.is_closed().await);
    assert!(open.is_closed().await);
    assert_eq!(log.with(&["reason=drained"]).len(), 2);
    let tally = server.tally();
    assert_eq!((tally.handed, tally.taken, tally.dropped), (0, 2, 0), "they came here, and went nowhere");
}

#[tokio::test]
async fn a_session_that_goes_on_without_a_seat_is_not_told_of_as_one_too_many() {
    let (log, _guard) = Log::listen();
    let one = || limited(Limits { per_client: 1, ..Limits::default() });
    let (old, new) = (one(), one());
    let (mut first, mut second) = (call(&old).await, call(&old).await);
    let begin = [offer(), connect("192.0.2.1")].concat();
    assert_eq!(first.exchange(&begin, 2).await, "Oc");
    assert_eq!(second.exchange(&begin, 2).await, "Oa");
    assert_eq!((old.tally().shed, log.with(&["event=shed"]).len()), (1, 1));
    assert_eq!(exchange(&old, &new, ENOUGH).await, 2);
    assert_eq!(first.exchange(&mail("us"), 1).await, "c");
    assert_eq!((new.tally().shed, log.with(&["event=shed"]).len()), (0, 1), "{:#?}", log.lines());
}

#[tokio::test]
async fn sessions_keep_their_ids_and_no_other_gets_them() {
    let (log, _guard) = Log::listen();
    let folder = tempfile::tempdir().expect("a folder");
    let mut servers = Vec::new();
    let mut wires = Vec::new();
    // All within a second: three processes that began in the same one.
    for n in 0..3 {
        let path = folder.path().join(n.to_string());
        let (server, _) = listening(&path, Limits::default());
        if let Some(before) = servers.last() {
            exchange(before, &server, ENOUGH).await;
        }
        for _ in 0..2 {
            let mut wire = Wire::new(UnixStream::connect(&path).await.expect("a server"));
            wire.exchange(&greeting("192.0.2.1"), 3).await;
            wires.push(wire);
        }
        servers.push(server);
    }
    for mut wire in wires {
        wire.send(&packet(b'Q', b"")).await.expect("to send");
        assert!(wire.is_closed().await);
    }
    let mut ids: Vec<String> = log
        .with(&["event=close"])
        .iter()
        .filter_map(|line| Some(line.split("session=").nth(1)?.split(' ').next()?.to_owned()))
        .collect();
    assert_eq!(ids.len(), 6);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6, "{ids:?}");
    drop(Arc::new(servers));
}

#[tokio::test]
async fn a_session_that_negotiated_less_than_is_wanted_now_goes_on_and_is_told() {
    let (log, _guard) = Log::listen();
    let names = super::NameServer::start().await;
    names.on("spam.example.dbl", super::Act::records(["127.0.1.2"]));
    let server = |settings: &[&str]| {
        let config = super::common::world::config(&names, settings);
        Server::new(super::gate(&config, None), Limits::default())
    };
    let (first, second, third) = (
        server(&["ENFORCE_STAGE=connect"]),
        server(&["ENFORCE_STAGE=mail"]),
        server(&["ENFORCE_STAGE=rcpt"]),
    );
    let mut wire = call(&first).await;
    assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
    exchange(&first, &second, ENOUGH).await;
    assert!(log.with(&["partly="]).is_empty(), "all that is wanted is seen");
    assert_eq!(wire.exchange(&mail("u@spam.example"), 1).await, "y");
    exchange(&second, &third, ENOUGH).await;
    assert_eq!(log.with(&["event=handover", "partly=1"]).len(), 1);
    assert_eq!(wire.exchange(&mail("u@spam.example"), 1).await, "c");
}
