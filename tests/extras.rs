//! Holds what is shipped for other programs against what the daemon really says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All metric names that a text speaks of.
fn metrics(text: &str) -> BTreeSet<&str> {
    let legal = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("gatepost_").map(|(start, _)| &text[start..]);
    starts.map(|rest| rest.split(|c| !legal(c)).next().unwrap_or_default()).collect()
}

#[test]
fn dashboard_and_alert_rules_speak_of_metrics_that_exist() {
    // The manual has every metric: another test holds it against the daemon.
    let manual = read("man/gatepost.8");
    let known: BTreeSet<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix(".It Li ")?.split(' ').next())
        .filter(|name| name.starts_with("gatepost_"))
        .collect();
    assert!(known.len() > 15, "{known:?}");
    for file in ["etc/grafana/gatepost.json", "etc/prometheus/gatepost.rules.yml"] {
        let text = read(file);
        let named = metrics(&text);
        assert!(named.len() > 5, "{file}: {named:?}");
        for name in named {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(known.contains(name) || base.is_some_and(|base| known.contains(base)), "{file}: {name}");
        }
    }
}

#[test]
fn every_alert_has_a_remedy() {
    let rules = read("etc/prometheus/gatepost.rules.yml");
    let count = |word: &str| rules.lines().filter(|line| line.trim_start().starts_with(word)).count();
    assert!(count("- alert:") > 5);
    for word in ["expr:", "summary:", "remedy:"] {
        assert_eq!(count(word), count("- alert:"), "{word}");
    }
}
