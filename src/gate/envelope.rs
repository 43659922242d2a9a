//! What the envelope itself has against it: recipient policies, faults of addresses, limits.
//!
//! Looks and tells; what becomes of mail is the policy's judgement. Mail of this host is never refused here: a mail server
//! that hands it to a filter has no client to tell, and keeps what is refused in its queue.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{Gate, Memory};
use crate::check::{Admissions, Counted, Meter, Meters, Rate};
use crate::clock::{Clock, Time};
use crate::config::{Of, Per};
use crate::list::recipients::{Party, Ruling};
use crate::list::{Mailboxes, Networks};
use crate::policy::{Cause, Judgement, Mode, OnTrouble, SYNTAX, Said, Template, Word};
use crate::smtp::{AddressFaults, Dialog, Event, Mailbox, Needs, Part, Side, Stage, printable};
use crate::verdict::Act;

/// Longest path in a log line, in characters.
const PATH: usize = 200;

/// All that looks at the envelope.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// Who may write to whom.
    pub admissions: Admissions,
    /// What is done on account of each of these policies, by its place.
    pub terms: Vec<Terms>,
    /// Faults of addresses that refuse.
    pub rejected: AddressFaults,
    /// Faults of addresses that are only told of.
    pub shadowed: AddressFaults,
    /// How much may come in.
    pub limits: Vec<Limit>,
    /// Recipients that are not counted.
    pub uncounted: Mailboxes,
}

impl Envelope {
    /// The name in the log of the policy that says who may write to a recipient, if there is one.
    pub fn policy(&self, recipient: &[u8]) -> Option<&str> {
        let is_exempt = self.uncounted.contains(Mailbox::parse(recipient).as_ref());
        let place = self.admissions.policy(&Party::parse(recipient)?, is_exempt)?;
        self.terms.get(place).map(|terms| &*terms.by)
    }
}

/// What is done on account of a recipient policy.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its name in the log.
    pub by: Arc<str>,
    /// The words of a refusal.
    pub reply: Template,
    /// What becomes of mail that it cannot be told about.
    pub on_trouble: OnTrouble,
    /// The words of a deferral for that reason.
    pub trouble: Template,
    /// Whether it is in force.
    pub mode: Mode,
}

/// A limit on how much may come in.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Its name in the log.
    pub by: Arc<str>,
    /// For whom it counts.
    pub per: Per,
    /// What it counts.
    pub of: Of,
    /// How much there may be.
    pub most: NonZeroU32,
    /// In which time; meaningless for a message.
    pub within: Duration,
    /// Clients that it is not for.
    pub exempt: Networks,
    /// Whether it is for who has logged in, too.
    pub counts_logins: bool,
    /// The words of a deferral.
    pub reply: Template,
    /// Whether it is in force.
    pub mode: Mode,
    /// What counts; a limit of messages needs none.
    pub meter: Option<Arc<Meter>>,
}

impl Envelope {
    /// Whether there is anything to look at.
    pub(super) fn is_idle(&self) -> bool {
        self.admissions.is_empty() && self.faults() == AddressFaults::default() && self.limits.is_empty()
    }

    fn faults(&self) -> AddressFaults {
        self.rejected.or(self.shadowed)
    }

    /// Whether it looks at recipients.
    pub(super) fn looks_at_recipients(&self) -> bool {
        !self.admissions.is_empty()
            || !self.faults().is_empty()
            || self.limits.iter().any(|limit| limit.of == Of::Recipients)
    }

    /// What it has to be told.
    pub(super) fn needs(&self) -> Needs {
        if self.is_idle() {
            return Needs::default();
        }
        let needs = Needs::default().event(Event::Connect).event(Event::Helo).event(Event::Mail);
        let needs = needs.macros(Stage::Mail, &["{auth_authen}"]);
        // Whether characters other than ASCII are legal stands in a parameter.
        if self.faults().is_empty() { needs } else { needs.keep(Part::Parameters) }
    }

    /// Gives each limit its meter.
    pub(super) fn metering(&mut self, meters: &Meters) {
        for limit in self.limits.iter_mut().filter(|limit| limit.per != Per::Message) {
            let rate = Rate { most: limit.most, within: limit.within };
            limit.meter = Some(meters.find(&limit.measure(), rate));
        }
    }
}

impl Limit {
    /// The stage at which it counts.
    fn stage(&self) -> Stage {
        match self.of {
            Of::Connections => Stage::Connect,
            Of::Messages => Stage::Mail,
            Of::Recipients => Stage::Rcpt,
        }
    }

    /// Whether what it counts has come in with whatever is let in at this stage.
    fn is_final(&self, stage: Stage, is_due: bool) -> bool {
        match self.of {
            // Lists are not heard before the stage at which verdicts are given.
            Of::Connections => is_due,
            Of::Messages | Of::Recipients => stage == Stage::Rcpt,
        }
    }

    /// Counts one more. Whether it was one too many.
    fn is_over(&self, dialog: &Dialog, let_in: u32) -> bool {
        if self.meter.is_none() {
            return let_in >= self.most.get();
        }
        self.metered(dialog, Meter::take) == Some(false)
    }

    /// Takes back what was counted then, unless it is so long ago that it was earned again meanwhile: whoever keeps many waiting
    /// and has them refused at once would have it twice.
    fn give_back(&self, dialog: &Dialog, counted: Time, now: Time) {
        if now.since(counted) < self.within {
            let _ = self.metered(dialog, Meter::give_back);
        }
    }

    /// Does something with the meter for whom it is counted, if there is somebody.
    fn metered<T>(&self, dialog: &Dialog, act: impl FnOnce(&Meter, &Counted<'_>) -> T) -> Option<T> {
        let meter = self.meter.as_ref()?;
        match self.per {
            Per::Client => dialog.client.ip().map(|ip| act(meter, &Counted::client(ip))),
            // Bounces of all the world have one sender, the null one: they are not counted.
            Per::Sender => sender(dialog).map(|sender| act(meter, &Counted::Sender(&sender))),
            Per::Message => None,
        }
    }

    fn because(&self) -> Box<str> {
        let most = self.most;
        let what = self.of.name();
        match self.per {
            Per::Message => format!("more than {most} recipients in a message").into(),
            _ => format!("more than {most} {what} in {}", humantime::format_duration(self.within)).into(),
        }
    }

    /// What it counts and for whom: under the same name another configuration may count something else.
    fn measure(&self) -> String {
        format!("{}: {} of a {}", self.by, self.of.name(), self.per.name())
    }
}

fn sender(dialog: &Dialog) -> Option<String> {
    Party::parse(&dialog.transaction.as_ref()?.sender).map(|sender| sender.to_string())
}

impl Gate {
    /// Adds what the envelope has against it to what is said already, and counts what is not refused yet.
    pub(super) fn look_at_envelope(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) {
        let envelope = &self.rules.envelope;
        if envelope.is_idle() {
            return;
        }
        // Whoever spares the mail lists has nothing to say for who may write to whom.
        let is_friend = Self::has_friend(memory);
        let first = memory.said.len();
        if stage == Stage::Rcpt {
            memory.said.extend(self.admission(dialog));
        }
        if stage == Stage::Mail && !envelope.faults().is_empty() {
            memory.has_parameters = true;
        }
        if !is_friend {
            let faults = self.faults(stage, dialog, memory.has_parameters);
            memory.said.extend(faults);
        }
        if dialog.client.ip().is_none() {
            // Nobody is there to be told: a mail server hands in mail of its own.
            for said in memory.said.iter_mut().skip(first) {
                said.because = format!("let in, for it has no client: {}", said.because).into();
                said.word = Word::Note;
            }
            return;
        }
        let is_lost = |said: &Said| {
            said.mode == Mode::Enforce
                && matches!(said.word, Word::Refuse(_) | Word::Defer(_) | Word::Discard)
        };
        if !is_friend && !memory.said.iter().any(is_lost) && !self.is_uncounted(stage, dialog) {
            self.count(stage, dialog, memory);
        }
    }

    /// Tells what a recipient policy would have against mail of this host, of which nothing is checked.
    pub(super) fn look_at_own_mail(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) {
        if stage == Stage::Rcpt
            && dialog.client.is_local()
            && let Some(said) = self.admission(dialog)
        {
            let because = format!("let in, for it is mail of this host: {}", said.because).into();
            memory.said.push(Said { word: Word::Note, because, ..said });
        }
    }

    /// Counts a recipient that is let in, unless everybody may write to it. What is refused or deferred after all, by lists
    /// and rules that were asked in the meantime, is taken back. A policy that only looks on counts what it would let in.
    pub(super) fn settle(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory, judgement: &Judgement) {
        let limits = &self.rules.envelope.limits;
        let would = judgement.shadow.as_ref().filter(|_| self.rules.policy.is_observing());
        let is_lost = |cause: &Cause| matches!(cause.act, Act::Refuse | Act::Defer);
        if would.or(judgement.cause.as_ref()).is_some_and(is_lost) {
            let now = Clock::default().now();
            for (place, counted) in memory.counted.drain(..) {
                if let Some(limit) = limits.get(place) {
                    limit.give_back(dialog, counted, now);
                    memory.returned.push(place);
                }
            }
            return;
        }
        let is_due = stage >= self.rules.enforce;
        memory
            .counted
            .retain(|(place, _)| limits.get(*place).is_some_and(|limit| !limit.is_final(stage, is_due)));
        if stage == Stage::Rcpt
            && limits.iter().any(|limit| limit.per == Per::Message)
            && !Self::has_friend(memory)
            && !self.is_uncounted(stage, dialog)
        {
            memory.let_in = memory.let_in.saturating_add(1);
        }
    }

    /// Forgets what counted for whoever was in question before this stage. A connection and a message stay until something
    /// of them is let in: they are nothing that came in as long as all of it is refused.
    pub(super) fn forget_counted(&self, stage: Stage, memory: &mut Memory) {
        let limits = &self.rules.envelope.limits;
        let goes_on = |place: &usize| limits.get(*place).is_some_and(|limit| limit.stage() < stage);
        memory.counted.retain(|(place, _)| goes_on(place));
        memory.returned.retain(goes_on);
    }

    /// Whether the recipient in question is one that mail always gets to.
    fn is_uncounted(&self, stage: Stage, dialog: &Dialog) -> bool {
        let uncounted = &self.rules.envelope.uncounted;
        let message = dialog.transaction.as_ref().filter(|_| stage == Stage::Rcpt && !uncounted.is_empty());
        let recipient = message.and_then(|message| message.recipients.last());
        recipient.is_some_and(|recipient| uncounted.contains(Mailbox::parse(&recipient.address).as_ref()))
    }

    fn admission(&self, dialog: &Dialog) -> Option<Said> {
        let Envelope { admissions, terms, .. } = &self.rules.envelope;
        let (policy, ruling) = admissions.ask(dialog, self.is_uncounted(Stage::Rcpt, dialog))?;
        let Terms { by, reply, on_trouble, trouble, mode } = terms.get(policy)?;
        let words = |template| self.rules.policy.words(template, by, Stage::Rcpt, dialog);
        let (word, because) = match ruling {
            Ruling::Admitted => return None,
            Ruling::Barred(bar) => (Word::Refuse(words(reply)), bar.name().to_owned()),
            Ruling::Unknown(file) => {
                let path = admissions.path(file).map(|path| path.display().to_string());
                let path = printable(path.unwrap_or_default().as_bytes(), PATH);
                let word = match on_trouble {
                    OnTrouble::Defer => Word::Defer(words(trouble)),
                    OnTrouble::LetIn => Word::Note,
                };
                (word, format!("member file {path} cannot be used"))
            }
        };
        Some(Said { by: Arc::clone(by), word, mode: *mode, because: because.into() })
    }

    /// What is wrong with the address that came last.
    fn faults(&self, stage: Stage, dialog: &Dialog, has_parameters: bool) -> Vec<Said> {
        let Envelope { rejected, shadowed, .. } = &self.rules.envelope;
        let message = dialog.transaction.as_ref().filter(|_| !self.rules.envelope.faults().is_empty());
        let Some(message) = message else { return Vec::new() };
        let (argument, side) = match (stage, message.recipients.last()) {
            (Stage::Mail, _) => (&message.sender, Side::Sender),
            (Stage::Rcpt, Some(recipient)) => (&recipient.address, Side::Recipient),
            _ => return Vec::new(),
        };
        let names_utf8 = message.parameters.iter().any(|text| text.eq_ignore_ascii_case(b"SMTPUTF8"));
        // Whoever began the message may have kept none of them.
        let is_utf8 = names_utf8 || !has_parameters;
        let faults = AddressFaults::of(argument, side, is_utf8);
        let of = |faults: AddressFaults, mode| {
            let fault = faults.first()?;
            let word = Word::Refuse(fault.reply(side).parse().ok()?);
            Some(Said { by: SYNTAX.into(), word, mode, because: fault.name().into() })
        };
        let kinds = [(faults.and(*rejected), Mode::Enforce), (faults.and(*shadowed), Mode::Shadow)];
        kinds.into_iter().filter_map(|(faults, mode)| of(faults, mode)).collect()
    }

    /// Counts what came at this stage, and says what is too much of it. What one limit puts off counts for no other.
    fn count(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) {
        if self.rules.envelope.limits.is_empty() {
            return;
        }
        let has_login = dialog.is_authenticated();
        let (mut counted, mut is_put_off, now) = (Vec::new(), false, Clock::default().now());
        for (place, limit) in self.rules.envelope.limits.iter().enumerate() {
            if dialog.client.ip().is_none_or(|ip| limit.exempt.contains(ip)) {
                continue;
            }
            let is_spared = has_login && !limit.counts_logins;
            // What was refused as a whole comes in with the first part of it that is not.
            let comes_again = stage >= Stage::Mail && memory.returned.contains(&place);
            let counts = (stage == limit.stage() || comes_again) && !is_spared;
            let mut is_over = counts && limit.is_over(dialog, memory.let_in);
            counted.extend((counts && !is_over).then_some(place));
            if limit.of == Of::Connections && !limit.counts_logins {
                // Who may log in yet is told at MAIL, when it is known whether somebody has.
                if stage == Stage::Connect && std::mem::take(&mut is_over) {
                    memory.crowded.push(Box::from(&*limit.by));
                }
                let is_crowded = || memory.crowded.iter().any(|name| **name == *limit.by);
                is_over |= stage == Stage::Mail && !is_spared && is_crowded();
            }
            if is_over {
                is_put_off |= limit.mode == Mode::Enforce;
                let reply = self.rules.policy.words(&limit.reply, &limit.by, stage, dialog);
                let (by, because) = (Arc::clone(&limit.by), limit.because());
                memory.said.push(Said { by, word: Word::Defer(reply), mode: limit.mode, because });
            }
        }
        if is_put_off {
            for place in counted {
                self.rules.envelope.limits[place].give_back(dialog, now, now);
            }
        } else {
            memory.returned.retain(|place| !counted.contains(place));
            memory.counted.extend(counted.into_iter().map(|place| (place, now)));
        }
    }
}
