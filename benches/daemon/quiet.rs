//! Whether the machine has other work, which would be in every figure of a run.
//!
//! The load average forgets a build only after minutes; the time of the processors over a second tells what is so now.

use crate::Failure;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The share of CPU time up to which a machine counts as quiet: what a system does that is asked for nothing.
const QUIET: f64 = 0.05;

/// So many seconds in a row, or a pause of something busy would do.
const CALM: u32 = 3;

/// A machine that is busy for longer has other work, and the page then says so.
const LONGEST: Duration = Duration::from_mins(2);

/// Waits until the machine is quiet, but not for ever. The share of CPU time that is used in the end, 0 to 1.
pub(crate) fn wait() -> Result<f64, Failure> {
    let (begun, mut calm) = (Instant::now(), 0);
    loop {
        let share = busy()?;
        calm = if share <= QUIET { calm + 1 } else { 0 };
        if calm == CALM || begun.elapsed() > LONGEST {
            return Ok(share);
        }
        if calm == 0 {
            eprintln!("bench: waiting for a quiet machine, {:.0} % of its CPU time is in use", share * 100.0);
        }
    }
}

/// The share of CPU time that is used in a second from now, 0 to 1.
pub(crate) fn busy() -> Result<f64, Failure> {
    let (idle, all) = times()?;
    thread::sleep(Duration::from_secs(1));
    let (later_idle, later_all) = times()?;
    Ok(1.0 - (later_idle - idle) / f64::max(later_all - all, 1.0))
}

/// How it was around the run, as a sentence.
pub(crate) fn told(before: f64, after: f64) -> String {
    let shares =
        format!("{:.0} % of its CPU time before the run, {:.0} % after it", before * 100.0, after * 100.0);
    if before.max(after) <= QUIET {
        format!("The machine was quiet: {shares}.")
    } else {
        format!("**The machine had other work** ({shares}), so the figures are rather too high.")
    }
}

/// Ticks of all processors in which nothing was to be done, and all ticks.
fn times() -> Result<(f64, f64), Failure> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).ok_or("/proc/stat: no cpu")?;
    // user nice system idle iowait irq softirq steal; guests are in user and nice.
    let ticks = line.split_whitespace().take(8).map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let [_, _, _, idle, waiting, ..] = ticks[..] else { return Err("/proc/stat: too few times".into()) };
    Ok((idle + waiting, ticks.iter().sum()))
}
