//! `gatepost lookup` over lists of the administrator's.

use serde_json::Value;

use super::process::new_key;
use super::{Act, Machine, Names};

/// SHA-1 of `some.one@people.example`.
const DIGEST: &str = "55beb34d6c8f310a63170a4a1e50eeafd3af8818";

fn machine() -> (Names, Machine, String) {
    let names = Names::start();
    let own_key = new_key();
    names.on(&format!("2.0.8.8.{own_key}.list.example."), Act::records(["127.0.0.6"]));
    names.on(&format!("{DIGEST}.people.example.org."), Act::records(["127.0.0.2"]));
    names.on("2.0.8.8.authbl", Act::records(["127.0.0.20"]));
    names.on("3.0.8.8.zen", Act::records(["127.0.0.10"]));
    let machine = Machine::with(&names, &new_key(), &["ENFORCE_STAGE=mail", "ZRD_ENABLE=0"]);
    let key_file = machine.write("own.key", &own_key);
    machine.write(
        "gatepost.toml",
        &format!(
            r#"
[zen]
action = ["10-11=tag"]
[[list]]
name = "own"
title = "Own list"
kind = "address"
zone = "list.example"
key_file = "{}"
bits = {{ spam = 2, dynamic = 4, both = 6 }}
test = false
[[list]]
name = "people"
kind = "mailbox"
hash = "sha1-hex"
zone = "people.example.org"
answers = {{ known = "127.0.0.2-4" }}
[[rule]]
name = "held"
list = "own"
codes = "spam"
action = "quarantine"
when = {{ recipient = "a@mail.example" }}
[[rule]]
name = "later"
list = "own"
codes = "dynamic"
action = "reject"
mode = "shadow"
[[rule]]
name = "drop"
list = "people"
action = "discard"
"#,
            key_file.display()
        ),
    );
    (names, machine, own_key)
}

#[test]
fn all_lists_of_the_configuration_are_asked_and_no_key_is_shown() {
    let (names, machine, own_key) = machine();
    let ended = machine.run(&["lookup", "8.8.0.2"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let expected = "8.8.0.2: not listed in ZEN\n\
                    8.8.0.2: listed in Own list, log\n  both  any of the bits 2, 4\n  dynamic  bit 4\n  spam  bit 2\n  \
                    rule held: quarantine, if its conditions are met\n  rule later: would reject\n";
    assert_eq!(ended.stdout, expected);
    assert!(names.asked().iter().any(|asked| asked.name.contains(&own_key)), "the list has its own key");
    let person = machine.run(&["lookup", "Some.One+x@people.example"]);
    assert_eq!(person.status, Some(1), "{person:?}");
    for line in [
        "(people.example): not listed in DBL",
        "(some.one+x@people.example): listed in PEOPLE, discard\n  known  127.0.0.2-4\n  rule drop: discard\n",
    ] {
        assert!(person.stdout.contains(line), "{line} in {}", person.stdout);
    }
    for ended in [ended, person] {
        assert!(!ended.stdout.contains(&own_key) && !ended.stderr.contains(&own_key), "{ended:?}");
    }
}

#[test]
fn lists_can_be_chosen_even_if_they_are_switched_off() {
    let (_names, machine, _) = machine();
    let chosen = machine.run(&["lookup", "--list", "authbl", "--list", "people", "8.8.0.2", "--json"]);
    let told: Value =
        serde_json::from_str(&chosen.stdout).unwrap_or_else(|error| panic!("{error}: {chosen:?}"));
    assert_eq!(
        (&told["list"], &told["result"], &told["in_use"]),
        (&"authbl".into(), &"listed".into(), &false.into())
    );
    let rules = machine.run(&["lookup", "--list", "zen", "8.8.0.3", "--json"]);
    let told: Value = serde_json::from_str(&rules.stdout).expect("JSON");
    assert_eq!((&told["rules"], &told["action"]), (&serde_json::json!(["zen-10-11"]), &"tag".into()));
    let none = machine.run(&["lookup", "--list", "zen", "ok.example"]);
    assert_eq!((none.status, &*none.stdout), (Some(2), ""), "{none:?}");
    assert!(none.stderr.contains("no list that is chosen, or switched on, is about domains"), "{none:?}");
    let unknown = machine.run(&["lookup", "--list", "own2", "8.8.0.2"]);
    assert_eq!(unknown.status, Some(64), "{unknown:?}");
    assert_eq!(unknown.stderr, "there is no list own2; there are zen, dbl, zrd, authbl, own, people\n");
}

#[test]
fn lists_in_files_say_what_they_have_without_a_question() {
    let names = Names::start();
    let machine = Machine::with(&names, &new_key(), &["ZRD_ENABLE=0", "ZEN_ENABLE=0", "DBL_ENABLE=0"]);
    let clients = machine
        .write("clients.list", ":127.0.0.2:see https://list.example/$\n8.8.0.0/28\n10.1.0.0/16\n!8.8.0.7\n");
    let names_file = machine.write("names.list", ".spam.example :127.0.0.4:\n");
    let people = machine.write("people.list", "trap@\n@bad.example\n");
    machine.write(
        "gatepost.toml",
        &format!(
            r#"
[[list]]
name = "clients"
title = "Our clients"
file = "{}"
format = "ip4set"
answers = {{ bad = "127.0.0.2", worse = "127.0.0.3" }}
[[list]]
name = "names"
file = "{}"
format = "dnset"
[[list]]
name = "people"
file = "{}"
format = "plain"
kind = "mailbox"
[[rule]]
name = "bad"
list = "clients"
codes = "bad"
action = "reject"
[[rule]]
name = "held"
list = "names"
identity = "sender"
action = "quarantine"
[[rule]]
name = "drop"
list = "people"
action = "discard"
"#,
            clients.display(),
            names_file.display(),
            people.display()
        ),
    );
    for (subject, status, told) in [
        ("8.8.0.5", 1, "8.8.0.5: listed in Our clients, reject\n  bad  127.0.0.2\n  rule bad: reject\n"),
        ("8.8.0.7", 0, "8.8.0.7: not listed in Our clients\n"),
        // No name server may be asked about such an address, but a file may have it.
        ("10.1.2.3", 1, "10.1.2.3: listed in Our clients, reject\n  bad  127.0.0.2\n  rule bad: reject\n"),
        (
            "a.spam.example",
            1,
            "a.spam.example: listed in NAMES, quarantine\n  127.0.0.4  a code without a documented meaning\n  rule held: quarantine, as sender\n",
        ),
        (
            "Trap@good.example",
            1,
            "Trap@good.example (good.example): not listed in NAMES\n\
             Trap@good.example (trap@good.example): listed in PEOPLE, discard\n  127.0.0.2  a code without a documented meaning\n  rule drop: discard\n",
        ),
    ] {
        let ended = machine.run(&["lookup", subject]);
        assert_eq!((ended.status, &*ended.stdout, &*ended.stderr), (Some(status), told, ""), "{subject}");
    }
    let one = machine.run(&["lookup", "--list", "clients", "--json", "8.8.0.5"]);
    let told: Value = serde_json::from_str(&one.stdout).unwrap_or_else(|error| panic!("{error}: {one:?}"));
    assert_eq!(
        (&told["codes"][0]["code"], &told["rules"], &told["in_use"], &told["special"]),
        (&"bad".into(), &serde_json::json!(["bad"]), &true.into(), &false.into())
    );
    assert!(names.asked().is_empty(), "{:?}", names.asked());
}
