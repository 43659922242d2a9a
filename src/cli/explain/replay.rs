//! Decisions of the log, made again by the present configuration.
//!
//! If another one comes out, the session is played once more with what the lists said then: that tells whether
//! the lists or the configuration are the reason.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::play::{Played, Scene, Session};
use super::record::{Decided, Record};
use super::{args, record};
use crate::cli::orders::say_json;
use crate::cli::words::{act, outcome, shown};
use crate::config::{Answered, Config};
use crate::daemon::Exit;
use crate::dns::{Dns, Source};
use crate::gate::{Gate, Tables, expect};
use crate::smtp::{Reply, Stage, plain};
use crate::verdict::{Act, Answers, Finding, List, Outcome, Pattern, Trouble};

/// What is known of one decision and of the same one now.
struct Compared {
    session: String,
    then: (Option<Act>, String, String),
    now: (Option<Act>, String, String),
    is_same: bool,
    why: Vec<String>,
}

pub(super) async fn run(config: &Config, gate: &Gate, what: &args::Explain, text: &str) -> Exit {
    let decided = record::read(text);
    if decided.is_empty() {
        eprintln!(
            "no decision of gatepost is in what was given; give lines with event=verdict, or what \
             journalctl -t gatepost -o json prints"
        );
        return Exit::Usage;
    }
    let (mut same, mut doubtful) = (0, false);
    for one in &decided {
        let session = session(one, what);
        let played = session.play(gate).await;
        doubtful |= played.is_doubtful();
        let compared = compare(config, gate, one, &session, &played).await;
        same += usize::from(compared.is_same);
        if what.json { say_json(&compared.json()) } else { compared.print() }
    }
    if !what.json && decided.len() > 1 {
        sayln!("{same} of {} decisions are the same", decided.len());
    }
    match same {
        all if all < decided.len() => Exit::Listed,
        _ if doubtful => Exit::Unknown,
        _ => Exit::Ok,
    }
}

/// The session as far as the log tells of it; the rest is from the command line.
fn session(decided: &Decided, what: &args::Explain) -> Session {
    let record = decided.reason();
    let helo = record.said("helo");
    let mail = decided.stage >= Stage::Mail;
    Session {
        client: record.field("client_ip").parse().ok(),
        is_local: record.field("client_ip") == "local",
        helo: (!helo.is_empty()).then_some(helo),
        sender: mail.then(|| record.said("mail_from")),
        recipients: if decided.stage == Stage::Rcpt { vec![record.said("rcpt")] } else { Vec::new() },
        login: (mail && record.field("auth") == "1").then(|| "replay".to_owned()),
        ..Session::from(what)
    }
}

async fn compare(
    config: &Config,
    gate: &Gate,
    decided: &Decided,
    session: &Session,
    now: &Played,
) -> Compared {
    let record = decided.reason();
    let acted = record.act();
    let scene = now.scenes.first();
    let (act_now, rule_now, reply_now) = scene.map(decision).unwrap_or_default();
    let mut why = Vec::new();
    if record.is_cut() {
        why.push(
            "the log has cut short what the client said: the session cannot be played exactly".to_owned(),
        );
    }
    let is_same = acted == act_now;
    if !is_same {
        let policy = &gate.rules().policy;
        // The log tells of findings that say something only; all others are taken as not listed.
        let answers: Vec<Answered> = decided.told().filter_map(|record| answered(config, record)).collect();
        let dns = Dns::new(config.into(), None, Source::Table(expect::answers(&answers)));
        // Without its table a list in a file answers what the log says of it, too.
        let before = session.play(&Gate::compile(config, &Tables::default(), dns)).await;
        let scene_before = before.scenes.first();
        if let Some(trust) = now.spared {
            why.push(format!(
                "the configuration is another one: nothing of this session is checked ({})",
                trust.name()
            ));
        } else if scene_before.map(decision).unwrap_or_default().0 == acted {
            why.push("the lists say something else now".to_owned());
            why.extend(scene.iter().flat_map(|scene| changes(decided, &scene.findings)));
        } else if is_doubt(acted, record.field("rule"), scene_before) {
            why.push("a list of friends that did not answer then might have let it in".to_owned());
        } else {
            why.push("the configuration is another one".to_owned());
            let rule = record.field("rule");
            let known = policy.rules().iter().position(|known| *known.name == *rule);
            match (known, scene_before) {
                _ if rule.is_empty() => {}
                (None, _) if rule == crate::policy::SCORE => why.push(format!(
                    "the score is {} with what the lists said then",
                    scene_before.map_or(0, |scene| scene.review.judgement.score)
                )),
                (None, _) => why.push(format!("there is no rule {} any more", shown(rule.as_bytes()))),
                (Some(place), Some(scene)) => {
                    let of = scene.review.rules.iter().filter(|looked| looked.rule == place);
                    why.extend(of.map(|looked| format!("rule {rule}: {}", scene.course(policy, looked))));
                }
                (Some(_), None) => {}
            }
            if !rule_now.is_empty() && rule_now != rule {
                why.push(format!("what decides now is {rule_now}"));
            }
        }
    }
    if let Some(scene) = scene.filter(|scene| scene.stage != decided.stage && act_now.is_some()) {
        why.push(format!("it was decided at {}, and is now at {}", decided.stage, scene.stage));
    }
    let part = |name: &str| shown(&record.said(name));
    let mut told = format!("{} at {}: client {}", part("session"), decided.stage, part("client_ip"));
    for (word, name) in [("helo", "helo"), ("from", "mail_from"), ("to", "rcpt")] {
        if !record.field(name).is_empty() {
            told = format!("{told}, {word} {}", part(name));
        }
    }
    let then = (acted, shown(record.field("rule").as_bytes()), shown(record.field("reply").as_bytes()));
    Compared { session: told, then, now: (act_now, rule_now, reply_now), is_same, why }
}

/// Whether a deferral would be a refusal or discard by the same rule, had every list answered: which one did not, the log
/// tells at level debug only.
fn is_doubt(acted: Option<Act>, rule: &str, then: Option<&Scene>) -> bool {
    let (act, by, _) = then.map(decision).unwrap_or_default();
    acted == Some(Act::Defer) && matches!(act, Some(Act::Refuse | Act::Discard)) && by == rule
}

/// What is done, the rule that does it, and the reply.
fn decision(scene: &Scene) -> (Option<Act>, String, String) {
    let reply = scene.reply.as_ref().map(Reply::to_string).unwrap_or_default();
    match &scene.review.judgement.cause {
        Some(cause) if cause.act > Act::Log => (Some(cause.act), cause.rule.to_string(), reply),
        _ => (None, String::new(), reply),
    }
}

/// What a list said, from the line that tells of it.
fn answered(config: &Config, record: &Record) -> Option<Answered> {
    let list = list(config, record.field("zone"))?;
    let answer = match Trouble::named(record.field("reason")) {
        Some(trouble) => Err(trouble),
        None if record.field("reason") == "listed" => {
            let codes = record.field("codes").split(',');
            Ok(codes.filter_map(|code| address(list, code)).collect())
        }
        None => return None,
    };
    // A digest of a mailbox is not in the log: then the list has whatever it is asked about.
    let subject = record.field("subject");
    let subject = (subject.parse::<IpAddr>().is_ok() || !subject.contains('@')).then(|| subject.to_owned());
    Some(Answered { list, subject: subject.filter(|subject| !subject.is_empty()), answer })
}

fn list(config: &Config, name: &str) -> Option<List> {
    let own = config.additions.lists.iter().map(|own| own.list);
    List::DQS.into_iter().chain(own).find(|list| list.name() == name)
}

/// An answer that a code in the log stands for.
fn address(list: List, code: &str) -> Option<Ipv4Addr> {
    let Answers::Named(names) = list.definition().answers else { return code.parse().ok() };
    let (_, pattern) = names.iter().find(|(name, _)| *name == code)?;
    Some(match pattern {
        Pattern::Octets(octets) => octets.map(|(first, _)| first).into(),
        Pattern::Bits(mask) => [127, 0, 0, mask & mask.wrapping_neg()].into(),
    })
}

/// What the lists say otherwise than in the log.
fn changes(decided: &Decided, now: &[Finding]) -> Vec<String> {
    let mut told = Vec::new();
    for finding in now {
        let then = decided.told().find(|record| {
            record.field("zone") == finding.list.name() && record.identity() == Some(finding.identity)
        });
        let before = match then.map(|record| (record, record.field("reason"))) {
            Some((record, "listed")) => record.field("codes"),
            None | Some((_, "clear")) => "",
            Some((_, trouble)) => trouble,
        };
        let after = match finding.outcome {
            Outcome::Hit(codes) => finding.list.shown(codes),
            Outcome::Unknown(trouble) => trouble.name().to_owned(),
            Outcome::Clear | Outcome::Trusted(_) | Outcome::Skipped(_) => String::new(),
        };
        if before == after {
            continue;
        }
        let (identity, title) = (finding.identity.name(), finding.list.title());
        let subject = then.map_or_else(|| plain(&finding.subject), |record| shown(&record.said("subject")));
        let before = if before.is_empty() {
            "nothing that the log tells".to_owned()
        } else {
            shown(before.as_bytes())
        };
        told.push(format!("{title} about {identity} {subject}: then {before}, now {}", outcome(finding)));
    }
    told
}

impl Compared {
    fn print(&self) {
        let one = |word: &str, (done, rule, reply): &(Option<Act>, String, String)| {
            let by = if rule.is_empty() { String::new() } else { format!(" by {rule}") };
            let reply = if reply.is_empty() { String::new() } else { format!(": {reply}") };
            sayln!("  {word} {}{by}{reply}", act(*done));
        };
        sayln!("{}", self.session);
        one("then", &self.then);
        one("now ", &self.now);
        sayln!("  => {}", if self.is_same { "the same" } else { "not the same" });
        for why in &self.why {
            sayln!("     {why}");
        }
    }

    fn json(&self) -> Value {
        let one = |(done, rule, reply): &(Option<Act>, String, String)| json!({"decision": act(*done), "rule": rule, "reply": reply});
        json!({
            "session": self.session, "then": one(&self.then), "now": one(&self.now), "same": self.is_same,
            "why": self.why,
        })
    }
}
