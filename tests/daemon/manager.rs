//! What the service manager is told.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::process::{new_key, own};
use super::{Act, Machine, Names, Phone, run};

/// A service manager's ear.
pub(super) struct Ear(UnixDatagram);

impl Ear {
    pub(super) fn new(machine: Machine) -> (Self, Machine) {
        let path = machine.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        own(&path);
        socket.set_read_timeout(Some(Duration::from_mins(1))).expect("a time");
        let machine = machine.variable("NOTIFY_SOCKET", path.to_str().expect("text"));
        (Self(socket), machine)
    }

    /// The next message.
    pub(super) fn next(&self) -> String {
        let mut octets = [0; 4096];
        let count = self.0.recv(&mut octets).expect("a message in time");
        String::from_utf8(octets[..count].to_vec()).expect("text")
    }

    /// Whether a message with this word comes within that time.
    pub(super) fn hears_within(&self, time: Duration, word: &str) -> bool {
        let start = Instant::now();
        self.0.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
        let mut octets = [0; 4096];
        let mut heard = false;
        while start.elapsed() < time && !heard {
            let message = self.0.recv(&mut octets).map_or(&[][..], |count| &octets[..count]);
            heard = String::from_utf8_lossy(message).contains(word);
        }
        self.0.set_read_timeout(Some(Duration::from_mins(1))).expect("a time");
        heard
    }

    /// The first message from now on that holds these words.
    pub(super) fn hear(&self, words: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let message = self.next();
            if words.iter().all(|word| message.contains(word)) {
                return message;
            }
            assert!(start.elapsed() < Duration::from_mins(1), "{message} has not {words:?}");
        }
    }
}

#[test]
fn it_is_told_of_readiness_reloads_sessions_and_the_end() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let (ear, machine) = Ear::new(machine);
    let mut daemon = machine.start();
    let first = ear.next();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        first.contains("READY=1\n")
            && first.contains(&format!("STATUS={version}, 0 sessions open; zen ok, dbl ok, zrd ok")),
        "{first}"
    );
    run(async {
        let mut phone = Phone::dial(daemon.port).await;
        assert_eq!(phone.connect("8.8.0.2").await, "continue");
        ear.hear(&["STATUS=", "1 session open"]);
        assert!(phone.quit().await);
    });

    daemon.signal(Signal::SIGHUP);
    let reloading = ear.hear(&["RELOADING=1\n"]);
    let stamp = reloading.split("MONOTONIC_USEC=").nth(1).and_then(|rest| rest.lines().next());
    assert!(stamp.and_then(|stamp| stamp.parse::<u64>().ok()).is_some_and(|stamp| stamp > 0), "{reloading}");
    let ready = ear.hear(&["READY=1\n"]);
    assert!(!ready.contains("failed"), "{ready}");

    machine.configure(&names, &key, &["ENFORCE_STAGE=never"]);
    daemon.signal(Signal::SIGHUP);
    ear.hear(&["RELOADING=1\n"]);
    ear.hear(&["READY=1\n", "the last reload failed"]);
    machine.configure(&names, &key, &[]);
    daemon.signal(Signal::SIGHUP);
    assert!(!ear.hear(&["READY=1\n"]).contains("failed"));

    daemon.wait_for(&["event=reloaded"]);
    daemon.signal(Signal::SIGTERM);
    ear.hear(&["STOPPING=1\n", "STATUS="]);
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn the_status_line_names_the_list_in_trouble_and_a_missing_key() {
    let (names, key) = (Names::start(), new_key());
    names.script(|asked| {
        asked.full.ends_with(".zen.dq.spamhaus.net.").then(|| Act::records(["127.255.255.250"]))
    });
    let (ear, machine) = Ear::new(Machine::with(&names, &key, &[]));
    let daemon = machine.start();
    let line = ear.hear(&["STATUS=", "zen service error 250"]);
    assert!(line.contains(", dbl "), "{line}");
    assert_eq!(daemon.stop().0, Some(0));

    let (ear, machine) = Ear::new(Machine::with(&names, "", &["WITHOUT_KEY=accept"]));
    let daemon = machine.start();
    ear.hear(&["READY=1", "no key: all mail comes in"]);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_file_that_could_not_be_read_anew_is_in_the_status_line() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &["PROBE_INTERVAL=0"]);
    let file = machine.write("own.list", "8.8.0.2\n");
    machine.write(
        "gatepost.toml",
        &format!(
            "[[list]]\nname = \"own\"\nfile = \"{}\"\nformat = \"plain\"\nkind = \"address\"\n\
             [[rule]]\nname = \"own\"\nlist = \"own\"\naction = \"reject\"\n",
            file.display()
        ),
    );
    let (ear, machine) = Ear::new(machine);
    let daemon = machine.start();
    assert!(ear.next().trim_end().ends_with("zen ok, dbl ok, zrd ok"));
    let replace = |text: &str| {
        let aside = machine.write("aside", text);
        std::fs::rename(aside, &file).expect("a new list");
    };
    replace("8.8.0.3\nspam\n");
    let line = ear.hear(&["STATUS=", "; the file of own is wrong, what was read before is in use"]);
    assert!(line.contains("zen ok, dbl ok, zrd ok;"), "{line}");
    replace("8.8.0.3\n");
    let well = ear.hear(&["STATUS=", "sessions open; zen ok"]);
    assert!(!well.contains("own"), "{well}");
    assert_eq!(daemon.stop().0, Some(0));
}
