//! The table of the cases.

use std::fs;
use std::path::Path;

/// All Rust below a directory.
fn read_sources(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// Every case is accounted for in the table beside the captures.
#[test]
fn the_table_of_cases_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/data/milter-cases.md")).expect("the table");
    let mut sources = String::new();
    read_sources(&root.join("tests"), &mut sources);
    read_sources(&root.join("src/milter"), &mut sources);
    let mut rows = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, number, _, proof, _] = cells[..] else { panic!("{row}") };
        assert!(number.parse::<u32>().is_ok(), "{row}");
        assert!(!proof.is_empty() && proof != "open", "{row}");
        for test in proof.split('`').skip(1).step_by(2) {
            assert!(sources.contains(&format!("fn {test}(")), "case {number}: no test {test}");
            rows += 1;
        }
    }
    assert!(rows > 30, "{rows} tests named");
}
