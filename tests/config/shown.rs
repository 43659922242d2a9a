//! Whatever stands in a configuration, and wherever: what is said of it is one line without a key.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use gatepost::gate;
use gatepost::smtp::is_unprintable;
use gatepost::source::Watcher;

use super::*;

/// All lines that are said of a machine's configuration, with the files that it names.
fn told(machine: &Machine) -> Vec<String> {
    match gate::load(&machine.sources(), &Watcher::default()) {
        Ok(loaded) => loaded.config.notices.iter().map(ToString::to_string).collect(),
        Err(problems) => problems.errors.iter().chain(&problems.notices).map(ToString::to_string).collect(),
    }
}

fn assert_plain(lines: &[String]) {
    assert!(!lines.is_empty());
    for line in lines {
        assert!(!line.contains(is_unprintable), "{line:?}");
    }
}

#[test]
fn no_value_brings_what_a_terminal_acts_on_into_a_message() {
    let list = "[[list]]\nname = 'own'\nkind = 'address'\n";
    // As TOML writes them: controls of both kinds, a change of direction, a separator of lines.
    for c in [r"\u001b", r"\u0084", r"\u202e", r"\u2028"] {
        for toml in [
            format!("[key]\nfile = \"/etc/a{c}b\"\n"),
            format!("listen = [\"unix:/run/a{c}b\"]\n"),
            format!("listen = [\"inet:1@a{c}b\"]\n"),
            format!("control.listen = \"unix:/run/a{c}b\"\n"),
            format!("exempt_recipients = [\"a{c}b@\"]\n"),
            format!("[access]\nmap = [\"text:/etc/a{c}b\"]\n"),
            format!("[access]\nmap = [\"socketmap:unix:/run/a{c}b:x\"]\n"),
            format!("{list}zone = 'list.example'\nkey_file = \"/etc/a{c}b\"\n"),
            format!("{list}format = 'plain'\nfile = \"/etc/a{c}b\"\n"),
            format!(
                "[[recipient]]\nname = 'own'\nrecipients = ['a@mail.example']\nsenders = [\"file:/etc/a{c}b\"]\n"
            ),
            format!(
                "[[recipient]]\nname = 'own'\nrecipients = [\"a{c}b@mail.example\"]\nsenders = ['x.example']\n"
            ),
            format!("[[expect]]\nname = \"a{c}b\"\ndecision = 'accept'\n"),
            format!(
                "[[rule]]\nname = 'r'\nlist = 'zen'\naction = 'log'\nwhen.sender = \"a{c}b@x.example\"\n"
            ),
        ] {
            let problems = Config::from_texts("", &toml).expect_err(&toml);
            assert_plain(&problems.errors.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_name_of_a_variable_is_shown_on_one_line_and_cut_between_characters() {
    for name in [
        format!("{}\u{e4}", ".".repeat(66)),
        "X\u{1b}]0;x\u{7}\u{202e}\n/etc/passwd: y".to_owned(),
        format!("X{}", "\u{e4}".repeat(100)),
    ] {
        let machine = Machine::keyed().env(&name, "1");
        let errors = machine.errors();
        assert!(errors[0].contains("SPAMHAUS_DQS_"), "{errors:?}");
        assert_plain(&errors);
    }
}

#[test]
fn the_name_of_a_file_is_shown_on_one_line() {
    let machine = Machine::keyed();
    let mut sources = machine.sources();
    sources.default_config = machine.path("none");
    fs::create_dir(machine.path("none.d")).expect("a directory");
    fs::write(machine.path("none.d/b\u{1b}[31m\n\u{202e}.toml"), "[[[").expect("a file");
    let problems = Config::load(&sources).expect_err("no TOML");
    let lines: Vec<String> = problems.errors.iter().map(ToString::to_string).collect();
    assert!(lines[0].contains("none.d/b?[31m??.toml:1:"), "{lines:?}");
    assert_plain(&lines);

    let path = PathBuf::from(OsString::from_vec(b"/nonexistent/\x1b]0;x\x07\xff\n".to_vec()));
    sources.overrides.env_file = Some(path);
    let problems = Config::load(&sources).expect_err("no file");
    assert_plain(&problems.errors.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn an_expectation_that_is_not_met_is_told_without_a_key() {
    let expect = "[[expect]]\nclient = '192.0.2.1'\n";
    let lines = told(&Machine::new().toml(&format!("{expect}name = '{KEY}'\ndecision = 'reject'\n")));
    assert!(
        lines[0].contains("gatepost.toml:3:8: expect.(...).name: the name looks like a key; "),
        "{lines:?}"
    );
    let other = "abcdefghij0123456789klmnoq";
    for (wanted, said) in [
        (format!("rule = '{other}'"), "rule (...) is expected"),
        (format!("rule = 'x/{other}'"), "rule x/(...) is expected"),
        ("says = 'y'".to_owned(), "it does not say so, but \"554 5.7.1 https://www.example/(...) no\""),
    ] {
        let list = "[[expect]]\nanswers = { zen = '127.0.0.2' }\nclient = '192.0.2.1'\ndecision = 'reject'\n";
        let reply =
            format!("reply.zen = '554 5.7.1 https://www.example/{other} no'\nenforce.stage = 'connect'\n");
        let lines = told(&Machine::keyed().toml(&format!("{reply}{list}{wanted}\n")));
        assert!(lines.concat().contains(said), "{lines:?}");
    }
}

#[test]
fn a_name_as_long_as_a_key_is_refused_where_logs_would_show_it() {
    let told = "the value looks like a key, which logs would give away; put the key into a file, and name that as \
                key.file; if it is none, take another name, or an address";
    for (name, value) in [
        ("USER", KEY),
        ("USER", "qwertyuiopasdfghjklzxcvbnm"),
        ("SOCKET_OWNER", KEY),
        ("SOCKET_GROUP", KEY),
        ("LISTEN", &format!("inet:11332@{KEY}")),
        ("LISTEN", &format!("unix:/run/gatepost/socket,inet:1@{KEY}.example")),
        ("ZONE_BASE", &format!("{KEY}.dq.spamhaus.net")),
    ] {
        for machine in [Machine::new(), Machine::new().env("COMPAT_PARSE", "1")] {
            let errors = machine.env("WITHOUT_KEY", "accept").env(name, value).errors();
            assert_eq!(errors, [format!("environment: SPAMHAUS_DQS_{name}: {told}")]);
        }
    }
    let map = "[access]\nmap = ['socketmap:unix:/run/x:abcdefghij0123456789klmnoq']\n";
    let errors = Machine::keyed().toml(map).errors();
    assert!(errors[0].contains("the name of the map looks like a key"), "{errors:?}");
    assert!(!errors.concat().contains("abcdefgh"), "{errors:?}");
    // What is as long, and no key.
    let machine = Machine::keyed()
        .env("USER", "mailgatepostservice01")
        .env("LISTEN", "unix:/run/bcdefghij01234567890aaaaa/socket,inet:11332@127.0.0.1")
        .env("ZONE_BASE", "mirrorofspamhausdata1.a-name-server-with-many-words-1.example")
        .env("SUBMISSION_DAEMONS", "host.r3xbuznn4jkexmv1a0fr3p0bxe.cloud.example");
    assert_eq!(machine.notices(), [""; 0]);
}

#[test]
fn the_words_for_a_map_that_is_none_hold_no_beginning_of_a_key() {
    let text = format!(
        "[access]\nmap = ['socketmap:unix:/run/x:{}{KEY}']\n",
        format!("{}.", "a".repeat(46)).repeat(4)
    );
    let errors = Machine::keyed().toml(&text).errors();
    assert!(
        errors[0].contains("it is no map; write ") && !errors.concat().contains("abcdefgh"),
        "{errors:?}"
    );
}

#[test]
fn a_key_in_place_of_a_key_file_is_hidden_beside_a_credential_too() {
    let machine = Machine::new().toml(&format!("[key]\nfile = '/{KEY}'\n"));
    let mut sources = machine.sources();
    sources.credential = Key::new("qwertyuiopasdfghjklzxcvbnm").ok();
    let config = Config::load(&sources).expect("a configuration");
    assert_eq!(origin(&config, "key.file").0, "/(...)");
    let credentials = machine.path("credentials");
    fs::create_dir(&credentials).expect("a directory");
    fs::write(credentials.join("dqs-key"), "qwertyuiopasdfghjklzxcvbnm").expect("a credential");
    sources.credential = None;
    sources.environment.insert("CREDENTIALS_DIRECTORY".into(), credentials.into());
    let config = Config::load(&sources).expect("a configuration");
    assert_eq!(origin(&config, "key.file").0, "/(...)");
}
