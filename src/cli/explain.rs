//! `gatepost explain`: plays an SMTP session and shows what every check finds.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{action, args, lookup};
use crate::config::Sources;
use crate::daemon::Exit;
use crate::dns::{Dns, Source};
use crate::gate::{Gate, Memory};
use crate::milter::Filter as _;
use crate::smtp::{Client, Dialog, Recipient, Reply, Stage, Transaction, canonical};
use crate::verdict::{Finding, Outcome, Verdict};

/// Octets of macros that a made-up session can have.
const MACROS: usize = 4_096;

pub(super) fn run(sources: &Sources, what: &args::Explain) -> Exit {
    let Some(config) = super::load(sources) else { return Exit::Config };
    let Some(tables) = super::tables(&config) else { return Exit::Config };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::Unavailable;
    };
    runtime.block_on(async {
        let dns = Dns::new((&config).into(), config.key.clone(), Source::Resolver);
        let gate = Gate::compile(&config, &tables, Arc::clone(&dns));
        let played = play(&gate, what).await;
        if what.json {
            println!("{}", played.json(&gate));
        } else {
            played.print(&gate);
        }
        played.exit()
    })
}

/// A session that was played: what was found, and where it ended.
struct Played {
    memory: Memory,
    refused: Option<(Stage, Reply)>,
}

async fn play(gate: &Gate, what: &args::Explain) -> Played {
    let mut dialog = Dialog {
        client: what.client.map_or(Client::Unknown, |ip| Client::Ip(canonical(ip))),
        ..Dialog::default()
    };
    if let Some(port) = what.port {
        dialog.macros.store(b'C', format!("{{daemon_port}}\0{port}\0").as_bytes(), MACROS);
    }
    let mut memory = Memory::default();
    let mut refused = None;
    let mut judged = Stage::Connect;
    for stage in [Stage::Connect, Stage::Helo, Stage::Mail, Stage::Rcpt] {
        match stage {
            Stage::Helo => match &what.helo {
                Some(name) => dialog.helo = Some(name.clone().into_bytes()),
                None => continue,
            },
            Stage::Mail => {
                let Some(sender) = what.from.clone().or_else(|| what.rcpt.is_some().then(String::new)) else {
                    break;
                };
                if let Some(login) = &what.auth {
                    dialog.macros.store(b'M', format!("{{auth_authen}}\0{login}\0").as_bytes(), MACROS);
                }
                dialog.transaction =
                    Some(Transaction { sender: sender.into_bytes(), ..Transaction::default() });
            }
            Stage::Rcpt => {
                let Some(transaction) = &mut dialog.transaction else { break };
                let address = what.rcpt.clone().unwrap_or_else(|| "<postmaster>".to_owned()).into_bytes();
                transaction.recipients.push(Recipient { address, parameters: Vec::new() });
            }
            _ => {}
        }
        refused = judge(gate, stage, &dialog, &mut memory).await;
        judged = stage;
        if refused.is_some() {
            break;
        }
    }
    // A session that was told of only in part: what is known of it would be judged then.
    let enforce = gate.rules().enforce;
    if judged < enforce {
        refused = judge(gate, enforce, &dialog, &mut memory).await;
    }
    Played { memory, refused }
}

async fn judge(gate: &Gate, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Option<(Stage, Reply)> {
    match gate.judge(stage, dialog, memory).await.verdict {
        Verdict::Refuse(reply) | Verdict::Defer(reply) => Some((stage, reply)),
        _ => None,
    }
}

impl Played {
    fn exit(&self) -> Exit {
        if self.refused.is_some() {
            Exit::Listed
        } else if self.memory.findings().any(|finding| matches!(finding.outcome, Outcome::Unknown(_))) {
            Exit::Unknown
        } else {
            Exit::Ok
        }
    }

    fn print(&self, gate: &Gate) {
        for finding in self.memory.findings() {
            let (identity, title) = (finding.identity.name(), finding.list.title());
            let subject = if finding.subject.is_empty() { "-" } else { &finding.subject };
            println!(
                "{identity:<7} {subject:<40} {title:<4} {}; {}",
                outcome(finding),
                action(gate.rules(), finding)
            );
        }
        match &self.refused {
            Some((stage, reply)) => {
                let how = if reply.is_temporary() { "deferred" } else { "refused" };
                println!("=> {how} at {}: {reply}", stage.name().to_ascii_uppercase());
            }
            None => println!("=> let in"),
        }
    }

    fn json(&self, gate: &Gate) -> Value {
        let findings: Vec<Value> = self
            .memory
            .findings()
            .map(|finding| {
                json!({
                    "identity": finding.identity.name(), "subject": &*finding.subject,
                    "list": finding.list.name(), "outcome": outcome(finding),
                    "action": action(gate.rules(), finding),
                })
            })
            .collect();
        json!({
            "findings": findings,
            "decision": match &self.refused {
                Some((_, reply)) if reply.is_temporary() => "tempfail",
                Some(_) => "reject",
                None => "accept",
            },
            "stage": self.refused.as_ref().map(|(stage, _)| stage.name()),
            "reply": self.refused.as_ref().map(|(_, reply)| reply.to_string()),
        })
    }
}

fn outcome(finding: &Finding) -> String {
    match finding.outcome {
        Outcome::Clear => "not listed".to_owned(),
        Outcome::Hit(codes) => {
            let meanings: Vec<&str> = codes.iter().map(|code| finding.list.meaning(code)).collect();
            format!("listed, {}: {}", finding.list.shown(codes), meanings.join("; "))
        }
        Outcome::Trusted(trust) => format!("not asked, spared by an allow rule ({})", trust.name()),
        Outcome::Skipped(skip) => format!("not asked, nothing to ask about ({})", skip.name()),
        Outcome::Unknown(trouble) => format!("could not tell: {}", lookup::explain(trouble)),
    }
}
