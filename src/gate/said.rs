//! What is said of a session beside its lists, gathered before they are asked.
//!
//! Decides nothing: what is said becomes part of the judgement in [`Policy::heed`](crate::policy::Policy::heed).

use tokio::time::Instant;

use super::{Gate, Memory};
use crate::check::{self, OfRecipient, Told};
use crate::list::Mailboxes;
use crate::list::access::{Delay, Denial, Exemption, Heard, Loopback, Ruling, Standing, Wish};
use crate::policy::{ACCESS, Cause, Mode, OnTrouble, Policy, Said, Template, Word};
use crate::smtp::{Dialog, Mailbox, Reply, Stage};
use crate::source::Unanswered;
use crate::source::map::BUDGET;
use crate::verdict::{Act, Trust};

/// Words of a denial for which neither a map nor a setting has any.
const REFUSED: &str = "Access denied";
const DEFERRED: &str = "Access denied for now, try again later";
/// Words while a map cannot be asked.
const TROUBLE: &str = "Temporary lookup failure, try again later";

/// The access maps, and what is made of their words.
#[derive(Debug, Clone)]
pub struct Access {
    /// The maps.
    pub check: check::Access,
    /// Whether they are in force.
    pub mode: Mode,
    /// When a denial of a client or sender is spoken.
    pub delay: Delay,
    /// Whom an allowed recipient spares the checks.
    pub exemption: Exemption,
    /// Recipients that get their mail whatever is said of client and sender.
    pub exempt: Mailboxes,
    /// What becomes of mail while a map cannot be asked.
    pub on_trouble: OnTrouble,
    /// The words of a denial that has none of its own.
    pub reply: Option<Template>,
}

impl Gate {
    /// Has everything beside the lists say what it has to say of whoever is in question at this stage; it stands in the
    /// memory until the next one. When it began, unless nothing of this session is checked.
    pub(super) async fn hear(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Option<Instant> {
        memory.said.clear();
        self.forget_counted(stage, memory);
        let trust = self.rules.exempt.session(dialog);
        let access = self.rules.access.as_ref().filter(|access| access.concerns(trust, dialog));
        let begun = (trust.is_none() || access.is_some()).then(Instant::now);
        if let Some(access) = access {
            let said = access.say(&self.rules.policy, stage, dialog, memory).await;
            memory.said.extend(said);
        }
        // Whom a map lets in does not count for a limit: maps come first.
        if trust.is_some() {
            self.look_at_own_mail(stage, dialog, memory);
        } else {
            self.look_at_envelope(stage, dialog, memory);
        }
        begun
    }

    /// Whether lists need not be asked, since somebody lets the mail in whatever they hold.
    pub(super) fn is_spared(&self, memory: &Memory) -> bool {
        !self.rules.policy.is_observing() && Self::has_friend(memory)
    }

    /// Whether somebody in force says that lists do not matter, also while the policy only looks on.
    pub(super) fn has_friend(memory: &Memory) -> bool {
        memory.said.iter().any(|said| said.word == Word::Spare && said.mode == Mode::Enforce)
    }
}

impl Access {
    /// The name of access maps in log and status.
    pub const NAME: &'static str = ACCESS;

    /// Whether the maps are asked about a session that is spared for this reason. Clients on this host may be, if the
    /// administrator wants it; the process itself never is, which a map that stalls would keep from a sign of life.
    fn concerns(&self, trust: Option<Trust>, dialog: &Dialog) -> bool {
        match trust {
            _ if dialog.id.is_rehearsal() => false,
            None => true,
            Some(Trust::Local) => {
                self.check.rules.loopback == Loopback::Searched && dialog.client.ip().is_some()
            }
            Some(_) => false,
        }
    }

    /// What the maps say at a stage. What was said before is remembered, and asked again only where it is not: after trouble,
    /// and in a process that has the session from one that had no maps.
    async fn say(&self, policy: &Policy, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Vec<Said> {
        let end = Instant::now() + BUDGET;
        let standing = memory.access.get_or_insert_default();
        let (mut client, mut sender, mut recipient) = (Told::default(), Told::default(), Told::default());
        let asks = (!standing.knows_client(), stage >= Stage::Mail && !standing.knows_sender());
        if asks.0 {
            client = self.check.connect(dialog, end).await;
        }
        if asks.1 && !self.is_over(&client) {
            sender = self.check.mail(dialog, end).await;
        }
        if stage == Stage::Rcpt && !self.is_over(&client) && !self.is_over(&sender) {
            recipient = self.check.rcpt(dialog, end).await;
        }
        let is_sure = (client.trouble.is_none(), sender.trouble.is_none());
        let trouble = client.trouble.or(sender.trouble).or(recipient.trouble);
        let standing = memory.access.get_or_insert_default();
        // In the other case there is no word but that of the trouble, and what was not asked is not known.
        let counts = trouble.is_none() || self.on_trouble == OnTrouble::LetIn;
        if asks.0 && (is_sure.0 || counts) {
            standing.connect(client.said);
        }
        if asks.1 && counts {
            standing.mail(sender.said);
        }
        let friend = (stage == Stage::Rcpt).then_some(&recipient.said.heard);
        let friend = standing.denied_friend(friend).filter(|_| counts && recipient.said.hater.is_none());
        let friend = friend.cloned();
        let heard = match stage {
            _ if !counts => None,
            Stage::Rcpt => self.of_recipient(&recipient.said, dialog, standing),
            _ => standing.now(self.delay).cloned(),
        };
        if !is_sure.0 {
            standing.forget_client();
        }
        if !is_sure.1 {
            standing.forget_sender();
        }
        let must_pass = stage == Stage::Rcpt && self.is_exempt(dialog);
        let trouble = trouble.and_then(|trouble| self.trouble(&trouble, stage, must_pass));
        let words = |template: &Template| policy.words(template, ACCESS, stage, dialog);
        let heard = heard.into_iter().chain(friend).filter_map(|heard| self.said(heard, words));
        trouble.into_iter().chain(heard).collect()
    }

    /// Whether a map that cannot be asked has the last word.
    fn is_over<T>(&self, told: &Told<T>) -> bool {
        told.trouble.is_some() && self.on_trouble == OnTrouble::Defer
    }

    fn of_recipient(&self, told: &OfRecipient, dialog: &Dialog, standing: &mut Standing) -> Option<Heard> {
        let wish = match told.hater {
            Some(_) => Wish::Checks,
            None if self.is_exempt(dialog) => Wish::Mail,
            None => Wish::None,
        };
        standing.rcpt(&told.heard, wish, self.exemption)
    }

    fn is_exempt(&self, dialog: &Dialog) -> bool {
        let recipient = dialog.transaction.as_ref().and_then(|message| message.recipients.last());
        let mailbox = recipient.and_then(|recipient| Mailbox::parse(&recipient.address));
        mailbox.is_some_and(|mailbox| self.exempt.contains(Some(&mailbox)))
    }

    fn said(&self, heard: Heard, words: impl Fn(&Template) -> Reply) -> Option<Said> {
        let word = match heard.ruling {
            Ruling::Nothing => return None,
            Ruling::Allow => Word::Spare,
            Ruling::Refuse(denial) => Word::Refuse(self.reply(&denial, words)),
            Ruling::Defer(denial) => Word::Defer(self.reply(&denial, words)),
            Ruling::Discard => Word::Discard,
            Ruling::Quarantine(reason) => Word::Quarantine(reason),
        };
        Some(Said { by: ACCESS.into(), word, mode: self.mode, because: heard.because })
    }

    /// A map that cannot be asked: told once in a message, and from the stage on at which its denial could be spoken the
    /// client comes again, if the administrator wants that. A recipient that mail always gets to does not wait for a map.
    fn trouble(&self, trouble: &Unanswered, stage: Stage, must_pass: bool) -> Option<Said> {
        let is_due = self.delay == Delay::None || stage == Stage::Rcpt;
        let word = match self.on_trouble {
            OnTrouble::Defer if must_pass => Word::Note,
            OnTrouble::Defer if is_due => Word::Defer(Reply::new(451, "4.7.1", TROUBLE).ok()?),
            OnTrouble::Defer => return None,
            OnTrouble::LetIn => Word::Note,
        };
        let because = trouble.to_string().into();
        Some(Said { by: ACCESS.into(), word, mode: self.mode, because })
    }

    /// The words of a denial: its own, those of the setting, or built-in ones.
    fn reply(&self, denial: &Denial, words: impl Fn(&Template) -> Reply) -> Reply {
        let is_deferral = denial.code < 500;
        if let Some(template) = self.reply.as_ref().filter(|_| denial.text.is_none()) {
            return if is_deferral { words(&template.as_deferral()) } else { words(template) };
        }
        let (built_in, usual) =
            if is_deferral { (DEFERRED, Denial::deferral()) } else { (REFUSED, Denial::refusal()) };
        // A text of nothing that a reply can have is none.
        let reply = denial.reply(built_in).or_else(|_| usual.reply(built_in));
        reply.expect("a built-in reply is a reply")
    }
}

/// Whether something that is said here, and no rule, drops the mail of whoever is in question.
pub(super) fn drops(cause: &Cause, said: &[Said]) -> bool {
    cause.act == Act::Discard && said.iter().any(|said| said.word == Word::Discard && said.by == cause.rule)
}

/// The words of a denial that has none of its own.
pub(super) fn refusal() -> Option<Reply> {
    Reply::new(550, "5.7.1", REFUSED).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::access::Location;
    use crate::policy::{Replies, ReplyStyle, Score};
    use crate::source::Trouble;

    fn access(on_trouble: OnTrouble, delay: Delay) -> Access {
        Access {
            check: check::Access::default(),
            mode: Mode::Enforce,
            delay,
            exemption: Exemption::default(),
            exempt: Mailboxes::default(),
            on_trouble,
            reply: None,
        }
    }

    #[test]
    fn a_map_that_cannot_be_asked_defers_only_if_somebody_wants_it_and_where_a_denial_is_spoken() {
        let trouble =
            Unanswered { location: Location::Text("/etc/mail/access".into()), trouble: Trouble::Closed };
        let told = |on_trouble, delay, stage| access(on_trouble, delay).trouble(&trouble, stage, false);
        let note = told(OnTrouble::LetIn, Delay::UntilRcpt, Stage::Connect).expect("a line in the log");
        assert_eq!(note.word, Word::Note);
        assert_eq!(
            &*note.because,
            "text:/etc/mail/access cannot be asked: it closes the connection without an answer"
        );
        for (delay, stage, defers) in [
            (Delay::UntilRcpt, Stage::Connect, false),
            (Delay::UntilRcpt, Stage::Mail, false),
            (Delay::UntilRcpt, Stage::Rcpt, true),
            (Delay::None, Stage::Connect, true),
        ] {
            let said = told(OnTrouble::Defer, delay, stage);
            let is_deferral =
                said.is_some_and(|said| matches!(said.word, Word::Defer(reply) if reply.code() == 451));
            assert_eq!(is_deferral, defers, "{delay:?} {stage}");
        }
        let exempt = access(OnTrouble::Defer, Delay::UntilRcpt).trouble(&trouble, Stage::Rcpt, true);
        assert_eq!(exempt.map(|said| said.word), Some(Word::Note));
    }

    #[test]
    fn every_denial_has_words_of_its_class() {
        let template = Template::parse("550 5.7.1 not {ip}").expect("a template");
        let plain = access(OnTrouble::LetIn, Delay::None);
        let worded = Access { reply: Some(template), ..plain.clone() };
        let policy = Policy::new(Vec::new(), Score::default(), Replies::new(ReplyStyle::Own));
        let denial = |code: u16, text: Option<&str>| Denial {
            code,
            enhanced: format!("{}.7.1", code / 100).into(),
            text: text.map(Into::into),
        };
        for (access, denial, reply) in [
            (&plain, denial(550, None), "550 5.7.1 Access denied"),
            (&plain, denial(421, Some("go")), "421 4.7.1 go"),
            (&plain, denial(550, Some("\u{7}")), "550 5.7.1 ?"),
            (&worded, denial(550, None), "550 5.7.1 not unknown"),
            (&worded, denial(451, None), "450 4.7.1 not unknown"),
            (&worded, denial(521, Some("own words")), "521 5.7.1 own words"),
        ] {
            let words = |template: &Template| policy.words(template, ACCESS, Stage::Rcpt, &Dialog::default());
            assert_eq!(access.reply(&denial, words).to_string(), reply);
        }
    }
}
