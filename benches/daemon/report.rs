//! Markdown tables, and the judgement whether a figure meets its target.

use crate::goals::{Goal, Goals};
use crate::load::Outcome;
use crate::peer::Peer;
use crate::plot::Plot;
use std::fmt::Write;

/// What the run has found so far.
#[derive(Default)]
pub(crate) struct Report {
    goals: Goals,
    judged: u32,
    missed: Vec<String>,
    /// What could not be measured, and why.
    lacking: Vec<String>,
    failed: u32,
    wrong: u32,
    played: u32,
    /// All tables, as they were printed.
    text: String,
    plots: Vec<Plot>,
}

impl Report {
    /// Holds a figure against the goal it is measured for; both go into the table as `target` and `result`.
    pub(crate) fn goal(&mut self, goal: Goal, value: f64) -> [String; 2] {
        self.goals.take(goal, value)
    }

    /// The same for a figure that is no goal of the whole.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, limit: f64) -> [String; 2] {
        let met = value <= limit;
        self.judge(met, || format!("{what}: {} (target ≤ {limit})", figure(value)));
        [format!("≤ {limit}"), if met { "met" } else { "**missed**" }.into()]
    }

    /// Counts a target that is no goal of the whole; what missed it is a complaint.
    pub(crate) fn judge(&mut self, met: bool, what: impl FnOnce() -> String) {
        self.judged += 1;
        if !met {
            self.missed.push(what());
        }
    }

    /// Sessions that failed or ended wrongly are never a matter of speed; gatepost's own count for the goal. `sessions::play` calls it
    /// for each job.
    pub(crate) fn sound(&mut self, peer: Peer, what: &str, outcome: &Outcome) {
        self.played += outcome.sessions();
        // Everything is right about no sessions at all.
        if outcome.sessions() == 0 {
            self.lack(format!("{}, {what}: no session was played", peer.title()));
        }
        if matches!(peer, Peer::Gatepost(_)) {
            self.failed += outcome.failed;
            self.wrong += outcome.wrong;
        }
        if outcome.failed + outcome.wrong > 0 {
            self.missed.push(format!(
                "{}, {what}: {} failed sessions, {} wrong verdicts: {:?}",
                peer.title(),
                outcome.failed,
                outcome.wrong,
                outcome.reasons
            ));
        }
    }

    /// The same where a wrong verdict is what is measured.
    pub(crate) fn unbroken(&mut self, peer: Peer, what: &str, outcome: &Outcome) {
        let outcome = Outcome { good: outcome.good + outcome.wrong, wrong: 0, ..outcome.clone() };
        self.sound(peer, what, &outcome);
    }

    /// A measurement that could not be made.
    pub(crate) fn lack(&mut self, complaint: String) {
        eprintln!("bench: {complaint}");
        self.lacking.push(complaint);
    }

    /// Prints a table as soon as it is known: a long run should show something on its way.
    pub(crate) fn table(&mut self, title: &str, header: &[&str], rows: &[Vec<String>]) {
        let text = grid(title, header, rows);
        println!("{text}");
        self.text.push_str(&text);
        self.text.push('\n');
    }

    /// A picture for the document.
    pub(crate) fn plot(&mut self, plot: Plot) {
        if plot.bars.is_empty() || plot.bars.iter().any(|bar| !bar.value.is_finite()) {
            self.lack(format!("{}: a picture without bars, or with one that is no figure", plot.name));
        }
        if self.plots.iter().any(|other| other.name == plot.name) {
            self.lack(format!("{}: two pictures of one name", plot.name));
        }
        self.plots.push(plot);
    }

    pub(crate) fn plots(&self) -> &[Plot] {
        &self.plots
    }

    /// Ends the run: the table of goals and the last lines are printed.
    ///
    /// In a run of everything a goal without a figure is lacking, too.
    pub(crate) fn conclude(&mut self, everything: bool) -> End {
        self.goals.take(Goal::Failed, f64::from(self.failed));
        self.goals.take(Goal::Wrong, f64::from(self.wrong));
        let mut complaints = self.goals.missed();
        if everything {
            self.lacking.extend(self.goals.unmeasured());
        }
        complaints.append(&mut self.missed);
        let lacking = !self.lacking.is_empty();
        complaints.append(&mut self.lacking);
        let goals = self.goals.table();
        let mut end = format!(
            "\n{} sessions played, {} further targets, {} complaints.\n",
            self.played,
            self.judged,
            complaints.len()
        );
        if !complaints.is_empty() {
            end.push('\n');
        }
        for line in &complaints {
            // Writing to a string cannot fail.
            let _ = writeln!(end, "- {line}");
        }
        println!("{goals}\n{end}");
        End { text: format!("{goals}\n{end}{}", self.text), lacking, met: complaints.is_empty() }
    }
}

/// What has come of a run.
pub(crate) struct End {
    /// All tables.
    pub(crate) text: String,
    /// Something could not be measured: no page may be made of this.
    pub(crate) lacking: bool,
    /// Nothing was missed.
    pub(crate) met: bool,
}

/// A Markdown table under a heading.
pub(crate) fn grid(title: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("\n### {title}\n\n| {} |\n|", header.join(" | "));
    for column in 0..header.len() {
        text.push_str(if column == 0 { "---|" } else { "---:|" });
    }
    for row in rows {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n| {} |", row.join(" | "));
    }
    text
}

/// Two cells for a row without a target.
pub(crate) fn no_target() -> [String; 2] {
    [String::new(), String::new()]
}

/// Three significant digits, as much as such a measurement is worth.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
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
