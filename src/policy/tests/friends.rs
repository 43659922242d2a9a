//! Who is let in, and what that keeps others from doing.

use super::*;

#[test]
fn a_list_of_friends_spares_everything_or_certain_lists() {
    let friends = own("friends", Kind::Address);
    let findings = [
        hit(friends, Identity::Client, &[2]),
        hit(List::ZEN, Identity::Client, &[4]),
        hit(List::DBL, Identity::Sender, &[2]),
    ];
    let rules = |spares| {
        let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
        let dbl = listed("dbl", List::DBL, List::DBL.all_codes(), Act::Defer);
        with(vec![zen, dbl, letting_in(of(friends), spares)], &[])
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
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let dbl = listed("dbl", List::DBL, List::DBL.all_codes(), Act::Refuse);
    let policy = with(vec![zen, dbl, letting_in(of(friends), Spares::All)], &[]);
    for identity in [Identity::Helo, Identity::Sender, Identity::ClientName] {
        let named = hit(friends, identity, &[2]);
        assert_eq!(act(&judged(&policy, &[named.clone(), hit(List::DBL, Identity::Sender, &[2])])), None);
        let listed = [hit(List::ZEN, Identity::Client, &[4]), named];
        assert_eq!(act(&judged(&policy, &listed)), Some(Act::Refuse), "{identity:?}");
        // Nor is there any doubt while such a list cannot be asked.
        let listed = [hit(List::ZEN, Identity::Client, &[4]), unknown(friends, identity)];
        assert_eq!(act(&judged(&policy, &listed)), Some(Act::Refuse), "{identity:?}");
    }
}

#[test]
fn what_no_friend_could_prevent_refuses_beside_what_one_could() {
    let friends = own("friends", Kind::Address);
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let dbl = listed("dbl", List::DBL, List::DBL.all_codes(), Act::Refuse);
    let policy = with(vec![zen, dbl, letting_in(of(friends), Spares::Lists(vec![List::ZEN]))], &[]);
    let unknown = unknown(friends, Identity::Client);
    let findings = [hit(List::ZEN, Identity::Client, &[4]), unknown, hit(List::DBL, Identity::Sender, &[2])];
    assert_eq!(act(&judged(&policy, &findings[..2])), Some(Act::Defer));
    let judgement = judged(&policy, &findings);
    assert_eq!(judgement.cause.map(|cause| (cause.act, &*cause.rule == "dbl")), Some((Act::Refuse, true)));
}

#[test]
fn a_refusal_that_a_list_of_friends_might_have_prevented_is_a_deferral() {
    let friends = own("friends", Kind::Address);
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let policy = with(vec![zen, letting_in(of(friends), Spares::All)], &[]);
    let listed = hit(List::ZEN, Identity::Client, &[4]);
    for trouble in
        [Trouble::Timeout, Trouble::Declined, Trouble::Service(255), Trouble::Bogus, Trouble::NoKey]
    {
        let unknown = finding(friends, Identity::Client, "192.0.2.7", Outcome::Unknown(trouble));
        assert_eq!(act(&judged(&policy, &[listed.clone(), unknown])), Some(Act::Defer), "{trouble:?}");
    }
}

// The same of a rule: anybody can write any sender.
#[test]
fn who_is_let_in_for_his_sender_is_spared_what_is_found_about_what_he_writes() {
    let friends = |when| met("friends", when, Effect { spares: Some(Spares::All), ..Effect::default() });
    let written = || from_sender("mail.example");
    let refusing = |when| met("refused", when, doing(Act::Refuse));
    let facts = Facts {
        client: Some([192, 0, 2, 7].into()),
        sender: Some(Mailbox::parse(b"<a@mail.example>")),
        ..Facts::default()
    };
    let zen = || listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let dbl = || listed("dbl", List::DBL, List::DBL.all_codes(), Act::Refuse);
    for (friend, rule, is_spared) in [
        (written(), zen(), false),
        (written(), dbl(), true),
        (written(), refusing(written()), true),
        (written(), refusing(from_client("192.0.2.0/24")), false),
        (from_client("192.0.2.7/32"), zen(), true),
        (from_client("192.0.2.7/32"), refusing(from_client("192.0.2.0/24")), true),
    ] {
        let policy = with(vec![rule.clone(), friends(friend.clone())], &[]);
        let findings = [hit(List::ZEN, Identity::Client, &[4]), hit(List::DBL, Identity::Sender, &[2])];
        let judgement = policy.decide(&findings, Stage::Mail, || facts.clone(), &Dialog::default());
        let expected = if is_spared { None } else { Some(Act::Refuse) };
        assert_eq!(act(&judgement), expected, "{friend:?} and {rule:?}");
    }
}

#[test]
fn only_what_loses_mail_for_good_waits_for_friends() {
    let friends = own("friends", Kind::Address);
    let findings = [hit(List::ZEN, Identity::Client, &[4]), unknown(friends, Identity::Client)];
    for (of_rule, done) in [
        (Act::Refuse, Act::Defer),
        (Act::Discard, Act::Defer),
        (Act::Defer, Act::Defer),
        (Act::Quarantine, Act::Quarantine),
        (Act::Tag, Act::Tag),
    ] {
        let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), of_rule);
        let by_rule = with(vec![zen, letting_in(of(friends), Spares::All)], &[]);
        assert_eq!(act(&judged(&by_rule, &findings)), Some(done), "{of_rule:?}");
        let rules = vec![counting("zen", List::ZEN, 4), counting("good", friends, -4)];
        let by_score = with(rules, &[(1, of_rule)]);
        assert_eq!(act(&judged(&by_score, &findings)), Some(done), "{of_rule:?}");
    }
}
