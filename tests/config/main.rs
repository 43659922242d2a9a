//! What an administrator writes, and what gatepost makes of it or says about it.

mod judged;
mod lists;
mod packaged;
mod pointless;
mod policy;
mod secrets;
mod shown;
mod sources;
mod values;
mod written;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost::config::{Config, Overrides, Place, Problems, SETTINGS, Sources, WithoutKey};
use gatepost::dns::Key;
use gatepost::policy::{OnTrouble, ReplyStyle};
use gatepost::smtp::Stage;
use gatepost::telemetry::Level;
use gatepost::verdict::{Act, Codes, List};

/// As long as a real key, and none.
const KEY: &str = "abcdefghij0123456789klmnop";

/// The sockets in libmilter's notation.
fn listens(config: &Config) -> Vec<String> {
    config.listen.iter().map(ToString::to_string).collect()
}

/// Holds errors against how each of them begins.
fn begin(errors: &[String], starts: &[&str]) {
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}\n{start}");
    }
}

/// A machine with nothing but a directory of its own.
struct Machine {
    directory: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    overrides: Overrides,
}

impl Machine {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            environment: BTreeMap::new(),
            overrides: Overrides::default(),
        }
    }

    fn keyed() -> Self {
        Self::new().env("API_KEY", KEY)
    }

    /// A variable of the process environment, without its prefix.
    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(format!("SPAMHAUS_DQS_{name}"), value.to_owned());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(self, name: &str, text: &str) -> Self {
        self.file_with_mode(name, text, 0o640)
    }

    fn file_with_mode(self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> Self {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        self
    }

    fn toml(self, text: &str) -> Self {
        self.file("gatepost.toml", text)
    }

    fn env_file(self, text: &str) -> Self {
        self.file("milter.env", text)
    }

    fn load(&self) -> Result<Config, Problems> {
        Config::load(&self.sources())
    }

    fn sources(&self) -> Sources {
        Sources {
            environment: self.environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            overrides: self.overrides.clone(),
            default_config: self.path("gatepost.toml"),
            default_env_file: self.path("milter.env"),
            credential: None,
            confined_to: Vec::new(),
        }
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The error lines, without the directory.
    fn errors(&self) -> Vec<String> {
        let problems = self.load().expect_err("a broken configuration");
        self.lines(problems.errors.iter().map(ToString::to_string))
    }

    fn notices(&self) -> Vec<String> {
        self.lines(self.config().notices.iter().map(ToString::to_string))
    }

    fn lines(&self, lines: impl Iterator<Item = String>) -> Vec<String> {
        let directory = format!("{}/", self.directory.path().display());
        lines.map(|line| line.replace(&directory, "")).collect()
    }
}

fn origin(config: &Config, toml: &str) -> (String, Place) {
    let origin = config.origins().iter().find(|origin| origin.toml == toml).expect("a setting");
    (origin.value.clone(), origin.place.clone())
}
