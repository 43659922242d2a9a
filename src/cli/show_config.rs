//! `gatepost show-config`: what is in force, where it comes from, and as a file that says the same.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::args;
use super::orders::{say, say_json};
use super::words::{effect_in_force, place, trigger};
use crate::config::{Config, Origin, OwnList, Place as Source, Sources, Table};
use crate::daemon::Exit;
use crate::gate::Rules;
use crate::verdict::{Identity, Kind, List, Place};

pub(super) fn run(sources: &Sources, what: &args::ShowConfig) -> Exit {
    let Some(config) = super::load(sources) else { return Exit::Config };
    if what.json {
        say_json(&json(&config, what));
    } else {
        say(&text(&config, what));
    }
    Exit::Ok
}

/// Where a value comes from; a variable with its name.
fn source(origin: &Origin) -> String {
    match &origin.place {
        Source::Environment => format!("environment, {}", origin.env),
        other => other.to_string(),
    }
}

fn text(config: &Config, what: &args::ShowConfig) -> String {
    let mut text = String::new();
    let comment = |place: &str| if what.origin { format!("  # {place}") } else { String::new() };
    for origin in config.origins() {
        let key = origin.is_secret();
        if what.changed && !origin.is_changed() && !key {
            continue;
        }
        let from = source(origin);
        let _ = match origin.literal() {
            Some(literal) => writeln!(text, "{} = {literal}{}", origin.toml, comment(&from)),
            None if key && config.key.is_some() => writeln!(text, "# {} is set, from {from}", origin.toml),
            None => writeln!(text, "# {} is not set", origin.toml),
        };
    }
    for table in &config.additions.tables {
        let _ = writeln!(text, "\n{}{}", table.header(), comment(&table.place.to_string()));
        let own = config.additions.lists.iter().find(|own| table.name() == Some(own.list.name()));
        if let (Some(own), "list") = (own, table.what) {
            let _ = writeln!(text, "# {}", about(own.list, config));
        }
        for line in table.lines() {
            let _ = writeln!(text, "{line}");
        }
    }
    if !what.changed {
        let rules = Rules::from(config);
        text.push_str("\n# Lists that sessions ask:\n");
        for check in &rules.checks {
            let _ = writeln!(text, "#   {}: {}", check.list, about(check.list, config));
        }
        text.push_str("# Rules, in the order in which they give the reason:\n");
        for rule in rules.policy.rules() {
            let (name, does) = (&rule.name, effect_in_force(&rules.policy, rule));
            let _ =
                writeln!(text, "#   {name}: {}: {does}{}", trigger(rule), comment(&origin_of(config, name)));
        }
    }
    text
}

/// What a list is, and whether it has its key.
fn about(list: List, config: &Config) -> String {
    let kind = match list.kind() {
        Kind::Address => "addresses",
        Kind::Domain => "domains",
        Kind::Mailbox(_) => "digests of mailboxes",
    };
    let own = config.additions.lists.iter().find(|own| own.list == list);
    let key = match key(list, own, config) {
        Some(true) => ", the key is set",
        Some(false) => ", the key is not set",
        None => "",
    };
    format!("{kind}, {}{key}", place(list))
}

/// Whether a list has its key; nothing for one that needs none.
fn key(list: List, own: Option<&OwnList>, config: &Config) -> Option<bool> {
    match list.definition().place {
        Place::Dqs => Some(config.key.is_some()),
        Place::Zone { keyed: true, .. } => Some(own.is_some_and(|own| own.key.is_some())),
        Place::Zone { .. } | Place::File { .. } => None,
    }
}

/// Where a rule comes from.
fn origin_of(config: &Config, rule: &str) -> String {
    let own = config.additions.rules.iter().find(|(own, _)| *own.name == *rule);
    own.map_or_else(|| "made of settings".to_owned(), |(_, place)| place.to_string())
}

fn json(config: &Config, what: &args::ShowConfig) -> Value {
    let rules = Rules::from(config);
    let setting = |origin: &Origin| {
        json!({
            "name": origin.toml, "env": (!origin.env.is_empty()).then_some(&origin.env), "value": origin.json(),
            "set": if origin.is_secret() { config.key.is_some() } else { !origin.value.is_empty() },
            "changed": origin.is_changed(), "origin": source(origin),
        })
    };
    let settings = config.origins().iter().filter(|origin| !what.changed || origin.is_changed());
    let written = |what: &str, name: &str| {
        let tables = config.additions.tables.iter();
        tables.clone().find(|table| table.what == what && (name.is_empty() || table.name() == Some(name)))
    };
    let list = |list: List| {
        let own = config.additions.lists.iter().find(|own| own.list == list);
        let table = written("list", list.name());
        let asked = rules.checks.iter().find(|check| check.list == list);
        let identities = asked.map(|check| check.identities.iter().map(Identity::name).collect::<Vec<_>>());
        json!({
            "name": list.name(), "title": list.title(), "place": place(list), "key_set": key(list, own, config),
            "asked_about": identities, "written": table.map(Table::json),
            "origin": table.map_or_else(|| "built in".to_owned(), |table| table.place.to_string()),
        })
    };
    let rule = |rule: &crate::policy::Rule| {
        json!({
            "name": &*rule.name, "trigger": trigger(rule), "effect": effect_in_force(&rules.policy, rule),
            "written": written("rule", &rule.name).map(Table::json),
            "origin": origin_of(config, &rule.name),
        })
    };
    let all = |what: &'static str| {
        let of = config.additions.tables.iter().filter(move |table| table.what == what);
        of.map(|table| json!({"written": table.json(), "origin": table.place.to_string()}))
            .collect::<Vec<_>>()
    };
    let expectations = config.additions.tables.iter().filter(|table| table.what == "expect");
    json!({
        "settings": settings.map(setting).collect::<Vec<_>>(),
        "lists": rules.checks.iter().map(|check| list(check.list)).collect::<Vec<_>>(),
        "rules": rules.policy.rules().iter().map(rule).collect::<Vec<_>>(),
        "score": written("score", "").map(|table| json!({"written": table.json(), "origin": table.place.to_string()})),
        "recipients": all("recipient"),
        "syntax": all("syntax").first(),
        "limits": all("limit"),
        "expectations": expectations.map(Table::json).collect::<Vec<_>>(),
    })
}
