//! What a filter says, and how it is put.

use gatepost::limits::Limits;
use gatepost::milter::mta::{Answer, Modification, Mta, Sent};
use gatepost::milter::{Frame, Offer, Session, Step};
use gatepost::smtp::{Client, Dialog, Needs, Reply, SessionId, Stage};
use gatepost::verdict::{Decision, Edit, HeaderName, HeaderValue, Verdict};

use super::Filter;
use super::support::side::{Question, Said, Side, codes, everything, go_on};

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

/// What the answers of an MTA's side look like to a user of the library.
#[test]
fn an_answer_tells_whether_it_is_negative_and_temporary() {
    let later = Answer::Reply { code: 451, enhanced: "4.7.1".into(), lines: vec!["later".into()] };
    assert!(later.is_negative() && later.is_temporary());
    assert!(Answer::Reject.is_negative() && !Answer::Reject.is_temporary());
    assert!(!Answer::Discard.is_negative());
}
