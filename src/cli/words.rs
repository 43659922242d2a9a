//! Findings, rules and acts in words, the same in all commands.

use crate::policy::{Mode, Policy, Rule, Spares, Trigger};
use crate::smtp::printable;
use crate::verdict::{Act, Answers, Finding, Identities, Identity, List, Outcome, Place};

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

/// What makes a rule fire.
pub(super) fn trigger(rule: &Rule) -> String {
    let conditions = match (rule.when.is_empty(), rule.unless.is_empty()) {
        (true, true) => "",
        (false, true) => ", when",
        (true, false) => ", unless",
        (false, false) => ", when and unless",
    };
    match &rule.trigger {
        Trigger::Listed { lists, identities } => {
            let codes = |list: &List, codes| match list.definition().answers {
                Answers::Codes { .. } => crate::verdict::Codes::ranges(codes),
                Answers::Named(_) => list.shown(codes),
            };
            let one = |(list, wanted): &(List, _)| {
                let is_all = *wanted == list.all_codes();
                if is_all { list.name().to_owned() } else { format!("{list} {}", codes(list, *wanted)) }
            };
            let lists: Vec<String> = lists.iter().map(one).collect();
            let names: Vec<&str> = identities.iter().map(Identity::name).collect();
            let of = if *identities == Identities::ALL {
                String::new()
            } else {
                format!(" as {}", names.join(", "))
            };
            format!("{}{of}{conditions}", lists.join("; "))
        }
        Trigger::Trouble(list) => format!("{list} cannot be reached{conditions}"),
        Trigger::Met => format!("conditions alone{conditions}"),
    }
}

/// Where a list is.
pub(super) fn place(list: List) -> String {
    match list.definition().place {
        Place::Dqs => "Spamhaus DQS".to_owned(),
        Place::Zone { apex, .. } => format!("zone {apex}"),
        Place::File { path } => format!("file {path}"),
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
