//! A strict reader of metrics in the text format of `OpenMetrics` 1.0.

use std::collections::{BTreeMap, BTreeSet};

/// A page of metrics that keeps all rules.
pub struct Page {
    /// Each family with its type.
    pub families: BTreeMap<String, String>,
    /// Each series, as it stands, with its value.
    pub series: BTreeMap<String, f64>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// Where a rule is broken.
    pub fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the last line");
        assert!(body.is_empty() || body.ends_with('\n'));
        let mut page = Self { families: BTreeMap::new(), series: BTreeMap::new() };
        let (mut family, mut helped) = (String::new(), String::new());
        for line in body.lines() {
            assert!(!line.is_empty() && line.is_ascii() && !line.contains("# EOF"), "{line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a text");
                assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
                name.clone_into(&mut helped);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, helped, "the help stands before the type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(is_name(name) && !name.ends_with("_total"), "{line}");
                let twice = page.families.insert(name.to_owned(), kind.to_owned());
                assert!(twice.is_none(), "{name} comes twice");
                name.clone_into(&mut family);
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').expect("a unit");
                assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
            } else {
                page.sample(&family, line);
            }
        }
        page.check_histograms();
        page
    }

    fn sample(&mut self, family: &str, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("the end of the labels")),
            None => (series, ""),
        };
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        let kind = self.families[family].as_str();
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}: a {kind}");
        let mut names = BTreeSet::new();
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').expect("a label");
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("quotes");
            assert!(is_name(name) && names.insert(name), "{line}");
            // Every value of ours is one plain word.
            assert!(
                !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-._+".contains(c)),
                "{line}"
            );
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(self.series.insert(series.to_owned(), value).is_none(), "{series} comes twice");
    }

    fn check_histograms(&self) {
        for (family, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let counts = format!("{family}_count");
            for (series, count) in self.series.iter().filter(|(series, _)| series.starts_with(&counts)) {
                let labels = series.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
                let mut buckets: Vec<(f64, f64)> = Vec::new();
                for (series, below) in &self.series {
                    let Some(rest) = series.strip_prefix(&format!("{family}_bucket{{")) else { continue };
                    let (bound, others) = rest
                        .split(',')
                        .map(|label| label.trim_end_matches('}'))
                        .partition::<Vec<_>, _>(|label| label.starts_with("le="));
                    if others.join(",") == labels {
                        let bound = bound[0].trim_start_matches("le=\"").trim_end_matches('"');
                        buckets.push((bound.replace("+Inf", "inf").parse().expect("a bound"), *below));
                    }
                }
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{series}: {buckets:?}");
                assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{series}");
            }
        }
    }

    /// The value of a series.
    ///
    /// # Panics
    /// If there is none.
    pub fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.series.keys()))
    }

    /// Makes sure that a series has this value.
    ///
    /// # Panics
    /// If it has not.
    pub fn expect(&self, series: &str, value: f64) {
        let found = self.value(series);
        assert!((found - value).abs() < 1e-9, "{series} is {found}, not {value}");
    }

    /// The names of all series.
    pub fn names(&self) -> BTreeSet<&str> {
        self.series.keys().map(String::as_str).collect()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
