//! The goals of the whole daemon, and how far each is reached.
//!
//! A goal may have several parts. Measuring is done elsewhere.

use crate::report::{figure, grid};

/// What a figure is held against.
#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

impl Bound {
    fn admits(self, value: f64) -> bool {
        match self {
            AtMost(limit) => value <= limit,
            AtLeast(limit) => value >= limit,
        }
    }

    /// The worse of two figures counts.
    fn worse(self, one: f64, other: f64) -> f64 {
        match self {
            AtMost(_) => one.max(other),
            AtLeast(_) => one.min(other),
        }
    }

    fn text(self, unit: &str) -> String {
        let (sign, limit) = match self {
            AtMost(limit) => ("≤", limit),
            AtLeast(limit) => ("≥", limit),
        };
        format!("{sign} {limit} {unit}").trim_end().to_owned()
    }
}

/// One part of a goal.
struct Part {
    number: u8,
    what: &'static str,
    unit: &'static str,
    bound: Bound,
    /// The best that was seen elsewhere or in a sketch.
    best: &'static str,
}

macro_rules! goals {
    ($($name:ident = $number:literal, $what:literal, $bound:expr, $unit:literal, $best:literal;)*) => {
        /// A part of a goal, by what is measured for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Goal { $($name),* }

        const PARTS: &[Part] =
            &[$(Part { number: $number, what: $what, unit: $unit, bound: $bound, best: $best }),*];
    };
}

goals! {
    WarmTcp = 1, "CPU warm, 16 at once, against the bare filter, TCP", AtMost(1.20), "×", "1.02";
    WarmUnix = 1, "the same, Unix sockets", AtMost(1.20), "×", "1.02";
    WarmCrowd = 2, "CPU warm, 1,024 at once, against the bare filter", AtMost(1.25), "×", "1.03";
    PythonWarmTcp = 3, "the Python milter's CPU against ours, warm, TCP", AtLeast(2.3), "×", "2.8";
    PythonWarmUnix = 3, "warm, Unix sockets", AtLeast(4.5), "×", "5.6";
    PythonCold = 3, "cold", AtLeast(15.0), "×", "20.8 (hickory over UDP: 9.5)";
    WaitNear = 4, "wait p50, cold, DNS 20 ms away, verdict at MAIL or RCPT", AtMost(22.0), "ms", "20.7";
    WaitFar = 5, "wait p50, client 30 ms and DNS 20 ms away, verdict at RCPT", AtMost(5.0), "ms", "2.9";
    WaitPaced = 6, "wait p99, cold, 100 sessions/s, DNS 20 ms away", AtMost(30.0), "ms", "23";
    WaitLoss = 7, "wait p99 with 2 % of the DNS packets lost", AtMost(250.0), "ms", "720";
    DeadWait = 8, "DNS dead: longest wait of a session", AtMost(2.0), "s", "1.4";
    DeadAfter = 8, "then, with the breaker open, p50", AtMost(1.0), "ms", "";
    DeadRecovery = 8, "recovery after DNS that was silent for 3, 10 or 60 s is back", AtMost(2.0), "s", "";
    Equal = 9, "equal questions in flight beyond the first", AtMost(0.0), "", "";
    Wrong = 9, "wrong verdicts in all measurements", AtMost(0.0), "", "";
    Failed = 9, "failed sessions in all measurements", AtMost(0.0), "", "";
    Message = 10, "CPU with a message of 16 KiB against without", AtMost(1.15), "×", "1.03";
    IdleMemory = 11, "resident per idle connection at 9,500 (stretch 1.5)", AtMost(3.0), "KiB", "85 octets (plain epoll)";
    IdleClosed = 11, "of these, closed by the filter", AtMost(0.0), "", "";
    IdleCpu = 11, "CPU while all are idle", AtMost(0.5), "ms/s", "";
    ColdMemory = 12, "resident after 1,024 cold sessions at once", AtMost(32.0), "MiB", "";
    Start = 12, "start to READY", AtMost(50.0), "ms", "";
    Binary = 12, "stripped binary", AtMost(12.0), "MB", "";
    CallsWarm = 13, "system calls, warm, against the bare filter", AtMost(1.1), "×", "1.0";
    CallsCold = 13, "system calls of a session, cold − warm", AtMost(14.0), "", "10";
    Threads = 14, "CPU per session, two threads against one", AtMost(1.2), "×", "1.46 (tokio, multi-thread)";
    Postfix = 15, "SMTP session p50 in Postfix, cold, DNS 20 ms away, against its own checks", AtMost(0.4), "×", "0.31";
    Steps = 16, "wait p50 of a session over TCP, written as Sendmail does", AtMost(5.0), "ms", "";
}

impl Goal {
    /// The most or the least that is allowed.
    pub(crate) fn limit(self) -> f64 {
        let (AtMost(limit) | AtLeast(limit)) = PARTS[self as usize].bound;
        limit
    }
}

/// What was measured for the goals so far; the worst figure of each part counts.
pub(crate) struct Goals {
    measured: Vec<Option<f64>>,
}

impl Default for Goals {
    fn default() -> Self {
        Self { measured: vec![None; PARTS.len()] }
    }
}

impl Goals {
    /// Takes a figure; its target and the result as two cells of a table.
    pub(crate) fn take(&mut self, goal: Goal, value: f64) -> [String; 2] {
        let part = &PARTS[goal as usize];
        let worst = &mut self.measured[goal as usize];
        *worst = Some(worst.map_or(value, |before| part.bound.worse(before, value)));
        [part.bound.text(part.unit), verdict(part.bound.admits(value)).to_owned()]
    }

    /// The goals that were missed, a line each.
    pub(crate) fn missed(&self) -> Vec<String> {
        let line = |(part, value): (&Part, &Option<f64>)| {
            let value = value.filter(|&value| !part.bound.admits(value))?;
            Some(format!(
                "goal {}, {}: {} (target {})",
                part.number,
                part.what,
                figure(value),
                part.bound.text(part.unit)
            ))
        };
        PARTS.iter().zip(&self.measured).filter_map(line).collect()
    }

    /// Parts for which there is no figure.
    pub(crate) fn unmeasured(&self) -> Vec<String> {
        let line = |(part, value): (&Part, &Option<f64>)| {
            value.is_none().then(|| format!("goal {}, {}: not measured", part.number, part.what))
        };
        PARTS.iter().zip(&self.measured).filter_map(line).collect()
    }

    /// One table of all goals.
    pub(crate) fn table(&self) -> String {
        let rows: Vec<Vec<String>> = PARTS
            .iter()
            .zip(&self.measured)
            .map(|(part, value)| {
                vec![
                    part.number.to_string(),
                    part.what.to_owned(),
                    part.bound.text(part.unit),
                    value.map_or("not measured".into(), figure),
                    part.best.to_owned(),
                    value.map_or("", |value| verdict(part.bound.admits(value))).to_owned(),
                ]
            })
            .collect();
        grid("The goals", &["#", "goal", "target", "measured", "best seen elsewhere", "result"], &rows)
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}
