//! What the MTA's side makes of the filter's packets.

use super::answer::{self, Heard};
use super::symbols::Symbols;
use super::{
    Answer, Due, MODIFICATION_OCTETS, MODIFICATIONS, Modification, Mta, NewBody, PACKET, Phase, Shown,
    Violation,
};
use crate::milter::{Actions, Frame, Offer, Protocol, VERSION};
use crate::smtp::Event;
use crate::verdict::Edit;

/// The MDS bits: pieces of the body of 256 KiB, and of 1 MiB.
const LARGER_PIECES: u32 = 0x3000_0000;

impl Mta {
    /// Takes one packet of the filter; `None` if more are to come before the reply is complete.
    ///
    /// # Errors
    /// [`Violation`]: a real MTA would give the filter up, or be misled. The conversation is over.
    pub fn receive(&mut self, frame: Frame<'_>) -> Result<Option<Answer>, Violation> {
        let Frame { code, data } = frame;
        if data.len() >= PACKET {
            return Err(Violation::Oversized(data.len() + 1));
        }
        let Some(due) = self.due else { return Err(Violation::Unsolicited(code)) };
        if due == Due::Negotiation {
            self.agree(code, data)?;
            self.due = None;
            self.phase = Phase::Negotiated;
            return Ok(Some(Answer::Negotiated(self.answer)));
        }
        if matches!(code, b'q' | b'h' | b'i' | b'm' | b'+' | b'2' | b'-' | b'e' | b'b' | b'p')
            && due != Due::EndOfMessage
            || code == b'O'
        {
            return Err(Violation::Misplaced { code, event: due.name() });
        }
        let leading_space = self.answer.protocol.contains(Protocol::HDR_LEADSPC);
        match answer::parse(code, data, self.answer.actions, leading_space)? {
            Heard::Progress => {
                self.progress += 1;
                Ok(None)
            }
            Heard::Modification(modification) => {
                self.asked.0 += 1;
                self.asked.1 += data.len();
                if self.asked.0 > MODIFICATIONS || self.asked.1 > MODIFICATION_OCTETS {
                    return Err(Violation::Excess);
                }
                self.modify(modification).map(|()| None)
            }
            Heard::Final(answer) => {
                self.check(&answer, code, due)?;
                self.close_body();
                self.due = None;
                self.follow(&answer, due);
                Ok(Some(answer))
            }
        }
    }

    /// Judges the answer to the offer.
    fn agree(&mut self, code: u8, data: &[u8]) -> Result<(), Violation> {
        if code != b'O' {
            return Err(Violation::NotNegotiated(code));
        }
        let answer = Offer::parse(data).map_err(|_| Violation::ShortNegotiation)?;
        let offer = self.offer;
        // A zero offers the sets of version 1, libmilter's habit.
        let actions = if offer.actions.0 == 0 { 0x0f } else { offer.actions.0 } & Actions::ALL.0;
        let protocol = if offer.protocol.0 == 0 { 0x3f } else { offer.protocol.0 } & Protocol::ALL.0;
        if answer.version > offer.version.min(VERSION) || answer.version < 2 {
            return Err(Violation::Version { answered: answer.version, offered: offer.version });
        }
        if answer.actions.0 & !actions != 0 {
            return Err(Violation::Actions(answer.actions.0 & !actions));
        }
        if answer.protocol.0 & LARGER_PIECES != 0 {
            return Err(Violation::ChunkSize);
        }
        if answer.protocol.0 & !protocol != 0 {
            return Err(Violation::Protocol(answer.protocol.0 & !protocol));
        }
        let lists = &data[12..];
        if !lists.is_empty() && !answer.actions.contains(Actions::SETSYMLIST) {
            return Err(Violation::NotAgreed("a symbol list"));
        }
        self.symbols = Symbols::parse(lists)?;
        self.answer = answer;
        Ok(())
    }

    /// Whether a final answer is possible where it came.
    fn check(&self, answer: &Answer, code: u8, due: Due) -> Result<(), Violation> {
        let possible = match answer {
            Answer::Skip => due == Due::Event(Event::Body),
            Answer::Discard => !matches!(due, Due::Event(Event::Connect | Event::Helo | Event::Unknown)),
            Answer::Accept => due != Due::Event(Event::Unknown),
            _ => true,
        };
        if !possible {
            return Err(Violation::Misplaced { code, event: due.name() });
        }
        // Postfix takes it all the same; Sendmail may know the reply only if it offered it.
        if *answer == Answer::Skip && !self.answer.protocol.contains(Protocol::SKIP) {
            return Err(Violation::NotAgreed("skipping the rest of the body"));
        }
        Ok(())
    }

    /// Draws the conclusions of an answer for what the filter is shown from now on, as Postfix does.
    fn follow(&mut self, answer: &Answer, due: Due) {
        let lost = match answer {
            Answer::Accept | Answer::Discard => true,
            Answer::Skip => {
                self.shown = Shown::NotTheBody;
                false
            }
            _ => answer.is_negative(),
        };
        let refused = answer.is_negative();
        match due {
            _ if answer.is_shutdown() => self.shown = Shown::NotTheSession,
            Due::Event(Event::Connect | Event::Helo) if lost => self.shown = Shown::NotTheSession,
            Due::Event(Event::Rcpt) if !refused => self.recipients += 1,
            Due::Event(Event::Data) if refused => {
                self.phase = Phase::Envelope;
                self.stopped = true;
            }
            _ => {}
        }
        let recoverable = matches!(due, Due::Event(Event::Rcpt | Event::Data)) && refused;
        match due {
            Due::EndOfMessage => self.end_message(),
            Due::Negotiation
            | Due::RefusedRecipient
            | Due::Event(Event::Connect | Event::Helo | Event::Unknown) => {}
            Due::Event(_) if lost && !recoverable && self.shown != Shown::NotTheSession => {
                self.shown = Shown::NotTheMessage;
            }
            Due::Event(_) => {}
        }
    }

    fn modify(&mut self, modification: Modification) -> Result<(), Violation> {
        let Modification::Edit(Edit::ReplaceBody(piece)) = modification else {
            self.close_body();
            self.modifications.push(modification);
            return Ok(());
        };
        if self.body == NewBody::Closed {
            return Err(Violation::SplitBody);
        }
        if self.body == NewBody::Open {
            self.pieces.extend_from_slice(&piece);
        } else {
            self.modifications.push(Modification::Edit(Edit::ReplaceBody(piece)));
            self.body = NewBody::Open;
        }
        Ok(())
    }

    /// Puts the further pieces of a new body behind the first one.
    fn close_body(&mut self) {
        if self.body != NewBody::Open {
            return;
        }
        self.body = NewBody::Closed;
        let further = std::mem::take(&mut self.pieces);
        if let (false, Some(Modification::Edit(Edit::ReplaceBody(whole)))) =
            (further.is_empty(), self.modifications.last_mut())
        {
            *whole = [&whole[..], &further[..]].concat().into();
        }
    }
}

impl Due {
    fn name(self) -> &'static str {
        match self {
            Self::Negotiation => "OPTNEG",
            Self::Event(Event::Connect) => "CONNECT",
            Self::Event(Event::Helo) => "HELO",
            Self::Event(Event::Mail) => "MAIL",
            Self::Event(Event::Rcpt) | Self::RefusedRecipient => "RCPT",
            Self::Event(Event::Data) => "DATA",
            Self::Event(Event::Header) => "HEADER",
            Self::Event(Event::EndOfHeaders) => "EOH",
            Self::Event(Event::Body) => "BODY",
            Self::Event(Event::Unknown) => "UNKNOWN",
            Self::EndOfMessage => "BODYEOB",
        }
    }
}
