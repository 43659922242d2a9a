//! The filter's side of one conversation.

use serde::{Deserialize, Serialize};

use super::frame::Longest;
use super::response::{put_edit, put_quarantine, put_reply};
use super::{
    Actions, Agreement, Command, Flow, Frame, Offer, Protocol, ProtocolError, Response, Strings, Unspoken,
};
use crate::limits::Limits;
use crate::smtp::{
    Client, Dialog, Event, Needs, Part, Parts, Recipient, Reply, SessionId, Stage, Transaction,
};
use crate::verdict::{Decision, Edit, Verdict};

/// What is to be done after a packet was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing; an answer, if one was due, is in the output.
    Proceed,
    /// Call [`Session::negotiate`].
    Negotiate(Offer),
    /// Judge the dialog at this stage, then call [`Session::resolve`]. At the end of a message a last
    /// piece of the body may come along; no answer is due to that.
    Judge {
        /// The stage.
        stage: Stage,
        /// The last piece of the body, empty with all real MTAs.
        last_chunk: &'a [u8],
    },
    /// Look at a header field, then call [`Session::answer`].
    Header {
        /// The name.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// Whether the value lost its leading blank on the way although it was wanted.
        restore_space: bool,
    },
    /// The header section has ended; call [`Session::answer`].
    EndOfHeaders,
    /// Look at a piece of the body, then call [`Session::answer`].
    Body(&'a [u8]),
    /// Look at an unknown command, then call [`Session::answer`].
    Unknown(&'a [u8]),
    /// A new SMTP session begins on the same connection: forget the old one.
    Restart,
    /// The conversation is over.
    Hangup,
}

/// The filter's side of one conversation: receives packets, says when to judge, speaks decisions.
///
/// Follows what Postfix and Sendmail really send rather than any description: ABORT may come twice,
/// never, or after a new HELO; HELO may be missing or repeated in the middle of a message; RCPT may
/// follow a refused DATA. What no MTA can mean ends the conversation with a [`ProtocolError`], since
/// silence would cost the MTA its whole timeout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    dialog: Dialog,
    agreement: Option<Agreement>,
    connected: bool,
    phase: Phase,
    passed: Passed,
    due: Due,
    quarantine: Option<Box<str>>,
    /// Octets that the recipients of the open message take.
    held: usize,
    #[serde(skip)]
    limits: Bounds,
}

/// The limits that a session needs to know, in octets and in recipients. Each one has its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    frame: u32,
    header_frame: u32,
    negotiation_frame: u32,
    macros: u32,
    recipients: u32,
    envelope: u32,
    text: u32,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        // No packet can say of itself that it is longer.
        let bound = |limit| u32::try_from(limit).unwrap_or(u32::MAX);
        Self {
            frame: bound(limits.frame),
            header_frame: bound(limits.header_frame),
            negotiation_frame: bound(limits.negotiation_frame),
            macros: bound(limits.macros),
            recipients: bound(limits.recipients),
            envelope: bound(limits.envelope),
            text: bound(limits.text),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

/// How far the open message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Phase {
    None,
    Envelope,
    Headers,
    EndOfHeaders,
    Body,
}

/// What the filter has let go for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Passed {
    Nothing,
    Message,
    Session,
}

/// Which answer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// None: the next packet may come.
    Nothing,
    /// That to [`Step::Judge`] at this stage.
    Judgement(Stage),
    /// That to [`Step::Header`].
    Header,
    /// That to [`Step::EndOfHeaders`].
    EndOfHeaders,
    /// That to [`Step::Body`].
    Body,
    /// That to [`Step::Unknown`].
    Unknown,
}

/// The one final response to an event.
#[derive(Clone, Copy)]
enum Final<'v> {
    Plain(Response),
    Reply(&'v Reply),
}

impl Final<'_> {
    /// Whether the event is refused, for now or for good.
    fn is_negative(self) -> bool {
        matches!(self, Self::Reply(_) | Self::Plain(Response::Reject | Response::Tempfail))
    }
}

impl Session {
    /// A conversation that has not begun.
    pub fn new(id: SessionId, limits: &Limits) -> Self {
        Self {
            dialog: Dialog { id, ..Dialog::default() },
            agreement: None,
            connected: false,
            phase: Phase::None,
            passed: Passed::Nothing,
            due: Due::Nothing,
            quarantine: None,
            held: 0,
            limits: limits.into(),
        }
    }

    /// The SMTP session as far as it is known.
    pub fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    /// What was agreed, after negotiation.
    pub fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    /// Takes the next packet off `input`, as [`Frame::take`] does. Without a filter that looks at headers they
    /// are no longer than all other packets.
    ///
    /// # Errors
    /// Those of [`Frame::take`].
    pub fn take<'a>(&self, input: &'a [u8]) -> Result<Option<(Frame<'a>, usize)>, ProtocolError> {
        let Bounds { frame, header_frame, negotiation_frame, .. } = self.limits;
        let looks = self.agreement.is_some_and(|agreement| !agreement.declined(Event::Header));
        let header_frame = if looks { header_frame } else { header_frame.min(frame) };
        let [frame, header_frame, negotiation_frame] = [frame, header_frame, negotiation_frame].map(wide);
        Frame::within(input, Longest { frame, header_frame, negotiation_frame })
    }

    /// Gives a session that was taken out of storage the limits of its new server, and tells at which
    /// stage a judgement was under way when it was stored.
    pub fn resume(&mut self, limits: &Limits) -> Option<Stage> {
        self.limits = limits.into();
        match self.due {
            Due::Judgement(stage) => Some(stage),
            _ => None,
        }
    }

    /// Has it keep from now on what its new filter looks at: the MTA has no part in that.
    pub fn keep(&mut self, parts: Parts) {
        if let Some(agreement) = &mut self.agreement {
            agreement.keep(parts);
        }
    }

    /// Which answer is due.
    pub fn due(&self) -> Due {
        self.due
    }

    /// Whether a message is open: between MAIL and its end.
    pub fn in_message(&self) -> bool {
        self.phase != Phase::None
    }

    /// Takes one packet.
    ///
    /// # Errors
    /// [`ProtocolError`]: close the connection.
    pub fn receive<'a>(&mut self, frame: Frame<'a>, out: &mut Vec<u8>) -> Result<Step<'a>, ProtocolError> {
        debug_assert_eq!(self.due, Due::Nothing, "the last step was not answered");
        let command = if self.agreement.is_some() || matches!(frame.code, b'O' | b'Q') {
            Command::parse(frame)?
        } else {
            return Err(ProtocolError::NotNegotiated);
        };
        match command {
            Command::Negotiate(_) if self.agreement.is_some() => Err(ProtocolError::OutOfOrder("OPTNEG")),
            Command::Negotiate(offer) => Ok(Step::Negotiate(offer)),
            Command::Macros { command, pairs } => {
                // Both MTAs send these before a declined MAIL too, and Sendmail ends a message that was
                // accepted or refused by nothing else: without this the next one would count as part of it.
                if command == b'M' && self.declined(Event::Mail) {
                    self.end_message();
                }
                self.dialog.macros.store(command, pairs, wide(self.limits.macros));
                Ok(Step::Proceed)
            }
            Command::Connect { name, family, address, .. } => self.connect(name, family, address, out),
            Command::Helo(name) => {
                self.dialog.helo = Some(self.text(name));
                Ok(self.judge(Stage::Helo, Event::Helo, out))
            }
            Command::Mail(strings) => Ok(self.mail(strings, out)),
            Command::Rcpt(strings) => self.rcpt(strings, out),
            Command::Data => {
                self.advance(Phase::Envelope, "DATA")?;
                Ok(self.judge(Stage::Data, Event::Data, out))
            }
            Command::Header { name, value } => {
                self.advance(Phase::Headers, "HEADER")?;
                let restore_space = self.agreement.is_some_and(|agreement| agreement.restore_space);
                Ok(self.show(Due::Header, Event::Header, Step::Header { name, value, restore_space }, out))
            }
            Command::EndOfHeaders => {
                self.advance(Phase::EndOfHeaders, "EOH")?;
                Ok(self.show(Due::EndOfHeaders, Event::EndOfHeaders, Step::EndOfHeaders, out))
            }
            Command::Body(chunk) => {
                self.advance(Phase::Body, "BODY")?;
                Ok(self.show(Due::Body, Event::Body, Step::Body(chunk), out))
            }
            Command::EndOfMessage(last_chunk) => {
                self.advance(Phase::Body, "BODYEOB")?;
                Ok(self.end_of_message(last_chunk, out))
            }
            Command::Unknown(line) => Ok(self.show(Due::Unknown, Event::Unknown, Step::Unknown(line), out)),
            Command::Abort => {
                self.end_message();
                Ok(Step::Proceed)
            }
            Command::Quit => Ok(Step::Hangup),
            Command::QuitNewConnection => {
                self.end_message();
                self.dialog = Dialog { id: self.dialog.id, ..Dialog::default() };
                self.connected = false;
                self.passed = Passed::Nothing;
                Ok(Step::Restart)
            }
        }
    }

    /// Answers the MTA's offer.
    ///
    /// # Errors
    /// [`ProtocolError::Version`]: close the connection.
    pub fn negotiate(&mut self, offer: Offer, needs: &Needs, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.agreement = Some(Agreement::answer(offer, needs, out)?);
        Ok(())
    }

    /// Speaks the decision that [`Step::Judge`] asked for.
    ///
    /// # Errors
    /// [`Unspoken`] tells what part of the decision could not be said; the rest was, and the
    /// conversation goes on.
    pub fn resolve(&mut self, decision: &Decision, out: &mut Vec<u8>) -> Result<(), Unspoken> {
        let Due::Judgement(stage) = self.due else { return Ok(()) };
        self.due = Due::Nothing;
        let event = match stage {
            Stage::Connect => Some(Event::Connect),
            Stage::Helo => Some(Event::Helo),
            Stage::Mail => Some(Event::Mail),
            Stage::Rcpt => Some(Event::Rcpt),
            Stage::Data => Some(Event::Data),
            Stage::Message => None,
        };
        let (last, mut unspoken) = self.weigh(&decision.verdict, stage.name(), stage >= Stage::Mail);
        match (stage, last) {
            (Stage::Message, Final::Plain(Response::Continue | Response::Accept)) => {
                unspoken = self.edit(&decision.edits, out);
                unspoken = unspoken.or(self.hold(out));
            }
            (Stage::Message, _) => {} // What is refused or dropped need not be changed.
            _ if !decision.edits.is_empty() => unspoken = Some(Unspoken::EditStage(stage.name())),
            (Stage::Rcpt, last) if last.is_negative() => {
                self.drop_recipient();
            }
            _ => {}
        }
        self.respond(event, last, out);
        if stage == Stage::Message {
            self.end_message();
        }
        unspoken.map_or(Ok(()), Err)
    }

    /// Speaks the answer to [`Step::Header`], [`Step::EndOfHeaders`], [`Step::Body`] or [`Step::Unknown`].
    ///
    /// # Errors
    /// As [`Session::resolve`].
    pub fn answer(&mut self, flow: &Flow, out: &mut Vec<u8>) -> Result<(), Unspoken> {
        let (name, event) = match std::mem::replace(&mut self.due, Due::Nothing) {
            Due::Nothing | Due::Judgement(_) => return Ok(()),
            Due::Header => ("header", Event::Header),
            Due::EndOfHeaders => ("eoh", Event::EndOfHeaders),
            Due::Body => ("body", Event::Body),
            Due::Unknown => ("unknown", Event::Unknown),
        };
        let skip = self.agreement.is_some_and(|agreement| agreement.answer.protocol.contains(Protocol::SKIP));
        let (last, unspoken) = match flow {
            Flow::Enough if event == Event::Body && skip => (Final::Plain(Response::Skip), None),
            Flow::Next | Flow::Enough => (Final::Plain(Response::Continue), None),
            // libmilter allows no ACCEPT here, and Postfix would take it for the whole session.
            Flow::Answer(Verdict::Accept) if event == Event::Unknown => {
                let unspoken = Unspoken::Verdict { verdict: "accept", stage: name };
                (Final::Plain(Response::Continue), Some(unspoken))
            }
            Flow::Answer(verdict) => self.weigh(verdict, name, event != Event::Unknown),
        };
        self.respond(Some(event), last, out);
        if last.is_negative() && event != Event::Unknown && self.declined(Event::Mail) {
            // Nothing more comes of a refused message, and no MAIL will tell where the next one begins.
            self.end_message();
        }
        unspoken.map_or(Ok(()), Err)
    }

    /// Asks the MTA for more time; possible at the end of a message only, and worth something with Postfix
    /// only. Tells whether it was said.
    pub fn progress(&self, out: &mut Vec<u8>) -> bool {
        let possible = self.due == Due::Judgement(Stage::Message);
        if possible {
            Response::Progress.put(out);
        }
        possible
    }

    fn connect<'a>(
        &mut self,
        name: &[u8],
        family: u8,
        address: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Step<'a>, ProtocolError> {
        if self.connected {
            return Err(ProtocolError::OutOfOrder("CONNECT"));
        }
        self.connected = true;
        self.dialog.client = Client::from_connect(family, address);
        self.dialog.client_name = self.text(name);
        Ok(self.judge(Stage::Connect, Event::Connect, out))
    }

    fn mail<'a>(&mut self, strings: Strings<'_>, out: &mut Vec<u8>) -> Step<'a> {
        // Sendmail sends no ABORT between messages. The macros of this MAIL came before it and stay.
        self.drop_message();
        self.dialog.macros.begin_message();
        self.dialog.messages = self.dialog.messages.saturating_add(1);
        self.phase = Phase::Envelope;
        let (sender, parameters) = self.arguments(strings);
        self.dialog.transaction = Some(Transaction { sender, parameters, recipients: Vec::new() });
        self.judge(Stage::Mail, Event::Mail, out)
    }

    fn rcpt<'a>(&mut self, strings: Strings<'_>, out: &mut Vec<u8>) -> Result<Step<'a>, ProtocolError> {
        self.advance(Phase::Envelope, "RCPT")?;
        if self.wants(Event::Rcpt) {
            let (address, parameters) = self.arguments(strings);
            let recipient = Recipient { address, parameters };
            let most = if self.keeps(Part::Recipients) { wide(self.limits.recipients) } else { 1 };
            let count = self.dialog.transaction.as_ref().map_or(0, |message| message.recipients.len());
            // The one before was shown, since it was in question; now it has to fit beside the others.
            if count >= most.max(1) || self.held > wide(self.limits.envelope) {
                self.drop_recipient();
            }
            self.held += recipient.size();
            self.dialog.transaction.get_or_insert_default().recipients.push(recipient);
        }
        Ok(self.judge(Stage::Rcpt, Event::Rcpt, out))
    }

    fn end_of_message<'a>(&mut self, last_chunk: &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        if self.passed != Passed::Nothing {
            Response::Continue.put(out);
            self.end_message();
            return Step::Proceed;
        }
        self.due = Due::Judgement(Stage::Message);
        let last_chunk = if self.wants(Event::Body) { last_chunk } else { b"" };
        Step::Judge { stage: Stage::Message, last_chunk }
    }

    /// Checks that a command of the message can come now, and goes to its phase.
    ///
    /// RCPT and DATA may come again after a refused DATA, hence one phase for the envelope. A message
    /// that was not begun by MAIL is possible only if MAIL was declined.
    fn advance(&mut self, to: Phase, command: &'static str) -> Result<(), ProtocolError> {
        let unopened = self.phase == Phase::None && !self.declined(Event::Mail);
        if unopened || self.phase > to || (to == Phase::EndOfHeaders && self.phase == to) {
            return Err(ProtocolError::OutOfOrder(command));
        }
        if self.phase == Phase::None {
            self.dialog.messages = self.dialog.messages.saturating_add(1);
            self.dialog.transaction.get_or_insert_default();
        }
        self.phase = to;
        Ok(())
    }

    fn judge<'a>(&mut self, stage: Stage, event: Event, out: &mut Vec<u8>) -> Step<'a> {
        let passed = match self.passed {
            Passed::Nothing => false,
            Passed::Message => stage >= Stage::Mail,
            Passed::Session => true,
        };
        if passed || !self.wants(event) {
            self.go_on(event, out);
            return Step::Proceed;
        }
        self.due = Due::Judgement(stage);
        Step::Judge { stage, last_chunk: b"" }
    }

    fn show<'a>(&mut self, due: Due, event: Event, step: Step<'a>, out: &mut Vec<u8>) -> Step<'a> {
        let empty = matches!(step, Step::Body(b""));
        let passed =
            self.passed != Passed::Nothing && (due != Due::Unknown || self.passed == Passed::Session);
        if passed || empty || !self.wants(event) {
            self.go_on(event, out);
            return Step::Proceed;
        }
        self.due = due;
        step
    }

    /// Finds the response for a verdict, and notes what follows from it for the rest of the session.
    fn weigh<'v>(
        &mut self,
        verdict: &'v Verdict,
        stage: &'static str,
        in_message: bool,
    ) -> (Final<'v>, Option<Unspoken>) {
        let go_on = Final::Plain(Response::Continue);
        let not_here = |verdict| (go_on, Some(Unspoken::Verdict { verdict, stage }));
        match verdict {
            Verdict::Continue => (go_on, None),
            Verdict::Refuse(reply) | Verdict::Defer(reply) => (Final::Reply(reply), None),
            Verdict::Reject => (Final::Plain(Response::Reject), None),
            Verdict::Tempfail => (Final::Plain(Response::Tempfail), None),
            Verdict::Accept => {
                self.passed = if in_message { Passed::Message } else { Passed::Session };
                (Final::Plain(Response::Accept), None)
            }
            Verdict::Discard if in_message => {
                self.passed = Passed::Message;
                (Final::Plain(Response::Discard), None)
            }
            Verdict::Quarantine(reason) if in_message => {
                self.quarantine = Some(reason.clone());
                (go_on, None)
            }
            Verdict::Discard => not_here("discard"),
            Verdict::Quarantine(_) => not_here("quarantine"),
        }
    }

    /// Writes the one final response to an event, unless none was agreed.
    fn respond(&self, event: Option<Event>, last: Final<'_>, out: &mut Vec<u8>) {
        if event.is_some_and(|event| self.agreement.is_some_and(|agreement| agreement.silent(event))) {
            return;
        }
        match last {
            Final::Plain(response) => response.put(out),
            Final::Reply(reply) => put_reply(reply, out),
        }
    }

    fn go_on(&self, event: Event, out: &mut Vec<u8>) {
        self.respond(Some(event), Final::Plain(Response::Continue), out);
    }

    /// Writes the changes: everything else first, then new bodies in one go, since Postfix refuses the
    /// message when something stands between two pieces of a body.
    fn edit(&self, edits: &[Edit], out: &mut Vec<u8>) -> Option<Unspoken> {
        let agreed = self.actions();
        let leading_space =
            self.agreement.is_some_and(|agreement| agreement.answer.protocol.contains(Protocol::HDR_LEADSPC));
        let is_body = |edit: &&Edit| matches!(edit, Edit::ReplaceBody(_));
        let bodies = edits.iter().filter(is_body);
        let others = edits.iter().filter(|edit| !is_body(edit));
        let mut unspoken = None;
        for edit in others.chain(bodies) {
            if let Err(why) = put_edit(edit, agreed, leading_space, out) {
                unspoken = unspoken.or(Some(why));
            }
        }
        unspoken
    }

    /// Writes the quarantine request that this message has earned.
    fn hold(&mut self, out: &mut Vec<u8>) -> Option<Unspoken> {
        let reason = self.quarantine.take()?;
        if !self.actions().contains(Actions::QUARANTINE) {
            return Some(Unspoken::NotAgreed("quarantine"));
        }
        put_quarantine(&reason, out);
        None
    }

    fn actions(&self) -> Actions {
        self.agreement.map_or(Actions::default(), |agreement| agreement.answer.actions)
    }

    fn wants(&self, event: Event) -> bool {
        self.agreement.is_some_and(|agreement| agreement.wants(event))
    }

    fn keeps(&self, part: Part) -> bool {
        self.agreement.is_some_and(|agreement| agreement.keeps(part))
    }

    fn declined(&self, event: Event) -> bool {
        self.agreement.is_some_and(|agreement| agreement.declined(event))
    }

    /// Ends the message and forgets its macros.
    fn end_message(&mut self) {
        self.drop_message();
        self.dialog.end_message();
    }

    fn drop_message(&mut self) {
        self.phase = Phase::None;
        self.quarantine = None;
        self.held = 0;
        self.dialog.transaction = None;
        if self.passed == Passed::Message {
            self.passed = Passed::Nothing;
        }
    }

    fn drop_recipient(&mut self) {
        let recipients = self.dialog.transaction.as_mut().map(|message| &mut message.recipients);
        let dropped = recipients.and_then(Vec::pop);
        self.held = self.held.saturating_sub(dropped.map_or(0, |recipient| recipient.size()));
    }

    /// The address of MAIL or RCPT, and its parameters if anybody looks at them.
    fn arguments(&self, strings: Strings<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut texts = strings.iter().map(|text| self.text(text));
        let address = texts.next().unwrap_or_default();
        let most = if self.keeps(Part::Parameters) { PARAMETERS } else { 0 };
        (address, texts.take(most).collect())
    }

    fn text(&self, text: &[u8]) -> Vec<u8> {
        text[..text.len().min(wide(self.limits.text))].to_vec()
    }
}

fn wide(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// ESMTP parameters kept per command; there are not half as many in all extensions together.
const PARAMETERS: usize = 32;

#[cfg(test)]
mod tests;
