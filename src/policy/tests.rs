use super::*;
use crate::list::MailboxPattern;
use crate::smtp::{Client, Mailbox};
use crate::verdict::{Home, Identities, Identity, Kind, List, Origin, Sketch, Trouble};
use std::time::Duration;

/// The three checks as they come, with what can be set of them.
struct Usual {
    zen: Codes,
    zrd: Act,
    on_trouble: OnTrouble,
}

impl Usual {
    const fn new() -> Self {
        Self { zen: Codes::none(0), zrd: Act::Refuse, on_trouble: OnTrouble::LetIn }
    }

    fn policy(&self) -> Policy {
        let zen = if self.zen.is_empty() { Codes::of(0, [2, 3, 4, 9, 10, 11]) } else { self.zen };
        let mut rules = vec![
            listed("zen", List::ZEN, zen, Act::Refuse),
            listed("dbl", List::DBL, Codes::of(1, 2..=99), Act::Refuse),
            listed("zrd", List::ZRD, Codes::of(2, 2..=24), self.zrd),
        ];
        if self.on_trouble == OnTrouble::Defer {
            let effect = || Effect { act: Some(Act::Defer), ..Effect::default() };
            rules.extend(List::DQS.map(|list| Rule::new("trouble", Trigger::Trouble(list), effect())));
        }
        Policy::new(rules, Score::default(), Replies::new(ReplyStyle::Own))
    }
}

fn listed(name: &str, list: List, codes: Codes, act: Act) -> Rule {
    let trigger = Trigger::Listed { lists: vec![(list, codes)], identities: Identities::ALL };
    Rule::new(name, trigger, Effect { act: Some(act), ..Effect::default() })
}

fn policy() -> Policy {
    Usual::new().policy()
}

fn finding(list: List, identity: Identity, subject: &str, outcome: Outcome) -> Finding {
    let (origin, waited) = (Origin::Miss, Duration::ZERO);
    Finding { list, identity, subject: subject.into(), trimmed: 0, outcome, text: None, origin, waited }
}

fn hit(list: List, identity: Identity, codes: &[u8]) -> Finding {
    let codes = Codes::of(list.no_codes().group(), codes.iter().copied());
    finding(list, identity, "spam.example", Outcome::Hit(codes))
}

fn said(policy: &Policy, findings: &[Finding]) -> Option<String> {
    let dialog = Dialog { client: Client::Ip([192, 0, 2, 7].into()), ..Dialog::default() };
    let cause = policy.decide(findings, Stage::Mail, Facts::default, &dialog).cause?;
    assert!(cause.act >= Act::Defer, "{cause:?}");
    cause.reply.map(|reply| reply.to_string())
}

// case: Z01, Z02, Z03, Z04
#[test]
fn zen_refuses_by_the_codes_of_the_administrator() {
    let policy = policy();
    for code in [2, 3, 4, 9, 10, 11] {
        assert!(said(&policy, &[hit(List::ZEN, Identity::Client, &[code])]).is_some(), "{code}");
    }
    for code in [5, 6, 7, 30] {
        let noted = [hit(List::ZEN, Identity::Client, &[code])];
        assert_eq!(said(&policy, &noted), None, "{code}");
        let stricter = Usual { zen: Codes::of(0, [2, code]), ..Usual::new() }.policy();
        assert!(said(&stricter, &noted).is_some(), "{code}");
    }
    let only = |codes: &[u8]| Usual { zen: Codes::of(0, codes.iter().copied()), ..Usual::new() }.policy();
    assert!(said(&only(&[4]), &[hit(List::ZEN, Identity::Client, &[10, 4, 3])]).is_some());
    assert_eq!(said(&only(&[2, 3, 4, 9]), &[hit(List::ZEN, Identity::Client, &[10])]), None);
}

// case: Z05, Z06, Z08, H12
#[test]
fn dbl_refuses_the_bad_and_spares_the_abused() {
    let policy = policy();
    for code in [2, 4, 5, 6, 99] {
        assert!(said(&policy, &[hit(List::DBL, Identity::Sender, &[code])]).is_some(), "{code}");
    }
    for code in [100, 101, 102, 103, 104, 105, 106, 199, 254] {
        assert_eq!(said(&policy, &[hit(List::DBL, Identity::Helo, &[code])]), None, "{code}");
    }
    for code in [2, 24] {
        assert!(said(&policy, &[hit(List::ZRD, Identity::Sender, &[code])]).is_some(), "{code}");
    }
}

// case: Z18, R01, R02, R03
#[test]
fn there_is_one_reply_and_the_first_of_the_strongest_reasons_gives_it() {
    let policy = policy();
    let both = [hit(List::DBL, Identity::Sender, &[4]), hit(List::ZRD, Identity::Sender, &[2])];
    let dbl = "550 5.7.1 Sender domain spam.example blocked by Spamhaus DBL; \
               see https://check.spamhaus.org/query/domain/spam.example";
    assert_eq!(said(&policy, &both).as_deref(), Some(dbl));
    let zrd = "550 5.7.1 Sender domain spam.example is newly observed (no reputation yet); \
               try again after 24 hours";
    assert_eq!(said(&policy, &both[1..]).as_deref(), Some(zrd));
    let policy = Usual { zrd: Act::Defer, ..Usual::new() }.policy();
    let deferred = zrd.replacen("550 5.7.1", "450 4.7.1", 1);
    assert_eq!(said(&policy, &both[1..]).as_deref(), Some(&*deferred));
    let helo_young = hit(List::ZRD, Identity::Helo, &[2]);
    assert_eq!(said(&policy, &[helo_young, both[0].clone()]).as_deref(), Some(dbl), "refusing is stronger");
    let mut client = hit(List::ZEN, Identity::Client, &[10, 4]);
    client.subject = "192.0.2.7".into();
    let zen = "554 5.7.1 Client host [192.0.2.7] blocked by Spamhaus XBL; \
               see https://check.spamhaus.org/query/ip/192.0.2.7";
    assert_eq!(said(&policy, &[client, both[0].clone()]).as_deref(), Some(zen));
}

#[test]
fn trouble_lets_mail_in_unless_the_administrator_wants_otherwise() {
    let transport =
        [Trouble::Timeout, Trouble::ServFail, Trouble::Refused, Trouble::Network, Trouble::Resting];
    let operator = [Trouble::Service(250), Trouble::Bogus, Trouble::Misuse, Trouble::NoKey];
    for trouble in transport.into_iter().chain(operator) {
        let unknown = finding(List::ZEN, Identity::Client, "192.0.2.7", Outcome::Unknown(trouble));
        assert_eq!(said(&policy(), std::slice::from_ref(&unknown)), None);
        let deferring = Usual { on_trouble: OnTrouble::Defer, ..Usual::new() }.policy();
        let reply = said(&deferring, std::slice::from_ref(&unknown));
        if transport.contains(&trouble) {
            assert_eq!(reply.as_deref(), Some("451 4.7.1 Temporary lookup failure, try again later"));
        } else {
            assert_eq!(reply, None, "{trouble:?} is the operator's business");
        }
    }
}

/// A list of the administrator's.
fn own(name: &'static str, kind: Kind) -> List {
    let sketch = Sketch {
        name: name.to_owned(),
        title: name.to_owned(),
        kind,
        home: Home::Zone { apex: "list.example".to_owned(), keyed: false },
        answers: Vec::new(),
        refusals: Vec::new(),
        test: None,
    };
    List::define(sketch).expect("room")
}

fn with(rules: Vec<Rule>, thresholds: &[(i32, Act)]) -> Policy {
    let score = Score { thresholds: thresholds.to_vec(), ..Score::default() };
    Policy::new(rules, score, Replies::new(ReplyStyle::Own))
}

fn letting_in(trigger: Trigger, spares: Spares) -> Rule {
    Rule::new("friends", trigger, Effect { spares: Some(spares), ..Effect::default() })
}

fn judged(policy: &Policy, findings: &[Finding]) -> Judgement {
    policy.decide(findings, Stage::Rcpt, Facts::default, &Dialog::default())
}

fn act(judgement: &Judgement) -> Option<Act> {
    judgement.cause.as_ref().map(|cause| cause.act)
}

#[test]
fn a_list_of_friends_spares_everything_or_certain_lists() {
    let friends = own("friends", Kind::Address);
    let trigger =
        || Trigger::Listed { lists: vec![(friends, friends.all_codes())], identities: Identities::ALL };
    let findings = [
        hit(friends, Identity::Client, &[2]),
        hit(List::ZEN, Identity::Client, &[4]),
        hit(List::DBL, Identity::Sender, &[2]),
    ];
    let rules = |spares| {
        let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
        let dbl = listed("dbl", List::DBL, List::DBL.all_codes(), Act::Defer);
        with(vec![zen, dbl, letting_in(trigger(), spares)], &[])
    };
    assert_eq!(act(&judged(&rules(Spares::All), &findings)), None);
    let some = judged(&rules(Spares::Lists(vec![List::ZEN])), &findings);
    assert_eq!(act(&some), Some(Act::Defer));
    assert_eq!(some.fired.iter().map(|fired| fired.spared_by).collect::<Vec<_>>(), [Some(2), None, None]);
    assert_eq!(act(&judged(&rules(Spares::All), &findings[1..])), Some(Act::Refuse));
}

// A sender's domain is whatever the client writes, and the name of an address whatever its owner wants.
#[test]
fn what_a_stranger_says_of_himself_does_not_spare_his_address() {
    let friends = own("good-names", Kind::Domain);
    let trigger =
        Trigger::Listed { lists: vec![(friends, friends.all_codes())], identities: Identities::ALL };
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let dbl = listed("dbl", List::DBL, List::DBL.all_codes(), Act::Refuse);
    let policy = with(vec![zen, dbl, letting_in(trigger, Spares::All)], &[]);
    for identity in [Identity::Helo, Identity::Sender, Identity::ClientName] {
        let named = hit(friends, identity, &[2]);
        assert_eq!(act(&judged(&policy, &[named.clone(), hit(List::DBL, Identity::Sender, &[2])])), None);
        let listed = [hit(List::ZEN, Identity::Client, &[4]), named];
        assert_eq!(act(&judged(&policy, &listed)), Some(Act::Refuse), "{identity:?}");
        // Nor is there any doubt while such a list cannot be asked.
        let unknown = finding(friends, identity, "spam.example", Outcome::Unknown(Trouble::Timeout));
        let listed = [hit(List::ZEN, Identity::Client, &[4]), unknown];
        assert_eq!(act(&judged(&policy, &listed)), Some(Act::Refuse), "{identity:?}");
    }
}

#[test]
fn what_no_friend_could_prevent_refuses_beside_what_one_could() {
    let friends = own("friends", Kind::Address);
    let trigger =
        Trigger::Listed { lists: vec![(friends, friends.all_codes())], identities: Identities::ALL };
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let dbl = listed("dbl", List::DBL, List::DBL.all_codes(), Act::Refuse);
    let policy = with(vec![zen, dbl, letting_in(trigger, Spares::Lists(vec![List::ZEN]))], &[]);
    let unknown = finding(friends, Identity::Client, "192.0.2.7", Outcome::Unknown(Trouble::Timeout));
    let findings = [hit(List::ZEN, Identity::Client, &[4]), unknown, hit(List::DBL, Identity::Sender, &[2])];
    assert_eq!(act(&judged(&policy, &findings[..2])), Some(Act::Defer));
    let judgement = judged(&policy, &findings);
    assert_eq!(judgement.cause.map(|cause| (cause.act, &*cause.rule == "dbl")), Some((Act::Refuse, true)));
}

#[test]
fn a_shadow_as_strong_as_what_is_done_is_told_if_it_is_another_rule() {
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let mut earlier = listed("earlier", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    earlier.mode = Mode::Shadow;
    let findings = [hit(List::ZEN, Identity::Client, &[4])];
    let judgement = judged(&with(vec![earlier, zen.clone()], &[]), &findings);
    assert_eq!(judgement.shadow.map(|cause| cause.rule.to_string()).as_deref(), Some("earlier"));
    let judgement = judged(&with(vec![zen], &[]), &findings);
    assert_eq!(judgement.shadow, None);
}

#[test]
fn a_refusal_that_a_list_of_friends_might_have_prevented_is_a_deferral() {
    let friends = own("friends", Kind::Address);
    let trigger =
        Trigger::Listed { lists: vec![(friends, friends.all_codes())], identities: Identities::ALL };
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let policy = with(vec![zen, letting_in(trigger, Spares::All)], &[]);
    let listed = hit(List::ZEN, Identity::Client, &[4]);
    for trouble in
        [Trouble::Timeout, Trouble::Declined, Trouble::Service(255), Trouble::Bogus, Trouble::NoKey]
    {
        let unknown = finding(friends, Identity::Client, "192.0.2.7", Outcome::Unknown(trouble));
        assert_eq!(act(&judged(&policy, &[listed.clone(), unknown])), Some(Act::Defer), "{trouble:?}");
    }
}

#[test]
fn the_sum_of_all_that_counts_decides_and_a_rule_counts_once() {
    let friends = own("friends", Kind::Address);
    let counting = |name, list: List, weight| {
        let trigger = Trigger::Listed { lists: vec![(list, list.all_codes())], identities: Identities::ALL };
        Rule::new(name, trigger, Effect { weight, ..Effect::default() })
    };
    let rules =
        vec![counting("zen", List::ZEN, 4), counting("dbl", List::DBL, 3), counting("good", friends, -5)];
    let policy = with(rules, &[(3, Act::Tag), (6, Act::Refuse)]);
    let zen = hit(List::ZEN, Identity::Client, &[4]);
    let helo = hit(List::DBL, Identity::Helo, &[2]);
    let sender = hit(List::DBL, Identity::Sender, &[2]);
    let good = hit(friends, Identity::Client, &[2]);
    for (findings, score, expected) in [
        (vec![zen.clone()], 4, Some(Act::Tag)),
        (vec![helo.clone(), sender], 3, Some(Act::Tag)),
        (vec![zen.clone(), helo.clone()], 7, Some(Act::Refuse)),
        (vec![zen.clone(), helo.clone(), good], 2, None),
    ] {
        let judgement = judged(&policy, &findings);
        assert_eq!((judgement.score, act(&judgement)), (score, expected));
    }
    let unknown = finding(friends, Identity::Client, "192.0.2.7", Outcome::Unknown(Trouble::Timeout));
    let judgement = judged(&policy, &[zen, helo, unknown]);
    assert_eq!(act(&judgement), Some(Act::Defer), "the friends could not be asked");
}

// case: R06
#[test]
fn shadows_and_observers_tell_what_they_would_do_and_do_nothing() {
    let findings = [hit(List::ZEN, Identity::Client, &[4]), hit(List::DBL, Identity::Sender, &[102])];
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let abused = || listed("abused", List::DBL, List::DBL.all_codes(), Act::Tag);
    let mut shadow = zen.clone();
    shadow.mode = Mode::Shadow;
    let judgement = judged(&with(vec![shadow, abused()], &[]), &findings);
    assert_eq!(act(&judgement), Some(Act::Tag));
    assert_eq!(judgement.shadow.map(|cause| (cause.act, cause.reply.is_some())), Some((Act::Refuse, true)));
    assert_eq!(judgement.tags.len(), 1);
    let observing = with(vec![zen, abused()], &[(0, Act::Tag)]).observing(true);
    let judgement = judged(&observing, &findings);
    assert_eq!((act(&judgement), judgement.tags.len()), (None, 0));
    assert_eq!(judgement.shadow.map(|cause| cause.act), Some(Act::Refuse));
    assert_eq!(observing.acts().count(), 0);
}

#[test]
fn a_rule_of_conditions_alone_needs_no_finding() {
    let recipient = [MailboxPattern::parse("trap@spam.example").expect("an entry")].into_iter().collect();
    let effect = Effect {
        act: Some(Act::Refuse),
        reply: Some(Template::parse("550 5.1.1 no such user ({rule})").expect("a reply")),
        ..Effect::default()
    };
    let mut rule = Rule::new("trap", Trigger::Met, effect);
    rule.when = vec![Condition { recipient, ..Condition::default() }];
    let policy = with(vec![rule], &[]);
    assert!(policy.looks_at_recipients() && policy.has_conditions());
    let decide = |stage, recipient: Option<&[u8]>| {
        let facts = Facts { recipient: recipient.and_then(Mailbox::parse), ..Facts::default() };
        let judgement = policy.decide(&[], stage, || facts, &Dialog::default());
        judgement.cause.and_then(|cause| cause.reply).map(|reply| reply.to_string())
    };
    let said = Some("550 5.1.1 no such user (trap)".to_owned());
    assert_eq!(decide(Stage::Rcpt, Some(b"<trap@spam.example>")), said);
    assert_eq!(decide(Stage::Rcpt, Some(b"<other@spam.example>")), None);
    assert_eq!(decide(Stage::Mail, None), None);
}
