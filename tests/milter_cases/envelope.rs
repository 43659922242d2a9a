//! MAIL and RCPT.

use gatepost::milter::ProtocolError;
use gatepost::smtp::{Dialog, ReversePath, Stage};
use gatepost::verdict::Decision;

use super::support::side::{Question, Said, go_on};
use super::{refuse, said, side};

// case: 35
#[test]
fn the_null_sender_has_no_domain() {
    for data in [&b"<>\0"[..], b"\0"] {
        let mut side = side(true, go_on);
        assert_eq!(said(&mut side, b'M', data).as_deref(), Ok("c"));
        let sender = &side.session.dialog().transaction.as_ref().expect("a message").sender;
        assert_eq!(ReversePath::parse(sender), ReversePath::Null);
    }
}

// case: 36
#[test]
fn every_form_of_sender_leads_to_the_right_domain_or_none() {
    for (sender, domain) in [
        ("a@example.com", Some("example.com")),
        ("<\"quo@ted\"@example.com>", Some("example.com")),
        ("<@relay.example:u@spam.example>", Some("spam.example")),
        ("<user>", None),
        ("<U@EXAMPLE.COM>", Some("example.com")),
        ("<u@example.com.>", Some("example.com")),
        ("<j\u{f6}rg@ex\u{e4}mple.com>", Some("xn--exmple-cua.com")),
        ("<u@[192.0.2.1]>", None),
    ] {
        let mut side = side(true, go_on);
        let data = format!("{sender}\0SMTPUTF8\0");
        assert_eq!(said(&mut side, b'M', data.as_bytes()).as_deref(), Ok("c"));
        let message = side.session.dialog().transaction.as_ref().expect("a message");
        assert_eq!(message.parameters, [b"SMTPUTF8"]);
        let found = match ReversePath::parse(&message.sender) {
            ReversePath::Domain { domain, .. } => Some(domain.to_string()),
            _ => None,
        };
        assert_eq!(found.as_deref(), domain, "{sender}");
    }
}

// case: 37
#[test]
fn a_mail_without_a_whole_string_ends_the_conversation_and_half_a_parameter_is_dropped() {
    for data in [&b""[..], b"<a@example.com>"] {
        assert_eq!(said(&mut side(true, go_on), b'M', data), Err(ProtocolError::Malformed("MAIL")));
    }
    let mut side = side(true, go_on);
    assert_eq!(said(&mut side, b'M', b"<a@example.com>\0SIZE=1\0BODY=8BI").as_deref(), Ok("c"));
    assert_eq!(side.session.dialog().transaction.as_ref().expect("a message").parameters, [b"SIZE=1"]);
}

// case: 38
#[test]
fn a_thousand_recipients_are_answered_and_bounded() {
    let mut side = side(true, go_on);
    said(&mut side, b'M', b"<>\0").expect("MAIL");
    for n in 0..1_200 {
        let data = format!("<u{n}@example.com>\0");
        assert_eq!(said(&mut side, b'R', data.as_bytes()).as_deref(), Ok("c"));
    }
    let message = side.session.dialog().transaction.as_ref().expect("a message");
    assert_eq!(message.recipients.len(), 1_000);
}

// case: 40
#[test]
fn each_refused_recipient_is_judged_and_the_next_message_afresh() {
    fn filter(question: Question, dialog: &Dialog) -> Said {
        let refused = question == Question::Judge(Stage::Rcpt) && dialog.messages == 1;
        Said::Decision(if refused { refuse() } else { Decision::default() })
    }
    let mut side = side(true, filter);
    let mut all = String::new();
    for (code, data) in [
        (b'M', &b"<>\0"[..]),
        (b'R', b"<a@example.com>\0"),
        (b'R', b"<b@example.com>\0"),
        (b'A', b""),
        (b'M', b"<>\0"),
        (b'R', b"<a@example.com>\0"),
    ] {
        all += &said(&mut side, code, data).expect("a reply");
    }
    assert_eq!(all, "cyycc");
}

// case: 41, 46
#[test]
fn macros_of_a_recipient_that_never_came_are_replaced() {
    let mut side = side(true, go_on);
    said(&mut side, b'M', b"<>\0").expect("MAIL");
    said(&mut side, b'D', b"R{rcpt_mailer}\0error\0{rcpt_addr}\x00550 5.1.1 unknown\0").expect("macros");
    said(&mut side, b'D', b"R{rcpt_addr}\0b@example.com\0").expect("macros");
    assert_eq!(said(&mut side, b'R', b"<b@example.com>\0").as_deref(), Ok("c"));
    let macros = &side.session.dialog().macros;
    assert_eq!(macros.find("{rcpt_addr}"), Some(&b"b@example.com"[..]));
    assert_eq!(macros.find("{rcpt_mailer}"), None);
}
