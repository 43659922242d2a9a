//! Plays sessions to a filter, and holds every one of them against what must come of it.
//!
//! There is no other way to an outcome, so no session can be left out of the goal that none fails and none ends wrongly.

use crate::Failure;
use crate::load::{Job, Manner, Outcome};
use crate::peer::Peer;
use crate::process::{Process, tethered};
use crate::report::Report;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Plays a job in a process of its own. Sessions that failed or ended wrongly are complaints.
pub(crate) fn play(report: &mut Report, peer: Peer, what: &str, job: &Job) -> Result<Outcome, Failure> {
    let (mut process, outcome) = begin(job)?;
    process.child.wait()?;
    report.sound(peer, what, &outcome);
    Ok(outcome)
}

/// The same where a wrong verdict is what is measured; none may fail.
pub(crate) fn probe(report: &mut Report, peer: Peer, what: &str, job: &Job) -> Result<Outcome, Failure> {
    let (mut process, outcome) = begin(job)?;
    process.child.wait()?;
    report.unbroken(peer, what, &outcome);
    Ok(outcome)
}

/// Sessions that stay open as long as this value lives.
pub(crate) struct Crowd {
    _process: Process,
    pub(crate) outcome: Outcome,
}

/// Plays a job whose sessions stay open (`Manner::Idle`).
pub(crate) fn hold(report: &mut Report, peer: Peer, what: &str, job: &Job) -> Result<Crowd, Failure> {
    let job = Job { manner: Manner::Idle, ..job.clone() };
    let (process, outcome) = begin(&job)?;
    report.sound(peer, what, &outcome);
    Ok(Crowd { _process: process, outcome })
}

/// The load generator, and what it says of its sessions.
fn begin(job: &Job) -> Result<(Process, Outcome), Failure> {
    let mut command = tethered(&std::env::current_exe()?);
    command.arg("load").arg(serde_json::to_string(job)?).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let answers = child.stdout.take().ok_or("load generator: no standard output")?;
    let process = Process { child, title: "load generator".into(), log: None };
    let mut line = String::new();
    BufReader::new(answers).read_line(&mut line)?;
    let outcome: Outcome =
        serde_json::from_str(&line).map_err(|_| "load generator: ended without a result")?;
    Ok((process, outcome))
}
