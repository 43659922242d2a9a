//! Holds the units of systemd against the code.

use std::fs;
use std::path::Path;

use gatepost::limits::Limits;

fn unit(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All values of a setting.
fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

fn number(unit: &str, name: &str) -> usize {
    match values(unit, name)[..] {
        [value] => value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")),
        ref all => panic!("{name}: {all:?}"),
    }
}

#[test]
fn the_service_has_room_for_every_connection() {
    let service = unit("gatepost.service");
    let limits = Limits::default();
    let connections = limits.connections + limits.spare_connections();
    // Each connection is kept through a restart, and with them a file of their states.
    assert!(number(&service, "FileDescriptorStoreMax") > connections);
    // While they are taken over each is open twice; questions need sockets, the process some files.
    assert!(number(&service, "LimitNOFILE") >= 2 * connections + limits.queries + 64);
    assert!(number(&unit("gatepost.socket"), "Backlog") >= limits.connections);
}

#[test]
fn a_restart_or_a_failure_cannot_take_the_sockets_away() {
    let service = unit("gatepost.service");
    assert_eq!(values(&service, "StartLimitIntervalSec"), ["0"]);
    for trap in ["RuntimeDirectory", "RestartPreventExitStatus", "Also", "EnvironmentFile"] {
        assert!(values(&service, trap).is_empty(), "{trap}");
    }
    // Tried again without end, but not in a storm; and in less time than mail servers are told to wait.
    assert_eq!(values(&service, "RestartSec"), ["1s"]);
    let newer = unit("systemd-254.conf");
    assert_eq!(values(&newer, "RestartMaxDelaySec"), ["3s"]);
    assert_eq!(values(&newer, "RestartSteps"), ["10"], "without steps the delay does not grow");
    // An absolute path that is missing stops the start, and so does a name that both kinds have.
    assert_eq!(values(&service, "LoadCredential"), ["dqs-key-plain:gatepost.dqs-key-plain"]);
    assert_eq!(values(&service, "LoadCredentialEncrypted"), ["dqs-key:gatepost.dqs-key"]);
}

#[test]
fn the_service_manager_feels_a_stuck_process() {
    let service = unit("gatepost.service");
    assert_eq!(values(&service, "Type"), ["notify"]);
    assert!((10..=60).contains(&number(&service, "WatchdogSec")));
    assert_eq!(values(&service, "Restart"), ["on-failure"]);
}

#[test]
fn a_reload_is_asked_for_and_waited_for() {
    // A signal would say nothing of a configuration that is not accepted.
    assert_eq!(values(&unit("gatepost.service"), "ExecReload"), ["!/usr/sbin/gatepost reload"]);
}

#[test]
fn the_sockets_have_the_names_that_the_daemon_knows() {
    for (name, descriptor, group) in [
        ("gatepost.socket", "milter", "gatepost"),
        ("gatepost-control.socket", "control", "gatepost-admin"),
        ("gatepost-metrics.socket", "metrics", "gatepost-exporter"),
    ] {
        let socket = unit(name);
        assert_eq!(values(&socket, "FileDescriptorName"), [descriptor], "{name}");
        assert_eq!(values(&socket, "SocketGroup"), [group], "{name}");
        assert_eq!(values(&socket, "SocketMode"), ["0660"], "{name}");
        let sockets = unit("gatepost.service");
        assert!(values(&sockets, "Sockets")[0].split(' ').any(|word| word == name), "{name}");
        assert!(
            unit("gatepost.preset").lines().any(|line| line == format!("enable {name}")),
            "{name} is not enabled"
        );
    }
}
