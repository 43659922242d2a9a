//! Holds what is shipped for other programs against what the daemon really says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost::telemetry::{CacheFigures, FileFigures, Metrics, Process, Snapshot, ZoneFigures};
use gatepost::verdict::{Home, Kind, List, Pattern, Sketch};

#[path = "common/mod.rs"]
mod common;

use common::openmetrics::Page;

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

/// The page that the daemon gives, with lists of the administrator's among the others: one in DNS, one in a file.
fn page() -> Page {
    let sketch = |name: &str, home| Sketch {
        name: name.to_owned(),
        title: "Own list".to_owned(),
        kind: Kind::Address,
        home,
        answers: vec![("spam".to_owned(), Pattern::Octets([(127, 127), (0, 0), (0, 0), (2, 2)]))],
        refusals: Vec::new(),
        test: None,
    };
    let zone = Home::Zone { apex: "list.example".to_owned(), keyed: false };
    let own = List::define(sketch("own", zone)).expect("room for a list");
    let file = Home::File { path: "/etc/gatepost/lists/local".to_owned() };
    let local = List::define(sketch("local", file)).expect("room for a list");
    let figures = |list| ZoneFigures { list, healthy: true, open: false, queries: 1, hits: 1, coalesced: 1 };
    let now = SystemTime::UNIX_EPOCH;
    let metrics = Arc::<Metrics>::default();
    metrics.watchdog(Duration::from_millis(1));
    Page::read(&metrics.text(Snapshot {
        open: 1,
        zones: List::DQS.into_iter().chain([own]).map(figures).collect(),
        files: vec![FileFigures {
            list: Some(local),
            name: local.name().into(),
            entries: 1,
            loaded: now,
            healthy: true,
            failures: 1,
        }],
        cache: CacheFigures::default(),
        budget: Some((1, 2)),
        suppressed: vec![("log", 1)],
        reload_success: true,
        reloaded: now,
        process: Process::new().usage(),
    }))
}

/// A metric, and labels with the values that they may have.
type Selector<'a> = (&'a str, Vec<(&'a str, Vec<&'a str>)>);

/// What a text asks of metrics: `gatepost_x{a="b",c=~"d|e"}`.
fn selectors(text: &str) -> Vec<Selector<'_>> {
    let legal = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("gatepost_").map(|(start, _)| &text[start..]);
    let selectors = starts.map(|rest| {
        let (name, rest) = rest.split_at(rest.find(|c| !legal(c)).unwrap_or(rest.len()));
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let labels = labels.split("\",").filter(|label| !label.is_empty()).map(|label| {
            let (name, values) = label.split_once(['=', '~']).expect("a label");
            (name, values.trim_matches(['~', '"', '=']).split('|').collect())
        });
        (name, labels.collect())
    });
    selectors.collect()
}

/// The labels that a text sums by, and those of its legends and summaries.
fn used(text: &str) -> BTreeSet<&str> {
    let sums = text.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let legends = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let legends = legends.map(|name| name.trim().trim_start_matches("$labels."));
    sums.flat_map(|names| names.split(", ")).chain(legends).collect()
}

#[test]
fn dashboard_and_alert_rules_ask_for_labels_and_values_that_exist() {
    let page = page();
    assert!(page.series.contains_key("gatepost_listings_total{zone=\"own\",code=\"spam\"}"));
    // What a query or a panel says, one by one: its labels must be those of all metrics in it.
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("etc/grafana/gatepost.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let text = |target: &serde_json::Value, field: &str| target[field].as_str().expect("a text").to_owned();
    let targets = targets.map(|target| text(target, "expr") + " " + &text(target, "legendFormat"));
    let rules = read("etc/prometheus/gatepost.rules.yml");
    let queries: Vec<String> = rules.split("- alert:").skip(1).map(str::to_owned).chain(targets).collect();
    assert!(queries.len() > 25, "{}", queries.len());
    for query in queries {
        for (name, labels) in selectors(&query).into_iter().filter(|(name, _)| *name != "gatepost_up") {
            let of_it: Vec<&String> =
                page.series.keys().filter(|series| series.split('{').next() == Some(name)).collect();
            assert!(!of_it.is_empty(), "there is no metric {name}: {query}");
            for (label, values) in labels {
                for value in values.into_iter().filter(|value| *value != "$zone") {
                    let pair = format!("{label}=\"{value}\"");
                    assert!(
                        of_it.iter().any(|series| series.contains(&pair)),
                        "{name} has no {pair}: {query}"
                    );
                }
            }
            for label in used(&query) {
                let pair = format!("{label}=\"");
                let plain = label == "open" || of_it.iter().all(|series| series.contains(&pair));
                assert!(plain, "{name} has no label {label}: {query}");
            }
        }
    }
}

#[test]
fn the_dashboard_shows_every_act_every_list_and_what_is_on_trial() {
    let dashboard = read("etc/grafana/gatepost.json");
    for word in [
        "reject|tempfail",
        "tag|quarantine|discard",
        "action=\\\"would\\\"",
        "label_values(gatepost_zone_healthy, zone)",
    ] {
        assert!(dashboard.contains(word), "{word}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    let places: BTreeSet<String> = panels.iter().map(|panel| panel["gridPos"].to_string()).collect();
    assert_eq!((ids.len(), places.len()), (panels.len(), panels.len()), "two panels in one place");
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
