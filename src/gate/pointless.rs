//! What a sound configuration says in vain: rules, scores and lists.
//!
//! Tells only what is sure; a policy that is merely odd is left alone.

use super::Rules;
use crate::check::Listed;
use crate::config::{Config, Place, Problem};
use crate::list::Networks;
use crate::policy::{Condition, Rule, Trigger};
use crate::verdict::{Act, Answers, Class, Classes, Identities, Kind, List, Pattern};

/// What never comes to anything in a configuration, with its place. Each rule is told once at most.
pub fn pointless(config: &Config) -> Vec<Problem> {
    let rules = Rules::from(config);
    let all: Vec<Rule> = rules.policy.rules().iter().map(|rule| narrowed(rule, &rules)).collect();
    let mut found = Vec::new();
    for (number, (own, place)) in config.additions.rules.iter().enumerate() {
        let Some(rule) = all.get(number) else { continue };
        let told = never(rule, &rules).or_else(|| in_vain(number, &all));
        found.extend(told.map(|told| told.problem(place, format!("rule.{}", own.name))));
    }
    found.extend(unused(config));
    found.extend(unreached(config));
    found
}

/// What is told.
struct Told {
    cause: String,
    remedy: &'static str,
}

impl Told {
    fn new(cause: impl Into<String>, remedy: &'static str) -> Self {
        Self { cause: cause.into(), remedy }
    }

    fn problem(self, place: &Place, setting: String) -> Problem {
        Problem { place: place.clone(), setting, cause: self.cause, remedy: self.remedy.to_owned() }
    }
}

/// A rule whose identities are only those that its lists are asked about: all others change nothing.
fn narrowed(rule: &Rule, rules: &Rules) -> Rule {
    let mut rule = rule.clone();
    if let Trigger::Listed { lists, identities } = &mut rule.trigger {
        let asked: Identities =
            checks(lists, rules).flat_map(|check| check.identities.iter().collect::<Vec<_>>()).collect();
        *identities = identities.iter().filter(|identity| asked.contains(*identity)).collect();
    }
    rule
}

/// The checks of these lists, as far as they are switched on.
fn checks<'a, T>(lists: &'a [(List, T)], rules: &'a Rules) -> impl Iterator<Item = &'a Listed> {
    rules.checks.iter().filter(|check| lists.iter().any(|(list, _)| *list == check.list))
}

/// Why a rule never fires.
fn never(rule: &Rule, rules: &Rules) -> Option<Told> {
    if rule.is_for_nobody() {
        let cause = "unless takes out all that when lets in: it never fires";
        return Some(Told::new(cause, "mend one of them"));
    }
    let Trigger::Listed { lists, identities } = &rule.trigger else {
        return spared(rule, rules, false);
    };
    // A list that is switched off is told by itself.
    checks(lists, rules).next()?;
    if identities.is_empty() {
        let cause = "the list is not asked about that: it never fires";
        return Some(Told::new(cause, "set rdns.enable = true, or name another identity"));
    }
    let mut asked: Vec<Classes> = Vec::new();
    for check in checks(lists, rules) {
        for identity in check.identities.iter().filter(|identity| identities.contains(*identity)) {
            asked.push(rules.exempt.classes(check.sessions, identity));
        }
    }
    let fits = |classes: &Classes| rule.classes().iter().any(|class| classes.contains(class));
    if !asked.iter().any(fits) {
        let names = |classes: &mut dyn Iterator<Item = &'static str>| classes.collect::<Vec<_>>().join(", ");
        let of_list: Classes = asked.iter().flat_map(|classes| classes.iter().collect::<Vec<_>>()).collect();
        let cause = format!(
            "it is for sessions {}, where the list is not asked, but in {}: it never fires",
            names(&mut rule.classes().iter().map(Class::name)),
            names(&mut of_list.iter().map(Class::name)),
        );
        return Some(Told::new(cause, "name other sessions, here or in the list"));
    }
    spared(rule, rules, lists.iter().all(|(list, _)| list.kind() == Kind::Address))
}

/// Whether all clients that it is for are spared by a setting.
fn spared(rule: &Rule, rules: &Rules, is_about_addresses: bool) -> Option<Told> {
    let exempt = &rules.exempt;
    let within = |networks: &Networks| {
        let are =
            |condition: &Condition| !condition.client.is_empty() && condition.client.is_within(networks);
        !rule.when.is_empty() && rule.when.iter().all(are)
    };
    let setting = if within(&exempt.trusted) {
        "trusted_networks"
    } else if (exempt.skip_all || is_about_addresses) && within(&exempt.addresses) {
        "allow.addresses"
    } else {
        return None;
    };
    Some(Told::new(
        format!("{setting} holds all these clients, so that nothing is asked: it never fires"),
        "remove the rule, or take them out there",
    ))
}

/// Whether another rule leaves this one nothing to do.
fn in_vain(number: usize, all: &[Rule]) -> Option<Told> {
    let rule = &all[number];
    let others = || all.iter().enumerate().filter(|(other, rule)| *other != number && !rule.is_for_nobody());
    let keeps = |(_, other): &(usize, &Rule)| rule.effect.spares.is_none() && other.always_spares(rule);
    if let Some((_, other)) = others().find(keeps) {
        let cause = format!("rule {} lets in whatever it is about: it never does anything", other.name);
        return Some(Told::new(cause, "remove one of them, or say for whom each one holds"));
    }
    let replaces = |(place, other): &(usize, &Rule)| {
        other.lets_in_all_of(rule) && (*place < number || !rule.lets_in_all_of(other))
    };
    if let Some((_, other)) = others().find(replaces) {
        let cause = format!("rule {} lets in all that it does: it changes nothing", other.name);
        return Some(Told::new(cause, "remove it"));
    }
    let (_, other) = others().find(|(place, other)| other.outdoes(rule, *place < number))?;
    let act = other.effect.act.map_or("", Act::name);
    let cause = format!("rule {} is about the same and does {act}: this one comes to nothing", other.name);
    Some(Told::new(cause, "remove one of them, or say for whom each one holds"))
}

/// Lists that no rule looks at, and answers that never count.
fn unused(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    for own in &config.additions.lists {
        let is_used = |rule: &Rule| match &rule.trigger {
            Trigger::Listed { lists, .. } => lists.iter().any(|(list, _)| *list == own.list),
            Trigger::Trouble(_) | Trigger::Met => false,
        };
        let setting = format!("list.{}", own.list);
        if !config.additions.rules.iter().any(|(rule, _)| is_used(rule)) {
            let cause = "no rule that is on looks at it: what it lists is logged, and no more";
            found.push(
                Told::new(cause, "add a [[rule]] about it, or remove it")
                    .problem(&own.place, setting.clone()),
            );
        }
        let definition = own.list.definition();
        let Answers::Named(names) = definition.answers else { continue };
        for (name, _) in names.iter().filter(|(_, answer)| is_refused(*answer, definition.refusals)) {
            let cause = format!("all of {name} is among refusals: it never counts");
            found.push(Told::new(cause, "take it out of one of them").problem(&own.place, setting.clone()));
        }
    }
    found
}

/// Whether all of an answer is refused by one of these.
fn is_refused(answer: Pattern, refusals: &[Pattern]) -> bool {
    let Pattern::Octets(octets) = answer else { return false };
    refusals.iter().any(|refusal| match refusal {
        Pattern::Octets(refused) => {
            octets.iter().zip(refused).all(|(octet, refused)| refused.0 <= octet.0 && octet.1 <= refused.1)
        }
        Pattern::Bits(_) => false,
    })
}

/// Thresholds that no sum of rules reaches.
fn unreached(config: &Config) -> Vec<Problem> {
    let weights = config.additions.rules.iter().map(|(rule, _)| rule.effect.weight.max(0));
    let most = weights.fold(0, i32::saturating_add);
    let score = &config.additions.score;
    let thresholds = score.thresholds.iter().zip(&config.additions.score_places);
    let missed = thresholds.filter(|((from, _), _)| *from > most);
    let told = missed.map(|((from, act), place)| {
        let cause = format!("no sum reaches {from}: all rules together make {most}");
        Told::new(cause, "lower it, or give rules more").problem(place, format!("score.{}", act.name()))
    });
    told.collect()
}
