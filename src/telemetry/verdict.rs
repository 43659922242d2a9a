//! The line that a decision leaves in the log.

use std::time::Duration;

use crate::smtp::{Dialog, Reply, Stage, printable};
use crate::verdict::{Finding, Outcome};

/// Longest text of a client in a log field, in characters.
const TEXT: usize = 256;

/// What came of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Refused for good.
    Reject,
    /// Refused for now.
    Tempfail,
    /// Listed, but the policy lets it in.
    Log,
    /// Not checked, or nothing to check.
    Skip,
    /// Checked and clean, or could not be checked.
    Accept,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Tempfail => "tempfail",
            Self::Log => "log",
            Self::Skip => "skip",
            Self::Accept => "accept",
        }
    }
}

/// All that the log says about one finding and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The session.
    pub dialog: &'a Dialog,
    /// The stage at which it was decided.
    pub stage: Stage,
    /// What came of it.
    pub action: Action,
    /// The finding.
    pub finding: &'a Finding,
    /// How the list names the codes, such as `SBL`.
    pub list: &'a str,
    /// The reply, if there is one.
    pub reply: Option<&'a Reply>,
    /// How long the session waited at this stage.
    pub waited: Duration,
}

impl Report<'_> {
    /// Writes the line: what was refused, deferred or listed without consequence at INFO, the rest at DEBUG.
    pub fn log(&self) {
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    event = "verdict",
                    session = %self.dialog.id,
                    qid = %self.queue_id(),
                    stage = self.stage.name(),
                    action = self.action.name(),
                    identity = self.finding.identity.name(),
                    zone = self.finding.list.name(),
                    list = self.list,
                    codes = %self.codes(),
                    subject = &*self.finding.subject,
                    client_ip = %self.dialog.client,
                    helo = %self.helo(),
                    mail_from = %self.sender(),
                    rcpt = %self.recipient(),
                    auth = u8::from(self.dialog.is_authenticated()),
                    reply = %self.reply.map(Reply::to_string).unwrap_or_default(),
                    reason = self.reason(),
                    cache = self.finding.origin.name(),
                    ms = %self.waited.as_millis(),
                    trimmed = self.finding.trimmed,
                    "{}", self.summary()
                )
            };
        }
        match self.action {
            Action::Reject | Action::Tempfail | Action::Log => line!(info),
            Action::Skip | Action::Accept => line!(debug),
        }
    }

    fn queue_id(&self) -> String {
        self.dialog.queue_id().map_or_else(|| "NOQUEUE".to_owned(), |id| printable(id, TEXT))
    }

    fn helo(&self) -> String {
        self.dialog.helo.as_deref().map_or_else(String::new, |name| printable(name, TEXT))
    }

    fn sender(&self) -> String {
        self.dialog.transaction.as_ref().map_or_else(String::new, |message| printable(&message.sender, TEXT))
    }

    /// The recipient in question, if one is.
    fn recipient(&self) -> String {
        let message = self.dialog.transaction.as_ref().filter(|_| self.stage == Stage::Rcpt);
        let recipient = message.and_then(|message| message.recipients.last());
        recipient.map_or_else(String::new, |recipient| printable(&recipient.address, TEXT))
    }

    fn codes(&self) -> String {
        match self.finding.outcome {
            Outcome::Hit(codes) => codes.to_string(),
            _ => String::new(),
        }
    }

    fn reason(&self) -> &'static str {
        match self.finding.outcome {
            Outcome::Clear => "clear",
            Outcome::Hit(_) => "listed",
            Outcome::Trusted(trust) => trust.name(),
            Outcome::Skipped(skip) => skip.name(),
            Outcome::Unknown(trouble) => trouble.name(),
        }
    }

    /// One sentence for people who read the journal without its fields.
    fn summary(&self) -> String {
        let action = self.action.name();
        let identity = self.finding.identity.name();
        let blank = if self.finding.subject.is_empty() { "" } else { " " };
        let (subject, list) = (&self.finding.subject, self.list);
        format!("{action} at {}: {identity}{blank}{subject} {} ({list})", self.stage, self.reason())
    }
}
