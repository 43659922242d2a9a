//! The whole daemon beside its peers: CPU, waiting time, queries, memory and deadlines.
//!
//! One command sets everything up, measures and judges: `cargo bench --bench daemon`. What the figures
//! mean stands in `docs/benchmarks.md`. This binary is also the name server, the load generator and the
//! bare filter of the run, each in a process of its own (`dns`, `load`, `bare` as first argument).

mod bare;
mod burst;
mod calls;
mod cpu;
mod deadline;
mod dns;
mod document;
mod goals;
mod latency;
mod lists;
mod load;
mod memory;
mod messages;
mod million;
mod peer;
mod plot;
mod postfix;
mod process;
mod quiet;
mod rbldnsd;
mod report;
mod rounds;
mod rspamd;
mod sessions;
mod shapes;
mod smtp;
mod start;
mod subject;
mod wire;
mod zones;

use peer::Workshop;
use report::Report;
use std::process::ExitCode;
use std::time::Instant;
use subject::Crowd;

/// What ends a run; it is printed for a person.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the measurements share.
pub(crate) struct Run {
    pub(crate) workshop: Workshop,
    pub(crate) report: Report,
    /// Fewer rounds and sessions: for a look, not for a figure to quote.
    pub(crate) quick: bool,
    /// Without the daemon itself.
    pub(crate) peers_only: bool,
    next_stranger: u32,
    next_draw: u32,
}

impl Run {
    /// So many clients that nobody has seen; the first of their numbers.
    pub(crate) fn strangers(&mut self, count: u32) -> u32 {
        let first = self.next_stranger;
        self.next_stranger += count;
        first
    }

    /// So many clients out of ten thousand by Zipf's law, drawn anew.
    pub(crate) fn drawn(&mut self, sessions: u32) -> Crowd {
        let first = self.next_draw;
        self.next_draw += sessions;
        Crowd::Zipf(10_000, first)
    }
}

type Measurement = fn(&mut Run) -> Result<(), Failure>;

const MEASUREMENTS: [(&str, Measurement); 22] = [
    ("warm", cpu::warm),
    ("rules", cpu::rules),
    ("cold", cpu::cold),
    ("crowds", shapes::crowds),
    ("shapes", shapes::shapes),
    ("threads", shapes::threads),
    ("calls", calls::measure),
    ("messages", messages::sizes),
    ("verdicts", messages::verdicts),
    ("latency", latency::measure),
    ("network", latency::network),
    ("steps", shapes::steps),
    ("postfix", postfix::measure),
    ("coalesce", burst::coalesce),
    ("crowd", burst::crowd),
    ("idle", memory::measure),
    ("start", start::measure),
    ("deadline", deadline::measure),
    ("recovery", deadline::recovery),
    ("lists", lists::measure),
    ("tables", million::tables),
    ("access", million::access),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["dns", plan] => dns::serve(plan).map(|()| true),
        ["load", job] => load::play(job).map(|()| true),
        ["bare", door] => bare::serve(door).map(|()| true),
        // `cargo test --all-targets` runs benchmarks too, without `--bench`; minutes of load are no test.
        _ if !words.contains(&"--bench") => {
            println!("run with: cargo bench --bench daemon");
            Ok(true)
        }
        _ => run(&words),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<bool, Failure> {
    let known = |word: &&str| MEASUREMENTS.iter().any(|(name, _)| name == word);
    let mut chosen = Vec::new();
    for word in words {
        match word {
            &"quick" | &"peers" | &"write" | &"--bench" => {}
            word if known(word) => chosen.push(*word),
            _ => return Err(format!("{word}: no such measurement; {}", usage()).into()),
        }
    }
    let write = words.contains(&"write");
    if write && (!chosen.is_empty() || words.contains(&"quick") || words.contains(&"peers")) {
        return Err("write: only of a run of everything; a part of it makes no page".into());
    }
    // Nobody wants to wait for a look at one figure.
    let before = if write { quiet::wait()? } else { quiet::State::now()? };
    let begun = Instant::now();
    let machine = document::machine();
    println!("{machine}");
    let mut run = Run {
        workshop: Workshop::open()?,
        report: Report::default(),
        quick: words.contains(&"quick"),
        peers_only: words.contains(&"peers"),
        // Above those that Zipf's law is about.
        next_stranger: 20_000,
        next_draw: 0,
    };
    for (name, measure) in MEASUREMENTS {
        if chosen.is_empty() || chosen.contains(&name) {
            eprintln!("bench: {name} ({} s)", begun.elapsed().as_secs());
            let pictures = run.report.plots().len();
            // What one of them cannot do must not hide what the others find.
            if let Err(error) = measure(&mut run) {
                run.report.lack(format!("{name}: {error}"));
            } else if run.report.plots().len() == pictures && !run.peers_only {
                run.report.lack(format!("{name}: no picture of it"));
            }
        }
    }
    let quiet = quiet::told(before, quiet::State::now()?);
    let conditions = format!("{machine}\n{quiet} It took {} s.\n", begun.elapsed().as_secs());
    println!("\n{quiet} It took {} s.", begun.elapsed().as_secs());
    let end = run.report.conclude(chosen.is_empty() && !run.peers_only);
    if write && end.lacking {
        eprintln!("bench: docs/benchmarks.md is left as it was: something could not be measured, see above");
    } else if write {
        document::write(&conditions, &end.text, run.report.plots())?;
    }
    Ok(end.met)
}

fn usage() -> String {
    let names: Vec<_> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
    format!(
        "choose from {}, and: quick, peers (without gatepost), write (docs/benchmarks.md)",
        names.join(", ")
    )
}
