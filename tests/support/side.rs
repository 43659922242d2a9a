//! A filter's side of a conversation without sockets: octets in, octets out.

use gatepost::limits::Limits;
use gatepost::milter::{Flow, Frame, ProtocolError, Session, Step};
use gatepost::smtp::{Dialog, Event, Needs, Part, Permit, SessionId, Stage};
use gatepost::verdict::Decision;

/// What the session asks its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Judge(Stage),
    Header,
    EndOfHeaders,
    Body,
    Unknown,
}

/// What its filter says. `Enough` means "seen enough" to a piece of the body and "go on" elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Decision(Decision),
    Enough,
}

/// A session with its receive buffer and a filter made of one function.
pub struct Side<F> {
    pub session: Session,
    needs: Needs,
    filter: F,
    input: Vec<u8>,
    open: bool,
}

impl<F: FnMut(Question, &Dialog) -> Said> Side<F> {
    pub fn new(needs: Needs, filter: F) -> Self {
        let session = Session::new(SessionId::default(), &Limits::default());
        Self { session, needs, filter, input: Vec::new(), open: true }
    }

    /// Takes some octets of the MTA and appends what is said to `out`; tells whether the conversation
    /// goes on.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<bool, ProtocolError> {
        self.input.extend_from_slice(octets);
        let mut used = 0;
        while self.open {
            let Some((frame, size)) = Frame::take(&self.input[used..], &Limits::default())? else { break };
            let question = match self.session.receive(frame, out)? {
                Step::Proceed | Step::Restart => None,
                Step::Negotiate(offer) => {
                    self.session.negotiate(offer, &self.needs, out)?;
                    None
                }
                Step::Judge { stage, .. } => Some(Question::Judge(stage)),
                Step::Header { .. } => Some(Question::Header),
                Step::EndOfHeaders => Some(Question::EndOfHeaders),
                Step::Body(_) => Some(Question::Body),
                Step::Unknown(_) => Some(Question::Unknown),
                Step::Hangup => {
                    self.open = false;
                    None
                }
            };
            if let Some(question) = question {
                // What could not be said was left out; the conversation goes on either way.
                let _ = match ((self.filter)(question, self.session.dialog()), question) {
                    (Said::Decision(decision), Question::Judge(_)) => self.session.resolve(&decision, out),
                    (Said::Decision(decision), _) => {
                        self.session.answer(&Flow::Answer(decision.verdict), out)
                    }
                    (Said::Enough, Question::Judge(_)) => self.session.resolve(&Decision::default(), out),
                    (Said::Enough, _) => self.session.answer(&Flow::Enough, out),
                };
            }
            used += size;
        }
        self.input.drain(..used);
        Ok(self.open)
    }
}

/// A filter that lets everything go on.
pub fn go_on(_: Question, _: &Dialog) -> Said {
    Said::Decision(Decision::default())
}

pub const EVENTS: [Event; 9] = [
    Event::Connect,
    Event::Helo,
    Event::Mail,
    Event::Rcpt,
    Event::Data,
    Event::Header,
    Event::EndOfHeaders,
    Event::Body,
    Event::Unknown,
];

pub const PERMITS: [Permit; 8] = [
    Permit::AddHeader,
    Permit::ChangeHeader,
    Permit::AddRecipient,
    Permit::AddRecipientWithParameters,
    Permit::DeleteRecipient,
    Permit::ChangeSender,
    Permit::ReplaceBody,
    Permit::Quarantine,
];

/// The needs of a filter that wants to see everything and may do everything.
pub fn everything() -> Needs {
    let needs = EVENTS.into_iter().fold(Needs::default(), Needs::event);
    PERMITS.into_iter().fold(needs, Needs::permit).keep(Part::Recipients).keep(Part::Parameters)
}

/// The codes of a run of packets.
pub fn codes(mut packets: &[u8]) -> String {
    let mut codes = String::new();
    while let Some((frame, size)) = Frame::take(packets, &Limits::default()).expect("packets") {
        codes.push(char::from(frame.code));
        packets = &packets[size..];
    }
    assert!(packets.is_empty(), "half a packet was said");
    codes
}
