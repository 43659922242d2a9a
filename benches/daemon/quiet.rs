//! Whether the machine has other work, which would be in every figure of a run.
//!
//! The load average forgets a build only after minutes; the time of the processors over a second tells what is so now. What
//! other guests of a virtual machine's host do is seen by none of its clocks, but by how long memory takes.

use crate::Failure;
use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// The share of CPU time up to which a machine counts as quiet: what a system does that is asked for nothing.
const QUIET: f64 = 0.05;

/// So many seconds in a row, or a pause of something busy would do.
const CALM: u32 = 3;

/// A machine that is busy for longer has other work, and the page then says so.
const LONGEST: Duration = Duration::from_mins(2);

/// What is read at random to see how fast memory is: more than the caches of a processor hold, in octets.
const MEMORY: usize = 64 << 20;

/// How the machine is, apart from what is measured.
#[derive(Clone, Copy)]
pub(crate) struct State {
    /// The share of CPU time that is in use, 0 to 1.
    busy: f64,
    /// What a read takes of which no cache knows, in nanoseconds.
    read: f64,
}

impl State {
    /// As it is now, in about two seconds.
    pub(crate) fn now() -> Result<Self, Failure> {
        Ok(Self { busy: busy()?, read: read() })
    }
}

/// Waits until the machine is quiet, but not for ever. How it is in the end.
pub(crate) fn wait() -> Result<State, Failure> {
    let (begun, mut calm) = (Instant::now(), 0);
    loop {
        let share = busy()?;
        calm = if share <= QUIET { calm + 1 } else { 0 };
        if calm == CALM || begun.elapsed() > LONGEST {
            return State::now();
        }
        if calm == 0 {
            eprintln!("bench: waiting for a quiet machine, {:.0} % of its CPU time is in use", share * 100.0);
        }
    }
}

/// The share of CPU time that is used in a second from now, 0 to 1.
fn busy() -> Result<f64, Failure> {
    let (idle, all) = times()?;
    thread::sleep(Duration::from_secs(1));
    let (later_idle, later_all) = times()?;
    Ok(1.0 - (later_idle - idle) / f64::max(later_all - all, 1.0))
}

/// The mean time of a read from memory, each of an address that the one before tells, in nanoseconds.
fn read() -> f64 {
    const READS: u32 = 2_000_000;
    let count = u32::try_from(MEMORY / size_of::<u32>()).unwrap_or(u32::MAX);
    // One cycle through all of them in no order (Sattolo's shuffle, xorshift).
    let (mut next, mut random) = ((0..count).collect::<Vec<u32>>(), 0x2545_F491_4F6C_DD1D_u64);
    for last in (1..next.len()).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let other = usize::try_from(random % u64::try_from(last).unwrap_or(1)).unwrap_or(0);
        next.swap(last, other);
    }
    let (begun, mut at) = (Instant::now(), 0_u32);
    for _ in 0..READS {
        at = next[at as usize];
    }
    black_box(at);
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(READS)
}

/// How it was around the run, as sentences.
pub(crate) fn told(before: State, after: State) -> String {
    let shares = format!(
        "{:.0} % of its CPU time before the run, {:.0} % after it",
        before.busy * 100.0,
        after.busy * 100.0
    );
    let work = if before.busy.max(after.busy) <= QUIET {
        format!("The machine was quiet: {shares}.")
    } else {
        format!("**The machine had other work** ({shares}), so the figures are rather too high.")
    };
    format!(
        "{work} A read from memory at random took {:.0} ns before and {:.0} ns after it; where that differs between runs, so do times and ratios.",
        before.read, after.read
    )
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
