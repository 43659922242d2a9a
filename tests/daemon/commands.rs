//! The commands for administrators.

use hickory_proto::op::ResponseCode;
use serde_json::Value;

use super::process::{Ended, new_key};
use super::{Act, Machine, Names};

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A machine whose name server lists a few subjects.
fn listed() -> (Names, Machine) {
    let names = Names::start();
    names.on("2.0.8.8.zen", Act::records(["127.0.0.2", "127.0.0.10"]));
    names.on("3.0.8.8.zen", Act::Code(ResponseCode::ServFail));
    names.on("spam.example.dbl", Act::records(["127.0.1.4"]));
    let machine = Machine::with(&names, &new_key(), &["ENFORCE_STAGE=mail"]);
    (names, machine)
}

#[test]
fn check_config_shows_every_setting_with_its_source() {
    let (_names, machine) = listed();
    machine.write("gatepost.toml", "[cache]\nmax = 7\n[enforce]\nstage = \"rcpt\"\n");
    let machine = machine.env("DNS_LIFETIME", "1.5");
    let ended = machine.run(&["check-config"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for (setting, source) in [
        ("cache.max", "= 7"),
        ("cache.max", "gatepost.toml:2"),
        ("enforce.stage", "= mail"),
        ("enforce.stage", "gatepost.env:5"),
        ("dns.lifetime", "= 1.5"),
        ("dns.lifetime", "environment"),
        ("zen.enable", "= 1"),
        ("key.value", "(set)"),
    ] {
        let line = ended.stdout.lines().find(|line| line.starts_with(setting)).expect("a line");
        assert!(line.contains(source), "{source} in {line}");
    }
}

#[test]
fn whoever_reads_only_the_first_lines_of_a_command_makes_no_error() {
    let (_names, machine) = listed();
    for command in [&["check-config"][..], &["show-config"], &["lookup", "8.8.0.2"], &["mta", "postfix"]] {
        let (read, unread) = (machine.run(command), machine.run_unread(command));
        assert_eq!((unread.status, unread.stderr), (read.status, read.stderr), "{command:?}");
    }
}

#[test]
fn show_config_is_a_file_that_says_the_same_and_tells_where_all_comes_from() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &["ENFORCE_STAGE=rcpt"]).env("DNS_LIFETIME", "1.5");
    let own_key = new_key();
    let file = machine.write("own.key", &own_key);
    let policy = include_str!("../data/policy.toml").replace(
        "zone = \"list.example\"",
        &format!("zone = \"list.example\"\nkey_file = \"{}\"", file.display()),
    );
    let policy = format!("# made for a test\n{policy}");
    machine.write("gatepost.toml", &policy);
    let plain = machine.run(&["show-config"]);
    assert_eq!((plain.status, &*plain.stderr), (Some(0), ""), "{plain:?}");
    for line in [
        "enforce.stage = \"rcpt\"\n",
        "dns.lifetime = 1.5\n",
        "# key.value is set, from ",
        "[[rule]]\n",
        "action = \"quarantine\"\n",
    ] {
        assert!(plain.stdout.contains(line), "{line} in {}", plain.stdout);
    }
    // Another machine, which has the key from elsewhere and everything else from that file.
    let other = Machine::new().env("API_KEY", &key);
    other.write("gatepost.toml", &plain.stdout);
    let again = other.run(&["show-config"]);
    let without_key = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("# key.value")).map(str::to_owned).collect()
    };
    assert_eq!(without_key(&again.stdout), without_key(&plain.stdout));
    let checked = other.run(&["check-config"]);
    assert!(checked.stdout.contains("expectations are met"), "{checked:?}");

    let told = machine.run(&["show-config", "--changed", "--origin"]);
    for (setting, source) in [
        ("enforce.stage", "gatepost.env:5"),
        ("dns.lifetime", "# environment, SPAMHAUS_DQS_DNS_LIFETIME"),
        ("zen.action", "gatepost.toml:8:10"),
        ("user", "# command line"),
        ("[score]", "gatepost.toml:"),
    ] {
        let line = told.stdout.lines().find(|line| line.starts_with(setting)).expect("a line");
        assert!(line.contains(source), "{source} in {line}");
    }
    assert!(!told.stdout.contains("cache.max") && plain.stdout.contains("cache.max = 20000\n"));
    let whole = machine.run(&["show-config", "--json"]);
    let whole_json = json(&whole.stdout);
    let find = |kind: &str, name: &str| {
        let all = whole_json[kind].as_array().expect("a list").iter();
        all.clone().find(|one| one["name"] == name).cloned().unwrap_or_else(|| panic!("{kind} {name}"))
    };
    assert_eq!(find("settings", "dns.lifetime")["value"], 1.5);
    assert_eq!(
        (&find("settings", "key.value")["value"], &find("settings", "key.value")["set"]),
        (&Value::Null, &true.into())
    );
    assert_eq!(
        (&find("lists", "own")["key_set"], &find("lists", "zen")["key_set"]),
        (&true.into(), &true.into())
    );
    assert_eq!(find("lists", "friends")["key_set"], Value::Null);
    assert_eq!(find("rules", "later")["effect"], "would reject");
    assert_eq!(find("rules", "zen")["origin"], "made of settings");
    for ended in [plain, told, whole, again] {
        let text = ended.stdout.to_lowercase();
        assert!(!text.contains(&key) && !text.contains(&own_key), "{text}");
    }
    machine.write("gatepost.toml", "[enforce]\nstage = \"never\"\n");
    let broken = machine.run(&["show-config"]);
    assert_eq!((broken.status, &*broken.stdout), (Some(78), ""), "{broken:?}");
}

#[test]
fn lookup_says_by_its_status_what_it_found() {
    let (_names, machine) = listed();
    for (subjects, status, words) in [
        (&["8.8.0.9"][..], 0, &["8.8.0.9: not listed in ZEN"][..]),
        (&["ok.example"], 0, &["not listed in DBL", "not listed in ZRD"]),
        (&["8.8.0.2"], 1, &["8.8.0.2: listed in ZEN, reject", "127.0.0.2  ", "127.0.0.10  "]),
        (&["u@spam.example"], 1, &["u@spam.example (spam.example): listed in DBL, reject", "127.0.1.4  "]),
        (&["SPAM.Example."], 1, &["listed in DBL"]),
        (&["8.8.0.3"], 2, &["ZEN could not tell", "SERVFAIL"]),
        (&["8.8.0.3", "8.8.0.2"], 1, &["could not tell", "listed in ZEN"]),
        (&["8.8.0.2", "8.8.0.3"], 1, &["could not tell", "listed in ZEN"]),
        (&["8.8.0.3", "8.8.0.9"], 2, &["could not tell", "not listed"]),
        (&["192.0.2.1"], 0, &["a special-purpose address: the daemon does not ask"]),
    ] {
        let ended = machine.run(&[&["lookup"], subjects].concat());
        assert_eq!(ended.status, Some(status), "{subjects:?}: {ended:?}");
        assert!(words.iter().all(|word| ended.stdout.contains(word)), "{subjects:?}: {}", ended.stdout);
    }
    for wrong in [
        &["lookup"][..],
        &["lookup", "b@d@"],
        &["lookup", "not a domain"],
        &["lookup", "--jsn", "x"],
        &["nothing"],
    ] {
        let ended = machine.run(wrong);
        assert_eq!((ended.status, &*ended.stdout), (Some(64), ""), "{wrong:?}: {ended:?}");
        assert!(!ended.stderr.is_empty());
    }
}

#[test]
fn lookup_speaks_json() {
    let (_names, machine) = listed();
    let Ended { status, stdout, .. } = machine.run(&["lookup", "--json", "8.8.0.2", "ok.example", "8.8.0.3"]);
    let lines: Vec<Value> = stdout.lines().map(json).collect();
    assert_eq!((status, lines.len()), (Some(1), 4), "{stdout}");
    let results: Vec<_> = lines.iter().map(|line| (line["list"].as_str(), line["result"].as_str())).collect();
    let pair = |list, result| (Some(list), Some(result));
    assert_eq!(
        results,
        [pair("zen", "listed"), pair("dbl", "not-listed"), pair("zrd", "not-listed"), pair("zen", "unknown")]
    );
    assert_eq!(lines[0]["codes"][1]["code"], "127.0.0.10");
    assert_eq!(lines[0]["action"], "reject");
    assert_eq!(lines[3]["trouble"], "servfail");
}

#[test]
fn explain_plays_a_session_and_tells_all_of_it() {
    let (names, machine) = listed();
    let session = ["explain", "--client", "8.8.0.2", "--helo", "mx.example", "--from", "<u@ok.example>"];
    let ended = machine.run(&session);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    for word in [
        "client  8.8.0.2",
        "ZEN  listed",
        "mx.example",
        "=> refused at MAIL: 554 5.7.1 Client host [8.8.0.2]",
    ] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
    let ended = machine.run(&[&session[..], &["--auth", "alice"]].concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("=> let in"), "{}", ended.stdout);
    // Only a part of a session: judged as if it went no further.
    let ended = machine.run(&["explain", "--client", "8.8.0.2"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let ended = machine.run(&["explain", "--client", "8.8.0.9", "--helo", "ok.example"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let asked = names.total();
    let ended = machine.run(&["explain", "--client", "8.8.0.2", "--port", "587"]);
    assert_eq!((ended.status, names.total()), (Some(0), asked), "{ended:?}");
    let ended = machine.run(&["explain", "--client", "8.8.0.3", "--from", "<>"]);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let ended = machine.run(&["explain", "--json", "--client", "8.8.0.9", "--from", "<u@spam.example>"]);
    let played = json(&ended.stdout);
    assert_eq!(
        (ended.status, &played["decision"], &played["stage"]),
        (Some(1), &"reject".into(), &"mail".into())
    );
    assert!(played["reply"].as_str().is_some_and(|reply| reply.starts_with("550 5.7.1 Sender domain ")));
    assert_eq!(played["findings"].as_array().map(Vec::len), Some(3));
    assert_eq!(machine.run(&["explain", "--client", "no address"]).status, Some(64));
}

#[test]
fn demo_needs_nothing_and_ends_well() {
    let machine = Machine::new();
    let ended = machine.run(&["demo"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for word in [
        "refused at MAIL: 554 5.7.1",
        "refused at MAIL: 550 5.7.1",
        "let in",
        "All sessions ended as they should.",
    ] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let machine = Machine::new();
    for arguments in [&["--help"][..], &["--version"], &["lookup", "--help"], &["run", "--help"]] {
        let ended = machine.run(arguments);
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "{arguments:?}");
        assert!(ended.stdout.contains("gatepost"), "{}", ended.stdout);
    }
}
