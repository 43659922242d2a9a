//! Every case has a test, or a reason why it has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The Rust and dialogue files below a directory.
fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let data = path.ends_with("tests/data");
        if path.is_dir() && !data {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "txt") {
            files.push(path);
        }
    }
}

/// The ids behind `// case:` in Rust and `# case:` in dialogues.
fn marks() -> BTreeMap<String, Vec<String>> {
    let mut files = Vec::new();
    sources(&root().join("tests"), &mut files);
    sources(&root().join("src"), &mut files);
    let mut marks = BTreeMap::<_, Vec<String>>::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            let ids = line.strip_prefix("// case: ").or_else(|| line.strip_prefix("# case: "));
            for id in ids.into_iter().flat_map(|ids| ids.split(',')) {
                let place = format!("{}:{}", file.display(), n + 1);
                marks.entry(id.trim().to_owned()).or_default().push(place);
            }
        }
    }
    marks
}

/// The lines of a file as id and reason, without comments.
fn reasons(name: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("tests/data").join(name)).expect("the list of reasons");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{line}: no reason")))
        .map(|(id, reason)| (id.to_owned(), reason.trim().to_owned()))
        .collect()
}

fn ids() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("tests/data/dqs-cases.json")).expect("the cases");
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list of cases");
    let ids = cases.iter().map(|case| case["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

#[test]
fn every_case_has_a_test_or_a_reason() {
    let (ids, marks, later) = (ids(), marks(), reasons("dqs-cases-later.txt"));
    assert!(ids.len() >= 97);
    let holes: Vec<_> =
        ids.iter().filter(|id| !marks.contains_key(*id) && !later.contains_key(*id)).collect();
    assert_eq!(holes, [""; 0], "no test says `// case: ID`, and no reason is given");
    let both: Vec<_> = later.keys().filter(|id| marks.contains_key(*id)).collect();
    assert_eq!(both, [""; 0], "there is a test, so there is nothing to excuse");
    let unknown: Vec<_> = later.keys().filter(|id| !ids.contains(*id)).collect();
    assert_eq!(unknown, [""; 0], "no such case");
    // Numbers are cases of the protocol.
    let strange: Vec<_> =
        marks.iter().filter(|(id, _)| !ids.contains(*id) && id.parse::<u8>().is_err()).collect();
    assert!(strange.is_empty(), "marks without a case: {strange:?}");
}
