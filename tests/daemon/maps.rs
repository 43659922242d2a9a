//! Access maps on the command line: `map check`, `map query`, `lookup`, `explain`, `check-config`.

use gatepost::smtp::is_unprintable;
use serde_json::Value;

use super::control::{control, machine, metrics};
use super::process::new_key;
use super::{Machine, Names};

const MAP: &str = "# whom we know\nConnect:192.0.2\tREJECT\nConnect:192.0.2.9\tOK\nFrom:bad.example ERROR:5.7.1:550 go away\n\
                   gatepost-from:a.example !*+*!SKIP /^news/REJECT OK\nSpam:hater.example HATER\nTo:mail.example OK\n";

#[test]
fn map_check_tells_every_line_and_takes_a_map_that_is_good() {
    let machine = Machine::new();
    let good = machine.write("access", MAP).display().to_string();
    let checked = machine.run(&["map", "check", &good]);
    assert_eq!(
        (checked.status, &*checked.stdout),
        (Some(0), &*format!("text:{good}: 6 entries\n")),
        "{checked:?}"
    );
    let bad = machine
        .write("bad", "Connect:192.0.2 OK\n x OK\nFrom:a.example MAYBE\nFrom:b.example\n")
        .display()
        .to_string();
    let checked = machine.run(&["map", "check", &bad]);
    assert_eq!(checked.status, Some(78), "{checked:?}");
    let lines: Vec<&str> = checked.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, start) in
        lines.iter().zip(["2: the line begins", "3: MAYBE is no action", "4: there is a key and no value"])
    {
        assert!(line.starts_with(&format!("{bad}:{start}")), "{line}");
    }
    let postfix =
        machine.write("postfix", "192.0.2 REJECT\n  no\nx.example FILTER smtp:[::1]\n").display().to_string();
    assert_eq!(machine.run(&["map", "check", &postfix]).status, Some(78));
    let checked = machine.run(&["map", "check", "--syntax", "postfix", &postfix]);
    assert!(
        checked.status == Some(0) && checked.stdout.contains("postfix:3: FILTER is something"),
        "{checked:?}"
    );
    for (map, says) in [
        ("/nonexistent/map", "No such file"),
        ("hash:/etc/mail/access", "makemap -u hash"),
        ("/etc", "is a directory"),
    ] {
        let checked = machine.run(&["map", "check", map]);
        assert!(checked.status != Some(0) && checked.stderr.contains(says), "{checked:?}");
    }
}

#[test]
fn map_query_shows_the_chain_of_keys_and_the_line_that_was_found() {
    let machine = Machine::new();
    let map = machine.write("access", MAP).display().to_string();
    let told = machine.run(&["map", "query", &map, "connect", "192.0.2.7"]);
    assert_eq!(told.status, Some(1), "{told:?}");
    let expected = format!(
        "connect:192.0.2.7  -\nconnect:192.0.2    REJECT  ({map}:2)\n=> refused (550 5.7.1): connect:192.0.2 in {map}:2\n"
    );
    assert_eq!(told.stdout, expected);
    for (tag, subject, status, says) in [
        ("connect", "192.0.2.9", 0, "=> allowed: connect:192.0.2.9"),
        ("connect", "mx.other.example", 0, "=> the map says nothing"),
        ("from", "<x@sub.bad.example>", 1, "=> refused (550 5.7.1 go away): from:bad.example"),
        ("from", "newsletter@a.example", 1, "pattern 2"),
        ("from", "someone@a.example", 0, "the word at the end"),
        ("from", "<>", 0, "=> the map says nothing"),
        ("to", "b@hater.example", 0, "the recipient wants all checks (HATER)"),
        ("auth", "alice", 0, "=> the map says nothing"),
    ] {
        let told = machine.run(&["map", "query", &map, tag, subject]);
        assert!(told.status == Some(status) && told.stdout.contains(says), "{tag} {subject}: {told:?}");
    }
    let told = machine.run(&["map", "query", "--json", &map, "connect", "192.0.2.7"]);
    let value: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(
        (&value["result"], &value["key"], &value["value"]),
        (&"reject".into(), &"connect:192.0.2".into(), &"REJECT".into())
    );
    assert_eq!(value["chain"].as_array().map(Vec::len), Some(2));
    assert_eq!(machine.run(&["map", "query", &map, "to", "<>"]).status, Some(64));
}

#[test]
fn lookup_explain_and_check_config_know_the_maps_of_the_configuration() {
    let names = Names::start();
    let machine = Machine::with(&names, &new_key(), &["ENFORCE_STAGE=rcpt"]);
    let map = machine.write("access", MAP).display().to_string();
    machine.write("gatepost.toml", &format!("[access]\nmap = [\"text:{map}\"]\n"));
    let checked = machine.run(&["check-config"]);
    assert!(checked.stdout.contains(&format!("# access map text:{map}: 6 entries\n")), "{checked:?}");
    let looked = machine.run(&["lookup", "192.0.2.7", "x@bad.example"]);
    assert_eq!(looked.status, Some(1), "{looked:?}");
    for part in [
        format!("192.0.2.7: text:{map} as client, refused (550 5.7.1): connect:192.0.2 in {map}:2\n"),
        "  connect:192.0.2.7  -\n".to_owned(),
        format!("x@bad.example: text:{map} as sender, refused (550 5.7.1 go away)"),
        format!("x@bad.example: text:{map} as recipient, the map says nothing"),
    ] {
        assert!(looked.stdout.contains(&part), "{part} in {}", looked.stdout);
    }
    let explain = |recipient| {
        machine.run(&["explain", "--client", "192.0.2.7", "--from", "a@b.example", "--rcpt", recipient])
    };
    let explained = explain("c@other.example");
    assert_eq!(explained.status, Some(1), "{explained:?}");
    for part in [
        format!("access: reject, connect:192.0.2 in {map}:2\n"),
        format!("decided by access: reject, connect:192.0.2 in {map}:2\n"),
        "=> refused at RCPT: 550 5.7.1 Access denied\n".to_owned(),
    ] {
        assert!(explained.stdout.contains(&part), "{part} in {}", explained.stdout);
    }
    let spared = explain("c@mail.example");
    assert!(
        spared.status != Some(1) && spared.stdout.contains("access: allow, to:mail.example in "),
        "{spared:?}"
    );
    machine.write("access", "Connect:192.0.2 MAYBE\n");
    let broken = machine.run(&["check-config"]);
    assert!(
        broken.status == Some(78) && broken.stderr.contains("access:1: access.map: MAYBE is no action"),
        "{broken:?}"
    );
}

#[test]
fn lookup_names_the_policy_of_a_recipient() {
    let names = Names::start();
    let machine = Machine::with(&names, &new_key(), &[]);
    machine.write(
        "gatepost.toml",
        "[[recipient]]\nname = \"announce\"\nrecipients = [\"announce@mail.example\"]\nsenders = [\"boss@mail.example\"]\n",
    );
    let looked = machine.run(&["lookup", "Announce+x@mail.example", "other@mail.example"]);
    assert_eq!(looked.status, Some(0), "{looked:?}");
    let told = "Announce+x@mail.example: recipient-announce says who may write to it\n";
    assert!(
        looked.stdout.contains(told) && !looked.stdout.contains("other@mail.example: recipient-"),
        "{looked:?}"
    );
    let looked = machine.run(&["lookup", "--json", "announce@mail.example"]);
    assert!(
        looked.stdout.contains(
            "{\"as\":\"recipient\",\"policy\":\"recipient-announce\",\"query\":\"announce@mail.example\"}\n"
        ),
        "{looked:?}"
    );
    let chosen = machine.run(&["lookup", "--list", "dbl", "announce@mail.example"]);
    assert!(!chosen.stdout.contains("recipient-"), "{chosen:?}");
}

#[test]
fn a_running_daemon_tells_of_its_maps_and_of_a_broken_one() {
    let names = Names::start();
    let machine = machine(&names, &new_key(), &["PROBE_INTERVAL=0", "ENFORCE_STAGE=rcpt"]);
    let map = machine.write("access", MAP).display().to_string();
    machine.write("gatepost.toml", &format!("[access]\nmap = [\"text:{map}\"]\n"));
    let mut daemon = machine.start();
    let told = machine.run(&["status", "--control", &control(&machine)]).stdout;
    assert!(told.contains(&map) && told.contains("6 entries"), "{told}");
    let aside = machine.write("aside", "Connect:192.0.2 MAYBE\n");
    std::fs::rename(aside, &map).expect("in its place");
    daemon.wait_for(&["ERROR", "event=source", "line=1", "MAYBE is no action"]);
    let told = machine.run(&["status", "--control", &control(&machine)]).stdout;
    assert!(told.contains("access:1: MAYBE is no action"), "{told}");
    metrics(&machine).1.expect("gatepost_file_healthy{zone=\"access\"}", 0.0);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn nothing_that_a_terminal_acts_on_leaves_a_command() {
    let names = Names::start();
    let machine = machine(&names, &new_key(), &["PROBE_INTERVAL=0", "ENFORCE_STAGE=rcpt"]);
    // Turned the other way, and a control of the second kind.
    let map = machine.write("access", "From:b.example REJECT go \u{9b}31m\u{202e}\n").display().to_string();
    let own = machine.write("people", "a\u{202e}\u{200b}b@b.example\n").display().to_string();
    let table = format!("name = \"people\"\nfile = \"{own}\"\nformat = \"plain\"\nkind = \"mailbox\"");
    machine.write("gatepost.toml", &format!("[access]\nmap = [\"text:{map}\"]\n[[list]]\n{table}\n"));
    let _daemon = machine.start();
    let (sender, control) = ("x\u{202e}\u{9b}2J\u{2028}@b.example", control(&machine));
    let log =
        format!("event=verdict stage=mail action=reject mail_from=\"{sender}\" rule=\u{202e}z reply=\u{9b}");
    for command in [
        &["lookup", sender][..],
        &["lookup", "a\u{202e}\u{200b}b@b.example"],
        &["explain", "--from", sender, "--rcpt", sender],
        &["explain", "--replay", &log],
        &["map", "query", &map, "from", sender],
        &["status", "--control", &control],
        &["show-config"],
    ] {
        for form in [&[][..], &["--json"]] {
            if (command[0], form) == ("show-config", &[]) {
                // A file, which says the same.
                continue;
            }
            let ended = machine.run(&[command, form].concat());
            let is_shown = |c: char| c == '\n' || !is_unprintable(c);
            assert!(!ended.stdout.is_empty() && ended.stdout.chars().all(is_shown), "{command:?}: {ended:?}");
            let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok();
            assert!(form.is_empty() || ended.stdout.lines().all(is_json), "{command:?}: {ended:?}");
        }
    }
}
