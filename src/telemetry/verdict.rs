//! The line that a decision leaves in the log.

use std::time::Duration;

use crate::smtp::{Dialog, Reply, Stage, printable};
use crate::verdict::{Act, Finding, Origin, Outcome};

/// Longest text of a client in a log field, in characters.
const TEXT: usize = 256;

/// What came of a finding, or of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// This was done.
    Done(Act),
    /// This would have been done, if the rule were in force.
    Would(Act),
    /// A rule lets the mail in.
    Spared,
    /// A rule would let the mail in, if it were in force.
    WouldSpare,
    /// Not checked, or nothing to check.
    Skip,
    /// Checked and clean, or could not be checked.
    Accept,
}

impl Action {
    /// The word in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done(act) => act.name(),
            Self::Would(Act::Refuse) => "would-reject",
            Self::Would(Act::Discard) => "would-discard",
            Self::Would(Act::Defer) => "would-tempfail",
            Self::Would(Act::Quarantine) => "would-quarantine",
            Self::Would(Act::Tag) => "would-tag",
            Self::Would(Act::Log) => "would-log",
            Self::Spared => "spared",
            Self::WouldSpare => "would-spare",
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
    /// The finding, if there is one.
    pub finding: Option<&'a Finding>,
    /// How the list names the codes, such as `SBL`.
    pub list: &'a str,
    /// The name of the rule that fired, or of what else has something to say; empty if nothing has.
    pub rule: &'a str,
    /// The evidence, where it is no finding: such as a key of a map with file and line. Printable.
    pub because: &'a str,
    /// The sum of all rules that count.
    pub score: i32,
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
                    identity = self.finding.map_or("", |finding| finding.identity.name()),
                    zone = self.finding.map_or("", |finding| finding.list.name()),
                    list = self.list,
                    codes = %self.codes(),
                    subject = self.subject(),
                    client_ip = %self.dialog.client,
                    helo = %self.helo(),
                    mail_from = %self.sender(),
                    rcpt = %self.recipient(),
                    auth = u8::from(self.dialog.is_authenticated()),
                    reply = %self.reply.map(Reply::to_string).unwrap_or_default(),
                    reason = self.reason(),
                    cache = self.finding.map_or(Origin::None, |finding| finding.origin).name(),
                    ms = %self.waited.as_millis(),
                    trimmed = self.finding.map_or(0, |finding| finding.trimmed),
                    rule = self.rule,
                    because = self.because,
                    score = self.score,
                    "{}", self.summary()
                )
            };
        }
        match self.action {
            Action::Done(_) | Action::Would(_) => line!(info),
            Action::WouldSpare => line!(info),
            Action::Spared | Action::Skip | Action::Accept => line!(debug),
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
        match self.finding.map(|finding| (finding.list, finding.outcome)) {
            Some((list, Outcome::Hit(codes))) => list.shown(codes),
            _ => String::new(),
        }
    }

    fn subject(&self) -> &str {
        self.finding.map_or("", |finding| &finding.subject)
    }

    fn reason(&self) -> &'static str {
        let Some(finding) = self.finding else { return "rule" };
        match finding.outcome {
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
        let Some(finding) = self.finding else {
            let because =
                if self.because.is_empty() { String::new() } else { format!(" ({})", self.because) };
            let (client, rule) = (self.dialog.client, self.rule);
            return format!("{action} at {}: client {client}, rule {rule}{because}", self.stage);
        };
        let identity = finding.identity.name();
        let blank = if finding.subject.is_empty() { "" } else { " " };
        let (subject, list) = (&finding.subject, self.list);
        format!("{action} at {}: {identity}{blank}{subject} {} ({list})", self.stage, self.reason())
    }
}
