//! What else runs on this machine, asked through the programs that an administrator would ask.
//!
//! Reading and judging are apart: what a program printed is a plain text to the functions here.

pub(super) mod endpoint;
pub(super) mod postfix;
pub(super) mod sendmail;
pub(super) mod systemd;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Where programs for administrators are, in case the caller's path leaves them out.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program prints to standard output; nothing if there is no such program or it fails.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let done = command(program, arguments).stdin(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
}

/// Runs a program that changes something.
///
/// # Errors
/// What went wrong, in its own words or the system's.
pub(super) fn tell(program: &str, arguments: &[&str]) -> Result<(), String> {
    feed(program, arguments, b"")
}

/// [`tell`], with something on its standard input.
///
/// # Errors
/// As [`tell`].
pub(super) fn feed(program: &str, arguments: &[&str], input: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = command(program, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read tells why by its status.
        let _ = stdin.write_all(input);
    }
    let done = child.wait_with_output().map_err(failed)?;
    if done.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    Err(format!("{program}: {}", words.trim().lines().last().unwrap_or("failed")))
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(OsString::from(PATH));
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).env("LC_ALL", "C");
    command
}
