//! States that nobody can have written, and descriptors that are no connections.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use gatepost::gate::Gate;
use gatepost::limits::Limits;
use gatepost::server::{BadStates, Rested, Server, Taken, pack, unpack};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::common::world::config;
use super::{ENOUGH, Log, NameServer, call, gate, greeting, packet};

fn server(names: &NameServer) -> Server<Gate> {
    Server::new(gate(&config(names, &["ENFORCE_STAGE=mail"]), None), Limits::default())
}

/// The state of a session in the middle of a message, with half a packet.
async fn state(server: &Server<Gate>) -> Vec<u8> {
    let mut wire = call(server).await;
    let macros = packet(b'D', b"Mi\x004ABC\0");
    assert_eq!(wire.exchange(&[greeting("8.8.0.2"), macros].concat(), 3).await, "Occ");
    let half = &packet(b'R', b"<us@example.org>\0")[..9];
    assert_eq!(wire.exchange(&[&packet(b'M', b"<u@ok.example>\0SIZE=1\0"), half].concat(), 1).await, "c");
    server.hand_over(ENOUGH).await.remove(0).state
}

/// One end of a connection as a descriptor.
fn socket() -> (OwnedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    (ours.into(), theirs)
}

/// A state with one value replaced.
fn with(state: &[u8], place: &str, value: Value) -> Vec<u8> {
    let mut state: Value = serde_json::from_slice(state).expect("a state");
    *state.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value;
    serde_json::to_vec(&state).expect("a state")
}

#[tokio::test]
async fn impossible_states_are_dropped_counted_and_told_once() {
    let (log, _guard) = Log::listen();
    let names = NameServer::start().await;
    let good = state(&server(&names)).await;
    let bad = [
        b"".to_vec(),
        b"{}".to_vec(),
        b"\0\xff".to_vec(),
        [&good[..], b"x"].concat(),
        good[..good.len() / 2].to_vec(),
        with(&good, "/session/due", json!("Header")),
        with(&good, "/session/due", json!("Body")),
        with(&good, "/session/due", json!({"Judgement": "Nowhere"})),
        with(&with(&good, "/session/due", json!({"Judgement": "Mail"})), "/session/agreement", Value::Null),
        with(&good, "/input", json!("\u{100}")),
        with(&good, "/session/dialog/macros/stages", json!([])),
        with(&good, "/memory/spent", json!({"secs": u64::MAX, "nanos": u32::MAX})),
        "[".repeat(100_000).into_bytes(),
    ];
    let server = server(&names);
    let (mut rested, mut others) = (Vec::new(), Vec::new());
    for state in bad.iter().chain([&good]) {
        let (stream, other) = socket();
        rested.push(Rested { stream, state: state.clone(), in_message: false });
        others.push(other);
    }
    let taken = server.take_over(rested);
    assert_eq!(taken, Taken { taken: 1, dropped: bad.len() });
    assert_eq!(server.tally().dropped, u64::try_from(bad.len()).expect("few"));
    assert_eq!(log.with(&["event=handover", &format!("dropped={}", bad.len())]).len(), 1);
    assert!(log.with(&["event=handover", "example"]).is_empty(), "nothing of what the state holds");
    // The good one goes on; the others are closed.
    let wire = others.pop().expect("the last");
    wire.set_nonblocking(true).expect("a socket");
    let mut wire = tokio::net::UnixStream::from_std(wire).expect("a socket");
    wire.write_all(&packet(b'R', b"<us@example.org>\0")[9..]).await.expect("to send");
    wire.write_all(&packet(b'E', b"")).await.expect("to send");
    let mut answer = [0; 10];
    wire.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"\0\0\0\x01c\0\0\0\x01c");
    for mut other in others {
        assert_eq!(std::io::Read::read(&mut other, &mut [0]).expect("the end"), 0);
    }
}

#[tokio::test]
async fn descriptors_that_are_no_connections_are_dropped() {
    let names = NameServer::start().await;
    let good = state(&server(&names)).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let closed = {
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        stream.shutdown(std::net::Shutdown::Both).expect("a connection");
        drop(listener.accept().expect("a connection"));
        stream
    };
    let streams: Vec<OwnedFd> = vec![
        File::open("/dev/null").expect("a file").into(),
        listener.into(),
        UdpSocket::bind(("127.0.0.1", 0)).expect("a port").into(),
        std::os::unix::net::UnixDatagram::pair().expect("a pair").0.into(),
        std::io::pipe().expect("a pipe").0.into(),
    ];
    let (server, count) = (server(&names), streams.len());
    let rest = |stream| Rested { stream, state: good.clone(), in_message: false };
    assert_eq!(server.take_over(streams.into_iter().map(rest)), Taken { taken: 0, dropped: count });
    // One whose peer has gone is a connection still, or none any more; it ends either way.
    let taken = server.take_over([rest(closed.into())]);
    assert_eq!(taken.taken + taken.dropped, 1);
    assert!(server.hand_over(ENOUGH).await.len() <= 1);
    assert_eq!(server.tally().panics, 0);
}

#[test]
fn another_version_is_told_from_damage() {
    let mut packed = pack([(1, &b"{}"[..])]);
    packed[8..12].copy_from_slice(&77_u32.to_be_bytes());
    let error = unpack(&packed).expect_err("unknown");
    assert_eq!(error, BadStates::Version(77));
    assert!(error.to_string().contains("version 77"), "{error}");
}

/// Plays a forged state with what an MTA might say, to the end.
fn play(state: Vec<u8>, said: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let names = NameServer::start().await;
        let server = server(&names);
        let (stream, other) = socket();
        let taken = server.take_over([Rested { stream, state, in_message: false }]);
        assert_eq!(taken.taken + taken.dropped, 1);
        other.set_nonblocking(true).expect("a socket");
        let mut other = tokio::net::UnixStream::from_std(other).expect("a socket");
        let _ = other.write_all(said).await;
        let _ = other.shutdown().await;
        // Everything there is: to its end, or to a reset.
        let _ = tokio::time::timeout(ENOUGH, other.read_to_end(&mut Vec::new())).await.expect("an end");
        assert_eq!(server.tally().panics, 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_harm_who_unpacks_them(
        version in prop::sample::select(vec![0, 1, 1, 1, 2, u32::MAX]),
        length in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
        body in vec(any::<u8>(), 0..60),
    ) {
        let _ = unpack(&body);
        let mut packed = b"gatepost".to_vec();
        packed.extend(version.to_be_bytes());
        packed.extend(length.unwrap_or(body.len() as u64).to_be_bytes());
        // The checksum of FNV-1a, so that what is behind it is read.
        let step = |sum: u64, octet: &u8| (sum ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        packed.extend(body.iter().fold(0xcbf2_9ce4_8422_2325, step).to_be_bytes());
        packed.extend(&body);
        if let Ok(states) = unpack(&packed) {
            prop_assert_eq!(pack(states), packed);
        }
    }

    #[test]
    fn no_change_of_a_state_harms_who_takes_it_over(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        said in vec((prop::sample::select(b"CHMRTLNBEUADKQO".to_vec()), vec(any::<u8>(), 0..20)), 0..6),
    ) {
        let mut state = include_bytes!("../data/handover/v1/message.json").to_vec();
        for (place, octet) in changes {
            let place = place.index(state.len());
            state[place] = octet;
        }
        if let Some(cut) = cut {
            state.truncate(cut.index(state.len()));
        }
        let said: Vec<u8> = said.iter().flat_map(|(code, data)| packet(*code, data)).collect();
        play(state, &said);
    }

    #[test]
    fn no_order_of_states_harms_who_takes_them_over(
        phase in prop::sample::select(vec!["None", "Envelope", "Headers", "EndOfHeaders", "Body"]),
        passed in prop::sample::select(vec!["Nothing", "Message", "Session"]),
        due in prop::sample::select(vec!["Connect", "Helo", "Mail", "Rcpt", "Data", "Message", ""]),
        connected in any::<bool>(),
        transaction in any::<bool>(),
        input in vec(any::<u8>(), 0..30),
        left in any::<Option<u64>>(),
        said in vec((prop::sample::select(b"CHMRTLNBEUADKQO".to_vec()), Just(b"x\0y\0".to_vec())), 0..6),
    ) {
        let state = include_bytes!("../data/handover/v1/message.json");
        let mut state = with(state, "/session/phase", json!(phase));
        for (place, value) in [
            ("/session/passed", json!(passed)),
            ("/session/due", if due.is_empty() { json!("Nothing") } else { json!({"Judgement": due}) }),
            ("/session/connected", json!(connected)),
            ("/input", json!(input.into_iter().map(char::from).collect::<String>())),
            ("/left", json!(left)),
        ] {
            state = with(&state, place, value);
        }
        if !transaction {
            state = with(&state, "/session/dialog/transaction", Value::Null);
        }
        let said: Vec<u8> = said.iter().flat_map(|(code, data)| packet(*code, data)).collect();
        play(state, &said);
    }
}
