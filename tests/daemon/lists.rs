//! Lists in files under a daemon that runs: changed, broken, gone, elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;

use super::control::{control, machine, metrics, status};
use super::process::{Daemon, new_key, own};
use super::{Machine, Names, Phone, run};

/// The settings of a list in a file, with a rule that rejects.
pub(super) fn list(path: &Path) -> String {
    format!(
        "[[list]]\nname = \"own\"\nfile = \"{}\"\nformat = \"plain\"\nkind = \"address\"\n\
         [[rule]]\nname = \"own\"\nlist = \"own\"\naction = \"reject\"\n",
        path.display()
    )
}

/// Puts another file in the place of the list, as programs that fetch lists do.
fn replace(machine: &Machine, text: &str) {
    let aside = machine.write("aside", text);
    fs::rename(aside, machine.path("own.list")).expect("a new list");
}

fn with_list(names: &Names, key: &str, text: &str) -> Machine {
    let machine = machine(names, key, &["PROBE_INTERVAL=0"]);
    let path = machine.write("own.list", text);
    machine.write("gatepost.toml", &list(&path));
    machine
}

fn connect(daemon: &Daemon, client: &str) -> String {
    run(async { Phone::dial(daemon.port).await.connect(client).await })
}

#[test]
fn a_file_that_changes_under_a_daemon_changes_what_it_does() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\n");
    let mut daemon = machine.start();
    assert!(connect(&daemon, "8.8.0.2").starts_with("554 "), "{:#?}", daemon.lines());
    assert_eq!(connect(&daemon, "8.8.0.3"), "continue");
    replace(&machine, "8.8.0.3\n8.8.1.0/24\n");
    daemon.wait_for(&["INFO", "event=source", "entries=2", "read anew"]);
    assert_eq!(connect(&daemon, "8.8.0.2"), "continue");
    assert!(connect(&daemon, "8.8.0.3").starts_with("554 "));
    metrics(&machine).1.expect("gatepost_file_entries{zone=\"own\"}", 2.0);
    let zones = ["zen", "dbl", "zrd"];
    let known = |name: &str| name.rsplit('.').next().is_some_and(|zone| zones.contains(&zone));
    assert!(names.asked().iter().all(|asked| known(&asked.name)), "no question about it leaves");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_member_file_that_is_a_fifo_is_told_of_and_not_waited_for() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &["PROBE_INTERVAL=0"]);
    let path = machine.path("members");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("a FIFO");
    let policy = "[[recipient]]\nname = \"l\"\nrecipients = [\"l@own.example\"]\n";
    machine.write("gatepost.toml", &format!("{policy}senders = [\"file:{}\"]\n", path.display()));
    let checked = machine.run(&["check-config"]);
    let (daemon, told) = (machine.start(), "members: recipient.senders: this is a FIFO, not a file");
    let checked = checked.stdout + &checked.stderr;
    assert!(checked.contains(told), "{checked}");
    assert!(daemon.lines().iter().any(|line| line.contains(told)), "{:#?}", daemon.lines());
    assert_eq!(connect(&daemon, "8.8.0.3"), "continue");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_file_that_is_broken_leaves_what_was_read_before_and_is_told() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\n");
    let mut daemon = machine.start();
    replace(&machine, "8.8.0.3\n<html>\n8.8.0.\n");
    let line = daemon.wait_for(&["ERROR", "event=source", "what was read before stays"]);
    for word in ["own.list", "line=2", "<html>", "more=1"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(connect(&daemon, "8.8.0.2").starts_with("554 "));
    assert_eq!(connect(&daemon, "8.8.0.3"), "continue");
    let told = status(&machine);
    let file = &told["files"][0];
    assert_eq!(
        (&file["state"], &file["entries"], &file["failures"]),
        (&"failed".into(), &1.into(), &1.into())
    );
    assert!(file["problems"][1].as_str().is_some_and(|problem| problem.contains("own.list:3: ")), "{told}");
    let people = machine.run(&["status", "--control", &control(&machine)]).stdout;
    assert!(
        people.contains("own          failed; 1 entries of ") && people.contains("own.list:2: "),
        "{people}"
    );
    let (_, page) = metrics(&machine);
    page.expect("gatepost_file_healthy{zone=\"own\"}", 0.0);
    page.expect("gatepost_file_failures_total{zone=\"own\"}", 1.0);
    // A reload tells it as well, and changes nothing.
    let reload = machine.run(&["reload", "--control", &control(&machine)]);
    assert!(reload.status == Some(78) && reload.stderr.contains("own.list:2: list.own.file: "), "{reload:?}");
    assert!(connect(&daemon, "8.8.0.2").starts_with("554 "));
    replace(&machine, "8.8.0.3\n");
    daemon.wait_for(&["INFO", "event=source", "read anew"]);
    assert!(connect(&daemon, "8.8.0.3").starts_with("554 "));
    metrics(&machine).1.expect("gatepost_file_healthy{zone=\"own\"}", 1.0);
    // Gone, and it stays.
    fs::remove_file(machine.path("own.list")).expect("a list");
    daemon.wait_for(&["ERROR", "event=source", "No such file"]);
    assert!(connect(&daemon, "8.8.0.3").starts_with("554 "));
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_reload_reads_what_was_just_written_and_only_that() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\n");
    let mut daemon = machine.start();
    // In its place, as an editor may do it.
    fs::write(machine.path("own.list"), "8.8.0.3\n").expect("a list");
    let reload = machine.run(&["reload", "--control", &control(&machine)]);
    assert_eq!(reload.status, Some(0), "{reload:?}");
    assert!(connect(&daemon, "8.8.0.3").starts_with("554 "));
    daemon.wait_for(&["event=source", "read anew"]);
    for _ in 0..3 {
        let reload = machine.run(&["reload", "--control", &control(&machine)]);
        assert_eq!(reload.status, Some(0), "{reload:?}");
    }
    daemon.wait_for_more(&["event=reloaded"], 3);
    assert_eq!(daemon.with(&["event=source"]).len(), 1, "nothing is read again that did not change");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn reloads_that_come_at_once_are_all_answered() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\n");
    let mut daemon = machine.start();
    std::thread::scope(|scope| {
        let orders: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| machine.run(&["reload", "--control", &control(&machine)])))
            .collect();
        for _ in 0..8 {
            daemon.signal(Signal::SIGHUP);
        }
        for order in orders {
            let ended = order.join().expect("no panic");
            assert_eq!(ended.status, Some(0), "{ended:?}");
        }
    });
    daemon.wait_for(&["event=reloaded"]);
    assert_eq!(connect(&daemon, "8.8.0.3"), "continue");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_key_file_in_the_place_of_a_list_is_told_of_without_the_key() {
    let (names, secret) = (Names::start(), "abcdefghij0123456789klmnop\n");
    let machine = with_list(&names, &new_key(), "8.8.0.2\n");
    let mut daemon = machine.start();
    replace(&machine, secret);
    daemon.wait_for(&["ERROR", "event=source", "neither address nor network"]);
    let mut told = daemon.lines();
    for command in [&["status", "--json"][..], &["status"], &["reload"]] {
        let ended = machine.run(&[command, &["--control", &control(&machine)]].concat());
        assert!(format!("{ended:?}").contains("own.list:1: "), "{ended:?}");
        told.push(format!("{ended:?}"));
    }
    assert_eq!(daemon.stop().0, Some(0));
    for command in [&["run"][..], &["check-config"], &["doctor", "--offline"]] {
        let ended = machine.run(command);
        assert!(format!("{ended:?}").contains("own.list:1: "), "{ended:?}");
        told.push(format!("{ended:?}"));
    }
    assert!(told.iter().all(|line| !line.contains("abcdef")), "{told:#?}");
}

#[test]
fn a_start_with_a_broken_file_ends_with_every_line_of_it() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\nspam\n8.8.0.3\n8.8.0.0/99\n");
    for command in ["run", "check-config"] {
        let ended = machine.run(&[command]);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        for line in ["own.list:2: list.own.file: \"spam\"", "own.list:4: list.own.file: \"8.8.0.0/99\""] {
            assert!(ended.stderr.contains(line), "{line}: {ended:?}");
        }
    }
    let ended = machine.run(&["doctor", "--offline"]);
    assert!(ended.stdout.contains("own.list:4: "), "{ended:?}");
    replace(&machine, "8.8.0.2\n8.8.0.3\n");
    let ended = machine.run(&["doctor", "--offline"]);
    assert!(ended.stdout.contains("OWN has 2 entries in "), "{ended:?}");
    let ended = machine.run(&["check-config"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for (subject, listed) in [("8.8.0.3", true), ("8.8.0.4", false)] {
        let ended = machine.run(&["lookup", subject]);
        let word = if listed { "listed in OWN, reject" } else { "not listed in OWN" };
        assert!(ended.stdout.contains(&format!("{subject}: {word}")), "{ended:?}");
    }
    let ended = machine.run(&["explain", "--client", "8.8.0.3"]);
    assert!(ended.stdout.contains("=> refused at CONNECT: 554 5.7.1 "), "{ended:?}");
    let ended = machine.run(&["check-config"]);
    let told = format!("# list own: 2 entries in {}\n", machine.path("own.list").display());
    assert!(ended.stdout.contains(&told), "{ended:?}");
}

#[test]
fn what_is_wrong_with_files_is_told_with_everything_else() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\nspam\n");
    let other = machine.write("other.list", "mail.example\nbad name\n");
    machine.write(
        "gatepost.toml",
        &format!(
            "threads = 0\n{}[[list]]\nname = \"other\"\nfile = \"{}\"\nformat = \"plain\"\n\
             kind = \"domain\"\nlabel = \"Other\"\n",
            list(&machine.path("own.list")),
            other.display()
        ),
    );
    let ended = machine.run(&["check-config"]);
    assert_eq!((ended.status, &*ended.stdout), (Some(78), ""), "{ended:?}");
    for line in [
        "gatepost.toml:1:11: threads: ",
        "gatepost.toml:16:9: list.other.label: there is no such setting",
        "own.list:2: list.own.file: \"spam\"",
        // Of a list that is left out for another problem, too.
        "other.list:2: list.other.file: \"bad name\"",
    ] {
        assert!(ended.stderr.contains(line), "{line}: {ended:?}");
    }
    let told = ended.stderr.lines().filter(|line| !line.starts_with("    ")).count();
    assert_eq!(told, 4, "{ended:?}");
    let doctor = machine.run(&["doctor", "--offline"]);
    for part in ["threads ", "own.list:2: ", "other.list:2: "] {
        assert!(doctor.stdout.contains(part), "{part}: {doctor:?}");
    }
    // A reload tells them as well, and the daemon goes on.
    machine.write("own.list", "8.8.0.2\n");
    machine.write("gatepost.toml", &list(&machine.path("own.list")));
    let mut daemon = machine.start();
    replace(&machine, "8.8.0.3\nspam\n");
    daemon.wait_for(&["ERROR", "event=source"]);
    machine.write("gatepost.toml", &format!("threads = 0\n{}", list(&machine.path("own.list"))));
    let reload = machine.run(&["reload", "--control", &control(&machine)]);
    assert_eq!(reload.status, Some(78), "{reload:?}");
    for part in ["gatepost.toml:1:11: threads: ", "own.list:2: list.own.file: \"spam\""] {
        assert!(reload.stderr.contains(part), "{part}: {reload:?}");
    }
    assert!(connect(&daemon, "8.8.0.2").starts_with("554 "));
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_flush_of_the_cache_leaves_files_as_they_are() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\n");
    let daemon = machine.start();
    assert!(connect(&daemon, "8.8.0.2").starts_with("554 "));
    let control = control(&machine);
    let flush = |list: &[&str]| machine.run(&[&["cache", "flush", "--control", &control][..], list].concat());
    let all = flush(&[]);
    assert_eq!((all.status, &*all.stdout), (Some(0), "forgot the answers of all lists\n"), "{all:?}");
    let one = flush(&["--list", "own"]);
    assert_eq!(one.status, Some(64), "{one:?}");
    assert!(one.stderr.contains("own is a file, of which no answers are remembered"), "{one:?}");
    let unknown = flush(&["--list", "owm"]);
    assert_eq!(unknown.stderr, "there is no list owm; there are zen, dbl, zrd, authbl, own\n");
    assert!(connect(&daemon, "8.8.0.2").starts_with("554 "));
    assert_eq!(connect(&daemon, "8.8.0.3"), "continue");
    assert_eq!(status(&machine)["files"][0]["entries"], 1);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn doctor_looks_at_every_file_and_asks_nobody_about_it() {
    let (names, key) = (Names::start(), new_key());
    let machine = with_list(&names, &key, "8.8.0.2\n");
    let found = |machine: &Machine| {
        let ended = machine.run(&["doctor", "--offline", "--json"]);
        let of_file = ended
            .stdout
            .lines()
            .find(|line| line.contains("own.list") && line.contains("\"area\":\"lists\""));
        let line = of_file.unwrap_or_else(|| panic!("{ended:?}"));
        serde_json::from_str::<serde_json::Value>(line).expect("JSON")
    };
    assert_eq!(found(&machine)["level"], "ok");
    replace(&machine, "");
    let damaged = found(&machine);
    assert!(
        damaged["level"] == "wrong" && damaged.to_string().contains("there is nothing in it"),
        "{damaged}"
    );
    replace(&machine, "# nothing\n");
    let empty = found(&machine);
    assert!(empty["level"] == "ok" || empty["level"] == "warning", "{empty}");
    replace(&machine, "\u{feff}8.8.0.2\n");
    let marked = machine.run(&["doctor", "--offline"]);
    assert!(marked.stdout.contains("byte order mark"), "{marked:?}");
    fs::remove_file(machine.path("own.list")).expect("a list");
    let gone = found(&machine);
    assert!(gone["level"] == "wrong" && gone.to_string().contains("No such file"), "{gone}");
    assert!(names.asked().is_empty(), "{:?}", names.asked());
}

#[test]
fn a_list_outside_the_sandbox_is_told_with_the_restart() {
    let (names, key) = (Names::start(), new_key());
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).expect("a mode");
    let file = elsewhere.path().join("other.list");
    fs::write(&file, "8.8.0.3\n").expect("a file");
    own(&file);
    let machine = with_list(&names, &key, "8.8.0.2\n");
    let mut daemon = machine.start();
    machine.write("gatepost.toml", &list(&file));
    daemon.signal(Signal::SIGHUP);
    let line = daemon.wait_for(&["ERROR", "event=reload", "cannot be read before a restart"]);
    assert!(line.contains("list.own.file") && line.contains("systemctl restart gatepost"), "{line}");
    assert!(connect(&daemon, "8.8.0.2").starts_with("554 "), "as before");
    assert_eq!(daemon.stop().0, Some(0));
    // The restart. Now its directory is open, and what is put there later is read.
    let mut daemon = machine.start();
    assert!(connect(&daemon, "8.8.0.3").starts_with("554 "));
    let aside = elsewhere.path().join("aside");
    fs::write(&aside, "8.8.0.4\n").expect("a file");
    own(&aside);
    fs::rename(aside, &file).expect("a new list");
    daemon.wait_for(&["event=source", "read anew"]);
    assert!(connect(&daemon, "8.8.0.4").starts_with("554 "));
    assert_eq!(daemon.stop().0, Some(0));
}
