//! Starts that cannot succeed: one clear line each, with the remedy, and a status that says why.

use nix::sys::signal::Signal;
use nix::unistd::Uid;

use super::lists::list;
use super::process::new_key;
use super::{Machine, Names};

/// Starts a daemon that ends by itself with this status and one line that has all of these words.
fn fails(machine: &Machine, arguments: &[&str], key: &str, status: i32, words: &[&str]) {
    let ended = machine.run(&[&["run"], arguments].concat());
    assert_eq!(ended.status, Some(status), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for word in words {
        assert!(lines[0].contains(word), "{word} in {}", lines[0]);
    }
    assert!(!ended.stderr.contains(key) && ended.stdout.is_empty(), "{ended:?}");
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let (names, key) = (Names::start(), new_key());
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("inet:{}@127.0.0.1", holder.local_addr().expect("an address").port());
    let machine = Machine::with(&names, &key, &[]);
    let words = [&endpoint, "already in use", "ss -ltnxp", "choose another"];
    fails(&machine, &["--listen", &endpoint], &key, 69, &words);
}

#[test]
fn a_socket_path_that_is_a_regular_file_is_left_alone() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let file = machine.write("milter.sock", "precious");
    let endpoint = format!("unix:{}", file.display());
    fails(
        &machine,
        &["--listen", &endpoint],
        &key,
        69,
        &[&endpoint, "no socket", "remove it or choose another path"],
    );
    assert_eq!(std::fs::read_to_string(file).expect("still there"), "precious");
}

#[test]
fn a_socket_without_its_directory_says_what_to_make() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let endpoint = format!("unix:{}", machine.path("none/milter.sock").display());
    fails(&machine, &["--listen", &endpoint], &key, 69, &[&endpoint, "create the directory"]);
}

#[test]
fn a_key_file_that_cannot_be_read_is_named() {
    let machine = Machine::new();
    let missing = machine.path("no-such-key");
    // Root can read everything, but not a directory.
    for path in [missing, machine.path(".")] {
        let setting = format!("SPAMHAUS_DQS_API_KEY_FILE={}\n", path.display());
        machine.write("gatepost.env", &setting);
        fails(&machine, &[], "no key", 78, &["SPAMHAUS_DQS_API_KEY_FILE", &path.display().to_string()]);
    }
}

// case: Q12
#[test]
fn a_start_without_a_key_says_where_to_put_one() {
    fails(&Machine::new(), &[], "no key", 78, &["key", "SPAMHAUS_DQS_API_KEY"]);
    let placeholder = "REPLACE_ME_WITH_YOUR_DQS_KEY";
    fails(&Machine::new().env("API_KEY", placeholder), &[], placeholder, 78, &["SPAMHAUS_DQS_API_KEY"]);
}

#[test]
fn an_unknown_account_is_named_with_the_command_that_makes_it() {
    let (names, key) = (Names::start(), new_key());
    let socket = "milter.sock";
    let machine = Machine::with(&names, &key, &[]);
    let endpoint = format!("unix:{}", machine.path(socket).display());
    if Uid::effective().is_root() {
        // The last one given on the command line counts, and the machine gives one of its own.
        let machine = Machine::with(&names, &key, &["USER=no-such-account"]);
        let ended = machine.run_without_user(&["run", "--listen", &endpoint]);
        assert_eq!(ended.status, Some(78), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(
            ended.stderr.contains("no-such-account does not exist; make it with: useradd --system"),
            "{ended:?}"
        );
        assert!(!machine.path(socket).exists(), "nothing is left behind");
    } else {
        // Who is not root becomes nobody else, and needs no account for it.
        machine.configure(&names, &key, &["USER=no-such-account"]);
        let (status, lines) = machine.start().stop();
        assert_eq!(status, Some(0), "{lines:#?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let (names, key) = (Names::start(), new_key());
    let settings = [
        "ZEN_REJECT_CODES=2;3",
        "CACHE_MAX=-1",
        "IP_WHITELIST=8.8.0.2, bogus",
        "EXCEPTIONS_FILE=/x",
        "ENFORCE_STGE=mail",
    ];
    let machine = Machine::with(&names, &key, &settings);
    machine.write("gatepost.toml", "[dns]\nlifetime = \"soon\"\n");
    let ended = machine.run(&["run"]);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    for problem in [
        "ZEN_REJECT_CODES",
        "CACHE_MAX",
        "IP_WHITELIST",
        "entry 2",
        "EXCEPTIONS_FILE",
        "ENFORCE_STGE",
        "dns.lifetime",
    ] {
        assert!(ended.stderr.contains(problem), "{problem}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains(&key));
    assert_eq!(machine.run(&["check-config"]).stderr, ended.stderr, "check-config says the same");
}

#[test]
fn check_config_refuses_what_root_can_read_and_the_account_cannot() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let own = machine.write("own.list", "8.8.0.2\n");
    machine.write("gatepost.toml", &list(&own));
    let key_file = machine.write("dqs.key", &key);
    let machine = machine.env("API_KEY_FILE", &key_file.display().to_string());
    let ended = machine.run(&["check-config"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for file in ["gatepost.toml", "gatepost.env", "dqs.key", "own.list"] {
        machine.withhold(file);
        let ended = machine.run(&["check-config"]);
        assert_eq!(ended.status, Some(78), "{file}: {ended:?}");
        let is_told = |line: &&str| line.contains(file) && line.to_lowercase().contains("permission denied");
        let told = ended.stderr.lines().find(is_told).unwrap_or_else(|| panic!("{file}: {ended:?}"));
        assert!(!Uid::effective().is_root() || told.contains("&& chmod g+rX "), "{file}: {told}");
        machine.hand_over(file);
    }
}

#[test]
fn the_environment_alone_is_enough() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::new()
        .env("API_KEY", &key)
        .env("NAMESERVERS", &names.address().to_string())
        .env("LISTEN", "inet:0@127.0.0.1");
    let daemon = machine.start();
    assert_eq!(daemon.with(&["event=ready", "enforce=connect"]).len(), 1);
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn root_is_given_up_for_good() {
    let (names, key) = (Names::start(), new_key());
    let daemon = Machine::with(&names, &key, &[]).start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("its status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a field");
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(field("Uid:").iter().all(|uid| uid != "0"), "{status}");
    assert!(field("Groups:").iter().all(|gid| gid != "0"), "{status}");
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    let given_up = daemon.with(&["event=privileges"]).len();
    assert_eq!(given_up, usize::from(Uid::effective().is_root()));
}
