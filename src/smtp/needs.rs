//! What a filter needs to be told, and what it may do.

use serde::{Deserialize, Serialize};

use super::Stage;

/// Something an MTA can tell a filter about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Event {
    /// A client connected.
    Connect = 1,
    /// HELO or EHLO.
    Helo = 1 << 1,
    /// MAIL FROM.
    Mail = 1 << 2,
    /// RCPT TO.
    Rcpt = 1 << 3,
    /// DATA.
    Data = 1 << 4,
    /// One header field.
    Header = 1 << 5,
    /// The end of the header section.
    EndOfHeaders = 1 << 6,
    /// A piece of the body.
    Body = 1 << 7,
    /// A command that the MTA does not know.
    Unknown = 1 << 8,
}

/// A set of [`Event`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Events(u16);

impl Events {
    /// Whether all of `other` are among them.
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether the set holds `event`.
    pub fn contains(self, event: Event) -> bool {
        self.0 & event as u16 != 0
    }
}

impl FromIterator<Event> for Events {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        Self(events.into_iter().fold(0, |set, event| set | event as u16))
    }
}

/// A change to the message that a filter may want to make at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Permit {
    /// Add and insert header fields.
    AddHeader = 1,
    /// Change and delete header fields.
    ChangeHeader = 1 << 1,
    /// Add recipients.
    AddRecipient = 1 << 2,
    /// Add recipients with ESMTP parameters.
    AddRecipientWithParameters = 1 << 3,
    /// Delete recipients.
    DeleteRecipient = 1 << 4,
    /// Change the envelope sender.
    ChangeSender = 1 << 5,
    /// Replace the body.
    ReplaceBody = 1 << 6,
    /// Put the message into quarantine.
    Quarantine = 1 << 7,
}

/// A set of [`Permit`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Permits(u16);

impl Permits {
    /// Whether the set holds `permit`.
    pub fn contains(self, permit: Permit) -> bool {
        self.0 & permit as u16 != 0
    }
}

impl FromIterator<Permit> for Permits {
    fn from_iter<I: IntoIterator<Item = Permit>>(permits: I) -> Self {
        Self(permits.into_iter().fold(0, |set, permit| set | permit as u16))
    }
}

/// A part of the envelope that outlives its command only if a filter says so: nothing else of it grows
/// with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Part {
    /// The recipients before the one in question, for a filter that is told of RCPT.
    Recipients = 1,
    /// The ESMTP parameters of MAIL and RCPT.
    Parameters = 1 << 1,
}

/// A set of [`Part`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Parts(u8);

impl Parts {
    /// Whether the set holds `part`.
    pub fn contains(self, part: Part) -> bool {
        self.0 & part as u8 != 0
    }
}

/// What a filter needs: the union over its enabled checks is what it negotiates with the MTA.
///
/// ```
/// use gatepost::smtp::{Event, Needs, Stage};
/// let needs = Needs::default().event(Event::Mail).macros(Stage::Mail, &["{auth_authen}"]);
/// assert!(needs.events.contains(Event::Mail) && !needs.events.contains(Event::Body));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// What the filter wants to be told.
    pub events: Events,
    /// Of these, what it only watches and never answers.
    pub silent: Events,
    /// What the filter may want to change.
    pub permits: Permits,
    /// What of the envelope shall be in the [`Dialog`](super::Dialog) beside sender and recipient.
    pub kept: Parts,
    /// Macro names by stage, single letters without and longer names with braces.
    pub macros: Vec<(Stage, &'static str)>,
    /// Whether recipients that the MTA itself refuses shall be shown too.
    pub rejected_recipients: bool,
    /// Whether header values shall keep the white space after the colon.
    pub leading_space: bool,
}

impl Needs {
    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.0 |= event as u16;
        self
    }

    /// Declares that an event is only watched: the filter's answer to it is always "continue".
    #[must_use]
    pub fn silent(mut self, event: Event) -> Self {
        self.silent.0 |= event as u16;
        self
    }

    /// Adds a permit.
    #[must_use]
    pub fn permit(mut self, permit: Permit) -> Self {
        self.permits.0 |= permit as u16;
        self
    }

    /// Adds a part of the envelope that the filter looks at.
    #[must_use]
    pub fn keep(mut self, part: Part) -> Self {
        self.kept.0 |= part as u8;
        self
    }

    /// Adds macros that are wanted with the command of `stage`.
    #[must_use]
    pub fn macros(mut self, stage: Stage, names: &[&'static str]) -> Self {
        for name in names {
            if !self.macros.contains(&(stage, name)) {
                self.macros.push((stage, name));
            }
        }
        self
    }

    /// The union of two needs.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let answered = (self.events.0 & !self.silent.0) | (other.events.0 & !other.silent.0);
        self.events.0 |= other.events.0;
        self.silent.0 = (self.silent.0 | other.silent.0) & !answered;
        self.permits.0 |= other.permits.0;
        self.kept.0 |= other.kept.0;
        for (stage, name) in &other.macros {
            self = self.macros(*stage, &[name]);
        }
        self.rejected_recipients |= other.rejected_recipients;
        self.leading_space |= other.leading_space;
        self
    }

    /// The macro names wanted at `stage`, in the order in which they were named.
    pub fn macros_at(&self, stage: Stage) -> impl Iterator<Item = &'static str> + '_ {
        self.macros.iter().filter(move |(at, _)| *at == stage).map(|(_, name)| *name)
    }
}
