//! What a session says of what its filter decided.

use super::super::super::Actions;
use super::*;
use crate::verdict::HeaderValue;

#[test]
fn no_decision_makes_a_packet_that_is_illegal_at_its_stage() {
    let packets: [(u8, &[u8]); 9] = [
        (b'H', b"x\0"),
        (b'M', b"<>\0"),
        (b'R', b"<b@example.com>\0"),
        (b'T', b""),
        (b'L', b"X\0y\0"),
        (b'N', b""),
        (b'B', b"z"),
        (b'U', b"W\0"),
        (b'E', b""),
    ];
    let verdicts = [
        Verdict::Continue,
        Verdict::Accept,
        refuse().verdict,
        Verdict::Discard,
        Verdict::Quarantine("q".into()),
    ];
    let edit = Edit::DeleteHeader(1, HeaderName::new("X").expect("a name"));
    for verdict in verdicts {
        let decision = Decision { verdict, edits: vec![edit.clone()] };
        for at in 0..packets.len() {
            let mut play = opened(&everything());
            for (code, data) in &packets[..at] {
                play.send(*code, data).expect("a response");
            }
            let (code, data) = packets[at];
            let (codes, _) = play.send_and(code, data, &decision).expect("a response");
            let legal: &[&str] = match code {
                b'H' | b'U' => &["c", "a", "y"],
                b'E' => &["mc", "ma", "y", "d", "mqc"],
                _ => &["c", "a", "y", "d"],
            };
            assert!(legal.contains(&codes.as_str()), "{codes} to {}", char::from(code));
        }
    }
}

#[test]
fn changes_go_out_in_one_run_with_the_bodies_last_and_together() {
    let mut play = opened(&everything());
    play.send(b'M', b"<>\0").expect("MAIL");
    let name = HeaderName::new("X-Check").expect("a name");
    let decision = Decision {
        verdict: Verdict::Quarantine("held".into()),
        edits: vec![
            Edit::ReplaceBody("one".into()),
            Edit::AddHeader(name, HeaderValue::new("clean").expect("a value")),
            Edit::ReplaceBody("two".into()),
        ],
    };
    assert_eq!(play.send_and(b'E', b"", &decision), Ok(("hbbqc".into(), Ok(()))));
    let mut old =
        Play::new(&everything(), Offer { version: 2, actions: Actions(0x01), protocol: Protocol(0x7f) });
    old.send(b'C', b"x\0U").expect("CONNECT");
    old.send(b'M', b"<>\0").expect("MAIL");
    let (codes, said) = old.send_and(b'E', b"", &decision).expect("a response");
    assert_eq!((codes.as_str(), said), ("hc", Err(Unspoken::NotAgreed("replacing the body"))));
}

#[test]
fn a_message_can_be_changed_at_its_end_only_and_only_if_it_is_taken() {
    let edit = Edit::AddHeader(
        HeaderName::new("X-Check").expect("a name"),
        HeaderValue::new("clean").expect("a value"),
    );
    for (events, verdict, codes, said) in [
        ("H", Verdict::Continue, "c", Err(Unspoken::EditStage("helo"))),
        ("M", Verdict::Continue, "c", Err(Unspoken::EditStage("mail"))),
        ("MR", refuse().verdict, "y", Err(Unspoken::EditStage("rcpt"))),
        ("ME", Verdict::Continue, "hc", Ok(())),
        ("ME", Verdict::Accept, "ha", Ok(())),
        ("ME", refuse().verdict, "y", Ok(())),
        ("ME", Verdict::Discard, "d", Ok(())),
    ] {
        let mut play = opened(&everything());
        let (before, last) = events.split_at(events.len() - 1);
        for code in before.bytes() {
            play.send(code, b"<a@example.com>\0").expect("a response");
        }
        let decision = Decision { verdict, edits: vec![edit.clone()] };
        let outcome = play.send_and(last.as_bytes()[0], b"<a@example.com>\0", &decision);
        assert_eq!(outcome, Ok((codes.to_owned(), said)), "{events} {decision:?}");
    }
}

#[test]
fn what_cannot_be_said_at_an_event_is_told() {
    let unspoken = |verdict, stage| Err(Unspoken::Verdict { verdict, stage });
    let quarantine = || Verdict::Quarantine("held".into());
    for (events, verdict, codes, said) in [
        ("H", Verdict::Discard, "c", unspoken("discard", "helo")),
        ("H", quarantine(), "c", unspoken("quarantine", "helo")),
        ("U", Verdict::Discard, "c", unspoken("discard", "unknown")),
        ("U", quarantine(), "c", unspoken("quarantine", "unknown")),
        ("U", Verdict::Accept, "c", unspoken("accept", "unknown")),
        ("M", Verdict::Discard, "d", Ok(())),
        ("M", quarantine(), "c", Ok(())),
        ("M", Verdict::Accept, "a", Ok(())),
        ("MN", Verdict::Discard, "d", Ok(())),
        ("MN", quarantine(), "c", Ok(())),
        ("MN", Verdict::Accept, "a", Ok(())),
    ] {
        let mut play = opened(&everything());
        let (before, last) = events.split_at(events.len() - 1);
        for code in before.bytes() {
            play.send(code, b"<a@example.com>\0").expect("a response");
        }
        let outcome = play.send_and(last.as_bytes()[0], b"<a@example.com>\0", &verdict.clone().into());
        assert_eq!(outcome, Ok((codes.to_owned(), said)), "{events} {verdict:?}");
    }
}

#[test]
fn a_message_that_was_to_be_held_is_held_at_its_end_once() {
    let mut play = opened(&everything());
    let hold = Decision::from(Verdict::Quarantine("held".into()));
    assert_eq!(play.send_and(b'M', b"<>\0", &hold), Ok(("c".into(), Ok(()))));
    assert_eq!(play.send(b'E', b"").as_deref(), Ok("qc"));
    play.send(b'M', b"<>\0").expect("the next message");
    assert_eq!(play.send(b'E', b"").as_deref(), Ok("c"));
}

#[test]
fn enough_is_said_of_the_body_only_and_only_to_an_mta_that_can_skip() {
    let unable = Offer { protocol: Protocol(Protocol::ALL.0 & !Protocol::SKIP.0), ..Offer::V6 };
    for (offer, codes) in [(Offer::V6, ["c", "c", "c", "s"]), (unable, ["c", "c", "c", "c"])] {
        let mut play = Play::new(&everything(), offer);
        play.send(b'M', b"<>\0").expect("MAIL");
        let events = [(b'U', &b"W\0"[..]), (b'L', b"X\0y\0"), (b'N', b""), (b'B', b"z")];
        for ((code, data), codes) in events.into_iter().zip(codes) {
            let outcome = play.play(code, data, &Decision::default(), &Flow::Enough);
            assert_eq!(outcome, Ok((codes.to_owned(), Ok(()))), "{}", char::from(code));
        }
    }
}
