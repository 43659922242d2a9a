//! Holds README, manual pages and links against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost::config::SETTINGS;
use gatepost::telemetry::MESSAGES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from:?} is missing"));
    rest.split_once(to).unwrap_or_else(|| panic!("{to:?} is missing behind {from:?}")).0
}

/// All files below a directory that end so.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] })
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect()
}

fn words(text: &[&str]) -> BTreeSet<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

/// The tags of a manual page's lists: `.It Li ready , Li done` has two.
fn tags(page: &str, mark: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .flat_map(|line| line.split(" , "))
        .filter_map(|tag| tag.strip_prefix(mark)?.strip_prefix(' '))
        .map(|tag| tag.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_readme_has_every_setting_as_it_is() {
    let readme = read("README.md");
    let table = between(&readme, "<!-- settings:", "<!-- end of settings -->");
    let written: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    // The others have one name only, and are in the manual.
    let built: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| setting.variable().is_some())
        .map(|setting| {
            let default =
                if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
            format!("| `{}` | `{}` | {default} | {} |", setting.env, setting.toml, setting.help)
        })
        .collect();
    assert_eq!(written, built, "left: README.md, right: src/config/settings.rs");
}

#[test]
fn the_readme_can_be_read_at_one_go() {
    assert!(read("README.md").lines().count() < 350);
}

#[test]
fn the_example_of_the_documents_is_the_one_that_runs() {
    let code = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    };
    let example = read("examples/small.rs");
    let (_, example) = example.split_once("\nuse ").expect("code");
    let example = code(&format!("use {example}"));
    assert_eq!(code(between(&read("README.md"), "```rust\n", "```")), example, "left: README.md");
    let library = read("src/lib.rs").replace("//! ", "").replace("//!", "");
    assert_eq!(code(between(&library, "```no_run\n", "```")), example, "left: src/lib.rs");
}

#[test]
fn the_manual_has_every_setting_with_its_default() {
    let page = read("man/gatepost.conf.5");
    let list = between(&page, ".Sh SETTINGS", ".Sh THE KEY");
    let items: Vec<&str> = list.split("\n.It Cm ").skip(1).collect();
    assert_eq!(items.len(), SETTINGS.len());
    for (item, setting) in items.iter().zip(SETTINGS) {
        let mut lines = item.lines();
        let variable = setting.variable().map(|name| format!(" Pq Ev {name}")).unwrap_or_default();
        let title = format!("{}{variable}", setting.toml);
        assert_eq!(lines.next(), Some(&*title));
        let default = match setting.default {
            "" => vec!["Built in: nothing.".to_owned()],
            default => vec!["Built in:".to_owned(), format!(".Li {default} .")],
        };
        for line in default {
            assert_eq!(lines.next(), Some(&*line), "{}", setting.toml);
        }
        assert!(lines.next().is_some_and(|text| !text.is_empty()), "{} is not explained", setting.toml);
    }
}

#[test]
fn the_manual_has_every_command_and_every_option() {
    let page = read("man/gatepost.8");
    let mut command = gatepost::cli::command();
    command.build();
    let long = |command: &clap::Command| -> BTreeSet<String> {
        command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect()
    };
    let written = |text: &str| -> BTreeSet<String> {
        text.lines()
            .filter(|line| line.starts_with(".It Fl "))
            .flat_map(|line| line.split_whitespace())
            .filter_map(|word| word.strip_prefix('-'))
            .map(str::to_owned)
            .collect()
    };
    let global = long(&command);
    assert_eq!(written(between(&page, ".Sh OPTIONS", ".Sh SIGNALS")), global);
    let commands = between(&page, ".Sh COMMANDS", ".Sh OPTIONS");
    // What is hidden is for the program itself.
    let shown = || command.get_subcommands().filter(|each| !each.is_hide_set());
    let names: BTreeSet<String> = shown().map(|each| each.get_name().to_owned()).collect();
    assert_eq!(tags(commands, "Cm"), names);
    for each in shown() {
        let name = each.get_name();
        let (_, rest) = commands.split_once(&format!(".It Cm {name}\n")).expect("the test above");
        let section = rest.split("\n.It Cm ").next().unwrap_or_default();
        let own: BTreeSet<String> = long(each).difference(&global).cloned().collect();
        assert_eq!(written(section), own, "{name}");
        assert!(page.contains(&format!("\n.Cm {name}\n")), "{name} is not in the synopsis");
    }
}

#[test]
fn the_manual_and_the_help_have_every_exit_status() {
    let statuses = read("src/daemon/exit.rs");
    let sources: String = files(&root().join("src"), ".rs")
        .iter()
        .filter(|path| !path.ends_with("daemon/exit.rs"))
        .map(read)
        .collect();
    let used: BTreeSet<String> = statuses
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.strip_suffix(',')?.split_once(" => "))
        .filter(|(name, _)| sources.contains(&format!("Exit::{name}")))
        .map(|(_, status)| status.to_owned())
        .collect();
    let page = read("man/gatepost.8");
    assert_eq!(tags(between(&page, ".Sh EXIT STATUS", ".Sh LOG"), "Li"), used);
    let help = gatepost::cli::command().get_after_help().expect("a text behind the options").to_string();
    let (_, help) = help.split_once("Exit status:").expect("the statuses");
    let numbers = help.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    assert_eq!(numbers.map(str::to_owned).collect::<BTreeSet<_>>(), used, "left: gatepost --help");
}

#[test]
fn the_manual_has_every_event_of_the_log() {
    let events: BTreeSet<String> = files(&root().join("src"), ".rs")
        .iter()
        .map(read)
        .flat_map(|text| {
            let names = text.split("event = \"").skip(1);
            names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect::<Vec<_>>()
        })
        .collect();
    let page = read("man/gatepost.8");
    assert_eq!(tags(between(&page, ".Sh LOG", "Fields of a verdict"), "Li"), events);
}

/// What stands in the code from the name of an event to the end of its line.
fn lines_of(event: &str) -> Vec<String> {
    let mark = format!("event = \"{event}\"");
    let sources = files(&root().join("src"), ".rs");
    let texts = sources.iter().filter(|path| !path.ends_with("telemetry/message.rs")).map(read);
    texts
        .flat_map(|text| {
            let lines = text.split(&mark).skip(1);
            lines.map(|rest| rest.split(");").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_catalog_of_the_journal_explains_every_message_and_no_other() {
    let catalog = read("systemd/gatepost.catalog");
    let entries: Vec<&str> = catalog.split("\n-- ").skip(1).collect();
    let ids: Vec<&str> = entries.iter().filter_map(|entry| entry.lines().next()).collect();
    let built: Vec<&str> = MESSAGES.iter().map(|message| message.id).collect();
    assert_eq!(ids, built, "left: systemd/gatepost.catalog, right: src/telemetry/message.rs");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id stands twice");
    for (entry, message) in entries.iter().zip(MESSAGES) {
        let digits = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(message.id.len() == 32 && message.id.chars().all(digits), "{message:?}");
        let (head, text) = entry.split_once("\n\n").expect("an empty line");
        assert!(head.contains("\nSubject: ") && head.contains("\nDefined-By: gatepost\n"), "{head}");
        assert!(text.trim().len() > 40, "{entry}");
        let lines = lines_of(message.event);
        assert!(!lines.is_empty(), "nothing logs {message:?}");
        for field in entry.split('@').skip(1).step_by(2) {
            let name = field.strip_prefix("GATEPOST_").expect("a field of ours").to_lowercase();
            assert!(lines.iter().any(|line| line.contains(&name)), "{message:?} has no field {name}");
        }
    }
}

#[test]
fn the_manual_has_every_field_of_a_verdict() {
    let source = read("src/telemetry/verdict.rs");
    let line = between(&source, "event = \"verdict\",", "\"{}\", self.summary()");
    let fields: BTreeSet<String> = line
        .lines()
        .filter_map(|line| line.trim().split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(fields.len() > 15, "{fields:?}");
    let page = read("man/gatepost.8");
    assert_eq!(tags(between(&page, "Fields of a verdict", "\nReasons:"), "Li"), fields);
}

#[test]
fn the_line_of_the_readme_has_every_field_of_a_verdict() {
    let source = read("src/telemetry/verdict.rs");
    let line = between(&source, "event = \"verdict\",", "\"{}\", self.summary()");
    let mut fields = line.lines().filter_map(|line| Some(line.trim().split_once(" = ")?.0)).peekable();
    assert!(fields.peek().is_some());
    let readme = read("README.md");
    let shown = between(&readme, "event=verdict ", "message=");
    let places: Vec<Option<usize>> = fields.map(|field| shown.find(&format!("{field}="))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {shown}");
}

#[test]
fn the_manual_has_every_reason() {
    // The names of each kind of reason, from `=> "word"` in its `name`.
    let names = |file: &str, kind: &str| -> Vec<String> {
        let text = read(file);
        let names = between(between(&text, &format!("impl {kind} {{"), "\n}\n"), "fn name(self)", "\n    }");
        names.split("=> \"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    let mut reasons = words(&["listed", "clear"]);
    for kind in ["Trust", "Skip", "Trouble"] {
        reasons.extend(names("src/verdict/finding.rs", kind));
    }
    reasons.extend(names("src/smtp/domain.rs", "NoDomain"));
    let page = read("man/gatepost.8");
    assert_eq!(tags(between(&page, "\nReasons:", ".Sh METRICS"), "Li"), reasons);
}

#[test]
fn what_a_reload_leaves_alone_is_the_same_everywhere() {
    let source = read("src/daemon/serve.rs");
    let list = between(&source, "fn fixed(", ".into_iter()");
    let fixed: Vec<&str> =
        list.split("(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
    assert!(fixed.len() > 3, "{fixed:?}");
    let readme = read("README.md");
    let page = read("man/gatepost.conf.5");
    let text = between(&readme, "A reload (SIGHUP) takes everything new but", "which it names in a warning");
    let told: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    assert_eq!(told, fixed);
    let text = between(&page, "A reload leaves", "as they are");
    let told: Vec<&str> =
        text.split([' ', '\n']).filter(|word| !["", ".Cm", ",", "and"].contains(word)).collect();
    assert_eq!(told, fixed);
}

/// The first line that `gatepost mta` prints for a socket, if no filter is set up yet.
fn line_for(mta: &str, socket: &str) -> String {
    // A Postfix of this machine must not be asked about its own filters.
    let postfix = tempfile::tempdir().expect("a directory");
    fs::write(postfix.path().join("main.cf"), "queue_directory = /var/spool/postfix\n").expect("a file");
    fs::write(postfix.path().join("master.cf"), "").expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command
        .args(["mta", mta, "--socket", socket])
        .env_clear()
        .env("MAIL_CONFIG", postfix.path())
        .output()
        .expect("a process");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().next().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

#[test]
fn the_documents_have_the_lines_that_set_mail_servers_up() {
    for (mta, socket) in [
        ("postfix", "unix:/var/spool/postfix/gatepost/milter.sock"),
        ("sendmail", "unix:/run/gatepost/milter.sock"),
    ] {
        let line = line_for(mta, socket);
        let sockets = read("systemd/gatepost.socket");
        let path = socket.trim_start_matches("unix:");
        assert!(sockets.contains(&format!("ListenStream={path}\n")), "{path} is not the packaged one");
        for page in [format!("man/gatepost-{mta}.7"), format!("docs/{mta}.md"), "README.md".to_owned()] {
            let text = read(&page).replace(r"\(ga", "`").replace(r"\(aq", "'");
            assert!(text.lines().any(|each| each.trim() == line), "{page} lacks {line}");
        }
    }
}

#[test]
fn the_manual_on_mail_servers_names_settings_commands_and_units_that_exist() {
    let command = gatepost::cli::command();
    for page in ["man/gatepost-postfix.7", "man/gatepost-sendmail.7"] {
        let text = read(page);
        let settings: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(".Cm ")?.split(' ').next())
            .inspect(|name| {
                assert!(SETTINGS.iter().any(|setting| setting.toml == *name), "{page}: no setting {name}");
            })
            .collect();
        assert!(settings.len() > 4, "{page}: {settings:?}");
        let verbs: Vec<&str> = text
            .lines()
            .filter_map(|line| {
                let line = line.strip_prefix(".Ql ").or_else(|| line.strip_prefix(".Dl "))?;
                line.strip_prefix("gatepost ")?.split(' ').next()
            })
            .inspect(|verb| assert!(command.find_subcommand(verb).is_some(), "{page}: no command {verb}"))
            .collect();
        assert!(verbs.contains(&"mta") && verbs.contains(&"doctor"), "{page}: {verbs:?}");
        for unit in text.split_whitespace().filter(|word| word.starts_with("gatepost")) {
            if unit.ends_with(".socket") || unit.ends_with(".service") {
                assert!(root().join("systemd").join(unit).exists(), "{page}: no unit {unit}");
            }
        }
    }
}

/// What a document may name as a proof: functions of `cargo test`, and cases of the suites.
struct Proofs {
    functions: String,
    suites: BTreeSet<String>,
}

impl Proofs {
    fn all() -> Self {
        let functions =
            ["src", "tests"].iter().flat_map(|below| files(&root().join(below), ".rs")).map(read).collect();
        let run = read("tests/run");
        let list = |name: &str| between(&run, &format!("\n{name}=("), ")").to_owned();
        let suites = format!("{} {}", list("suites"), list("packaged"));
        Self { functions, suites: suites.split(' ').map(str::to_owned).collect() }
    }

    /// All scripts and conversations of a suite.
    fn cases(&self, suite: &str) -> String {
        assert!(self.suites.contains(suite), "no suite {suite}");
        let scripts = [format!("tests/system/{suite}.sh"), format!("tests/system/inside/{suite}.sh")];
        let scripts = scripts.iter().filter(|path| root().join(path).exists()).map(read);
        // Mail servers are driven by the dialogues.
        let conversations: &[&str] = match suite {
            "postfix" => &["dialogues"],
            "sendmail" => &["dialogues", "policies"],
            "actions" | "recipients" => &["policies"],
            _ => &[],
        };
        let below = |name: &&str| files(&root().join("tests/system").join(name), ".txt");
        scripts.chain(conversations.iter().flat_map(below).map(read)).collect()
    }

    fn have(&self, test: &str) -> bool {
        match test.split_once(": ") {
            Some((suite, title)) => {
                let cases = self.cases(suite);
                cases.contains(&format!("\"{title}\"")) || cases.contains(&format!("case {title}\n"))
            }
            None => self.functions.contains(&format!("fn {test}(")),
        }
    }
}

#[test]
fn every_threat_has_tests_that_exist_or_a_reason() {
    let page = read("docs/threat-model.md");
    let table = between(&page, "<!-- threats:", "<!-- end of threats -->");
    let (known, mut proofs) = (Proofs::all(), 0);
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, attack, assets, mitigation, tests, _] = cells[..] else { panic!("five bars: {row}") };
        assert!(!attack.is_empty() && !mitigation.is_empty(), "{row}");
        assert!(assets.split(' ').all(|asset| ["M", "K", "L", "H"].contains(&asset)), "{row}");
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || tests.starts_with("no test: "), "neither test nor reason: {row}");
        for test in named.into_iter().filter(|_| !tests.starts_with("no test: ")) {
            assert!(known.have(test), "no test {test}: {row}");
            proofs += 1;
        }
    }
    assert!(proofs > 100, "{proofs} tests named");
}

#[test]
fn every_fault_that_is_played_is_in_the_document_with_its_figures_and_with_tests_that_exist() {
    let page = read("docs/reliability.md");
    let table = between(&page, "<!-- faults:", "<!-- end of faults -->");
    let (known, mut rows) = (Proofs::all(), BTreeSet::new());
    for row in table.lines().filter(|line| line.starts_with("| F")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, number, fault, injection, expected, measured, tests, _] = cells[..] else {
            panic!("seven bars: {row}")
        };
        assert!([fault, injection, expected, measured].iter().all(|cell| !cell.is_empty()), "{row}");
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(known.have(test), "no test {test}: {row}");
        }
        rows.insert(number.to_owned());
    }
    let mut played = BTreeSet::new();
    for source in files(&root().join("tests/system/reliability"), ".py").iter().map(read) {
        for row in source.split("\n@row(\n").skip(1) {
            played.insert(between(row, "\"", "\"").to_owned());
        }
    }
    assert_eq!(rows, played);
    assert!(rows.len() >= 36, "{} rows", rows.len());
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_within_the_documents_leads_somewhere() {
    let mut pages = files(&root().join("docs"), ".md");
    let top = fs::read_dir(root()).expect("the repository").map(|entry| entry.expect("an entry").path());
    pages.extend(top.filter(|path| path.extension().is_some_and(|kind| kind == "md")));
    assert!(pages.len() > 8, "{pages:?}");
    let mut links = 0;
    for page in pages {
        let text = read(&page);
        for target in text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
            if target.starts_with("http") {
                continue;
            }
            links += 1;
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let path =
                if file.is_empty() { page.clone() } else { page.parent().expect("a directory").join(file) };
            assert!(path.exists(), "{}: {target}", page.display());
            let headings = if fragment.is_empty() { String::new() } else { read(&path) };
            let found = headings.lines().filter(|line| line.starts_with('#'));
            let anchors: Vec<String> =
                found.map(|line| anchor(line.trim_start_matches('#').trim_start())).collect();
            assert!(
                fragment.is_empty() || anchors.contains(&fragment.to_owned()),
                "{}: {target}",
                page.display()
            );
        }
    }
    assert!(links > 20, "{links} links");
}
