//! Holds the policies of `etc/examples` to their promise: they are accepted, and do what they say.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost::config::{Config, Problem};
use gatepost::gate::{Tables, expect};
use gatepost::policy::{Mode, Rule};
use gatepost::source::Watcher;
use nix::unistd::{Uid, User};

/// What the key files hold that examples name, and a key of DQS.
const KEY: &str = "abcdefghij0123456789abcdef";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A policy as it is shipped.
struct Example {
    name: String,
    text: String,
    /// The same, with the files that it names in a directory of ours: lists as they are shipped, and keys.
    path: PathBuf,
    tried: String,
}

/// All of them, as files in `directory`.
fn examples(directory: &Path) -> Vec<Example> {
    let entries = fs::read_dir(root().join("etc/examples")).expect("the directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    paths.sort();
    // The account that a daemon becomes has to read them.
    fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).expect("a mode");
    let account = User::from_name("nobody").expect("accounts").expect("the account nobody");
    let is_root = Uid::effective().is_root();
    let group = is_root.then(|| account.gid.as_raw());
    let examples = paths.into_iter().map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = read(&path);
        let files = text.replace("\"text:", "\"");
        for named in files.split("\"/etc/gatepost/").skip(1).filter_map(|rest| rest.split('"').next()) {
            let file = directory.join(named);
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            let shipped = root().join("etc/examples").join(named);
            if Path::new(named).extension().is_some_and(|kind| kind == "key") {
                fs::write(&file, KEY).expect("a file");
            } else {
                fs::copy(&shipped, &file).unwrap_or_else(|error| panic!("{}: {error}", shipped.display()));
            }
            fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("a mode");
            chown(&file, None, group).expect("a group");
        }
        let tried = text.replace("/etc/gatepost/", &format!("{}/", directory.display()));
        let path = directory.join(&name);
        fs::write(&path, &tried).expect("a file");
        Example { name, text, path, tried }
    });
    examples.collect()
}

fn config(example: &Example) -> Config {
    let key = format!("SPAMHAUS_DQS_API_KEY={KEY}\n");
    Config::from_texts(&key, &example.tried).unwrap_or_else(|problems| panic!("{}: {problems}", example.name))
}

#[test]
fn every_example_is_accepted_as_it_is_and_meets_its_expectations() {
    let directory = tempfile::tempdir().expect("a directory");
    let examples = examples(directory.path());
    assert!(examples.len() > 14, "{}", examples.len());
    for example in examples {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .arg("check-config")
            .arg("--config")
            .arg(&example.path)
            .env_clear()
            .env("SPAMHAUS_DQS_API_KEY", KEY)
            .env("SPAMHAUS_DQS_ENV_FILE", "/dev/null")
            .env("SPAMHAUS_DQS_USER", "nobody")
            .output()
            .expect("a process");
        let told = String::from_utf8_lossy(&output.stdout);
        let problems = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && problems.is_empty(), "{}: {problems}", example.name);
        assert!(told.ends_with(" expectations are met\n"), "{}: {told}", example.name);
        assert!(!told.contains(KEY), "{}", example.name);
    }
}

#[test]
fn every_example_says_what_it_is_for_and_what_to_change() {
    let directory = tempfile::tempdir().expect("a directory");
    let (manual, readme) = (read("man/gatepost-policy.5"), read("README.md"));
    assert!(readme.contains("etc/examples"));
    for Example { name, text, .. } in examples(directory.path()) {
        let heading: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(heading.len() >= 3 && heading[1] == "#" && heading[2].starts_with("# Change: "), "{name}");
        assert!(text.lines().all(|line| line.chars().count() <= 120 && line.trim_end() == line), "{name}");
        assert!(manual.contains(&format!("\n.It Pa {name}\n")), "{name} is not in gatepost-policy(5)");
    }
    let named = manual.matches("\n.It Pa ").count();
    assert_eq!(named, examples(directory.path()).len(), "gatepost-policy(5) names what is not there");
}

#[test]
fn every_example_shows_mail_that_comes_in_and_mail_that_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    for example in examples(directory.path()) {
        let config = config(&example);
        let expectations = &config.additions.expectations;
        assert!(expectations.len() >= 2, "{}", example.name);
        let acts = expectations.iter().filter(|expected| expected.act.is_some()).count();
        assert_eq!(acts == 0, config.observe, "{}", example.name);
        assert!(acts < expectations.len(), "{}", example.name);
    }
}

#[test]
fn every_list_that_is_shipped_is_in_a_package_and_in_an_example() {
    let (cargo, policy) = (read("Cargo.toml"), read("etc/examples/local-lists.toml"));
    for asset in ["[\"etc/examples/lists/*\", ", "{ source = \"etc/examples/lists/*\", "] {
        let line = cargo.lines().find(|line| line.contains(asset)).expect(asset);
        assert!(line.contains("usr/share/doc/gatepost/examples/policies/lists/"), "{line}");
    }
    let shipped = fs::read_dir(root().join("etc/examples/lists")).expect("the directory");
    let names = shipped.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut count = 0;
    for name in names {
        assert!(policy.contains(&format!("file = \"/etc/gatepost/lists/{name}\"\n")), "{name}");
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn every_map_that_is_shipped_is_in_a_package_and_in_an_example() {
    let cargo = read("Cargo.toml");
    for asset in ["[\"etc/examples/maps/*\", ", "{ source = \"etc/examples/maps/*\", "] {
        let line = cargo.lines().find(|line| line.contains(asset)).expect(asset);
        assert!(line.contains("usr/share/doc/gatepost/examples/policies/maps/"), "{line}");
    }
    let policies = read("etc/examples/access-map.toml") + &read("etc/examples/postfix-map.toml");
    let shipped = fs::read_dir(root().join("etc/examples/maps")).expect("the directory");
    let names = shipped.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let checked = names.inspect(|name| {
        assert!(policies.contains(&format!("\"text:/etc/gatepost/maps/{name}\"")), "{name}");
    });
    assert_eq!(checked.count(), 2);
}

/// What the expectations say of this configuration with one rule less.
fn without(config: &Config, tables: &Tables, number: usize) -> Result<(), Vec<Problem>> {
    let mut less = config.clone();
    less.additions.rules.remove(number);
    expect::check(&less, tables)
}

// An expectation that holds with and without a rule tells nothing about it.
#[test]
fn each_rule_of_an_example_is_needed_by_an_expectation() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rules = 0;
    for example in examples(directory.path()) {
        let config = config(&example);
        let (tables, notices) = Tables::open(&config, &Watcher::default(), &[]).expect("good files");
        assert_eq!(notices, [], "{}", example.name);
        expect::check(&config, &tables).unwrap_or_else(|problems| panic!("{}: {problems:#?}", example.name));
        let needed = |(_, (rule, _)): &(usize, &(Rule, _))| rule.mode == Mode::Enforce;
        for (number, (rule, _)) in config.additions.rules.iter().enumerate().filter(needed) {
            assert!(
                without(&config, &tables, number).is_err(),
                "{}: {} can be left out",
                example.name,
                rule.name
            );
            rules += 1;
        }
    }
    assert!(rules > 20, "{rules}");
}
