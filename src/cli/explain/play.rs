//! A session that is played to a gate of our own.

use std::net::IpAddr;

use crate::gate::{Gate, Memory};
use crate::milter::Filter as _;
use crate::policy::{Review, Said};
use crate::smtp::{Client, Dialog, Recipient, Reply, Stage, Transaction, canonical};
use crate::verdict::{Act, Decision, Edit, Finding, Outcome, Trust, Verdict};

/// Octets of macros that a made-up session can have.
const MACROS: usize = 4_096;

/// A session as far as somebody told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Session {
    /// The client's address.
    pub(super) client: Option<IpAddr>,
    /// Whether the mail did not come over a network.
    pub(super) is_local: bool,
    /// The client's name.
    pub(super) client_name: Option<Vec<u8>>,
    /// The HELO name.
    pub(super) helo: Option<Vec<u8>>,
    /// The reverse-path; nothing for a session that did not come so far.
    pub(super) sender: Option<Vec<u8>>,
    /// The recipients.
    pub(super) recipients: Vec<Vec<u8>>,
    /// The name that the client has logged in with.
    pub(super) login: Option<String>,
    /// The port that the client connected to.
    pub(super) port: Option<u16>,
    /// The name of the mail server's daemon.
    pub(super) daemon: Option<String>,
}

/// A judgement within a session.
pub(super) struct Scene {
    /// When it was given.
    pub(super) stage: Stage,
    /// The recipient in question, if one is.
    pub(super) recipient: Option<Vec<u8>>,
    /// What was known.
    pub(super) findings: Vec<Finding>,
    /// What was said beside lists and rules.
    pub(super) said: Vec<Said>,
    /// What was made of it.
    pub(super) review: Review,
    /// The refusal or deferral.
    pub(super) reply: Option<Reply>,
}

/// What came of a session.
pub(super) struct Played {
    /// The rule by which nothing is checked.
    pub(super) spared: Option<Trust>,
    /// The judgements that count: one, or one for each recipient.
    pub(super) scenes: Vec<Scene>,
    /// What is done at the end of the message, if it gets there.
    pub(super) end: Decision,
}

impl Session {
    fn dialog(&self) -> Dialog {
        let mut dialog = Dialog {
            client: match self.client {
                Some(ip) => Client::Ip(canonical(ip)),
                None if self.is_local => Client::Local,
                None => Client::Unknown,
            },
            client_name: self.client_name.clone().unwrap_or_default(),
            ..Dialog::default()
        };
        let mut macros = Vec::new();
        if let Some(port) = self.port {
            macros.extend_from_slice(format!("{{daemon_port}}\0{port}\0").as_bytes());
        }
        if let Some(daemon) = &self.daemon {
            macros.extend_from_slice(format!("{{daemon_name}}\0{daemon}\0").as_bytes());
        }
        dialog.macros.store(b'C', &macros, MACROS);
        dialog
    }

    /// The reverse-path, which is the null one if there is more to tell of the message.
    pub(super) fn sender(&self) -> Option<&[u8]> {
        let is_mail = !self.recipients.is_empty() || self.login.is_some();
        self.sender.as_deref().or_else(|| is_mail.then_some(b"<>".as_slice()))
    }

    /// Plays it as a mail server would. A part of a session is judged as if it went no further.
    pub(super) async fn play(&self, gate: &Gate) -> Played {
        let mut dialog = self.dialog();
        let mut memory = Memory::default();
        let enforce = gate.rules().enforce;
        let mut last = None;
        for stage in [Stage::Connect, Stage::Helo, Stage::Mail] {
            match stage {
                Stage::Helo => match &self.helo {
                    Some(name) => dialog.helo = Some(name.clone()),
                    None => continue,
                },
                Stage::Mail => {
                    let Some(sender) = self.sender() else { break };
                    if let Some(login) = &self.login {
                        dialog.macros.store(b'M', format!("{{auth_authen}}\0{login}\0").as_bytes(), MACROS);
                    }
                    dialog.transaction =
                        Some(Transaction { sender: sender.to_vec(), ..Transaction::default() });
                }
                _ => {}
            }
            let scene = scene(gate, stage, &dialog, &mut memory).await;
            if scene.reply.is_some() {
                return Played::of(gate, &dialog, vec![scene], Decision::default());
            }
            last = (stage >= enforce).then_some(scene);
        }
        let mut scenes = Vec::new();
        for address in &self.recipients {
            let Some(message) = &mut dialog.transaction else { break };
            message.recipients.push(Recipient { address: address.clone(), parameters: Vec::new() });
            if gate.judges_recipients() {
                scenes.push(scene(gate, Stage::Rcpt, &dialog, &mut memory).await);
            }
        }
        if scenes.is_empty() {
            // What is known of a session that was told of only in part would be judged then.
            scenes.push(match last {
                Some(scene) => scene,
                None => scene(gate, enforce, &dialog, &mut memory).await,
            });
        }
        let gets_there = dialog.transaction.is_some() && scenes.iter().any(|scene| scene.reply.is_none());
        let end = if gets_there {
            gate.judge(Stage::Message, &dialog, &mut memory).await
        } else {
            Decision::default()
        };
        Played::of(gate, &dialog, scenes, end)
    }
}

async fn scene(gate: &Gate, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Scene {
    let reply = match gate.judge(stage, dialog, memory).await.verdict {
        Verdict::Refuse(reply) | Verdict::Defer(reply) => Some(reply),
        _ => None,
    };
    let message = dialog.transaction.as_ref().filter(|_| stage == Stage::Rcpt);
    Scene {
        stage,
        recipient: message.and_then(|message| Some(message.recipients.last()?.address.clone())),
        findings: memory.findings().cloned().collect(),
        said: memory.said().to_vec(),
        review: gate.review(stage, dialog, memory),
        reply,
    }
}

impl Played {
    fn of(gate: &Gate, dialog: &Dialog, scenes: Vec<Scene>, end: Decision) -> Self {
        Self { spared: gate.rules().exempt.session(dialog), scenes, end }
    }

    /// The refusal that stands for the whole session: the first one, if nobody gets the mail.
    pub(super) fn refusal(&self) -> Option<(Stage, &Reply)> {
        let all: Option<Vec<_>> =
            self.scenes.iter().map(|scene| Some((scene.stage, scene.reply.as_ref()?))).collect();
        all?.into_iter().next()
    }

    /// What is done with the session or its message, and when; nothing if the mail is let in as it is.
    pub(super) fn act(&self) -> Option<(Act, Stage)> {
        match self.refusal() {
            Some((stage, reply)) => {
                let act = if reply.is_temporary() { Act::Defer } else { Act::Refuse };
                Some((act, stage))
            }
            None => end_act(&self.end).map(|act| (act, Stage::Message)),
        }
    }

    /// Whether some list could not be asked.
    pub(super) fn is_doubtful(&self) -> bool {
        let mut findings = self.scenes.iter().flat_map(|scene| &scene.findings);
        findings.any(|finding| matches!(finding.outcome, Outcome::Unknown(_)))
    }
}

/// What a decision at the end of a message does.
fn end_act(end: &Decision) -> Option<Act> {
    match &end.verdict {
        Verdict::Discard => Some(Act::Discard),
        Verdict::Quarantine(_) => Some(Act::Quarantine),
        _ => (!fields(end).is_empty()).then_some(Act::Tag),
    }
}

/// The header fields that a decision adds.
pub(super) fn fields(end: &Decision) -> Vec<String> {
    let field = |edit: &Edit| match edit {
        Edit::InsertHeader(_, name, value) | Edit::AddHeader(name, value) => {
            Some(format!("{}: {}", name.as_str(), value.as_str()))
        }
        _ => None,
    };
    end.edits.iter().filter_map(field).collect()
}
