//! What the MTA's side sends; what it hears is in a file of its own.

mod heard;

use super::*;
use crate::milter::Actions;

/// An answer to OPTNEG.
fn answer(version: u32, actions: u32, protocol: u32, lists: &[u8]) -> Vec<u8> {
    let fields = [version, actions, protocol].map(u32::to_be_bytes);
    [&fields[0][..], &fields[1], &fields[2], lists].concat()
}

fn hear(mta: &mut Mta, code: u8, data: &[u8]) -> Result<Option<Answer>, Violation> {
    mta.receive(Frame { code, data })
}

/// A conversation after negotiation and CONNECT, with all actions and these protocol bits agreed.
fn connected(protocol: u32) -> Mta {
    let mut mta = Mta::new(Offer::V6);
    mta.negotiate(&mut Vec::new()).expect("the first event");
    hear(&mut mta, b'O', &answer(6, 0x1ff, protocol, b"")).expect("an agreement");
    let client = Client::Ip("192.0.2.1".parse().expect("an address"));
    if mta.connect(b"mx.example", client, 25, &mut Vec::new()) == Ok(Sent::Due) {
        hear(&mut mta, b'c', b"").expect("continue");
    }
    mta
}

/// Plays events by their letters, each answered with "continue" if a reply is due; tells what was sent.
fn play(mta: &mut Mta, events: &str) -> Result<String, Misuse> {
    let mut sent = String::new();
    for letter in events.bytes() {
        let mut out = Vec::new();
        let outcome = event(mta, letter, &mut out)?;
        if let Ok(Some((frame, _))) = Mta::take(&out) {
            sent.push(char::from(frame.code));
        }
        if outcome == Sent::Due {
            hear(mta, b'c', b"").expect("continue");
        }
    }
    Ok(sent)
}

fn event(mta: &mut Mta, letter: u8, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
    match letter {
        b'D' => mta.macros(b'M', &[("i", b"QID")], out),
        b'H' => mta.helo(b"mx.example", out),
        b'M' => mta.mail(b"<a@example.org>", &[b"SIZE=1"], out),
        b'R' => mta.rcpt(b"<b@example.com>", &[], out),
        b'T' => mta.data(out),
        b'L' => mta.header(b"Subject", b" hello", out),
        b'N' => mta.end_of_headers(out),
        b'B' => mta.body(b"text\r\n", out),
        b'E' => mta.end_of_message(out),
        b'U' => mta.unknown(b"WIBBLE", out),
        b'A' => mta.abort(out),
        b'K' => mta.quit_new_connection(out),
        _ => mta.quit(out),
    }
}

/// Plays events, and gets the last one answered with these octets.
fn answered(events: &str, code: u8, data: &[u8]) -> (Mta, Result<Option<Answer>, Violation>) {
    let mut mta = connected(0x400);
    let (before, last) = events.split_at(events.len() - 1);
    play(&mut mta, before).expect("a session");
    assert_eq!(event(&mut mta, last.as_bytes()[0], &mut Vec::new()), Ok(Sent::Due), "{events}");
    let heard = hear(&mut mta, code, data);
    (mta, heard)
}

#[test]
fn a_session_is_sent_as_postfix_does() {
    let mut mta = connected(0);
    assert_eq!(play(&mut mta, "HUMRRTLLNBBEAAMRAHMRTNEQ").as_deref(), Ok("HUMRRTLLNBBEAAMRAHMRTNEQ"));
    assert_eq!(play(&mut mta, "A"), Err(Misuse::Turn("ABORT")));
}

#[test]
fn declined_events_are_withheld_and_silent_ones_await_nothing() {
    let mut mta = connected(0x37f);
    assert_eq!(play(&mut mta, "HUMRTLNBEQ").as_deref(), Ok("EQ"));
    let mut mta = connected(0x000f_f080);
    let mut out = Vec::new();
    for letter in *b"HMRTLNBU" {
        if letter != b'U' {
            assert_eq!(event(&mut mta, letter, &mut out), Ok(Sent::Silent), "{}", char::from(letter));
        }
    }
    assert_eq!(hear(&mut mta, b'c', b""), Err(Violation::Unsolicited(b'c')));
}

#[test]
fn what_is_refused_or_let_go_is_not_shown_any_further() {
    for (events, code, data, then, sent) in [
        ("H", b'a', &b""[..], "MRTLNBEMQ", "Q"),
        ("H", b'r', b"", "MRTLNBEHUQ", "Q"),
        ("M", b'a', b"", "RTLNBEAMR", "AMR"),
        ("M", b't', b"", "RTLNBEMR", "MR"),
        ("M", b'd', b"", "HURTLNBEM", "HUM"),
        ("MR", b'r', b"", "RTN", "RTN"),
        ("MR", b'r', b"", "TLNBEM", "M"),
        ("MR", b'd', b"", "RTLNBEA", "A"),
        ("MR", b'y', b"421 4.7.1 go away\0", "RTLNBEAQ", "AQ"),
        ("MRT", b't', b"", "LNBEMR", "MR"),
        ("MRT", b't', b"", "RTN", "RTN"),
        ("MRT", b'a', b"", "LNBEAMR", "AMR"),
        ("MRTL", b'r', b"", "LNBEA", "A"),
        ("MRTN", b'a', b"", "BBEM", "M"),
        ("MRTNB", b's', b"", "BBEMRTNB", "EMRTNB"),
        ("MRTNB", b'd', b"", "BBEM", "M"),
        ("MRTNE", b'r', b"", "M", "M"),
        ("U", b'r', b"", "UMR", "UMR"),
    ] {
        let (mut mta, heard) = answered(events, code, data);
        assert!(heard.is_ok(), "{events}/{}: {heard:?}", char::from(code));
        assert_eq!(play(&mut mta, then).as_deref(), Ok(sent), "{events}/{}", char::from(code));
    }
}

#[test]
fn events_out_of_order_are_the_callers_mistake() {
    for events in
        ["R", "T", "L", "N", "B", "E", "MM", "ML", "MRN", "MRTR", "MRTB", "MRTNL", "MRTNH", "MRTNU", "MRTE"]
    {
        assert!(matches!(play(&mut connected(0), events), Err(Misuse::Turn(_))), "{events}");
    }
    let mut mta = connected(0);
    mta.helo(b"x", &mut Vec::new()).expect("HELO");
    assert_eq!(mta.mail(b"<>", &[], &mut Vec::new()), Err(Misuse::ReplyDue));
    let mut mta = connected(0);
    play(&mut mta, "MRTN").expect("a message");
    assert_eq!(mta.body(&vec![0; 65_536], &mut Vec::new()), Err(Misuse::Chunk(65_536)));
    assert_eq!(mta.body(&vec![0; 65_535], &mut Vec::new()), Ok(Sent::Due));
}

#[test]
fn nothing_comes_before_negotiation_or_after_quit() {
    let turned = |mta: &Mta, events: &str| {
        for event in events.chars() {
            let outcome = play(&mut mta.clone(), &event.to_string());
            assert!(matches!(outcome, Err(Misuse::Turn(_))), "{event}: {outcome:?}");
        }
    };
    turned(&Mta::new(Offer::V6), "DHMRTLNBEUAK");
    let mut mta = Mta::new(Offer::V6);
    mta.negotiate(&mut Vec::new()).expect("the first event");
    hear(&mut mta, b'O', &answer(6, 0x1ff, 0, b"")).expect("an agreement");
    assert_eq!(play(&mut mta, "DAKQ").as_deref(), Ok("DAKQ"), "without a client");
    turned(&mta, "DHMRTLNBEUAKQ");
    for accepted in ["H", "M"] {
        let (mut mta, _) = answered(accepted, b'a', b"");
        assert_eq!(play(&mut mta, "RTLNBQ").as_deref(), Ok("Q"), "accepted at {accepted}");
        turned(&mta, "DHMRTLNBEUAKQ");
    }
}

#[test]
fn an_agreement_is_there_and_a_reply_awaited_as_the_conversation_goes() {
    let mut mta = Mta::new(Offer::V6);
    assert_eq!((mta.agreed(), mta.is_waiting()), (None, false));
    mta.negotiate(&mut Vec::new()).expect("the first event");
    assert_eq!((mta.agreed(), mta.is_waiting()), (None, true));
    hear(&mut mta, b'O', &answer(4, 0x01, 0x02, b"")).expect("an agreement");
    let agreed = Offer { version: 4, actions: Actions(0x01), protocol: Protocol(0x02) };
    assert_eq!((mta.agreed(), mta.is_waiting()), (Some(agreed), false));
    play(&mut mta, "Q").expect("QUIT");
    assert_eq!((mta.agreed(), mta.is_waiting()), (Some(agreed), false));
}

#[test]
fn an_address_goes_out_with_its_parameters_each_ended_by_its_nul() {
    let mut mta = connected(0);
    let mut out = Vec::new();
    mta.mail(b"<a@example.org>\0x", &[b"SIZE=1", b"SMTPUTF8\0y"], &mut out).expect("MAIL");
    assert_eq!(&out[4..], b"M<a@example.org>\0SIZE=1\0SMTPUTF8\0");
}

#[test]
fn macros_are_withheld_with_what_they_belong_to() {
    for (events, code, then) in [("M", b'r', "CHMU"), ("M", b'a', "CHMU"), ("H", b'a', "")] {
        let (mut mta, _) = answered(events, code, b"");
        for command in "CHMRTLNEU".chars() {
            let sent = mta.macros(command as u8, &[("i", b"QID")], &mut Vec::new());
            let outcome = if then.contains(command) { Sent::Silent } else { Sent::Withheld };
            assert_eq!(sent, Ok(outcome), "{command} after {events}");
        }
    }
}

#[test]
fn symbol_lists_select_the_macros() {
    let mut mta = Mta::new(Offer::V6);
    mta.negotiate(&mut Vec::new()).expect("the first event");
    let lists = b"\0\0\0\x02{auth_authen} i\0";
    hear(&mut mta, b'O', &answer(6, 0x100, 0, lists)).expect("an agreement");
    let macros: [(&str, &[u8]); 3] = [("i", b"QID"), ("{mail_addr}", b"a\0b"), ("{auth_authen}", b"alice")];
    let mut out = Vec::new();
    mta.macros(b'M', &macros, &mut out).expect("macros");
    assert_eq!(&out[4..], b"DM{auth_authen}\0alice\0i\0QID\0");
    out.clear();
    mta.macros(b'R', &macros, &mut out).expect("macros");
    assert_eq!(&out[4..], b"DRi\0QID\0{mail_addr}\0a\0{auth_authen}\0alice\0");
    out.clear();
    mta.macros(b'H', &[], &mut out).expect("macros");
    assert_eq!(out, b"\0\0\0\x02DH");
}

#[test]
fn versions_2_and_3_know_no_data_and_no_unknown() {
    for (version, sent) in [(2, "HMRN"), (3, "HUMRN"), (4, "HUMRTN")] {
        let mut mta = Mta::new(Offer::V6);
        mta.negotiate(&mut Vec::new()).expect("the first event");
        hear(&mut mta, b'O', &answer(version, 0, 0, b"")).expect("an agreement");
        mta.connect(b"x", Client::Unknown, 0, &mut Vec::new()).expect("CONNECT");
        hear(&mut mta, b'c', b"").expect("continue");
        assert_eq!(play(&mut mta, "HUMRTN").as_deref(), Ok(sent));
    }
}

#[test]
fn a_leading_blank_is_kept_only_for_a_filter_that_wants_it() {
    for (protocol, wire) in [(0, &b"\0\0\0\x0aLX\0two\n x\0"[..]), (0x10_0000, b"\0\0\0\x0bLX\0 two\n x\0")] {
        let mut mta = connected(protocol);
        play(&mut mta, "MRT").expect("a message");
        let mut out = Vec::new();
        mta.header(b"X", b" two\n x", &mut out).expect("HEADER");
        assert_eq!(out, wire);
    }
}

#[test]
fn recipients_that_the_mta_refused_are_shown_on_request_and_stay_refused() {
    let mut mta = connected(0x800);
    play(&mut mta, "M").expect("MAIL");
    assert_eq!(mta.refused_rcpt(b"<nobody@example.com>", &[], &mut Vec::new()), Ok(Sent::Due));
    hear(&mut mta, b'c', b"").expect("continue");
    assert_eq!(play(&mut mta, "TN").as_deref(), Ok(""));
    let mut mta = connected(0);
    play(&mut mta, "M").expect("MAIL");
    assert_eq!(mta.refused_rcpt(b"<nobody@example.com>", &[], &mut Vec::new()), Ok(Sent::Withheld));
}

#[test]
fn a_new_session_can_follow_on_the_same_connection() {
    let mut mta = connected(0);
    assert_eq!(play(&mut mta, "MRTNEK").as_deref(), Ok("MRTNEK"));
    assert_eq!(play(&mut mta, "M"), Err(Misuse::Turn("MAIL")));
    assert_eq!(mta.connect(b"x", Client::Unknown, 0, &mut Vec::new()), Ok(Sent::Due));
    let mut mta = Mta::new(Offer::V6);
    mta.negotiate(&mut Vec::new()).expect("the first event");
    hear(&mut mta, b'O', &answer(5, 0x1ff, 0, b"")).expect("an agreement");
    assert_eq!(play(&mut mta, "K"), Err(Misuse::Turn("QUIT_NC")), "an older filter does not know that");
}
