//! What a message has earned until its end.
//!
//! Header fields, a place in quarantine and the dustbin are the whole message's, while rules look at single
//! recipients: where recipients differ, the mildest of what they earned is done, and all tags are set.

use serde::{Deserialize, Serialize};

use crate::policy::Judgement;
use crate::verdict::{Act, Decision, Edit, HeaderName, HeaderValue, Verdict};

/// Most header fields that a message gets; each recipient may bring others.
const FIELDS: usize = 32;

/// Most header fields that are taken out of a message. Postfix reads 100 KiB of headers by default, which are
/// some 8,000 of the shortest fields that could be meant.
const FORGED: u32 = 10_000;

/// What is to be done at the end of the open message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    fate: Fate,
    /// Why.
    reason: Box<str>,
    /// Names and values of header fields.
    fields: Vec<(Box<str>, Box<str>)>,
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

    /// Whether the message goes on as it is, so far.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn of(judgement: &Judgement) -> Self {
        let (fate, reason) = match &judgement.cause {
            Some(cause) if cause.act == Act::Discard => (Fate::Dropped, &*cause.rule),
            Some(cause) if cause.act == Act::Quarantine => (Fate::Held, &*cause.rule),
            _ => (Fate::Delivered, ""),
        };
        let fields = judgement.tags.iter().take(FIELDS);
        let fields = fields.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
        Self { fate, reason: reason.into(), fields, by_recipients: false }
    }

    /// The decision at the end of the message. What is `forged` goes first, the last one first: Postfix renumbers.
    pub(super) fn carry_out(&self, forged: &Forged, names: &[HeaderName]) -> Decision {
        let verdict = match self.fate {
            Fate::Delivered => Verdict::Continue,
            Fate::Held => Verdict::Quarantine(format!("gatepost: {}", self.reason).into()),
            Fate::Dropped => return Verdict::Discard.into(),
        };
        let mut edits = Vec::new();
        for (name, count) in names.iter().zip(&forged.0) {
            edits.extend((1..=*count).rev().map(|index| Edit::DeleteHeader(index, name.clone())));
        }
        for (name, value) in &self.fields {
            // Both were checked when they were made; what another process stored is checked again.
            if let (Ok(name), Ok(value)) = (HeaderName::new(name), HeaderValue::new(value)) {
                edits.push(Edit::InsertHeader(0, name, value));
            }
        }
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forged(Vec<u32>);

impl Forged {
    /// Whether there are none.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at one header field.
    pub(super) fn count(&mut self, names: &[HeaderName], name: &[u8]) {
        let name = name.trim_ascii_end();
        let Some(place) = names.iter().position(|own| own.as_str().as_bytes().eq_ignore_ascii_case(name))
        else {
            return;
        };
        self.0.resize(names.len().max(self.0.len()), 0);
        self.0[place] = (self.0[place] + 1).min(FORGED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Cause;

    fn judgement(act: Option<Act>, tags: &[&str]) -> Judgement {
        let cause = act.map(|act| Cause { act, rule: "r".into(), finding: None, reply: None });
        let name = |name: &str| (HeaderName::new(name).expect("a name"), "yes".to_owned());
        Judgement { cause, tags: tags.iter().map(|tag| name(tag)).collect(), ..Judgement::default() }
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

    #[test]
    fn a_message_of_nothing_but_forged_fields_costs_little() {
        let mut forged = Forged::default();
        for _ in 0..100_000 {
            forged.count(&names(), b"X-Gatepost");
        }
        assert_eq!(Mark::default().carry_out(&forged, &names()).edits.len(), 10_000);
    }
}
