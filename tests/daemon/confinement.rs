//! What the process can still do, and what it says about it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::{fs, thread};

use landlock::{AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _};
use nix::sys::signal::Signal;
use nix::unistd::Uid;

use super::process::{Daemon, new_key, own};
use super::{Act, Machine, Names, Phone, run};

/// A line of /proc/PID/status.
fn status(daemon: &Daemon, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("a field").trim().to_owned()
}

#[test]
fn nothing_is_left_of_what_it_does_not_need() {
    let (names, key) = (Names::start(), new_key());
    let daemon = Machine::with(&names, &key, &["THREADS=2"]).start();
    for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status(&daemon, field), 16), Ok(0), "{field}");
    }
    assert_eq!(status(&daemon, "NoNewPrivs"), "1");
    if Uid::effective().is_root() {
        assert_eq!(u64::from_str_radix(&status(&daemon, "CapBnd"), 16), Ok(0));
        let ids = status(&daemon, "Uid");
        assert!(ids.split_whitespace().all(|id| id != "0"), "{ids}");
    }
    let process = format!("/proc/{}", daemon.id());
    assert_eq!(
        fs::metadata(format!("{process}/environ")).expect("it runs").uid(),
        0,
        "not dumpable: its files are root's"
    );
    let limits = fs::read_to_string(format!("{process}/limits")).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let told = daemon.with(&["event=confined"]);
    assert_eq!(told.len(), 1);
    for step in [
        "user enforced (",
        "groups ",
        "capabilities enforced",
        "no_new_privs enforced",
        "landlock ",
        "dumpable enforced",
        "core enforced",
    ] {
        assert!(told[0].contains(step), "{step}: {}", told[0]);
    }
    assert!(!told[0].contains("landlock off"), "the tests need a kernel with Landlock: {}", told[0]);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_key_file_outside_the_sandbox_is_told_with_the_restart() {
    let (names, key) = (Names::start(), new_key());
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).expect("a mode");
    let file = elsewhere.path().join("dqs.key");
    fs::write(&file, &key).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("a mode");
    own(&file);
    let setting = format!("API_KEY_FILE={}", file.display());
    for (sandbox, taken) in [("SANDBOX=on", false), ("SANDBOX=off", true)] {
        let machine = Machine::with(&names, &key, &[sandbox]);
        let mut daemon = machine.start();
        machine.configure(&names, &key, &[sandbox, &setting]);
        daemon.signal(Signal::SIGHUP);
        if taken {
            daemon.wait_for(&["event=reloaded"]);
        } else {
            let line = daemon.wait_for(&["ERROR", "event=reload", "cannot be read before a restart"]);
            let below = machine.path("").display().to_string();
            for word in
                [&file.display().to_string(), below.trim_end_matches('/'), "systemctl restart gatepost"]
            {
                assert!(line.contains(word), "{word}: {line}");
            }
            let told = machine.run(&["check-config"]).stderr;
            assert!(told.contains(&format!("key.file: {} lies outside ", file.display())), "{told}");
            // Next to the other files it is read, even a new one.
            let near = machine.write("dqs.key", &key);
            machine.configure(&names, &key, &[sandbox, &format!("API_KEY_FILE={}", near.display())]);
            daemon.signal(Signal::SIGHUP);
            daemon.wait_for(&["event=reloaded"]);
        }
        assert_eq!(daemon.stop().0, Some(0));
        let checked = machine.run(&["check-config"]);
        assert_eq!(checked.status, Some(0), "{checked:?}");
        assert!(!checked.stderr.contains("lies outside"), "{checked:?}");
        // That of the port of the name servers.
        assert_eq!(checked.stderr.contains("only after a restart"), !taken, "{checked:?}");
    }
}

#[test]
fn relative_names_are_read_again_in_the_sandbox() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]).at_home();
    let mut daemon = machine.start();
    assert!(daemon.with(&["a reload will not be able"]).is_empty(), "{:#?}", daemon.lines());
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for(&["event=reloaded"]);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_link_is_read_again_where_it_leads_and_elsewhere_takes_a_restart() {
    let (names, key) = (Names::start(), new_key());
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    for elsewhere in [&one, &other] {
        fs::set_permissions(elsewhere, fs::Permissions::from_mode(0o755)).expect("a mode");
        let file = elsewhere.path().join("dqs.key");
        fs::write(&file, &key).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("a mode");
        own(&file);
    }
    let machine = Machine::new();
    let link = machine.path("dqs.key");
    symlink(one.path().join("dqs.key"), &link).expect("a link");
    machine.write("gatepost.toml", &format!("[key]\nfile = \"{}\"\n", link.display()));
    let servers =
        format!("SPAMHAUS_DQS_NAMESERVERS={}\nSPAMHAUS_DQS_LISTEN=inet:0@127.0.0.1\n", names.address());
    machine.write("gatepost.env", &servers);
    let mut served = machine.start();
    served.signal(Signal::SIGHUP);
    served.wait_for(&["event=reloaded"]);
    fs::remove_file(&link).expect("a link");
    symlink(other.path().join("dqs.key"), &link).expect("a link");
    served.signal(Signal::SIGHUP);
    let told = served.wait_for(&["ERROR", "event=reload", "dqs.key"]);
    assert!(told.contains("cannot be read before a restart") && told.contains("systemctl restart"), "{told}");
    assert!(!told.contains("chmod"), "{told}");
    assert!(served.with(&["there is no DQS key"]).is_empty(), "it is there, but not known");
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn another_port_of_name_servers_takes_a_restart_and_changes_nothing() {
    let (names, others, key) = (Names::start(), Names::start(), new_key());
    others.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let machine = Machine::with(&names, &key, &[]);
    let mut daemon = machine.start();
    machine.configure(&others, &key, &[]);
    daemon.signal(Signal::SIGHUP);
    let line = daemon.wait_for(&["ERROR", "event=reload", "the configuration in force stays"]);
    let port = others.address().port().to_string();
    assert!(line.contains(&port) && line.contains("systemctl restart gatepost"), "{line}");
    run(async {
        let mut phone = Phone::dial(daemon.port).await;
        assert_eq!(phone.connect("8.8.0.2").await, "continue", "as the first server says");
        assert!(phone.quit().await);
    });
    assert_eq!(daemon.stop().0, Some(0));
    // The restart.
    let daemon = machine.start();
    run(async {
        assert!(Phone::dial(daemon.port).await.connect("8.8.0.2").await.starts_with("554 "));
    });
}

#[test]
fn an_answer_that_needs_tcp_comes_through_the_sandbox() {
    let (names, key) = (Names::start(), new_key());
    let listed = Act::records(["127.0.0.4"]);
    names.on("2.0.8.8.zen", Act::Cut(Box::new(listed)));
    let daemon = Machine::with(&names, &key, &[]).start();
    run(async {
        assert!(Phone::dial(daemon.port).await.connect("8.8.0.2").await.starts_with("554 "));
    });
    assert_eq!(daemon.stop().0, Some(0));
}

/// Runs something with as many Landlock layers as the kernel allows: it can add none.
fn without_landlock<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            for _ in 0..16 {
                let rules = Ruleset::default().handle_access(AccessFs::MakeChar).expect("a right");
                rules.create().expect("rules").no_new_privs(true).restrict_self().expect("a layer");
            }
            work()
        });
        thread.join().expect("no panic")
    })
}

#[test]
fn a_missing_step_is_told_and_fatal_if_all_are_required() {
    let (names, key) = (Names::start(), new_key());
    without_landlock(|| {
        let daemon = Machine::with(&names, &key, &[]).start();
        assert_eq!(daemon.with(&["event=confined", "landlock off ("]).len(), 1, "{:#?}", daemon.lines());
        assert_eq!(daemon.stop().0, Some(0));
        let machine = Machine::with(&names, &key, &["SANDBOX=require"]);
        let path = machine.path("milter.sock");
        let ended = machine.run(&["run", "--listen", &format!("unix:{}", path.display())]);
        assert_eq!(ended.status, Some(77), "{ended:?}");
        assert!(ended.stderr.contains("requires all of the confinement, but landlock off ("), "{ended:?}");
        assert!(!path.exists(), "nothing is left behind");
    });
    let ended = Machine::with(&names, &key, &["SANDBOX=sometimes"]).run(&["check-config"]);
    assert!(ended.status == Some(78) && ended.stderr.contains("choose from on, require, off"), "{ended:?}");
}

#[test]
fn a_file_that_a_group_of_the_account_may_read_is_read_at_a_reload_too() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    if !Uid::effective().is_root() {
        // The groups are those that it was started with.
        let daemon = machine.start();
        let own = fs::read_to_string("/proc/self/status").expect("a process");
        assert!(own.contains(&format!("Groups:\t{}", status(&daemon, "Groups"))), "{own}");
        assert_eq!(daemon.stop().0, Some(0));
        return;
    }
    // As Debian's ssl-cert: the account is a member, and it is not its own group.
    let groups = fs::read_to_string("/etc/group").expect("groups") + "gatepost-test-keys:x:54321:nobody\n";
    fs::write(machine.path("group"), groups).expect("a file");
    let file = machine.write("dqs.key", &key);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("a mode");
    std::os::unix::fs::chown(&file, Some(0), Some(54_321)).expect("root may");
    machine.configure(&names, &key, &[&format!("API_KEY_FILE={}", file.display())]);
    let among_groups = format!(
        "exec unshare --mount sh -c 'mount --bind {} /etc/group && exec \"$@\"' sh \"$@\";",
        machine.path("group").display()
    );
    let null = || fs::File::open("/dev/null").expect("it is everywhere");
    let machine = machine.launched(&among_groups, null(), null());
    let checked = machine.run(&["check-config"]);
    assert!(checked.status == Some(0) && !checked.stderr.contains("cannot read"), "{checked:?}");
    let mut daemon = machine.start();
    assert!(daemon.with(&["a reload will not be able"]).is_empty(), "{:#?}", daemon.lines());
    assert!(status(&daemon, "Groups").split(' ').any(|group| group == "54321"), "it has all its groups");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for(&["event=reloaded"]);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_file_that_only_root_can_read_is_told_at_start() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let path = machine.path("gatepost.toml");
    if Uid::effective().is_root() {
        std::os::unix::fs::chown(&path, Some(0), Some(0)).expect("root may");
        let daemon = machine.start();
        let line = daemon.with(&["WARN", "event=config", "a reload will not be able to read this file"]);
        assert_eq!(line.len(), 1, "{:#?}", daemon.lines());
        for word in ["mode=\"0600, owner 0:0\"", "chmod g+r", &path.display().to_string()] {
            assert!(line[0].contains(word), "{word}: {line:?}");
        }
        assert_eq!(daemon.stop().0, Some(0));
    } else {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("a mode");
        let ended = machine.run(&["run"]);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        assert!(ended.stderr.contains("cannot be read: permission denied; chown root:gatepost"), "{ended:?}");
    }
}
