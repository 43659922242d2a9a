//! How rules stand to each other: which one leaves another nothing to do.
//!
//! Tells only what is sure from the rules alone, for every session and whatever lists say.

use super::{Condition, Mode, Rule, Spares, Trigger};
use crate::verdict::{Act, Class, Classes, Identity};

impl Condition {
    /// Whether everybody who meets it meets `other`, too.
    pub fn is_within(&self, other: &Self) -> bool {
        // What `other` does not ask for is met; what it does, this one must ask for as closely.
        let client = self.client.is_within(&other.client) && !self.client.is_empty();
        let client_name = self.client_name.is_below(&other.client_name) && !self.client_name.is_empty();
        let helo = self.helo.is_below(&other.helo) && !self.helo.is_empty();
        let sender = self.sender.is_within(&other.sender) && !self.sender.is_empty();
        let recipient = self.recipient.is_within(&other.recipient) && !self.recipient.is_empty();
        (other.client.is_empty() || client)
            && (other.client_name.is_empty() || client_name)
            && (other.helo.is_empty() || helo)
            && (other.sender.is_empty() || sender)
            && (other.recipient.is_empty() || recipient)
            && self.classes().iter().all(|class| other.classes().contains(class))
    }

    /// The classes of sessions that can meet it.
    fn classes(&self) -> Classes {
        if self.session.is_empty() { Class::ALL.into_iter().collect() } else { self.session }
    }

    /// Whether it asks for a class of sessions and nothing else.
    fn is_of_session_only(&self) -> bool {
        *self == Self { session: self.session, ..Self::default() }
    }
}

/// Whether each of these is within one of the wider ones.
fn are_within(these: &[Condition], wider: &[Condition]) -> bool {
    these.iter().all(|condition| wider.iter().any(|other| condition.is_within(other)))
}

impl Rule {
    /// Whether nobody can meet its conditions: `unless` takes out all that `when` lets in.
    pub fn is_for_nobody(&self) -> bool {
        match &*self.when {
            [] => are_within(&[Condition::default()], &self.unless) || self.classes().is_empty(),
            when => are_within(when, &self.unless) || self.classes().is_empty(),
        }
    }

    /// The classes of sessions in which its conditions can be met.
    pub fn classes(&self) -> Classes {
        let wanted = |class: &Class| {
            self.when.is_empty() || self.when.iter().any(|condition| condition.classes().contains(*class))
        };
        let unwanted = |class: &Class| {
            let only = self.unless.iter().filter(|condition| condition.is_of_session_only());
            only.into_iter().any(|condition| condition.session.contains(*class))
        };
        Class::ALL.into_iter().filter(|class| wanted(class) && !unwanted(class)).collect()
    }

    /// Whether it fires whenever `other` does, at the same stage at the latest, and by the same finding if both are
    /// about lists.
    pub fn fires_with(&self, other: &Self) -> bool {
        let triggered = match (&self.trigger, &other.trigger) {
            (Trigger::Met, _) => true,
            (
                Trigger::Listed { lists, identities },
                Trigger::Listed { lists: theirs, identities: their_identities },
            ) => {
                their_identities.iter().all(|identity| identities.contains(identity))
                    && theirs.iter().all(|(list, codes)| {
                        lists.iter().any(|(own, wanted)| own == list && codes.without(*wanted).is_empty())
                    })
            }
            (mine, theirs) => mine == theirs,
        };
        let holds = self.when.is_empty() || (!other.when.is_empty() && are_within(&other.when, &self.when));
        triggered && holds && are_within(&self.unless, &other.unless) && self.ripe() <= other.ripe()
    }

    /// Whether it lets mail in, and so keeps `other` from ever doing anything.
    pub fn always_spares(&self, other: &Self) -> bool {
        let is_spared = match (&self.effect.spares, &other.trigger) {
            (Some(Spares::All), _) => true,
            (Some(Spares::Lists(spared)), Trigger::Listed { lists, .. }) => {
                lists.iter().all(|(list, _)| spared.contains(list))
            }
            (Some(Spares::Lists(spared)), Trigger::Trouble(list)) => spared.contains(list),
            (Some(Spares::Lists(_)), Trigger::Met) | (None, _) => false,
        };
        // As `spares` has it: whoever rests on no proof is spared less.
        let is_covered = || match &other.trigger {
            Trigger::Met => !other.may_rest_on_proof(),
            Trigger::Trouble(_) => false,
            Trigger::Listed { identities, .. } => identities.iter().all(|identity| match identity {
                Identity::Helo | Identity::Sender => true,
                Identity::Client | Identity::Recipient => self.trigger != Trigger::Met,
                Identity::ClientName => false,
            }),
        };
        is_spared
            && self.mode == Mode::Enforce
            && self.fires_with(other)
            && (self.rests_on_proof() || is_covered())
    }

    /// Whether both let mail in, and this one wherever `other` does.
    pub fn lets_in_all_of(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (&self.effect.spares, &other.effect.spares) else { return false };
        let is_as_wide = match (mine, theirs) {
            (Spares::All, _) => true,
            (Spares::Lists(mine), Spares::Lists(theirs)) => theirs.iter().all(|list| mine.contains(list)),
            (Spares::Lists(_), Spares::All) => false,
        };
        let rests_as_well = self.rests_on_proof()
            || (!other.may_rest_on_proof()
                && (other.trigger == Trigger::Met || self.trigger != Trigger::Met));
        is_as_wide && rests_as_well && self.mode == Mode::Enforce && self.fires_with(other)
    }

    /// Whether it does as much at least as `other` about the same finding in the same sessions, so that `other` never
    /// decides. `self` is the `earlier` one or not: of two that do the same the earlier one gives the reason.
    pub fn outdoes(&self, other: &Self, earlier: bool) -> bool {
        let (Some(mine), Some(theirs)) = (self.effect.act, other.effect.act) else { return false };
        // Two tags are two header fields, and two lines of the log do no harm.
        let stronger = mine > theirs && mine >= Act::Defer;
        let same = mine == theirs && earlier && !matches!(mine, Act::Tag | Act::Log);
        let same_trigger = match (&self.trigger, &other.trigger) {
            (Trigger::Listed { .. }, Trigger::Listed { .. }) => true,
            // Who rests on less might be spared where the other one is not.
            (mine, theirs) => mine == theirs && other.fires_with(self),
        };
        (stronger || same)
            && other.effect.weight == 0
            && same_trigger
            && self.mode == Mode::Enforce
            && self.fires_with(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::MailboxPattern;
    use crate::policy::Effect;
    use crate::smtp::Domain;
    use crate::verdict::{Codes, Identities, List};

    fn client(network: &str) -> Condition {
        Condition {
            client: [network.parse().expect("a network")].into_iter().collect(),
            ..Condition::default()
        }
    }

    fn sender(entry: &str) -> Condition {
        Condition {
            sender: [MailboxPattern::parse(entry).expect("an entry")].into_iter().collect(),
            ..Condition::default()
        }
    }

    fn session(classes: &[Class]) -> Condition {
        Condition { session: classes.iter().copied().collect(), ..Condition::default() }
    }

    fn met(when: Condition, effect: Effect) -> Rule {
        Rule { when: vec![when], ..Rule::new("r", Trigger::Met, effect) }
    }

    fn zen(codes: &[u8], identities: &[Identity], effect: Effect) -> Rule {
        let lists = vec![(List::ZEN, Codes::of(0, codes.iter().copied()))];
        let identities: Identities = identities.iter().copied().collect();
        Rule::new("r", Trigger::Listed { lists, identities }, effect)
    }

    fn act(act: Act) -> Effect {
        Effect { act: Some(act), ..Effect::default() }
    }

    fn allow() -> Effect {
        Effect { spares: Some(Spares::All), ..Effect::default() }
    }

    #[test]
    fn a_condition_is_within_one_that_asks_for_less() {
        let both = Condition { client: client("192.0.2.0/25").client, ..sender("a@mail.example") };
        for other in [client("192.0.2.0/24"), sender("mail.example"), Condition::default()] {
            assert!(both.is_within(&other), "{other:?}");
            assert!(!other.is_within(&both), "{other:?}");
        }
        assert!(!client("192.0.2.0/24").is_within(&client("192.0.2.0/25")));
        assert!(session(&[Class::Login]).is_within(&session(&[Class::Login, Class::Inbound])));
        assert!(!Condition::default().is_within(&session(&[Class::Login])));
        assert!(Condition::default().is_within(&session(&Class::ALL)), "everybody is of some class");
    }

    #[test]
    fn each_part_of_a_condition_is_within_what_is_as_wide() {
        let names = |name| [Domain::from_setting(name).expect("a name")].into_iter().collect();
        let client_name = |name| Condition { client_name: names(name), ..Condition::default() };
        let helo = |name| Condition { helo: names(name), ..Condition::default() };
        let recipient = |entry| Condition { recipient: sender(entry).sender, ..Condition::default() };
        for (narrow, wide) in [
            (client("192.0.2.0/25"), client("192.0.2.0/24")),
            (client_name("mx.mail.example"), client_name("mail.example")),
            (helo("mx.mail.example"), helo("mail.example")),
            (sender("a@mail.example"), sender("mail.example")),
            (recipient("a@mail.example"), recipient("mail.example")),
        ] {
            assert!(narrow.is_within(&wide) && wide.is_within(&wide), "{narrow:?}");
            assert!(!wide.is_within(&narrow), "{wide:?}");
            assert!(!Condition::default().is_within(&wide), "nothing is asked of everybody: {wide:?}");
        }
    }

    #[test]
    fn a_rule_is_for_nobody_if_unless_takes_all_out() {
        let mut rule = met(client("192.0.2.0/25"), act(Act::Tag));
        assert!(!rule.is_for_nobody());
        rule.unless = vec![client("192.0.2.0/24")];
        assert!(rule.is_for_nobody());
        rule.when.push(sender("a@mail.example"));
        assert!(!rule.is_for_nobody(), "one of them is left");
        rule.when = vec![session(&[Class::Login])];
        rule.unless = vec![session(&[Class::Login, Class::Submission])];
        assert!(rule.is_for_nobody());
        rule.when = vec![session(&[Class::Login, Class::Inbound])];
        assert_eq!(rule.classes(), [Class::Inbound].into_iter().collect());
        rule.unless = vec![Condition { sender: sender("mail.example").sender, ..session(&[Class::Login]) }];
        assert!(rule.classes().contains(Class::Login), "other senders log in, too");
        rule.when = Vec::new();
        for (unless, nobody) in [
            (vec![], false),
            (Class::ALL[1..].iter().map(|class| session(&[*class])).collect(), false),
            (Class::ALL.iter().map(|class| session(&[*class])).collect(), true),
            (vec![Condition::default()], true),
        ] {
            rule.unless = unless;
            assert_eq!(rule.is_for_nobody(), nobody, "{:?}", rule.unless);
        }
    }

    #[test]
    fn trouble_with_one_list_is_no_trouble_with_another() {
        let trouble = |list| Rule::new("r", Trigger::Trouble(list), act(Act::Defer));
        assert!(trouble(List::ZEN).fires_with(&trouble(List::ZEN)));
        assert!(!trouble(List::ZEN).fires_with(&trouble(List::DBL)));
    }

    #[test]
    fn a_friend_leaves_a_refusal_nothing_to_do_only_where_it_always_spares() {
        let refuse = met(client("192.0.2.0/25"), act(Act::Refuse));
        assert!(met(client("192.0.2.0/24"), allow()).always_spares(&refuse));
        assert!(!met(client("192.0.2.0/26"), allow()).always_spares(&refuse), "some are left");
        let shadow = Rule { mode: Mode::Shadow, ..met(client("192.0.2.0/24"), allow()) };
        assert!(!shadow.always_spares(&refuse));
        // A sender is anybody's to write: the address is not spared for it.
        let mut listed = zen(&[2], &[Identity::Client], act(Act::Refuse));
        listed.when = vec![sender("mail.example")];
        assert!(!met(sender("mail.example"), allow()).always_spares(&listed));
        assert!(zen(&[2, 3], &[Identity::Client], allow()).always_spares(&listed));
        assert!(!zen(&[3], &[Identity::Client], allow()).always_spares(&listed));
        let dbl = Effect { spares: Some(Spares::Lists(vec![List::DBL])), ..Effect::default() };
        assert!(!zen(&[2], &[Identity::Client], dbl).always_spares(&listed));
        // But what somebody writes is spared what is refused for it alone.
        let written = met(sender("a@mail.example"), act(Act::Refuse));
        assert!(met(sender("mail.example"), allow()).always_spares(&written));
        let both = Condition { client: client("192.0.2.1/32").client, ..sender("a@mail.example") };
        assert!(!met(sender("mail.example"), allow()).always_spares(&met(both, act(Act::Refuse))));
    }

    #[test]
    fn a_friend_of_more_replaces_one_of_less() {
        let wide = met(client("192.0.2.0/24"), allow());
        let narrow = met(client("192.0.2.1/32"), allow());
        assert!(wide.lets_in_all_of(&narrow) && !narrow.lets_in_all_of(&wide));
        let of_one = Effect { spares: Some(Spares::Lists(vec![List::ZEN])), ..Effect::default() };
        assert!(!met(client("192.0.2.0/24"), of_one).lets_in_all_of(&narrow), "it spares less");
        let claimed = met(sender(".example"), allow());
        let both = met(Condition { client: client("192.0.2.1/32").client, ..sender("a.example") }, allow());
        assert!(!claimed.lets_in_all_of(&both), "and rests on less");
        let of_list = |entry| Rule { when: vec![sender(entry)], ..zen(&[2], &[Identity::Client], allow()) };
        assert!(
            claimed.lets_in_all_of(&met(sender("a.example"), allow())),
            "both rest on what anybody writes"
        );
        assert!(of_list(".example").lets_in_all_of(&of_list("a.example")), "both rest on a list");
        assert!(!claimed.lets_in_all_of(&of_list("a.example")), "a listed address is more than a sender");
    }

    #[test]
    fn the_stronger_of_two_about_the_same_decides() {
        let all = zen(&[2, 3], &[Identity::Client], act(Act::Refuse));
        let some = zen(&[2], &[Identity::Client], act(Act::Quarantine));
        assert!(all.outdoes(&some, false) && !some.outdoes(&all, true));
        let held = zen(&[2, 3], &[Identity::Client], act(Act::Quarantine));
        let tag = zen(&[2], &[Identity::Client], act(Act::Tag));
        assert!(!held.outdoes(&tag, true), "the message is held, and has the field");
        assert!(held.outdoes(&some, true) && !held.outdoes(&some, false));
        let counts = zen(&[2], &[Identity::Client], Effect { weight: 3, ..act(Act::Tag) });
        assert!(!all.outdoes(&counts, true), "it counts");
        let later = Rule { unless: vec![sender("a@mail.example")], ..all.clone() };
        assert!(!later.outdoes(&some, true), "not for all of them");
        assert!(all.outdoes(&all, true) && !all.outdoes(&all, false), "the earlier one gives the reason");
        let shadow = Rule { mode: Mode::Shadow, ..all.clone() };
        assert!(!shadow.outdoes(&some, true));
        let (wide, narrow) = (client("192.0.2.0/24"), client("192.0.2.0/25"));
        let refuse = |when: &Condition| met(when.clone(), act(Act::Refuse));
        assert!(refuse(&wide).outdoes(&refuse(&wide), true));
        assert!(!refuse(&wide).outdoes(&refuse(&narrow), true), "its conditions might be spared more");
        assert!(
            !refuse(&wide).outdoes(&Rule { when: vec![wide], ..all }, true),
            "of conditions, and of a list"
        );
    }
}
