//! Orders of events that MTAs come up with, and data that they do not.

use gatepost::milter::{Command, Offer, ProtocolError};
use gatepost::smtp::{Event, Needs};

use super::support::side::{Said, Side, go_on};
use super::{Filter, refuse, said, side};

// case: 43
#[test]
fn a_second_message_is_judged_alike_with_and_without_abort() {
    for between in [&b"A"[..], b""] {
        let mut side = side(true, go_on);
        let mut all = String::new();
        for code in [&b"MRTLNBE"[..], between, b"MRTLNBE"].concat() {
            let data: &[u8] = if code == b'L' { b"X\0y\0" } else { b"<a@example.com>\0" };
            all += &said(&mut side, code, data).expect("a reply");
        }
        assert_eq!(all, "c".repeat(14));
        assert_eq!(side.session.dialog().messages, 2);
    }
}

// case: 44
#[test]
fn abort_is_never_answered() {
    let mut side = side(true, go_on);
    for (code, replies) in [(b'A', ""), (b'A', ""), (b'M', "c"), (b'A', ""), (b'A', ""), (b'M', "c")] {
        assert_eq!(said(&mut side, code, b"<>\0").as_deref(), Ok(replies));
    }
}

// case: 48
#[test]
fn a_new_session_on_the_same_connection_has_fresh_data() {
    for before in [&b"MRTNE"[..], b"MR"] {
        let mut side = side(true, go_on);
        said(&mut side, b'H', b"old.example\0").expect("HELO");
        for &code in before {
            said(&mut side, code, b"<a@example.com>\0").expect("a reply");
        }
        assert_eq!(said(&mut side, b'K', b"").as_deref(), Ok(""));
        assert_eq!(said(&mut side, b'C', b"new.example\0U").as_deref(), Ok("c"));
        let dialog = side.session.dialog();
        assert_eq!((&dialog.client_name[..], &dialog.helo), (&b"new.example"[..], &None));
        assert!(dialog.transaction.is_none());
        assert_eq!(said(&mut side, b'M', b"<>\0").as_deref(), Ok("c"));
    }
}

// case: 50
#[test]
fn an_unknown_command_of_the_client_changes_nothing() {
    for data in [&b"WIBBLE\0"[..], b"WIBBLE"] {
        for before in [&b""[..], b"M", b"MR", b"MRT", b"MRTN"] {
            let mut side = side(true, go_on);
            for &code in before {
                said(&mut side, code, b"<a@example.com>\0").expect("a reply");
            }
            let open = side.session.in_message();
            assert_eq!(said(&mut side, b'U', data).as_deref(), Ok("c"));
            assert_eq!(side.session.in_message(), open);
        }
    }
}

// case: 51
#[test]
fn odd_macros_are_survived_and_bounded() {
    let many = [&b"M"[..], &b"{name}\0value\0".repeat(5_000)].concat();
    for data in [&b"H"[..], b"Mi\0QID\0{odd}\0", b"Mi\0QID\0{open}\0val", b"Zi\0x\0", &many] {
        assert_eq!(said(&mut side(true, go_on), b'D', data).as_deref(), Ok(""), "{}", data.len());
    }
    let too_many = [&b"M"[..], &b"{name}\0value\0".repeat(10_000)].concat();
    let outcome = said(&mut side(true, go_on), b'D', &too_many);
    assert!(matches!(outcome, Err(ProtocolError::Oversized { .. })), "{outcome:?}");
    assert_eq!(said(&mut side(true, go_on), b'D', b""), Err(ProtocolError::Malformed("MACRO")));
}

// case: 52
#[test]
fn an_end_of_message_with_data_and_an_empty_body_get_one_reply_each() {
    let mut side = side(true, go_on);
    for (code, data) in [(b'M', &b"<>\0"[..]), (b'N', b""), (b'B', b""), (b'E', b"last words\r\n")] {
        assert_eq!(said(&mut side, code, data).as_deref(), Ok("c"));
    }
}

// case: 53
#[test]
fn events_that_were_declined_but_come_are_answered() {
    let mut side: Side<Filter> =
        Side::new(Needs::default().event(Event::Mail), |_, _| Said::Decision(refuse()));
    let mut packets = Vec::new();
    Command::Negotiate(Offer::V6).put(&mut packets);
    side.feed(&packets, &mut Vec::new()).expect("an agreement");
    for (code, data) in [
        (b'C', &b"x\0U"[..]),
        (b'H', b"x\0"),
        (b'M', b"<>\0"),
        (b'R', b"<a@example.com>\0"),
        (b'T', b""),
        (b'L', b"X\0y\0"),
        (b'N', b""),
        (b'B', b"z"),
    ] {
        let replies = if code == b'M' { "y" } else { "c" };
        assert_eq!(said(&mut side, code, data).as_deref(), Ok(replies), "{}", char::from(code));
    }
}
