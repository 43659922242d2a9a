//! The sources of a configuration, and how they become one.

mod checks;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::choice::WithoutKey;
use super::env::{self, ENV_FILE, Values};
use super::policy::Section;
use super::problem::NO_KEY;
use super::report::{Naming, Report, Tally};
use super::secrets::Secrets;
use super::settings::{PREFIX, SETTINGS, Setting, by_env};
use super::text::{Missing, WORLD, drop_ins, open_mode, read};
use super::value::{Fault, Value};
use super::{Config, Origin, Place, Problem, Problems, file, policy};
use crate::dns::Key;

/// Where the configuration is looked for if nobody says otherwise.
pub const CONFIG_FILE: &str = "/etc/gatepost/gatepost.toml";
/// Where the Python milter looks for its env file.
pub const DEFAULT_ENV_FILE: &str = "/etc/spamhaus-dqs-milter.env";
/// The variable with which a service manager names the directory of credentials (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The credential that holds the key.
pub(super) const CREDENTIAL: &str = "dqs-key";
/// The one that comes after it. A unit can load only one kind of credential, encrypted or not, under one name.
const PLAIN_CREDENTIAL: &str = "dqs-key-plain";

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`: the TOML file, which must exist then.
    pub config: Option<PathBuf>,
    /// `--env-file`: the env file, which must exist then.
    pub env_file: Option<PathBuf>,
    /// `--listen`, which may be given several times.
    pub listen: Vec<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
}

/// What could be read of a configuration, sound or not.
#[derive(Debug, Clone)]
pub struct Rough {
    /// Everything that is right in it, with the notices.
    pub config: Config,
    /// All problems; none if it is sound.
    pub errors: Vec<Problem>,
    secrets: Secrets,
}

impl Rough {
    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// All problems.
    pub fn sound(self) -> Result<Config, Problems> {
        let Self { config, errors, .. } = self;
        if errors.is_empty() { Ok(config) } else { Err(Problems { errors, notices: config.notices }) }
    }

    /// A problem that was found later, in a file that the configuration names, without anything that was given as a key:
    /// it may stand in the path.
    #[must_use]
    pub fn censored(&self, mut problem: Problem) -> Problem {
        self.secrets.censor(&mut problem);
        problem
    }
}

/// Everything that a configuration is read from.
#[derive(Clone)]
pub struct Sources {
    /// The process environment; only names of ours and `CREDENTIALS_DIRECTORY` matter.
    pub environment: BTreeMap<OsString, OsString>,
    /// The command line.
    pub overrides: Overrides,
    /// The TOML file that is read if there is one and nobody names another. Files `*.toml` in a directory of
    /// its name with `.d` behind it add to it.
    pub default_config: PathBuf,
    /// The env file that is read if there is one and nobody names another.
    pub default_env_file: PathBuf,
    /// The key that a credential held at the start. A reload must not look for it again: the process may
    /// have given up the right to, and a credential is renewed by a restart anyway.
    pub credential: Option<Key>,
    /// Where a process in a sandbox can still read; empty for everywhere. A file elsewhere is told with the
    /// restart that it takes.
    pub confined_to: Vec<PathBuf>,
}

impl Default for Sources {
    /// An empty environment and the usual files.
    fn default() -> Self {
        Self {
            environment: BTreeMap::new(),
            overrides: Overrides::default(),
            default_config: CONFIG_FILE.into(),
            default_env_file: DEFAULT_ENV_FILE.into(),
            credential: None,
            confined_to: Vec::new(),
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("environment", &self.environment.keys())
            .field("overrides", &self.overrides)
            .field("default_config", &self.default_config)
            .field("default_env_file", &self.default_env_file)
            .field("credential", &self.credential)
            .field("confined_to", &self.confined_to)
            .finish()
    }
}

impl Sources {
    /// The environment of this process, the usual files, and a command line.
    pub fn of_process(overrides: Overrides) -> Self {
        Self { environment: std::env::vars_os().collect(), overrides, ..Self::default() }
    }

    /// The same sources, for those to whom a missing key is no reason to stop.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        let name = format!("{PREFIX}WITHOUT_KEY");
        self.environment.insert(name.into(), "accept".into());
        self
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        self.environment
            .get(OsString::from(name).as_os_str())
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }
}

impl Config {
    /// Reads all sources: command line before environment before env file before the TOML files of the directory
    /// (the last in the order of their octets first) before the TOML file before what is built in.
    ///
    /// # Errors
    /// All problems of all sources.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        Self::read(sources).sound()
    }

    /// The same, for those who look for further problems even if there are some.
    pub fn read(sources: &Sources) -> Rough {
        let mut report = Report::default();
        report.confined_to.clone_from(&sources.confined_to);
        let (mut layers, mut sections) = (Vec::new(), Vec::new());
        let mut files = Vec::new();

        let named = sources.overrides.config.clone();
        let missing = if named.is_some() { Missing::Wrong } else { Missing::Normal };
        let path = named.unwrap_or_else(|| sources.default_config.clone());
        // The directory itself is read again at a reload, too.
        let directory = PathBuf::from(format!("{}.d", path.display()));
        let additions = drop_ins(&directory, &mut report);
        files.extend(additions.is_some().then_some(directory));
        let toml = std::iter::once((path, missing))
            .chain(additions.into_iter().flatten().map(|path| (path, Missing::Normal)));
        for (path, missing) in toml {
            report.begin(path.clone());
            if let Some(text) = read(&path, missing, "", &mut report) {
                let (values, beside) = file::from_toml(&path, &text.text, &mut report);
                sections.extend(beside);
                layers.push(Layer {
                    naming: Naming::Toml,
                    values,
                    lapses: Vec::new(),
                    file: Some(text.mode),
                });
                files.push(path);
            }
        }

        let (missing, named) = match (&sources.overrides.env_file, sources.variable(ENV_FILE)) {
            (Some(path), _) => (Missing::Wrong, Some(path.clone())),
            (None, Some(path)) => (Missing::Told, Some(path)),
            (None, None) => (Missing::Normal, None),
        };
        let path = named.unwrap_or_else(|| sources.default_env_file.clone());
        report.begin(path.clone());
        if let Some(text) = read(&path, missing, "", &mut report) {
            let (values, lapses) = env::from_file(&path, &text.text, &mut report);
            layers.push(Layer { naming: Naming::Environment, values, lapses, file: Some(text.mode) });
            files.push(path);
        }

        let (values, lapses) = env::from_environment(&sources.environment);
        layers.push(Layer { naming: Naming::Environment, values, lapses, file: None });
        layers.push(Layer {
            naming: Naming::Options,
            values: from_options(&sources.overrides),
            lapses: Vec::new(),
            file: None,
        });

        let mut draft = Draft::new(report);
        draft.config.files = files;
        draft.merge(layers);
        draft.add(sections);
        draft.add_maps();
        match &sources.credential {
            Some(key) => draft.keep_key(key.clone()),
            None => draft.find_key(sources.variable(CREDENTIALS).as_deref()),
        }
        draft.miss_key();
        draft.finish()
    }

    /// Reads an env file and a TOML file from their texts alone: no file is opened, and nothing is
    /// missing if there is no key. For tests and fuzzing.
    ///
    /// # Errors
    /// All problems of both texts.
    pub fn from_texts(env_file: &str, toml: &str) -> Result<Self, Problems> {
        let mut report = Report::default();
        let (toml_path, env_path) = (Path::new("gatepost.toml"), Path::new("gatepost.env"));
        report.begin(toml_path.to_owned());
        report.begin(env_path.to_owned());
        let (values, sections) = file::from_toml(toml_path, toml, &mut report);
        let below = Layer { naming: Naming::Toml, values, lapses: Vec::new(), file: None };
        let (values, lapses) = env::from_file(env_path, env_file, &mut report);
        let above = Layer { naming: Naming::Environment, values, lapses, file: None };
        let mut draft = Draft::new(report);
        draft.merge(vec![below, above]);
        draft.add(sections);
        draft.add_maps();
        draft.finish().sound()
    }
}

/// One source with what it says.
struct Layer {
    naming: Naming,
    values: Values,
    lapses: env::Lapses,
    /// The mode of the file, if it is one.
    file: Option<u32>,
}

/// A configuration in the making.
struct Draft {
    config: Config,
    places: Vec<Place>,
    report: Report,
}

impl Draft {
    fn new(report: Report) -> Self {
        Self { config: Config::default(), places: vec![Place::Default; SETTINGS.len()], report }
    }

    /// Takes the values of all layers, the lowest first. Values that a higher layer replaces are
    /// read all the same: a problem in them would come to light on the worst day otherwise.
    fn merge(&mut self, layers: Vec<Layer>) {
        for (setting, value) in layers.iter().flat_map(|layer| &layer.values) {
            if setting.is_secret() {
                value.items.iter().for_each(|item| self.report.hide(&item.text));
            }
        }
        let compat = is_compat(&layers);
        for layer in layers {
            for (place, name, fault) in layer.lapses {
                self.report.lapse(compat, place, name, fault);
            }
            for (setting, value) in &layer.values {
                if layer.naming != Naming::Toml && value.is_empty() && setting.is_unset_by_nothing() {
                    continue;
                }
                self.take(compat, layer.naming, setting, value);
                if let Some(mode) = layer.file.filter(|_| setting.is_secret()) {
                    self.check_mode(mode, layer.naming, setting, &value.place);
                }
            }
        }
    }

    /// Takes the tables that stand beside the settings.
    fn add(&mut self, sections: Vec<Section>) {
        self.config.additions = policy::read(sections, &mut self.report);
        let lists = &self.config.additions.lists;
        let keys = lists.iter().filter_map(|own| own.key_file.clone());
        let tables = lists.iter().filter_map(|own| Some(own.file.as_ref()?.path.clone()));
        let members = self.config.additions.recipients.files.iter().map(|file| file.path.clone());
        self.config.files.extend(keys.chain(tables).chain(members));
    }

    /// Notes the files of access maps, which a reload reads again and the sandbox has to leave open.
    fn add_maps(&mut self) {
        let maps = &self.config.access.map;
        let files = maps.iter().filter_map(|location| location.path().map(Into::into));
        self.config.files.extend(files);
    }

    fn take(&mut self, compat: bool, naming: Naming, setting: &'static Setting, value: &Value) {
        let effect = setting.apply(&mut self.config, value);
        let commented = !effect.faults.is_empty() && naming != Naming::Toml && value.one().contains(" #");
        let forgiven = compat && !setting.is_secret();
        let mut faults = Tally::new();
        for fault in effect.faults {
            faults.push(|| fault);
        }
        let (faults, rest) = faults.close();
        for mut fault in faults {
            if commented && !setting.is_secret() {
                fault.remedy.push_str("; a comment needs a line of its own");
            }
            self.report.lapse(forgiven, value.place.clone(), naming.of(setting), fault);
        }
        if let Some(rest) = rest {
            self.report.lapse(forgiven, value.place.clone(), naming.of(setting), rest);
        }
        for remark in effect.remarks {
            self.report.notice(value.place.clone(), naming.of(setting), remark);
        }
        if effect.taken {
            self.places[index(setting)] = value.place.clone();
        }
    }

    fn check_mode(&mut self, mode: u32, naming: Naming, setting: &Setting, place: &Place) {
        let path = match place {
            Place::File { path, .. } => path.clone(),
            _ => return,
        };
        if naming == Naming::Toml && mode & WORLD != 0 {
            let cause = "the key stands in a file that everybody can read";
            let remedy =
                format!("chmod 0640 {0}, or move the key to a file of its own (key.file)", path.display());
            self.report.error(place.clone(), naming.of(setting), Fault::new(cause, remedy));
        } else if let Some(fault) = open_mode(&path, mode) {
            self.report.notice(Place::file(&path), naming.of(setting), fault);
        }
    }

    /// Reads the key from a credential or a file, which come before all other sources of it.
    fn find_key(&mut self, credentials: Option<&Path>) {
        let credential = credentials.and_then(|directory| {
            let named = [CREDENTIAL, PLAIN_CREDENTIAL].map(|name| (name, directory.join(name)));
            named.into_iter().find(|(_, path)| !matches!(path.try_exists(), Ok(false)))
        });
        if let Some((name, path)) = credential {
            self.ignore_key_file();
            if let Some(text) = read(&path, Missing::Wrong, name, &mut self.report) {
                self.take_key(&text.text, name.to_owned(), Place::Credential(path));
            }
        } else if let Some(path) = self.config.key_file.clone() {
            let name = name_at("API_KEY_FILE", &self.places[index_of("API_KEY_FILE")]);
            let Some(text) = read(&path, Missing::Wrong, &name, &mut self.report) else {
                return self.report.hide_keys_in(&path);
            };
            if let Some(fault) = open_mode(&path, text.mode) {
                self.report.notice(Place::file(&path), "", fault);
            }
            self.config.files.push(path.clone());
            self.take_key(&text.text, name, Place::file(&path));
        }
    }

    /// Takes a key that a credential held when the process started.
    fn keep_key(&mut self, key: Key) {
        self.ignore_key_file();
        self.report.hide_key(&key);
        self.places[index_of("API_KEY")] = Place::Credential(CREDENTIAL.into());
        self.config.key = Some(key);
    }

    /// A key file that nobody reads beside a credential: it may be the key itself, in its place.
    fn ignore_key_file(&mut self) {
        if let Some(path) = &self.config.key_file {
            self.report.hide_keys_in(path);
        }
    }

    fn take_key(&mut self, text: &str, name: String, place: Place) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
        self.report.hide(text);
        match Key::new(text) {
            Ok(key) => {
                let before = std::mem::replace(&mut self.places[index_of("API_KEY")], place.clone());
                if before != Place::Default {
                    let fault = Fault::new(format!("the key in {place} comes first"), "remove one of them");
                    self.report.notice(before.clone(), name_at("API_KEY", &before), fault);
                }
                self.config.key = Some(key);
            }
            Err(bad) => {
                let remedy = "put the key from the Spamhaus portal there, and nothing else";
                self.report.error(place, name, Fault::new(bad.to_string(), remedy));
            }
        }
    }

    fn finish(mut self) -> Rough {
        self.fit_times();
        self.check_replies();
        self.check_deferrals();
        self.check_lists();
        self.check_recipients();
        self.check_wide();
        self.check_rules();
        self.check_zone_base();
        self.check_key();
        let origin = |(setting, place): (&Setting, Place)| {
            // The key may have got into another setting, such as the zone base.
            let whole = (setting.show)(&self.config);
            let value = self.report.clean(whole.clone());
            let mut items = (setting.items)(&self.config);
            // What must not be shown may reach over several entries, and is in none of them then.
            if value != whole && !items.is_empty() {
                items = value.split(',').map(str::to_owned).collect();
            }
            Origin { toml: setting.toml, env: setting.variable().unwrap_or_default(), value, items, place }
        };
        self.config.origins = SETTINGS.iter().zip(self.places).map(origin).collect();
        let tables = std::mem::take(&mut self.config.additions.tables).into_iter();
        let clean = |text| self.report.clean(text);
        self.config.additions.tables = tables.map(|table| table.cleaned(&clean)).collect();
        let (errors, notices, secrets) = self.report.close();
        self.config.notices = notices;
        Rough { config: self.config, errors, secrets }
    }

    /// Says so if there is no key, unless it is told already why the one that was given is none.
    fn miss_key(&mut self) {
        let config = &self.config;
        let needed = config.asks_dqs();
        if config.key.is_some() || !needed || self.report.unread || self.report.blames_key() {
            return;
        }
        let remedy = format!(
            "set {PREFIX}API_KEY, or key.file in {CONFIG_FILE} to a file that holds it; the key is on the \
             account page of the Spamhaus portal"
        );
        match config.without_key {
            WithoutKey::Refuse => {
                self.report.error(Place::Nowhere, "", Fault::new(NO_KEY, remedy));
            }
            WithoutKey::Accept => {
                let cause = format!("{NO_KEY}: nothing is checked and all mail comes in");
                self.report.notice(Place::Nowhere, "", Fault::new(cause, remedy));
            }
        }
    }
}

/// Whether bad values are to be forgiven, according to the highest source that says so.
fn is_compat(layers: &[Layer]) -> bool {
    let mut config = Config::default();
    let all = layers.iter().flat_map(|layer| &layer.values);
    for (setting, value) in all.filter(|(setting, _)| setting.env == "COMPAT_PARSE") {
        setting.apply(&mut config, value);
    }
    config.compat_parse
}

fn from_options(overrides: &Overrides) -> Values {
    let place = Place::CommandLine;
    let text = |text: &Option<String>| text.as_ref().map(|text| Value::text(text, place.clone()));
    let listen = (!overrides.listen.is_empty()).then(|| Value::texts(&overrides.listen, &place));
    [("LISTEN", listen), ("USER", text(&overrides.user)), ("LOG_LEVEL", text(&overrides.log_level))]
        .into_iter()
        .filter_map(|(env, value)| Some((by_env(env)?, value?)))
        .collect()
}

fn index(setting: &Setting) -> usize {
    index_of(setting.env)
}

fn index_of(env: &str) -> usize {
    SETTINGS.iter().position(|setting| setting.env == env).unwrap_or_default()
}

/// The name of a setting as the source at `place` would write it.
fn name_at(env: &str, place: &Place) -> String {
    let setting = &SETTINGS[index_of(env)];
    match place {
        // Only TOML has columns.
        Place::File { column, .. } if *column > 0 => Naming::Toml.of(setting),
        Place::File { .. } | Place::Environment => Naming::Environment.of(setting),
        Place::CommandLine => Naming::Options.of(setting),
        Place::Default | Place::Credential(_) | Place::Nowhere => Naming::Toml.of(setting),
    }
}
