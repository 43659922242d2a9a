//! States that an earlier release wrote are read.
//!
//! `tests/data/handover` has a folder for each form. `sessions` is what a process leaves behind; the other
//! files are its parts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost::limits::Limits;
use gatepost::server::{Rested, Server, pack, unpack};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::common::world::config;
use super::{Act, Clock, NameServer, call, connect, gate, greeting, offer, packet};

const HALF: &[u8] = b"\0\0\0\x12R<us@";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/handover/v1")
}

/// The states of sessions in every situation, in the order of the fixture: name and state.
async fn states() -> Vec<(&'static str, Vec<u8>)> {
    let clock = Clock::stop();
    let names = NameServer::start().await;
    let config = config(&names, &["ENFORCE_STAGE=mail"]);
    let mut states = Vec::new();
    let macros = packet(b'D', b"Mi\x004ABC\0{auth_authen}\0al\xfcce\0");
    let mail = packet(b'M', "<\u{fc}ser@b\u{fc}cher.example>\0SIZE=10\0SMTPUTF8\0".as_bytes());
    let begun = [greeting("8.8.0.2"), macros.clone(), mail, packet(b'R', b"<one@example.org>\0")].concat();
    for (name, said, answers) in [
        ("fresh", Vec::new(), ""),
        ("negotiation", offer()[..9].to_vec(), ""),
        ("greeted", [greeting("2001:db8::1"), macros].concat(), "Occ"),
        ("judging", [greeting("8.8.0.2"), packet(b'M', b"<u@slow.example>\0")].concat(), "Occ"),
        ("message", [begun, HALF.to_vec()].concat(), "Occcc"),
    ] {
        let slow = if name == "judging" { Act::Silence } else { Act::NotFound(Some(60)) };
        names.otherwise(slow);
        let server = Server::new(gate(&config, None), Limits::default());
        let mut wire = call(&server).await;
        assert_eq!(wire.exchange(&said, answers.len()).await, answers, "{name}");
        clock.settle().await;
        let (mut rested, _) = clock.run(server.hand_over(Duration::ZERO)).await;
        states.push((name, rested.remove(0).state));
    }
    // What did not fit into the socket is hard to have without much of it.
    let message = String::from_utf8(states[4].1.clone()).expect("text");
    let unsent = message.replace(r#""output":"""#, r#""output":"\u0000\u0001c""#);
    assert_ne!(unsent, message);
    states.push(("unsent", unsent.into_bytes()));
    states
}

/// If this fails, the form has changed. A field more, which the release before does not need: write the
/// fixture anew and keep the version. Anything else: a new version, and this fixture stays as it is.
#[tokio::test]
async fn the_form_is_that_of_the_fixture() {
    let states = states().await;
    let packed = pack(states.iter().zip(0..).map(|((_, state), n)| (n, &state[..])));
    // For whoever has to write the fixture anew.
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("handover");
    fs::create_dir_all(&written).expect("a folder");
    fs::write(written.join("sessions"), &packed).expect("a file");
    for (name, state) in &states {
        fs::write(written.join(format!("{name}.json")), state).expect("a file");
    }
    for (name, state) in &states {
        let known = fs::read_to_string(folder().join(format!("{name}.json"))).expect("the fixture");
        assert_eq!(String::from_utf8_lossy(state), known, "{name}; now: {}", written.display());
    }
    assert_eq!(fs::read(folder().join("sessions")).expect("the fixture"), packed);
}

// case: 65
#[tokio::test]
async fn what_the_first_version_left_behind_is_taken_over() {
    let names = NameServer::start().await;
    names.on("slow.example.dbl", Act::records(["127.0.1.2"]));
    let packed = fs::read(folder().join("sessions")).expect("the fixture");
    let states = unpack(&packed).expect("a known version");
    let rest = &packet(b'R', b"<us@example.org>\0")[HALF.len()..];
    let server = Server::new(gate(&config(&names, &["ENFORCE_STAGE=mail"]), None), Limits::default());
    for ((_, state), (said, answers)) in states.into_iter().zip([
        ([offer(), connect("8.8.0.2")].concat(), "Oc"),
        (offer()[9..].to_vec(), "O"),
        (packet(b'M', b"<u@ok.example>\0"), "c"),
        (Vec::new(), "y"),
        ([rest, &packet(b'E', b"")].concat(), "cc"),
        ([rest, &packet(b'E', b"")].concat(), "ccc"),
    ]) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let rested = Rested { stream: ours.into(), state: state.to_owned(), in_message: false };
        assert_eq!(server.take_over([rested]).taken, 1);
        theirs.set_nonblocking(true).expect("a socket");
        let mut theirs = tokio::net::UnixStream::from_std(theirs).expect("a socket");
        theirs.write_all(&said).await.expect("to send");
        theirs.shutdown().await.expect("a socket");
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.expect("the end");
        if answers == "ccc" {
            // The first two octets had left before.
            heard.splice(..0, [0, 0]);
        }
        let (mut codes, mut rest) = (String::new(), &heard[..]);
        while let Some((frame, used)) =
            gatepost::milter::Frame::take(rest, &Limits::default()).expect("a packet")
        {
            codes.push(char::from(frame.code));
            rest = &rest[used..];
        }
        assert_eq!(codes, answers, "{}", String::from_utf8_lossy(state));
    }
}
