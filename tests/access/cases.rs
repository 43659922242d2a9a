//! Holds the table of cases against the tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::data;

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_case_has_a_test_and_every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "tests"] {
        sources(&root.join(directory), &mut files);
    }
    let code: String = files.iter().map(|path| fs::read_to_string(path).expect("a source")).collect();
    let mut cases = BTreeSet::new();
    for row in data("cases.md").lines().filter(|line| line.starts_with("| A") || line.starts_with("| T")) {
        let [case, _, tests] = row.trim_matches('|').split(" | ").collect::<Vec<_>>()[..] else {
            panic!("three columns: {row}")
        };
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        for test in named {
            assert_eq!(code.matches(&format!("fn {test}()")).count(), 1, "{case}: {test}");
        }
        cases.insert(case.trim().to_owned());
    }
    let all = (1..=12).map(|n| format!("A{n}")).chain((1..=30).chain(54..=65).map(|n| format!("T{n}")));
    let all: BTreeSet<String> = all.collect();
    assert_eq!(cases, all);
}
