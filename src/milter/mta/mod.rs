//! The MTA's side of the protocol, without I/O.
//!
//! A conversation partner for tests, benchmarks and demonstrations of filters. It speaks as Postfix
//! does and is as strict about what it is told as Postfix and Sendmail together; it knows no SMTP
//! beyond the order of events, and makes up no macros of its own.
//!
//! ```
//! use gatepost::limits::Limits;
//! use gatepost::milter::mta::{Answer, Mta, Sent};
//! use gatepost::milter::{Frame, Offer};
//! use gatepost::smtp::Client;
//!
//! // What the filter would send, packet by packet: OPTNEG without HELO, then two replies.
//! let mut filter = &b"\0\0\0\x0dO\0\0\0\x06\0\0\0\0\0\0\0\x02\
//!     \0\0\0\x01c\
//!     \0\0\0\x1ay550 5.7.1 not from there\0"[..];
//! let mut hear = |mta: &mut Mta| {
//!     let (frame, size) = Mta::take(filter).expect("a packet").expect("all of it");
//!     filter = &filter[size..];
//!     mta.receive(frame).expect("a legal reply").expect("a final reply")
//! };
//!
//! let mut mta = Mta::new(Offer::V6);
//! let mut out = Vec::new(); // what goes to the filter
//! mta.negotiate(&mut out)?;
//! assert!(matches!(hear(&mut mta), Answer::Negotiated(_)));
//! let client = Client::Ip("192.0.2.1".parse().expect("an address"));
//! assert_eq!(mta.connect(b"mx.example.org", client, 2525, &mut out)?, Sent::Due);
//! assert_eq!(hear(&mut mta), Answer::Continue);
//! assert_eq!(mta.helo(b"mx.example.org", &mut out)?, Sent::Withheld, "the filter declined HELO");
//! assert_eq!(mta.mail(b"<someone@example.org>", &[], &mut out)?, Sent::Due);
//! assert!(hear(&mut mta).is_negative());
//! assert_eq!(mta.rcpt(b"<us@example.com>", &[], &mut out)?, Sent::Withheld, "the message is refused");
//! # Ok::<(), gatepost::milter::mta::Misuse>(())
//! ```

mod answer;
mod receive;
mod symbols;
mod violation;

pub use answer::{Answer, Modification};
pub use violation::{Misuse, Violation};

use super::frame::Longest;
use super::{Command, Frame, Offer, Protocol, ProtocolError, Strings, VERSION};
use crate::smtp::{Client, Event};
use symbols::Symbols;

/// Longest packet that Sendmail takes, code included.
const PACKET: usize = 65_536;
/// Longest piece of a body that stock MTAs send.
const CHUNK: usize = 65_535;

/// Most requests for a change to one message, each piece of a new body counted: no filter comes near it, and a socket
/// of somebody else's must not fill the memory of who calls it.
const MODIFICATIONS: usize = 65_536;
/// Most octets of all of them: six times what Postfix takes as one message by default (`message_size_limit`).
const MODIFICATION_OCTETS: usize = 64 << 20;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was sent; a reply is due.
    Due,
    /// It was sent; no reply was agreed.
    Silent,
    /// It was not sent: the filter declined it, or has accepted, refused or dropped what it belongs to.
    Withheld,
}

/// The MTA's side of one conversation.
///
/// The methods named after events follow an SMTP session. Each appends packets to `out`, or nothing if
/// a real MTA would not show the event to this filter, and says which it was. After [`Sent::Due`] hand
/// the filter's packets to [`Mta::receive`] until it returns an answer. After a refusal or "accept" the
/// caller may go on with the session's script: what Postfix would not send is withheld.
#[derive(Debug, Clone)]
pub struct Mta {
    offer: Offer,
    answer: Offer,
    symbols: Symbols,
    phase: Phase,
    shown: Shown,
    due: Option<Due>,
    /// Recipients of the open message that were not refused.
    recipients: usize,
    /// DATA was refused, or no recipient was left to send it for.
    stopped: bool,
    modifications: Vec<Modification>,
    /// Whether the latest modification was a piece of a body, and whether there was one at all.
    body: NewBody,
    /// The pieces of the new body behind the first one, until it is whole.
    pieces: Vec<u8>,
    /// How many requests for a change came for the latest message, and how many octets they have.
    asked: (usize, usize),
    progress: usize,
}

/// How far the session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Fresh,
    Negotiated,
    Connected,
    Envelope,
    Data,
    EndOfHeaders,
    Over,
}

/// What the filter is still shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Everything,
    NotTheBody,
    NotTheMessage,
    NotTheSession,
}

/// Which reply is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Negotiation,
    Event(Event),
    /// A recipient that the MTA has refused already: the reply changes nothing.
    RefusedRecipient,
    EndOfMessage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NewBody {
    None,
    Open,
    Closed,
}

impl Mta {
    /// A conversation that has not begun; `offer` is what the filter will be offered.
    pub fn new(offer: Offer) -> Self {
        Self {
            offer,
            answer: offer,
            symbols: Symbols::default(),
            phase: Phase::Fresh,
            shown: Shown::Everything,
            due: None,
            recipients: 0,
            stopped: false,
            modifications: Vec::new(),
            body: NewBody::None,
            pieces: Vec::new(),
            asked: (0, 0),
            progress: 0,
        }
    }

    /// What the filter answered to the offer, once it did.
    pub fn agreed(&self) -> Option<Offer> {
        (self.phase > Phase::Fresh).then_some(self.answer)
    }

    /// Whether a reply is due.
    pub fn is_waiting(&self) -> bool {
        self.due.is_some()
    }

    /// Changes that the filter asked for at the end of the latest message, in order. Those that came with
    /// a refusal or "discard" have no effect in an MTA.
    pub fn modifications(&self) -> &[Modification] {
        &self.modifications
    }

    /// How often the filter asked for more time at the end of the latest message.
    pub fn progress(&self) -> usize {
        self.progress
    }

    /// Takes the first packet off what the filter has sent, and tells how many octets it took.
    ///
    /// # Errors
    /// [`Violation::Frame`] and [`Violation::Oversized`].
    pub fn take(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Violation> {
        let longest = Longest { frame: PACKET, header_frame: PACKET, negotiation_frame: PACKET };
        Frame::within(input, longest).map_err(|error| match error {
            ProtocolError::Oversized { length, .. } => {
                Violation::Oversized(usize::try_from(length).unwrap_or(usize::MAX))
            }
            error => Violation::Frame(error),
        })
    }

    /// Sends the offer.
    ///
    /// # Errors
    /// [`Misuse`], as with all events: the caller asked for what no MTA does at this point. Nothing
    /// was sent then.
    pub fn negotiate(&mut self, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("OPTNEG", self.phase == Phase::Fresh)?;
        Command::Negotiate(self.offer).put(out);
        self.due = Some(Due::Negotiation);
        Ok(Sent::Due)
    }

    /// Sends macros for the command with the letter `command` (`b'M'` for MAIL).
    ///
    /// Where the filter named the macros it wants with that command, only those are sent, in its order.
    /// Names have braces unless they are single letters. Like both MTAs it sends them before declined
    /// events too, and like Postfix even if there are none.
    pub fn macros(
        &mut self,
        command: u8,
        macros: &[(&str, &[u8])],
        out: &mut Vec<u8>,
    ) -> Result<Sent, Misuse> {
        self.turn("MACRO", self.phase > Phase::Fresh && self.phase < Phase::Over)?;
        let gone = match self.shown {
            Shown::NotTheSession => true,
            Shown::NotTheMessage => !matches!(command, b'C' | b'H' | b'M' | b'U'),
            Shown::Everything | Shown::NotTheBody => false,
        };
        if gone {
            return Ok(Sent::Withheld);
        }
        let find = |wanted: &String| macros.iter().find(|(name, _)| name == wanted);
        let selected: Vec<_> = match self.symbols.at(command) {
            Some(names) => names.iter().filter_map(find).collect(),
            None => macros.iter().collect(),
        };
        let mut pairs = Vec::new();
        for (name, value) in selected {
            put_string(name.as_bytes(), &mut pairs);
            put_string(value, &mut pairs);
        }
        Command::Macros { command, pairs: &pairs }.put(out);
        Ok(Sent::Silent)
    }

    /// Announces the client: its name (`[address]` if it has none), address and port.
    ///
    /// To be called once per session, before HELO, whether or not the filter wants to see it.
    pub fn connect(
        &mut self,
        name: &[u8],
        client: Client,
        port: u16,
        out: &mut Vec<u8>,
    ) -> Result<Sent, Misuse> {
        self.turn("CONNECT", self.phase == Phase::Negotiated)?;
        self.phase = Phase::Connected;
        let (family, port, address) = match client {
            Client::Ip(ip) => (if ip.is_ipv4() { b'4' } else { b'6' }, port, ip.to_string()),
            Client::Local => (b'L', 0, String::new()),
            Client::Unknown => (b'U', 0, String::new()),
        };
        let command = Command::Connect { name: cut(name), family, port, address: address.as_bytes() };
        Ok(self.show(Event::Connect, command, out))
    }

    /// HELO or EHLO; as often as the client says it, also while a message is open.
    pub fn helo(&mut self, name: &[u8], out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("HELO", self.phase >= Phase::Connected && self.before_content())?;
        Ok(self.show(Event::Helo, Command::Helo(cut(name)), out))
    }

    /// MAIL: begins a message. One that was refused or let go need not be ended by ABORT first, which
    /// Postfix always sends and Sendmail never.
    pub fn mail(&mut self, address: &[u8], parameters: &[&[u8]], out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("MAIL", self.phase == Phase::Connected || self.gone())?;
        self.end_message();
        self.phase = Phase::Envelope;
        let data = strings(address, parameters);
        Ok(Strings::new(&data)
            .map_or(Sent::Withheld, |strings| self.show(Event::Mail, Command::Mail(strings), out)))
    }

    /// RCPT: one recipient. May come again after a refused DATA.
    pub fn rcpt(&mut self, address: &[u8], parameters: &[&[u8]], out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("RCPT", self.phase == Phase::Envelope || self.gone())?;
        let data = strings(address, parameters);
        let Some(strings) = Strings::new(&data) else { return Ok(Sent::Withheld) };
        let sent = self.show(Event::Rcpt, Command::Rcpt(strings), out);
        if sent != Sent::Due {
            self.recipients += 1;
        }
        Ok(sent)
    }

    /// A recipient that the MTA itself has refused: shown only to a filter that asked for such, and
    /// whatever it answers has no effect.
    pub fn refused_rcpt(
        &mut self,
        address: &[u8],
        parameters: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<Sent, Misuse> {
        self.turn("RCPT", self.phase == Phase::Envelope || self.gone())?;
        let data = strings(address, parameters);
        let wanted = self.answer.protocol.contains(Protocol::RCPT_REJ);
        match Strings::new(&data) {
            Some(strings) if wanted => {
                let sent = self.show(Event::Rcpt, Command::Rcpt(strings), out);
                if sent == Sent::Due {
                    self.due = Some(Due::RefusedRecipient);
                }
                Ok(sent)
            }
            _ => Ok(Sent::Withheld),
        }
    }

    /// DATA. To be called for every message with content; withheld if no recipient is left.
    pub fn data(&mut self, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("DATA", self.phase == Phase::Envelope || self.gone())?;
        self.stopped = self.recipients == 0;
        if self.stopped || self.gone() {
            return Ok(Sent::Withheld);
        }
        self.phase = Phase::Data;
        Ok(self.show(Event::Data, Command::Data, out))
    }

    /// One header field. `value` is what stands behind the colon, with line feeds where it is folded; one
    /// leading blank is taken off unless the filter asked to keep it.
    pub fn header(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.content("HEADER", Phase::Data)?;
        let (name, value) = (cut(name), cut(value));
        let keep = self.answer.protocol.contains(Protocol::HDR_LEADSPC);
        let value = if keep { value } else { value.strip_prefix(b" ").unwrap_or(value) };
        Ok(self.show(Event::Header, Command::Header { name, value }, out))
    }

    /// The end of the header section.
    pub fn end_of_headers(&mut self, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.content("EOH", Phase::Data)?;
        if self.phase == Phase::Data {
            self.phase = Phase::EndOfHeaders;
        }
        Ok(self.show(Event::EndOfHeaders, Command::EndOfHeaders, out))
    }

    /// A piece of the body, at most 65,535 octets.
    pub fn body(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.content("BODY", Phase::EndOfHeaders)?;
        if chunk.len() > CHUNK {
            return Err(Misuse::Chunk(chunk.len()));
        }
        if self.shown == Shown::NotTheBody {
            return Ok(Sent::Withheld);
        }
        Ok(self.show(Event::Body, Command::Body(chunk), out))
    }

    /// The end of the message. Its answer may bring [`Mta::modifications`].
    pub fn end_of_message(&mut self, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.content("BODYEOB", Phase::EndOfHeaders)?;
        if self.phase < Phase::EndOfHeaders || self.gone() {
            self.end_message();
            return Ok(Sent::Withheld);
        }
        self.modifications.clear();
        self.body = NewBody::None;
        self.pieces.clear();
        self.asked = (0, 0);
        self.progress = 0;
        Command::EndOfMessage(b"").put(out);
        self.due = Some(Due::EndOfMessage);
        Ok(Sent::Due)
    }

    /// A command that the MTA does not know; to filters of version 3 and later.
    pub fn unknown(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("UNKNOWN", self.phase >= Phase::Connected && self.before_content())?;
        if self.answer.version < 3 {
            return Ok(Sent::Withheld);
        }
        Ok(self.show(Event::Unknown, Command::Unknown(cut(line)), out))
    }

    /// ABORT: gives the open message up. Postfix sends it after every message, twice at times.
    pub fn abort(&mut self, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("ABORT", self.phase > Phase::Fresh && self.phase < Phase::Over)?;
        self.end_message();
        Command::Abort.put(out);
        Ok(Sent::Silent)
    }

    /// QUIT: ends the session and the conversation.
    pub fn quit(&mut self, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        self.turn("QUIT", self.phase < Phase::Over)?;
        self.phase = Phase::Over;
        Command::Quit.put(out);
        Ok(Sent::Silent)
    }

    /// `QUIT_NC`: ends the session; [`Mta::connect`] begins the next one. Only from version 6 on.
    pub fn quit_new_connection(&mut self, out: &mut Vec<u8>) -> Result<Sent, Misuse> {
        let possible =
            self.phase > Phase::Fresh && self.phase < Phase::Over && self.answer.version >= VERSION;
        self.turn("QUIT_NC", possible)?;
        self.end_message();
        self.phase = Phase::Negotiated;
        self.shown = Shown::Everything;
        Command::QuitNewConnection.put(out);
        Ok(Sent::Silent)
    }

    /// Whether the open message or the whole session is no longer shown.
    fn gone(&self) -> bool {
        let message = self.shown == Shown::NotTheMessage && self.phase >= Phase::Envelope;
        let session = self.shown == Shown::NotTheSession && self.phase >= Phase::Connected;
        (message || session) && self.phase < Phase::Over
    }

    /// Whether the client can still give commands: no message content is under way.
    fn before_content(&self) -> bool {
        self.phase <= Phase::Envelope || self.gone()
    }

    fn turn(&self, event: &'static str, possible: bool) -> Result<(), Misuse> {
        if self.due.is_some() {
            Err(Misuse::ReplyDue)
        } else if possible {
            Ok(())
        } else {
            Err(Misuse::Turn(event))
        }
    }

    /// Whether an event of the message's content can come now.
    fn content(&self, event: &'static str, phase: Phase) -> Result<(), Misuse> {
        let stopped = self.stopped && self.phase == Phase::Envelope;
        self.turn(event, self.phase == phase || stopped || self.gone())
    }

    /// Sends an event, unless it is not to be seen.
    fn show(&mut self, event: Event, command: Command<'_>, out: &mut Vec<u8>) -> Sent {
        let protocol = self.answer.protocol;
        let too_old = event == Event::Data && self.answer.version < 4;
        let session_event = matches!(event, Event::Connect | Event::Helo | Event::Unknown);
        let hidden = match self.shown {
            Shown::NotTheSession => true,
            Shown::NotTheMessage => !session_event,
            Shown::Everything | Shown::NotTheBody => {
                self.stopped && matches!(event, Event::Header | Event::EndOfHeaders | Event::Body)
            }
        };
        if hidden || too_old || protocol.declines(event) {
            return Sent::Withheld;
        }
        command.put(out);
        if protocol.silences(event) {
            return Sent::Silent;
        }
        self.due = Some(Due::Event(event));
        Sent::Due
    }

    fn end_message(&mut self) {
        self.phase = self.phase.min(Phase::Connected);
        self.recipients = 0;
        self.stopped = false;
        if self.shown != Shown::NotTheSession {
            self.shown = Shown::Everything;
        }
    }
}

/// The text up to its first NUL, where every MTA ends it.
fn cut(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |nul| &text[..nul])
}

fn put_string(text: &[u8], data: &mut Vec<u8>) {
    data.extend_from_slice(cut(text));
    data.push(0);
}

fn strings(address: &[u8], parameters: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::new();
    for text in std::iter::once(&address).chain(parameters) {
        put_string(text, &mut data);
    }
    data
}

#[cfg(test)]
mod tests;
