//! What replies say.

use super::*;
use crate::smtp::{Recipient, Transaction};

fn template(text: &str) -> Template {
    Template::parse(text).expect("a reply")
}

fn dialog(sender: &[u8]) -> Dialog {
    let recipients = [&b"<first@mail.example>"[..], b"<b@mail.example>"];
    let recipients =
        recipients.map(|address| Recipient { address: address.to_vec(), ..Recipient::default() });
    let (sender, recipients) = (sender.to_vec(), recipients.to_vec());
    let mut dialog = Dialog {
        client: Client::Ip([192, 0, 2, 7].into()),
        transaction: Some(Transaction { sender, recipients, ..Transaction::default() }),
        ..Dialog::default()
    };
    dialog.macros.store(b'C', b"j\0mx.mail.example\0", 100);
    dialog
}

#[test]
fn a_reply_can_mention_everything_that_led_to_it() {
    let text = Variable::ALL.map(|variable| format!("{0}={{{0}}}", variable.name())).join(" ");
    let reply = Some(template(&format!("550 5.7.1 {text}")));
    let rule = Rule::new("zen", of(List::ZEN), Effect { reply, weight: 3, ..doing(Act::Refuse) });
    let mut listed = hit(List::ZEN, Identity::Client, &[4, 10]);
    (listed.subject, listed.text) = ("192.0.2.7".into(), Some("see there".into()));
    let policy = with(vec![rule], &[]);
    for (stage, recipient) in [(Stage::Mail, ""), (Stage::Rcpt, "b@mail.example")] {
        let judgement = policy.decide([&listed], stage, Facts::default, &dialog(b"<a@clean.example>"));
        let reply = judgement.cause.and_then(|cause| cause.reply).expect("a reply").to_string();
        let expected = format!(
            "550 5.7.1 ip=192.0.2.7 domain=192.0.2.7 zone=ZEN list=XBL code=127.0.0.4,127.0.0.10 stage={} \
             host=mx.mail.example rule=zen score=3 text=see there sender=a@clean.example recipient={recipient}",
            stage.name(),
        );
        assert_eq!(reply, expected.trim_end());
    }
}

#[test]
fn an_address_in_a_reply_is_as_long_as_smtp_has_them() {
    let said = |sender: &str| {
        let reply =
            policy().words(&template("550 5.7.1 {sender}"), "r", Stage::Mail, &dialog(sender.as_bytes()));
        reply.lines().collect::<String>()
    };
    let of = |octets: usize| format!("{}@mail.example", "x".repeat(octets - "@mail.example".len()));
    let longest = of(256);
    assert_eq!(said(&format!("<{longest}>")), longest);
    let cut = said(&format!("<{}>", of(257)));
    assert_eq!((cut.len(), cut.strip_suffix("...").map(|kept| of(257).starts_with(kept))), (256, Some(true)));
    assert_eq!(said("<>"), "<>");
}

#[test]
fn a_reply_names_the_part_of_the_list_that_refuses() {
    let only = |list, code: u8, act| listed("r", list, Codes::of(0, [code]), act);
    let of_senders = || {
        let lists = vec![(List::ZEN, Codes::of(0, [2]))];
        let identities = [Identity::Sender].into_iter().collect();
        Rule::new("r", Trigger::Listed { lists, identities }, doing(Act::Refuse))
    };
    let found = hit(List::ZEN, Identity::Client, &[2, 4]);
    for (others, part) in [
        (vec![only(List::ZEN, 2, Act::Tag)], "XBL"),
        (vec![only(List::AUTHBL, 2, Act::Refuse)], "XBL"),
        (vec![of_senders()], "XBL"),
        (vec![only(List::ZEN, 2, Act::Defer)], "SBL"),
    ] {
        let rules = others.into_iter().chain([only(List::ZEN, 4, Act::Refuse)]).collect();
        assert_eq!(with(rules, &[]).part(&found), part);
    }
    assert_eq!(with(Vec::new(), &[]).part(&found), "SBL", "the most severe one where none refuses");
}

#[test]
fn a_deferral_for_want_of_friends_speaks_of_trouble_alone() {
    let friends = own("friends", Kind::Address);
    let reply = || Some(template("554 5.7.1 {score} is too much"));
    let trouble = "451 4.7.1 Temporary lookup failure, try again later";
    let by_rule = |reply| {
        let zen = Rule::new("zen", of(List::ZEN), Effect { reply, ..doing(Act::Refuse) });
        with(vec![zen, letting_in(of(friends), Spares::All)], &[])
    };
    let by_score = |act, reply| {
        let rules = vec![counting("zen", List::ZEN, 4), counting("good", friends, -4)];
        let score = Score { thresholds: vec![(4, act)], reply, tag: None };
        Policy::new(rules, score, Replies::new(ReplyStyle::Own))
    };
    let several = "5.7.1 Client host [192.0.2.7] blocked by several lists";
    let findings = [hit(List::ZEN, Identity::Client, &[4]), unknown(friends, Identity::Client)];
    for (policy, sure) in [
        (by_rule(reply()), "554 5.7.1 0 is too much".to_owned()),
        (by_score(Act::Refuse, reply()), "554 5.7.1 4 is too much".to_owned()),
        (by_score(Act::Refuse, None), format!("550 {several}")),
    ] {
        assert_eq!(said(&policy, &findings[..1]), Some(sure));
        assert_eq!(said(&policy, &findings).as_deref(), Some(trouble));
    }
    // What is a deferral anyhow has its own words.
    let deferring = by_score(Act::Defer, None);
    assert_eq!(said(&deferring, &findings), Some(format!("450 {}", several.replacen('5', "4", 1))));
    assert_eq!(said(&deferring, &findings), said(&deferring, &findings[..1]));
}
