//! SIGHUP: new rules for new sessions, a new key for all, and no harm from a broken file.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::process::new_key;
use super::{Act, Daemon, Machine, Names, Phone, run};

/// Tells the daemon to reload, and waits until it has.
fn reload(daemon: &mut Daemon) {
    let known = daemon.with(&["event=reloaded"]).len();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_more(&["event=reloaded"], known);
}

// case: 66
#[test]
fn new_rules_are_for_new_sessions() {
    let (names, key) = (Names::start(), new_key());
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let machine = Machine::with(&names, &key, &["ENFORCE_STAGE=mail"]);
    let mut daemon = machine.start();
    run(async {
        let mut open = Phone::dial(daemon.port).await;
        assert_eq!(open.connect("8.8.0.2").await, "continue");
        machine.configure(&names, &key, &["ENFORCE_STAGE=connect"]);
        reload(&mut daemon);
        let mut new = Phone::dial(daemon.port).await;
        assert!(new.connect("8.8.0.2").await.starts_with("554 "));
        machine.configure(&names, &key, &["IP_WHITELIST=8.8.0.0/24"]);
        reload(&mut daemon);
        let mut spared = Phone::dial(daemon.port).await;
        assert_eq!(spared.connect("8.8.0.2").await, "continue");
        assert!(open.from("<u@ok.example>").await.starts_with("554 "), "as it began");
    });
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0), "{lines:#?}");
}

#[test]
fn sessions_of_expectations_leave_no_line() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &["ENFORCE_STAGE=mail"]);
    let expect = "[[expect]]\nclient = \"192.0.2.1\"\nsender = \"a@spam.example\"\n\
                  answers = { zen = \"127.0.0.4\", dbl = \"timeout\" }\ndecision = \"reject\"\n";
    machine.write("gatepost.toml", expect);
    let mut daemon = machine.start();
    reload(&mut daemon);
    // One that is not met is told, and only that.
    machine.write("gatepost.toml", &expect.replace("= \"reject\"", "= \"accept\""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for(&["event=reload ", "accept is expected, but it is reject at mail by rule zen"]);
    machine.write("gatepost.toml", "");
    reload(&mut daemon);
    run(async {
        let mut phone = Phone::dial(daemon.port).await;
        assert_eq!(phone.connect("8.8.0.2").await, "continue");
        assert_eq!(phone.from("<u@ok.example>").await, "continue");
        assert!(phone.quit().await);
    });
    let (_, lines) = daemon.stop();
    let with = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(!with("192.0.2.1 ") && !with("subject=spam.example"), "{lines:#?}");
    assert!(with("event=verdict") && with("subject=ok.example"), "the log goes on: {lines:#?}");
}

// case: K08
#[test]
fn a_new_key_serves_fifty_open_sessions_within_a_second() {
    let (names, old, new) = (Names::start(), new_key(), new_key());
    let disabled = old.clone();
    names.script(move |asked| {
        let listed = || (asked.name == "spam.example.dbl").then(|| Act::records(["127.0.1.2"]));
        if asked.full.contains(&disabled) { Some(Act::records(["127.255.255.250"])) } else { listed() }
    });
    let machine = Machine::with(&names, &old, &["ENFORCE_STAGE=mail"]);
    let mut daemon = machine.start();
    run(async {
        let mut open = Vec::new();
        for _ in 0..50 {
            let mut phone = Phone::dial(daemon.port).await;
            assert_eq!(phone.connect("8.8.0.2").await, "continue");
            assert_eq!(phone.from("<u@spam.example>").await, "continue");
            phone.abort().await;
            open.push(phone);
        }
        machine.configure(&names, &new, &["ENFORCE_STAGE=mail"]);
        reload(&mut daemon);
        let start = Instant::now();
        for phone in &mut open {
            assert!(phone.from("<u@spam.example>").await.starts_with("550 5.7.1 Sender domain spam.example"));
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        for phone in open {
            assert!(phone.quit().await);
        }
    });
    let last = names.asked().pop().expect("questions");
    assert!(last.full.contains(&new));
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0));
    assert!(lines.iter().all(|line| !line.contains(&old) && !line.contains(&new)));
}

#[test]
fn a_broken_file_changes_nothing() {
    let (names, key) = (Names::start(), new_key());
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let machine = Machine::with(&names, &key, &["IP_WHITELIST=8.8.0.9"]);
    let mut daemon = machine.start();
    for (n, broken) in ["ENFORCE_STAGE=never", "IP_WHITELIST=8.8.0.2,bogus", "LISTEN"].into_iter().enumerate()
    {
        machine.configure(&names, &key, &[broken]);
        daemon.signal(Signal::SIGHUP);
        let line = daemon.wait_for_more(&["ERROR", "event=reload", "the configuration in force stays"], n);
        assert!(line.contains("gatepost.env:5"), "{line}");
        run(async {
            let mut phone = Phone::dial(daemon.port).await;
            assert!(phone.connect("8.8.0.2").await.starts_with("554 "));
        });
    }
    // A setting that cannot change is named.
    machine.configure(&names, &key, &["THREADS=2"]);
    reload(&mut daemon);
    assert_eq!(daemon.with(&["WARN", "setting=threads", "at the next restart"]).len(), 1);
    let (_, lines) = daemon.stop();
    assert!(lines.iter().all(|line| !line.contains(&key)));
}
