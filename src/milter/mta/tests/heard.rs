//! What the MTA's side hears, and what it refuses to hear.

use super::*;
use crate::verdict::{Edit, HeaderName, HeaderValue};

#[test]
fn replies_are_possible_only_where_both_mtas_take_them() {
    let events = ["H", "M", "MR", "MRT", "MRTL", "MRTN", "MRTNB", "U", "MRTNE"];
    for (code, legal) in [
        (b'c', "HMRTLNBUE"),
        (b'a', "HMRTLNBE"),
        (b'r', "HMRTLNBUE"),
        (b't', "HMRTLNBUE"),
        (b'd', "MRTLNBE"),
        (b's', "B"),
        (b'p', "E"),
        (b'f', ""),
        (b'4', ""),
        (b'l', ""),
        (b'Z', ""),
        (b'O', ""),
    ] {
        for events in events {
            let (_, heard) = answered(events, code, b"");
            let last = &events[events.len() - 1..];
            assert_eq!(heard.is_ok(), legal.contains(last), "{} to {events}", char::from(code));
            let (_, heard) = answered(events, code, b"\0");
            assert!(heard.is_err(), "{} with data to {events}", char::from(code));
        }
    }
    for event in events {
        let (_, heard) = answered(event, b'h', b"X\0y\0");
        assert_eq!(heard.is_ok(), event == "MRTNE", "{event}");
    }
    let mut mta = connected(0);
    play(&mut mta, "MRTN").expect("a message");
    mta.body(b"x", &mut Vec::new()).expect("BODY");
    assert!(matches!(hear(&mut mta, b's', b""), Err(Violation::NotAgreed(_))), "skip was not agreed");
}

#[test]
fn a_second_reply_is_a_violation() {
    let (mut mta, _) = answered("M", b'c', b"");
    assert_eq!(hear(&mut mta, b'c', b""), Err(Violation::Unsolicited(b'c')));
    assert_eq!(hear(&mut connected(0), b'r', b""), Err(Violation::Unsolicited(b'r')));
}

#[test]
fn a_violation_names_the_reply_and_the_event() {
    for (events, event) in [
        ("H", "HELO"),
        ("M", "MAIL"),
        ("MR", "RCPT"),
        ("MRT", "DATA"),
        ("MRTL", "HEADER"),
        ("MRTN", "EOH"),
        ("MRTNB", "BODY"),
        ("U", "UNKNOWN"),
    ] {
        let (_, heard) = answered(events, b'p', b"");
        assert_eq!(heard.expect_err("progress").to_string(), format!("'p' in reply to {event}"));
    }
    let (_, heard) = answered("M", 0x07, b"");
    assert_eq!(heard.expect_err("no reply").to_string(), "the unknown reply 0x07");
}

#[test]
fn negotiation_is_judged_by_both_mtas() {
    let judge = |offer: Offer, code, data: &[u8]| {
        let mut mta = Mta::new(offer);
        mta.negotiate(&mut Vec::new()).expect("the first event");
        hear(&mut mta, code, data)
    };
    let old = Offer { version: 2, actions: Actions(0x3f), protocol: Protocol(0x7f) };
    let future = Offer { version: 7, actions: Actions(u32::MAX), protocol: Protocol(u32::MAX) };
    for (offer, data) in [
        (old, answer(2, 0x3f, 0x7f, b"")),
        (Offer::V6, answer(2, 0, 0, b"")),
        (Offer::V6, answer(6, 0x1ff, 0x1f_ffff, b"\0\0\0\0j\0")),
        (future, answer(6, 0x1ff, 0x1f_ffff, b"")),
        (Offer { version: 2, actions: Actions(0), protocol: Protocol(0) }, answer(2, 0x0f, 0x3f, b"")),
    ] {
        assert!(judge(offer, b'O', &data).is_ok(), "{offer:?}");
    }
    for (offer, data) in [
        (old, answer(2, 0, 0, b"\0\0\0\0j\0")),
        (Offer::V6, answer(6, 0x1ff, 0, b"\0\0\0\x05i\0")),
        (Offer::V6, answer(6, 0, 0, b"")[..11].to_vec()),
    ] {
        assert!(judge(offer, b'O', &data).is_err(), "{offer:?} {data:?}");
    }
    let version = |answered, offered| Violation::Version { answered, offered };
    for (offer, (answered, actions, protocol), violation) in [
        (old, (6, 0, 0), version(6, 2)),
        (Offer::V6, (1, 0, 0), version(1, 6)),
        (Offer::V6, (7, 0, 0), version(7, 6)),
        (future, (7, 0, 0), version(7, 7)),
        (old, (2, 0x103, 0), Violation::Actions(0x100)),
        (future, (6, 0x201, 0), Violation::Actions(0x200)),
        (old, (2, 0, 0x83), Violation::Protocol(0x80)),
        (future, (6, 0, 0x20_0001), Violation::Protocol(0x20_0000)),
        (future, (6, 0, 0x1000_0000), Violation::ChunkSize),
        (future, (6, 0, 0x2000_0000), Violation::ChunkSize),
    ] {
        assert_eq!(
            judge(offer, b'O', &answer(answered, actions, protocol, b"")),
            Err(violation),
            "{offer:?}"
        );
    }
    assert_eq!(judge(Offer::V6, b'c', b""), Err(Violation::NotNegotiated(b'c')));
}

#[test]
fn changes_are_collected_and_pieces_of_a_body_joined() {
    let mut mta = connected(0);
    play(&mut mta, "MRTN").expect("a message");
    mta.end_of_message(&mut Vec::new()).expect("BODYEOB");
    for (code, data) in [
        (b'h', &b"X-Check\0clean\0"[..]),
        (b'p', b""),
        (b'm', b"\0\0\0\x02X-Old\0\0"),
        (b'b', b"one"),
        (b'p', b""),
        (b'b', b"two"),
        (b'q', b"held\0"),
        (b'e', b"<>\0RET=HDRS\0"),
    ] {
        assert_eq!(hear(&mut mta, code, data), Ok(None));
    }
    assert_eq!(hear(&mut mta, b'c', b""), Ok(Some(Answer::Continue)));
    let name = |name| HeaderName::new(name).expect("a name");
    let edits = [
        Edit::AddHeader(name("X-Check"), HeaderValue::new("clean").expect("a value")),
        Edit::DeleteHeader(2, name("X-Old")),
        Edit::ReplaceBody("onetwo".into()),
    ];
    let mut expected: Vec<_> = edits.map(Modification::Edit).into();
    expected.push(Modification::Quarantine("held".into()));
    let sender = Edit::ChangeSender { address: "<>".into(), parameters: Some("RET=HDRS".into()) };
    expected.push(Modification::Edit(sender));
    assert_eq!(mta.modifications(), expected);
    assert_eq!(mta.progress(), 2);
}

#[test]
fn a_filter_without_end_is_given_up() {
    let asking = |code: u8, data: &[u8]| {
        let (mut mta, _) = answered("MRTNE", code, data);
        // The first one is there.
        (1..).find_map(|before| hear(&mut mta, code, data).err().map(|violation| (before, violation)))
    };
    assert_eq!(asking(b'h', b"X\0y\0"), Some((65_536, Violation::Excess)));
    assert_eq!(asking(b'b', b"x"), Some((65_536, Violation::Excess)), "pieces of a body");
    assert_eq!(asking(b'b', &vec![b'x'; 1 << 15]), Some((2_048, Violation::Excess)), "64 MiB");
    assert_eq!(asking(b'q', &[&vec![b'x'; 1 << 14][..], b"\0"].concat()), Some((4_095, Violation::Excess)));
    // Each message has its own.
    let (mut mta, _) = answered("MRTNE", b'h', b"X\0y\0");
    for _ in 1..65_536 {
        hear(&mut mta, b'h', b"X\0y\0").expect("a change");
    }
    hear(&mut mta, b'c', b"").expect("continue");
    play(&mut mta, "MRTN").expect("another message");
    mta.end_of_message(&mut Vec::new()).expect("BODYEOB");
    assert_eq!(hear(&mut mta, b'h', b"X\0y\0"), Ok(None));
}

#[test]
fn changes_that_break_mail_are_violations() {
    for (code, data) in [
        (b'h', &b"X\0y"[..]),
        (b'h', b"X\0"),
        (b'h', b"X\0y\0z"),
        (b'h', b"\0y\0"),
        (b'h', b"X Y\0y\0"),
        (b'h', b"X:\0y\0"),
        (b'h', b"X\0\0"),
        (b'h', b"X\0a\r\n b\0"),
        (b'h', b"X\0a\nb\0"),
        (b'i', b"\0\0\0"),
        (b'i', b"\xff\xff\xff\xffX\0y\0"),
        (b'm', b"\0\0\0\0X\0y\0"),
        (b'+', b"\0"),
        (b'+', b"<a@b.example>"),
        (b'+', b"<a@b.example>\0NOTIFY=NEVER\0"),
        (b'+', b"a\r\nb\0"),
        (b'2', b"<a@b.example>\0a\0b\0"),
        (b'-', b"\0"),
        (b'e', b"<a@b.example>\0RET=\xff\0"),
        (b'q', b"\0"),
        (b'q', b"a\nb\0"),
    ] {
        let (_, heard) = answered("MRTNE", code, data);
        assert!(heard.is_err(), "{} {data:?}", char::from(code));
    }
    let (mut mta, _) = answered("MRTNE", b'b', b"one");
    hear(&mut mta, b'h', b"X\0y\0").expect("a change");
    assert_eq!(hear(&mut mta, b'b', b"two"), Err(Violation::SplitBody));
    let mut mta = Mta::new(Offer { actions: Actions(0x01), ..Offer::V6 });
    mta.negotiate(&mut Vec::new()).expect("the first event");
    hear(&mut mta, b'O', &answer(6, 0x01, 0, b"")).expect("an agreement");
    mta.connect(b"x", Client::Local, 0, &mut Vec::new()).expect("CONNECT");
    hear(&mut mta, b'c', b"").expect("continue");
    play(&mut mta, "MRTN").expect("a message");
    mta.end_of_message(&mut Vec::new()).expect("BODYEOB");
    assert_eq!(hear(&mut mta, b'h', b"X\0y\0"), Ok(None));
    for (code, data) in [
        (b'b', &b""[..]),
        (b'q', b"x\0"),
        (b'm', b"\0\0\0\x01X\0y\0"),
        (b'+', b"a\0"),
        (b'-', b"a\0"),
        (b'2', b"a\0"),
        (b'e', b"a\0"),
    ] {
        assert!(matches!(hear(&mut mta, code, data), Err(Violation::NotAgreed(_))), "{}", char::from(code));
    }
}

#[test]
fn packets_above_the_buffer_of_sendmail_are_violations() {
    assert_eq!(Mta::take(&[0, 1, 0, 1]), Err(Violation::Oversized(65_537)));
    assert_eq!(Mta::take(&[0; 4]), Err(Violation::Frame(ProtocolError::EmptyFrame)));
    for code in *b"bO" {
        assert_eq!(Mta::take(&[0, 1, 0, 0, code]), Ok(None));
    }
    let (_, heard) = answered("MRTNE", b'b', &vec![0; 65_536]);
    assert_eq!(heard, Err(Violation::Oversized(65_537)), "however it was taken");
}
