//! Holds README, manual pages and links against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gatepost::config::SETTINGS;

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
    let built: Vec<String> = SETTINGS
        .iter()
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
        let title = format!("{} Pq Ev {}", setting.toml, setting.variable());
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
fn the_manual_has_every_exit_status() {
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
