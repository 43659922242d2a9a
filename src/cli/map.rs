//! `gatepost map`: tries an access map out, without a daemon and without mail.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::args;
use super::orders::{say, say_json};
use super::words::shown;
use crate::check;
use crate::config::{Config, Sources};
use crate::daemon::Exit;
use crate::gate::options;
use crate::list::Fault;
use crate::list::access::{Address, Answer, Because, Host, Location, Rules, Ruling, Search};
use crate::smtp::{canonical, plain};
use crate::source::{Map, Watcher};

pub(super) fn run(sources: &Sources, verb: &args::MapVerb) -> Exit {
    // What else is wrong with the configuration is of no interest here, nor whether there is one.
    let config = Config::read(sources).config;
    match verb {
        args::MapVerb::Check(what) => check(config, what),
        args::MapVerb::Query(what) => query(config, what),
    }
}

/// Opens the map that is named, by the settings of the configuration but for the syntax.
fn open(mut config: Config, of: &args::MapFile) -> Result<Map, Exit> {
    if let Some(syntax) = of.syntax {
        config.access.syntax = syntax.into();
    }
    let named = if of.map.contains([':', '!']) {
        of.map.parse()
    } else {
        let path = std::path::absolute(&of.map).unwrap_or_else(|_| of.map.clone().into());
        format!("text:{}", path.display()).parse::<Location>()
    };
    let location = named.map_err(|bad| {
        eprintln!("{}: {bad}", shown(of.map.as_bytes()));
        Exit::Usage
    })?;
    Map::open(&location, &options(&config), &Watcher::default()).map_err(|faults| {
        for fault in &faults {
            eprintln!("{}", line(&location, fault));
        }
        Exit::Config
    })
}

/// A fault with the file that it is in.
fn line(location: &Location, fault: &Fault) -> String {
    let file = location.path().map_or_else(|| location.to_string(), |path| path.display().to_string());
    format!("{}:{fault}", shown(file.as_bytes()))
}

fn check(config: Config, what: &args::MapFile) -> Exit {
    let map = match open(config, what) {
        Ok(map) => map,
        Err(exit) => return exit,
    };
    if let Some(state) = map.state() {
        let notices = state.warnings.iter().map(|fault| line(map.location(), fault) + "\n");
        let noun = if state.entries == 1 { "entry" } else { "entries" };
        let place = plain(&map.location().to_string());
        say(&format!("{}{place}: {} {noun}\n", notices.collect::<String>(), state.entries));
    }
    Exit::Ok
}

fn query(config: Config, what: &args::MapQuery) -> Exit {
    let access = &config.access;
    let rules =
        Rules { loopback: access.loopback, logins: access.logins, detail: access.detail.as_str().into() };
    let map = match open(config, &what.of) {
        Ok(map) => map,
        Err(exit) => return exit,
    };
    let ip = |text: &str| text.parse::<IpAddr>().ok().map(canonical);
    let name = what.client_name.clone().unwrap_or_default();
    let (host, from) = match what.tag {
        args::MapTag::Connect => match ip(&what.subject) {
            Some(ip) => (Host::new(Some(ip), name.as_bytes()), None),
            None => (Host::new(what.client.map(canonical), what.subject.as_bytes()), None),
        },
        _ => (Host::new(what.client.map(canonical), name.as_bytes()), what.from.as_deref()),
    };
    let address = Address::parse(what.subject.as_bytes());
    let sender = Address::parse(from.unwrap_or_default().as_bytes());
    let search = match (what.tag, &address) {
        (args::MapTag::Connect, _) => Search::connect(&host, &rules),
        (args::MapTag::From, sender) => Search::mail(&host, None, sender.as_ref(), &rules),
        (args::MapTag::Auth, _) => Search::login(&host, &what.subject, sender.as_ref(), &rules),
        (args::MapTag::To, Some(recipient)) => Search::rcpt(&host, sender.as_ref(), recipient, &rules),
        (args::MapTag::To, None) => {
            eprintln!("the null path is no recipient; name a mailbox");
            return Exit::Usage;
        }
    };
    let Some(answer) = answer(&map, search) else { return Exit::Unavailable };
    if what.json {
        say_json(&json(&map, &answer));
    } else {
        say(&format!("{}=> {}\n", chain(&map, &answer, ""), told(&map, &answer)));
    }
    exit(&answer)
}

/// Asks a map in this thread.
fn answer(map: &Map, search: Search<'_>) -> Option<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| eprintln!("{error}")).ok()?;
    runtime.block_on(map.search(search)).map_err(|unanswered| eprintln!("{unanswered}")).ok()
}

/// The keys that were tried, one a line, and what the map has for each.
pub(super) fn chain(map: &Map, answer: &Answer, indent: &str) -> String {
    let wide = answer.chain.iter().map(|key| key.as_str().chars().count()).max().unwrap_or_default();
    let wide = wide.min(60);
    let hits = [hit(answer), answer.hater.as_ref()];
    let one = |key: &crate::list::access::Key| {
        let hit = hits.iter().flatten().find(|hit| hit.key == *key);
        // A map that is asked key by key is not asked a second time for what is written there.
        let unknown = || if hit.is_some() { "found" } else { "-" }.to_owned();
        let found = map.written(key).map_or_else(unknown, |value| shown(value.as_bytes()));
        let place = hit.map(|hit| format!("  ({})", map.line(hit.line)));
        format!("{indent}{:<wide$}  {found}{}\n", shown(key.as_str().as_bytes()), place.unwrap_or_default())
    };
    answer.chain.iter().map(one).collect()
}

fn hit(answer: &Answer) -> Option<&crate::list::access::Hit> {
    match &answer.because {
        Because::Hit(hit) => Some(hit),
        _ => None,
    }
}

/// What the map says, in words, with the evidence.
pub(super) fn told(map: &Map, answer: &Answer) -> String {
    let because = check::because(map, answer);
    let because = if because.is_empty() { String::new() } else { format!(": {because}") };
    let hater = if answer.hater.is_some() { "; the recipient wants all checks (HATER)" } else { "" };
    format!("{}{because}{hater}", ruling(&answer.ruling))
}

/// A ruling in words.
fn ruling(ruling: &Ruling) -> String {
    let reply = |denial: &crate::list::access::Denial| {
        let text =
            denial.text.as_ref().map(|text| format!(" {}", shown(text.as_bytes()))).unwrap_or_default();
        format!("{} {}{text}", denial.code, denial.enhanced)
    };
    match ruling {
        Ruling::Nothing => "the map says nothing".to_owned(),
        Ruling::Allow => "allowed".to_owned(),
        Ruling::Refuse(denial) => format!("refused ({})", reply(denial)),
        Ruling::Defer(denial) => format!("deferred ({})", reply(denial)),
        Ruling::Discard => "taken and dropped".to_owned(),
        Ruling::Quarantine(reason) => format!("held ({})", shown(reason.as_bytes())),
    }
}

/// The word for a ruling in JSON.
fn word(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Nothing => "nothing",
        Ruling::Allow => "allow",
        Ruling::Refuse(_) => "reject",
        Ruling::Defer(_) => "tempfail",
        Ruling::Discard => "discard",
        Ruling::Quarantine(_) => "quarantine",
    }
}

pub(super) fn json(map: &Map, answer: &Answer) -> Value {
    let keys: Vec<&str> = answer.chain.iter().map(crate::list::access::Key::as_str).collect();
    json!({
        "map": map.location().to_string(), "result": word(&answer.ruling), "chain": keys,
        "key": hit(answer).map(|hit| hit.key.as_str()), "place": hit(answer).map(|hit| map.line(hit.line)),
        "value": hit(answer).and_then(|hit| map.written(&hit.key)), "pattern": hit(answer).and_then(|hit| hit.pattern),
        "hater": answer.hater.is_some(),
    })
}

/// As with `explain`: whether mail is lost.
pub(super) fn exit(answer: &Answer) -> Exit {
    match answer.ruling {
        Ruling::Refuse(_) | Ruling::Defer(_) | Ruling::Discard => Exit::Listed,
        Ruling::Nothing | Ruling::Allow | Ruling::Quarantine(_) => Exit::Ok,
    }
}
