//! What an administrator writes, and what gatepost makes of it or says about it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost::config::{
    Config, KeyText, LogLevel, OnTrouble, Overrides, Place, Problems, ReplyStyle, SETTINGS, Sources,
    WithoutKey, ZrdAction,
};
use gatepost::smtp::Stage;
use gatepost::verdict::{Codes, List};

/// As long as a real key, and none.
const KEY: &str = "abcdefghij0123456789klmnop";

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
        Config::load(&Sources {
            environment: self.environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            overrides: self.overrides.clone(),
            default_config: self.path("gatepost.toml"),
            default_env_file: self.path("milter.env"),
        })
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

// case: K01
#[test]
fn the_key_alone_gives_what_the_python_milter_does() {
    let config = Machine::keyed().config();
    assert_eq!(config.key.as_ref().map(KeyText::expose), Some(KEY));
    assert_eq!(config.listen, ["inet:11332@localhost"]);
    let servers: Vec<String> = config.nameservers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:53", "[::1]:53"]);
    assert_eq!(config.dns_lifetime, Duration::from_millis(1_800));
    assert_eq!(config.dns_per_try, Duration::from_millis(700));
    assert_eq!(config.milter_timeout, Duration::from_secs(2));
    assert_eq!(config.cache_max, 20_000);
    assert_eq!(config.cache_ttl_listed, Duration::from_mins(10));
    assert_eq!(config.cache_ttl_unlisted, Duration::from_mins(5));
    assert!(config.zen_enable && !config.whitelist_skip_all);
    assert_eq!(config.zen_reject_codes, Codes::of(0, [2, 3, 4, 9, 10, 11]));
    assert_eq!(config.enforce_stage, Stage::Connect);
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.notices, []);
    assert_eq!(origin(&config, "key.value"), ("(set)".to_owned(), Place::Environment));
    assert_eq!(origin(&config, "cache.max"), ("20000".to_owned(), Place::Default));
}

// case: K02
#[test]
fn a_lifetime_beyond_the_stage_is_lowered_and_told() {
    let machine = Machine::keyed().env("DNS_LIFETIME", "5").env("MILTER_TIMEOUT", "2");
    assert_eq!(machine.config().dns_lifetime, Duration::from_millis(1_900));
    assert_eq!(
        machine.notices(),
        [
            "environment: SPAMHAUS_DQS_DNS_LIFETIME: 5 s is lowered to 1.9 s; raise timeouts.stage or lower it yourself"
        ]
    );
    assert_eq!(origin(&machine.config(), "dns.lifetime").0, "1.9");
}

#[test]
fn times_keep_their_floors_and_stay_below_each_other() {
    for (timeout, lifetime, per_try, expected) in [
        ("2", "1.8", "0.7", (1_800, 700)),
        ("1", "1.8", "0.7", (900, 700)),
        ("0.3", "1.8", "0.7", (500, 400)),
        ("2", "0.01", "0.01", (100, 50)),
        ("2", "0.2", "0.7", (200, 200)),
        ("2", "1.0", "5", (1_000, 900)),
        ("60", "10", "3", (10_000, 3_000)),
    ] {
        let machine = Machine::keyed()
            .env("MILTER_TIMEOUT", timeout)
            .env("DNS_LIFETIME", lifetime)
            .env("DNS_PER_TRY", per_try);
        let config = machine.config();
        let used = (config.dns_lifetime.as_millis(), config.dns_per_try.as_millis());
        assert_eq!(used, expected, "{timeout} {lifetime} {per_try}");
    }
}

// case: K04
#[test]
fn a_reject_set_is_never_empty_by_accident() {
    for (codes, cause) in [
        ("abc", "abc is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("2;3", "\"2;3\" is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("300", "300 is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("2,x", "entry 2: x is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("9-3", "9-3 is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
    ] {
        assert_eq!(
            Machine::keyed().env("ZEN_REJECT_CODES", codes).errors(),
            [format!("environment: SPAMHAUS_DQS_ZEN_REJECT_CODES: {cause}")]
        );
    }
    let empty = Machine::keyed().env("ZEN_REJECT_CODES", "").config();
    assert_eq!(empty.zen_reject_codes, Config::default().zen_reject_codes);
    assert_eq!(
        Machine::keyed().env("ZEN_REJECT_CODES", " , ").errors(),
        [
            "environment: SPAMHAUS_DQS_ZEN_REJECT_CODES: the list is empty; it would refuse nothing; to switch the \
          list off, set enable = false in [zen] or SPAMHAUS_DQS_ZEN_ENABLE=0"
        ]
    );
    assert_eq!(
        Machine::keyed().toml("[zen]\nreject_codes = []\n").errors().len(),
        1,
        "an empty list in TOML is no wish either"
    );
}

// case: K05
#[test]
fn name_servers_may_have_ports() {
    let config =
        Machine::keyed().env("NAMESERVERS", "127.0.0.1:5353,[::1]:5353, [::1], 2001:db8::53").config();
    let servers: Vec<String> = config.nameservers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:5353", "[::1]:5353", "[::1]:53", "[2001:db8::53]:53"]);
    for bad in ["dns.example", "127.0.0.1:0", "127.0.0.1:99999", "0.0.0.0", "[127.0.0.1]"] {
        let errors = Machine::keyed().env("NAMESERVERS", bad).errors();
        assert!(errors[0].contains("is not the address of a name server"), "{errors:?}");
    }
}

// case: K06
#[test]
fn the_sources_come_in_their_order() {
    let toml = "listen = 'inet:1'\n[cache]\nmax = 1\nttl_listed = 1\nttl_unlisted = 1\n";
    let mut machine = Machine::keyed()
        .toml(toml)
        .env_file("SPAMHAUS_DQS_CACHE_TTL_LISTED=2\nSPAMHAUS_DQS_CACHE_TTL_UNLISTED=2\nSPAMHAUS_DQS_LISTEN=inet:2\n")
        .env("CACHE_TTL_UNLISTED", "3")
        .env("LISTEN", "inet:3");
    machine.overrides.listen = vec!["inet:4".to_owned(), "unix:/run/4".to_owned()];
    let config = machine.config();
    assert_eq!(config.cache_max, 1);
    assert_eq!(config.cache_ttl_listed, Duration::from_secs(2));
    assert_eq!(config.cache_ttl_unlisted, Duration::from_secs(3));
    assert_eq!(config.listen, ["inet:4", "unix:/run/4"]);
    let at = |line, column| Place::File { path: machine.path("gatepost.toml"), line, column };
    assert_eq!(origin(&config, "cache.max"), ("1".to_owned(), at(3, 7)));
    let env = Place::File { path: machine.path("milter.env"), line: 1, column: 0 };
    assert_eq!(origin(&config, "cache.ttl_listed"), ("2".to_owned(), env));
    assert_eq!(origin(&config, "cache.ttl_unlisted"), ("3".to_owned(), Place::Environment));
    assert_eq!(origin(&config, "listen"), ("inet:4,unix:/run/4".to_owned(), Place::CommandLine));
    assert_eq!(config.files, [machine.path("gatepost.toml"), machine.path("milter.env")]);
}

#[test]
fn an_empty_variable_says_nothing_and_an_empty_list_something() {
    let toml = "[allow]\ndomains = ['a.example']\n[cache]\nmax = 1\n";
    let config = Machine::keyed()
        .toml(toml)
        .env("CACHE_MAX", "")
        .env("DOMAIN_WHITELIST", "")
        .env("NAMESERVERS", "")
        .config();
    assert_eq!(config.cache_max, 1);
    assert_eq!(config.domain_whitelist, []);
    assert_eq!(config.nameservers.len(), 2);
}

// case: K07
#[test]
fn an_env_file_is_read_whole_or_refused_with_the_line() {
    let text = "\u{feff}# comment\r\n\r\nexport SPAMHAUS_DQS_API_KEY='abcdefghij0123456789klmnop'\r\n\
                SPAMHAUS_DQS_LISTEN = \"inet:1@localhost\"\r\n  # another\r\nTZ=UTC\r\n";
    let machine = Machine::new().env_file(text);
    let config = machine.config();
    assert_eq!(config.key.as_ref().map(KeyText::expose), Some(KEY));
    assert_eq!(config.listen, ["inet:1@localhost"]);
    assert_eq!(
        machine.notices(),
        ["milter.env:6: the line sets a variable that is not ours; it has no effect here"]
    );

    let broken = "SPAMHAUS_DQS_CACHE_MAX=1\nno equals sign\nSPAMHAUS_DQS_THREADS=\"2\nSPAMHAUS_DQS_CACHE_MAX=2\n\
                  SPAMHAUS_DQS_LISTNE=inet:1\nSPAMHAUS_DQS_ENV_FILE=/x\nSPAMHAUS_DQS_CACHE_TTL_LISTED=60 # s\n";
    assert_eq!(
        Machine::keyed().env_file(broken).errors(),
        [
            "milter.env:2: the line has no =; write NAME=value, or # in front of a comment",
            "milter.env:3: a quote at the beginning of the value has no partner at its end; put the whole value \
             in quotes, or nothing of it",
            "milter.env:4: SPAMHAUS_DQS_CACHE_MAX: it is set in line 1 already; keep one of the lines",
            "milter.env:5: SPAMHAUS_DQS_LISTNE: there is no such setting; did you mean SPAMHAUS_DQS_LISTEN?",
            "milter.env:6: SPAMHAUS_DQS_ENV_FILE: an env file cannot name another one; set it in the environment",
            "milter.env:7: SPAMHAUS_DQS_CACHE_TTL_LISTED: \"60 # s\" is not a number; give seconds from 0 to \
             604800; a comment needs a line of its own",
        ]
    );
}

// case: K10
#[test]
fn the_idle_limit_is_not_the_stage_limit() {
    let config = Machine::keyed().env("MILTER_TIMEOUT", "1").config();
    assert_eq!(config.idle_timeout, Duration::from_secs(7_210));
    assert_eq!(Machine::keyed().env("IDLE_TIMEOUT", "60").config().idle_timeout, Duration::from_mins(1));
}

// case: C09
// case: C08
#[test]
fn a_cache_has_a_size_or_is_off() {
    for bad in ["-1", "abc", "1.5", "99999999999999999999"] {
        let errors = Machine::keyed().env("CACHE_MAX", bad).errors();
        assert!(
            errors.len() == 1 && errors[0].starts_with("environment: SPAMHAUS_DQS_CACHE_MAX: "),
            "{errors:?}"
        );
    }
    assert_eq!(Machine::keyed().env("CACHE_MAX", "0").config().cache_max, 0);
}

// case: A03
// case: A04
#[test]
fn allow_lists_name_the_entry_that_is_wrong() {
    let machine =
        Machine::keyed().env("IP_WHITELIST", "8.8.0.2, bogus, 8.8.0.0/16,, 2001:470::/32, 10.0.0.0/33");
    assert_eq!(
        machine.errors(),
        [
            "environment: SPAMHAUS_DQS_IP_WHITELIST: entry 2: bogus is neither an address nor a network; write \
             192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
            "environment: SPAMHAUS_DQS_IP_WHITELIST: entry 6: 10.0.0.0/33 is neither an address nor a network; \
             write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
        ]
    );
    let compat = machine.env("COMPAT_PARSE", "1");
    let nets: Vec<String> = compat.config().ip_whitelist.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["8.8.0.2/32", "8.8.0.0/16", "2001:470::/32"]);
    assert_eq!(compat.notices().len(), 2);

    let toml = "[allow]\ndomains = [\n  'good.example',\n  '*.bad.example',\n]\n";
    assert_eq!(
        Machine::keyed().toml(toml).errors(),
        ["gatepost.toml:4:3: allow.domains: entry 2: \"*.bad.example\" is no domain; write a name such as \
          mail.example, without wildcard, address part or port"]
    );
}

#[test]
fn networks_are_taken_in_the_form_in_which_clients_are_seen() {
    let machine = Machine::keyed().env(
        "TRUSTED_NETWORKS",
        "::ffff:10.9.9.9, ::ffff:10.0.0.0/104, 2001:db8::1, 192.0.2.77/24, 0.0.0.0/0",
    );
    let nets: Vec<String> = machine.config().trusted_networks.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.9.9.9/32", "10.0.0.0/8", "2001:db8::1/128", "192.0.2.0/24", "0.0.0.0/0"]);
    assert_eq!(
        machine.notices(),
        [
            "environment: SPAMHAUS_DQS_TRUSTED_NETWORKS: entry 4: 192.0.2.77/24 has bits set beyond its prefix; it \
             is taken as 192.0.2.0/24; write that",
            "environment: SPAMHAUS_DQS_TRUSTED_NETWORKS: entry 5: 0.0.0.0/0 covers every client; name networks \
             instead",
        ]
    );
}

// case: A07
#[test]
fn allowed_domains_are_normalised_as_clients_names_are() {
    let config = Machine::keyed()
        .env("DOMAIN_SUFFIX_WHITELIST", "b\u{fc}cher.example, .EDU.example., com")
        .env("DOMAIN_WHITELIST", "Spam.Example.")
        .config();
    let suffixes: Vec<&str> =
        config.domain_suffix_whitelist.iter().map(gatepost::smtp::Domain::as_str).collect();
    assert_eq!(suffixes, ["xn--bcher-kva.example", "edu.example", "com"]);
    assert_eq!(config.domain_whitelist[0].as_str(), "spam.example");
}

// case: Q09
#[test]
fn a_key_of_64_characters_is_refused_without_being_shown() {
    for length in [27, 63] {
        assert!(Machine::new().env("API_KEY", &"k".repeat(length)).load().is_ok());
    }
    assert_eq!(
        Machine::new().env("API_KEY", &"k".repeat(64)).errors(),
        [
            "environment: SPAMHAUS_DQS_API_KEY: the key is longer than 63 characters, which a DNS label cannot hold; \
          copy it from the Spamhaus portal, without anything around it"
        ]
    );
}

// case: Q11
#[test]
fn the_newline_at_the_end_of_a_key_file_is_no_part_of_the_key() {
    for text in [format!("{KEY}\n"), format!("{KEY}\r\n"), format!("\u{feff}{KEY}"), format!(" {KEY} \n\n")] {
        let machine = Machine::new().file("dqs.key", &text);
        let path = machine.path("dqs.key");
        let machine = machine.env("API_KEY_FILE", &path.display().to_string());
        let config = machine.config();
        assert_eq!(config.key.as_ref().map(KeyText::expose), Some(KEY));
        assert_eq!(origin(&config, "key.value"), ("(set)".to_owned(), Place::file(&path)));
        assert!(config.files.contains(&path));
    }
}

// case: Q12
#[test]
fn what_is_no_key_is_refused_by_the_name_of_the_setting() {
    for key in ["REPLACE_ME_WITH_YOUR_DQS_KEY", "your_DQS_key", "a.b", "two words"] {
        let errors = Machine::new().env("API_KEY", key).errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("environment: SPAMHAUS_DQS_API_KEY: "), "{errors:?}");
        assert!(!errors[0].contains(key), "{errors:?}");
    }
    for machine in
        [Machine::new().env("API_KEY", ""), Machine::new(), Machine::new().env_file("SPAMHAUS_DQS_API_KEY=")]
    {
        let errors = machine.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("configuration: there is no DQS key; set SPAMHAUS_DQS_API_KEY, or "));
    }
    let file = Machine::new().file("dqs.key", "\n");
    let path = file.path("dqs.key").display().to_string();
    assert_eq!(
        file.toml(&format!("[key]\nfile = '{path}'\n")).errors(),
        ["dqs.key: key.file: the key is empty; put the key from the Spamhaus portal there, and nothing else"]
    );
}

#[test]
fn without_a_key_a_start_can_be_wished_for() {
    let machine = Machine::new().env("WITHOUT_KEY", "accept");
    let config = machine.config();
    assert!(config.key.is_none() && config.without_key == WithoutKey::Accept);
    assert!(machine.notices()[0].starts_with("configuration: there is no DQS key: nothing is checked"));
}

#[test]
fn the_key_comes_from_credential_file_environment_env_file_in_that_order() {
    let key = |n: u8| format!("{KEY}{n}");
    let mut machine = Machine::new().env_file(&format!("SPAMHAUS_DQS_API_KEY={}\n", key(4)));
    let of = |machine: &Machine| machine.config().key.map(|key| key.expose().to_owned());
    assert_eq!(of(&machine), Some(key(4)));
    machine = machine.env("API_KEY", &key(3));
    assert_eq!(of(&machine), Some(key(3)));
    machine = machine.file("dqs.key", &key(2));
    let path = machine.path("dqs.key").display().to_string();
    machine = machine.env("API_KEY_FILE", &path);
    assert_eq!(of(&machine), Some(key(2)));
    assert_eq!(
        machine.notices(),
        ["environment: SPAMHAUS_DQS_API_KEY: the key in dqs.key comes first; remove one of them"]
    );
    fs::create_dir(machine.path("credentials")).expect("a directory");
    let directory = machine.path("credentials").display().to_string();
    machine.environment.insert("CREDENTIALS_DIRECTORY".to_owned(), directory);
    assert_eq!(of(&machine), Some(key(2)), "a directory of other credentials");
    machine = machine.file_with_mode("credentials/dqs-key", key(1), 0o400);
    assert_eq!(of(&machine), Some(key(1)));
    let credential = Place::Credential(machine.path("credentials/dqs-key"));
    assert_eq!(origin(&machine.config(), "key.value"), ("(set)".to_owned(), credential));
}

// case: L02
#[test]
fn a_key_that_others_can_read_is_told_with_the_command_that_mends_it() {
    let machine = Machine::new().file_with_mode("dqs.key", KEY, 0o644);
    let path = machine.path("dqs.key").display().to_string();
    let machine = machine.env("API_KEY_FILE", &path);
    assert_eq!(
        machine.notices(),
        [
            "dqs.key: the file holds the key and has mode 0644: everybody can read it; chown root:gatepost dqs.key && \
          chmod 0640 dqs.key"
        ]
    );
    let machine = Machine::new().file_with_mode("milter.env", format!("SPAMHAUS_DQS_API_KEY={KEY}"), 0o644);
    assert!(
        machine.notices()[0]
            .starts_with("milter.env: SPAMHAUS_DQS_API_KEY: the file holds the key and has mode")
    );
    for mode in [0o400, 0o600, 0o640, 0o440] {
        let machine = Machine::new().file_with_mode("dqs.key", KEY, mode);
        let path = machine.path("dqs.key").display().to_string();
        assert_eq!(machine.env("API_KEY_FILE", &path).config().notices, [], "{mode:o}");
    }
    let inline = format!("[key]\nvalue = '{KEY}'\n");
    let machine = Machine::new().file_with_mode("gatepost.toml", &inline, 0o644);
    assert_eq!(
        machine.errors(),
        [
            "gatepost.toml:2:9: key.value: the key stands in a file that everybody can read; chmod 0640 gatepost.toml, \
          or move the key to a file of its own (key.file)"
        ]
    );
    assert_eq!(Machine::new().file_with_mode("gatepost.toml", &inline, 0o640).config().notices, []);
}

#[test]
fn files_that_cannot_be_read_are_told_with_a_remedy() {
    let mut machine = Machine::keyed();
    machine.overrides.config = Some(machine.path("other.toml"));
    let machine = machine.env("ENV_FILE", "/nonexistent/milter.env").env("API_KEY_FILE", "/nonexistent/key");
    assert_eq!(
        machine.errors(),
        [
            "other.toml: the file cannot be read: no such file or directory; create it, or name another one",
            "/nonexistent/milter.env: the file cannot be read: no such file or directory; create it, or name another one",
            "/nonexistent/key: SPAMHAUS_DQS_API_KEY_FILE: the file cannot be read: no such file or directory; create \
             it, or name another one",
        ]
    );
    let machine = Machine::keyed();
    fs::create_dir(machine.path("gatepost.toml")).expect("a directory");
    assert_eq!(
        machine.errors(),
        ["gatepost.toml: the file cannot be read: is a directory; name a regular file"]
    );
    let machine = Machine::keyed().file_with_mode("milter.env", b"A=b\nSPAMHAUS_DQS_LISTEN=\xff\n", 0o600);
    assert_eq!(machine.errors(), ["milter.env:2: the line is not UTF-8; save the file as UTF-8"]);
    let machine = Machine::keyed().file_with_mode("gatepost.toml", vec![b'#'; (1 << 20) + 1], 0o644);
    assert_eq!(
        machine.errors(),
        ["gatepost.toml: the file is larger than 1048576 octets; name the right file"]
    );
}

#[test]
fn toml_problems_have_line_column_and_the_name_that_was_meant() {
    let toml = "listne = 'inet:1'\nservers = ['127.0.0.1']\nthreads = 'many'\nzrd = true\n[cache]\nmax = -5\nttl = 7\n\
                [zen]\n[zen]\n";
    // a table twice is an error of syntax; what stands on the other lines is told all the same.
    let errors = Machine::keyed().toml(toml).errors();
    assert_eq!(
        errors,
        [
            "gatepost.toml:1:1: listne: there is no such setting; did you mean listen?",
            "gatepost.toml:2:1: servers: there is no such setting; did you mean dns.servers?",
            "gatepost.toml:3:11: threads: many is not a whole number; give a number from 1 to 64",
            "gatepost.toml:4:1: zrd: it is a table of settings; write [zrd]",
            "gatepost.toml:6:7: cache.max: -5 is not a whole number; give a number from 0 to 10000000",
            "gatepost.toml:7:1: cache.ttl: there is no such setting; [cache] has max, ttl_listed, ttl_unlisted, \
             honor_ttl",
            "gatepost.toml:9:2: duplicate key; keep one of them",
        ]
    );
    for (toml, error) in [
        ("user = 5\n", "gatepost.toml:1:8: user: the value has the wrong type; it is to be a text in quotes"),
        (
            "user = ['a']\n",
            "gatepost.toml:1:8: user: a list stands where one value belongs; give a single value",
        ),
        (
            "listen = {a = 1}\n",
            "gatepost.toml:1:10: listen: the value has the wrong type; see gatepost.conf(5)",
        ),
        (
            "[zen]\nreject_codes = [2, true]\n",
            "gatepost.toml:2:20: zen.reject_codes: the value has the wrong type; it is to be a list of texts or numbers",
        ),
        (
            "[zen]\nreject_codes = [2, 300]\n",
            "gatepost.toml:2:20: zen.reject_codes: entry 2: 300 is not a return code (2 to 255); write codes and ranges as in 2,3,9-11",
        ),
        (
            "[enforce]\nstage = 'data'\n",
            "gatepost.toml:2:9: enforce.stage: data is none of its words; choose from connect, helo, mail, rcpt",
        ),
    ] {
        assert_eq!(Machine::keyed().toml(toml).errors(), [error], "{toml}");
    }
}

#[test]
fn toml_reads_the_same_settings() {
    let toml = "threads = 2\nconnections = 0x10\non_failure = 'zen=tempfail, DBL=accept'\nlisten = 'inet:1,unix:/x'\n\
                [dns]\nlifetime = 1\nper_try = 0.5\nprobe_interval = 0\n\
                [zen]\nenable = false\nreject_codes = [2, '9-11']\n[zrd]\naction = 'tempfail'\nmax_age = 3\n\
                [reply]\nstyle = 'seed'\nzrd = '450 4.7.1 {domain} is young'\n\
                [session]\nauth_skip = 'off'\nsubmission_daemons = ['submission', 'MSA']\n";
    let config = Machine::keyed().toml(toml).config();
    assert_eq!((config.threads, config.connections), (2, 16));
    assert_eq!(config.on_failure.of(List::Zen), OnTrouble::Defer);
    assert_eq!(config.on_failure.of(List::Dbl), OnTrouble::LetIn);
    assert_eq!(config.on_failure.of(List::Zrd), OnTrouble::LetIn);
    assert_eq!(config.listen, ["inet:1", "unix:/x"]);
    assert_eq!(config.dns_lifetime, Duration::from_secs(1));
    assert_eq!(config.probe_interval, None);
    assert!(!config.zen_enable && !config.auth_skip);
    assert_eq!(config.zen_reject_codes, Codes::of(0, [2, 9, 10, 11]));
    assert_eq!((config.zrd_action, config.zrd_max_age), (ZrdAction::Tempfail, 3));
    assert_eq!(config.reply_style, ReplyStyle::Seed);
    assert_eq!(config.submission_daemons, ["submission", "MSA"]);
    assert_eq!(origin(&config, "zen.reject_codes").0, "2,9,10,11");
    assert_eq!(origin(&config, "on_failure").0, "zen=tempfail,dbl=accept,zrd=accept");
}

#[test]
fn yes_and_no_have_several_spellings_and_nothing_else_is_either() {
    for (text, on) in [
        ("1", true),
        ("TRUE", true),
        ("Yes", true),
        ("on", true),
        ("0", false),
        ("off", false),
        ("No", false),
    ] {
        assert_eq!(Machine::keyed().env("ZEN_ENABLE", text).config().zen_enable, on, "{text}");
    }
    assert_eq!(
        Machine::keyed().env("ZEN_ENABLE", "maybe").errors(),
        ["environment: SPAMHAUS_DQS_ZEN_ENABLE: maybe is neither yes nor no; write 1 or 0"]
    );
}

// case: R04
#[test]
fn reply_texts_are_checked_before_the_start() {
    for (name, text, cause) in [
        ("REPLY_ZEN", "554 5.7.1 {unknown}", "there is no variable {unknown}"),
        (
            "REPLY_ZEN",
            "554 4.7.1 no",
            "the first digits of the reply code and of the enhanced status code must be the same",
        ),
        ("REPLY_HELO", "550 5.7.1 {ip", "a brace has no partner"),
        ("REPLY_FAILURE", "550 5.7.1 no", "trouble with a list must not refuse mail for good"),
        ("REPLY_ZRD", "450 4.7.1 later", "the reply does not fit zrd.action, which is reject"),
    ] {
        let errors = Machine::keyed().env(name, text).errors();
        let start = format!("environment: SPAMHAUS_DQS_{name}: {cause}; ");
        assert!(errors.len() == 1 && errors[0].starts_with(&start), "{errors:?}");
    }
    let config = Machine::keyed().env("REPLY_SENDER", "550 5.7.1 100% {domain}").config();
    let reply =
        config.reply_sender.expect("a template").render(|_| "spam.example".to_owned()).expect("a reply");
    assert_eq!(reply.to_string(), "550 5.7.1 100% spam.example");
}

#[test]
fn settings_that_are_not_there_are_told_even_if_they_are_known_elsewhere() {
    let machine = Machine::keyed().env("DRY_RUN", "1").env("ZEN_ACTION_2", "log").env("METRICS_LISTEN", "x");
    let errors = machine.errors();
    assert_eq!(errors.len(), 3);
    for line in errors {
        assert!(line.ends_with(": this version does not have that setting; remove it"), "{line}");
    }
    assert_eq!(
        Machine::keyed().env("ZEN_REJECT_CODE", "2").errors(),
        ["environment: SPAMHAUS_DQS_ZEN_REJECT_CODE: there is no such setting; did you mean \
          SPAMHAUS_DQS_ZEN_REJECT_CODES?"]
    );
}

#[test]
fn compatible_parsing_warns_and_uses_the_default() {
    let machine = Machine::keyed()
        .env("COMPAT_PARSE", "yes")
        .env("CACHE_MAX", "-1")
        .env("ZEN_REJECT_CODES", "abc")
        .env("NO_SUCH", "1")
        .env("LOG_LEVEL", "loud")
        .env_file("junk\nSPAMHAUS_DQS_DNS_LIFETIME=soon\n");
    let config = machine.config();
    assert_eq!(config.cache_max, 20_000);
    assert_eq!(config.zen_reject_codes, Config::default().zen_reject_codes);
    assert_eq!(machine.notices().len(), 6);
    let bad_key = Machine::new().env("COMPAT_PARSE", "1").env("API_KEY", "two words");
    assert_eq!(bad_key.errors().len(), 1, "a key has no default");
}

#[test]
fn every_problem_of_every_source_is_told_in_one_run() {
    let mut machine = Machine::new()
        .toml("nonsense = 1\nthreads = 0\n[dns]\nservers = ['x']\n")
        .env_file("junk\nSPAMHAUS_DQS_THREADS=0\n")
        .env("THREADS", "none")
        .env("API_KEY", "a.b");
    machine.overrides.user = Some("no body".to_owned());
    machine.overrides.log_level = Some("loud".to_owned());
    let starts: Vec<String> = machine
        .errors()
        .iter()
        .map(|line| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": "))
        .collect();
    assert_eq!(
        starts,
        [
            "gatepost.toml:1:1: nonsense",
            "gatepost.toml:2:11: threads",
            "gatepost.toml:4:12: dns.servers",
            "milter.env:1: the line has no =; write NAME=value, or # in front of a comment",
            "milter.env:2: SPAMHAUS_DQS_THREADS",
            "environment: SPAMHAUS_DQS_API_KEY",
            "environment: SPAMHAUS_DQS_THREADS",
            "command line: --user",
            "command line: --log-level",
        ]
    );
    let problems = machine.load().expect_err("problems");
    assert_eq!(problems.to_string().lines().count(), 9);
}

/// Everything that can reach a terminal or a log, of one load.
fn all_text(machine: &Machine) -> String {
    match machine.load() {
        Ok(config) => format!("{config:?} {:?} {:?}", config.origins(), config.notices),
        Err(problems) => {
            let notices: Vec<String> = problems.notices.iter().map(ToString::to_string).collect();
            format!("{problems} {problems:?} {notices:?}")
        }
    }
}

#[test]
fn no_message_ever_holds_the_key() {
    let short = "k3y-Sh0rt";
    let broken_keys =
        [format!("{KEY}.x"), format!("{KEY} {KEY}"), format!("{KEY}{KEY}{KEY}"), format!("-{KEY}")];
    let mut machines = vec![
        Machine::keyed(),
        Machine::keyed().env("LISTEN", KEY).env("USER", KEY).env("NAMESERVERS", KEY).env("LOG_LEVEL", KEY),
        Machine::new().env("LISTEN", KEY).env("DOMAIN_WHITELIST", &format!("a b.{KEY}.example")),
        Machine::new()
            .env("API_KEY", short)
            .env("CACHE_MAX", short)
            .env("REPLY_ZEN", &format!("550 5.7.1 {{{short}}}")),
        Machine::new().env("API_KEY_FILE", KEY),
        Machine::new().env("API_KEY_FILE", "/dev/null/x").env("IP_WHITELIST", KEY),
        Machine::new().env(KEY, "1").env(&format!("API_KEY{KEY}"), "1").env(&format!("API_KEY={KEY}"), ""),
        Machine::keyed().env("REPLY_ZEN", &format!("550 5.7.1 {{{KEY}}}")).env("REPLY_HELO", KEY),
        Machine::keyed()
            .env("THREADS", KEY)
            .env("DNS_LIFETIME", KEY)
            .env("ON_FAILURE", KEY)
            .env("ZEN_ENABLE", KEY),
        Machine::keyed()
            .env("ZONE_BASE", &format!("{KEY}..net"))
            .env("ENFORCE_STAGE", KEY)
            .env("ZRD_MAX_AGE", KEY),
    ];
    for key in &broken_keys {
        machines.push(Machine::new().env("API_KEY", key));
        machines.push(Machine::new().file_with_mode(
            "gatepost.toml",
            format!("[key]\nvalue = '{key}'\n"),
            0o644,
        ));
        let machine = Machine::new().file_with_mode("dqs.key", format!("{key}\n"), 0o666);
        let path = machine.path("dqs.key").display().to_string();
        machines.push(machine.env("API_KEY_FILE", &path));
    }
    for line in [
        KEY.to_owned(),
        format!("SPAMHAUS_DQS_API_KEY {KEY}"),
        format!("SPAMHAUS_DQS_API_KEY: {KEY}"),
        format!("SPAMHAUS_DQS_API_KEY=\"{KEY}"),
        format!("SPAMHAUS_DQS_API_KEY={KEY}'"),
        format!("SPAMHAUS_DQS_API_KEY='{KEY}' # mine"),
        format!("SPAMHAUS_DQS_API_KEY={KEY} # mine"),
        format!("SPAMHAUS_DQS_APIKEY={KEY}"),
        format!("SPAMHAUS_DQS_KEY={KEY}"),
        format!("API_KEY={KEY}"),
        format!("{KEY}=SPAMHAUS_DQS_API_KEY"),
        format!("SPAMHAUS_{KEY}=1"),
        format!("SPAMHAUS_DQS_API_KEY={KEY}\nSPAMHAUS_DQS_API_KEY={KEY}"),
        format!("SPAMHAUS_DQS_API_KEY={KEY}\u{7}"),
        format!("SPAMHAUS_DQS_LISTEN=inet:1@{KEY}:x"),
        format!("SPAMHAUS_DQS_API_KEY={short}\nSPAMHAUS_DQS_LISTEN={short}"),
    ] {
        machines.push(Machine::new().env_file(&line));
        machines.push(Machine::new().env_file(&format!("SPAMHAUS_DQS_COMPAT_PARSE=1\n{line}\n")));
    }
    for text in [
        KEY.to_owned(),
        format!("key = {KEY}"),
        format!("key = '{KEY}'"),
        format!("key = '{KEY}"),
        format!("[key]\nvalue = {KEY}"),
        format!("[key]\nvalue = \"{KEY}\nfile = 1"),
        format!("[key]\nvalue = ['{KEY}', '{KEY}']"),
        format!("[key]\nvalue = '{KEY}'\nvalue = '{KEY}'"),
        format!("[key]\n{KEY} = 1"),
        format!("['{KEY}']\nx = 1"),
        format!("[{KEY}"),
        format!("api_key = '{KEY}'"),
        format!("[dns]\nservers = ['{KEY}']\nlifetime = '{KEY}'"),
        format!("[key]\nfile = '{KEY}'"),
        format!("[key]\nvalue = \"\\q{KEY}\""),
        format!("[key]\nvalue.{KEY} = 1"),
        format!("[key]\nvalue = '{short}'\n[dns]\nservers = ['{short}']"),
    ] {
        machines.push(Machine::new().toml(&text));
    }
    for machine in machines {
        let text = all_text(&machine);
        for key in [KEY, short] {
            assert!(!text.contains(key), "{text}");
        }
    }
}

#[test]
fn the_sources_themselves_show_names_only() {
    let sources =
        Sources { environment: [("SPAMHAUS_DQS_API_KEY".into(), KEY.into())].into(), ..Sources::default() };
    let text = format!("{sources:?}");
    assert!(text.contains("SPAMHAUS_DQS_API_KEY") && !text.contains(KEY), "{text}");
}

fn packaged(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc").join(name);
    fs::read_to_string(path).expect("a packaged file")
}

#[test]
fn the_packaged_files_are_valid_and_start_without_a_key() {
    let machine = Machine::new().toml(&packaged("gatepost.toml")).env_file(&packaged("gatepost.env"));
    let config = machine.config();
    assert_eq!(config.enforce_stage, Stage::Mail);
    assert_eq!(config.without_key, WithoutKey::Accept);
    assert_eq!(machine.notices().len(), 1, "only that there is no key");
}

#[test]
fn every_line_of_the_packaged_files_may_be_uncommented() {
    let toml: String = packaged("gatepost.toml")
        .lines()
        .map(|line| {
            let bare =
                line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            format!("{}\n", bare.unwrap_or(line))
        })
        .collect();
    let env = packaged("gatepost.env").replace("\n#SPAMHAUS", "\nSPAMHAUS");
    let machine = Machine::new().toml(&toml).env_file(&env).file("dqs.key", KEY);
    let key = machine.path("dqs.key").display().to_string();
    let machine = machine.env("API_KEY_FILE", &key);
    assert_eq!(machine.config().notices, []);
    for setting in SETTINGS.iter().filter(|setting| !setting.is_secret()) {
        let name = setting.toml.rsplit('.').next().expect("a name");
        assert!(
            toml.lines().any(|line| line.starts_with(&format!("{name} = "))),
            "{} is missing",
            setting.toml
        );
    }
    // What stands behind a # is what is built in.
    let toml_only = Config::from_texts("", &toml).unwrap_or_else(|problems| panic!("{problems}"));
    let examples = ["key.file", "trusted_networks", "without_key", "enforce.stage"];
    for (origin, setting) in toml_only.origins().iter().zip(SETTINGS) {
        if !examples.contains(&setting.toml) && !setting.toml.starts_with("reply.") {
            assert_eq!(origin.value, setting.default, "{}", setting.toml);
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(env in ".{0,200}", toml in ".{0,200}") {
        let _ = Config::from_texts(&env, &toml);
    }

    #[test]
    fn no_value_of_any_setting_makes_a_reader_panic(n in 0..SETTINGS.len(), value in "[ -~\u{a0}-\u{ff}]{0,60}") {
        let setting = &SETTINGS[n];
        let _ = Config::from_texts(&format!("{}={value}", setting.variable()), "");
        let _ = Config::from_texts("", &format!("{} = '''{value}'''", setting.toml));
    }
}
