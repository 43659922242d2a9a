//! The gate: everything that decides about a session, compiled and immutable.
//!
//! Wakes the checks, waits for them no longer than it may, lets the policy decide, and logs. A new
//! configuration is a new gate; sessions keep the one they began with.

mod compile;
mod envelope;
pub mod expect;
mod load;
mod lookup;
mod mark;
mod memory;
mod pointless;
mod said;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::check::{Exempt, Listed, Standing, Target};
use crate::dns::Dns;
use crate::milter::Filter;
use crate::policy::{Cause, FORGED_FIELDS, Facts, Judgement, Mode, Policy, Review, Word};
use crate::smtp::{Dialog, Domain, Event, Mailbox, Needs, Permit, Stage};
use crate::telemetry::{Action, Metrics, Report};
use crate::verdict::{Act, Decision, Finding, HeaderName, Identity, Kind, Origin, Outcome, Verdict};

pub use crate::check::Meters;
pub use envelope::{Envelope, Limit, Terms};
pub use load::{Loaded, load};
pub use lookup::About;
pub use memory::Memory;
pub use pointless::pointless;
pub use said::Access;
pub use tables::{Tables, options};

/// What a gate is made of.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The lists that are asked, in the order in which they give the reason for a refusal.
    pub checks: Vec<Listed>,
    /// Who and what is spared.
    pub exempt: Exempt,
    /// What a finding leads to.
    pub policy: Policy,
    /// What looks at the envelope beside the lists.
    pub envelope: Envelope,
    /// The access maps, if there are any.
    pub access: Option<Access>,
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
    /// Each recipient is judged.
    by_recipient: bool,
    /// Some list looks at mailboxes.
    mailboxes: bool,
    /// There is more than lists and rules that has something to say.
    hears: bool,
    /// The names of the header fields that are ours, if any rule adds one.
    fields: Vec<HeaderName>,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// Compiles rules.
    pub fn new(mut rules: Rules, dns: Arc<Dns>) -> Self {
        rules.envelope.metering(&Meters::default());
        let asks = |check: &Listed| check.identities.contains(Identity::Recipient);
        let by_recipient = rules.enforce >= Stage::Rcpt
            || rules.policy.looks_at_recipients()
            || rules.envelope.looks_at_recipients()
            || rules.checks.iter().any(asks)
            || rules.access.is_some();
        let mailboxes = rules.checks.iter().any(|check| matches!(check.list.kind(), Kind::Mailbox(_)));
        let acts = |act| rules.policy.acts().any(|other| other == act);
        let fields = if acts(Act::Tag) { own_fields(&rules.policy) } else { Vec::new() };
        let mut needs = rules.checks.iter().fold(
            Needs::default().macros(Stage::Connect, &["j"]).macros(Stage::Mail, &["i"]),
            |needs, check| needs.and(&check.needs()),
        );
        // A verdict on the address that is given late needs the stage at which it is given, and the login.
        if rules.enforce >= Stage::Helo {
            needs = needs.event(Event::Helo);
        }
        let at_the_end = acts(Act::Tag) || acts(Act::Quarantine) || acts(Act::Discard);
        if rules.enforce >= Stage::Mail || by_recipient || at_the_end || rules.policy.has_conditions() {
            needs = needs.event(Event::Connect).event(Event::Helo).event(Event::Mail);
            needs = needs.macros(Stage::Mail, &["{auth_authen}"]);
        }
        needs = needs.and(&rules.envelope.needs());
        if rules.policy.has_conditions() {
            needs = needs.macros(Stage::Connect, &["{daemon_name}", "{daemon_port}"]);
        }
        if by_recipient {
            needs = needs.event(Event::Rcpt).macros(Stage::Rcpt, &["i"]);
        }
        if !fields.is_empty() {
            needs = needs.permit(Permit::AddHeader).permit(Permit::ChangeHeader);
            needs = needs.event(Event::Header).silent(Event::Header);
        }
        if acts(Act::Quarantine) || rules.access.is_some() {
            needs = needs.permit(Permit::Quarantine);
        }
        if rules.access.is_some() {
            needs = needs.permit(Permit::DeleteRecipient);
        }
        let hears = rules.access.is_some() || !rules.envelope.is_idle();
        Self { rules, dns, needs, by_recipient, mailboxes, hears, fields, metrics: Arc::default() }
    }

    /// The same, and counts what it finds and decides.
    #[must_use]
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The same, and goes on counting with the meters of the gate before, as far as it has the same limits.
    #[must_use]
    pub fn metering(mut self, meters: &Meters) -> Self {
        self.rules.envelope.metering(meters);
        self
    }

    /// The rules it was made of.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Asks about everything that is known and not asked about yet.
    fn ask(&self, dialog: &Dialog, standing: Standing, memory: &mut Memory) {
        let now = self.dns.moment();
        for identity in Identity::ALL {
            let checks = self.rules.checks.iter().filter(|check| check.identities.contains(identity));
            let count = checks.clone().count();
            if count == 0 || memory.knows(identity) {
                continue;
            }
            let exempt = &self.rules.exempt;
            let Some(target) = Target::of(identity, dialog, exempt, self.mailboxes) else { continue };
            let mut known = memory.take_known(identity);
            let mut begun = Vec::with_capacity(count);
            begun.extend(checks.map(|check| {
                if let Some(place) = known.iter().position(|of| of.finding().list == check.list) {
                    return known.swap_remove(place);
                }
                let trust = exempt.identity(check.sessions, identity, dialog, standing);
                check.begin(identity, &target, trust, &now)
            }));
            memory.keep(identity, begun);
        }
    }

    /// Takes the answers that matter now and have come. Those that have not are left to [`Gate::wait`].
    fn take(&self, dialog: &Dialog, standing: Standing, memory: &mut Memory) -> Taken {
        let mut taken = Taken::default();
        for identity in Identity::ALL {
            for inquiry in memory.of_mut(identity) {
                // After a login those about the client's machine do not matter.
                let spared = self.rules.exempt.identity(inquiry.sessions(), identity, dialog, standing);
                inquiry.spare(spared);
                if spared.is_some() {
                    continue;
                }
                match inquiry.take() {
                    Some(true) => taken.learn(inquiry.finding()),
                    Some(false) => {}
                    None => taken.is_all = false,
                }
            }
        }
        taken
    }

    /// Waits for the answers that have not come, within both budgets.
    async fn wait(&self, start: Instant, mut taken: Taken, memory: &mut Memory) {
        let left = self.rules.session_budget.saturating_sub(memory.spent);
        let deadline = start + self.rules.stage_budget.min(left);
        for inquiry in memory.all_mut() {
            if !matches!(inquiry.finding().outcome, Outcome::Trusted(_)) && inquiry.settle(deadline).await {
                taken.learn(inquiry.finding());
            }
        }
        taken.settle(memory);
    }

    /// What the policy makes of what was found so far.
    pub fn weigh(&self, stage: Stage, dialog: &Dialog, memory: &Memory) -> Judgement {
        let policy = &self.rules.policy;
        let is_exempt = self.rules.exempt.session(dialog).is_some();
        let judgement = if is_exempt || stage < self.rules.enforce {
            Judgement::default()
        } else {
            policy.decide(memory.findings(), stage, || self.facts(dialog), dialog)
        };
        policy.heed(judgement, &memory.said)
    }

    /// The same, with what became of each rule. There are none in a session of which nothing is checked.
    pub fn review(&self, stage: Stage, dialog: &Dialog, memory: &Memory) -> Review {
        let policy = &self.rules.policy;
        let review = if self.rules.exempt.session(dialog).is_some() {
            Review::default()
        } else {
            policy.review(memory.findings(), stage, &self.facts(dialog), dialog)
        };
        Review { judgement: policy.heed(review.judgement, &memory.said), ..review }
    }

    /// Whether verdicts can differ from recipient to recipient.
    pub fn judges_recipients(&self) -> bool {
        self.by_recipient
    }

    fn facts(&self, dialog: &Dialog) -> Facts {
        let name = |octets: &[u8]| Domain::from_octets(octets).ok().map(|(domain, _)| domain);
        let message = dialog.transaction.as_ref();
        let recipient = message.and_then(|message| message.recipients.last());
        Facts {
            client: dialog.client.ip(),
            client_name: name(&dialog.client_name),
            helo: dialog.helo.as_deref().and_then(name),
            sender: message.map(|message| Mailbox::parse(&message.sender)),
            recipient: recipient.and_then(|recipient| Mailbox::parse(&recipient.address)),
            session: Some(self.rules.exempt.standing(dialog).class()),
        }
    }

    fn decide(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory, waited: Duration) -> Decision {
        let mut judgement = self.weigh(stage, dialog, memory);
        let recipient = dialog.transaction.as_ref().filter(|_| stage == Stage::Rcpt);
        if let Some(recipient) = recipient.and_then(|message| message.recipients.last())
            && let Some(cause) = &mut judgement.cause
            && said::drops(cause, &memory.said)
            && !memory.mark.drop_for(&recipient.address)
        {
            // Whom nobody can take off the message at its end would get it with the others.
            (cause.act, cause.reply) = (Act::Refuse, said::refusal());
        }
        let counts = !dialog.id.is_rehearsal();
        if counts {
            self.tell(stage, dialog, memory, &judgement, waited);
        }
        let cause = judgement.cause.as_ref();
        let reply = cause.and_then(|cause| cause.reply.as_ref());
        let verdict = match (cause.map(|cause| cause.act), reply) {
            (Some(Act::Refuse), Some(reply)) => Verdict::Refuse(reply.clone()),
            (Some(Act::Defer), Some(reply)) => Verdict::Defer(reply.clone()),
            _ => Verdict::Continue,
        };
        match stage {
            Stage::Mail => memory.mark.set(&judgement),
            Stage::Rcpt if verdict == Verdict::Continue => memory.mark.join(&judgement),
            _ => {}
        }
        self.settle(stage, dialog, memory, &judgement);
        if counts {
            self.metrics.decided(stage, cause.map(|cause| cause.act));
            if judgement.shadow.is_some() {
                self.metrics.would_have(stage);
            }
        }
        verdict.into()
    }

    /// Tells the log and counts: each finding once, what leads to something each time that it does.
    fn tell(
        &self,
        stage: Stage,
        dialog: &Dialog,
        memory: &mut Memory,
        judgement: &Judgement,
        waited: Duration,
    ) {
        let Judgement { cause, shadow, fired, spared: let_in, .. } = judgement;
        let policy = &self.rules.policy;
        let done = cause.iter().map(|cause| (cause, Action::Done(cause.act)));
        let would = shadow.iter().map(|cause| (cause, Action::Would(cause.act)));
        let causes: Vec<(&Cause, Action)> = done.chain(would).collect();
        let (mut told, said) = (std::mem::take(&mut memory.told), std::mem::take(&mut memory.said));
        // A tag or a quarantine is the message's: it is told once, not for each recipient.
        let mut is_new = |rule: &Arc<str>, action: Action| {
            let is_new = !told.iter().any(|(known, done)| known == rule && *done == action);
            if is_new {
                told.push((Arc::clone(rule), action));
            }
            is_new
        };
        // While the policy only looks on, it is told as if it were in force.
        let is_in_force = |rule: usize| policy.rules()[rule].mode == Mode::Enforce;
        let of = |place: Option<usize>| fired.iter().find(|fired| fired.finding == place);
        let report = |finding, action, rule, because, reply| Report {
            dialog,
            stage,
            action,
            finding,
            list: finding.map_or("", |finding| policy.part(finding)),
            rule,
            because,
            score: judgement.score,
            reply,
            waited,
        };
        for (place, inquiry) in memory.all_mut().enumerate() {
            let is_news = !std::mem::replace(&mut inquiry.logged, true);
            let finding = inquiry.finding();
            if is_news {
                self.metrics.checked(finding);
            }
            let rule = of(Some(place));
            let by = let_in.as_ref().filter(|by| by.mode == Mode::Enforce);
            let spared = by.is_some() || rule.and_then(|rule| rule.spared_by).is_some_and(&is_in_force);
            let mut is_reason = false;
            // One finding can be the reason for what is done, and for what would be.
            for (cause, action) in causes.iter().filter(|(cause, _)| cause.finding == Some(place)) {
                is_reason = true;
                if cause.act >= Act::Defer || is_new(&cause.rule, *action) {
                    report(Some(finding), *action, &cause.rule, "", cause.reply.as_ref()).log();
                }
            }
            if is_reason {
                continue;
            }
            // What is listed without consequence is worth a line once; a refusal each time.
            if !is_news {
                continue;
            }
            let name = rule.map_or("", |fired| &*policy.rules()[fired.rule].name);
            let action = match finding.outcome {
                Outcome::Hit(_) if spared => Action::Spared,
                Outcome::Hit(_) => Action::Done(Act::Log),
                Outcome::Trusted(_) | Outcome::Skipped(_) => Action::Skip,
                Outcome::Unknown(_) if rule.is_some() => Action::Done(Act::Log),
                _ => Action::Accept,
            };
            report(Some(finding), action, name, "", None).log();
        }
        for (cause, action) in causes.iter().filter(|(cause, _)| cause.finding.is_none()) {
            if cause.act >= Act::Defer || is_new(&cause.rule, *action) {
                report(None, *action, &cause.rule, &cause.because, cause.reply.as_ref()).log();
            }
        }
        // Who lets mail in is told of where there was something to let it in from.
        for by in fired.iter().filter_map(|fired| fired.spared_by) {
            let rule = &policy.rules()[by].name;
            let action = if is_in_force(by) { Action::Spared } else { Action::WouldSpare };
            if is_new(rule, action) {
                report(None, action, rule, "", None).log();
            }
        }
        if let Some(by) = let_in {
            let action = if by.mode == Mode::Enforce { Action::Spared } else { Action::WouldSpare };
            if is_new(&by.by, action) {
                report(None, action, &by.by, &by.because, None).log();
            }
        }
        for note in said.iter().filter(|said| said.word == Word::Note) {
            if is_new(&note.by, Action::Done(Act::Log)) {
                report(None, Action::Done(Act::Log), &note.by, &note.because, None).log();
            }
        }
        (memory.told, memory.said) = (told, said);
    }

    /// What the message has earned.
    fn end(&self, dialog: &Dialog, memory: &mut Memory) -> Decision {
        let (mark, forged) = (std::mem::take(&mut memory.mark), std::mem::take(&mut memory.forged));
        self.metrics.message();
        let decision = mark.carry_out(&forged, &self.fields);
        if let Verdict::Refuse(reply) = &decision.verdict {
            self.metrics.decided(Stage::Message, Some(Act::Refuse));
            let (action, waited) = (Action::Done(Act::Refuse), Duration::ZERO);
            let (stage, rule, reply) = (Stage::Message, FORGED_FIELDS, Some(reply));
            let (list, because) = ("", "");
            Report { dialog, stage, action, finding: None, list, rule, because, score: 0, reply, waited }
                .log();
        } else if let Some(act) = mark.act() {
            self.metrics.decided(Stage::Message, Some(act));
        }
        decision
    }
}

/// What one stage has learned.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// No answer is missing.
    is_all: bool,
    /// Some list has answered, and not from memory.
    answered: bool,
    /// What was waited for answers that did not come.
    in_vain: Duration,
}

impl Default for Taken {
    fn default() -> Self {
        Self { is_all: true, answered: false, in_vain: Duration::ZERO }
    }
}

impl Taken {
    fn learn(&mut self, finding: &Finding) {
        match finding.outcome {
            Outcome::Unknown(_) => self.in_vain += finding.waited,
            Outcome::Clear | Outcome::Hit(_) => self.answered |= finding.origin != Origin::Hit,
            Outcome::Trusted(_) | Outcome::Skipped(_) => {}
        }
    }

    /// Keeps account of the time that the session has for answers that do not come.
    fn settle(self, memory: &mut Memory) {
        if !self.in_vain.is_zero() {
            memory.spent += self.in_vain;
        } else if self.answered {
            // The name server is back: later messages of a long session are worth waiting for again.
            memory.spent = Duration::ZERO;
        }
    }
}

/// The names of header fields that only we may add.
fn own_fields(policy: &Policy) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = HeaderName::new("X-Gatepost").into_iter().collect();
    for name in policy.tags() {
        if !names.iter().any(|own| own.as_str().eq_ignore_ascii_case(name.as_str())) {
            names.push(name.clone());
        }
    }
    names
}

impl Filter for Gate {
    type Memory = Memory;

    fn needs(&self) -> Needs {
        self.needs.clone()
    }

    async fn judge(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Decision {
        match stage {
            Stage::Connect => {}
            Stage::Helo => memory.greet(),
            Stage::Mail => memory.begin_message(),
            Stage::Rcpt if self.by_recipient => memory.forget(Identity::Recipient),
            Stage::Message => return self.end(dialog, memory),
            Stage::Rcpt | Stage::Data => return Decision::default(),
        }
        // In a place of its own: most sessions have nobody to hear, and all would have room for it.
        let begun = if self.hears { Box::pin(self.hear(stage, dialog, memory)).await } else { None };
        let is_due = stage >= self.rules.enforce;
        if !self.is_spared(memory) {
            let standing = self.rules.exempt.standing(dialog);
            self.ask(dialog, standing, memory);
            if is_due {
                let start = begun.unwrap_or_else(Instant::now);
                let taken = self.take(dialog, standing, memory);
                if taken.is_all {
                    taken.settle(memory);
                } else {
                    // Who waits for nothing needs no room for waiting.
                    Box::pin(self.wait(start, taken, memory)).await;
                }
                return self.decide(stage, dialog, memory, start.elapsed());
            }
        }
        if memory.said.is_empty() {
            return Decision::default();
        }
        self.decide(stage, dialog, memory, begun.map(|begun| begun.elapsed()).unwrap_or_default())
    }

    fn header(&self, dialog: &Dialog, memory: &mut Memory, name: &[u8], _: &[u8]) -> Verdict {
        // What a trusted network brings, our own fields on it included, is left as it is.
        if self.rules.exempt.session(dialog).is_none() {
            memory.forged.count(&self.fields, name);
        }
        Verdict::Continue
    }
}
