//! One rule of the policy: when it fires, for whom, and what it does.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Tag, Template};
use crate::list::{Domains, Mailboxes, Networks};
use crate::smtp::{Domain, Mailbox, Stage};
use crate::verdict::{Act, Class, Classes, Codes, Finding, Identities, Identity, List, Outcome, Trouble};

/// What becomes of mail while a list cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTrouble {
    /// It comes in unchecked.
    LetIn,
    /// The client is told to come again.
    Defer,
}

/// Whether a rule is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is not, but the log tells what it would have done.
    Shadow,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name in the log.
    pub name: Arc<str>,
    /// What makes it fire.
    pub trigger: Trigger,
    /// For whom it holds: for everybody if there is none, else for sessions that meet one of them.
    pub when: Vec<Condition>,
    /// For whom it does not hold: sessions that meet one of them.
    pub unless: Vec<Condition>,
    /// What it does.
    pub effect: Effect,
    /// Whether it is in force.
    pub mode: Mode,
}

/// What makes a rule fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A list has one of these identities, with one of these codes.
    Listed {
        /// The lists and what counts of each.
        lists: Vec<(List, Codes)>,
        /// The identities.
        identities: Identities,
    },
    /// A list cannot be reached.
    Trouble(List),
    /// Nothing else: its conditions are all there is to it.
    Met,
}

/// What a rule does when it fires.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effect {
    /// What is done; nothing for a rule that only counts.
    pub act: Option<Act>,
    /// What other rules must not do.
    pub spares: Option<Spares>,
    /// What it adds to the score.
    pub weight: i32,
    /// The words of a refusal or deferral, if they are the rule's own.
    pub reply: Option<Template>,
    /// The header field of a tag, if it is the rule's own.
    pub tag: Option<Tag>,
}

/// What a rule that lets mail in keeps others from doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spares {
    /// Anything.
    All,
    /// Anything on account of these lists.
    Lists(Vec<List>),
}

/// Something that can be known of a session before any list is asked. Empty sets ask for nothing; all others
/// must be met together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// The client's address.
    pub client: Networks,
    /// The client's name as the mail server verified it, or a name above it.
    pub client_name: Domains,
    /// The HELO name or one above it.
    pub helo: Domains,
    /// The reverse-path.
    pub sender: Mailboxes,
    /// The recipient in question.
    pub recipient: Mailboxes,
    /// The class of the session.
    pub session: Classes,
}

/// What conditions look at.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The client's verified name.
    pub client_name: Option<Domain>,
    /// The HELO name.
    pub helo: Option<Domain>,
    /// The reverse-path; nothing inside for the null one. Nothing at all before MAIL.
    pub sender: Option<Option<Mailbox>>,
    /// The recipient in question.
    pub recipient: Option<Mailbox>,
    /// The class of the session.
    pub session: Option<Class>,
}

impl Condition {
    /// The stage from which on it can be told.
    pub fn ripe(&self) -> Stage {
        if !self.recipient.is_empty() {
            Stage::Rcpt
        } else if !self.sender.is_empty() || self.depends_on_login() {
            Stage::Mail
        } else if !self.helo.is_empty() {
            Stage::Helo
        } else {
            Stage::Connect
        }
    }

    /// Whether it holds with a login and not without, or the other way: that is known from MAIL on.
    fn depends_on_login(&self) -> bool {
        !self.session.is_empty() && !Class::ALL.into_iter().all(|class| self.session.contains(class))
    }

    /// Whether it rests on what a stranger can only have by our leave: a verified address or name, a login, or
    /// who shall get the mail. Anybody can write any HELO name and any sender.
    pub fn is_proof(&self) -> bool {
        !self.client.is_empty()
            || !self.client_name.is_empty()
            || !self.recipient.is_empty()
            || (!self.session.is_empty() && !self.session.contains(Class::Inbound))
    }

    pub(super) fn is_met(&self, facts: &Facts) -> bool {
        self.unmet(facts).next().is_none()
    }

    /// What of it does not fit, by the names in settings.
    pub(super) fn unmet<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'static str> + 'a {
        PARTS.iter().filter(|(_, fits)| !fits(self, facts)).map(|(name, _)| *name)
    }
}

type Fits = fn(&Condition, &Facts) -> bool;

/// The parts of a condition, each with what must be for it to fit.
const PARTS: [(&str, Fits); 6] = [
    ("client", |it, facts| it.client.is_empty() || facts.client.is_some_and(|ip| it.client.contains(ip))),
    ("client_name", |it, facts| is_below(&it.client_name, facts.client_name.as_ref())),
    ("helo", |it, facts| is_below(&it.helo, facts.helo.as_ref())),
    ("sender", |it, facts| {
        it.sender.is_empty()
            || facts.sender.as_ref().is_some_and(|sender| it.sender.contains(sender.as_ref()))
    }),
    ("recipient", |it, facts| {
        it.recipient.is_empty()
            || facts.recipient.as_ref().is_some_and(|recipient| it.recipient.contains(Some(recipient)))
    }),
    ("session", |it, facts| {
        it.session.is_empty() || facts.session.is_some_and(|class| it.session.contains(class))
    }),
];

fn is_below(set: &Domains, name: Option<&Domain>) -> bool {
    set.is_empty() || name.is_some_and(|name| set.covers(name))
}

impl Rule {
    /// A rule in force for everybody.
    pub fn new(name: &str, trigger: Trigger, effect: Effect) -> Self {
        let (when, unless, mode) = (Vec::new(), Vec::new(), Mode::Enforce);
        Self { name: name.into(), trigger, when, unless, effect, mode }
    }

    /// The stage from which on it can fire.
    pub fn ripe(&self) -> Stage {
        let conditions = self.when.iter().chain(&self.unless).map(Condition::ripe).max();
        conditions.unwrap_or(Stage::Connect)
    }

    /// Whether it is for this session.
    pub(super) fn concerns(&self, facts: &Facts) -> bool {
        (self.when.is_empty() || self.when.iter().any(|condition| condition.is_met(facts)))
            && !self.unless.iter().any(|condition| condition.is_met(facts))
    }

    /// Whether a finding is what it looks for.
    pub(super) fn is_fired_by(&self, finding: &Finding) -> bool {
        match (&self.trigger, finding.outcome) {
            (Trigger::Listed { lists, identities }, Outcome::Hit(codes)) => {
                identities.contains(finding.identity)
                    && lists
                        .iter()
                        .any(|(list, wanted)| *list == finding.list && !codes.and(*wanted).is_empty())
            }
            (Trigger::Trouble(list), Outcome::Unknown(trouble)) => {
                *list == finding.list && trouble.is_transport()
            }
            _ => false,
        }
    }

    /// Whether it might have been fired by a list that did not answer, for whatever reason: a friend of whom an
    /// exhausted plan keeps silent is no less one.
    pub(super) fn is_missed_by(&self, finding: &Finding) -> bool {
        match (&self.trigger, finding.outcome) {
            (Trigger::Listed { lists, identities }, Outcome::Unknown(trouble)) => {
                !matches!(trouble, Trouble::Misuse)
                    && identities.contains(finding.identity)
                    && lists.iter().any(|(list, _)| *list == finding.list)
            }
            _ => false,
        }
    }

    /// Whether it holds for everybody.
    pub(super) fn is_for_all(&self) -> bool {
        self.when.is_empty() && self.unless.is_empty()
    }

    /// Whether this rule, fired `by` a finding or by its conditions, keeps another one from what it would do on
    /// account of `finding`.
    ///
    /// Whoever is let in for what a stranger can write at will is spared only what is found about that:
    /// `is_proven` says that its conditions rest on more, `is_claimed` that what the other rule looks at does not.
    pub(super) fn spares(
        &self,
        by: Option<&Finding>,
        is_proven: bool,
        finding: Option<&Finding>,
        is_claimed: bool,
    ) -> bool {
        let covered = match (&self.effect.spares, finding) {
            (Some(Spares::All), _) => true,
            (Some(Spares::Lists(lists)), Some(finding)) => lists.contains(&finding.list),
            (None, _) | (Some(Spares::Lists(_)), None) => false,
        };
        // The name that an address has in DNS is its owner's to choose.
        let listed = by.is_some_and(|by| matches!(by.identity, Identity::Client | Identity::Recipient));
        covered && (is_claimed || listed || is_proven)
    }

    /// Whether one of its conditions is met that [is proof](Condition::is_proof).
    pub(super) fn has_proof(&self, facts: &Facts) -> bool {
        self.when.iter().any(|condition| condition.is_proof() && condition.is_met(facts))
    }

    /// Whether one of its conditions is proof.
    pub(super) fn may_rest_on_proof(&self) -> bool {
        self.when.iter().any(Condition::is_proof)
    }

    /// Whether each of its conditions is proof, whichever is met.
    pub(super) fn rests_on_proof(&self) -> bool {
        !self.when.is_empty() && self.when.iter().all(Condition::is_proof)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::list::MailboxPattern;
    use crate::verdict::Origin;

    fn senders(entry: &str) -> Condition {
        Condition {
            sender: [MailboxPattern::parse(entry).expect("an entry")].into_iter().collect(),
            ..Condition::default()
        }
    }

    fn facts(sender: &str) -> Facts {
        Facts { sender: Some(Mailbox::parse(sender.as_bytes())), ..Facts::default() }
    }

    #[test]
    fn all_of_a_condition_and_any_of_several_must_hold() {
        let both = Condition {
            session: [Class::Inbound].into_iter().collect(),
            client: ["192.0.2.0/24".parse().expect("a network")].into_iter().collect(),
            ..senders("spam.example")
        };
        let mut rule = Rule::new("r", Trigger::Met, Effect::default());
        assert!(rule.concerns(&Facts::default()), "no condition, everybody");
        rule.when = vec![both, senders("<>")];
        let complete = Facts {
            client: Some([192, 0, 2, 1].into()),
            session: Some(Class::Inbound),
            ..facts("<x@spam.example>")
        };
        assert!(rule.concerns(&complete));
        assert!(!rule.concerns(&Facts { session: Some(Class::Login), ..complete }));
        assert!(!rule.concerns(&facts("<x@spam.example>")));
        assert!(rule.concerns(&facts("<>")));
        assert!(!rule.concerns(&Facts::default()), "before MAIL there is no null sender either");
        rule.unless = vec![senders("<>")];
        assert!(!rule.concerns(&facts("<>")));
    }

    fn names(name: &str) -> Domains {
        [Domain::from_setting(name).expect("a name")].into_iter().collect()
    }

    /// A condition on each part, by the name of the part.
    fn parts() -> [(&'static str, Condition); 6] {
        let client = ["192.0.2.0/24".parse().expect("a network")].into_iter().collect();
        [
            ("client", Condition { client, ..Condition::default() }),
            ("client_name", Condition { client_name: names("mail.example"), ..Condition::default() }),
            ("helo", Condition { helo: names("mail.example"), ..Condition::default() }),
            ("sender", senders("a@mail.example")),
            ("recipient", Condition { recipient: senders("b@mail.example").sender, ..Condition::default() }),
            ("session", session(&[Class::Login])),
        ]
    }

    fn session(classes: &[Class]) -> Condition {
        Condition { session: classes.iter().copied().collect(), ..Condition::default() }
    }

    #[test]
    fn what_of_a_condition_does_not_fit_is_told() {
        let name = |name| Domain::from_setting(name).ok();
        let fitting = Facts {
            client: Some([192, 0, 2, 1].into()),
            client_name: name("mx.mail.example"),
            helo: name("mail.example"),
            recipient: Mailbox::parse(b"<b@mail.example>"),
            session: Some(Class::Login),
            ..facts("<a@mail.example>")
        };
        let other = Facts {
            client: Some([198, 51, 100, 1].into()),
            client_name: name("clean.example"),
            helo: name("example"),
            recipient: Mailbox::parse(b"<a@mail.example>"),
            session: Some(Class::Inbound),
            ..facts("<b@mail.example>")
        };
        for (part, condition) in parts() {
            assert!(condition.is_met(&fitting), "{part}");
            for facts in [&other, &Facts::default()] {
                assert_eq!(condition.unmet(facts).collect::<Vec<_>>(), [part]);
            }
        }
    }

    #[test]
    fn a_condition_is_ripe_when_the_session_cannot_change_it_any_more() {
        let stages = [Stage::Connect, Stage::Connect, Stage::Helo, Stage::Mail, Stage::Rcpt, Stage::Mail];
        assert_eq!(parts().map(|(_, condition)| condition.ripe()), stages);
        // A client may log in until MAIL.
        for (classes, stage) in [
            (&[][..], Stage::Connect),
            (&[Class::Inbound], Stage::Mail),
            (&[Class::Inbound, Class::Submission], Stage::Mail),
            (&Class::ALL, Stage::Connect),
        ] {
            assert_eq!(session(classes).ripe(), stage, "{classes:?}");
        }
    }

    #[test]
    fn what_a_stranger_can_write_at_will_is_no_proof() {
        let strangers = ["helo", "sender"];
        for (part, condition) in parts() {
            assert_eq!(condition.is_proof(), !strangers.contains(&part), "{part}");
        }
        assert!(!Condition::default().is_proof());
        assert!(session(&[Class::Submission, Class::Login]).is_proof());
        assert!(
            !session(&[Class::Inbound]).is_proof() && !session(&[Class::Login, Class::Inbound]).is_proof()
        );
    }

    #[test]
    fn a_rule_rests_on_proof_if_the_condition_that_is_met_does() {
        let mut rule = Rule::new("r", Trigger::Met, Effect::default());
        let [(_, client), .., (_, sender), _, _] = parts();
        rule.when = vec![sender.clone()];
        let written = facts("<a@mail.example>");
        let known = Facts { client: Some([192, 0, 2, 1].into()), ..written.clone() };
        assert!(!rule.may_rest_on_proof() && !rule.has_proof(&known));
        rule.when.push(client);
        assert!(rule.may_rest_on_proof() && !rule.rests_on_proof());
        assert!(rule.has_proof(&known) && !rule.has_proof(&written));
    }

    #[test]
    fn a_rule_looks_at_its_own_list_and_identities() {
        let found = |list, identity, outcome| {
            let (subject, origin, waited) = ("x".into(), Origin::Miss, Duration::ZERO);
            Finding { list, identity, subject, trimmed: 0, outcome, text: None, origin, waited }
        };
        let identities = [Identity::Client].into_iter().collect();
        let lists = vec![(List::ZEN, Codes::of(0, [2]))];
        let listed = Rule::new("r", Trigger::Listed { lists, identities }, Effect::default());
        let trouble = Rule::new("r", Trigger::Trouble(List::ZEN), Effect::default());
        let (timeout, misuse) = (Outcome::Unknown(Trouble::Timeout), Outcome::Unknown(Trouble::Misuse));
        let hit = |code| Outcome::Hit(Codes::of(0, [code]));
        for (list, identity, outcome, [fires, is_missed, fires_for_trouble]) in [
            (List::ZEN, Identity::Client, hit(2), [true, false, false]),
            (List::ZEN, Identity::Client, hit(3), [false; 3]),
            (List::ZEN, Identity::Helo, hit(2), [false; 3]),
            (List::AUTHBL, Identity::Client, hit(2), [false; 3]),
            (List::ZEN, Identity::Client, timeout, [false, true, true]),
            (List::ZEN, Identity::Helo, timeout, [false, false, true]),
            (List::AUTHBL, Identity::Client, timeout, [false; 3]),
            // The list has nothing of the kind.
            (List::ZEN, Identity::Client, misuse, [false; 3]),
            (List::ZEN, Identity::Client, Outcome::Clear, [false; 3]),
        ] {
            let finding = found(list, identity, outcome);
            let told =
                [listed.is_fired_by(&finding), listed.is_missed_by(&finding), trouble.is_fired_by(&finding)];
            assert_eq!(told, [fires, is_missed, fires_for_trouble], "{finding:?}");
        }
    }

    #[test]
    fn a_rule_is_ripe_when_all_that_it_looks_at_is_known() {
        let mut rule = Rule::new("r", Trigger::Met, Effect::default());
        assert_eq!(rule.ripe(), Stage::Connect);
        rule.when = vec![senders("spam.example")];
        assert_eq!(rule.ripe(), Stage::Mail);
        let recipient = [MailboxPattern::parse("abuse@").expect("an entry")].into_iter().collect();
        rule.unless = vec![Condition { recipient, ..Condition::default() }];
        assert_eq!(rule.ripe(), Stage::Rcpt);
    }
}
