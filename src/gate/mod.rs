//! The gate: everything that decides about a session, compiled and immutable.
//!
//! Wakes the checks, waits for them no longer than it may, lets the policy decide, and logs. A new
//! configuration is a new gate; sessions keep the one they began with.

mod compile;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::check::{Check, Exempt, Target};
use crate::dns::Dns;
use crate::milter::Filter;
use crate::policy::{Opinion, Policy};
use crate::smtp::{Dialog, Event, Needs, Reply, Stage};
use crate::telemetry::{Action, Metrics, Report};
use crate::verdict::{Decision, Finding, Identity, Origin, Outcome, Verdict};

pub use memory::Memory;

/// What a gate is made of.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The enabled checks.
    pub checks: Vec<Check>,
    /// Who and what is spared.
    pub exempt: Exempt,
    /// What a finding leads to.
    pub policy: Policy,
    /// The first stage at which verdicts are given: CONNECT, HELO, MAIL or RCPT.
    pub enforce: Stage,
    /// Longest wait at one stage, all checks together.
    pub stage_budget: Duration,
    /// Longest wait of a session for answers that do not come, all stages together.
    pub session_budget: Duration,
}

/// Decides about sessions by a set of rules.
pub struct Gate {
    rules: Rules,
    dns: Arc<Dns>,
    needs: Needs,
    metrics: Arc<Metrics>,
}

/// The order in which identities are known, and in which they give the reason for a refusal.
const IDENTITIES: [Identity; 3] = [Identity::Client, Identity::Helo, Identity::Sender];

impl Gate {
    /// Compiles rules.
    pub fn new(rules: Rules, dns: Arc<Dns>) -> Self {
        let mut needs = rules.checks.iter().fold(
            Needs::default().macros(Stage::Connect, &["j"]).macros(Stage::Mail, &["i"]),
            |needs, check| needs.and(&check.needs()),
        );
        // A verdict on the address that is given late needs the stage at which it is given, and the login.
        if rules.enforce >= Stage::Helo {
            needs = needs.event(Event::Helo);
        }
        if rules.enforce >= Stage::Mail {
            needs = needs.event(Event::Mail).macros(Stage::Mail, &["{auth_authen}"]);
        }
        if rules.enforce >= Stage::Rcpt {
            needs = needs.event(Event::Rcpt).macros(Stage::Rcpt, &["i"]);
        }
        Self { rules, dns, needs, metrics: Arc::default() }
    }

    /// The same, and counts what it finds and decides.
    #[must_use]
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The rules it was made of.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Asks about everything that is known and not asked about yet.
    fn ask(&self, dialog: &Dialog, memory: &mut Memory) {
        for identity in IDENTITIES {
            if memory.of(identity).is_some() {
                continue;
            }
            let Some(target) = Target::of(identity, dialog, &self.rules.exempt) else { continue };
            let checks = self.rules.checks.iter().filter(|check| check.looks_at(identity));
            let mut begun = Vec::with_capacity(checks.clone().count());
            begun.extend(checks.map(|check| check.begin(identity, &target, &self.dns)));
            memory.keep(identity, begun);
        }
    }

    /// Waits for all answers that matter now, within both budgets. After a login those about the
    /// client's machine do not.
    async fn settle(&self, dialog: &Dialog, memory: &mut Memory) {
        let start = Instant::now();
        let left = self.rules.session_budget.saturating_sub(memory.spent);
        let deadline = start + self.rules.stage_budget.min(left);
        let (mut in_vain, mut answered) = (Duration::ZERO, false);
        for identity in IDENTITIES {
            let spared = self.rules.exempt.identity(identity, dialog);
            for inquiry in memory.of_mut(identity) {
                inquiry.spare(spared);
                if spared.is_some() {
                    continue;
                }
                if !inquiry.settle(deadline).await {
                    continue;
                }
                let finding = inquiry.finding();
                match finding.outcome {
                    Outcome::Unknown(_) => in_vain += finding.waited,
                    Outcome::Clear | Outcome::Hit(_) => answered |= finding.origin != Origin::Hit,
                    Outcome::Trusted(_) | Outcome::Skipped(_) => {}
                }
            }
        }
        if !in_vain.is_zero() {
            memory.spent += in_vain;
        } else if answered {
            // The name server is back: later messages of a long session are worth waiting for again.
            memory.spent = Duration::ZERO;
        }
    }

    fn decide(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory, waited: Duration) -> Decision {
        let judgement = self.rules.policy.decide(memory.findings(), stage, dialog);
        let reply = match &judgement.decision.verdict {
            Verdict::Refuse(reply) | Verdict::Defer(reply) => Some(reply),
            _ => None,
        };
        for (place, inquiry) in memory.all_mut().enumerate() {
            let reply = reply.filter(|_| judgement.cause == Some(place));
            // What is listed without consequence is worth a line once; a refusal each time.
            if inquiry.logged && reply.is_none() {
                continue;
            }
            let is_news = !std::mem::replace(&mut inquiry.logged, true);
            let finding = inquiry.finding();
            if is_news {
                self.metrics.checked(finding);
            }
            let action = self.action(finding, reply.map(Reply::is_temporary));
            let list = self.rules.policy.part(finding);
            Report { dialog, stage, action, finding, list, reply, waited }.log();
        }
        self.metrics.decided(stage, &judgement.decision.verdict);
        judgement.decision
    }

    fn action(&self, finding: &Finding, temporary: Option<bool>) -> Action {
        match (temporary, finding.outcome) {
            (Some(true), _) => Action::Tempfail,
            (Some(false), _) => Action::Reject,
            (None, Outcome::Hit(_)) => Action::Log,
            (None, Outcome::Trusted(_) | Outcome::Skipped(_)) => Action::Skip,
            (None, _) if self.rules.policy.weigh(finding) > Opinion::Noted => Action::Log,
            (None, _) => Action::Accept,
        }
    }
}

impl Filter for Gate {
    type Memory = Memory;

    fn needs(&self) -> Needs {
        self.needs.clone()
    }

    async fn judge(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Decision {
        match stage {
            Stage::Connect => {}
            Stage::Helo => memory.forget(Identity::Helo),
            Stage::Mail => memory.begin_message(),
            Stage::Rcpt if self.rules.enforce == Stage::Rcpt => {}
            Stage::Rcpt | Stage::Data | Stage::Message => return Decision::default(),
        }
        self.ask(dialog, memory);
        if stage < self.rules.enforce {
            return Decision::default();
        }
        let start = Instant::now();
        self.settle(dialog, memory).await;
        self.decide(stage, dialog, memory, start.elapsed())
    }
}
