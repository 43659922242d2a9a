//! The filter's side of one conversation: which packets may come, and what is to be done about them.

mod answers;

use serde::{Deserialize, Serialize};

use super::frame::Longest;
use super::{Agreement, Command, Frame, Offer, ProtocolError, Response, Strings};
use crate::limits::Limits;
use crate::smtp::{Client, Dialog, Event, Needs, Part, Parts, Recipient, SessionId, Stage, Transaction};

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

    /// Gives a session that was taken out of storage the limits of its new server.
    pub fn resume(&mut self, limits: &Limits) {
        self.limits = limits.into();
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
