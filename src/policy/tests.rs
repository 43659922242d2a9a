mod friends;
mod weighing;
mod words;

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

/// What fires by whatever a list has.
fn of(list: List) -> Trigger {
    Trigger::Listed { lists: vec![(list, list.all_codes())], identities: Identities::ALL }
}

fn counting(name: &str, list: List, weight: i32) -> Rule {
    Rule::new(name, of(list), Effect { weight, ..Effect::default() })
}

fn unknown(list: List, identity: Identity) -> Finding {
    finding(list, identity, "192.0.2.7", Outcome::Unknown(Trouble::Timeout))
}

/// A rule that rests on its conditions alone.
fn met(name: &str, when: Condition, effect: Effect) -> Rule {
    Rule { when: vec![when], ..Rule::new(name, Trigger::Met, effect) }
}

fn from_sender(entry: &str) -> Condition {
    let sender = [MailboxPattern::parse(entry).expect("an entry")].into_iter().collect();
    Condition { sender, ..Condition::default() }
}

fn from_client(network: &str) -> Condition {
    let client = [network.parse().expect("a network")].into_iter().collect();
    Condition { client, ..Condition::default() }
}

fn doing(act: Act) -> Effect {
    Effect { act: Some(act), ..Effect::default() }
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
fn a_rule_of_conditions_alone_needs_no_finding() {
    let recipient = [MailboxPattern::parse("trap@spam.example").expect("an entry")].into_iter().collect();
    let reply = Some(Template::parse("550 5.1.1 no such user ({rule})").expect("a reply"));
    let effect = Effect { reply, ..doing(Act::Refuse) };
    let policy = with(vec![met("trap", Condition { recipient, ..Condition::default() }, effect)], &[]);
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

#[test]
fn a_policy_tells_beforehand_what_it_looks_at_and_what_it_may_do() {
    let shadow =
        Rule { mode: Mode::Shadow, ..listed("later", List::DBL, List::DBL.all_codes(), Act::Discard) };
    let tag = |text| Some(Tag::parse(text).expect("a field"));
    let own = Effect { tag: tag("X-Own: {list}"), ..doing(Act::Tag) };
    let rules = vec![
        listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse),
        shadow,
        Rule::new("own", of(List::ZRD), own),
        listed("built-in", List::ZRD, List::ZRD.all_codes(), Act::Tag),
        counting("counts", List::DBL, 3),
    ];
    let thresholds = vec![(3, Act::Tag), (6, Act::Quarantine), (9, Act::Discard)];
    let score = Score { thresholds, tag: tag("X-Score: {score}"), ..Score::default() };
    let policy = Policy::new(rules.clone(), score.clone(), Replies::new(ReplyStyle::Own));
    assert_eq!((policy.rules(), policy.score()), (&*rules, &score));
    let acts: Vec<_> = policy.acts().collect();
    assert_eq!(acts, [Act::Refuse, Act::Tag, Act::Tag, Act::Tag, Act::Quarantine, Act::Discard]);
    let fields: Vec<_> = policy.tags().map(HeaderName::as_str).collect();
    assert_eq!(fields, ["X-Own", "X-Gatepost", "X-Score"]);
    assert!(!policy.has_conditions() && !policy.looks_at_recipients() && !policy.is_observing());
    let of_senders = with(vec![met("r", from_sender("mail.example"), doing(Act::Log))], &[]);
    assert!(of_senders.has_conditions() && !of_senders.looks_at_recipients());
    assert!(of_senders.observing(true).is_observing());
}
