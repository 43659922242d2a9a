//! `gatepost explain` over a policy of the administrator's.

use serde_json::Value;

use super::process::{Ended, new_key};
use super::{Act, Machine, Names};

/// Rules of all kinds, over a list of our own and those of DQS.
const RULES: &str = r#"
[[list]]
name = "own"
title = "Own list"
kind = "address"
zone = "list.example"
bits = { spam = 2, dynamic = 4 }
test = false

[[rule]]
name = "held"
list = "own"
codes = "spam"
action = "quarantine"

[[rule]]
name = "dynamic"
list = "own"
codes = "dynamic"
score = 3

[[rule]]
name = "abused"
list = "dbl"
codes = "102-106"
score = 2

[[rule]]
name = "later"
list = "dbl"
codes = "102-106"
action = "reject"
mode = "shadow"

[[rule]]
name = "trap"
when = { recipient = "trap@mail.example" }
action = "reject"
reply = "550 5.1.1 {rule} is no user"

[[rule]]
name = "drop"
when = { recipient = "drop@mail.example" }
action = "discard"

[[rule]]
name = "open"
when = { recipient = "open@mail.example" }
unless = { sender = "x@never.example" }
action = "allow"

[score]
tag = 2
reject = 9
header = "X-Spam-Score: {score}"
"#;

fn machine() -> (Names, Machine) {
    let names = Names::start();
    names.on("2.0.8.8.list.example.", Act::records(["127.0.0.6"]));
    names.on("3.0.8.8.list.example.", Act::records(["127.0.0.4"]));
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    names.on("abused.example.dbl", Act::records(["127.0.1.102"]));
    let machine = Machine::with(&names, &new_key(), &["ENFORCE_STAGE=mail", "ZRD_ENABLE=0"]);
    machine.write("gatepost.toml", RULES);
    (names, machine)
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn every_rule_is_told_with_its_evidence_and_its_reason() {
    let (_names, machine) = machine();
    let ended = machine.run(&["explain", "--client", "8.8.0.2", "--from", "u@abused.example"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    for line in [
        "8.8.0.2                                  Own list listed: dynamic,spam; quarantine",
        "held               fired, client 8.8.0.2 in Own list (dynamic,spam): quarantine",
        "later              fired, sender abused.example in DBL (127.0.1.102): would reject (mode = shadow)",
        "trap               cannot be told yet: it is looked at from RCPT on",
        "zen                fired, client 8.8.0.2 in ZEN (127.0.0.4): reject",
        "dbl                did not fire: sender abused.example is in DBL with 127.0.1.102 only",
        "score 5 = dynamic +3, abused +2; tag from 2 on, reject from 9 on",
        "decided by rule zen: reject, client 8.8.0.2 in ZEN (127.0.0.4)",
        "=> refused at MAIL: 554 5.7.1 Client host [8.8.0.2]",
    ] {
        assert!(ended.stdout.contains(line), "{line} in:\n{}", ended.stdout);
    }
}

#[test]
fn each_recipient_is_judged_and_the_message_gets_what_is_left() {
    let (_names, machine) = machine();
    let session = ["explain", "--client", "8.8.0.3", "--from", "u@abused.example"];
    let rcpt = |recipients: &[&'static str]| -> Vec<&'static str> {
        let options = recipients.iter().flat_map(|recipient| ["--rcpt", recipient]);
        session.into_iter().chain(options).collect()
    };
    let ended = machine.run(&rcpt(&["a@mail.example", "trap@mail.example", "open@mail.example"]));
    assert_eq!(ended.status, Some(1), "one of them is refused: {ended:?}");
    for line in [
        "recipient trap@mail.example",
        "=> refused at RCPT: 550 5.1.1 trap is no user",
        "trap               not for this session: recipient does not fit (when)",
        "abused             fired, sender abused.example in DBL (127.0.1.102): score +2, but spared by open",
        "open               fired by its conditions: allow",
        "decided by the score: tag",
        "with all rules in force it would be rule later: reject, sender abused.example",
        "=> let in with a tag",
        "=> header field X-Spam-Score: 5",
    ] {
        assert!(ended.stdout.contains(line), "{line} in:\n{}", ended.stdout);
    }
    for (recipients, status, decision, stage) in [
        (&["drop@mail.example"][..], 1, "discard", "message"),
        (&["drop@mail.example", "a@mail.example"], 0, "tag", "message"),
        (&["trap@mail.example"], 1, "reject", "rcpt"),
    ] {
        let ended = machine.run(&[&rcpt(recipients)[..], &["--json"]].concat());
        let told = json(&ended);
        assert_eq!(ended.status, Some(status), "{recipients:?}: {told}");
        assert_eq!((&told["decision"], &told["stage"]), (&decision.into(), &stage.into()), "{recipients:?}");
        assert_eq!(told["recipients"].as_array().map(Vec::len), Some(recipients.len()));
    }
    let told =
        json(&machine.run(&[&rcpt(&["open@mail.example", "trap@mail.example"])[..], &["--json"]].concat()));
    let recipients = told["recipients"].as_array().expect("recipients");
    assert_eq!(
        (&recipients[0]["decision"], &recipients[1]["decision"]),
        (&"accept".into(), &"reject".into())
    );
    assert_eq!(recipients[1]["reply"], "550 5.1.1 trap is no user");
    let dynamic =
        recipients[0]["rules"].as_array().expect("rules").iter().find(|rule| rule["rule"] == "dynamic");
    let dynamic = dynamic.expect("all rules are there");
    assert_eq!((&dynamic["fate"], &dynamic["spared_by"]), (&"spared".into(), &"open".into()));
}

#[test]
fn quarantine_observation_and_sessions_that_are_not_checked_are_told() {
    let (_names, machine) = machine();
    let held = machine.run(&["explain", "--client", "8.8.0.2", "--from", "u@x.example", "--auth", "alice"]);
    assert_eq!(held.status, Some(0), "a login spares the address: {held:?}");
    machine.write("gatepost.toml", &format!("[zen]\nenable = false\n{RULES}"));
    let held = machine.run(&["explain", "--client", "8.8.0.2", "--from", "u@x.example", "--json"]);
    let told = json(&held);
    assert_eq!((&told["decision"], &told["quarantine"]), (&"quarantine".into(), &"gatepost: held".into()));
    machine.write("gatepost.toml", &format!("observe = true\n{RULES}"));
    let seen = machine.run(&["explain", "--client", "8.8.0.2", "--from", "u@x.example"]);
    assert_eq!(seen.status, Some(0), "{seen:?}");
    for line in
        ["ZEN      listed", "would-reject", "would reject (observe)", "without observe it would be rule zen"]
    {
        assert!(seen.stdout.contains(line), "{line} in:\n{}", seen.stdout);
    }
    let local = machine.run(&["explain", "--client", "127.0.0.1", "--from", "u@x.example"]);
    assert!(local.stdout.starts_with("nothing of this session is checked (local)"), "{local:?}");
}
