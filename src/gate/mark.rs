//! What a message has earned until its end.
//!
//! Header fields, a place in quarantine and the dustbin are the whole message's, while rules look at single
//! recipients: where recipients differ, the mildest of what they earned is done, and all tags are set. Only what a map says to
//! drop for one recipient is dropped for it alone: it is taken off the message.

use serde::{Deserialize, Serialize};

use crate::policy::{Cause, Judgement};
use crate::smtp::{Reply, printable};
use crate::verdict::{Act, Decision, Edit, HeaderName, HeaderValue, Verdict};

/// Most header fields that a message gets; each recipient may bring others.
const FIELDS: usize = 32;

/// Most recipients that are taken off a message; as many as Postfix lets one have (`smtpd_recipient_limit`).
const DROPPED: usize = 1_000;

/// Longest reason of a quarantine, in octets: a line in the log of the mail server.
const REASON: usize = 400;

/// Most header fields that are taken out of a message: more than three filters of our kind put there together, and
/// no honest message has them. Each one costs Postfix a walk over the whole header section: 10,000 take it 8.5 s of
/// CPU, 100 take 0.05 s.
const FORGED: u32 = 100;

/// What is to be done at the end of the open message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    fate: Fate,
    /// Why.
    reason: Box<str>,
    /// Names and values of header fields.
    fields: Vec<(Box<str>, Box<str>)>,
    /// Recipients that are not to get it, as they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<Box<str>>,
    /// Recipients that were let in have had their say; before that it is that of MAIL.
    by_recipients: bool,
}

/// What becomes of the message, the mildest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Fate {
    #[default]
    Delivered,
    Held,
    Dropped,
}

impl Mark {
    /// Takes what was decided at MAIL, for all recipients.
    pub(super) fn set(&mut self, judgement: &Judgement) {
        *self = Self::of(judgement);
    }

    /// Takes what was decided about one recipient that is let in.
    pub(super) fn join(&mut self, judgement: &Judgement) {
        let mut one = Self::of(judgement);
        one.by_recipients = true;
        if !self.by_recipients {
            one.dropped = std::mem::take(&mut self.dropped);
            *self = one;
            return;
        }
        if one.fate < self.fate {
            (self.fate, self.reason) = (one.fate, one.reason);
        }
        for field in one.fields {
            if self.fields.len() < FIELDS && !self.fields.contains(&field) {
                self.fields.push(field);
            }
        }
    }

    /// Notes a recipient that is not to get the message, whoever else does. Whether there is room for it, and it can be
    /// named.
    pub(super) fn drop_for(&mut self, recipient: &[u8]) -> bool {
        let name = std::str::from_utf8(recipient).ok().filter(|_| self.dropped.len() < DROPPED);
        self.dropped.extend(name.map(Into::into));
        name.is_some()
    }

    /// Whether the message goes on as it is, so far.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn of(judgement: &Judgement) -> Self {
        let (fate, reason) = match &judgement.cause {
            Some(cause) if cause.act == Act::Discard => (Fate::Dropped, cause.rule.to_string()),
            Some(Cause { act: Act::Quarantine, rule, reason, .. }) => {
                let reason =
                    reason.as_ref().map_or_else(|| rule.to_string(), |reason| format!("{rule}: {reason}"));
                (Fate::Held, reason)
            }
            _ => (Fate::Delivered, String::new()),
        };
        // A map may have written it.
        let reason = printable(reason.as_bytes(), REASON);
        let fields = judgement.tags.iter().take(FIELDS);
        let fields = fields.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
        Self { fate, reason: reason.into(), fields, dropped: Vec::new(), by_recipients: false }
    }

    /// The decision at the end of the message. What is `forged` goes first, the last one first: Postfix renumbers.
    ///
    /// `names` are those of our header fields. A message with too many forged ones is refused, whatever it has earned
    /// but to be dropped: what is left of them would pass for ours.
    pub(super) fn carry_out(&self, forged: &Forged, names: &[HeaderName]) -> Decision {
        let verdict = match self.fate {
            Fate::Delivered => Verdict::Continue,
            Fate::Held => Verdict::Quarantine(format!("gatepost: {}", self.reason).into()),
            Fate::Dropped => return Verdict::Discard.into(),
        };
        if forged.is_too_many() {
            let reply = Reply::new(554, "5.7.1", "too many header fields that only this server may add");
            return reply.map_or(Verdict::Reject, Verdict::Refuse).into();
        }
        let mut edits = Vec::new();
        for (name, count) in forged.by_name(names) {
            edits.extend((1..=count).rev().map(|index| Edit::DeleteHeader(index, name.clone())));
        }
        for (name, value) in &self.fields {
            // Both were checked when they were made; what another process stored is checked again.
            if let (Ok(name), Ok(value)) = (HeaderName::new(name), HeaderValue::new(value)) {
                edits.push(Edit::InsertHeader(0, name, value));
            }
        }
        edits.extend(self.dropped.iter().map(|recipient| Edit::DeleteRecipient(recipient.to_string())));
        Decision { verdict, edits }
    }

    /// What is done, for the count of decisions.
    pub(super) fn act(&self) -> Option<Act> {
        match self.fate {
            Fate::Dropped => Some(Act::Discard),
            Fate::Held => Some(Act::Quarantine),
            Fate::Delivered => (!self.fields.is_empty()).then_some(Act::Tag),
        }
    }
}

/// How many header fields of the open message have each of our names.
///
/// The names stand beside the counts, since those of the process that goes on with the message may be others. A form
/// without names is that of a process that has the same ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forged {
    #[serde(rename = "forged", default, skip_serializing_if = "Vec::is_empty")]
    counts: Vec<u32>,
    #[serde(rename = "forged_names", default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<Box<str>>,
}

impl Forged {
    /// Looks at one header field.
    pub(super) fn count(&mut self, names: &[HeaderName], name: &[u8]) {
        let name = name.trim_ascii_end();
        let is_it = |own: &str| own.as_bytes().eq_ignore_ascii_case(name);
        let Some(own) = names.iter().find(|own| is_it(own.as_str())) else { return };
        if self.names.is_empty() {
            self.names = names.iter().map(|name| name.as_str().into()).collect();
        }
        let place = self.names.iter().position(|known| is_it(known)).unwrap_or_else(|| {
            self.names.push(own.as_str().into());
            self.names.len() - 1
        });
        self.counts.resize(self.names.len().max(self.counts.len()), 0);
        self.counts[place] = self.counts[place].saturating_add(1);
    }

    /// Whether there are more of them than are taken out.
    pub(super) fn is_too_many(&self) -> bool {
        self.counts.iter().fold(0, |sum: u32, count| sum.saturating_add(*count)) > FORGED
    }

    /// What is to be taken out, by name; `own` are the names that are ours now.
    fn by_name(&self, own: &[HeaderName]) -> Vec<(HeaderName, u32)> {
        let counts = self.counts.iter().copied();
        if self.names.is_empty() {
            return own.iter().cloned().zip(counts).collect();
        }
        // What another process stored is checked again.
        let names = self.names.iter().map(|name| HeaderName::new(name).ok());
        names.zip(counts).filter_map(|(name, count)| Some((name?, count))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(act: Option<Act>, tags: &[&str]) -> Judgement {
        let (rule, because) = ("r".into(), "".into());
        let cause = act.map(|act| Cause { act, rule, finding: None, reply: None, reason: None, because });
        let name = |name: &str| (HeaderName::new(name).expect("a name"), "yes".to_owned());
        Judgement { cause, tags: tags.iter().map(|tag| name(tag)).collect(), ..Judgement::default() }
    }

    #[test]
    fn a_recipient_whose_mail_is_dropped_is_taken_off_the_message_of_the_others() {
        let mut mark = Mark::default();
        mark.set(&judgement(None, &[]));
        assert!(mark.drop_for(b"<gone@a.example>"));
        assert!(!mark.drop_for(b"<caf\xe9@a.example>"), "no packet can name it");
        mark.join(&judgement(Some(Act::Discard), &[]));
        assert_eq!(mark.carry_out(&Forged::default(), &[]), Verdict::Discard.into(), "nobody is left");
        mark.join(&judgement(None, &[]));
        let delivered = mark.carry_out(&Forged::default(), &[]);
        assert_eq!(delivered.verdict, Verdict::Continue);
        assert_eq!(delivered.edits, [Edit::DeleteRecipient("<gone@a.example>".to_owned())]);
    }

    fn names() -> Vec<HeaderName> {
        ["X-Gatepost", "X-Spam"].map(|name| HeaderName::new(name).expect("a name")).to_vec()
    }

    #[test]
    fn the_mildest_fate_of_all_recipients_is_that_of_the_message() {
        let mut mark = Mark::default();
        mark.set(&judgement(Some(Act::Discard), &[]));
        assert_eq!(mark.carry_out(&Forged::default(), &[]).verdict, Verdict::Discard);
        mark.join(&judgement(Some(Act::Quarantine), &["X-Spam"]));
        mark.join(&judgement(Some(Act::Discard), &["X-Other", "X-Spam"]));
        let held = mark.carry_out(&Forged::default(), &[]);
        assert_eq!((held.verdict, held.edits.len()), (Verdict::Quarantine("gatepost: r".into()), 2));
        mark.join(&judgement(None, &[]));
        let delivered = mark.carry_out(&Forged::default(), &[]);
        assert_eq!((delivered.verdict, delivered.edits.len()), (Verdict::Continue, 2), "tags stay");
        assert_eq!(mark.act(), Some(Act::Tag));
    }

    #[test]
    fn forged_fields_go_from_the_last_one_up_and_before_ours_come() {
        let mut forged = Forged::default();
        for name in [&b"x-gatepost"[..], b"X-Other", b"X-GATEPOST ", b"X-Spam"] {
            forged.count(&names(), name);
        }
        let mut mark = Mark::default();
        mark.set(&judgement(Some(Act::Tag), &["X-Spam"]));
        let edits = mark.carry_out(&forged, &names()).edits;
        let shown: Vec<String> = edits
            .iter()
            .map(|edit| match edit {
                Edit::DeleteHeader(index, name) => format!("-{} {index}", name.as_str()),
                Edit::InsertHeader(index, name, _) => format!("+{} {index}", name.as_str()),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(shown, ["-X-Gatepost 2", "-X-Gatepost 1", "-X-Spam 1", "+X-Spam 0"]);
    }

    /// So many fields of the name.
    fn forged(count: usize, name: &[u8]) -> Forged {
        let mut forged = Forged::default();
        (0..count).for_each(|_| forged.count(&names(), name));
        forged
    }

    #[test]
    fn a_message_of_nothing_but_forged_fields_is_refused_and_costs_nothing() {
        assert_eq!(Mark::default().carry_out(&forged(100, b"X-Gatepost"), &names()).edits.len(), 100);
        let mut both = forged(60, b"X-Gatepost");
        (0..41).for_each(|_| both.count(&names(), b"X-Spam"));
        for forged in [forged(101, b"X-Gatepost"), forged(12_000, b"x-spam "), both] {
            let mut mark = Mark::default();
            for earned in [None, Some(Act::Quarantine)] {
                mark.set(&judgement(earned, &["X-Spam"]));
                let refused = mark.carry_out(&forged, &names());
                let Verdict::Refuse(reply) = refused.verdict else { panic!("{refused:?}") };
                assert!(reply.to_string().starts_with("554 5.7.1 ") && refused.edits.is_empty(), "{reply}");
            }
            mark.set(&judgement(Some(Act::Discard), &[]));
            assert_eq!(mark.carry_out(&forged, &names()).verdict, Verdict::Discard);
        }
    }

    #[test]
    fn counts_keep_their_names_in_a_process_that_has_others() {
        let stored = serde_json::to_value(forged(2, b"X-Spam")).expect("stored");
        // Who knows nothing of names reads the counts as before.
        assert_eq!(stored["forged"], serde_json::json!([0, 2]));
        let taken = |stored| -> Forged { serde_json::from_value(stored).expect("restored") };
        let others = ["X-Gatepost", "X-New"].map(|name| HeaderName::new(name).expect("a name"));
        let mut forged = taken(stored);
        forged.count(&others, b"x-new");
        let shown = |forged: &Forged| -> Vec<String> {
            let by_name = forged.by_name(&others).into_iter();
            by_name.map(|(name, count)| format!("{} {count}", name.as_str())).collect()
        };
        assert_eq!(shown(&forged), ["X-Gatepost 0", "X-Spam 2", "X-New 1"]);
        // What such a process stored.
        assert_eq!(shown(&taken(serde_json::json!({"forged": [0, 2]}))), ["X-Gatepost 0", "X-New 2"]);
        assert_eq!(taken(serde_json::json!({})), Forged::default());
        let absurd = taken(serde_json::json!({"forged": [u32::MAX, u32::MAX]}));
        assert!(absurd.is_too_many() && Mark::default().carry_out(&absurd, &others).edits.is_empty());
    }
}
