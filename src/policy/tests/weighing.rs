//! What comes of several rules, and of those that are not in force.

use super::*;

#[test]
fn the_sum_of_all_that_counts_decides_and_a_rule_counts_once() {
    let friends = own("friends", Kind::Address);
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
    let judgement = judged(&policy, &[zen, helo, unknown(friends, Identity::Client)]);
    assert_eq!(act(&judgement), Some(Act::Defer), "the friends could not be asked");
}

#[test]
fn a_shadow_as_strong_as_what_is_done_is_told_if_it_is_another_rule() {
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let mut earlier = listed("earlier", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    earlier.mode = Mode::Shadow;
    let findings = [hit(List::ZEN, Identity::Client, &[4])];
    let judgement = judged(&with(vec![earlier.clone(), zen.clone()], &[]), &findings);
    assert_eq!(judgement.shadow.map(|cause| cause.rule.to_string()).as_deref(), Some("earlier"));
    let judgement = judged(&with(vec![zen], &[]), &findings);
    assert_eq!(judgement.shadow, None);
    let judgement = judged(&with(vec![earlier], &[]), &findings);
    let shadow = judgement.shadow.map(|cause| cause.rule.to_string());
    assert_eq!((shadow.as_deref(), judgement.cause), (Some("earlier"), None));
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
fn a_rule_that_is_spared_does_not_count_and_a_good_word_always_does() {
    let good = own("good", Kind::Address);
    let rules = vec![
        counting("zen", List::ZEN, 4),
        counting("good", good, -2),
        letting_in(of(List::AUTHBL), Spares::All),
    ];
    let findings = [
        hit(List::ZEN, Identity::Client, &[4]),
        hit(good, Identity::Client, &[2]),
        hit(List::AUTHBL, Identity::Client, &[20]),
    ];
    let policy = with(rules, &[]);
    assert_eq!(judged(&policy, &findings).score, -2);
    assert_eq!(judged(&policy, &findings[..2]).score, 2);
}

#[test]
fn a_sum_is_in_doubt_only_as_far_as_friends_in_force_have_not_spoken() {
    let friends = own("friends", Kind::Domain);
    let zen = || hit(List::ZEN, Identity::Client, &[4]);
    let good = |identity| hit(friends, identity, &[2]);
    let (silent, doubtful) = (unknown(friends, Identity::Sender), Act::Defer);
    for (findings, mode, score, expected) in [
        (vec![zen(), silent.clone()], Mode::Enforce, 5, doubtful),
        (vec![zen(), silent.clone()], Mode::Shadow, 5, Act::Refuse),
        // It counts once, whatever else it might say.
        (vec![zen(), good(Identity::Helo), silent], Mode::Enforce, 4, Act::Refuse),
        (vec![zen(), good(Identity::Helo), good(Identity::Sender)], Mode::Enforce, 4, Act::Refuse),
    ] {
        let rules = vec![counting("zen", List::ZEN, 5), Rule { mode, ..counting("good", friends, -1) }];
        let judgement = judged(&with(rules, &[(score, Act::Refuse)]), &findings);
        assert_eq!((judgement.score, act(&judgement)), (score, Some(expected)), "{findings:?} {mode:?}");
    }
}

#[test]
fn among_equally_strong_reasons_what_was_found_first_decides_and_a_rule_before_the_sum() {
    let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), Act::Refuse);
    let dbl = Rule { effect: Effect { weight: 4, ..doing(Act::Refuse) }, ..counting("dbl", List::DBL, 0) };
    let tagged = Rule { effect: Effect { weight: 4, ..doing(Act::Tag) }, ..counting("dbl", List::DBL, 0) };
    let first = [hit(List::DBL, Identity::Helo, &[2]), hit(List::ZEN, Identity::Client, &[4])];
    let by = |rules: Vec<Rule>, findings: &[Finding]| {
        let cause = judged(&with(rules, &[(4, Act::Refuse)]), findings).cause.expect("a cause");
        (cause.rule.to_string(), cause.finding)
    };
    assert_eq!(by(vec![zen.clone(), dbl.clone()], &first), ("dbl".to_owned(), Some(0)));
    let second = [first[1].clone(), first[0].clone()];
    assert_eq!(by(vec![dbl, zen], &second), ("zen".to_owned(), Some(0)));
    assert_eq!(by(vec![tagged], &first), (SCORE.to_owned(), None), "stronger than the tag");
}

#[test]
fn fields_are_added_to_what_reaches_somebody() {
    let tag = |text| Some(Tag::parse(text).expect("a field"));
    let own = Effect { tag: tag("X-Own: {list}"), ..doing(Act::Tag) };
    let findings = [
        hit(List::ZEN, Identity::Client, &[4]),
        hit(List::DBL, Identity::Sender, &[2]),
        hit(List::AUTHBL, Identity::Client, &[20]),
    ];
    let fields = |judgement: Judgement| {
        let fields = judgement.tags.iter().map(|(name, value)| format!("{}: {value}", name.as_str()));
        fields.collect::<Vec<_>>()
    };
    for (other, reaches) in [
        (Act::Refuse, false),
        (Act::Defer, false),
        // One recipient's discard is another one's message.
        (Act::Discard, true),
        (Act::Quarantine, true),
    ] {
        let zen = listed("zen", List::ZEN, List::ZEN.all_codes(), other);
        let rules = vec![zen, Rule::new("own", of(List::DBL), own.clone())];
        let expected: &[&str] = if reaches { &["X-Own: DBL"] } else { &[] };
        assert_eq!(fields(judged(&with(rules, &[]), &findings[..2])), expected, "{other:?}");
    }
    let spared = vec![Rule::new("own", of(List::DBL), own), letting_in(of(List::AUTHBL), Spares::All)];
    assert!(fields(judged(&with(spared, &[]), &findings)).is_empty());

    let score = |weight| {
        let thresholds = vec![(3, Act::Tag), (6, Act::Quarantine)];
        let score = Score { thresholds, tag: tag("X-Score: {score}"), ..Score::default() };
        let rules = vec![counting("zen", List::ZEN, weight)];
        let judgement = judged(&Policy::new(rules, score, Replies::new(ReplyStyle::Own)), &findings[..1]);
        (act(&judgement), fields(judgement).concat())
    };
    assert_eq!(score(2), (None, String::new()));
    assert_eq!(score(3), (Some(Act::Tag), "X-Score: 3".to_owned()));
    assert_eq!(score(6), (Some(Act::Quarantine), "X-Score: 6".to_owned()));
}
