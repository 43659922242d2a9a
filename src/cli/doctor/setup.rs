//! The configuration, the account, the key, and the machine as such.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::User;

use super::report::Report;
use crate::cli::host::{ask, systemd};
use crate::cli::key;
use crate::config::{Config, Place, Sources};
use crate::daemon::Account;
use crate::dns::Key;
use crate::smtp::Stage;

/// No clock that is right shows less: 2026-11-01.
const NOT_BEFORE: u64 = 1_793_491_200;

pub(super) fn configuration(report: &mut Report, config: &Config, sources: &Sources) {
    if config.files.is_empty() {
        let path = sources.default_config.display();
        report.fine(
            "configuration",
            format!("no file: the built-in settings and the environment hold ({path} is not there)"),
        );
    } else {
        // Those of lists are looked at elsewhere.
        let lists: Vec<&Path> =
            config.additions.lists.iter().filter_map(|own| Some(&*own.file.as_ref()?.path)).collect();
        let maps: Vec<&Path> = config.access.map.iter().filter_map(|location| location.path()).collect();
        let elsewhere = |file: &Path| lists.contains(&file) || maps.contains(&file);
        let files = config.files.iter().filter(|file| !elsewhere(file));
        let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
        report.fine("configuration", format!("read without errors: {}", files.join(", ")));
    }
    for notice in &config.notices {
        let text = format!("{}: {} {}", notice.place, notice.setting, notice.cause);
        report.warning("configuration", text, &notice.remedy);
    }
    if config.enforce_stage == Stage::Connect {
        report.warning(
            "enforcement",
            "mail is refused at CONNECT: senders do not see why, and a login on port 25 is not known yet",
            "set enforce.stage = \"mail\"",
        );
    } else {
        report.fine(
            "enforcement",
            format!("mail is refused at {}", config.enforce_stage.name().to_uppercase()),
        );
    }
}

/// The account, and whether it can read what the daemon reads. The unit says as whom that is started.
pub(super) fn account(report: &mut Report, config: &Config, unit: Option<&systemd::Unit>) {
    let Ok(Some(user)) = User::from_name(&config.user) else {
        report.wrong(
            "account",
            format!("the account {} does not exist", config.user),
            format!(
                "useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin {}",
                config.user
            ),
        );
        return;
    };
    report.fine("account", format!("{} (uid {})", user.name, user.uid));
    let tried = Account::is_needed().then(|| Account::find(&user.name)?.barred_from(&config.files));
    let barred = match tried {
        None => return report.skipped("account", "whether it can read all files, root can try"),
        Some(Err(error)) => return report.wrong("account", error.to_string(), "look at it as root"),
        Some(Ok(barred)) => barred,
    };
    // Root reads the files before it becomes the account; an account that is started as itself never can.
    let fails = unit.is_some_and(|unit| !matches!(unit.get("User"), "" | "root" | "0"));
    for file in &config.files {
        match barred.iter().find(|barred| barred.path() == file) {
            None => report.fine("account", format!("{} can read {}", user.name, file.display())),
            Some(barred) if fails => report.wrong(
                "account",
                format!(
                    "{} cannot read {}: the next start fails, and every reload",
                    user.name,
                    file.display()
                ),
                barred.remedy(),
            ),
            Some(barred) => report.warning(
                "account",
                format!("{} cannot read {}: a reload will fail", user.name, file.display()),
                barred.remedy(),
            ),
        }
    }
}

/// The key that the service uses, as far as that can be seen from here.
pub(super) fn key(
    report: &mut Report,
    config: &Config,
    starts: bool,
    unit: Option<&systemd::Unit>,
) -> Option<Key> {
    if let Some(unit) = unit
        && unit.get("Environment").contains("SPAMHAUS_DQS_API_KEY=")
    {
        report.wrong(
            "key",
            "the unit has it in Environment=, where every user can read it (systemctl show)",
            "gatepost key set, and take the line out of the unit: systemctl edit gatepost.service",
        );
    }
    if let Some((key, place)) = key::kept() {
        report.fine("key", format!("{} from the credential {place}", key.fingerprint()));
        return Some(key);
    }
    let Some(key) = &config.key else {
        let text = "there is none: nothing is asked";
        let remedy =
            "gatepost key set, with the key of your Spamhaus account (DQS, free of charge for small sites)";
        if starts {
            report.wrong("key", format!("{text}, and all mail comes in"), remedy);
        } else {
            report.wrong("key", format!("{text}, and the daemon does not start"), remedy);
        }
        return None;
    };
    let origin = config.origins().iter().find(|origin| origin.env == "SPAMHAUS_DQS_API_KEY");
    match origin.map(|origin| &origin.place) {
        Some(Place::Environment) => report.warning(
            "key",
            format!(
                "{} from the process environment, where root and the account can read it",
                key.fingerprint()
            ),
            "gatepost key set",
        ),
        Some(Place::File { path, .. }) => {
            let open = std::fs::metadata(path).is_ok_and(|file| file.mode() & 0o007 != 0);
            let text = format!("{} from {}", key.fingerprint(), path.display());
            if open {
                report.wrong(
                    "key",
                    format!("{text}, which others can read"),
                    format!("chmod o= {}", path.display()),
                );
            } else {
                report.fine("key", text);
            }
        }
        place => {
            let place = place.map(ToString::to_string).unwrap_or_default();
            report.fine("key", format!("{} from {place}", key.fingerprint()));
        }
    }
    Some(key.clone())
}

pub(super) fn clock(report: &mut Report) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if now < NOT_BEFORE {
        report.wrong(
            "clock",
            "it is years behind: log lines and lifetimes are wrong",
            "timedatectl set-ntp true",
        );
        return;
    }
    match ask("timedatectl", &["show", "--property=NTPSynchronized", "--value"]).as_deref() {
        Some("yes") => report.fine("clock", "synchronised"),
        Some("no") => {
            report.warning("clock", "it is not synchronised", "timedatectl set-ntp true, or run chrony");
        }
        _ => report.skipped("clock", "plausible; whether it is synchronised cannot be told here"),
    }
}

pub(super) fn journal(report: &mut Report) {
    if Path::new("/run/systemd/journal/socket").exists() {
        report.fine("log", "the journal is there: journalctl -u gatepost");
    } else {
        report.skipped("log", "no journal: the daemon logs to standard error");
    }
}

/// The Python milter, or another program at its port.
pub(super) fn predecessor(report: &mut Report, config: Option<&Config>) {
    let active = |name| systemd::Unit::find(name).is_some_and(|unit| unit.is_active());
    let mut alone = true;
    for name in ["spamhaus-dqs-milter.service"] {
        if active(name) {
            alone = false;
            report.warning(
                "other filters",
                format!("{name} runs, too: every list is asked twice"),
                format!("systemctl disable --now {name}"),
            );
        }
    }
    let at_port = config.is_some_and(|config| {
        config.listen.iter().any(|listen| matches!(listen, crate::server::Listen::Inet { port: 11332, .. }))
    });
    if at_port && active("rspamd.service") {
        alone = false;
        report.warning(
            "other filters",
            "rspamd listens on port 11332 unless told otherwise, which is ours, too",
            "use the Unix socket of gatepost.socket, or set listen",
        );
    }
    if alone {
        report.fine("other filters", "none that gets in the way");
    }
}
