//! `gatepost key`: puts the DQS key where the service finds it and nobody else does.
//!
//! With systemd it becomes a credential, encrypted where the system can; without, a file. The key
//! travels through standard input only: an argument or a variable would show it to others.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::args::KeyVerb;
use super::host::{ask, feed, systemd, tell};
use crate::config::Sources;
use crate::daemon::{Account, Exit};
use crate::dns::Key;

/// The name of the credential, as the unit loads it and as `systemd-creds` seals it into the text.
const CREDENTIAL: &str = "dqs-key";
/// Where systemd looks for a credential that a unit names without a path (systemd.exec(5)). It looks for each
/// kind in the directory of the other as well, and does not start the unit if it finds the wrong one there: so
/// the two have names of their own.
const ENCRYPTED: &str = "/etc/credstore.encrypted/gatepost.dqs-key";
const PLAIN: &str = "/etc/credstore/gatepost.dqs-key-plain";
/// Without systemd: a file for `key.file`.
const FILE: &str = "/etc/gatepost/dqs-key";
/// Longest text that is looked at: a key has 63 octets at most.
const LONGEST: u64 = 4096;

pub(super) fn run(sources: &Sources, verb: &KeyVerb) -> Exit {
    let done = match verb {
        KeyVerb::Set => set(),
        KeyVerb::Fingerprint => return fingerprint(sources),
        KeyVerb::Remove => remove(),
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(Failure(exit, text)) => {
            eprintln!("key: {text}");
            exit
        }
    }
}

/// Why it was not done, and the status that says so.
struct Failure(Exit, String);

impl Failure {
    fn of(path: &Path, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::PermissionDenied { Exit::Permission } else { Exit::Io };
        let hint = if exit == Exit::Permission { "; run it as root" } else { "" };
        Self(exit, format!("{}: {error}{hint}", path.display()))
    }
}

fn set() -> Result<(), Failure> {
    let text = read().map_err(|error| Failure(Exit::Io, error))?;
    let key = Key::new(text.trim()).map_err(|error| {
        Failure(
            Exit::Config,
            format!("{error}; nothing was changed. The key is in your Spamhaus account, under DQS"),
        )
    })?;
    let line = Zeroizing::new(text.trim().to_owned());
    let (place, how) = if systemd::is_booted() { credential(&line)? } else { (file(&line)?, "in a file") };
    if let Err(why) = label(&place) {
        eprintln!("key: {why}; give it the label of its path: restorecon -v {}", place.display());
    }
    sayln!("key {} is kept {how}: {}", key.fingerprint(), place.display());
    match &*place {
        path if path == Path::new(FILE) => {
            sayln!("name it in /etc/gatepost/gatepost.toml:\n  [key]\n  file = \"{FILE}\"");
        }
        _ if systemd::Unit::find("gatepost.service").is_some_and(|unit| unit.is_active()) => {
            // Credentials are read at start only; open sessions outlive it.
            match tell("systemctl", &["try-restart", "gatepost.service"]) {
                Ok(()) => sayln!("gatepost.service was restarted with it; open sessions went on"),
                Err(why) => {
                    eprintln!("key: {why}; put it into force with: systemctl restart gatepost.service");
                }
            }
        }
        _ => sayln!("it counts when gatepost.service starts"),
    }
    Ok(())
}

/// From a terminal, without showing it, or from standard input.
fn read() -> Result<Zeroizing<String>, String> {
    if io::stdin().is_terminal() {
        let text = rpassword::prompt_password("DQS key (not shown): ");
        return text.map(Zeroizing::new).map_err(|error| format!("the terminal cannot be read: {error}"));
    }
    let mut text = Zeroizing::new(String::new());
    match io::stdin().take(LONGEST).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("standard input cannot be read: {error}")),
    }
}

/// The label that the policy has for the path: a new file has that of its directory, which others may read.
/// Nothing to do where `SELinux` is off.
fn label(path: &Path) -> Result<(), String> {
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        return Ok(());
    }
    tell("restorecon", &[&path.to_string_lossy()])
}

fn credential(key: &str) -> Result<(PathBuf, &'static str), Failure> {
    let encrypted = Path::new(ENCRYPTED);
    let sealed = directory(encrypted, 0o700).map_err(|error| Failure::of(encrypted, &error)).and_then(|()| {
        // Beside it first: a failure must not cost the key that was there.
        let new = format!("{ENCRYPTED}.new");
        let name = format!("--name={CREDENTIAL}");
        let made = feed("systemd-creds", &["encrypt", &name, "-", &new], key.as_bytes());
        made.map_err(|error| Failure(Exit::Unavailable, error))?;
        fs::rename(&new, encrypted).map_err(|error| Failure::of(encrypted, &error))
    });
    match sealed {
        Ok(()) => {
            // Only one of them counts.
            delete(Path::new(PLAIN))?;
            Ok((encrypted.to_owned(), "as an encrypted credential"))
        }
        Err(failure @ Failure(Exit::Permission, _)) => Err(failure),
        Err(Failure(_, why)) => {
            eprintln!("key: it cannot be encrypted here ({why}); it is kept readable by root only");
            write(Path::new(PLAIN), key, 0o600)?;
            delete(encrypted)?;
            Ok((PLAIN.into(), "as a credential"))
        }
    }
}

/// A file that root owns and the daemon's group may read.
fn file(key: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(FILE);
    write(path, key, 0o600)?;
    if let Ok(account) = Account::find("gatepost") {
        let shared = std::os::unix::fs::chown(path, None, Some(account.group()))
            .and_then(|()| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640)));
        shared.map_err(|error| Failure::of(path, &error))?;
    }
    Ok(path.to_owned())
}

fn directory(of: &Path, mode: u32) -> io::Result<()> {
    let Some(folder) = of.parent() else { return Ok(()) };
    match fs::DirBuilder::new().recursive(true).mode(mode).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Writes a secret: never readable by others, not for an instant, and never half.
fn write(path: &Path, key: &str, mode: u32) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let folder_mode = if path == Path::new(FILE) { 0o755 } else { 0o700 };
    let written = directory(path, folder_mode).and_then(|()| {
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        writeln!(file, "{key}")?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    written.map_err(|error| {
        // Half a key, or a key that nobody looks for, is of no use but to who finds it.
        let _ = fs::remove_file(&new);
        Failure::of(path, &error)
    })
}

fn delete(path: &Path) -> Result<bool, Failure> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::of(path, &error)),
    }
}

fn remove() -> Result<(), Failure> {
    let mut any = false;
    for path in [ENCRYPTED, PLAIN, FILE] {
        if delete(Path::new(path))? {
            sayln!("removed {path}");
            any = true;
        }
    }
    if any {
        sayln!("the running service keeps the key until: systemctl restart gatepost.service");
    } else {
        sayln!("there is no key at the places where `gatepost key set` puts one");
    }
    Ok(())
}

fn fingerprint(sources: &Sources) -> Exit {
    if let Some((key, place)) = kept() {
        sayln!("{}  {place}", key.fingerprint());
        return Exit::Ok;
    }
    let Some(config) = super::load(sources) else { return Exit::Config };
    let Some(key) = &config.key else {
        eprintln!("key: there is none; `gatepost key set` keeps one");
        return Exit::Config;
    };
    let origin = config.origins().iter().find(|origin| matches!(&*origin.env, "SPAMHAUS_DQS_API_KEY"));
    sayln!("{}  {}", key.fingerprint(), origin.map(|origin| origin.place.to_string()).unwrap_or_default());
    Exit::Ok
}

/// The sources with the service's credential, as far as the caller may read it: a shell has none of its own.
pub(super) fn as_the_service(mut sources: Sources) -> Sources {
    if !sources.environment.contains_key(OsStr::new("CREDENTIALS_DIRECTORY")) {
        sources.credential = kept().map(|(key, _)| key);
    }
    sources
}

/// The key that the service's credential holds, and where. The encrypted one counts first.
pub(super) fn kept() -> Option<(Key, &'static str)> {
    if !Path::new(ENCRYPTED).exists() {
        let text = fs::read_to_string(PLAIN).map(Zeroizing::new).ok()?;
        return Some((Key::new(text.trim()).ok()?, PLAIN));
    }
    let name = format!("--name={CREDENTIAL}");
    let text = Zeroizing::new(ask("systemd-creds", &["decrypt", &name, ENCRYPTED, "-"])?);
    Some((Key::new(text.trim()).ok()?, ENCRYPTED))
}
