//! Findings, rules and acts in words, the same in all commands.

use crate::policy::{Mode, Policy, Rule, Spares};
use crate::smtp::printable;
use crate::verdict::{Act, Finding, Outcome};

use super::lookup;

/// Longest text of somebody else's that is shown.
const SHOWN: usize = 256;

/// A text of unknown origin.
pub(super) fn shown(text: &[u8]) -> String {
    printable(text, SHOWN)
}

/// What was found.
pub(super) fn outcome(finding: &Finding) -> String {
    match finding.outcome {
        Outcome::Clear => "not listed".to_owned(),
        Outcome::Hit(codes) => {
            let meanings: Vec<&str> = codes.iter().map(|code| finding.list.meaning(code)).collect();
            let (shown, meant) = (finding.list.shown(codes), meanings.join("; "));
            // Names of the administrator's say what they mean.
            if meanings.join(",") == shown {
                format!("listed: {shown}")
            } else {
                format!("listed, {shown}: {meant}")
            }
        }
        Outcome::Trusted(trust) => format!("not asked, spared by an allow rule ({})", trust.name()),
        Outcome::Skipped(skip) => format!("not asked, nothing to ask about ({})", skip.name()),
        Outcome::Unknown(trouble) => format!("could not tell: {}", lookup::explain(trouble)),
    }
}

/// What a rule does when it fires.
pub(super) fn effect(rule: &Rule) -> String {
    let mut does: Vec<String> = Vec::new();
    if let Some(act) = rule.effect.act {
        does.push(match &rule.effect.tag {
            Some(tag) => format!("{} with {}", act.name(), tag.text()),
            None => act.name().to_owned(),
        });
    }
    match &rule.effect.spares {
        Some(Spares::All) => does.push("allow".to_owned()),
        Some(Spares::Lists(lists)) => {
            let names: Vec<&str> = lists.iter().map(|list| list.name()).collect();
            does.push(format!("allow, sparing {} only", names.join(", ")));
        }
        None => {}
    }
    if rule.effect.weight != 0 {
        does.push(format!("score {:+}", rule.effect.weight));
    }
    does.join(", ")
}

/// The same for a rule that may be out of force.
pub(super) fn effect_in_force(policy: &Policy, rule: &Rule) -> String {
    if rule.mode == Mode::Shadow || policy.is_observing() {
        format!("would {}", effect(rule))
    } else {
        effect(rule)
    }
}

/// What becomes of mail, where nothing is an answer too.
pub(super) fn act(act: Option<Act>) -> &'static str {
    act.map_or("accept", Act::name)
}
