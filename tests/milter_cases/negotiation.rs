//! What both sides agree on, and packets that are none.

use gatepost::limits::Limits;
use gatepost::milter::{Actions, Command, Frame, Offer, ProtocolError, Session, Step, Unspoken};
use gatepost::smtp::{Needs, Permit, SessionId, Stage};
use gatepost::verdict::Verdict;

use super::support::side::{Side, codes, everything, go_on};
use super::{negotiate, offer, packet, said, side};

// case: 1, 13
#[test]
fn an_offer_of_all_gets_one_answer_within_it_and_valid_symbol_lists() {
    for needs in [Needs::default(), everything(), everything().macros(Stage::Mail, &["i", "{auth_authen}"])] {
        let (mta, said) = negotiate(Offer::V6, needs).expect("an agreement");
        assert_eq!(mta.agreed().map(|answer| answer.version), Some(6));
        assert!(said.len() > 17, "symbol lists");
    }
}

// case: 2, 3, 4
#[test]
fn older_offers_are_answered_in_kind_and_served_to_the_end() {
    for (offer, lists) in [
        (offer(2, 0x3f, 0x7f), false),
        (offer(3, 0x1ff, 0x17f), true),
        (offer(4, 0x1ff, 0x37f), true),
        (offer(2, 0x1ff, 0x1f_ffff), true),
    ] {
        let (mta, said) = negotiate(offer, everything()).expect("an agreement");
        let answer = mta.agreed().expect("an agreement");
        assert_eq!(answer.version, offer.version);
        assert_eq!((answer.actions.0 & !offer.actions.0, answer.protocol.0 & !offer.protocol.0), (0, 0));
        assert_eq!(said.len() > 17, lists, "symbol lists only where they were offered");
        let mut side = Side::new(everything(), go_on);
        let mut packets = Vec::new();
        Command::Negotiate(offer).put(&mut packets);
        for (code, data) in [
            (b'C', &b"x\0U"[..]),
            (b'H', b"x\0"),
            (b'M', b"<>\0"),
            (b'R', b"<a@example.com>\0"),
            (b'L', b"X\0y\0"),
            (b'N', b""),
            (b'B', b"z"),
            (b'E', b""),
        ] {
            packets.extend(packet(code, data));
        }
        let mut out = Vec::new();
        assert_eq!(side.feed(&packets, &mut out), Ok(true));
        assert_eq!(codes(&out), "Occcccccc");
    }
}

// case: 7
#[test]
fn bits_and_versions_of_the_future_are_not_promised() {
    for version in [7, 0x7fff_ffff] {
        let (mta, _) = negotiate(offer(version, u32::MAX, u32::MAX), everything()).expect("an agreement");
        let answer = mta.agreed().expect("an agreement");
        assert_eq!(answer.version, 6);
        assert_eq!((answer.actions.0 & !0x1ff, answer.protocol.0 & !0x1f_ffff), (0, 0));
    }
}

// case: 8
#[test]
fn versions_0_and_1_are_turned_away() {
    for version in [0, 1] {
        let refused = negotiate(offer(version, 0x3f, 0x7f), everything()).map(drop);
        assert_eq!(refused, Err(ProtocolError::Version(version)));
    }
}

// case: 9
#[test]
fn a_negotiation_may_be_longer_but_not_shorter() {
    for short in [4, 8, 11] {
        let mut side = Side::new(everything(), go_on);
        let outcome = side.feed(&packet(b'O', &vec![0; short]), &mut Vec::new());
        assert_eq!(outcome, Err(ProtocolError::ShortNegotiation));
    }
    let longer = [&b"\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff"[..], &[7; 20]].concat();
    let mut out = Vec::new();
    assert_eq!(Side::new(everything(), go_on).feed(&packet(b'O', &longer), &mut out), Ok(true));
    assert_eq!(codes(&out), "O");
}

// case: 10
#[test]
fn a_missing_action_makes_the_session_weaker_and_is_named() {
    let needs = Needs::default().permit(Permit::Quarantine).permit(Permit::AddHeader);
    let mut session = Session::new(SessionId::default(), &Limits::default());
    let weak = offer(6, 0x01, 0x1f_ffff);
    session.negotiate(weak, &needs, &mut Vec::new()).expect("an agreement");
    let agreement = session.agreement().expect("an agreement");
    assert_eq!(agreement.missing(&needs), Actions::QUARANTINE);
    let step = session.receive(Frame { code: b'E', data: b"" }, &mut Vec::new());
    assert!(matches!(step, Ok(Step::Judge { stage: Stage::Message, .. })));
    let mut out = Vec::new();
    let spoken = session.resolve(&Verdict::Quarantine("held".into()).into(), &mut out);
    assert_eq!((spoken, codes(&out).as_str()), (Err(Unspoken::NotAgreed("quarantine")), "c"));
}

// case: 11
#[test]
fn a_first_packet_that_is_no_negotiation_ends_the_conversation() {
    for code in *b"CH" {
        let outcome = Side::new(everything(), go_on).feed(&packet(code, b"x\0U"), &mut Vec::new());
        assert_eq!(outcome, Err(ProtocolError::NotNegotiated));
    }
    assert_eq!(Side::new(everything(), go_on).feed(&packet(b'Q', b""), &mut Vec::new()), Ok(false));
}

// case: 12
#[test]
fn a_second_negotiation_or_connect_ends_the_conversation() {
    let mut packets = Vec::new();
    Command::Negotiate(Offer::V6).put(&mut packets);
    assert_eq!(side(true, go_on).feed(&packets, &mut Vec::new()), Err(ProtocolError::OutOfOrder("OPTNEG")));
    assert_eq!(said(&mut side(true, go_on), b'C', b"x\0U"), Err(ProtocolError::OutOfOrder("CONNECT")));
}

// case: 16
#[test]
fn a_packet_can_be_split_anywhere() {
    let stream = [packet(b'H', b"mx.example\0"), packet(b'M', "<j\u{f6}rg@ex\u{e4}mple.com>\0".as_bytes())];
    let stream = stream.concat();
    for at in 0..stream.len() {
        let mut side = side(true, go_on);
        let mut out = Vec::new();
        side.feed(&stream[..at], &mut out).expect("half");
        side.feed(&stream[at..], &mut out).expect("the rest");
        assert_eq!(codes(&out), "cc", "split at {at}");
    }
}

// case: 18
#[test]
fn absurd_lengths_end_the_conversation_at_once() {
    for length in [0x8000_0001_u32, 0xffff_ffff, 0x7fff_ffff] {
        let outcome = side(true, go_on).feed(&length.to_be_bytes(), &mut Vec::new());
        assert!(matches!(outcome, Err(ProtocolError::Oversized { .. })), "{length:#x}");
    }
}

// case: 21
#[test]
fn strangers_are_recognised_by_their_first_octets() {
    for (octets, what) in [
        (&b"GET / HTTP/1.1\r\n"[..], "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01", "TLS"),
        (b"\x03\x00\x00\x2f\x2a", "remote desktop"),
    ] {
        let error = Side::new(everything(), go_on).feed(octets, &mut Vec::new()).expect_err("no packet");
        assert!(error.to_string().contains(what), "{error}");
    }
}

// case: 23
#[test]
fn an_unknown_command_ends_the_conversation() {
    assert_eq!(said(&mut side(true, go_on), b'Z', b""), Err(ProtocolError::UnknownCommand(b'Z')));
}
