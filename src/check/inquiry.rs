//! One question of one check, from asking to knowing.

use std::time::Duration;

use tokio::time::Instant;

use crate::dns::{Answer, Answered, Ticket};
use crate::verdict::{Finding, Identity, List, Origin, Outcome, Skip, Trouble, Trust};

/// A finding that is there, or on its way.
#[derive(Debug)]
pub struct Inquiry {
    finding: Finding,
    ticket: Option<Ticket>,
    /// Whether the log has it already.
    pub logged: bool,
}

impl Inquiry {
    pub(super) fn asked(
        list: List,
        identity: Identity,
        subject: &str,
        trimmed: bool,
        ticket: Ticket,
    ) -> Self {
        // Until it is known otherwise the answer is late.
        let outcome = Outcome::Unknown(Trouble::Timeout);
        let finding = Finding { trimmed, ..known(list, identity, subject, outcome) };
        Self { finding, ticket: Some(ticket), logged: false }
    }

    pub(super) fn skipped(list: List, identity: Identity, skip: Skip) -> Self {
        Self { finding: known(list, identity, "", Outcome::Skipped(skip)), ticket: None, logged: false }
    }

    pub(super) fn trusted(list: List, identity: Identity, trust: Trust) -> Self {
        Self { finding: known(list, identity, "", Outcome::Trusted(trust)), ticket: None, logged: false }
    }

    /// Waits for the answer until `deadline`; a late one is the trouble of this list alone.
    pub async fn settle(&mut self, deadline: Instant) {
        let Some(ticket) = &mut self.ticket else { return };
        let asked = Instant::now();
        let answered = match ticket.ready() {
            Some(answered) => answered,
            None => ticket.wait(deadline).await,
        };
        self.finding.waited = asked.elapsed();
        self.learn(answered);
    }

    /// Whether the next message has to ask anew: the question failed, or was spared for a login, which
    /// is the message's own.
    pub fn is_spent(&self) -> bool {
        let transient = matches!(self.finding.outcome, Outcome::Unknown(_) | Outcome::Trusted(Trust::Login));
        self.ticket.is_none() && transient
    }

    /// What is known so far.
    pub fn finding(&self) -> &Finding {
        &self.finding
    }

    fn learn(&mut self, Answered { answer, origin }: Answered) {
        self.finding.origin = origin;
        self.finding.outcome = match answer {
            Answer::Listed(codes) => Outcome::Hit(codes),
            Answer::NotListed => Outcome::Clear,
            Answer::Failed(trouble) => Outcome::Unknown(trouble),
        };
        if answer != Answer::Failed(Trouble::Timeout) {
            self.ticket = None;
        }
    }
}

fn known(list: List, identity: Identity, subject: &str, outcome: Outcome) -> Finding {
    Finding {
        list,
        identity,
        subject: subject.into(),
        trimmed: false,
        outcome,
        origin: Origin::None,
        waited: Duration::ZERO,
    }
}
