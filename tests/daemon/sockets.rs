//! Unix sockets of our own: owner, group and permissions.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use nix::unistd::{Gid, Group, Uid};

use super::process::new_key;
use super::{Machine, Names};

#[test]
fn a_socket_gets_the_group_and_the_permissions_of_the_settings() {
    let (names, key) = (Names::start(), new_key());
    // Who is not root can give a file to a group of its own only.
    let group = if Uid::effective().is_root() {
        Group::from_name("mail").expect("groups").expect("the group mail")
    } else {
        Group::from_gid(Gid::effective()).expect("groups").expect("a group of its own")
    };
    for mode in [0o600, 0o660, 0o666] {
        let machine = Machine::new();
        let path = machine.path("milter.sock");
        machine.configure(
            &names,
            &key,
            &[&format!("SOCKET_GROUP={}", group.name), &format!("SOCKET_MODE={mode:04o}")],
        );
        let machine = machine.env("LISTEN", &format!("unix:{}", path.display()));
        let daemon = machine.start();
        let file = std::fs::metadata(&path).expect("a socket");
        assert_eq!((file.gid(), file.permissions().mode() & 0o7777), (group.gid.as_raw(), mode));
        if Uid::effective().is_root() {
            assert_ne!(file.uid(), 0, "it goes to the account");
        }
        assert_eq!(daemon.with(&["event=ready", &format!("unix:{} (environment)", path.display())]).len(), 1);
        assert_eq!(daemon.stop().0, Some(0));
        assert!(!path.exists(), "it goes with its maker");
    }
}

#[test]
fn an_unknown_group_or_owner_is_named_and_leaves_no_socket() {
    let (names, key) = (Names::start(), new_key());
    for (setting, words) in [
        (
            "SOCKET_GROUP=no-such-group",
            "socket.group: the group no-such-group does not exist; name that of the MTA",
        ),
        ("SOCKET_OWNER=no-such-account", "socket.owner: the account no-such-account does not exist"),
    ] {
        let machine = Machine::with(&names, &key, &[setting]);
        let path = machine.path("milter.sock");
        let endpoint = format!("unix:{}", path.display());
        for command in ["run", "check-config"] {
            let ended = machine.run(&[command, "--listen", &endpoint]);
            assert_eq!(ended.status, Some(78), "{ended:?}");
            let lines = ended.stderr.lines().filter(|line| line.contains(words)).count();
            assert_eq!(lines, 1, "{ended:?}");
        }
        assert!(!path.exists(), "nothing is left behind");
    }
}

#[test]
fn permissions_that_no_socket_has_are_refused() {
    let (names, key) = (Names::start(), new_key());
    for mode in ["0777", "660a", "0060", "66", "06600"] {
        let ended = Machine::with(&names, &key, &[&format!("SOCKET_MODE={mode}")]).run(&["check-config"]);
        assert_eq!(ended.status, Some(78), "{mode}");
        assert!(
            ended.stderr.contains("SPAMHAUS_DQS_SOCKET_MODE") && ended.stderr.contains("0660"),
            "{ended:?}"
        );
    }
}
