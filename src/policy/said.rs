//! What is said of mail by something beside the lists: an access map, a policy about recipients, a limit.
//!
//! Who says it has looked already; here it only becomes part of the judgement. What is let in is spared the lists
//! and the rules, never what somebody else says against it.

use std::sync::Arc;

use super::{Cause, Judgement, Mode, Policy};
use crate::smtp::Reply;
use crate::verdict::Act;

/// Something that is said of a client, a message or a recipient, as long as it is the one in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who says it: stands in the log where the name of a rule would stand.
    pub by: Arc<str>,
    /// What.
    pub word: Word,
    /// Whether it is in force.
    pub mode: Mode,
    /// Why, for the log: such as a key with file and line. Printable.
    pub because: Box<str>,
}

/// What can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Neither lists nor rules matter.
    Spare,
    /// Nothing; the log tells why.
    Note,
    /// To be refused in these words.
    Refuse(Reply),
    /// To come again, in these words.
    Defer(Reply),
    /// To be taken and dropped.
    Discard,
    /// To be held, for this reason; if there is none, in the name of who says it.
    Quarantine(Box<str>),
}

/// Who lets mail in that lists and rules may have something against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spared {
    /// Who.
    pub by: Arc<str>,
    /// Whether that is in force.
    pub mode: Mode,
    /// Why.
    pub because: Box<str>,
}

impl Said {
    /// What is done on account of it.
    pub fn act(&self) -> Option<Act> {
        Some(match self.word {
            Word::Spare | Word::Note => return None,
            Word::Refuse(_) => Act::Refuse,
            Word::Defer(_) => Act::Defer,
            Word::Discard => Act::Discard,
            Word::Quarantine(_) => Act::Quarantine,
        })
    }

    fn cause(&self) -> Option<Cause> {
        let (reply, reason) = match &self.word {
            Word::Refuse(reply) | Word::Defer(reply) => (Some(reply.clone()), None),
            Word::Quarantine(reason) => (None, (!reason.is_empty()).then(|| reason.clone())),
            Word::Spare | Word::Note | Word::Discard => (None, None),
        };
        let (rule, because) = (Arc::clone(&self.by), self.because.clone());
        Some(Cause { act: self.act()?, rule, finding: None, reply, reason, because })
    }

    fn spared(&self) -> Option<Spared> {
        let spared = Spared { by: Arc::clone(&self.by), mode: self.mode, because: self.because.clone() };
        (self.word == Word::Spare).then_some(spared)
    }
}

impl Policy {
    /// What becomes of a judgement about lists and rules with all else that is said at this stage.
    ///
    /// The strongest reason wins; among equally strong ones what is said comes before the lists, and what is said
    /// first before the rest. What is only looked on at changes nothing but the shadow of the judgement.
    #[must_use]
    pub fn heed(&self, judgement: Judgement, said: &[Said]) -> Judgement {
        if said.is_empty() {
            return judgement;
        }
        let counts = |said: &Said| !self.observe && said.mode == Mode::Enforce;
        let own = judgement.cause.clone();
        let all = judgement.shadow.clone().or_else(|| own.clone());
        let cause = strongest(own, said.iter().filter(|said| counts(said)));
        let would = strongest(all, said.iter());
        let mut friends = said.iter().filter(|said| said.word == Word::Spare);
        let in_force = friends.clone().find(|said| counts(said));
        let spared = in_force.or_else(|| friends.next()).and_then(Said::spared);
        let is_lost = cause.as_ref().is_some_and(|cause| matches!(cause.act, Act::Refuse | Act::Defer));
        let tags = if is_lost || in_force.is_some() { Vec::new() } else { judgement.tags };
        let reason = |cause: &Cause| (cause.act, Arc::clone(&cause.rule), cause.finding);
        let shadow = would.filter(|would| cause.as_ref().map(reason) != Some(reason(would)));
        // In a policy that only looks on nothing is spared either.
        let mode = |spared: &Spared| if self.observe { Mode::Shadow } else { spared.mode };
        let spared = spared.map(|spared| Spared { mode: mode(&spared), ..spared });
        Judgement { cause, shadow, tags, spared, ..judgement }
    }
}

/// The strongest of what lists and rules lead to and what is said.
fn strongest<'a>(lists: Option<Cause>, said: impl Iterator<Item = &'a Said> + Clone) -> Option<Cause> {
    let is_spared = said.clone().any(|said| said.word == Word::Spare);
    let mut best: Option<Cause> = None;
    for cause in said.filter_map(Said::cause) {
        if best.as_ref().is_none_or(|best| cause.act > best.act) {
            best = Some(cause);
        }
    }
    match (best, lists.filter(|_| !is_spared)) {
        (Some(best), Some(lists)) => Some(if lists.act > best.act { lists } else { best }),
        (best, lists) => best.or(lists),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Replies, ReplyStyle, Score};
    use crate::verdict::HeaderName;

    fn policy() -> Policy {
        Policy::new(Vec::new(), Score::default(), Replies::new(ReplyStyle::Own))
    }

    fn reply(text: &str) -> Reply {
        Reply::new(550, "5.7.1", text).expect("a reply")
    }

    fn said(by: &str, word: Word) -> Said {
        Said { by: by.into(), word, mode: Mode::Enforce, because: format!("{by}:1").into() }
    }

    fn listed(act: Act) -> Judgement {
        let (reply, reason, because) = (None, None, "".into());
        let cause = Cause { act, rule: "zen".into(), finding: Some(0), reply, reason, because };
        let tags = vec![(HeaderName::new("X-Spam").expect("a name"), "yes".to_owned())];
        Judgement { cause: Some(cause), tags, ..Judgement::default() }
    }

    fn by(cause: Option<&Cause>) -> Option<(&str, Act)> {
        cause.map(|cause| (&*cause.rule, cause.act))
    }

    #[test]
    fn the_strongest_word_wins_and_says_why() {
        let words = [
            said("limit", Word::Quarantine("look".into())),
            said("access", Word::Refuse(reply("a"))),
            said("b", Word::Refuse(reply("b"))),
        ];
        for lists in [Judgement::default(), listed(Act::Discard), listed(Act::Refuse)] {
            let heeded = policy().heed(lists, &words);
            assert_eq!(by(heeded.cause.as_ref()), Some(("access", Act::Refuse)));
            let cause = heeded.cause.expect("a cause");
            assert_eq!((cause.because.as_ref(), cause.reply), ("access:1", Some(reply("a"))));
            assert_eq!((heeded.shadow, heeded.tags), (None, Vec::new()));
        }
        let heeded = policy().heed(listed(Act::Refuse), &words[..1]);
        assert_eq!(by(heeded.cause.as_ref()), Some(("zen", Act::Refuse)));
        let held = policy().heed(Judgement::default(), &words[..1]).cause.expect("a cause");
        assert_eq!(held.reason.as_deref(), Some("look"));
        assert_eq!(policy().heed(listed(Act::Tag), &[]), listed(Act::Tag));
    }

    #[test]
    fn who_is_let_in_is_spared_the_lists_but_not_what_others_say() {
        let heeded = policy().heed(listed(Act::Refuse), &[said("access", Word::Spare)]);
        assert_eq!((heeded.cause, heeded.tags), (None, Vec::new()));
        assert_eq!(heeded.spared.map(|spared| spared.by), Some("access".into()));
        let both = [said("access", Word::Spare), said("list", Word::Refuse(reply("members only")))];
        let heeded = policy().heed(listed(Act::Refuse), &both);
        assert_eq!(by(heeded.cause.as_ref()), Some(("list", Act::Refuse)));
        let heeded = policy().heed(listed(Act::Tag), &[said("access", Word::Note)]);
        assert_eq!((by(heeded.cause.as_ref()), heeded.tags.len()), (Some(("zen", Act::Tag)), 1));
    }

    #[test]
    fn what_is_not_in_force_is_only_told() {
        let shadow = |said: Said| Said { mode: Mode::Shadow, ..said };
        let heeded = policy().heed(Judgement::default(), &[shadow(said("access", Word::Refuse(reply("x"))))]);
        assert_eq!((by(heeded.shadow.as_ref()), heeded.cause), (Some(("access", Act::Refuse)), None));
        let heeded = policy().heed(listed(Act::Refuse), &[shadow(said("access", Word::Spare))]);
        assert_eq!(by(heeded.cause.as_ref()), Some(("zen", Act::Refuse)));
        assert_eq!(heeded.spared.map(|spared| spared.mode), Some(Mode::Shadow));
        let looking = policy().observing(true);
        let heeded = looking.heed(Judgement::default(), &[said("access", Word::Discard)]);
        assert_eq!((by(heeded.shadow.as_ref()), heeded.cause), (Some(("access", Act::Discard)), None));
        let heeded = looking.heed(Judgement::default(), &[said("access", Word::Spare)]);
        assert_eq!(heeded.spared.map(|spared| spared.mode), Some(Mode::Shadow));
    }
}
