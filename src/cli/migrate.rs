//! `gatepost migrate`: the Python milter's env file as TOML, and what will differ.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::args;
use super::orders::say;
use crate::config::{Config, DEFAULT_ENV_FILE, Overrides, Place, Sources};
use crate::daemon::Exit;
use crate::smtp::plain;

/// The settings with which gatepost does in some point what the Python milter did.
const OLD_WAYS: &[(&str, &str)] = &[
    ("cache.honor_ttl = false", "answers are kept as long as DNS says, 600 and 300 s at most"),
    ("reply.style = \"python\"", "replies name list and identity, with a link"),
    (
        "session.auth_skip = false",
        "a client that has logged in is judged by neither address, HELO name nor sender",
    ),
];

/// What has no switch.
const NEW_WAYS: &[&str] = &[
    "an operator code of a list never refuses mail and is never kept as an answer",
    "names that are too long or hold odd characters are shortened and asked about, not skipped",
    "quoted local parts, source routes and U-labels are read as mail servers read them",
    "sessions on ports 465 and 587 are judged by neither address nor HELO name",
];

pub(super) fn run(what: &args::Migrate) -> Exit {
    let file = what.old.clone().unwrap_or_else(|| DEFAULT_ENV_FILE.into());
    let config = match Config::load(&sources(file.clone())) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Config;
        }
    };
    say(&toml(&config, &file));
    for notice in &config.notices {
        eprintln!("{notice}");
    }
    eprintln!("\nWhat differs from the Python milter, and the setting that brings the old way back:");
    for (setting, what) in OLD_WAYS {
        eprintln!("  {what}: {setting}");
    }
    eprintln!("What differs and has no setting:");
    for what in NEW_WAYS {
        eprintln!("  {what}");
    }
    eprintln!(
        "Where mail is refused: enforce.stage = \"mail\" tells the sender why, \"connect\" does as before."
    );
    eprintln!("See docs/migration.md, and check the outcome with: gatepost check-config");
    Exit::Ok
}

/// That file alone, read as leniently as the Python milter does.
fn sources(file: PathBuf) -> Sources {
    Sources {
        environment: [(OsString::from("SPAMHAUS_DQS_COMPAT_PARSE"), OsString::from("1"))].into(),
        overrides: Overrides { env_file: Some(file), ..Overrides::default() },
        default_config: PathBuf::from("/nonexistent/gatepost.toml"),
        ..Sources::default()
    }
    .without_key()
}

/// The settings that the file sets, as TOML. The key itself is no part of it.
fn toml(config: &Config, file: &std::path::Path) -> String {
    let mut text = format!("# Made of {} by gatepost migrate.\n", plain(&file.to_string_lossy()));
    let mut section = "";
    let mut keyed = false;
    // Bare names have to stand before the first section.
    let mut origins: Vec<_> = config
        .origins()
        .iter()
        .filter(|origin| matches!(&origin.place, Place::File { path, .. } if path == file))
        .collect();
    origins.sort_by_key(|origin| origin.toml.contains('.'));
    for origin in origins {
        if origin.is_secret() {
            keyed = true;
        }
        let Some(literal) = origin.literal() else { continue };
        let (table, name) = origin.toml.rsplit_once('.').unwrap_or(("", origin.toml));
        if table != section {
            let _ = writeln!(text, "\n[{table}]");
            section = table;
        }
        let _ = writeln!(text, "{name} = {literal}");
    }
    if keyed {
        text.push_str("\n# The key is not copied. Keep it with: gatepost key set\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "SPAMHAUS_DQS_API_KEY=abcdefghij0123456789klmnop\n\
                        SPAMHAUS_DQS_LISTEN=inet:11332@localhost\n\
                        SPAMHAUS_DQS_ZEN_ENABLE=1\n\
                        SPAMHAUS_DQS_ZEN_REJECT_CODES=2,3,4\n\
                        SPAMHAUS_DQS_CACHE_MAX=-1\n\
                        SPAMHAUS_DQS_DOMAIN_WHITELIST=example.org, b\u{fc}cher.example\n\
                        SPAMHAUS_DQS_DNS_PER_TRY=0.5\n";

    #[test]
    fn what_it_prints_means_the_same_and_holds_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("old.env");
        std::fs::write(&file, FILE).expect("written");
        let old = Config::load(&sources(file.clone())).expect("read leniently");
        let text = toml(&old, &file);
        assert!(!text.contains("abcdefghij"), "{text}");
        assert!(text.contains("gatepost key set"), "{text}");
        let new = Config::from_texts("", &text).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
        assert_eq!(new.listen, old.listen);
        assert_eq!(new.zen_reject_codes, old.zen_reject_codes);
        assert_eq!(new.domain_whitelist, old.domain_whitelist);
        assert_eq!(new.dns_per_try, old.dns_per_try);
        assert_eq!(new.cache_max, old.cache_max, "a bad value is the default in both");
        assert!(old.notices.iter().any(|notice| notice.setting.ends_with("CACHE_MAX")), "and it is named");
    }
}
