//! The packaged files, and texts that nobody would write.

use super::*;

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
    let lines: Vec<String> = packaged("gatepost.toml")
        .lines()
        .map(|line| {
            let bare =
                line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            bare.unwrap_or(line).to_owned()
        })
        .collect();
    let toml = lines.join("\n");
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
}

#[test]
fn what_stands_behind_a_hash_in_a_packaged_file_is_built_in_or_called_an_example() {
    let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains('=');
    for name in ["gatepost.toml", "gatepost.env"] {
        // Comments in a row hold for all settings behind them.
        let (mut above, mut table, mut examples) = (String::new(), String::new(), 0);
        let mut was_comment = false;
        for line in packaged(name).lines() {
            let off = line.strip_prefix('#').filter(|rest| is_setting(rest));
            let is_comment = line.starts_with('#') && off.is_none();
            if is_comment && !was_comment {
                above.clear();
            }
            was_comment = is_comment;
            if is_comment {
                above += line;
            } else if line.starts_with('[') {
                table = line.to_owned();
                above.clear();
            } else if let Some(off) = off {
                let (env, toml) = if name == "gatepost.env" { (off, "") } else { ("", off) };
                let config = Config::from_texts(env, &format!("{table}\n{toml}\n"));
                let config = config.unwrap_or_else(|problems| panic!("{problems}"));
                let set = config.origins().iter().zip(SETTINGS).find(|(own, _)| own.place != Place::Default);
                let (origin, setting) = set.expect("a setting");
                let is_example = above.contains("example");
                examples += usize::from(is_example);
                assert!(is_example || origin.value == setting.default, "{name}: {off} below {above}");
            }
        }
        assert!(examples >= 3, "{name}: {examples}");
    }
}

/// Pieces of both grammars, so that chance gets past the first character.
const PIECES: &[&str] = &[
    "SPAMHAUS_DQS_",
    "API_KEY",
    "LISTEN",
    "ZEN_REJECT_CODES",
    "export ",
    "=",
    "'",
    "\"",
    "\\",
    "#",
    " ",
    "\n",
    "\r\n",
    "\u{feff}",
    "$HOME",
    "[",
    "]",
    "[[",
    "{",
    "}",
    ",",
    ".",
    ":",
    "key",
    "value",
    "dns",
    "servers",
    "zen",
    "reject_codes",
    "listen",
    "\"\"\"",
    "\'\'\'",
    "1",
    "-1",
    "0x",
    "1e9",
    "true",
    "inet:1",
    "::1",
    "127.0.0.1",
    "/0",
    "2-99",
    "\u{fc}",
    "2020-01-01",
    "abcdefghij0123456789klmnop",
];

proptest::proptest! {
    #[test]
    fn no_pieces_in_any_order_make_the_readers_panic(order in proptest::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = order.into_iter().map(|n| PIECES[n]).collect();
        for (env, toml) in [(text.as_str(), ""), ("", text.as_str())] {
            if let Err(problems) = Config::from_texts(env, toml) {
                assert!(!problems.errors.is_empty());
                assert!(!problems.to_string().contains("abcdefghij0123456789klmnop"), "{problems}");
            }
        }
    }

    #[test]
    fn no_text_makes_the_readers_panic(env in ".{0,200}", toml in ".{0,200}") {
        let _ = Config::from_texts(&env, &toml);
    }

    #[test]
    fn no_value_of_any_setting_makes_a_reader_panic(n in 0..SETTINGS.len(), value in "[ -~\u{a0}-\u{ff}]{0,60}") {
        let setting = &SETTINGS[n];
        let name = setting.variable().unwrap_or_default();
        let _ = Config::from_texts(&format!("{name}={value}"), "");
        let toml = value.replace(['\\', '"'], "?");
        let _ = Config::from_texts("", &format!("{} = \"{toml}\"", setting.toml));
        let _ = Config::from_texts("", &format!("{} = '''{value}'''", setting.toml));
    }
}
