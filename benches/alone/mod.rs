//! Measurements that have a process each, so that no memory of another one counts.
//!
//! A benchmark calls itself with the name and number of a measurement as arguments.

use std::fs;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Does what the arguments want: all measurements, or `one` of them. Either gives how many rows or targets were missed.
pub(crate) fn begin(
    bench: &str,
    one: impl FnOnce(&str, usize) -> Result<u32, Failure>,
    all: impl FnOnce() -> Result<u32, Failure>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        // `cargo test --all-targets` runs benchmarks too, without `--bench`.
        _ if words.contains(&"--bench") => all(),
        [what, number] => number.parse().map_err(Failure::from).and_then(|number| one(what, number)),
        _ => {
            println!("run with: cargo bench --bench {bench}");
            return ExitCode::SUCCESS;
        }
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// One measurement in a process of its own. Whether it missed a target.
pub(crate) fn child(what: &str, number: usize) -> Result<u32, Failure> {
    let status = Command::new(std::env::current_exe()?).args([what, &number.to_string()]).status()?;
    match status.code() {
        Some(missed @ 0..=1) => Ok(missed.unsigned_abs()),
        _ => Err(format!("{what} {number}: {status}").into()),
    }
}

/// Whether a target was missed.
pub(crate) struct Judge(pub(crate) u32);

impl Judge {
    pub(crate) fn of(&mut self, value: f64, limit: f64) -> &'static str {
        let met = value <= limit;
        self.0 |= u32::from(!met);
        if met { "met" } else { "**missed**" }
    }
}

/// Numbers without an order, the same in each run (`SplitMix64`).
pub(crate) fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Seconds that the kernel has counted for this thread: what else the machine does is not in them.
pub(crate) fn cpu() -> Result<f64, Failure> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?).as_secs_f64())
}

/// A figure of this process in KiB (`/proc/self/status`).
pub(crate) fn memory(field: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such figure")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

pub(crate) fn mebibytes(octets: usize) -> f64 {
    number(octets as u64) / 1024.0 / 1024.0
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "nothing here counts as far as 2^52")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}
