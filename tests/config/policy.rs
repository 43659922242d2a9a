//! Lists, rules, scores and expectations in TOML.

use gatepost::config::Config;
use gatepost::dns::{Answer, classify};
use gatepost::gate::{Tables, expect};
use gatepost::policy::{Mode, Spares, Trigger};
use gatepost::smtp::Stage;
use gatepost::verdict::{Act, Digest, Identity, Kind, List, Trouble};

/// A policy of all kinds of tables, with the tests of it.
const POLICY: &str = include_str!("../data/policy.toml");

fn config(toml: &str) -> Config {
    Config::from_texts("", toml).unwrap_or_else(|problems| panic!("{problems}"))
}

fn errors(toml: &str) -> Vec<String> {
    match Config::from_texts("", toml) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.errors.iter().map(ToString::to_string).collect(),
    }
}

fn notices(toml: &str) -> Vec<String> {
    config(toml).notices.iter().map(ToString::to_string).collect()
}

#[test]
fn lists_and_rules_are_read_as_they_are_written() {
    let additions = config(POLICY).additions;
    let own = &additions.lists[0];
    assert_eq!((own.list.name(), own.list.title(), own.list.kind()), ("own", "Own list", Kind::Address));
    assert_eq!(own.identities.iter().collect::<Vec<_>>(), [Identity::Client]);
    assert_eq!(own.list.shown(own.list.all_codes()), "dynamic,spam");
    let mailboxes = &additions.lists[1];
    assert_eq!(mailboxes.list.kind(), Kind::Mailbox(Digest::Sha1Hex));
    let (held, _) = &additions.rules[0];
    assert_eq!((&*held.name, held.effect.act, held.mode), ("own-spam", Some(Act::Quarantine), Mode::Enforce));
    assert_eq!((held.unless.len(), held.ripe()), (1, Stage::Rcpt));
    let (open, _) = additions.rules.iter().find(|(rule, _)| &*rule.name == "open").expect("the rule");
    assert_eq!((&open.trigger, &open.effect.spares), (&Trigger::Met, &Some(Spares::Lists(vec![List::ZEN]))));
    assert_eq!(additions.score.thresholds, [(3, Act::Tag), (6, Act::Refuse)]);
}

// case: Z17, R03, R06
#[test]
fn the_policy_does_what_is_expected_of_it() {
    let config = config(POLICY);
    assert!(config.additions.expectations.len() > 10);
    if let Err(problems) = expect::check(&config, &Tables::default()) {
        panic!("{problems:#?}");
    }
}

#[test]
fn an_expectation_that_is_not_met_says_what_came_of_it() {
    let cause = |expectation: &str| {
        let toml = format!(
            "[enforce]\nstage = \"mail\"\n[[expect]]\nclient = \"192.0.2.1\"\nsender = \"a@spam.example\"\n\
             answers = {{ dbl = \"127.0.1.2\" }}\n{expectation}"
        );
        let problems = expect::check(&config(&toml), &Tables::default()).expect_err("not met");
        problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("\n")
    };
    let remedy = "; mend the rules or the expectation; gatepost explain shows such a session";
    assert_eq!(
        cause("decision = \"accept\""),
        format!(
            "gatepost.toml:3:1: expect.1: accept is expected, but it is reject at mail by rule dbl{remedy}"
        )
    );
    assert!(cause("decision = \"reject\"\nstage = \"rcpt\"").contains("stage rcpt is expected"));
    assert!(cause("decision = \"reject\"\nrule = \"zen\"").contains("rule zen is expected"));
    assert!(cause("decision = \"reject\"\nsays = \"nothing\"").contains("550 5.7.1 Sender domain"));
}

#[test]
fn every_problem_of_every_table_is_told_with_its_place() {
    let toml = r#"
[[list]]
name = "Own"
kind = "address"
[[list]]
name = "zen"
kind = "adress"
[[list]]
name = "b"
kind = "domain"
zone = "a..b"
ask = ["client"]
[[rule]]
name = "c"
lst = "zen"
action = "reject"
[[rule]]
name = "d"
list = "zenn"
action = "tag"
reply = "550 5.7.1 x"
[[rule]]
name = "e"
list = "zen"
codes = "300"
action = "reject"
reply = "450 4.7.1 x"
[[rule]]
name = "f"
when = { client = ["0.0.0.0/0", "192.0.2.1/24"], sendr = ["x"] }
action = "allow"
[[rule]]
name = "g"
list = "dbl"
identity = "client"
action = "tag"
header = "Subject: spam"
[[rule]]
name = "h"
list = "zen"
[score]
reject = -3
[[expect]]
decision = "boo"
answers = { zenn = "127.0.0.2", zen = "x" }
[rule2]
"#;
    let errors = errors(toml);
    let starts = [
        "gatepost.toml:3:8: list.name: Own is no name",
        "gatepost.toml:6:8: list.zen.name: zen is taken",
        "gatepost.toml:7:8: list.zen.kind: adress is no kind of list",
        "gatepost.toml:11:8: list.b.zone: a..b is no zone",
        "gatepost.toml:12:8: list.b.ask: client is not understood; choose from client-name, helo",
        "gatepost.toml:13:1: rule.c: it has neither list nor condition",
        "gatepost.toml:15:7: rule.c.lst: there is no such setting; did you mean list?",
        "gatepost.toml:19:8: rule.d.list: there is no list zenn; did you mean zen?",
        "gatepost.toml:21:9: rule.d.reply: nothing is said to the client",
        "gatepost.toml:25:9: rule.e.codes: 300 is nothing that zen answers; write codes from 2 to 30",
        "gatepost.toml:27:9: rule.e.reply: a reply that begins with 4 does not reject",
        "gatepost.toml:30:20: rule.f.when: 0.0.0.0/0 covers a large part of the Internet",
        "gatepost.toml:30:33: rule.f.when.client: 192.0.2.1/24 is not understood",
        "gatepost.toml:30:58: rule.f.when.sendr: there is no such setting; did you mean sender?",
        "gatepost.toml:35:12: rule.g.identity: the list is not asked about client",
        "gatepost.toml:37:10: rule.g.header: Subject is not for filters to add",
        "gatepost.toml:38:1: rule.h: it does nothing",
        "gatepost.toml:42:10: score.reject: every mail has a score of 0",
        "gatepost.toml:44:12: expect.1.decision: boo is no decision",
        "gatepost.toml:45:20: expect.1.answers: there is no list zenn",
        "gatepost.toml:45:39: expect.1.answers: it is no answer",
        "gatepost.toml:46:2: rule2: ",
    ];
    super::begin(&errors, &starts);
}

#[test]
fn rules_that_cannot_do_what_they_seem_to_are_told() {
    let toml = "[authbl]\nenable = false\n[[rule]]\nname = \"a\"\nlist = \"authbl\"\naction = \"reject\"\n\
                [[rule]]\nname = \"b\"\nwhen = { recipient = \"x@mail.example\" }\naction = \"allow\"\n\
                [[rule]]\nname = \"c\"\nlist = \"zen\"\nscore = 3\n";
    assert_eq!(
        notices(toml),
        [
            "gatepost.toml:4:8: rule.a: authbl is switched off: it never fires; set authbl.enable = true, or remove \
             the rule",
            "gatepost.toml:8:8: rule.b: it lets mail in from rcpt on, but mail is refused from connect on; set \
             enforce.stage = \"rcpt\"",
            "configuration: score: rules count, but no sum leads to anything; add [score], as in reject = 5",
        ]
    );
}

#[test]
fn a_rule_that_is_off_is_checked_and_left_out() {
    let rule =
        |mode| format!("[[rule]]\nname = \"a\"\nlist = \"zen\"\naction = \"log\"\nmode = \"{mode}\"\n");
    assert_eq!(config(&rule("off")).additions.rules.len(), 0);
    assert_eq!(config(&rule("shadow")).additions.rules[0].0.mode, Mode::Shadow);
    assert_eq!(errors(&rule("on")).len(), 1);
}

#[test]
fn a_key_in_a_zone_is_refused_and_a_zone_that_is_too_long_too() {
    let list = |zone: &str| format!("[[list]]\nname = \"a\"\nkind = \"domain\"\nzone = \"{zone}\"\n");
    let key = "abcdefghij0123456789klmnop";
    let told = errors(&list(&format!("{key}.list.example")));
    assert!(told[0].contains("looks like a key") && !told[0].contains(key), "{told:?}");
    let long = ["a".repeat(60), "b".repeat(60), "c".repeat(10)].join(".");
    assert!(errors(&list(&long))[0].contains("leaves no room"));
}

#[test]
fn a_refusal_can_be_the_address_that_no_listing_is() {
    let list = |keys: &str| {
        format!("[[list]]\nname = \"a\"\nkind = \"domain\"\nzone = \"multi.list.example\"\n{keys}\n")
    };
    let own =
        config(&list("refusals = [\"127.0.0.1\"]\nbits = { black = 2, grey = 4 }")).additions.lists[0].list;
    let other = config(&list("bits = { black = 2, grey = 4 }")).additions.lists[0].list;
    let answer = |list, octets: &[[u8; 4]]| {
        let records: Vec<std::net::Ipv4Addr> = octets.iter().map(|octets| (*octets).into()).collect();
        classify(list, &records)
    };
    assert_eq!(answer(own, &[[127, 0, 0, 1]]), Answer::Failed(Trouble::Declined));
    assert_eq!(answer(own, &[[127, 0, 0, 1], [127, 0, 0, 2]]), Answer::Failed(Trouble::Declined));
    assert_eq!(answer(own, &[[127, 0, 0, 1], [192, 0, 2, 1]]), Answer::Failed(Trouble::Bogus));
    assert!(matches!(answer(own, &[[127, 0, 0, 6]]), Answer::Listed(_)));
    assert_eq!(answer(other, &[[127, 0, 0, 1]]), Answer::Failed(Trouble::Bogus), "unless the list says so");
    for listing in ["answers = { a = \"127.0.0.1\" }", "answers = { a = \"127.0.0.1-4\" }"] {
        assert!(errors(&list(listing))[0].contains("is no answer of a list"), "{listing}");
    }
    assert!(errors(&list("refusals = \"192.0.2.1\""))[0].contains("is not understood"));
}

#[test]
fn a_rule_is_not_called_as_one_that_settings_make() {
    let told = |name: &str| {
        let list = "[[list]]\nname = \"own\"\nzone = \"list.example\"\nkind = \"address\"\n";
        let rule = format!("[[rule]]\nname = \"{name}\"\nlist = \"zen\"\naction = \"log\"\n");
        errors(&format!("{list}{rule}"))
    };
    for taken in [
        "zen",
        "dbl",
        "zrd",
        "authbl",
        "zen-10-11",
        "dbl-2-2",
        "zen-trouble",
        "own-trouble",
        "exempt-recipients",
        "forged-fields",
    ] {
        let errors = told(taken);
        let cause = format!("rule.{taken}.name: {taken} is what the log calls a rule that the settings make");
        assert!(errors.len() == 1 && errors[0].contains(&cause), "{taken}: {errors:?}");
    }
    for free in ["zen-10", "zen-own", "zen-10-11-x", "zenith", "own", "other-trouble", "trouble"] {
        assert_eq!(told(free), [""; 0], "{free}");
    }
}
