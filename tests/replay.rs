//! Recorded conversations of Postfix, Sendmail and test clients, played against our session.

use std::fs;
use std::path::Path;

use gatepost::limits::Limits;
use gatepost::milter::mta::{Mta, Sent};
use gatepost::milter::{Command, Frame, Offer};
use gatepost::smtp::{Client, Needs};
use support::recording::{Recording, recordings, unhex};
use support::side::{EVENTS, PERMITS, Side, codes, go_on};

mod support;

/// Recordings whose filter did not say what a filter has to say: capture, packet of the MTA, number of
/// final replies it got in the recording, and why we give exactly one all the same.
const EXCEPTIONS: [(&str, u8, usize, &str); 4] = [
    (
        "postfix-3.7.11/08i-v2-mta-filter-asks-noreply",
        b'L',
        0,
        "the filter set a no-reply bit that was not offered, and Postfix obeyed; we mask such bits",
    ),
    (
        "postfix-3.7.11/08i-v2-mta-filter-asks-noreply",
        b'N',
        6,
        "the replies to five header fields, which Postfix did not wait for, and the one to EOH",
    ),
    ("postfix-3.7.11/30-eom-mods-then-reject", b'E', 2, "the filter replied twice, on purpose"),
    (
        "sendmail-8.17.1.9/22-progress-eom-over-E",
        b'E',
        0,
        "the filter asked for more time until Sendmail gave up; it never replied",
    ),
];

/// The needs that lead to the protocol bits of the recorded filter. With 0 that is everything.
fn needs(protocol: u32) -> Needs {
    const STEPS: [(u32, u32); 9] = [
        (0x001, 0x1000),
        (0x002, 0x2000),
        (0x004, 0x4000),
        (0x008, 0x8000),
        (0x200, 0x1_0000),
        (0x020, 0x80),
        (0x040, 0x4_0000),
        (0x010, 0x8_0000),
        (0x100, 0x2_0000),
    ];
    let mut needs = PERMITS.into_iter().fold(Needs::default(), Needs::permit);
    for (event, (declined, silent)) in EVENTS.into_iter().zip(STEPS) {
        if protocol & declined == 0 {
            needs = needs.event(event);
        }
        if protocol & silent != 0 {
            needs = needs.silent(event);
        }
    }
    needs.rejected_recipients = protocol & 0x800 != 0;
    needs.leading_space = protocol & 0x10_0000 != 0;
    needs
}

/// The replies that we owe to each packet: those of the recording, unless its filter misbehaved.
fn owed(recording: &Recording) -> Vec<usize> {
    let replies = |(packet, recorded): &(Vec<u8>, usize)| {
        let exception = EXCEPTIONS
            .iter()
            .find(|(capture, code, _, _)| *capture == recording.capture && *code == packet[4]);
        match exception {
            Some((_, _, misbehaved, _)) => {
                assert_eq!(recorded, misbehaved, "{}: no longer an exception", recording.capture);
                1
            }
            None => *recorded,
        }
    };
    recording.packets.iter().map(replies).collect()
}

/// What we say when the recording is sent in these pieces.
fn play<'a>(recording: &Recording, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut side = Side::new(needs(recording.protocol), go_on);
    pieces
        .map(|piece| {
            let mut out = Vec::new();
            let outcome = side.feed(piece, &mut out);
            assert!(outcome.is_ok(), "{}: {outcome:?}", recording.capture);
            out
        })
        .collect()
}

#[test]
fn every_event_of_every_recording_gets_as_many_replies_as_recorded() {
    let recordings = recordings();
    assert!(recordings.len() > 340, "{} recordings", recordings.len());
    for recording in recordings {
        let packets = recording.packets.iter().map(|(packet, _)| &packet[..]);
        let replies: Vec<usize> = play(&recording, packets).iter().map(|said| codes(said).len()).collect();
        assert_eq!(replies, owed(&recording), "{}", recording.capture);
    }
}

// case: 14, 16
#[test]
fn a_recording_is_answered_alike_octet_by_octet_and_in_one_write() {
    for recording in recordings() {
        let packets = recording.packets.iter().map(|(packet, _)| &packet[..]);
        let said = play(&recording, packets).concat();
        let stream: Vec<u8> = recording.packets.iter().flat_map(|(packet, _)| packet).copied().collect();
        assert_eq!(play(&recording, std::iter::once(&stream[..])).concat(), said, "{}", recording.capture);
        assert_eq!(play(&recording, stream.chunks(1)).concat(), said, "{}", recording.capture);
    }
}

/// The single packets of `packets.txt`: id, direction, octets, and the name that its decode begins with.
fn packets() -> Vec<(String, String, Vec<u8>, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures/packets.txt");
    let text = fs::read_to_string(path).expect("packets.txt");
    let mut packets = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.splitn(5, " | ").map(str::to_owned);
        let mut field = || fields.next().expect("five fields");
        let (id, direction, hex, decode) = (field(), field(), field(), field());
        let name = decode.split(' ').next().expect("a name").to_owned();
        packets.push((id, direction, unhex(&hex), name));
    }
    assert!(packets.len() > 80, "{} packets", packets.len());
    packets
}

fn frame(packet: &[u8]) -> Frame<'_> {
    let (frame, size) = Frame::take(packet, &Limits::default()).expect("a packet").expect("all of it");
    assert_eq!(size, packet.len());
    frame
}

#[test]
fn every_recorded_packet_of_an_mta_is_read_and_written_back() {
    for (id, direction, packet, name) in packets() {
        if direction != "M>" {
            continue;
        }
        let command = Command::parse(frame(&packet)).unwrap_or_else(|error| panic!("{id}: {error}"));
        let read = match command {
            Command::Negotiate(_) => "OPTNEG",
            Command::Macros { .. } => "MACRO",
            Command::Connect { .. } => "CONNECT",
            Command::Helo(_) => "HELO",
            Command::Mail(_) => "MAIL",
            Command::Rcpt(_) => "RCPT",
            Command::Data => "DATA",
            Command::Header { .. } => "HEADER",
            Command::EndOfHeaders => "EOH",
            Command::Body(_) => "BODY",
            Command::EndOfMessage(_) => "BODYEOB",
            Command::Unknown(_) => "UNKNOWN",
            Command::Abort => "ABORT",
            Command::Quit => "QUIT",
            Command::QuitNewConnection => "QUIT_NC",
        };
        assert_eq!(read, name.trim_end_matches(':'), "{id}");
        let mut written = Vec::new();
        command.put(&mut written);
        assert_eq!(written, packet, "{id}");
    }
}

/// An MTA that waits for the reply to BODY or, if `end`, to the end of the message, with all that can be
/// agreed agreed.
fn waiting(end: bool) -> Result<Mta, Box<dyn std::error::Error>> {
    let mut mta = Mta::new(Offer::V6);
    let mut out = Vec::new();
    mta.negotiate(&mut out)?;
    mta.receive(Frame { code: b'O', data: b"\0\0\0\x06\0\0\x01\xff\0\0\x06\x2f" })?;
    mta.connect(b"x", Client::Unknown, 0, &mut out)?;
    mta.mail(b"<>", &[], &mut out)?;
    mta.rcpt(b"<a@example.com>", &[], &mut out)?;
    mta.data(&mut out)?;
    mta.header(b"X", b"y", &mut out)?;
    mta.end_of_headers(&mut out)?;
    mta.receive(Frame { code: b'c', data: b"" })?;
    let sent = if end { mta.end_of_message(&mut out)? } else { mta.body(b"x", &mut out)? };
    assert_eq!(sent, Sent::Due);
    Ok(mta)
}

#[test]
fn every_reply_packet_is_read_by_the_mta_as_what_it_is() {
    for (id, direction, packet, name) in packets() {
        if direction != "F>" {
            continue;
        }
        let heard = match &name[..] {
            "OPTNEG" => {
                let mut mta = Mta::new(Offer::V6);
                mta.negotiate(&mut Vec::new()).expect("the first event");
                mta.receive(frame(&packet)).map(|answer| format!("{answer:?}"))
            }
            "SKIP" => {
                waiting(false).expect("BODY").receive(frame(&packet)).map(|answer| format!("{answer:?}"))
            }
            _ => {
                let mut mta = waiting(true).expect("BODYEOB");
                let answer = mta.receive(frame(&packet));
                answer.map(|answer| format!("{answer:?} {:?} {}", mta.modifications(), mta.progress()))
            }
        };
        let heard = heard.unwrap_or_else(|violation| panic!("{id}: {violation}"));
        let word = match &name[..] {
            "OPTNEG" => "Negotiated",
            "CONTINUE" => "Continue",
            "ACCEPT" => "Accept",
            "REJECT" => "Reject",
            "TEMPFAIL" => "Tempfail",
            "DISCARD" => "Discard",
            "SKIP" => "Skip",
            "REPLYCODE" => "Reply {",
            "PROGRESS" => "None [] 1",
            "QUARANTINE" => "Quarantine(",
            "ADDHEADER" => "AddHeader(",
            "INSHEADER" => "InsertHeader(0",
            "CHGHEADER" => "DeleteHeader(2",
            "ADDRCPT" | "ADDRCPT_PAR" => "AddRecipient {",
            "DELRCPT" => "DeleteRecipient(",
            "CHGFROM" => "ChangeSender {",
            "REPLBODY" => "ReplaceBody(",
            other => panic!("{id}: {other}"),
        };
        assert!(heard.contains(word), "{id}: {heard}");
    }
}
