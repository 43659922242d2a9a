//! From findings to a decision, and the words of every reply. Pure.
//!
//! Never looks anything up, never waits; the same findings always give the same decision.

mod relation;
mod replies;
mod review;
mod rule;
mod said;
mod tag;
mod template;
mod words;

use std::borrow::Borrow;
use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use crate::smtp::{Dialog, Reply, Stage};
use crate::verdict::{Act, Codes, Finding, HeaderName, Identity, Outcome};

pub use replies::{Replies, ReplyStyle};
pub use review::{Fate, Looked, Review};
pub use rule::{Condition, Effect, Facts, Mode, OnTrouble, Rule, Spares, Trigger};
pub use said::{Said, Spared, Word};
pub use tag::{BadTag, Tag};
pub use template::{BadTemplate, Template, Variable};

/// The policy: rules, what their sum leads to, and words for each case.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    /// From which stage on each rule can fire.
    ripe: Vec<Stage>,
    score: Score,
    replies: Replies,
    observe: bool,
    has_conditions: bool,
    /// Some rule does something although no list has anything.
    acts_unasked: bool,
}

/// What the sum of all rules that count leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// What is done from which sum on.
    pub thresholds: Vec<(i32, Act)>,
    /// The words of a refusal or deferral.
    pub reply: Option<Template>,
    /// The header field of a tag.
    pub tag: Option<Tag>,
}

/// The name of the score in the log, where that of a rule would stand.
pub const SCORE: &str = "score";

/// The name of the rule that lets in mail for `exempt_recipients`.
pub const EXEMPT_RECIPIENTS: &str = "exempt-recipients";

/// The name of access maps in the log, where that of a rule would stand.
pub const ACCESS: &str = "access";

/// The name of checks of addresses in the log, where that of a rule would stand.
pub const SYNTAX: &str = "syntax";

/// What stands before the name of a recipient policy in the log.
pub const RECIPIENT: &str = "recipient-";

/// What stands before the name of a limit in the log.
pub const LIMIT: &str = "limit-";

/// What stands in the place of a rule where a message is refused for its header fields.
pub const FORGED_FIELDS: &str = "forged-fields";

/// What the policy makes of a session as far as it has gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// What is to be done and why; nothing if the mail is let in as it is.
    pub cause: Option<Cause>,
    /// What would be done if all rules were in force; only where that is something else.
    pub shadow: Option<Cause>,
    /// The rules that fired, in the order of the policy.
    pub fired: Vec<Fired>,
    /// The header fields that the rules in force want in the message.
    pub tags: Vec<(HeaderName, String)>,
    /// The sum of the rules in force that count.
    pub score: i32,
    /// Who lets it in, beside the rules; one that is not in force only if none that is does.
    pub spared: Option<Spared>,
}

/// Why something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What is done.
    pub act: Act,
    /// The rule, by its name, or who else says it.
    pub rule: Arc<str>,
    /// The finding that made it fire, by its place; none for a rule about conditions alone, for the score, and for what
    /// is said beside the lists.
    pub finding: Option<usize>,
    /// The words of a refusal or deferral.
    pub reply: Option<Reply>,
    /// The reason of a quarantine, if it is not the name of the rule.
    pub reason: Option<Box<str>>,
    /// The evidence, where it is no finding: such as a key of a map with file and line.
    pub because: Box<str>,
}

/// A rule that fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    /// The rule, by its place.
    pub rule: usize,
    /// The finding that made it fire, by its place.
    pub finding: Option<usize>,
    /// The rule that keeps it from doing anything, by its place; one that is not in force only if none that is does.
    pub spared_by: Option<usize>,
}

/// One look at a session.
struct Look<'a> {
    findings: &'a [(usize, &'a Finding)],
    fired: Vec<Fired>,
    /// Rules that might have let the mail in, had their list been reached, and what it could not be asked about.
    missed: Vec<(usize, usize)>,
    /// Rules, in their order, one of whose conditions that are met [is proof](Condition::is_proof).
    proven: Vec<usize>,
    stage: Stage,
    dialog: &'a Dialog,
}

/// What comes out of a look, with or without the rules that are not in force.
#[derive(Default)]
struct Weighed {
    cause: Option<Cause>,
    score: i32,
}

impl Policy {
    /// A policy of rules; the earlier of two equally strong ones gives the reason.
    pub fn new(rules: Vec<Rule>, score: Score, replies: Replies) -> Self {
        let ripe = rules.iter().map(Rule::ripe).collect();
        let has_conditions = rules.iter().any(|rule| !rule.when.is_empty() || !rule.unless.is_empty());
        let acts = |rule: &Rule| rule.effect.act.is_some() || rule.effect.weight != 0;
        let acts_unasked = rules.iter().any(|rule| rule.trigger == Trigger::Met && acts(rule));
        Self { rules, ripe, score, replies, observe: false, has_conditions, acts_unasked }
    }

    /// The same policy, which only looks on if `observe` is set: nothing is refused, changed or held.
    #[must_use]
    pub fn observing(self, observe: bool) -> Self {
        Self { observe, ..self }
    }

    /// What the sum of rules leads to.
    pub fn score(&self) -> &Score {
        &self.score
    }

    /// Whether it only looks on.
    pub fn is_observing(&self) -> bool {
        self.observe
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether [`Facts`] matter at all.
    pub fn has_conditions(&self) -> bool {
        self.has_conditions
    }

    /// Whether a decision can differ from recipient to recipient even if no list is asked about them.
    pub fn looks_at_recipients(&self) -> bool {
        self.ripe.contains(&Stage::Rcpt)
    }

    /// What it may do at most, at the end of a message: the acts that any rule or threshold has.
    pub fn acts(&self) -> impl Iterator<Item = Act> + '_ {
        let rules = self.rules.iter().filter(|rule| rule.mode == Mode::Enforce && !self.observe);
        let thresholds = self.score.thresholds.iter().filter(|_| !self.observe);
        rules.filter_map(|rule| rule.effect.act).chain(thresholds.map(|(_, act)| *act))
    }

    /// The names of the header fields that it may add.
    pub fn tags(&self) -> impl Iterator<Item = &HeaderName> {
        let own = self.rules.iter().filter(|rule| rule.effect.act == Some(Act::Tag));
        let own = own.map(|rule| rule.effect.tag.as_ref().unwrap_or(&self.replies.tag));
        let score = self.score.thresholds.iter().filter(|(_, act)| *act == Act::Tag);
        let score = score.map(|_| self.score.tag.as_ref().unwrap_or(&self.replies.tag));
        own.chain(score).map(Tag::name)
    }

    /// Decides on findings that come in the order of the session.
    ///
    /// Rules that let mail in come first, then the strongest reason wins, among equal ones the first; there is
    /// one reply. A refusal or discard that a list might have prevented, had it answered, is a deferral. The
    /// dialog is for replies that mention the client's address or the mail server's own name.
    pub fn decide<'f>(
        &self,
        findings: impl IntoIterator<Item = &'f Finding>,
        stage: Stage,
        facts: impl FnOnce() -> Facts,
        dialog: &Dialog,
    ) -> Judgement {
        let telling = telling(findings);
        if telling.is_empty() && !self.acts_unasked {
            return Judgement::default();
        }
        let look = self.look(&telling, stage, &LazyCell::new(facts), dialog);
        if look.fired.is_empty() {
            return Judgement::default();
        }
        let is_shadowed =
            self.observe || look.fired.iter().any(|fired| self.rules[fired.rule].mode == Mode::Shadow);
        let in_force = self.weigh(&look, false);
        let shadow = if is_shadowed { self.weigh(&look, true).cause } else { None };
        let tags = match &in_force.cause {
            // One recipient's discard is another one's message, and that keeps its tags.
            Some(cause) if matches!(cause.act, Act::Refuse | Act::Defer) => Vec::new(),
            _ => self.fields(&look, in_force.score),
        };
        let fired = look
            .fired
            .iter()
            .map(|fired| {
                let by = self.spared_by(&look, *fired, false);
                let shadow = || if is_shadowed { self.spared_by(&look, *fired, true) } else { None };
                Fired { spared_by: by.or_else(shadow), ..*fired }
            })
            .collect();
        let reason = |cause: &Cause| (cause.act, Arc::clone(&cause.rule), cause.finding);
        let shadow = shadow.filter(|shadow| in_force.cause.as_ref().map(reason) != Some(reason(shadow)));
        Judgement { cause: in_force.cause, shadow, fired, tags, score: in_force.score, spared: None }
    }

    /// Finds the rules that fire.
    fn look<'a>(
        &self,
        telling: &'a [(usize, &'a Finding)],
        stage: Stage,
        facts: &impl Deref<Target: Borrow<Facts>>,
        dialog: &'a Dialog,
    ) -> Look<'a> {
        let mut look = Look {
            findings: telling,
            fired: Vec::new(),
            missed: Vec::new(),
            proven: Vec::new(),
            stage,
            dialog,
        };
        for (number, rule) in self.rules.iter().enumerate() {
            let met = rule.trigger == Trigger::Met;
            if self.ripe[number] > stage
                || (!met && telling.is_empty())
                || !(rule.is_for_all() || rule.concerns((**facts).borrow()))
            {
                continue;
            }
            if !rule.when.is_empty() && rule.has_proof((**facts).borrow()) {
                look.proven.push(number);
            }
            if met {
                look.fired.push(Fired { rule: number, finding: None, spared_by: None });
                continue;
            }
            let by = telling.iter().filter(|(_, finding)| rule.is_fired_by(finding));
            look.fired.extend(by.map(|(place, _)| Fired {
                rule: number,
                finding: Some(*place),
                spared_by: None,
            }));
            // Even if it fired: what it fired by may spare less than what it could not be asked about.
            if rule.effect.spares.is_some() || rule.effect.weight < 0 {
                let by = telling.iter().filter(|(_, finding)| rule.is_missed_by(finding));
                look.missed.extend(by.map(|(place, _)| (number, *place)));
            }
        }
        look
    }

    /// The part of the list that decided, as the log and replies name it.
    pub fn part(&self, finding: &Finding) -> &'static str {
        match finding.outcome {
            Outcome::Hit(codes) => {
                let acting = codes.and(self.acting(finding));
                finding.list.part(if acting.is_empty() { codes } else { acting })
            }
            _ => finding.list.title(),
        }
    }

    /// The codes that refuse or defer on account of this kind of finding.
    fn acting(&self, finding: &Finding) -> Codes {
        let mut acting = finding.list.no_codes();
        for rule in self.rules.iter().filter(|rule| rule.effect.act >= Some(Act::Defer)) {
            if let Trigger::Listed { lists, identities } = &rule.trigger
                && identities.contains(finding.identity)
            {
                let of_list = lists.iter().filter(|(list, _)| *list == finding.list);
                acting = of_list.fold(acting, |codes, (_, wanted)| codes.or(*wanted));
            }
        }
        acting
    }

    fn is_in_force(&self, number: usize, all: bool) -> bool {
        all || (!self.observe && self.rules[number].mode == Mode::Enforce)
    }

    /// The rule in force that keeps a fired one from doing anything.
    fn spared_by(&self, look: &Look<'_>, fired: Fired, all: bool) -> Option<usize> {
        // Who lets mail in does nothing that it could be kept from.
        if self.rules[fired.rule].effect.spares.is_some() {
            return None;
        }
        let finding = look.finding(fired.finding);
        let mut others = look.fired.iter().filter(|other| self.is_in_force(other.rule, all));
        others
            .find(|other| self.spares(look, other.rule, other.finding, fired, finding))
            .map(|other| other.rule)
    }

    /// Whether a rule, fired `by` a finding or by its conditions, keeps another from what it does.
    fn spares(
        &self,
        look: &Look<'_>,
        rule: usize,
        by: Option<usize>,
        fired: Fired,
        finding: Option<&Finding>,
    ) -> bool {
        let is_claimed = match finding {
            Some(finding) => matches!(finding.identity, Identity::Helo | Identity::Sender),
            None => !look.is_proven(fired.rule),
        };
        let is_proven = look.is_proven(rule);
        self.rules[rule].spares(look.finding(by), is_proven, finding, is_claimed)
    }

    fn weigh(&self, look: &Look<'_>, all: bool) -> Weighed {
        let mut best: Option<(Act, bool, Fired)> = None;
        // The sum, and what it would be had all lists of friends answered, and well.
        let (mut score, mut at_best) = (0_i32, 0_i32);
        let (mut counted, mut counted_at_best) = (None, None);
        for fired in look.fired.iter().filter(|fired| self.is_in_force(fired.rule, all)) {
            let effect = &self.rules[fired.rule].effect;
            // A good word is nothing to be spared.
            let is_good = effect.weight < 0;
            let is_spared = self.spared_by(look, *fired, all).is_some();
            if is_spared && !is_good {
                continue;
            }
            let is_doubtful = !is_spared && self.may_be_spared(look, *fired, all);
            // A list that has several identities counts once; all findings of a rule stand together.
            if counted.replace(fired.rule) != Some(fired.rule) {
                score = score.saturating_add(effect.weight);
            }
            if (is_good || !is_doubtful) && counted_at_best.replace(fired.rule) != Some(fired.rule) {
                at_best = at_best.saturating_add(effect.weight);
            }
            let Some(act) = effect.act.filter(|_| !is_spared) else { continue };
            let doubtful = is_doubtful && is_final(act);
            let act = if doubtful { Act::Defer } else { act };
            let place = |fired: &Fired| (fired.finding, fired.rule);
            if best.is_none_or(|(other, _, holder)| {
                act > other || (act == other && place(fired) < place(&holder))
            }) {
                best = Some((act, doubtful, *fired));
            }
        }
        let by_score = if self.observe && !all { None } else { self.at(score) };
        if let Some(act) = by_score {
            let friends = look.missed.iter().map(|(rule, _)| *rule).collect::<BTreeSet<_>>().into_iter();
            let has_fired = |number: &usize| look.fired.iter().any(|fired| fired.rule == *number);
            // A weight counts once, and that of a rule that fired is in the sum already.
            let at_best = friends
                .filter(|number| self.is_in_force(*number, all) && !has_fired(number))
                .fold(at_best, |sum, number| sum.saturating_add(self.rules[number].effect.weight.min(0)));
            let doubtful = is_final(act) && self.at(at_best) != by_score;
            let act = if doubtful { Act::Defer } else { act };
            if best.is_none_or(|(other, ..)| act > other) {
                return Weighed { cause: Some(self.by_score(look, act, score, doubtful)), score };
            }
        }
        let cause = best.map(|(act, doubtful, fired)| self.by_rule(look, act, fired, score, doubtful));
        Weighed { cause, score }
    }

    /// Whether a rule that lets mail in might keep this one from doing anything, had its list answered.
    fn may_be_spared(&self, look: &Look<'_>, fired: Fired, all: bool) -> bool {
        let finding = look.finding(fired.finding);
        look.missed.iter().any(|(number, place)| {
            self.is_in_force(*number, all) && self.spares(look, *number, Some(*place), fired, finding)
        })
    }

    /// What a sum leads to.
    fn at(&self, score: i32) -> Option<Act> {
        let reached = self.score.thresholds.iter().filter(|(from, _)| score >= *from);
        reached.map(|(_, act)| *act).max()
    }

    fn by_rule(&self, look: &Look<'_>, act: Act, fired: Fired, score: i32, doubtful: bool) -> Cause {
        let rule = &self.rules[fired.rule];
        let finding = look.finding(fired.finding);
        let template = match (&rule.effect.reply, act) {
            _ if doubtful => Some(self.replies.trouble.clone()),
            (Some(reply), Act::Refuse | Act::Defer) => Some(reply.clone()),
            (None, Act::Refuse | Act::Defer) => Some(self.replies.choose(finding, act)),
            _ => None,
        };
        let reply = template.map(|template| self.render(look, &template, &rule.name, finding, score));
        let (reason, because) = (None, Box::default());
        Cause { act, rule: Arc::clone(&rule.name), finding: fired.finding, reply, reason, because }
    }

    fn by_score(&self, look: &Look<'_>, act: Act, score: i32, doubtful: bool) -> Cause {
        let template = match act {
            _ if doubtful => Some(self.replies.trouble.clone()),
            Act::Refuse => Some(self.score.reply.clone().unwrap_or_else(|| self.replies.score.clone())),
            Act::Defer => Some(self.score.reply.as_ref().unwrap_or(&self.replies.score).as_deferral()),
            _ => None,
        };
        let reply = template.map(|template| self.render(look, &template, SCORE, None, score));
        Cause { act, rule: SCORE.into(), finding: None, reply, reason: None, because: Box::default() }
    }
}

/// The findings that say something, each with its place.
fn telling<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Vec<(usize, &'f Finding)> {
    let says = |finding: &Finding| matches!(finding.outcome, Outcome::Hit(_) | Outcome::Unknown(_));
    findings.into_iter().enumerate().filter(|(_, finding)| says(finding)).collect()
}

/// Whether mail is lost for good to whom this is done: that is not done as long as a friend might have a word to say.
fn is_final(act: Act) -> bool {
    matches!(act, Act::Refuse | Act::Discard)
}

impl<'a> Look<'a> {
    fn is_proven(&self, rule: usize) -> bool {
        self.proven.binary_search(&rule).is_ok()
    }

    fn finding(&self, place: Option<usize>) -> Option<&'a Finding> {
        let place = place?;
        self.findings.iter().find(|(at, _)| *at == place).map(|(_, finding)| *finding)
    }
}

#[cfg(test)]
mod tests;
