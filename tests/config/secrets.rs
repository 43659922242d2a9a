//! Where the key comes from, and that nobody sees it.

use gatepost::config::Problem;
use gatepost::gate;
use gatepost::source::Watcher;

use super::*;

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
        assert_eq!(config.key, Key::new(KEY).ok());
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
fn each_list_of_dqs_alone_needs_a_key() {
    let all = ["zen", "dbl", "zrd", "authbl"];
    let only = |wanted: &str| {
        let tables = all.map(|list| format!("[{list}]\nenable = {}\n", list == wanted));
        tables.concat()
    };
    for list in all {
        let errors = Machine::new().toml(&only(list)).errors();
        assert_eq!(errors.len(), 1, "{list}: {errors:?}");
        assert!(errors[0].starts_with("configuration: there is no DQS key; "), "{list}: {errors:?}");
        let wished = Machine::new().toml(&only(list)).env("WITHOUT_KEY", "accept").notices();
        assert!(wished[0].starts_with("configuration: there is no DQS key: "), "{list}: {wished:?}");
    }
    let none = Machine::new().toml(&only("none")).notices();
    assert_eq!(none, ["configuration: all lists are switched off: nothing is checked; switch one on"]);
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
    let of = |machine: &Machine| machine.config().key;
    let known = |n: u8| Key::new(&key(n)).ok();
    assert_eq!(of(&machine), known(4));
    machine = machine.env("API_KEY", &key(3));
    assert_eq!(of(&machine), known(3));
    machine = machine.file("dqs.key", &key(2));
    let path = machine.path("dqs.key").display().to_string();
    machine = machine.env("API_KEY_FILE", &path);
    assert_eq!(of(&machine), known(2));
    assert_eq!(
        machine.notices(),
        ["environment: SPAMHAUS_DQS_API_KEY: the key in dqs.key comes first; remove one of them"]
    );
    fs::create_dir(machine.path("credentials")).expect("a directory");
    let directory = machine.path("credentials").display().to_string();
    machine.environment.insert("CREDENTIALS_DIRECTORY".to_owned(), directory);
    assert_eq!(of(&machine), known(2), "a directory of other credentials");
    machine = machine.file_with_mode("credentials/dqs-key-plain", key(5), 0o400);
    assert_eq!(of(&machine), known(5), "under the name that is left for a plain one");
    machine = machine.file_with_mode("credentials/dqs-key", key(1), 0o400);
    assert_eq!(of(&machine), known(1));
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

/// Everything that can reach a terminal or a log, of one load: of the settings alone, and with the files that they name.
fn all_text(machine: &Machine) -> String {
    let settings = match machine.load() {
        Ok(config) => format!("{config:?} {:?} {:?}", config.origins(), config.notices),
        Err(problems) => told(&problems),
    };
    settings + &text_of_files(&machine.sources())
}

fn text_of_files(sources: &Sources) -> String {
    match gate::load(sources, &Watcher::default()) {
        Ok(loaded) => format!("{:?}", loaded.config.notices),
        Err(problems) => told(&problems),
    }
}

fn told(problems: &Problems) -> String {
    let notices: Vec<String> = problems.notices.iter().map(ToString::to_string).collect();
    // A line of a file is quoted without what is as long as a key.
    let lines: Vec<String> = problems.errors.iter().filter_map(Problem::line).collect();
    assert!(!lines.concat().contains(KEY), "{lines:?}");
    format!("{problems} {problems:?} {notices:?}")
}

/// Settings that name files by a path with the key in it; none of the files is there.
fn named_after_the_key(key: &str) -> Vec<String> {
    vec![
        format!("[[list]]\nname = 'own'\nformat = 'ip4set'\nfile = '/nonexistent/{key}'\n"),
        format!("[[list]]\nname = 'own'\nformat = 'ip4set'\nfile = '/nonexistent/{key}'\non_trouble = 'x'\n"),
        format!(
            "[access]\nmap = ['/nonexistent/{key}', 'cdb:/nonexistent/{key}.cdb', 'lmdb:/nonexistent/{key}']\n"
        ),
        format!(
            "[[recipient]]\nname = 'own'\nrecipients = ['a@mail.example']\nsenders = ['file:/nonexistent/{key}']\n"
        ),
    ]
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
        format!(
            "[access]\nmap = ['{KEY}:/x', 'no-kind:x {KEY}', 'hash:/{KEY}.db', '{KEY}', 'socketmap:inet:{KEY}:1:x']"
        ),
        format!(
            "[access]\nmap = ['no-kind:{}{KEY}', 'text:/{KEY}.cdb', 'sqlite:/x?{KEY}=1']",
            "x ".repeat(91)
        ),
    ] {
        machines.push(Machine::new().toml(&text));
    }
    machines.extend(named_after_the_key(KEY).iter().map(|text| Machine::keyed().toml(text)));
    for text in named_after_the_key(short) {
        let text = text_of_files(&Machine::new().env("API_KEY", short).toml(&text).sources());
        assert!(text.contains("(...)") && !text.contains(short), "{text}");
    }
    for machine in machines {
        let text = all_text(&machine);
        // Nor the beginning of the longer one, which is cut in many places.
        for key in [&KEY[..8], short] {
            assert!(!text.contains(key), "{text}");
        }
    }
}

#[test]
fn a_key_from_a_credential_is_hidden_at_a_reload_as_it_was_at_the_start() {
    for text in named_after_the_key(KEY).into_iter().chain([format!("[dns]\nservers = ['{KEY}']\n")]) {
        let machine = Machine::new().toml(&text);
        let sources = Sources { credential: Key::new(KEY).ok(), ..machine.sources() };
        let text = text_of_files(&sources);
        assert!(text.contains("(...)") && !text.contains(KEY), "{text}");
    }
}

#[test]
fn a_key_in_the_name_of_a_key_file_that_is_not_there_is_hidden_and_a_path_is_not() {
    let list = "[[list]]\nname = 'own'\nkind = 'address'\nzone = 'list.example'\n";
    for setting in ["[key]\nfile", &format!("{list}key_file")] {
        for path in [format!("/nonexistent/{KEY}"), format!("/nonexistent/a b={KEY}/c")] {
            let text = text_of_files(&Machine::new().toml(&format!("{setting} = '{path}'\n")).sources());
            assert!(text.contains("(...)") && !text.contains(KEY), "{text}");
        }
        let path = "/nonexistent/keys-of-2026/the-key-of-our-mail-gateway";
        let text = text_of_files(&Machine::new().toml(&format!("{setting} = '{path}'\n")).sources());
        assert!(text.contains(path), "{text}");
    }
}

#[test]
fn a_key_in_another_setting_is_refused_before_anybody_sees_it() {
    let cause = "the value holds a key, which it would give away; take it out";
    for (name, value) in [
        ("ZONE_BASE", format!("{KEY}.dq.spamhaus.net")),
        ("USER", KEY.to_owned()),
        ("LISTEN", format!("inet:11332@{KEY}.example")),
        ("REPLY_ZEN", format!("550 5.7.1 see https://www.example/{}", KEY.to_uppercase())),
        ("SUBMISSION_DAEMONS", format!("msa,{KEY}")),
    ] {
        for machine in [Machine::keyed(), Machine::keyed().env("COMPAT_PARSE", "1")] {
            let errors = machine.env(name, &value).errors();
            assert_eq!(errors, [format!("environment: SPAMHAUS_DQS_{name}: {cause}")]);
        }
    }
    let machine = Machine::keyed().toml(&format!("[reply]\nhelo = '550 5.7.1 {KEY}'\n"));
    assert_eq!(machine.errors(), [format!("gatepost.toml:2:8: reply.helo: {cause}")]);
}

#[test]
fn a_key_in_a_rule_a_list_or_a_test_is_refused_before_anybody_sees_it() {
    // Nothing but its being set tells that it is one.
    let key = "qwertyuiopasdfghjklzxcvbn";
    let cause = "the value holds a key, which it would give away; take it out";
    let list = "name = 'own'\nkind = 'address'\nzone = 'list.example'\n";
    let rule = "name = 'own'\nlist = 'zen'\n";
    for (text, place) in [
        (format!("[[rule]]\n{rule}action = 'reject'\nreply = '554 5.7.1 {key} {{ip}}'"), "5:9: rule.reply"),
        (format!("[[rule]]\n{rule}action = 'tag'\nheader = 'X-Own: {key}'"), "5:10: rule.header"),
        (format!("[[rule]]\n{rule}action = 'log'\nwhen = {{ helo = ['{key}.example'] }}"), "5:8: rule.when"),
        (format!("[[list]]\n{list}title = '{}'", key.to_uppercase()), "5:9: list.title"),
        (format!("[[list]]\n{list}answers = {{ {key} = '127.0.0.2' }}"), "5:11: list.answers"),
        (format!("[score]\nreject = 3\nreply = '554 5.7.1 {key}'"), "3:9: score.reply"),
        (
            format!("[[expect]]\nname = 'x'\nsender = 'a@{key}.example'\ndecision = 'accept'"),
            "3:10: expect.sender",
        ),
    ] {
        let errors = Machine::new().env("API_KEY", key).toml(&text).errors();
        assert_eq!(errors, [format!("gatepost.toml:{place}: {cause}")], "{text}");
    }
}

#[test]
fn the_key_of_a_list_is_refused_in_every_other_place() {
    let machine = Machine::keyed().file_with_mode("own.key", "qwertyuiopasdfghjklzxcvbnm", 0o600);
    let path = machine.path("own.key");
    let path = path.display();
    let list =
        format!("[[list]]\nname = 'own'\nkind = 'address'\nzone = 'list.example'\nkey_file = '{path}'\n");
    let rule = "[[rule]]\nname = 'own'\nlist = 'own'\naction = 'reject'\n\
                reply = '554 5.7.1 qwertyuiopasdfghjklzxcvbnm'\n";
    let errors = machine.toml(&format!("{list}{rule}")).errors();
    let cause = "the value holds a key, which it would give away; take it out";
    assert_eq!(errors, [format!("gatepost.toml:10:9: rule.reply: {cause}")]);
}

#[test]
fn a_key_in_the_place_of_a_name_is_not_shown_even_if_it_was_set_nowhere() {
    let errors = |toml: &str| Machine::new().toml(toml).errors();
    let remedy = "take a word that says what it is for, or put hyphens between its words";
    for (name, table) in
        [(KEY, "rule"), (&format!("my-{KEY}"), "rule"), (KEY, "list"), (KEY, "recipient"), (KEY, "limit")]
    {
        let errors = errors(&format!("[[{table}]]\nname = '{name}'\n"));
        let line = format!("gatepost.toml:2:8: {table}.name: the name looks like a key; {remedy}");
        assert_eq!(errors.first(), Some(&line), "{errors:?}");
        assert!(!errors.concat().contains(KEY), "{errors:?}");
    }
    let list = "[[list]]\nname = 'own'\nkind = 'address'\nzone = 'list.example'\n";
    for (setting, line) in [
        ("title = 'a @ b'", "5:9: list.own.title: it looks like a key, which replies would give away"),
        ("answers = { @ = '127.0.0.2' }", "5:42: list.own.answers: a name of an answer looks like a key"),
        ("answers = { my_@ = '127.0.0.2' }", "5:45: list.own.answers: a name of an answer looks like a key"),
        ("bits = { my-@ = 2 }", "5:42: list.own.bits: a name of an answer looks like a key"),
    ] {
        let rule = "[[rule]]\nname = 'r'\nlist = 'own'\ncodes = 'spam'\naction = 'log'\n";
        let errors = errors(&format!("{list}{}\n{rule}", setting.replace('@', KEY)));
        assert_eq!(errors.first(), Some(&format!("gatepost.toml:{line}; {remedy}")), "{errors:?}");
        assert!(!errors.concat().contains(KEY), "{errors:?}");
    }
    let known = Machine::keyed().toml(&format!("[[rule]]\nname = '{KEY}'\nlist = 'zen'\naction = 'log'\n"));
    assert_eq!(
        known.errors(),
        [format!("gatepost.toml:2:8: rule.name: the name looks like a key; {remedy}")]
    );
    // A word alone is a whole top-level domain.
    let wide = errors(&format!(
        "[[rule]]\nname = 'r'\nlist = 'zen'\naction = 'allow'\nwhen = {{ recipient = '{KEY}' }}\n\
         [allow]\nsuffixes = ['{KEY}']\n"
    ));
    let cause = "\"(...)\" covers a large part of the Internet; name less, or";
    assert_eq!(wide.iter().filter(|line| line.contains(cause)).count(), 2, "{wide:?}");
    assert!(!wide.concat().contains(KEY), "{wide:?}");
    let errors = errors(&format!("[[expect]]\nname = 'with {KEY}'\n"));
    assert!(errors[0].starts_with("gatepost.toml:1:1: expect.with (...).decision: "), "{errors:?}");
}

#[test]
fn the_sources_themselves_show_names_only() {
    let sources =
        Sources { environment: [("SPAMHAUS_DQS_API_KEY".into(), KEY.into())].into(), ..Sources::default() };
    let text = format!("{sources:?}");
    assert!(text.contains("SPAMHAUS_DQS_API_KEY") && !text.contains(KEY), "{text}");
}

#[test]
fn the_path_of_a_key_file_is_no_secret() {
    let machine = Machine::new().env_file("SPAMHAUS_DQS_API_KEY_FILE=/nonexistent/dqs.key\n");
    assert_eq!(
        machine.errors(),
        [
            "/nonexistent/dqs.key: SPAMHAUS_DQS_API_KEY_FILE: the file cannot be read: no such file or directory; \
          create it, or name another one"
        ]
    );
    let machine = Machine::new().file_with_mode("dqs.key", KEY, 0o644);
    let path = machine.path("dqs.key").display().to_string();
    let machine = machine.env_file(&format!("SPAMHAUS_DQS_API_KEY_FILE={path}\n"));
    assert!(machine.notices()[0].ends_with("chown root:gatepost dqs.key && chmod 0640 dqs.key"));
}
