//! The administrator's own tests: sessions that are played in memory.
//!
//! No query leaves: every answer of a list in DNS stands in the expectation, and what is not stated is not listed. A
//! list in a file answers from it, unless the expectation says something about that list. An access map in memory answers
//! as it is; one that is asked key by key says nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::{Gate, Memory, Rules, Tables};
use crate::config::{Answered, Config, Expectation, Problem};
use crate::dns::{self, Answers, Dns, Key, Source, Subject};
use crate::milter::Filter as _;
use crate::smtp::{Client, Dialog, Domain, Recipient, Stage, Transaction, canonical, excerpt, without_keys};
use crate::source::Map;
use crate::telemetry;
use crate::verdict::{Act, Decision, Edit, Trouble, Verdict};

/// Octets of a name that are shown.
const SHOWN: usize = 60;
/// Octets of macros that such a session can have.
const MACROS: usize = 4_096;

/// Plays all expectations of a configuration.
///
/// # Errors
/// Those that are not met, each with what came of it instead.
pub fn check(config: &Config, tables: &Tables) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for expected in &config.additions.expectations {
        if let Err(cause) = telemetry::muted(|| play(config, tables, expected)).meets(expected) {
            problems.push(Problem {
                place: expected.place.clone(),
                setting: format!("expect.{}", expected.name),
                cause,
                remedy: "mend the rules or the expectation; gatepost explain shows such a session".to_owned(),
            });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What came of a session.
struct Outcome {
    act: Option<Act>,
    stage: Option<Stage>,
    rule: Option<String>,
    said: String,
    /// The stage whose judgement waits for something outside the session, so that nothing is known of it.
    waits: Option<Stage>,
}

impl Outcome {
    const NOTHING: Self = Self { act: None, stage: None, rule: None, said: String::new(), waits: None };

    fn meets(&self, expected: &Expectation) -> Result<(), String> {
        if let Some(stage) = self.waits {
            return Err(format!("it cannot be played: {stage} waits for an answer from outside"));
        }
        let word = |act: Option<Act>| act.map_or("accept", Act::name);
        let by = self.rule.as_ref().map_or_else(String::new, |rule| format!(" by rule {rule}"));
        let at = self.stage.map_or_else(String::new, |stage| format!(" at {stage}"));
        if self.act != expected.act {
            return Err(format!("{} is expected, but it is {}{at}{by}", word(expected.act), word(self.act)));
        }
        if let Some(stage) = expected.stage
            && self.stage != Some(stage)
        {
            return Err(format!("stage {stage} is expected, but it is {}{at}", word(self.act)));
        }
        if let Some(rule) = &expected.rule
            && self.rule.as_ref() != Some(rule)
        {
            let rule = excerpt(rule.as_bytes(), SHOWN);
            return Err(format!("rule {rule} is expected, but it is {}{by}", word(self.act)));
        }
        match &expected.says {
            Some(text) if !self.said.contains(text.as_str()) => {
                Err(format!("it does not say so, but \"{}\"", without_keys(&self.said)))
            }
            _ => Ok(()),
        }
    }
}

/// Lists that say this, and have nothing else.
pub fn answers(answers: &[Answered]) -> Arc<dyn Answers> {
    Arc::new(Script::of(answers))
}

/// The answers of one expectation.
struct Script(Vec<Line>);

struct Line {
    list: &'static str,
    /// As the list files it; nothing for all.
    subject: Option<String>,
    answer: Result<Vec<Ipv4Addr>, Trouble>,
}

impl Script {
    fn of(answers: &[Answered]) -> Self {
        let entry = |answered: &Answered| {
            let subject = answered.subject.as_ref().map(|subject| match subject.parse::<IpAddr>() {
                Ok(ip) => Subject::Ip(canonical(ip)).name(),
                Err(_) => Domain::from_setting(subject)
                    .map_or_else(|_| subject.to_lowercase(), |domain| domain.to_string()),
            });
            Line { list: answered.list.name(), subject, answer: answered.answer.clone() }
        };
        Self(answers.iter().map(entry).collect())
    }

    fn find(&self, name: &str) -> Option<&Result<Vec<Ipv4Addr>, Trouble>> {
        let (subject, list) = name.rsplit_once('.')?;
        // A domain stands for all names below it, as it does in the lists.
        let holds = |entry: &str| {
            subject.strip_suffix(entry).is_some_and(|left| left.is_empty() || left.ends_with('.'))
        };
        let mut lines = self.0.iter().filter(|line| line.list == list);
        lines.find(|line| line.subject.as_deref().is_none_or(holds)).map(|line| &line.answer)
    }
}

impl Answers for Script {
    fn answer(&self, name: &str) -> Vec<Ipv4Addr> {
        self.find(name).and_then(|answer| answer.clone().ok()).unwrap_or_default()
    }

    fn trouble(&self, name: &str) -> Option<Trouble> {
        self.find(name).and_then(|answer| answer.as_ref().err().copied())
    }
}

fn play(config: &Config, tables: &Tables, expected: &Expectation) -> Outcome {
    let settings = dns::Settings::from(config);
    let dns = Dns::new(settings, None::<Key>, Source::Table(answers(&expected.answers)));
    // Documentation addresses are the natural ones for examples, and no question leaves.
    let mut rules = Rules::new(config, tables);
    rules.exempt.ask_special = true;
    // A file answers for itself, unless the expectation does.
    for check in &mut rules.checks {
        if expected.answers.iter().any(|answered| answered.list == check.list) {
            check.table = None;
        }
    }
    // A server or a database that is not there now would keep a good policy from coming into force.
    if let Some(access) = &mut rules.access {
        access.check.maps.retain(Map::is_held);
    }
    let gate = Gate::new(rules, dns);
    let mut dialog = Dialog {
        client: expected.client.map_or(Client::Unknown, |ip| Client::Ip(canonical(ip))),
        client_name: expected.client_name.clone().unwrap_or_default().into_bytes(),
        ..Dialog::default()
    };
    if let Some(port) = &expected.port {
        dialog.macros.store(b'C', format!("{{daemon_port}}\0{port}\0").as_bytes(), MACROS);
    }
    let mut memory = Memory::default();
    let mut outcome = Outcome::NOTHING;
    if outcome.after(&gate, Stage::Connect, &dialog, &mut memory) {
        return outcome;
    }
    if let Some(helo) = &expected.helo {
        dialog.helo = Some(helo.clone().into_bytes());
        if outcome.after(&gate, Stage::Helo, &dialog, &mut memory) {
            return outcome;
        }
    }
    let Some(sender) = expected.sender.clone().or_else(|| {
        let is_mail = !expected.recipients.is_empty() || expected.login.is_some();
        is_mail.then(String::new)
    }) else {
        return outcome;
    };
    if let Some(login) = &expected.login {
        dialog.macros.store(b'M', format!("{{auth_authen}}\0{login}\0").as_bytes(), MACROS);
    }
    dialog.transaction = Some(Transaction { sender: sender.into_bytes(), ..Transaction::default() });
    if outcome.after(&gate, Stage::Mail, &dialog, &mut memory) {
        return outcome;
    }
    for (number, address) in expected.recipients.iter().enumerate() {
        let address = address.clone().into_bytes();
        if let Some(message) = &mut dialog.transaction {
            message.recipients.push(Recipient { address, parameters: Vec::new() });
        }
        let is_last = number + 1 == expected.recipients.len();
        let mut one = Outcome::NOTHING;
        let ends = one.after(&gate, Stage::Rcpt, &dialog, &mut memory);
        if ends && (is_last || one.waits.is_some()) {
            return one;
        }
        if is_last {
            outcome = one;
        }
    }
    outcome.after(&gate, Stage::Message, &dialog, &mut memory);
    outcome
}

impl Outcome {
    /// Plays one stage. Whether the session, or the recipient, ends there.
    fn after(&mut self, gate: &Gate, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> bool {
        // All answers are there, so that there is nothing to wait for.
        let Some(decision) = gate.judge(stage, dialog, memory).now_or_never() else {
            self.waits = Some(stage);
            return true;
        };
        if stage < Stage::Data
            && stage >= gate.rules().enforce
            && let Some(cause) = gate.weigh(stage, dialog, memory).cause
        {
            self.rule = Some(cause.rule.to_string());
        }
        match decision {
            Decision { verdict: Verdict::Refuse(reply), .. } => {
                self.end(Act::Refuse, stage, reply.to_string())
            }
            Decision { verdict: Verdict::Defer(reply), .. } => self.end(Act::Defer, stage, reply.to_string()),
            Decision { verdict: Verdict::Discard, .. } => self.end(Act::Discard, stage, String::new()),
            Decision { verdict: Verdict::Quarantine(why), .. } => {
                self.end(Act::Quarantine, stage, why.into_string())
            }
            Decision { edits, .. } => {
                let field = |edit: &Edit| match edit {
                    Edit::InsertHeader(_, name, value) => {
                        Some(format!("{}: {}", name.as_str(), value.as_str()))
                    }
                    _ => None,
                };
                let fields: Vec<String> = edits.iter().filter_map(field).collect();
                !fields.is_empty() && self.end(Act::Tag, stage, fields.join(", "))
            }
        }
    }

    fn end(&mut self, act: Act, stage: Stage, said: String) -> bool {
        (self.act, self.stage, self.said) = (Some(act), Some(stage), said);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::access::Location;
    use crate::source::Watcher;

    #[tokio::test]
    async fn a_judgement_that_waits_is_no_outcome() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("maps");
        let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let mut config = Config::default();
        let map = format!("socketmap:unix:{}:access", socket.display());
        config.access.map = vec![map.parse::<Location>().expect("a map")];
        let (tables, _) = Tables::open(&config, &Watcher::default(), &[]).expect("no file is opened");
        let dns = Dns::new(dns::Settings::from(&config), None::<Key>, Source::Table(answers(&[])));
        let gate = Gate::compile(&config, &tables, dns);
        let client = Client::Ip(Ipv4Addr::new(8, 8, 0, 2).into());
        let (dialog, mut memory) = (Dialog { client, ..Dialog::default() }, Memory::default());
        let mut outcome = Outcome::NOTHING;
        assert!(outcome.after(&gate, Stage::Connect, &dialog, &mut memory));
        assert_eq!(outcome.waits, Some(Stage::Connect));
    }
}
