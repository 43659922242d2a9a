//! What the answers of a whole session mean together.
//!
//! The last word counts: what a map says about a recipient lifts what it said about the sender, and that
//! what it said about the client. So an allowed recipient can be reached by whomever, and a denial waits
//! until the recipient is known. Nothing that is said of one recipient holds for another.

use serde::{Deserialize, Serialize};

use super::Ruling;

/// When a denial of a client or sender is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delay {
    /// At RCPT, unless the recipient lifts it.
    #[default]
    UntilRcpt,
    /// At once.
    None,
}

/// Whom an allowed recipient spares the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exemption {
    /// Itself.
    #[default]
    EachRecipient,
    /// Itself and all that come after it in the message, as in milter-spamc.
    LaterRecipients,
}

/// What maps say about somebody, with the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heard {
    /// What is to be done.
    pub ruling: Ruling,
    /// The key that was found, with its map and line; printable, and empty if nothing was found.
    pub because: Box<str>,
}

/// What a recipient has beside what maps allow or deny it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// Nothing.
    #[default]
    None,
    /// To be checked whatever else is allowed (`Spam: HATER`).
    Checks,
    /// To get its mail whatever is said of client and sender.
    Mail,
}

/// What has been said so far about a session and its open message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connect: Option<Heard>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mail: Option<Heard>,
    /// A recipient of the message was allowed by a word about itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    befriended: bool,
}

impl Standing {
    /// Whether it is known what maps say about the client.
    pub fn knows_client(&self) -> bool {
        self.connect.is_some()
    }

    /// Whether it is known what maps say about the sender of the open message.
    pub fn knows_sender(&self) -> bool {
        self.mail.is_some()
    }

    /// Takes what maps say about the client.
    pub fn connect(&mut self, heard: Heard) {
        self.connect = Some(heard);
    }

    /// Takes what maps say about the sender.
    pub fn mail(&mut self, heard: Heard) {
        self.mail = Some(heard);
    }

    /// What holds before there is a recipient, if anything does. A message that there is not yet can neither be
    /// dropped nor held.
    pub fn now(&self, delay: Delay) -> Option<&Heard> {
        let heard = last([self.mail.as_ref(), self.connect.as_ref()])?;
        let holds = match heard.ruling {
            Ruling::Refuse(_) | Ruling::Defer(_) => delay == Delay::None,
            Ruling::Discard | Ruling::Quarantine(_) => self.mail.is_some(),
            Ruling::Allow | Ruling::Nothing => true,
        };
        holds.then_some(heard)
    }

    /// The word about client or sender that lets mail in where later ones deny it, `recipient` the last of them: these decide what
    /// becomes of the mail, and lists matter no more than they did. A quarantine is no denial: it wants the checks.
    pub fn denied_friend<'a>(&'a self, recipient: Option<&'a Heard>) -> Option<&'a Heard> {
        let said = [recipient, self.mail.as_ref(), self.connect.as_ref()].into_iter().flatten();
        let mut said = said.filter(|heard| heard.ruling != Ruling::Nothing);
        let denies =
            |ruling: &Ruling| matches!(ruling, Ruling::Refuse(_) | Ruling::Defer(_) | Ruling::Discard);
        let is_denied = said.clone().next().is_some_and(|last| denies(&last.ruling));
        said.find(|heard| !denies(&heard.ruling)).filter(|heard| is_denied && heard.ruling == Ruling::Allow)
    }

    /// What holds for a recipient of which maps say `heard`.
    pub fn rcpt(&mut self, heard: &Heard, wish: Wish, exemption: Exemption) -> Option<Heard> {
        let is_friend = heard.ruling == Ruling::Allow;
        let holds = last([Some(heard), self.mail.as_ref(), self.connect.as_ref()]).cloned();
        let is_own = heard.ruling != Ruling::Nothing;
        let holds = holds.filter(|holds| match wish {
            Wish::Checks => holds.ruling != Ruling::Allow,
            Wish::Mail => is_own || holds.ruling == Ruling::Allow,
            Wish::None => true,
        });
        let befriended = self.befriended && exemption == Exemption::LaterRecipients && wish != Wish::Checks;
        self.befriended |= is_friend && wish != Wish::Checks;
        let by_another =
            || Heard { ruling: Ruling::Allow, because: "a recipient before this one is allowed".into() };
        holds.or_else(|| befriended.then(by_another))
    }

    /// Forgets what is said about the client, which then is asked again.
    pub fn forget_client(&mut self) {
        self.connect = None;
    }

    /// Forgets what is said about the sender, which then is asked again.
    pub fn forget_sender(&mut self) {
        self.mail = None;
    }

    /// Forgets the message; what was said about the client stays.
    pub fn end_message(&mut self) {
        *self = Self { connect: self.connect.take(), ..Self::default() };
    }
}

/// The latest of them that says anything.
fn last<const N: usize>(all: [Option<&Heard>; N]) -> Option<&Heard> {
    all.into_iter().flatten().find(|heard| heard.ruling != Ruling::Nothing)
}

#[cfg(test)]
mod tests {
    use super::super::Denial;
    use super::*;

    fn heard(ruling: Ruling, because: &str) -> Heard {
        Heard { ruling, because: because.into() }
    }

    #[test]
    fn a_friend_is_named_whom_a_later_word_denies() {
        let refusal = || Ruling::Refuse(Denial::refusal());
        let deferral = || Ruling::Defer(Denial::deferral());
        let hold = || Ruling::Quarantine("look at it".into());
        for (client, sender, recipient, friend) in [
            (Ruling::Allow, refusal(), Ruling::Nothing, Some("client")),
            (Ruling::Allow, Ruling::Nothing, Ruling::Discard, Some("client")),
            (Ruling::Allow, deferral(), refusal(), Some("client")),
            (Ruling::Allow, Ruling::Allow, deferral(), Some("sender")),
            // Nobody denies it, or nobody lets it in, or the friend came last.
            (Ruling::Allow, Ruling::Nothing, Ruling::Nothing, None),
            (Ruling::Nothing, refusal(), Ruling::Nothing, None),
            (refusal(), Ruling::Allow, Ruling::Nothing, None),
            (Ruling::Nothing, refusal(), Ruling::Allow, None),
            // A quarantine neither denies nor lets in.
            (Ruling::Allow, hold(), Ruling::Nothing, None),
            (Ruling::Allow, hold(), refusal(), None),
        ] {
            let case = format!("{client:?} {sender:?} {recipient:?}");
            let mut standing = Standing::default();
            standing.connect(heard(client, "client"));
            standing.mail(heard(sender, "sender"));
            let recipient = heard(recipient, "recipient");
            let found = standing.denied_friend(Some(&recipient)).map(|heard| &*heard.because);
            assert_eq!(found, friend, "{case}");
        }
    }

    #[test]
    fn what_is_forgotten_is_asked_again() {
        let mut standing = Standing::default();
        let known = |standing: &Standing| (standing.knows_client(), standing.knows_sender());
        assert_eq!(known(&standing), (false, false));
        standing.connect(Heard::default());
        assert_eq!(known(&standing), (true, false), "that the maps say nothing is known, too");
        standing.mail(Heard::default());
        assert_eq!(known(&standing), (true, true));
        standing.forget_client();
        assert_eq!(known(&standing), (false, true));
        standing.forget_sender();
        assert_eq!(known(&standing), (false, false));
    }
}
