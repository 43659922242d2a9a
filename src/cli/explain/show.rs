//! What came of a played session, for people and as JSON.

use serde_json::{Value, json};

use super::play::{Played, Scene, fields};
use crate::cli::words::{act, effect, effect_in_force, outcome, shown};
use crate::policy::{Cause, Fate, Looked, Mode, Policy, Rule, Said, Trigger, Word};
use crate::smtp::{Stage, plain};
use crate::telemetry::Action;
use crate::verdict::{Act, Finding, Identity, Outcome, Verdict};

impl Played {
    pub(super) fn print(&self, policy: &Policy) {
        if let Some(trust) = self.spared {
            sayln!("nothing of this session is checked ({})", trust.name());
        }
        let many = self.scenes.len() > 1;
        for (number, scene) in self.scenes.iter().enumerate() {
            let is_new = |finding: &Finding| number == 0 || finding.identity == Identity::Recipient;
            if let (true, Some(address)) = (many, &scene.recipient) {
                sayln!("{}recipient {}", if number == 0 { "" } else { "\n" }, shown(address));
            }
            scene.print_findings(policy, is_new);
            scene.print_said(policy);
            scene.print_rules(policy);
            scene.print_end(policy);
        }
        if self.refusal().is_none() {
            for line in self.end_lines() {
                sayln!("=> {line}");
            }
        }
    }

    /// What is done with mail that is not refused.
    fn end_lines(&self) -> Vec<String> {
        let fields = fields(&self.end);
        let mut lines = vec![match &self.end.verdict {
            Verdict::Discard => "taken at the end of the message and dropped (discard)".to_owned(),
            Verdict::Quarantine(why) => {
                format!("held at the end of the message (quarantine): {}", plain(why))
            }
            _ if fields.is_empty() => "let in".to_owned(),
            _ => "let in with a tag".to_owned(),
        }];
        lines.extend(fields.iter().map(|field| format!("header field {}", plain(field))));
        lines
    }

    pub(super) fn json(&self, policy: &Policy) -> Value {
        let refusal = self.refusal();
        let done = self.act();
        let quarantine = match &self.end.verdict {
            Verdict::Quarantine(why) => Some(why),
            _ => None,
        };
        let mut played = json!({
            "decision": act(done.map(|(act, _)| act)),
            "stage": done.map(|(_, stage)| stage.name()),
            "reply": refusal.map(|(_, reply)| reply.to_string()),
            "spared": self.spared.map(crate::verdict::Trust::name),
            "headers": fields(&self.end),
            "quarantine": quarantine,
        });
        let told = self.scenes.first().map(|scene| scene.json(policy));
        if let (Some(Value::Object(told)), Some(object)) = (told, played.as_object_mut()) {
            object.extend(told);
        }
        let of_recipient = |scene: &Scene| {
            let mut told = scene.json(policy);
            told["recipient"] = shown(scene.recipient.as_ref()?).into();
            told["decision"] = act(scene
                .reply
                .as_ref()
                .map(|reply| if reply.is_temporary() { Act::Defer } else { Act::Refuse }))
            .into();
            told["reply"] = scene.reply.as_ref().map(ToString::to_string).into();
            Some(told)
        };
        played["recipients"] = self.scenes.iter().filter_map(of_recipient).collect();
        played
    }
}

impl Scene {
    fn print_findings(&self, policy: &Policy, is_new: impl Fn(&Finding) -> bool) {
        // The least widths keep the columns of the common case where they have always been.
        let widest = |width: fn(&Finding) -> usize, least| {
            self.findings.iter().map(width).max().unwrap_or_default().max(least)
        };
        let names = widest(|finding| finding.identity.name().len(), 7);
        let titles = widest(|finding| finding.list.title().len(), 4);
        for (place, finding) in self.findings.iter().enumerate().filter(|(_, finding)| is_new(finding)) {
            let (identity, title) = (finding.identity.name(), finding.list.title());
            let subject = if finding.subject.is_empty() { "-".to_owned() } else { plain(&finding.subject) };
            let (found, done) = (outcome(finding), self.action(policy, place));
            sayln!("{identity:<names$} {subject:<40} {title:<titles$} {found}; {done}");
        }
    }

    /// What access maps, recipient policies, checks of addresses and limits say, in force or not.
    fn print_said(&self, policy: &Policy) {
        for said in &self.said {
            let mode = match said.mode {
                Mode::Shadow => " (mode = shadow)",
                Mode::Enforce if policy.is_observing() => " (observe)",
                Mode::Enforce => "",
            };
            sayln!("{}: {}{}{mode}", said.by, word(said), because(&said.because));
        }
    }

    fn print_rules(&self, policy: &Policy) {
        if self.review.rules.is_empty() {
            return;
        }
        sayln!("rules:");
        let wide = policy.rules().iter().map(|rule| rule.name.len()).max().unwrap_or_default();
        for looked in &self.review.rules {
            let rule = &policy.rules()[looked.rule];
            sayln!("  {:wide$}  {}", rule.name, self.course(policy, looked));
        }
        let score = policy.score();
        if !self.review.would_be_parts.is_empty() || !score.thresholds.is_empty() {
            let thresholds =
                score.thresholds.iter().map(|(from, act)| format!("{} from {from} on", act.name()));
            let thresholds: Vec<String> = thresholds.collect();
            let told =
                if thresholds.is_empty() { "leads to nothing".to_owned() } else { thresholds.join(", ") };
            sayln!("score {}{}; {told}", self.review.judgement.score, sum(policy, &self.review.parts));
            if self.review.parts != self.review.would_be_parts {
                let would: i32 = self.review.would_be_parts.iter().map(|(_, weight)| weight).sum();
                sayln!("  with all rules in force {would}{}", sum(policy, &self.review.would_be_parts));
            }
        }
    }

    fn print_end(&self, policy: &Policy) {
        let judgement = &self.review.judgement;
        if let Some(cause) = &judgement.cause {
            sayln!("decided by {}", self.cause(policy, cause));
        }
        if let Some(cause) = &judgement.shadow {
            let why = if policy.is_observing() { "without observe" } else { "with all rules in force" };
            sayln!("{why} it would be {}", self.cause(policy, cause));
        }
        if let Some(reply) = &self.reply {
            let how = if reply.is_temporary() { "deferred" } else { "refused" };
            sayln!("=> {how} at {}: {reply}", self.stage.name().to_ascii_uppercase());
        } else if self.recipient.is_some() && self.stage == Stage::Rcpt {
            sayln!("=> this recipient is not refused");
        }
    }

    /// An act with its reason.
    fn cause(&self, policy: &Policy, cause: &Cause) -> String {
        let by = if policy.rules().iter().any(|rule| rule.name == cause.rule) {
            "rule "
        } else if cause.because.is_empty() {
            "the "
        } else {
            ""
        };
        let evidence = cause.finding.and_then(|place| self.findings.get(place));
        let evidence = evidence.map(|finding| format!(", {}", evidence_of(finding))).unwrap_or_default();
        format!("{by}{}: {}{evidence}{}", cause.rule, cause.act.name(), because(&cause.because))
    }

    /// What a finding leads to, as the log names it.
    fn action(&self, policy: &Policy, place: usize) -> &'static str {
        let mut strongest = None;
        let mut would = None;
        let mut spared = false;
        for looked in self.review.rules.iter().filter(|looked| looked.finding == Some(place)) {
            let effect = policy.rules()[looked.rule].effect.act;
            match looked.fate {
                Fate::Fired => strongest = strongest.max(effect),
                Fate::Doubtful => strongest = strongest.max(Some(Act::Defer)),
                Fate::Shadow(None) => would = would.max(effect),
                Fate::Spared(_) => spared = true,
                _ => {}
            }
        }
        match (strongest, would, self.findings.get(place).map(|finding| finding.outcome)) {
            (Some(act), _, _) => act.name(),
            (None, Some(act), _) => Action::Would(act).name(),
            (None, None, _) if spared => Action::Spared.name(),
            (None, None, Some(Outcome::Hit(_))) => Act::Log.name(),
            _ => Action::Accept.name(),
        }
    }

    /// What became of a rule, in words.
    pub(super) fn course(&self, policy: &Policy, looked: &Looked) -> String {
        let rule = &policy.rules()[looked.rule];
        let by = match looked.finding.and_then(|place| self.findings.get(place)) {
            Some(finding) => format!("fired, {}", evidence_of(finding)),
            None => "fired by its conditions".to_owned(),
        };
        let name = |place: usize| &policy.rules()[place].name;
        match &looked.fate {
            Fate::Fired => format!("{by}: {}", effect(rule)),
            Fate::Doubtful => {
                format!(
                    "{by}: {}, but tempfail while a list that might let the mail in cannot be reached",
                    effect(rule)
                )
            }
            Fate::Spared(other) => format!("{by}: {}, but spared by {}", effect(rule), name(*other)),
            Fate::Shadow(spared) => {
                let why = if rule.mode == Mode::Shadow { "mode = shadow" } else { "observe" };
                let spared =
                    spared.map(|other| format!(", but spared by {}", name(other))).unwrap_or_default();
                format!("{by}: {} ({why}){spared}", effect_in_force(policy, rule))
            }
            Fate::Unripe(stage) => {
                format!("cannot be told yet: it is looked at from {} on", stage.name().to_ascii_uppercase())
            }
            Fate::Unmet(all) => {
                let one = |(number, parts): (usize, &Vec<&str>)| match all.len() {
                    1 => parts.join(", "),
                    _ => format!("{} of its condition {}", parts.join(", "), number + 1),
                };
                let parts: Vec<String> = all.iter().enumerate().map(one).collect();
                format!("not for this session: {} does not fit (when)", parts.join("; "))
            }
            Fate::Excepted(number) => format!("not for this session: its exception {number} fits (unless)"),
            Fate::Missed => match looked.finding.and_then(|place| self.findings.get(place)) {
                Some(finding) => format!("did not fire: {}", evidence_of(finding)),
                None => "did not fire: its list could not be reached".to_owned(),
            },
            Fate::Silent => format!("did not fire: {}", self.silence(rule)),
        }
    }

    /// Why a rule that holds did not fire.
    fn silence(&self, rule: &Rule) -> String {
        let (lists, identities) = match &rule.trigger {
            Trigger::Listed { lists, identities } => (lists, identities),
            Trigger::Trouble(list) => return format!("{} can be reached", list.title()),
            Trigger::Met => return "nothing that it looks for is known".to_owned(),
        };
        let concerns = |finding: &&Finding| {
            identities.contains(finding.identity) && lists.iter().any(|(list, _)| *list == finding.list)
        };
        let mut told: Vec<String> = Vec::new();
        for finding in self.findings.iter().filter(concerns) {
            let (identity, title) = (finding.identity.name(), finding.list.title());
            let subject = plain(&finding.subject);
            let one = match finding.outcome {
                Outcome::Clear => format!("{identity} {subject} is not in {title}"),
                Outcome::Hit(codes) => {
                    format!("{identity} {subject} is in {title} with {} only", finding.list.shown(codes))
                }
                Outcome::Trusted(trust) => format!("{identity} is spared in {title} ({})", trust.name()),
                Outcome::Skipped(skip) => format!("{identity} is nothing for {title} ({})", skip.name()),
                Outcome::Unknown(trouble) => format!("{title} could not tell ({})", trouble.name()),
            };
            if !told.contains(&one) {
                told.push(one);
            }
        }
        if told.is_empty() { "its list was not asked".to_owned() } else { told.join(", ") }
    }

    fn json(&self, policy: &Policy) -> Value {
        let findings: Value = self
            .findings
            .iter()
            .enumerate()
            .map(|(place, finding)| {
                json!({
                    "identity": finding.identity.name(), "subject": &*finding.subject,
                    "list": finding.list.name(), "outcome": outcome(finding),
                    "action": self.action(policy, place),
                })
            })
            .collect();
        let rules: Value = self.review.rules.iter().map(|looked| self.rule_json(policy, looked)).collect();
        let cause = |cause: &Option<Cause>| {
            cause.as_ref().map(|cause| {
                json!({
                    "act": cause.act.name(), "rule": &*cause.rule, "finding": cause.finding, "because": &*cause.because,
                    "reply": cause.reply.as_ref().map(ToString::to_string),
                })
            })
        };
        let parts = |parts: &[(usize, i32)]| -> Value {
            let part = |(rule, weight): &(usize, i32)| json!({"rule": &*policy.rules()[*rule].name, "score": weight});
            parts.iter().map(part).collect()
        };
        let said = |said: &Said| {
            json!({
                "by": &*said.by, "because": &*said.because, "act": word(said),
                "mode": if said.mode == Mode::Enforce { "enforce" } else { "shadow" },
            })
        };
        json!({
            "findings": findings,
            "said": self.said.iter().map(said).collect::<Vec<_>>(),
            "rules": rules,
            "cause": cause(&self.review.judgement.cause),
            "shadow": cause(&self.review.judgement.shadow),
            "score": self.review.judgement.score,
            "parts": parts(&self.review.parts),
        })
    }

    fn rule_json(&self, policy: &Policy, looked: &Looked) -> Value {
        let rule = &policy.rules()[looked.rule];
        let (fate, spared_by) = match &looked.fate {
            Fate::Fired => ("fired", None),
            Fate::Doubtful => ("doubtful", None),
            Fate::Spared(by) => ("spared", Some(*by)),
            Fate::Shadow(by) => ("shadow", *by),
            Fate::Unripe(_) => ("unripe", None),
            Fate::Unmet(_) => ("unmet", None),
            Fate::Excepted(_) => ("excepted", None),
            Fate::Missed => ("missed", None),
            Fate::Silent => ("silent", None),
        };
        json!({
            "rule": &*rule.name, "fate": fate, "effect": effect(rule), "finding": looked.finding,
            "spared_by": spared_by.map(|by| &*policy.rules()[by].name),
            "why": self.course(policy, looked),
        })
    }
}

fn because(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", {}", plain(text)) }
}

/// A finding as the reason for something.
fn evidence_of(finding: &Finding) -> String {
    let (identity, title, subject) = (finding.identity.name(), finding.list.title(), plain(&finding.subject));
    match finding.outcome {
        Outcome::Hit(codes) => format!("{identity} {subject} in {title} ({})", finding.list.shown(codes)),
        Outcome::Unknown(trouble) => format!("{title} could not tell ({})", trouble.name()),
        _ => format!("{identity} {subject} and {title}"),
    }
}

/// The parts of a score, if there are any.
fn sum(policy: &Policy, parts: &[(usize, i32)]) -> String {
    let part = |(rule, weight): &(usize, i32)| format!("{} {weight:+}", policy.rules()[*rule].name);
    let parts: Vec<String> = parts.iter().map(part).collect();
    if parts.is_empty() { String::new() } else { format!(" = {}", parts.join(", ")) }
}

/// What somebody says, as a configuration would.
fn word(said: &Said) -> &'static str {
    match said.word {
        Word::Spare => "allow",
        Word::Note => Act::Log.name(),
        _ => said.act().unwrap_or(Act::Log).name(),
    }
}
