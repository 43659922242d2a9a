//! What a session does with every packet, seen from outside; what it says of decisions is in a file of its own.

mod answers;

use super::super::{Flow, Protocol, Unspoken};
use super::*;
use crate::smtp::{Permit, Reply};
use crate::verdict::{Decision, Edit, HeaderName, Verdict};

/// Not the id that a session has by default.
const ID: SessionId = SessionId { process: 0x5f00_0000, number: 7 };

/// Plays packets of `code` and data; each answer is judged with `verdict`. Tells what was judged, which packets the
/// filter was shown, and the codes of all responses.
struct Play {
    session: Session,
    judged: Vec<Stage>,
    shown: String,
}

impl Play {
    fn new(needs: &Needs, offer: Offer) -> Self {
        let session = Session::new(ID, &Limits::default());
        let mut play = Self { session, judged: Vec::new(), shown: String::new() };
        let mut out = Vec::new();
        Command::Negotiate(offer).put(&mut out);
        let (frame, _) = Frame::take(&out, &Limits::default()).expect("frame").expect("whole");
        let step = play.session.receive(frame, &mut Vec::new());
        assert_eq!(step, Ok(Step::Negotiate(offer)));
        play.session.negotiate(offer, needs, &mut Vec::new()).expect("agreement");
        play
    }

    fn send(&mut self, code: u8, data: &[u8]) -> Result<String, ProtocolError> {
        self.send_and(code, data, &Decision::default()).map(|(codes, _)| codes)
    }

    fn send_and(
        &mut self,
        code: u8,
        data: &[u8],
        decision: &Decision,
    ) -> Result<(String, Result<(), Unspoken>), ProtocolError> {
        self.play(code, data, decision, &Flow::Answer(decision.verdict.clone()))
    }

    fn play(
        &mut self,
        code: u8,
        data: &[u8],
        decision: &Decision,
        flow: &Flow,
    ) -> Result<(String, Result<(), Unspoken>), ProtocolError> {
        let mut out = Vec::new();
        let step = self.session.receive(Frame { code, data }, &mut out)?;
        if self.session.due() != Due::Nothing {
            self.shown.push(char::from(code));
        }
        let said = match step {
            Step::Judge { stage, .. } => {
                self.judged.push(stage);
                self.session.resolve(decision, &mut out)
            }
            Step::Header { .. } | Step::EndOfHeaders | Step::Body(_) | Step::Unknown(_) => {
                self.session.answer(flow, &mut out)
            }
            _ => Ok(()),
        };
        let mut codes = String::new();
        let mut rest = &out[..];
        while let Some((frame, used)) = Frame::take(rest, &Limits::default()).expect("frames") {
            codes.push(char::from(frame.code));
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
        Ok((codes, said))
    }
}

fn everything() -> Needs {
    use Event::*;
    use Permit::*;
    let events = [Connect, Helo, Mail, Rcpt, Data, Header, EndOfHeaders, Body, Unknown];
    let permits = [
        AddHeader,
        ChangeHeader,
        AddRecipient,
        AddRecipientWithParameters,
        DeleteRecipient,
        ChangeSender,
        ReplaceBody,
        Quarantine,
    ];
    let needs = events.into_iter().fold(Needs::default(), Needs::event);
    permits.into_iter().fold(needs, Needs::permit).keep(Part::Recipients).keep(Part::Parameters)
}

fn opened(needs: &Needs) -> Play {
    let mut play = Play::new(needs, Offer::V6);
    play.send(b'C', b"client.example\x004\x20\x01192.0.2.2\0").expect("CONNECT");
    play
}

fn refuse() -> Decision {
    Verdict::Refuse(Reply::new(550, "5.7.1", "no").expect("a reply")).into()
}

#[test]
fn the_conversation_begins_with_negotiation() {
    for code in *b"CHMRDTLNBEUAK" {
        let mut session = Session::new(SessionId::default(), &Limits::default());
        let step = session.receive(Frame { code, data: b"x\0U" }, &mut Vec::new());
        assert_eq!(step, Err(ProtocolError::NotNegotiated), "{}", char::from(code));
    }
    let mut session = Session::new(SessionId::default(), &Limits::default());
    assert_eq!(session.receive(Frame { code: b'Q', data: b"" }, &mut Vec::new()), Ok(Step::Hangup));
    let mut play = opened(&everything());
    assert_eq!(play.send(b'O', &[0; 12]), Err(ProtocolError::OutOfOrder("OPTNEG")));
    assert_eq!(play.send(b'C', b"x\0U"), Err(ProtocolError::OutOfOrder("CONNECT")));
}

#[test]
fn each_event_has_one_response_and_the_rest_has_none() {
    let mut play = opened(&everything());
    for (code, data, responses) in [
        (b'D', &b"Hi\0x\0"[..], ""),
        (b'H', b"client.example\0", "c"),
        (b'A', b"", ""),
        (b'A', b"", ""),
        (b'M', b"<a@example.com>\0", "c"),
        (b'R', b"<b@example.net>\0", "c"),
        (b'T', b"", "c"),
        (b'R', b"<c@example.net>\0", "c"),
        (b'T', b"", "c"),
        (b'U', b"WIBBLE\0", "c"),
        (b'L', b"Subject\0x\0", "c"),
        (b'N', b"", "c"),
        (b'B', b"text", "c"),
        (b'B', b"", "c"),
        (b'E', b"", "c"),
        (b'M', b"<>\0", "c"),
        (b'H', b"again.example\0", "c"),
        (b'A', b"", ""),
        (b'K', b"", ""),
        (b'C', b"other.example\0U", "c"),
        (b'Q', b"", ""),
    ] {
        assert_eq!(play.send(code, data).as_deref(), Ok(responses), "{}", char::from(code));
    }
    assert_eq!(play.session.dialog().client_name, b"other.example");
    assert_eq!(play.session.dialog().helo, None);
    assert_eq!(play.session.dialog().id, ID, "in the log it is one conversation");
}

#[test]
fn what_no_mta_can_mean_ends_the_conversation() {
    for before in [&b""[..], b"MA", b"ME"] {
        for code in *b"RTLNBE" {
            let mut play = opened(&everything());
            for &command in before {
                play.send(command, b"<a@example.com>\0").expect("a message");
            }
            let data = if code == b'L' { &b"X\0y\0"[..] } else { b"<a@example.com>\0" };
            assert!(matches!(play.send(code, data), Err(ProtocolError::OutOfOrder(_))));
        }
    }
    let mut play = opened(&everything());
    play.send(b'M', b"<a@example.com>\0").expect("MAIL");
    play.send(b'N', b"").expect("EOH");
    assert_eq!(play.send(b'R', b"<b@example.com>\0"), Err(ProtocolError::OutOfOrder("RCPT")));
}

#[test]
fn a_message_that_was_never_announced_is_possible_if_mail_was_declined() {
    let mut play = opened(&Needs::default().event(Event::Rcpt));
    assert_eq!(play.send(b'R', b"<b@example.com>\0").as_deref(), Ok("c"));
    assert_eq!(play.send(b'E', b"").as_deref(), Ok("c"));
    assert_eq!(play.judged, [Stage::Rcpt, Stage::Message]);
    let mut play = Play::new(&Needs::default(), Offer::V6);
    assert_eq!(play.send(b'E', b"").as_deref(), Ok("c"), "all of a session with everything declined");
}

#[test]
fn a_message_after_a_refused_one_is_possible_if_mail_was_declined() {
    for last in *b"LNB" {
        let needs = [Event::Header, Event::EndOfHeaders, Event::Body];
        let mut play = opened(&needs.into_iter().fold(Needs::default(), Needs::event));
        for code in *b"TLNB" {
            let data = if code == b'L' { &b"X\0y\0"[..] } else { b"z" };
            let (codes, _) = play.send_and(code, data, &refuse()).expect("a response");
            assert_eq!(codes == "y", code != b'T');
            if code == last {
                break;
            }
            play.send(b'T', b"").expect("the next message of a Sendmail session");
        }
    }
}

#[test]
fn a_message_after_an_accepted_one_is_judged_if_mail_was_declined() {
    let mut play = opened(&Needs::default().event(Event::Rcpt));
    for _ in 0..2 {
        play.send(b'D', b"Mi\0QID\0").expect("macros of the declined MAIL");
        let (codes, _) =
            play.send_and(b'R', b"<b@example.com>\0", &Verdict::Accept.into()).expect("a response");
        assert_eq!(codes, "a");
    }
    assert_eq!(play.judged, [Stage::Rcpt, Stage::Rcpt]);
    assert_eq!(play.session.dialog().queue_id(), Some(&b"QID"[..]));
}

#[test]
fn with_mail_declined_a_message_lasts_to_its_end_whatever_comes_before() {
    let events = [Event::Rcpt, Event::Header, Event::EndOfHeaders, Event::Body, Event::Unknown];
    let mut play = opened(&events.into_iter().fold(Needs::default(), Needs::event).keep(Part::Recipients));
    assert!(!play.session.in_message());
    for code in *b"RDRUTLNBU" {
        let (data, decision) = match code {
            b'D' => (&b"R{rcpt_addr}\0b@example.com\0"[..], Decision::default()),
            b'L' => (&b"X\0y\0"[..], Decision::default()),
            b'U' => (&b"WIBBLE\0"[..], refuse()),
            _ => (&b"<b@example.com>\0"[..], Decision::default()),
        };
        let (codes, _) = play.send_and(code, data, &decision).expect("a response");
        assert_eq!(
            codes,
            match code {
                b'D' => "",
                b'U' => "y",
                _ => "c",
            }
        );
        let (dialog, open) = (play.session.dialog(), play.session.in_message());
        assert_eq!((dialog.messages, open), (1, true), "{}", char::from(code));
    }
    let message = play.session.dialog().transaction.as_ref().expect("a message");
    assert_eq!(message.recipients.len(), 2);
    play.send(b'E', b"").expect("the end");
    assert!(!play.session.in_message());
}

#[test]
fn events_that_were_declined_but_come_all_the_same_are_let_go() {
    let mut play = opened(&Needs::default().event(Event::Mail));
    for (code, data) in [(b'H', &b"x\0"[..]), (b'M', b"<>\0"), (b'R', b"<b@example.com>\0"), (b'T', b"")] {
        assert_eq!(play.send(code, data).as_deref(), Ok("c"));
    }
    assert_eq!(play.judged, [Stage::Mail]);
}

#[test]
fn accepted_sessions_and_messages_are_not_judged_again() {
    let mut play = opened(&everything());
    let accept = Decision::from(Verdict::Accept);
    assert_eq!(play.send_and(b'M', b"<>\0", &accept).map(|(codes, _)| codes).as_deref(), Ok("a"));
    assert_eq!(play.send(b'R', b"<b@example.com>\0").as_deref(), Ok("c"));
    assert_eq!(play.send(b'E', b"").as_deref(), Ok("c"));
    assert_eq!(play.send(b'M', b"<>\0").as_deref(), Ok("c"));
    assert_eq!(play.judged, [Stage::Connect, Stage::Mail, Stage::Mail]);
    let _ = play.send_and(b'H', b"x\0", &accept);
    assert_eq!(play.send(b'M', b"<>\0").as_deref(), Ok("c"));
    assert_eq!(play.judged.len(), 4);
}

#[test]
fn what_was_accepted_is_not_shown_any_further() {
    for (accepted, shown) in [("H", "CH"), ("M", "CHMU"), ("L", "CHMLU"), ("", "CHMLNBUE")] {
        let mut play = opened(&everything());
        for (code, data) in [
            ('H', &b"x\0"[..]),
            ('M', b"<>\0"),
            ('L', b"X\0y\0"),
            ('N', b""),
            ('B', b""), // Nothing to look at.
            ('B', b"z"),
            ('U', b"W\0"),
            ('E', b""),
        ] {
            let accept = accepted.contains(code);
            let verdict = if accept { Verdict::Accept } else { Verdict::Continue };
            let (codes, _) = play.send_and(code as u8, data, &verdict.into()).expect("a response");
            assert_eq!(codes, if accept { "a" } else { "c" }, "{code} after {accepted}");
        }
        assert_eq!(play.shown, shown);
    }
}

#[test]
fn recipients_are_bounded_and_refused_ones_forgotten() {
    let mut play = opened(&everything());
    play.send(b'M', b"<>\0").expect("MAIL");
    for n in 0..2_000 {
        let address = format!("<u{n}@example.com>\0");
        play.send(b'R', address.as_bytes()).expect("RCPT");
    }
    let recipients = |play: &Play| play.session.dialog().transaction.as_ref().map(|t| t.recipients.len());
    assert_eq!(recipients(&play), Some(1_000));
    let _ = play.send_and(b'R', b"<refused@example.com>\0", &refuse()).expect("RCPT");
    assert_eq!(recipients(&play), Some(999));
    let name = HeaderName::new("X").expect("a name");
    let decision = Decision { edits: vec![Edit::DeleteHeader(1, name)], ..refuse() };
    let _ = play.send_and(b'R', b"<refused@example.com>\0", &decision).expect("RCPT");
    assert_eq!(recipients(&play), Some(999), "whatever else was asked for");
}

/// Refuses nobody, and shows every recipient to its filter with all parameters that it asked for.
fn flooded(needs: &Needs) -> Play {
    let mut play = opened(needs);
    let parameters = [&[b'x'; 30][..], b"\0"].concat().repeat(2_000);
    play.send(b'M', &[b"<u@example.com>\0", &parameters[..]].concat()).expect("MAIL");
    for n in 0..1_200 {
        let address = format!("<u{n}@example.com>");
        let data = [address.as_bytes(), b"\0", &parameters].concat();
        assert_eq!(play.send(b'R', &data).as_deref(), Ok("c"), "{n}");
        let message = play.session.dialog().transaction.as_ref().expect("a message");
        assert_eq!(message.recipients.last().expect("one in question").address, address.as_bytes());
    }
    assert_eq!(play.judged.iter().filter(|stage| **stage == Stage::Rcpt).count(), 1_200);
    play
}

#[test]
fn of_the_envelope_nothing_is_kept_that_nobody_asked_for() {
    let play = flooded(&Needs::default().event(Event::Mail).event(Event::Rcpt));
    let message = play.session.dialog().transaction.as_ref().expect("a message");
    let last = Recipient { address: b"<u1199@example.com>".to_vec(), parameters: Vec::new() };
    assert_eq!((&message.parameters[..], &message.recipients[..]), (&[][..], &[last][..]));
}

#[test]
fn a_session_keeps_what_its_new_filter_looks_at_from_the_next_command_on() {
    let mut play = flooded(&Needs::default().event(Event::Mail).event(Event::Rcpt));
    play.session.keep(everything().kept);
    play.send(b'M', b"<>\0SMTPUTF8\0").expect("the next message");
    let message = play.session.dialog().transaction.as_ref().expect("a message");
    assert_eq!(message.parameters, [b"SMTPUTF8"]);
}

#[test]
fn what_is_asked_for_of_the_envelope_is_bounded_in_octets() {
    let mut play = flooded(&everything());
    let message = play.session.dialog().transaction.as_ref().expect("a message");
    let sizes: Vec<usize> = message.recipients.iter().map(Recipient::size).collect();
    let (last, kept) = sizes.split_last().expect("recipients");
    let most = Limits::default().envelope;
    assert!(kept.iter().sum::<usize>() <= most && kept.iter().sum::<usize>() + last > most, "{sizes:?}");
    assert_eq!(message.recipients[0].address, b"<u0@example.com>", "the first ones stay");
    assert_eq!(message.recipients[0].parameters.len(), PARAMETERS);
    let before = message.recipients.len();
    play.send(b'M', b"<>\0").expect("the next message");
    for n in 0..1_000 {
        play.send(b'R', format!("<u{n}@example.com>\0").as_bytes()).expect("RCPT");
    }
    let message = play.session.dialog().transaction.as_ref().expect("a message");
    assert!(before < 1_000 && message.recipients.len() == 1_000, "{before}: each message begins anew");
}

#[test]
fn recipients_that_fill_their_limit_to_the_octet_are_all_kept() {
    let size = Recipient { address: b"<u1@example.com>".to_vec(), parameters: Vec::new() }.size();
    let mut play = opened(&everything());
    play.session.resume(&Limits { envelope: 3 * size, ..Limits::default() });
    play.send(b'M', b"<>\0").expect("MAIL");
    for n in 1..=6 {
        play.send(b'R', format!("<u{n}@example.com>\0").as_bytes()).expect("RCPT");
    }
    let message = play.session.dialog().transaction.as_ref().expect("a message");
    let kept: Vec<u8> = message.recipients.iter().map(|recipient| recipient.address[2]).collect();
    assert_eq!(kept, b"1236", "three, and the one in question");
}

#[test]
fn a_leading_blank_is_to_be_restored_where_it_was_wanted_but_cut_off() {
    let cut = Protocol(Protocol::ALL.0 & !Protocol::HDR_LEADSPC.0);
    for (wanted, protocol, restored) in
        [(false, Protocol::ALL, false), (true, Protocol::ALL, false), (false, cut, false), (true, cut, true)]
    {
        let needs = Needs { leading_space: wanted, ..everything() };
        let mut play = Play::new(&needs, Offer { protocol, ..Offer::V6 });
        play.send(b'M', b"<>\0").expect("MAIL");
        let step = play.session.receive(Frame { code: b'L', data: b"X\0y\0" }, &mut Vec::new());
        assert_eq!(
            step,
            Ok(Step::Header { name: b"X", value: b"y", restore_space: restored }),
            "{protocol:?}"
        );
    }
}

#[test]
fn a_header_is_long_only_for_who_looks_at_it() {
    let limits = Limits::default();
    // A packet of a header field that says of itself that it is so long.
    let packet = |length: usize| {
        let length = u32::try_from(length).expect("a length");
        [&length.to_be_bytes()[..], b"L"].concat()
    };
    let longest = |session: &Session, longest: usize| {
        assert_eq!(session.take(&packet(longest)), Ok(None), "{longest}");
        let packet = packet(longest + 1);
        let longer = session.take(&packet);
        assert!(matches!(longer, Err(ProtocolError::Oversized { .. })), "{longest}: {longer:?}");
    };
    longest(&opened(&everything()).session, limits.header_frame);
    longest(&opened(&Needs::default().event(Event::Mail)).session, limits.frame);
    let fresh = Session::new(SessionId::default(), &limits);
    longest(&fresh, limits.frame);
}

#[test]
fn a_stored_session_goes_on_where_it_was() {
    let mut play = opened(&everything());
    play.send(b'D', b"M{auth_authen}\0alice\0").expect("macros");
    play.send(b'M', b"<a@example.com>\0SIZE=1\0").expect("MAIL");
    let mut out = Vec::new();
    let step = play.session.receive(Frame { code: b'R', data: b"<b@example.com>\0" }, &mut out);
    assert_eq!(step, Ok(Step::Judge { stage: Stage::Rcpt, last_chunk: b"" }));
    let json = serde_json::to_string(&play.session).expect("json");
    let mut session: Session = serde_json::from_str(&json).expect("a session");
    session.resume(&Limits::default());
    assert_eq!(session.due(), Due::Judgement(Stage::Rcpt));
    assert_eq!(session, play.session);
    session.resolve(&refuse(), &mut out).expect("a response");
    assert_eq!(out[4], b'y');
    assert!(session.dialog().is_authenticated());
}
