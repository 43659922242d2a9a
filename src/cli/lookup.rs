//! `gatepost lookup`: asks the lists as the daemon would, and explains every answer.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::orders::{say, say_json};
use super::words::{effect_in_force, shown};
use super::{args, map};
use crate::config::{Config, Sources};
use crate::daemon::Exit;
use crate::dns::{Dns, Source};
use crate::gate::{About, Gate, Rules};
use crate::list::access::{Address, Host, Search};
use crate::smtp::{Domain, Mailbox, ReversePath, canonical, is_special, plain};
use crate::source::Map;
use crate::verdict::{Answers, Finding, Identity, Kind, List, Outcome, Trouble};

pub(super) fn run(sources: &Sources, what: &args::Lookup) -> Exit {
    let Some(config) = super::load(sources) else { return Exit::Config };
    let Some(tables) = super::tables(&config) else { return Exit::Config };
    let subjects: Vec<(&str, Result<About, &'static str>)> =
        what.subjects.iter().map(|text| (text.as_str(), about(text))).collect();
    for (text, unusable) in
        subjects.iter().filter_map(|(text, subject)| Some((text, subject.as_ref().err()?)))
    {
        eprintln!("{}: {unusable}", shown(text.as_bytes()));
    }
    let lists = lists(&config, &what.list);
    if let Err(unknown) = &lists {
        eprintln!("{unknown}");
    }
    let (false, Ok(lists)) = (subjects.iter().any(|(_, subject)| subject.is_err()), lists) else {
        return Exit::Usage;
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::Unavailable;
    };
    runtime.block_on(async {
        let dns = Dns::new((&config).into(), config.key.clone(), Source::Resolver);
        let gate = Gate::compile(&config, &tables, dns);
        let mut exit = Exit::Ok;
        // Whoever chose lists did not ask about maps.
        let maps: &[Map] = if what.list.is_empty() { tables.maps() } else { &[] };
        for (text, about) in subjects {
            let Ok(about) = about else { continue };
            let asked: Vec<List> = lists.iter().copied().filter(|list| about.suits(*list)).collect();
            let policies = &gate.rules().envelope.admissions;
            let is_protected =
                what.list.is_empty() && matches!(about, About::Mailbox(..)) && !policies.is_empty();
            if asked.is_empty() && maps.is_empty() && !is_protected {
                eprintln!("{}: {}", shown(text.as_bytes()), nobody(&about));
                exit = if exit == Exit::Listed { exit } else { Exit::Unknown };
            }
            for finding in gate.look_up(asked, &about).await {
                // A file is looked into about any address.
                let special = matches!(about, About::Ip(ip) if is_special(ip)) && !finding.list.is_local();
                let line = Line { finding, gate: &gate, special };
                exit = line.exit(exit);
                if what.json { say_json(&line.json(text)) } else { line.print(text) }
            }
            // Nor about who may write to whom.
            if what.list.is_empty() {
                in_policies(gate.rules(), text, &about, what.json);
            }
            for map in maps {
                exit = in_map(map, gate.rules(), text, &about, what.json, exit).await;
            }
        }
        exit
    })
}

/// An address, a mailbox, or a domain.
fn about(text: &str) -> Result<About, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(About::Ip(canonical(ip)));
    }
    if text.contains('@') {
        return match (ReversePath::parse(text.as_bytes()), Mailbox::parse(text.as_bytes())) {
            (ReversePath::Domain { domain, .. }, Some(mailbox)) => Ok(About::Mailbox(mailbox, domain)),
            (ReversePath::Domain { domain, .. }, None) => Ok(About::Domain(domain)),
            _ => Err("the mailbox has no domain that a list could know"),
        };
    }
    // Test entries such as `test` are single labels: here they may be asked about.
    Domain::from_setting(text).map(About::Domain).map_err(|_| "neither an address nor a domain nor a mailbox")
}

/// What an access map says about a subject as each of those that it can be.
async fn in_map(map: &Map, rules: &Rules, text: &str, about: &About, as_json: bool, so_far: Exit) -> Exit {
    let Some(access) = &rules.access else { return so_far };
    let nobody = Host::default();
    let (host, address) = match about {
        About::Ip(ip) => (Host::new(Some(*ip), b""), None),
        About::Domain(domain) => (Host::new(None, domain.as_str().as_bytes()), None),
        About::Mailbox(..) => (Host::default(), Address::parse(text.as_bytes())),
    };
    let rules = &access.check.rules;
    let searches = match &address {
        None => vec![("client", Search::connect(&host, rules))],
        Some(address) => vec![
            ("sender", Search::mail(&nobody, None, Some(address), rules)),
            ("recipient", Search::rcpt(&nobody, None, address, rules)),
        ],
    };
    let mut exit = so_far;
    for (role, search) in searches {
        let answer = match map.search(search).await {
            Ok(answer) => answer,
            Err(unanswered) => {
                eprintln!("{unanswered}");
                exit = if exit == Exit::Listed { exit } else { Exit::Unknown };
                continue;
            }
        };
        if as_json {
            let mut told = map::json(map, &answer);
            (told["query"], told["as"]) = (text.into(), role.into());
            say_json(&told);
        } else {
            let place = plain(&map.location().to_string());
            sayln!("{}: {place} as {role}, {}", shown(text.as_bytes()), map::told(map, &answer));
            say(&map::chain(map, &answer, "  "));
        }
        exit = if map::exit(&answer) == Exit::Listed { Exit::Listed } else { exit };
    }
    exit
}

/// Which policy says who may write to a mailbox.
fn in_policies(rules: &Rules, text: &str, about: &About, as_json: bool) {
    let About::Mailbox(..) = about else { return };
    let Some(policy) = rules.envelope.policy(text.as_bytes()) else { return };
    if as_json {
        say_json(&json!({ "query": text, "as": "recipient", "policy": policy }));
    } else {
        sayln!("{}: {policy} says who may write to it", shown(text.as_bytes()));
    }
}

/// The lists that are in use, or those with these names.
fn lists(config: &Config, names: &[String]) -> Result<Vec<List>, String> {
    let own = config.additions.lists.iter().map(|own| own.list);
    if names.is_empty() {
        return Ok(Rules::from(config).checks.iter().map(|check| check.list).collect());
    }
    let all: Vec<List> = List::DQS.into_iter().chain(own).collect();
    let find = |name: &String| {
        all.iter().copied().find(|list| list.name() == name).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|list| list.name()).collect();
            format!("there is no list {}; there are {}", shown(name.as_bytes()), known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn nobody(about: &About) -> &'static str {
    match about {
        About::Ip(_) => "not asked about: no list that is chosen, or switched on, is about addresses",
        About::Domain(_) => "not asked about: no list that is chosen, or switched on, is about domains",
        About::Mailbox(..) => {
            "not asked about: no list that is chosen, or switched on, is about domains or mailboxes"
        }
    }
}

/// What one list says about one subject.
struct Line<'a> {
    finding: Finding,
    gate: &'a Gate,
    special: bool,
}

impl Line<'_> {
    fn exit(&self, so_far: Exit) -> Exit {
        match (self.finding.outcome, so_far) {
            (Outcome::Hit(_), _) | (_, Exit::Listed) => Exit::Listed,
            (Outcome::Unknown(_), _) => Exit::Unknown,
            (_, so_far) => so_far,
        }
    }

    fn print(&self, text: &str) {
        let (text, subject, list) = (shown(text.as_bytes()), plain(&self.finding.subject), self.finding.list);
        let asked = if text == subject { String::new() } else { format!(" ({subject})") };
        let title = list.title();
        match self.finding.outcome {
            Outcome::Unknown(trouble) => {
                sayln!("{text}{asked}: {title} could not tell: {}", explain(trouble));
            }
            Outcome::Hit(codes) => {
                sayln!("{text}{asked}: listed in {title}, {}", self.consequence());
                for code in codes.iter() {
                    sayln!("  {}  {}", self.code(code), self.meaning(code));
                }
            }
            _ => sayln!("{text}{asked}: not listed in {title}"),
        }
        for (rule, told) in self.rules() {
            sayln!("  rule {rule}{told}");
        }
        if self.gate.asks_about(list).is_none() {
            sayln!("  {title} is switched off: sessions do not ask it");
        }
        if self.special {
            sayln!("  a special-purpose address: the daemon does not ask about such a client");
        }
    }

    fn json(&self, text: &str) -> Value {
        let list = self.finding.list;
        let (result, codes, trouble) = match self.finding.outcome {
            Outcome::Unknown(trouble) => ("unknown", Vec::new(), Some(trouble.name())),
            Outcome::Hit(codes) => {
                let each =
                    codes.iter().map(|code| json!({"code": self.code(code), "meaning": self.meaning(code)}));
                ("listed", each.collect(), None)
            }
            _ => ("not-listed", Vec::new(), None),
        };
        let rules: Vec<String> = self.rules().into_iter().map(|(rule, _)| rule).collect();
        json!({
            "query": text, "subject": &*self.finding.subject, "list": list.name(), "result": result,
            "codes": codes, "action": self.consequence(), "trouble": trouble, "special": self.special,
            "rules": rules, "in_use": self.gate.asks_about(list).is_some(),
        })
    }

    fn code(&self, code: u8) -> String {
        let mut one = self.finding.list.no_codes();
        one.insert(code);
        self.finding.list.shown(one)
    }

    /// What a code means: the answer, where the administrator gave it a name.
    fn meaning(&self, code: u8) -> String {
        match self.finding.list.definition().answers {
            Answers::Named(names) => {
                names.get(usize::from(code)).map_or_else(String::new, |(_, pattern)| pattern.to_string())
            }
            Answers::Codes { .. } => self.finding.list.meaning(code).to_owned(),
        }
    }

    /// What the policy makes of it for a client, or for the sender of a message, of which nothing else is known.
    fn consequence(&self) -> &'static str {
        super::action(self.gate.rules(), &self.finding)
    }

    /// The rules that it fires, and what is to be known of each.
    fn rules(&self) -> Vec<(String, String)> {
        let list = self.finding.list;
        let policy = &self.gate.rules().policy;
        let usual: &[Identity] = match list.kind() {
            Kind::Address => &[Identity::Client],
            Kind::Domain => &[Identity::Helo, Identity::Sender],
            Kind::Mailbox(_) => &[Identity::Sender],
        };
        let usual = usual.iter().copied().collect();
        let identities: Vec<Identity> = self.gate.asks_about(list).unwrap_or(usual).iter().collect();
        let mut fired: Vec<(usize, Vec<&'static str>)> = Vec::new();
        for identity in &identities {
            for rule in policy.fired_by(&Finding { identity: *identity, ..self.finding.clone() }) {
                match fired.iter_mut().find(|(other, _)| *other == rule) {
                    Some((_, of)) => of.push(identity.name()),
                    None => fired.push((rule, vec![identity.name()])),
                }
            }
        }
        fired.sort_unstable();
        let told = |(place, of): (usize, Vec<&str>)| {
            let rule = &policy.rules()[place];
            let of =
                if of.len() == identities.len() { String::new() } else { format!(", as {}", of.join(", ")) };
            let conditional = !rule.when.is_empty() || !rule.unless.is_empty();
            let conditions = if conditional { ", if its conditions are met" } else { "" };
            (rule.name.to_string(), format!(": {}{of}{conditions}", effect_in_force(policy, rule)))
        };
        fired.into_iter().map(told).collect()
    }
}

/// Trouble in words, with what to do.
pub(super) fn explain(trouble: Trouble) -> String {
    match trouble {
        Trouble::Timeout => "no answer in time; is the name server running?".to_owned(),
        Trouble::ServFail => {
            "the name server failed (SERVFAIL); the service may not be part of your plan".to_owned()
        }
        Trouble::Refused => "the name server refused the question".to_owned(),
        Trouble::Network => "the name server cannot be reached, or its answer cannot be read".to_owned(),
        Trouble::Service(code) => format!("the list reports: {}", service(code)),
        Trouble::Bogus => {
            "the answer is none of the list's; a resolver on the way rewrites answers".to_owned()
        }
        Trouble::Declined => "the list says that it does not answer this host".to_owned(),
        Trouble::Misuse => "the list does not take this kind of question".to_owned(),
        Trouble::Busy => "too many questions at once".to_owned(),
        Trouble::Resting => "the list is not asked for a while, after trouble with it".to_owned(),
        Trouble::NoKey => "there is no key; set SPAMHAUS_DQS_API_KEY or key.file".to_owned(),
    }
}

fn service(code: u8) -> String {
    let meaning = match code {
        250 => "the key is disabled",
        251 => "the key is used against its terms",
        252 => "the zone name is wrong",
        254 => "asked through an open or public resolver",
        255 => "too many questions for this key",
        _ => "an operator message",
    };
    format!("127.255.255.{code}, {meaning}")
}
