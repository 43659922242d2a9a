//! What became of each rule, for people who ask.
//!
//! Decides nothing: the judgement is that of [`Policy::decide`]. Costs more than it, so that sessions never come here.

use std::cell::LazyCell;

use super::{Condition, Facts, Fired, Judgement, Look, Policy};
use crate::smtp::{Dialog, Stage};
use crate::verdict::Finding;

/// A look at a session with everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// What is made of it.
    pub judgement: Judgement,
    /// What became of each rule, in the order of the policy; a rule that several findings fire comes several times.
    pub rules: Vec<Looked>,
    /// The rules in force that count, by place, and what each adds to the score.
    pub parts: Vec<(usize, i32)>,
    /// The same if all rules were in force.
    pub would_be_parts: Vec<(usize, i32)>,
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The rule, by its place.
    pub rule: usize,
    /// The finding that made it fire, or for want of which nobody knows, by its place.
    pub finding: Option<usize>,
    /// What became of it.
    pub fate: Fate,
}

/// Whether a rule fired, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It fired and is in force.
    Fired,
    /// It fired; its refusal is a deferral, since a list that might let the mail in could not be reached.
    Doubtful,
    /// It fired, and this rule, by its place, keeps it from doing anything.
    Spared(usize),
    /// It fired and is not in force; with the rule that would keep it from doing anything.
    Shadow(Option<usize>),
    /// It cannot be told before this stage whether the rule holds.
    Unripe(Stage),
    /// Its conditions are not met: for each, what of it does not fit.
    Unmet(Vec<Vec<&'static str>>),
    /// This one of its exceptions is met, counted from 1.
    Excepted(usize),
    /// It holds, and its list could not be reached.
    Missed,
    /// It holds, and nothing was found that it looks for.
    Silent,
}

impl Policy {
    /// Decides as [`Policy::decide`] does, and tells what became of each rule.
    pub fn review<'f>(
        &self,
        findings: impl IntoIterator<Item = &'f Finding>,
        stage: Stage,
        facts: &Facts,
        dialog: &Dialog,
    ) -> Review {
        let all: Vec<&Finding> = findings.into_iter().collect();
        let telling = super::telling(all.iter().copied());
        let look = self.look(&telling, stage, &LazyCell::new(|| facts), dialog);
        let mut rules = Vec::with_capacity(self.rules.len());
        for (rule, of) in self.rules.iter().enumerate() {
            let fired = look.fired.iter().filter(|fired| fired.rule == rule);
            let before = rules.len();
            rules.extend(fired.map(|fired| Looked {
                rule,
                finding: fired.finding,
                fate: self.fate(&look, *fired),
            }));
            if rules.len() > before {
                continue;
            }
            let missed = telling.iter().find(|(_, finding)| of.is_missed_by(finding));
            let (finding, fate) = if self.ripe[rule] > stage {
                (None, Fate::Unripe(self.ripe[rule]))
            } else if let Some(number) = of.unless.iter().position(|condition| condition.is_met(facts)) {
                (None, Fate::Excepted(number + 1))
            } else if !of.concerns(facts) {
                let unmet = |condition: &Condition| condition.unmet(facts).collect();
                (None, Fate::Unmet(of.when.iter().map(unmet).collect()))
            } else if let Some((place, _)) = missed {
                (Some(*place), Fate::Missed)
            } else {
                (None, Fate::Silent)
            };
            rules.push(Looked { rule, finding, fate });
        }
        Review {
            judgement: self.decide(all, stage, || facts.clone(), dialog),
            rules,
            parts: self.parts(&look, false),
            would_be_parts: self.parts(&look, true),
        }
    }

    fn fate(&self, look: &Look<'_>, fired: Fired) -> Fate {
        let in_force = self.is_in_force(fired.rule, false);
        let spared = self.spared_by(look, fired, !in_force);
        let refuses = self.rules[fired.rule].effect.act.is_some_and(super::is_final);
        match spared {
            by if !in_force => Fate::Shadow(by),
            Some(by) => Fate::Spared(by),
            None if refuses && self.may_be_spared(look, fired, false) => Fate::Doubtful,
            None => Fate::Fired,
        }
    }

    /// What makes up the score.
    fn parts(&self, look: &Look<'_>, all: bool) -> Vec<(usize, i32)> {
        let mut parts: Vec<(usize, i32)> = Vec::new();
        for fired in look.fired.iter().filter(|fired| self.is_in_force(fired.rule, all)) {
            let weight = self.rules[fired.rule].effect.weight;
            let is_counted = parts.iter().any(|(rule, _)| *rule == fired.rule);
            let counts = weight < 0 || (weight > 0 && self.spared_by(look, *fired, all).is_none());
            if counts && !is_counted {
                parts.push((fired.rule, weight));
            }
        }
        parts
    }

    /// The rules that a finding of this kind fires, by place, if their conditions are met.
    pub fn fired_by(&self, finding: &Finding) -> impl Iterator<Item = usize> {
        let rules = self.rules.iter().enumerate();
        rules.filter(|(_, rule)| rule.is_fired_by(finding)).map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::list::MailboxPattern;
    use crate::policy::{Effect, Mode, Replies, ReplyStyle, Rule, SCORE, Score, Spares, Trigger};
    use crate::smtp::Mailbox;
    use crate::verdict::{Act, Codes, Identities, Identity, List, Origin, Outcome, Trouble};

    fn finding(list: List, identity: Identity, outcome: Outcome) -> Finding {
        let (origin, waited) = (Origin::Miss, Duration::ZERO);
        Finding { list, identity, subject: "x".into(), trimmed: 0, outcome, text: None, origin, waited }
    }

    fn rule(name: &str, list: List, effect: Effect) -> Rule {
        let lists = vec![(list, list.all_codes())];
        Rule::new(name, Trigger::Listed { lists, identities: Identities::ALL }, effect)
    }

    fn act(act: Act) -> Effect {
        Effect { act: Some(act), ..Effect::default() }
    }

    fn recipient(text: &str) -> Vec<Condition> {
        let recipient = MailboxPattern::parse(text).into_iter().collect();
        vec![Condition { recipient, ..Condition::default() }]
    }

    fn review(rules: Vec<Rule>, findings: &[Finding], stage: Stage, to: &str) -> Review {
        let score = Score { thresholds: vec![(5, Act::Refuse)], ..Score::default() };
        let policy = Policy::new(rules, score, Replies::new(ReplyStyle::Own));
        let facts = Facts { recipient: Mailbox::parse(to.as_bytes()), ..Facts::default() };
        policy.review(findings, stage, &facts, &Dialog::default())
    }

    #[test]
    fn every_rule_is_told_with_what_became_of_it() {
        let zen = finding(List::ZEN, Identity::Client, Outcome::Hit(Codes::of(0, [4])));
        let dbl = finding(List::DBL, Identity::Sender, Outcome::Clear);
        let authbl = finding(List::AUTHBL, Identity::Client, Outcome::Unknown(Trouble::Timeout));
        let spares = |lists| Effect { spares: Some(Spares::Lists(lists)), ..Effect::default() };
        let rules = vec![
            rule("zen", List::ZEN, act(Act::Refuse)),
            Rule { mode: Mode::Shadow, ..rule("later", List::ZEN, act(Act::Refuse)) },
            rule("dbl", List::DBL, act(Act::Refuse)),
            rule("authbl", List::AUTHBL, act(Act::Refuse)),
            Rule { when: recipient("a@one.example"), ..rule("one", List::ZEN, act(Act::Tag)) },
            Rule { unless: recipient("b@two.example"), ..rule("but-two", List::ZEN, act(Act::Tag)) },
            Rule {
                when: recipient("b@two.example"),
                ..Rule::new("open", Trigger::Met, spares(vec![List::ZEN]))
            },
        ];
        let found = [zen, dbl, authbl];
        let told = review(rules.clone(), &found, Stage::Rcpt, "<b@two.example>");
        let fates: Vec<_> = told.rules.iter().map(|looked| (looked.finding, looked.fate.clone())).collect();
        let expected = [
            (Some(0), Fate::Spared(6)),
            (Some(0), Fate::Shadow(Some(6))),
            (None, Fate::Silent),
            (Some(2), Fate::Missed),
            (None, Fate::Unmet(vec![vec!["recipient"]])),
            (None, Fate::Excepted(1)),
            (None, Fate::Fired),
        ];
        assert_eq!(fates, expected);
        assert_eq!(told.judgement.cause, None);
        let told = review(rules, &found, Stage::Mail, "");
        let unripe = told.rules.iter().filter(|looked| looked.fate == Fate::Unripe(Stage::Rcpt)).count();
        assert_eq!((unripe, &told.rules[0].fate), (3, &Fate::Fired));
        assert_eq!(told.judgement.cause.map(|cause| cause.rule), Some(Arc::from("zen")));
    }

    #[test]
    fn the_parts_of_a_score_are_those_that_it_is_made_of() {
        let zen = finding(List::ZEN, Identity::Client, Outcome::Hit(Codes::of(0, [4])));
        let dbl = |identity| finding(List::DBL, identity, Outcome::Hit(Codes::of(1, [2])));
        let weight = |weight| Effect { weight, ..Effect::default() };
        let rules = vec![
            rule("a", List::ZEN, weight(2)),
            rule("b", List::DBL, weight(4)),
            Rule { mode: Mode::Shadow, ..rule("c", List::DBL, weight(-3)) },
        ];
        let told = review(rules, &[zen, dbl(Identity::Helo), dbl(Identity::Sender)], Stage::Mail, "");
        assert_eq!(told.parts, [(0, 2), (1, 4)]);
        assert_eq!(told.would_be_parts, [(0, 2), (1, 4), (2, -3)]);
        assert_eq!(told.judgement.score, 6);
        assert_eq!(told.judgement.cause.map(|cause| cause.rule), Some(Arc::from(SCORE)));
    }

    #[test]
    fn what_is_spared_or_weighs_nothing_is_no_part_of_a_score_and_a_good_word_is() {
        let hit = |list: List, code| {
            finding(list, Identity::Client, Outcome::Hit(Codes::of(list.no_codes().group(), [code])))
        };
        let weight = |weight| Effect { weight, ..Effect::default() };
        let rules = vec![
            rule("bad", List::ZEN, weight(2)),
            rule("good", List::ZEN, weight(-3)),
            rule("tag", List::ZEN, act(Act::Tag)),
            rule("friends", List::AUTHBL, Effect { spares: Some(Spares::All), ..Effect::default() }),
        ];
        let told = review(rules.clone(), &[hit(List::ZEN, 4)], Stage::Mail, "");
        assert_eq!((told.parts, told.judgement.score), (vec![(0, 2), (1, -3)], -1));
        let told = review(rules, &[hit(List::ZEN, 4), hit(List::AUTHBL, 20)], Stage::Mail, "");
        assert_eq!((told.parts, told.judgement.score), (vec![(1, -3)], -3));
    }

    #[test]
    fn a_friend_that_is_not_in_force_spares_only_what_is_not_either() {
        let zen = finding(List::ZEN, Identity::Client, Outcome::Hit(Codes::of(0, [4])));
        let friends = finding(List::AUTHBL, Identity::Client, Outcome::Hit(Codes::of(0, [20])));
        let allow = Effect { spares: Some(Spares::All), ..Effect::default() };
        let shadow = |rule| Rule { mode: Mode::Shadow, ..rule };
        let rules = vec![
            rule("zen", List::ZEN, act(Act::Refuse)),
            shadow(rule("later", List::ZEN, act(Act::Refuse))),
            shadow(rule("friends", List::AUTHBL, allow)),
        ];
        let told = review(rules, &[zen, friends], Stage::Mail, "");
        let fates: Vec<_> = told.rules.into_iter().map(|looked| looked.fate).collect();
        assert_eq!(fates, [Fate::Fired, Fate::Shadow(Some(2)), Fate::Shadow(None)]);
    }

    #[test]
    fn a_finding_fires_the_rules_about_it_whatever_their_conditions() {
        let rules = vec![
            rule("dbl", List::DBL, act(Act::Refuse)),
            Rule { when: recipient("a@one.example"), ..rule("zen", List::ZEN, act(Act::Refuse)) },
            Rule { when: recipient("a@one.example"), ..Rule::new("met", Trigger::Met, act(Act::Tag)) },
            rule("counts", List::ZEN, Effect { weight: 1, ..Effect::default() }),
        ];
        let policy = Policy::new(rules, Score::default(), Replies::new(ReplyStyle::Own));
        let fired =
            |outcome| policy.fired_by(&finding(List::ZEN, Identity::Client, outcome)).collect::<Vec<_>>();
        assert_eq!(fired(Outcome::Hit(Codes::of(0, [4]))), [1, 3]);
        assert!(fired(Outcome::Clear).is_empty());
    }

    #[test]
    fn a_refusal_that_nobody_can_vouch_for_is_told_as_doubtful() {
        let zen = finding(List::ZEN, Identity::Client, Outcome::Hit(Codes::of(0, [4])));
        let friends = finding(List::AUTHBL, Identity::Client, Outcome::Unknown(Trouble::Timeout));
        let allow = Effect { spares: Some(Spares::All), ..Effect::default() };
        let rules = vec![rule("zen", List::ZEN, act(Act::Refuse)), rule("friends", List::AUTHBL, allow)];
        let told = review(rules, &[zen, friends], Stage::Mail, "");
        assert_eq!((&told.rules[0].fate, &told.rules[1].fate), (&Fate::Doubtful, &Fate::Missed));
        assert_eq!(told.judgement.cause.map(|cause| cause.act), Some(Act::Defer));
    }
}
