//! Markdown tables, and the judgement whether a figure meets its target.

use crate::load::Outcome;
use std::fmt::Write;

/// What the run has found so far.
#[derive(Default)]
pub(crate) struct Report {
    judged: u32,
    missed: Vec<String>,
}

impl Report {
    /// Holds a figure against its target; both go into the table as `target` and `result`.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, limit: f64) -> [String; 2] {
        self.judged += 1;
        let met = value <= limit;
        if !met {
            self.missed.push(format!("{what}: {} (target ≤ {limit})", figure(value)));
        }
        [format!("≤ {limit}"), if met { "pass" } else { "**missed**" }.into()]
    }

    /// Sessions that failed or ended wrongly are never a matter of speed.
    pub(crate) fn sound(&mut self, what: &str, outcome: &Outcome) {
        if outcome.failed + outcome.wrong > 0 {
            self.missed.push(format!(
                "{what}: {} failed sessions, {} wrong verdicts: {:?}",
                outcome.failed, outcome.wrong, outcome.reasons
            ));
        }
    }

    /// A measurement that could not be made.
    pub(crate) fn complain(&mut self, complaint: String) {
        eprintln!("bench: {complaint}");
        self.missed.push(complaint);
    }

    /// The last lines; true if nothing was missed.
    pub(crate) fn conclude(&self) -> bool {
        println!("\n{} targets, {} complaints.", self.judged, self.missed.len());
        for line in &self.missed {
            println!("- {line}");
        }
        self.missed.is_empty()
    }
}

/// Prints a table as soon as it is known: a long run should show something on its way.
pub(crate) fn table(title: &str, header: &[&str], rows: &[Vec<String>]) {
    let mut text = format!("\n### {title}\n\n| {} |\n|", header.join(" | "));
    for column in 0..header.len() {
        text.push_str(if column == 0 { "---|" } else { "---:|" });
    }
    for row in rows {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n| {} |", row.join(" | "));
    }
    println!("{text}");
}

/// Two cells for a row without a target.
pub(crate) fn no_target() -> [String; 2] {
    [String::new(), String::new()]
}

/// Three significant digits, as much as such a measurement is worth.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The middle value, and the lowest and highest.
pub(crate) fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)))
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "nothing here counts as far as 2^52")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// Microseconds as milliseconds.
pub(crate) fn millis(micros: u64) -> f64 {
    number(micros) / 1000.0
}
