//! One question of one check, from asking to knowing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::dns::{Answer, Answered, Ticket};
use crate::list::Entry;
use crate::verdict::{Classes, Finding, Identity, List, Origin, Outcome, Skip, Trouble, Trust};

/// A finding that is there, or on its way.
#[derive(Debug)]
pub struct Inquiry {
    finding: Finding,
    /// What the list says, whatever rule may spare the subject in the open message.
    said: Outcome,
    /// Until the answer has come.
    ticket: Option<Ticket>,
    /// Whether the answer was waited for in vain.
    failed: bool,
    /// The classes of sessions in which the list is asked.
    sessions: Option<Classes>,
    /// Whether the log has it already.
    pub logged: bool,
}

impl Inquiry {
    pub(super) fn asked(
        list: List,
        identity: Identity,
        subject: Arc<str>,
        trimmed: usize,
        ticket: Ticket,
    ) -> Self {
        // Until it is known otherwise the answer is late.
        let outcome = Outcome::Unknown(Trouble::Timeout);
        let inquiry = Self::known(list, identity, subject, outcome);
        let finding = Finding { trimmed, ..inquiry.finding };
        Self { finding, ticket: Some(ticket), ..inquiry }
    }

    /// What a table has, if it has anything.
    pub(super) fn looked_up(
        list: List,
        identity: Identity,
        subject: Arc<str>,
        entry: Option<&Entry<'_>>,
    ) -> Self {
        let records = entry.into_iter().flat_map(Entry::records);
        let codes = records.fold(list.no_codes(), |codes, (value, _)| codes.or(list.codes(value)));
        let listed = entry.filter(|_| !codes.is_empty());
        let outcome = if listed.is_some() { Outcome::Hit(codes) } else { Outcome::Clear };
        let text = listed.filter(|entry| !entry.text.is_empty()).map(|entry| entry.rendered().into());
        let inquiry = Self::known(list, identity, subject, outcome);
        Self { finding: Finding { text, origin: Origin::File, ..inquiry.finding }, ..inquiry }
    }

    pub(super) fn skipped(list: List, identity: Identity, skip: Skip) -> Self {
        Self::known(list, identity, Arc::default(), Outcome::Skipped(skip))
    }

    pub(super) fn trusted(list: List, identity: Identity, trust: Trust) -> Self {
        Self::known(list, identity, Arc::default(), Outcome::Trusted(trust))
    }

    pub(super) fn trimmed(mut self, trimmed: usize) -> Self {
        self.finding.trimmed = trimmed;
        self
    }

    pub(super) fn in_sessions(self, sessions: Option<Classes>) -> Self {
        Self { sessions, ..self }
    }

    /// The classes of sessions in which the list is asked.
    pub fn sessions(&self) -> Option<Classes> {
        self.sessions
    }

    /// Spares the subject in the open message, by a rule that is known only now, or no longer.
    pub fn spare(&mut self, trust: Option<Trust>) {
        self.finding.outcome = trust.map_or(self.said, Outcome::Trusted);
    }

    /// Takes the answer if it has come, and tells whether there was anything to learn; nothing if it is missing.
    pub fn take(&mut self) -> Option<bool> {
        let Some(ticket) = &mut self.ticket else { return Some(false) };
        let answered = ticket.ready()?;
        self.learn(answered, Duration::ZERO);
        Some(true)
    }

    /// Waits for the answer until `deadline`; a late one is the trouble of this list alone. Tells whether
    /// there was anything to learn.
    pub async fn settle(&mut self, deadline: Instant) -> bool {
        if let Some(learned) = self.take() {
            return learned;
        }
        let Some(ticket) = &mut self.ticket else { return false };
        let asked = Instant::now();
        let answered = ticket.wait(deadline).await;
        self.learn(answered, asked.elapsed());
        true
    }

    /// Whether an answer has come after all that was waited for in vain.
    pub fn came_late(&mut self) -> bool {
        let answered = self.ticket.as_mut().and_then(Ticket::ready);
        answered.is_some_and(|answered| !matches!(answered.answer, Answer::Failed(_)))
    }

    /// Whether the next message has to ask anew: the question failed, or was never put because of a
    /// login or for want of one, which is the message's own.
    pub fn is_spent(&self) -> bool {
        let by_class = match self.said {
            Outcome::Trusted(Trust::Login | Trust::Inbound) => true,
            // A list of its own sessions may be one of logins; all others have nothing to say of them either.
            Outcome::Trusted(Trust::Submission) => self.sessions.is_some(),
            _ => false,
        };
        self.failed || by_class
    }

    /// What is known so far.
    pub fn finding(&self) -> &Finding {
        &self.finding
    }

    fn learn(&mut self, Answered { answer, origin }: Answered, waited: Duration) {
        self.finding.waited = waited;
        self.finding.origin = origin;
        self.said = match answer {
            Answer::Listed(codes) => Outcome::Hit(codes),
            Answer::NotListed => Outcome::Clear,
            Answer::Failed(trouble) => Outcome::Unknown(trouble),
        };
        self.finding.outcome = self.said;
        self.failed = matches!(answer, Answer::Failed(_));
        // A late answer may still come to the same ticket before the message is over.
        if answer != Answer::Failed(Trouble::Timeout) {
            self.ticket = None;
        }
    }

    fn known(list: List, identity: Identity, subject: Arc<str>, outcome: Outcome) -> Self {
        let (origin, waited) = (Origin::None, Duration::ZERO);
        let finding = Finding { list, identity, subject, trimmed: 0, outcome, text: None, origin, waited };
        Self { finding, said: outcome, ticket: None, failed: false, sessions: None, logged: false }
    }
}
