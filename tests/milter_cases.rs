//! The protocol's test cases that need no sockets; `tests/data/milter-cases.md` maps the numbers.

use std::fs;
use std::path::Path;

use gatepost::limits::Limits;
use gatepost::milter::mta::{Answer, Modification, Mta, Sent};
use gatepost::milter::{Actions, Command, Frame, Offer, Protocol, ProtocolError, Session, Step, Unspoken};
use gatepost::smtp::{
    Client, Dialog, Domain, Event, Needs, NoDomain, Permit, Reply, ReversePath, SessionId, Stage, printable,
};
use gatepost::verdict::{Decision, Edit, HeaderName, HeaderValue, Verdict};
use support::side::{Question, Said, Side, codes, everything, go_on};

mod support;

fn packet(code: u8, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    Frame::put(code, &[data], &mut packet);
    packet
}

fn offer(version: u32, actions: u32, protocol: u32) -> Offer {
    Offer { version, actions: Actions(actions), protocol: Protocol(protocol) }
}

/// What an MTA with this offer hears in answer to its OPTNEG from a filter with these needs.
fn negotiate(offer: Offer, needs: Needs) -> Result<(Mta, Vec<u8>), ProtocolError> {
    let (mut mta, mut sent, mut said) = (Mta::new(offer), Vec::new(), Vec::new());
    mta.negotiate(&mut sent).expect("the first event");
    Side::new(needs, go_on).feed(&sent, &mut said)?;
    let (frame, size) = Mta::take(&said).expect("a packet").expect("all of it");
    assert_eq!(size, said.len(), "one packet");
    mta.receive(frame).unwrap_or_else(|violation| panic!("{offer:?}: {violation}"));
    Ok((mta, said))
}

type Filter = fn(Question, &Dialog) -> Said;

/// A filter's side after negotiation of everything, and CONNECT if `connected`.
fn side(connected: bool, filter: Filter) -> Side<Filter> {
    let mut side: Side<Filter> = Side::new(everything(), filter);
    let mut packets = Vec::new();
    Command::Negotiate(Offer::V6).put(&mut packets);
    if connected {
        packets.extend(packet(b'C', b"client.example\x004\x20\x01192.0.2.2\0"));
    }
    assert_eq!(side.feed(&packets, &mut Vec::new()), Ok(true));
    side
}

/// The codes of what is said to one packet.
fn said(side: &mut Side<Filter>, code: u8, data: &[u8]) -> Result<String, ProtocolError> {
    let mut out = Vec::new();
    side.feed(&packet(code, data), &mut out)?;
    Ok(codes(&out))
}

fn refuse() -> Decision {
    Verdict::Refuse(Reply::new(550, "5.7.1", "listed").expect("a reply")).into()
}

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

// case: 24
#[test]
fn every_recorded_connect_is_answered_once_and_its_address_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures/packets.txt");
    let mut seen = 0;
    for line in fs::read_to_string(path).expect("packets").lines() {
        let fields: Vec<&str> = line.split(" | ").collect();
        let [id, "M>", hex, decode, ..] = fields[..] else { continue };
        if !decode.starts_with("CONNECT") {
            continue;
        }
        let octets: Vec<u8> = (0..hex.len() / 2)
            .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex"))
            .collect();
        let mut side = side(false, go_on);
        let mut out = Vec::new();
        side.feed(&octets, &mut out).expect("CONNECT");
        assert_eq!(codes(&out), "c", "{id}");
        let family = octets[5..].split(|&octet| octet == 0).nth(1).and_then(|rest| rest.first().copied());
        match (family, side.session.dialog().client) {
            (Some(b'4' | b'6'), Client::Ip(_)) | (Some(b'L'), Client::Local) | (_, Client::Unknown) => {}
            (family, client) => panic!("{id}: {family:?} {client:?}"),
        }
        assert!(family == Some(b'U') || side.session.dialog().client != Client::Unknown, "{id}");
        seen += 1;
    }
    assert!(seen >= 6, "{seen} packets");
}

// case: 27, 28
#[test]
fn a_client_without_readable_address_does_not_end_the_session() {
    for (data, client) in [
        (&b"localhost\0U"[..], Client::Unknown),
        (b"localhost\0U\0\0\0", Client::Unknown),
        (b"localhost\0L\0\0/var/run/x.sock\0", Client::Local),
        (b"localhost\0L\0\0\0", Client::Local),
        (b"x\x004\0\x19999.1.1.1\0", Client::Unknown),
        (b"x\x004\0\x191.2\0", Client::Unknown),
        (b"x\x004\0\x19\0", Client::Unknown),
    ] {
        let mut side = side(false, go_on);
        assert_eq!(said(&mut side, b'C', data).as_deref(), Ok("c"), "{data:?}");
        assert_eq!(side.session.dialog().client, client, "{data:?}");
        assert_eq!(said(&mut side, b'H', b"x\0").as_deref(), Ok("c"));
    }
    let unterminated = said(&mut side(false, go_on), b'C', b"x\x004\0\x19192.0.2.1");
    assert_eq!(unterminated, Err(ProtocolError::Malformed("CONNECT")));
}

// case: 29
#[test]
fn a_broken_connect_ends_the_conversation() {
    for data in [&b"host"[..], b"host\0", b"host\x004", b"host\x004\0"] {
        let outcome = said(&mut side(false, go_on), b'C', data);
        assert_eq!(outcome, Err(ProtocolError::Malformed("CONNECT")), "{data:?}");
    }
}

// case: 30
#[test]
fn a_hostile_host_name_stays_on_one_line() {
    let name = [&b"a\r\nevent=verdict \x1b[31m\xff"[..], &[b'x'; 1_000]].concat();
    let mut side = side(false, go_on);
    assert_eq!(said(&mut side, b'C', &[&name, &b"\0U"[..]].concat()).as_deref(), Ok("c"));
    let shown = printable(&side.session.dialog().client_name, 200);
    assert!(shown.len() <= 200 && shown.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{shown}");
}

// case: 31
#[test]
fn every_helo_is_answered_and_only_real_domains_are_asked_about() {
    for (name, domain) in [
        (&b""[..], Err(NoDomain::Empty)),
        (b"-", Err(NoDomain::Single)),
        (b"bad name here", Err(NoDomain::Syntax)),
        (b"[192.0.2.1]", Err(NoDomain::Literal)),
        (b"[IPv6:2001:db8::1]", Err(NoDomain::Literal)),
        (b"caf\xe9.example", Err(NoDomain::Encoding)),
        (&[b'x'; 300], Err(NoDomain::Syntax)),
        (b"Mail.Example.", Ok("mail.example".to_owned())),
    ] {
        let mut side = side(true, go_on);
        assert_eq!(said(&mut side, b'H', &[name, b"\0"].concat()).as_deref(), Ok("c"));
        let helo = side.session.dialog().helo.as_deref().expect("HELO");
        assert_eq!(Domain::from_octets(helo).map(|(domain, _)| domain.to_string()), domain, "{name:?}");
    }
}

// case: 32
#[test]
fn a_broken_helo_ends_the_conversation() {
    for data in [&b""[..], b"mx.example"] {
        assert_eq!(said(&mut side(true, go_on), b'H', data), Err(ProtocolError::Malformed("HELO")));
    }
}

// case: 33
#[test]
fn helo_may_be_missing() {
    assert_eq!(said(&mut side(true, go_on), b'M', b"<a@example.com>\0").as_deref(), Ok("c"));
}

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

/// An MTA and a filter's side with `needs`, played from negotiation to the end of a message.
fn message(needs: Needs, filter: Filter) -> Result<(Mta, Vec<u8>), Box<dyn std::error::Error>> {
    let (mut mta, mut side) = (Mta::new(Offer::V6), Side::new(needs, filter));
    let mut last = Vec::new();
    for step in 0..9 {
        let mut sent = Vec::new();
        let due = match step {
            0 => mta.negotiate(&mut sent),
            1 => mta.connect(b"x", Client::Unknown, 0, &mut sent),
            2 => mta.helo(b"x", &mut sent),
            3 => mta.mail(b"<a@example.com>", &[], &mut sent),
            4 => mta.rcpt(b"<b@example.com>", &[], &mut sent),
            5 => mta.data(&mut sent),
            6 => mta.header(b"X-Check", b" forged", &mut sent),
            7 => mta.end_of_headers(&mut sent),
            _ => mta.end_of_message(&mut sent),
        }?;
        last.clear();
        side.feed(&sent, &mut last)?;
        let mut rest = &last[..];
        while let Some((frame, size)) = Mta::take(rest)? {
            mta.receive(frame)?;
            rest = &rest[size..];
        }
        assert_eq!((mta.is_waiting(), due == Sent::Due), (false, !last.is_empty()));
    }
    Ok((mta, last))
}

// case: 55, 57
#[test]
fn a_reply_with_the_clients_own_words_in_it_is_safe() {
    fn filter(question: Question, _: &Dialog) -> Said {
        let text = "no mail from <a\r\n250 ok\0%s\u{1b}[31m\u{e9}@x>\nsee https://x.example/%20";
        let reply = Reply::new(550, "5.7.1", text).expect("a reply");
        let refused = question == Question::Judge(Stage::Message);
        Said::Decision(if refused { Verdict::Refuse(reply).into() } else { Decision::default() })
    }
    let (_, last) = message(everything(), filter).expect("legal replies");
    assert_eq!(
        &last[4..],
        b"y550-5.7.1 no mail from <a\r\n550-5.7.1 250 ok?%%s?[31m?@x>\r\n550 5.7.1 see https://x.example/%%20\0"
    );
}

// case: 58
#[test]
fn headers_are_deleted_from_the_highest_index_down_as_asked_and_the_new_one_is_valid() {
    fn filter(question: Question, _: &Dialog) -> Said {
        if question != Question::Judge(Stage::Message) {
            return go_on(question, &Dialog::default());
        }
        let name = HeaderName::new("X-Check").expect("a name");
        let value = HeaderValue::new("clean;\n\tall zones").expect("a value");
        let mut edits: Vec<Edit> = (1..=3).rev().map(|n| Edit::DeleteHeader(n, name.clone())).collect();
        edits.push(Edit::AddHeader(name, value));
        Said::Decision(Decision { verdict: Verdict::Continue, edits })
    }
    let (mta, _) = message(everything(), filter).expect("legal changes");
    let indexes: Vec<u32> = mta
        .modifications()
        .iter()
        .filter_map(|change| match change {
            Modification::Edit(Edit::DeleteHeader(index, _)) => Some(*index),
            _ => None,
        })
        .collect();
    assert_eq!(indexes, [3, 2, 1]);
    assert!(matches!(mta.modifications().last(), Some(Modification::Edit(Edit::AddHeader(..)))));
}

// case: 59
#[test]
fn changes_and_the_final_reply_leave_together() {
    fn filter(question: Question, _: &Dialog) -> Said {
        if question != Question::Judge(Stage::Message) {
            return go_on(question, &Dialog::default());
        }
        let edits = vec![
            Edit::AddRecipient { address: "<c@example.com>".into(), parameters: None },
            Edit::ReplaceBody("new\r\n".into()),
        ];
        Said::Decision(Decision { verdict: Verdict::Quarantine("held".into()), edits })
    }
    let (mta, last) = message(everything(), filter).expect("legal changes");
    assert_eq!(codes(&last), "+bqc", "one buffer for one write");
    assert_eq!(mta.modifications().len(), 3);
}

#[test]
fn a_leading_blank_is_wanted_kept_and_given_back() {
    fn filter(question: Question, _: &Dialog) -> Said {
        let name = HeaderName::new("X-Check").expect("a name");
        let value = HeaderValue::new("clean").expect("a value");
        let edits = if question == Question::Judge(Stage::Message) {
            vec![Edit::AddHeader(name, value)]
        } else {
            Vec::new()
        };
        Said::Decision(Decision { verdict: Verdict::Continue, edits })
    }
    let needs = Needs { leading_space: true, ..everything() };
    let (mta, last) = message(needs, filter).expect("legal changes");
    assert!(last.windows(8).any(|octets| octets == b"\0 clean\0"));
    let value = HeaderValue::new("clean").expect("a value");
    let name = HeaderName::new("X-Check").expect("a name");
    assert_eq!(mta.modifications(), [Modification::Edit(Edit::AddHeader(name, value))]);
}

#[test]
fn progress_can_be_asked_for_at_the_end_of_a_message_only() {
    let mut session = Session::new(SessionId::default(), &Limits::default());
    session.negotiate(Offer::V6, &everything(), &mut Vec::new()).expect("an agreement");
    let mut out = Vec::new();
    let mut step = |code, data: &[u8]| {
        let judged = matches!(session.receive(Frame { code, data }, &mut Vec::new()), Ok(Step::Judge { .. }));
        assert!(judged, "{}", char::from(code));
        let possible = session.progress(&mut out);
        session.resolve(&Decision::default(), &mut Vec::new()).expect("continue");
        possible
    };
    assert!(!step(b'M', b"<>\0"));
    assert!(step(b'E', b""));
    assert_eq!(codes(&out), "p");
}

/// All Rust below a directory.
fn read_sources(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// Every case is accounted for in the table beside the captures.
#[test]
fn the_table_of_cases_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/data/milter-cases.md")).expect("the table");
    let mut sources = String::new();
    read_sources(&root.join("tests"), &mut sources);
    read_sources(&root.join("src/milter"), &mut sources);
    let mut rows = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, number, _, proof, _] = cells[..] else { panic!("{row}") };
        assert!(number.parse::<u32>().is_ok(), "{row}");
        for test in proof.split('`').skip(1).step_by(2) {
            assert!(sources.contains(&format!("fn {test}(")), "case {number}: no test {test}");
            rows += 1;
        }
    }
    assert!(rows > 30, "{rows} tests named");
}

/// What the answers of an MTA's side look like to a user of the library.
#[test]
fn an_answer_tells_whether_it_is_negative_and_temporary() {
    let later = Answer::Reply { code: 451, enhanced: "4.7.1".into(), lines: vec!["later".into()] };
    assert!(later.is_negative() && later.is_temporary());
    assert!(Answer::Reject.is_negative() && !Answer::Reject.is_temporary());
    assert!(!Answer::Discard.is_negative());
}
