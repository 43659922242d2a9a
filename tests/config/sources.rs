//! Files, environment and command line, and which of them wins.

use std::time::Instant;

use super::*;

// case: K01
#[test]
fn the_key_alone_gives_what_the_python_milter_does() {
    let config = Machine::keyed().config();
    assert_eq!(config.key, Key::new(KEY).ok());
    assert_eq!(listens(&config), ["inet:11332@localhost"]);
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
    assert_eq!(config.log_level, Level::Info);
    assert_eq!(config.notices, []);
    assert_eq!(origin(&config, "key.value"), ("(set)".to_owned(), Place::Environment));
    assert_eq!(origin(&config, "cache.max"), ("20000".to_owned(), Place::Default));
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
    assert_eq!(listens(&config), ["inet:4", "unix:/run/4"]);
    let at = |line, column| Place::File { path: machine.path("gatepost.toml"), line, column };
    assert_eq!(origin(&config, "cache.max"), ("1".to_owned(), at(3, 7)));
    let env = Place::File { path: machine.path("milter.env"), line: 1, column: 0 };
    assert_eq!(origin(&config, "cache.ttl_listed"), ("2".to_owned(), env));
    assert_eq!(origin(&config, "cache.ttl_unlisted"), ("3".to_owned(), Place::Environment));
    assert_eq!(origin(&config, "listen"), ("inet:4,unix:/run/4".to_owned(), Place::CommandLine));
    assert_eq!(config.files, [machine.path("gatepost.toml"), machine.path("milter.env")]);
}

#[test]
fn files_in_the_directory_add_to_the_file_in_the_order_of_their_octets() {
    let machine = Machine::keyed().toml("[cache]\nmax = 1\nttl_listed = 1\nttl_unlisted = 1\n");
    let directory = machine.path("gatepost.toml.d");
    fs::create_dir(&directory).expect("a directory");
    let machine = machine
        .file("gatepost.toml.d/a.toml", "[cache]\nttl_unlisted = 3\n")
        .file("gatepost.toml.d/Z.toml", "[cache]\nttl_listed = 2\nttl_unlisted = 2\n")
        .file("gatepost.toml.d/.hidden.toml", "[cache]\nmax = 9\n")
        .file("gatepost.toml.d/b.toml.dpkg-old", "[cache]\nmax = 9\n")
        .env_file("SPAMHAUS_DQS_CACHE_HONOR_TTL=0\n");
    let config = machine.config();
    assert_eq!(config.cache_max, 1);
    assert_eq!(config.cache_ttl_listed, Duration::from_secs(2));
    assert_eq!(config.cache_ttl_unlisted, Duration::from_secs(3));
    assert!(!config.cache_honor_ttl);
    let at = Place::File { path: directory.join("a.toml"), line: 2, column: 16 };
    assert_eq!(origin(&config, "cache.ttl_unlisted"), ("3".to_owned(), at));
    let files = [
        &directory,
        &machine.path("gatepost.toml"),
        &directory.join("Z.toml"),
        &directory.join("a.toml"),
        &machine.path("milter.env"),
    ];
    assert_eq!(config.files.iter().collect::<Vec<_>>(), files);
}

#[test]
fn a_mistake_in_the_directory_is_told_with_its_place() {
    let machine = Machine::keyed().toml("");
    fs::create_dir(machine.path("gatepost.toml.d")).expect("a directory");
    let machine = machine.file("gatepost.toml.d/10.toml", "[cache]\nmax = 'many'\n");
    let problems = machine.load().expect_err("no number").to_string();
    assert!(problems.contains("gatepost.toml.d/10.toml:2:7: cache.max: "), "{problems}");

    let machine = Machine::keyed().toml("").file("gatepost.toml.d", "no directory");
    let problems = machine.load().expect_err("no directory").to_string();
    assert!(
        problems.contains("gatepost.toml.d: the directory cannot be read: not a directory"),
        "{problems}"
    );
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
    assert_eq!(config.key, Key::new(KEY).ok());
    assert_eq!(listens(&config), ["inet:1@localhost"]);
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

#[test]
fn files_that_cannot_be_read_are_told_with_a_remedy() {
    let mut machine = Machine::keyed();
    machine.overrides.config = Some(machine.path("other.toml"));
    let machine = machine.env("ENV_FILE", "/nonexistent/milter.env").env("API_KEY_FILE", "/nonexistent/key");
    assert_eq!(
        machine.errors(),
        [
            "other.toml: the file cannot be read: no such file or directory; create it, or name another one",
            "/nonexistent/key: SPAMHAUS_DQS_API_KEY_FILE: the file cannot be read: no such file or directory; create \
             it, or name another one",
        ]
    );
    let machine = Machine::keyed().env("ENV_FILE", "/nonexistent/milter.env");
    assert_eq!(
        machine.notices(),
        [
            "/nonexistent/milter.env: there is no such file, nothing is read from it; create it, or name another one"
        ],
        "the Python milter goes on without it, too"
    );
    let mut machine = Machine::keyed();
    machine.overrides.env_file = Some("/nonexistent/milter.env".into());
    assert_eq!(
        machine.errors(),
        [
            "/nonexistent/milter.env: the file cannot be read: no such file or directory; create it, or name another one"
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
                [reply]\nstyle = 'python'\nzrd = '450 4.7.1 {domain} is young'\n\
                [session]\nauth_skip = 'off'\nsubmission_daemons = ['submission', 'MSA']\n";
    let config = Machine::keyed().toml(toml).config();
    assert_eq!((config.threads, config.connections), (2, 16));
    assert_eq!(config.on_failure.of(List::ZEN), OnTrouble::Defer);
    assert_eq!(config.on_failure.of(List::DBL), OnTrouble::LetIn);
    assert_eq!(config.on_failure.of(List::ZRD), OnTrouble::LetIn);
    assert_eq!(listens(&config), ["inet:1", "unix:/x"]);
    assert_eq!(config.dns_lifetime, Duration::from_secs(1));
    assert_eq!(config.probe_interval, None);
    assert!(!config.zen_enable && !config.auth_skip);
    assert_eq!(config.zen_reject_codes, Codes::of(0, [2, 9, 10, 11]));
    assert_eq!((config.zrd_action, config.zrd_max_age), (Act::Defer, 3));
    assert_eq!(config.reply_style, ReplyStyle::Python);
    assert_eq!(config.submission_daemons, ["submission", "MSA"]);
    assert_eq!(origin(&config, "zen.reject_codes").0, "2,9,10,11");
    assert_eq!(origin(&config, "on_failure").0, "zen=tempfail,dbl=accept,zrd=accept,authbl=accept");
}

#[test]
fn settings_that_are_not_there_are_told_with_what_there_is_instead() {
    assert_eq!(
        Machine::keyed().env("EXCEPTIONS_FILE", "/x").errors(),
        [
            "environment: SPAMHAUS_DQS_EXCEPTIONS_FILE: there is no such setting; write [[rule]] with action = \"allow\" \
          in TOML, see gatepost-policy(5)"
        ]
    );
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

/// What a file says again and again, up to its largest size.
fn filled(line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0.. {
        let line = line(n);
        if text.len() + line.len() > 1 << 20 {
            break;
        }
        text.push_str(&line);
    }
    text
}

/// Quadratic work would take minutes for each of these.
#[test]
fn the_largest_files_are_read_or_refused_in_no_time() {
    let start = Instant::now();
    let list =
        |name: &str, entry: &str| format!("SPAMHAUS_DQS_{name}={}", &filled(|_| entry.into())[..1_000_000]);
    let problems = |machine: Machine| match machine.load() {
        Ok(config) => config.notices.len(),
        Err(problems) => problems.errors.len() + problems.notices.len(),
    };
    for (what, toml, expected) in [
        ("unknown names", filled(|n| format!("listn{n} = 1\n")), 101),
        ("unknown tables", filled(|n| format!("[dns.x{n}]\n")), 101),
        ("one name again", filled(|n| format!("dns.servers = '{n}'\n")), 22),
        ("a long line", format!("x = '{}'", "\u{fc}".repeat(500_000)), 1),
        (
            "a list on one line",
            format!("[allow]\ndomains = [{}'a']\n", &filled(|_| "'*', ".into())[..500_000]),
            101,
        ),
    ] {
        assert_eq!(problems(Machine::keyed().toml(&toml)), expected, "{what}");
    }
    for (what, text, expected) in [
        ("unknown names", filled(|n| format!("SPAMHAUS_DQS_LISTE{n}=1\n")), 101),
        ("keys", filled(|n| format!("KEY=abcdef{n}\n")), 101),
        ("no lines", filled(|_| "x\n".into()), 101),
        ("a list", list("DOMAIN_WHITELIST", "a.example, "), 0),
        ("a broken list", list("IP_WHITELIST", "*******, "), 101),
    ] {
        assert_eq!(problems(Machine::keyed().env_file(&text)), expected, "{what}");
    }
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}

#[test]
fn what_is_no_configuration_is_refused_in_one_line() {
    let large = "# nothing\n".repeat(1 << 20);
    for (name, toml) in [("gatepost.toml", true), ("milter.env", false)] {
        let machine = || Machine::keyed();
        let cause = "the file is larger than 1048576 octets; name the right file";
        assert_eq!(machine().file(name, &large).errors(), [format!("{name}: {cause}")]);
        let cause = "the file cannot be read: it is a pipe; name a regular file";
        let pipe = machine();
        nix::unistd::mkfifo(&pipe.path(name), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert_eq!(pipe.errors(), [format!("{name}: {cause}")]);
        let cause = "the file cannot be read: is a directory; name a regular file";
        let directory = machine();
        fs::create_dir(directory.path(name)).expect("a directory");
        assert_eq!(directory.errors(), [format!("{name}: {cause}")]);
        let cause = "the line is not UTF-8; save the file as UTF-8";
        let utf16 = machine().file_with_mode(name, b"\xff\xfel\0i\0", 0o640);
        assert_eq!(utf16.errors(), [format!("{name}:1: {cause}")]);
        let line = if toml { "threads = 2\n" } else { "SPAMHAUS_DQS_THREADS=2\n" };
        assert_eq!(machine().file(name, &format!("\u{feff}{line}")).config().threads, 2);
    }
}
