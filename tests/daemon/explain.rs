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

#[test]
fn a_live_daemon_is_asked_over_its_socket_and_every_reply_is_shown() {
    let (_names, machine) = machine();
    let daemon = machine.start();
    let socket = format!("inet:{}@127.0.0.1", daemon.port);
    let via = |arguments: &[&str]| machine.run(&[&["explain", "--via", &socket][..], arguments].concat());
    let tagged = via(&[
        "--client",
        "8.8.0.3",
        "--helo",
        "mx.example",
        "--from",
        "u@abused.example",
        "--rcpt",
        "a@mail.example",
        "--rcpt",
        "trap@mail.example",
    ]);
    assert_eq!(tagged.status, Some(1), "one recipient is refused: {tagged:?}");
    for (step, answer) in [
        ("CONNECT 8.8.0.3", "continue"),
        ("HELO mx.example", "continue"),
        ("MAIL u@abused.example", "continue"),
        ("RCPT a@mail.example", "continue"),
        ("RCPT trap@mail.example", "refused: 550 5.1.1 trap is no user"),
        ("end of message", "continue"),
        ("  header field X-Spam-Score: 5", ""),
    ] {
        let line = tagged
            .stdout
            .lines()
            .find(|line| line.starts_with(step))
            .unwrap_or_else(|| panic!("{step}: {tagged:?}"));
        assert!(line.ends_with(answer), "{answer} in {line}");
    }
    let refused = via(&["--client", "8.8.0.2", "--from", "u@ok.example", "--json"]);
    let told = json(&refused);
    let last = &told["steps"].as_array().expect("steps").last().expect("a step");
    assert_eq!((refused.status, &last["event"]), (Some(1), &"mail".into()), "{told}");
    assert!(
        last["answer"].as_str().is_some_and(|answer| answer.starts_with("refused: 554 5.7.1 ")),
        "{told}"
    );
    let part = via(&["--client", "8.8.0.9"]);
    assert_eq!(part.status, Some(0), "{part:?}");
    assert!(part.stdout.contains("need --from and --rcpt"), "{part:?}");
    let nobody = machine.run(&["explain", "--via", "unix:/nonexistent/gatepost.sock"]);
    assert_eq!(nobody.status, Some(69), "{nobody:?}");
    assert!(
        nobody.stderr.contains("unix:/nonexistent/gatepost.sock: ")
            && nobody.stderr.contains("start the service")
    );
}

#[test]
fn a_decision_of_the_log_is_made_again_and_what_differs_has_its_reason() {
    let (names, machine) = machine();
    let daemon = machine.start();
    let socket = format!("inet:{}@127.0.0.1", daemon.port);
    let play = |client: &str, from: &str, rcpt: &[&str]| {
        let session = ["explain", "--via", &socket, "--client", client, "--helo", "a \"b\"", "--from", from];
        machine.run(&[&session[..], rcpt].concat());
    };
    play("8.8.0.2", "u@ok.example", &[]);
    play("8.8.0.3", "u@abused.example", &["--rcpt", "trap@mail.example"]);
    let (_, lines) = daemon.stop();
    let log: Vec<String> = lines.into_iter().filter(|line| line.contains("event=verdict")).collect();
    let replay = |log: &[String]| machine.run(&["explain", "--replay", &log.join("\n")]);
    let same = replay(&log);
    assert_eq!(same.status, Some(0), "{same:?}");
    for line in [
        "client 8.8.0.2, helo a \\\"b\\\", from <u@ok.example>\n  then reject by zen: 554 5.7.1",
        "to <trap@mail.example>\n  then reject by trap: 550 5.1.1",
        "=> the same",
    ] {
        assert!(same.stdout.contains(line), "{line} in:\n{}", same.stdout);
    }
    // Another answer of the list, another rule, a client that is trusted now.
    let of = |rule: &str| -> Vec<String> {
        let line =
            log.iter().find(|line| line.contains(&format!("rule={rule} ")) && line.contains("action=reject"));
        vec![line.unwrap_or_else(|| panic!("{rule} in {log:#?}")).clone()]
    };
    names.on("2.0.8.8.zen", Act::NotFound(Some(60)));
    names.on("2.0.8.8.list.example.", Act::NotFound(Some(60)));
    let lists = replay(&of("zen"));
    assert_eq!(lists.status, Some(1), "{lists:?}");
    for line in [
        "=> not the same",
        "the lists say something else now",
        "ZEN about client 8.8.0.2: then 127.0.0.4, now not listed",
    ] {
        assert!(lists.stdout.contains(line), "{line} in:\n{}", lists.stdout);
    }
    machine
        .write("gatepost.toml", &RULES.replace("name = \"trap\"\n", "name = \"trap\"\nmode = \"shadow\"\n"));
    let shadow = replay(&of("trap"));
    assert!(shadow.stdout.contains("the configuration is another one"), "{shadow:?}");
    assert!(
        shadow.stdout.contains("rule trap: fired by its conditions: would reject (mode = shadow)"),
        "{shadow:?}"
    );
    machine.write(
        "gatepost.toml",
        &RULES.replace("name = \"trap\"\n", "name = \"pit\"\n").replace("trap@", "pit@"),
    );
    let gone = replay(&of("trap"));
    assert!(gone.stdout.contains("there is no rule trap any more"), "{gone:?}");
    machine.write("gatepost.toml", &format!("trusted_networks = [\"8.8.0.0/24\"]\n{RULES}"));
    let trusted = machine.run(&["explain", "--json", "--replay", &of("trap")[0]]);
    let told = json(&trusted);
    assert_eq!(
        (&told["same"], &told["then"]["decision"], &told["now"]["decision"]),
        (&false.into(), &"reject".into(), &"accept".into())
    );
    assert!(told["why"].to_string().contains("nothing of this session is checked (network)"), "{told}");
    let nothing = machine.run(&["explain", "--replay", "no line of ours"]);
    assert_eq!(nothing.status, Some(64), "{nothing:?}");
    assert!(nothing.stderr.contains("no decision of gatepost"), "{nothing:?}");
    assert_eq!(machine.run(&["explain", "--replay", "x", "--client", "8.8.0.2"]).status, Some(64));
}

#[test]
fn a_deferral_for_friends_who_did_not_answer_is_no_other_configuration() {
    let names = Names::start();
    let machine = Machine::with(&names, &new_key(), &["ENFORCE_STAGE=mail"]);
    let list = "[[list]]\nname = \"friends\"\nkind = \"address\"\nzone = \"list.example\"\ntest = false\n";
    let rule = "[[rule]]\nname = \"friends\"\nlist = \"friends\"\naction = \"allow\"\n";
    machine.write("gatepost.toml", &format!("{list}{rule}"));
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    names.on("2.0.8.8.list.example.", Act::records(["127.255.255.254"]));
    let daemon = machine.start();
    let socket = format!("inet:{}@127.0.0.1", daemon.port);
    machine.run(&["explain", "--via", &socket, "--client", "8.8.0.2", "--from", "u@ok.example"]);
    let (_, lines) = daemon.stop();
    let told = lines.iter().find(|line| line.contains("action=tempfail") && line.contains("rule=zen "));
    let told = told.unwrap_or_else(|| panic!("{lines:#?}"));
    names.on("2.0.8.8.list.example.", Act::NotFound(Some(60)));
    let replayed = machine.run(&["explain", "--replay", told]);
    assert!(replayed.stdout.contains("a list of friends that did not answer then"), "{replayed:?}");
    assert!(!replayed.stdout.contains("the configuration is another one"), "{replayed:?}");
    // With all lines of the log it is known which one.
    let all: Vec<String> = lines.iter().filter(|line| line.contains("event=verdict")).cloned().collect();
    let replayed = machine.run(&["explain", "--replay", &all.join("\n")]);
    assert!(replayed.stdout.contains("FRIENDS about client 8.8.0.2: then service-error"), "{replayed:?}");
}

/// A list in a file, beside a rule about what its entry says.
fn with_file(text: &str) -> (Names, Machine) {
    let names = Names::start();
    let machine = Machine::with(&names, &new_key(), &["ENFORCE_STAGE=mail", "ZRD_ENABLE=0"]);
    let file = machine.write("own.list", text);
    machine.write(
        "gatepost.toml",
        &format!(
            "[[list]]\nname = \"own\"\ntitle = \"Own list\"\nfile = \"{}\"\nformat = \"ip4set\"\n\
             answers = {{ bad = \"127.0.0.2\", odd = \"127.0.0.4\" }}\n\
             [[rule]]\nname = \"own\"\nlist = \"own\"\ncodes = \"bad\"\naction = \"reject\"\n\
             reply = \"550 5.7.1 {{ip}}: {{text}}\"\n",
            file.display()
        ),
    );
    (names, machine)
}

#[test]
fn what_a_file_says_is_evidence_like_any_other() {
    let (names, machine) = with_file("8.8.0.5 :2:a bad one\n8.8.0.6 :4:\n");
    let of = |client: &str| machine.run(&["explain", "--client", client, "--from", "u@ok.example"]);
    let refused = of("8.8.0.5");
    assert_eq!(refused.status, Some(1), "{refused:?}");
    for line in [
        "Own list listed: bad; reject",
        "own  fired, client 8.8.0.5 in Own list (bad): reject",
        "=> refused at MAIL: 550 5.7.1 8.8.0.5: a bad one",
    ] {
        assert!(refused.stdout.contains(line), "{line} in:\n{}", refused.stdout);
    }
    let odd = of("8.8.0.6");
    assert_eq!(odd.status, Some(0), "{odd:?}");
    let line = "own  did not fire: client 8.8.0.6 is in Own list with odd only";
    assert!(odd.stdout.contains(line), "{line} in:\n{}", odd.stdout);
    let clean = of("8.8.0.7");
    assert!(clean.status == Some(0) && clean.stdout.contains("Own list not listed"), "{clean:?}");
    assert!(
        !names.asked().iter().any(|asked| asked.name.contains("own")),
        "the file answers, and nobody else"
    );
}

#[test]
fn a_decision_by_a_file_is_made_again_with_the_file_of_today() {
    let (_names, machine) = with_file("8.8.0.5 :2:a bad one\n");
    let daemon = machine.start();
    let socket = format!("inet:{}@127.0.0.1", daemon.port);
    machine.run(&[
        "explain",
        "--via",
        &socket,
        "--client",
        "8.8.0.5",
        "--helo",
        "x.example",
        "--from",
        "u@ok.example",
    ]);
    let (_, lines) = daemon.stop();
    let log: Vec<String> = lines.into_iter().filter(|line| line.contains("action=reject")).collect();
    assert!(log.len() == 1 && log[0].contains("cache=file"), "{log:#?}");
    let replay = || machine.run(&["explain", "--replay", &log[0]]);
    let same = replay();
    assert!(same.status == Some(0) && same.stdout.contains("=> the same"), "{same:?}");
    for (text, now) in [("8.8.0.5 :4:\n", "listed: odd"), ("8.8.0.6 :2:\n", "not listed")] {
        machine.write("own.list", text);
        let other = replay();
        assert_eq!(other.status, Some(1), "{other:?}");
        for line in [
            "=> not the same",
            "the lists say something else now",
            &format!("Own list about client 8.8.0.5: then bad, now {now}"),
        ] {
            assert!(other.stdout.contains(line), "{line} in:\n{}", other.stdout);
        }
    }
}
