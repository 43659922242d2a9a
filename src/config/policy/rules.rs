//! Rules of the administrator's, and what their sum leads to.

use super::conditions::{self, Wide};
use super::lists::OwnList;
use super::node::{Fields, Node};
use super::recipients::mode;
use crate::config::Place;
use crate::config::choice::Word as _;
use crate::config::near::nearest;
use crate::config::report::Report;
use crate::config::value::{elided, shown};
use crate::policy::{
    ACCESS, Condition, EXEMPT_RECIPIENTS, Effect, FORGED_FIELDS, LIMIT, RECIPIENT, Rule, SCORE, SYNTAX,
    Score, Spares, Tag, Template, Trigger,
};
use crate::verdict::{Act, Answers, Codes, Identities, Identity, Kind, List};

pub(super) fn read(nodes: Vec<Node>, lists: &[OwnList], report: &mut Report) -> Vec<(Rule, Place)> {
    let mut rules: Vec<(Rule, Place)> = Vec::new();
    for node in nodes {
        let Some(mut fields) = Fields::of(node, "rule", report) else { continue };
        let Some((name, place)) = fields.identifier() else {
            continue;
        };
        if name == SCORE {
            fields.fault(&place, "name", "the log calls the sum of all rules so", "choose another name");
        }
        if is_of_settings(&name, lists) {
            let cause = format!("{name} is what the log calls a rule that the settings make");
            fields.fault(&place, "name", cause, "choose another name");
        }
        if rules.iter().any(|(rule, _)| *rule.name == *name) {
            fields.fault(
                &place,
                "name",
                format!("there are two rules {name}"),
                "choose another name for one",
            );
        }
        rules.extend(one(fields, &name, lists).map(|rule| (rule, place)));
    }
    rules
}

/// Whether a rule that settings make can have this name, whatever they are now: a log with two rules of one name tells
/// nobody which of them it was.
fn is_of_settings(name: &str, lists: &[OwnList]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    // `zen-10-11`, as `zen.action` makes it.
    let is_range = |rest: &str| {
        let ends = rest.strip_prefix('-').and_then(|rest| rest.split_once('-'));
        ends.is_some_and(|(first, last)| is_number(first) && is_number(last))
    };
    let of_dqs = List::DQS
        .iter()
        .any(|list| name.strip_prefix(list.name()).is_some_and(|rest| rest.is_empty() || is_range(rest)));
    let troubled = name.strip_suffix("-trouble").is_some_and(|name| list(name, lists).is_some());
    // The log calls policies about recipients, limits and checks of addresses so.
    let said = name == SYNTAX || [RECIPIENT, LIMIT].iter().any(|prefix| name.starts_with(prefix));
    of_dqs || troubled || said || [ACCESS, EXEMPT_RECIPIENTS, FORGED_FIELDS].contains(&name)
}

/// What the word of a rule's action means.
enum Action {
    Act(Act),
    Allow,
    None,
}

fn one(mut fields: Fields<'_>, name: &str, lists: &[OwnList]) -> Option<Rule> {
    let place = fields.place();
    let (trigger, is_listed) = trigger(&mut fields, lists);
    let (when, mut wide) = whom(&mut fields, "when");
    let (unless, wide_unless) = whom(&mut fields, "unless");
    let mode = mode(&mut fields);
    let force = fields.flag("force").unwrap_or_default();
    let (effect, action) = effect(&mut fields, lists);
    let refuses = matches!(action, Action::Act(Act::Refuse | Act::Discard | Act::Defer));
    if !is_listed && when.is_empty() {
        let remedy = "name a list, or for whom it holds: when = { ... }";
        fields.fault(&place, "", "it has neither list nor condition", remedy);
    }
    // Who is spared by a condition that everybody meets, or refused by one, was hardly meant.
    wide.extend(wide_unless);
    if !force && (matches!(action, Action::Allow) || refuses) {
        for Wide { place, entry } in &wide {
            let cause = format!("{} covers a large part of the Internet", shown(entry));
            fields.fault(place, "when", cause, "name less, or say force = true in this rule");
        }
    }
    let (_, sound) = fields.finish();
    let rule = Rule { when, unless, mode: mode?, ..Rule::new(name, trigger, effect) };
    sound.then_some(rule)
}

fn whom(fields: &mut Fields<'_>, field: &'static str) -> (Vec<Condition>, Vec<Wide>) {
    let Some(node) = fields.node(field) else { return (Vec::new(), Vec::new()) };
    let place = node.place.clone();
    let name = fields.name_of(field);
    let (conditions, wide, sound) = conditions::read(node, &name, fields.report());
    if !sound {
        fields.spoil();
    } else if conditions.is_empty() {
        fields.fault(&place, field, "it names nobody", "remove it, or say for whom the rule holds");
    }
    (conditions, wide)
}

/// The lists that there are, by name.
pub(super) fn list(name: &str, lists: &[OwnList]) -> Option<List> {
    let own = lists.iter().map(|own| own.list);
    List::DQS.into_iter().chain(own).find(|list| list.name() == name)
}

fn list_fault(fields: &mut Fields<'_>, field: &str, place: &Place, name: &str, lists: &[OwnList]) {
    let names: Vec<&str> =
        List::DQS.iter().map(|list| list.name()).chain(lists.iter().map(|own| own.list.name())).collect();
    let remedy = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}; others need a [[list]]", names.join(", ")),
    };
    fields.fault(place, field, format!("there is no list {}", shown(name)), remedy);
}

fn trigger(fields: &mut Fields<'_>, own: &[OwnList]) -> (Trigger, bool) {
    let named = fields.texts("list");
    let codes = fields.texts("codes");
    let find = |text: &str| Identity::ALL.into_iter().find(|identity| identity.name() == text);
    let choice = format!("choose from {}", Identity::ALL.map(Identity::name).join(", "));
    let identities = fields.each("identity", &choice, find);
    let Some(named) = named else {
        for (field, place) in [
            ("codes", codes.and_then(|codes| codes.into_iter().next()).map(|(_, place)| place)),
            ("identity", identities.and_then(|all| all.into_iter().next()).map(|(_, place)| place)),
        ] {
            if let Some(place) = place {
                fields.fault(
                    &place,
                    field,
                    "there is no list to which it could belong",
                    "name one: list = \"...\"",
                );
            }
        }
        return (Trigger::Met, false);
    };
    let mut lists = Vec::new();
    for (name, place) in &named {
        let Some(list) = list(name, own) else {
            list_fault(fields, "list", place, name, own);
            continue;
        };
        let wanted = match &codes {
            Some(codes) => self::codes(fields, list, codes),
            None => list.all_codes(),
        };
        lists.push((list, wanted));
    }
    let asked = |list: List| match own.iter().find(|own| own.list == list) {
        Some(own) => own.identities,
        None if list.kind() == Kind::Address => [Identity::Client].into_iter().collect(),
        None => [Identity::ClientName, Identity::Helo, Identity::Sender].into_iter().collect(),
    };
    for (identity, place) in identities.iter().flatten() {
        if !lists.is_empty() && !lists.iter().any(|(list, _)| asked(*list).contains(*identity)) {
            let cause = format!("the list is not asked about {}", identity.name());
            fields.fault(place, "identity", cause, "add it to what the list is asked about, or leave it out");
        }
    }
    let identities = identities
        .filter(|all| !all.is_empty())
        .map_or(Identities::ALL, |all| all.into_iter().map(|(identity, _)| identity).collect());
    (Trigger::Listed { lists, identities }, true)
}

/// `2-11`, `2,3,9-11`, or names that the administrator gave to answers.
fn codes(fields: &mut Fields<'_>, list: List, texts: &[(String, Place)]) -> Codes {
    let mut codes = list.no_codes();
    for (text, place) in texts {
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let found = named_codes(list, part);
            if found.is_empty() {
                let remedy = match list.definition().answers {
                    Answers::Named(names) => {
                        format!(
                            "choose from {}",
                            names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
                        )
                    }
                    Answers::Codes { first, last, .. } => {
                        format!("write codes from {first} to {last}, as in 2,3,9-11")
                    }
                };
                fields.fault(
                    place,
                    "codes",
                    format!("{} is nothing that {list} answers", shown(part)),
                    remedy,
                );
            }
            codes = codes.or(found);
        }
    }
    if codes.is_empty() && texts.iter().all(|(text, _)| text.is_empty()) {
        let place = fields.place();
        fields.fault(&place, "codes", "it names no code", "leave it out for all codes");
    }
    codes
}

/// The codes of a list that a word names.
pub(super) fn named_codes(of: List, text: &str) -> Codes {
    let mut codes = of.no_codes();
    if let Answers::Named(names) = of.definition().answers {
        for (code, _) in (0..=u8::MAX).zip(names).filter(|(_, (name, _))| *name == text) {
            codes.insert(code);
        }
        return codes;
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if let (Ok(first), Ok(last)) = (first.trim().parse::<u8>(), last.trim().parse::<u8>()) {
        (first..=last).for_each(|code| codes.insert(code));
    }
    codes.and(of.all_codes())
}

fn effect(fields: &mut Fields<'_>, lists: &[OwnList]) -> (Effect, Action) {
    let place = fields.place();
    let words = "choose from reject, tempfail, discard, quarantine, tag, log, allow";
    let action = fields.each("action", words, |text| match text {
        "allow" => Some(Action::Allow),
        text => Act::from_word(text).map(Action::Act),
    });
    let action =
        action.and_then(|actions| actions.into_iter().next()).map_or(Action::None, |(action, _)| action);
    let weight = fields.number("score").map_or(0, |(weight, _)| weight);
    let reply = template(fields, "reply");
    let tag = tag(fields);
    let spared = fields.texts("spares");
    if matches!(action, Action::None) && weight == 0 {
        fields.fault(&place, "", "it does nothing", "give it an action or a score");
    }
    if matches!(action, Action::Allow) && weight != 0 {
        fields.fault(
            &place,
            "score",
            "a rule that lets mail in does not count",
            "remove one of action and score",
        );
    }
    if let Some((template, place)) = &reply {
        match (&action, template.is_temporary()) {
            (Action::Act(Act::Refuse), false) | (Action::Act(Act::Defer), true) => {}
            (Action::Act(Act::Refuse), true) => {
                fields.fault(
                    place,
                    "reply",
                    "a reply that begins with 4 does not reject",
                    "begin it with 5, or set action = \"tempfail\"",
                );
            }
            (Action::Act(Act::Defer), false) => {
                fields.fault(
                    place,
                    "reply",
                    "a reply that begins with 5 does not defer",
                    "begin it with 4, or set action = \"reject\"",
                );
            }
            _ => fields.fault(
                place,
                "reply",
                "nothing is said to the client",
                "set action = \"reject\" or \"tempfail\"",
            ),
        }
    }
    if let (Some((_, place)), false) = (&tag, matches!(action, Action::Act(Act::Tag))) {
        fields.fault(place, "header", "only a tag adds one", "set action = \"tag\"");
    }
    let let_in = match (&action, spared) {
        (Action::Allow, None) => Some(Spares::All),
        (Action::Allow, Some(names)) => {
            let mut spared = Vec::new();
            for (name, place) in &names {
                match list(name, lists) {
                    Some(list) => spared.push(list),
                    None => list_fault(fields, "spares", place, name, lists),
                }
            }
            Some(Spares::Lists(spared))
        }
        (_, None) => None,
        (_, Some(_)) => {
            fields.fault(
                &place,
                "spares",
                "only a rule that lets mail in spares lists",
                "set action = \"allow\"",
            );
            None
        }
    };
    let act = if let Action::Act(act) = action { Some(act) } else { None };
    let effect = Effect {
        act,
        spares: let_in,
        weight,
        reply: reply.map(|(reply, _)| reply),
        tag: tag.map(|(tag, _)| tag),
    };
    (effect, action)
}

pub(super) fn template(fields: &mut Fields<'_>, field: &'static str) -> Option<(Template, Place)> {
    let (text, place) = fields.text(field)?;
    match Template::parse(&text) {
        Ok(template) => Some((template, place)),
        Err(bad) => {
            let cause = elided(&bad.to_string(), 100);
            fields.fault(
                &place,
                field,
                cause,
                "write it as in \"550 5.7.1 {domain} is listed\", see gatepost.conf(5)",
            );
            None
        }
    }
}

fn tag(fields: &mut Fields<'_>) -> Option<(Tag, Place)> {
    let (text, place) = fields.text("header")?;
    match Tag::parse(&text) {
        Ok(tag) => Some((tag, place)),
        Err(bad) => {
            let cause = elided(&bad.to_string(), 100);
            fields.fault(
                &place,
                "header",
                cause,
                "write it as in \"X-Spam-Flag: YES\", see gatepost.conf(5)",
            );
            None
        }
    }
}

/// What the sum of rules leads to: the last table counts, as with settings.
/// Also the place of each threshold.
pub(super) fn score(nodes: Vec<Node>, report: &mut Report) -> (Score, Vec<Place>) {
    let mut score = (Score::default(), Vec::new());
    for node in nodes {
        let Some(mut fields) = Fields::of(node, "score", report) else { continue };
        let (mut one, mut places) = (Score::default(), Vec::new());
        for act in Act::ALL {
            let Some((from, place)) = fields.number(act.name()) else { continue };
            if from <= 0 {
                fields.fault(&place, act.name(), "every mail has a score of 0", "give a number above 0");
            }
            one.thresholds.push((from, act));
            places.push(place);
        }
        if one.thresholds.is_empty() {
            let place = fields.place();
            fields.fault(
                &place,
                "",
                "it leads to nothing",
                "set one of tag, quarantine, tempfail, discard, reject",
            );
        }
        if let Some((template, place)) = template(&mut fields, "reply") {
            if template.is_temporary() {
                fields.fault(
                    &place,
                    "reply",
                    "a reply that begins with 4 does not reject",
                    "begin it with 5",
                );
            }
            one.reply = Some(template);
        }
        one.tag = tag(&mut fields).map(|(tag, _)| tag);
        if fields.finish().1 {
            score = (one, places);
        }
    }
    score
}
