//! Negotiation: what the MTA offers, and what the filter makes of it.

use serde::{Deserialize, Serialize};

use super::{Frame, ProtocolError};
use crate::smtp::{Event, Events, Needs, Part, Parts, Permit, Stage};

/// The newest protocol version.
pub const VERSION: u32 = 6;

/// What a filter may do to a message: the bits of SMFIF_*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actions(pub u32);

impl Actions {
    /// Add and insert header fields.
    pub const ADDHDRS: Self = Self(0x001);
    /// Replace the body.
    pub const CHGBODY: Self = Self(0x002);
    /// Add recipients.
    pub const ADDRCPT: Self = Self(0x004);
    /// Delete recipients.
    pub const DELRCPT: Self = Self(0x008);
    /// Change and delete header fields.
    pub const CHGHDRS: Self = Self(0x010);
    /// Quarantine.
    pub const QUARANTINE: Self = Self(0x020);
    /// Change the envelope sender.
    pub const CHGFROM: Self = Self(0x040);
    /// Add recipients with parameters.
    pub const ADDRCPT_PAR: Self = Self(0x080);
    /// Name the macros wanted per stage.
    pub const SETSYMLIST: Self = Self(0x100);
    /// All that exist.
    pub const ALL: Self = Self(0x1ff);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Which steps of the protocol are used, and how: the bits of SMFIP_*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Protocol(pub u32);

impl Protocol {
    /// The filter may answer a body chunk with "seen enough".
    pub const SKIP: Self = Self(0x400);
    /// Show recipients that the MTA refused, too.
    pub const RCPT_REJ: Self = Self(0x800);
    /// Header values keep their leading white space.
    pub const HDR_LEADSPC: Self = Self(0x10_0000);
    /// All bits of stock MTAs. The larger chunk sizes (MDS bits) are compile-time
    /// options of Sendmail, are off in packages, and are never agreed to here.
    pub const ALL: Self = Self(0x1f_ffff);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the bit says that `event` is not to be sent.
    pub fn declines(self, event: Event) -> bool {
        let (_, bit, _) = step(event);
        self.0 & bit != 0
    }

    /// Whether the bit says that `event` gets no reply.
    pub fn silences(self, event: Event) -> bool {
        let (_, _, bit) = step(event);
        self.0 & bit != 0
    }
}

/// Events in the order of their bits, with "do not send" and "no reply".
const STEPS: [(Event, u32, u32); 9] = [
    (Event::Connect, 0x001, 0x1000),
    (Event::Helo, 0x002, 0x2000),
    (Event::Mail, 0x004, 0x4000),
    (Event::Rcpt, 0x008, 0x8000),
    (Event::Body, 0x010, 0x8_0000),
    (Event::Header, 0x020, 0x80),
    (Event::EndOfHeaders, 0x040, 0x4_0000),
    (Event::Unknown, 0x100, 0x2_0000),
    (Event::Data, 0x200, 0x1_0000),
];

/// The contents of OPTNEG: versions and bits of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Protocol version.
    pub version: u32,
    /// Action bits.
    pub actions: Actions,
    /// Protocol bits.
    pub protocol: Protocol,
}

impl Offer {
    /// What Postfix and Sendmail offer today.
    pub const V6: Self = Self { version: VERSION, actions: Actions::ALL, protocol: Protocol::ALL };

    pub(super) fn parse(data: &[u8]) -> Result<Self, ProtocolError> {
        let (fixed, _later_additions) =
            data.split_first_chunk::<12>().ok_or(ProtocolError::ShortNegotiation)?;
        let field = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Ok(Self { version: field(0), actions: Actions(field(4)), protocol: Protocol(field(8)) })
    }

    pub(super) fn put(&self, lists: &[u8], out: &mut Vec<u8>) {
        let fields = [self.version, self.actions.0, self.protocol.0].map(u32::to_be_bytes);
        Frame::put(b'O', &[&fields[0], &fields[1], &fields[2], lists], out);
    }
}

/// What both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// The answer that was given to the offer.
    pub answer: Offer,
    /// Events that the filter asked for. Others may come all the same, from an MTA that could not or
    /// would not leave them out; they are answered with "continue".
    wanted: Events,
    /// What of the envelope the filter asked to find in the dialog.
    kept: Parts,
    /// Whether leading white space was wanted but is cut off by the MTA.
    pub(super) restore_space: bool,
}

impl Agreement {
    /// Answers an offer with what is needed: nothing that was not offered, nothing unknown.
    ///
    /// Sets a "do not send" bit for each event without use, "no reply" for each event that is only
    /// watched, and names macros for each stage if the MTA takes such lists.
    ///
    /// # Errors
    /// [`ProtocolError::Version`] if the MTA is older than version 2.
    pub fn answer(offer: Offer, needs: &Needs, out: &mut Vec<u8>) -> Result<Self, ProtocolError> {
        if offer.version < 2 {
            return Err(ProtocolError::Version(offer.version));
        }
        // A zero means "the sets of version 1" to libmilter.
        let actions = if offer.actions.0 == 0 { 0x0f } else { offer.actions.0 } & Actions::ALL.0;
        let protocol = if offer.protocol.0 == 0 { 0x3f } else { offer.protocol.0 } & Protocol::ALL.0;
        let lists = if actions & Actions::SETSYMLIST.0 == 0 { Vec::new() } else { symbol_lists(needs) };
        let mut wanted_actions = wanted_actions(needs);
        if !lists.is_empty() {
            wanted_actions |= Actions::SETSYMLIST.0;
        }
        let answer = Offer {
            version: offer.version.min(VERSION),
            actions: Actions(wanted_actions & actions),
            protocol: Protocol(wanted_protocol(needs) & protocol),
        };
        answer.put(&lists, out);
        let restore_space = needs.leading_space && !answer.protocol.contains(Protocol::HDR_LEADSPC);
        Ok(Self { answer, wanted: needs.events, kept: needs.kept, restore_space })
    }

    /// Whether the filter asked to be told about `event`.
    pub fn wants(&self, event: Event) -> bool {
        self.wanted.contains(event)
    }

    pub(super) fn keep(&mut self, parts: Parts) {
        self.kept = parts;
    }

    /// Whether the filter asked for a part of the envelope.
    pub(super) fn keeps(&self, part: Part) -> bool {
        self.kept.contains(part)
    }

    /// Whether all events are seen that `needs` has.
    pub fn covers(&self, needs: &Needs) -> bool {
        self.wanted.covers(needs.events)
    }

    /// Whether the MTA was told not to send `event`.
    pub fn declined(&self, event: Event) -> bool {
        self.answer.protocol.declines(event)
    }

    /// Whether no reply to `event` was agreed.
    pub fn silent(&self, event: Event) -> bool {
        self.answer.protocol.silences(event)
    }

    /// What the filter would like to change but may not with this MTA.
    pub fn missing(&self, needs: &Needs) -> Actions {
        Actions(wanted_actions(needs) & !self.answer.actions.0)
    }
}

fn step(event: Event) -> (Event, u32, u32) {
    STEPS[STEPS.iter().position(|(at, _, _)| *at == event).unwrap_or_default()]
}

fn wanted_actions(needs: &Needs) -> u32 {
    [
        (Permit::AddHeader, Actions::ADDHDRS),
        (Permit::ChangeHeader, Actions::CHGHDRS),
        (Permit::AddRecipient, Actions::ADDRCPT),
        (Permit::AddRecipientWithParameters, Actions::ADDRCPT_PAR),
        (Permit::DeleteRecipient, Actions::DELRCPT),
        (Permit::ChangeSender, Actions::CHGFROM),
        (Permit::ReplaceBody, Actions::CHGBODY),
        (Permit::Quarantine, Actions::QUARANTINE),
    ]
    .into_iter()
    .filter(|(permit, _)| needs.permits.contains(*permit))
    .fold(0, |bits, (_, action)| bits | action.0)
}

fn wanted_protocol(needs: &Needs) -> u32 {
    let mut bits = 0;
    for (event, do_not_send, no_reply) in STEPS {
        if !needs.events.contains(event) {
            bits |= do_not_send;
        } else if needs.silent.contains(event) {
            bits |= no_reply;
        }
    }
    if needs.events.contains(Event::Body) && !needs.silent.contains(Event::Body) {
        bits |= Protocol::SKIP.0;
    }
    if needs.rejected_recipients {
        bits |= Protocol::RCPT_REJ.0;
    }
    if needs.leading_space {
        bits |= Protocol::HDR_LEADSPC.0;
    }
    bits
}

/// The macros wanted per stage, for every stage: an MTA sends its own choice where it gets no list.
///
/// Stages without need get the queue id: an empty list means "none" to Sendmail and "your own choice"
/// to Postfix. End of message (5) and end of headers (6) always come together, since Sendmail 8.17
/// ignores the one without the other.
fn symbol_lists(needs: &Needs) -> Vec<u8> {
    let stages = [
        (0_u32, Stage::Connect),
        (1, Stage::Helo),
        (2, Stage::Mail),
        (3, Stage::Rcpt),
        (4, Stage::Data),
        (5, Stage::Message),
        (6, Stage::Message),
    ];
    let mut lists = Vec::with_capacity(256);
    for (number, stage) in stages {
        lists.extend_from_slice(&number.to_be_bytes());
        let names = lists.len();
        for name in needs.macros_at(stage) {
            lists.extend_from_slice(name.as_bytes());
            lists.push(b' ');
        }
        if lists.len() == names {
            lists.extend_from_slice(b"i ");
        }
        // The list ends where the next blank would be.
        lists.pop();
        lists.push(0);
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offer: Offer, needs: &Needs) -> (Agreement, Vec<u8>) {
        let mut out = Vec::new();
        let agreement = Agreement::answer(offer, needs, &mut out).expect("agreement");
        (agreement, out)
    }

    fn envelope() -> Needs {
        Needs::default()
            .event(Event::Connect)
            .event(Event::Helo)
            .event(Event::Mail)
            .macros(Stage::Connect, &["{daemon_name}", "{daemon_port}"])
            .macros(Stage::Mail, &["i", "{auth_authen}"])
    }

    #[test]
    fn only_what_was_offered_is_asked_for() {
        let all =
            (0..9).fold(Needs::default(), |needs, n| needs.event(STEPS[n].0)).permit(Permit::ChangeSender);
        for (version, actions, protocol) in [
            (2, 0x1ff, 0x7f),
            (2, 0x3f, 0x7f),
            (3, 0x1ff, 0x17f),
            (4, 0x1ff, 0x37f),
            (6, 0x0ff, 0x042),
            (2, 0, 0),
        ] {
            let offer = Offer { version, actions: Actions(actions), protocol: Protocol(protocol) };
            for needs in [&Needs::default(), &envelope(), &all] {
                let (agreement, out) = answer(offer, needs);
                assert_eq!(agreement.answer.version, version);
                let offered = if actions == 0 { 0x0f } else { actions };
                assert_eq!(agreement.answer.actions.0 & !offered, 0);
                let offered = if protocol == 0 { 0x3f } else { protocol };
                assert_eq!(agreement.answer.protocol.0 & !offered, 0);
                assert_eq!(
                    out.len() > 17,
                    actions & 0x100 != 0,
                    "symbol lists exactly where they are understood"
                );
            }
        }
    }

    #[test]
    fn versions_and_bits_of_the_future_are_masked() {
        let offer = Offer { version: 0x7fff_ffff, actions: Actions(u32::MAX), protocol: Protocol(u32::MAX) };
        let (agreement, _) = answer(offer, &envelope());
        assert_eq!(agreement.answer.version, 6);
        assert_eq!(agreement.answer.actions, Actions::SETSYMLIST);
        assert_eq!(agreement.answer.protocol.0, 0x008 | 0x010 | 0x020 | 0x040 | 0x100 | 0x200);
    }

    #[test]
    fn old_versions_and_short_packets_are_refused() {
        for version in [0, 1] {
            let offer = Offer { version, ..Offer::V6 };
            assert_eq!(
                Agreement::answer(offer, &envelope(), &mut Vec::new()),
                Err(ProtocolError::Version(version))
            );
        }
        for short in [0, 4, 8, 11] {
            assert_eq!(Offer::parse(&vec![0; short]), Err(ProtocolError::ShortNegotiation));
        }
        assert!(Offer::parse(&[0; 32]).is_ok());
    }

    #[test]
    fn symbol_lists_are_in_the_one_form_that_all_mtas_read() {
        let (_, out) = answer(Offer::V6, &envelope());
        let mut expected = Vec::new();
        for (number, names) in [
            (0_u32, "{daemon_name} {daemon_port}"),
            (1, "i"),
            (2, "i {auth_authen}"),
            (3, "i"),
            (4, "i"),
            (5, "i"),
            (6, "i"),
        ] {
            expected.extend_from_slice(&number.to_be_bytes());
            expected.extend_from_slice(names.as_bytes());
            expected.push(0);
        }
        assert_eq!(&out[17..], expected);
    }

    #[test]
    fn each_wish_asks_for_its_bit() {
        let body = Needs::default().event(Event::Body);
        for (needs, bits) in [
            (Needs::default(), 0x37f),
            (body.clone(), 0x36f | Protocol::SKIP.0),
            (body.silent(Event::Body), 0x36f | 0x8_0000),
            (Needs { rejected_recipients: true, ..Needs::default() }, 0x37f | Protocol::RCPT_REJ.0),
            (Needs { leading_space: true, ..Needs::default() }, 0x37f | Protocol::HDR_LEADSPC.0),
        ] {
            assert_eq!(answer(Offer::V6, &needs).0.answer.protocol, Protocol(bits), "{needs:?}");
        }
    }

    #[test]
    fn an_agreement_covers_a_new_filter_that_wants_to_see_no_more() {
        let (agreement, _) = answer(Offer::V6, &envelope());
        assert!(agreement.covers(&envelope()) && agreement.covers(&Needs::default().event(Event::Mail)));
        assert!(!agreement.covers(&envelope().event(Event::Body)));
    }

    #[test]
    fn watched_events_ask_for_no_reply_where_that_is_known() {
        let needs = Needs::default().event(Event::Header).silent(Event::Header);
        assert!(answer(Offer::V6, &needs).0.silent(Event::Header));
        let old = Offer { version: 2, actions: Actions(0x3f), protocol: Protocol(0x7f) };
        let (agreement, _) = answer(old, &needs);
        assert!(!agreement.silent(Event::Header) && !agreement.declined(Event::Header));
        assert!(agreement.declined(Event::Body));
    }
}
