//! Holds the modules of `src` against the table in `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table: module, and what it may use.
fn plan() -> Vec<(String, BTreeSet<String>)> {
    let page = read(&root().join("docs/architecture.md"));
    let (_, rest) = page.split_once("<!-- modules:").expect("the beginning of the table");
    let (table, _) = rest.split_once("<!-- end of modules -->").expect("the end of the table");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.trim_end_matches(" |").split(" | ");
        let module = cells.next()?.trim_end_matches('`').to_owned();
        let may_use = cells.nth(1).expect("three cells").split(", ").map(str::to_owned);
        Some((module, may_use.filter(|name| name != "–").collect()))
    };
    table.lines().filter_map(row).collect()
}

/// The Rust files at a path, which may be one itself.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|kind| kind == "rs"))
        .flat_map(|path| files(&path))
        .collect()
}

/// The modules that a text names by `crate::`; comments may name any.
fn named(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            let name =
                rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
            assert!(!name.is_empty(), "one path on each line, not crate::{rest}");
            name.to_owned()
        })
        .collect()
}

/// What each module of the crate names.
fn code() -> Arrows {
    let sources = root().join("src");
    let mut arrows = Arrows::new();
    for entry in fs::read_dir(&sources).expect("the sources") {
        let path = entry.expect("an entry").path();
        let module = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if module == "main" || module == "lib" {
            continue;
        }
        let mut names: BTreeSet<String> = files(&path).iter().flat_map(|file| named(&read(file))).collect();
        names.remove(&module);
        arrows.insert(module, names);
    }
    arrows
}

#[test]
fn every_module_is_in_the_table_and_the_table_has_no_other() {
    let planned: BTreeSet<String> = plan().into_iter().map(|(module, _)| module).collect();
    let built: BTreeSet<String> = code().into_keys().collect();
    assert_eq!(planned, built, "left: docs/architecture.md, right: src");
    let library = read(&root().join("src/lib.rs"));
    let declared: BTreeSet<String> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert_eq!(declared, built, "left: src/lib.rs, right: src");
}

#[test]
fn a_module_names_only_what_its_row_allows() {
    let code = code();
    for (module, may_use) in plan() {
        let names = code.get(&module).expect("the test before this one");
        let forbidden: Vec<&String> = names.difference(&may_use).collect();
        assert!(forbidden.is_empty(), "{module} may not use {forbidden:?}; see docs/architecture.md");
    }
}

#[test]
fn the_table_points_upwards_only() {
    let mut above = BTreeSet::new();
    for (module, may_use) in plan() {
        let below: Vec<&String> = may_use.difference(&above).collect();
        assert!(below.is_empty(), "{module} uses {below:?}, which stand below it");
        above.insert(module);
    }
}

#[test]
fn the_binary_names_nothing_but_the_command_line_and_its_exit() {
    let text = read(&root().join("src/main.rs"));
    let named: BTreeSet<&str> =
        text.split("gatepost::").skip(1).filter_map(|rest| rest.split("::").next()).collect();
    assert_eq!(named, BTreeSet::from(["cli", "daemon"]));
}

#[test]
fn paths_are_found_in_code_and_not_in_comments() {
    let text = "//! [`a`](crate::commented)\nuse crate::dns::{Dns, Key};\n    crate::smtp::is_special(x); crate::list::Y\n";
    assert_eq!(named(text), ["dns", "list", "smtp"].map(str::to_owned).into());
}
