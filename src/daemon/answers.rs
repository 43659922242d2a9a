//! Remembered answers to the next process, beside the open sessions.
//!
//! Without them it would ask everything anew. They are no more than that: whatever is wrong with them, it goes on
//! without.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::handover::{contents, sealed};
use super::store::Store;
use crate::dns::Dns;
use crate::server::{enclose, open};

/// The name of the file with the answers.
pub(super) const ANSWERS: &str = "answers";
/// The form in which they are written. There may be more members without a new number; anything else needs one, and what
/// has another number is not used.
const VERSION: u32 = 1;
/// So many at most: as many as are remembered if nobody says otherwise. They are 1.2 MB, written in 25 ms and read in 65
/// on a busy machine, while sessions wait.
const MOST: usize = 20_000;

/// Gives them to the service manager; tells how many there are.
pub(super) fn leave(store: &Store, dns: &Dns) -> io::Result<usize> {
    let (count, told) = dns.tell(MOST, now()?);
    if count == 0 {
        return Ok(0);
    }
    store.keep(ANSWERS, sealed(&enclose(VERSION, &told))?)?;
    // What a process has said is heard only as long as it lives.
    store.barrier()?;
    Ok(count)
}

/// Remembers what the process before left.
pub(super) fn take_over(dns: &Dns, files: Vec<(String, OwnedFd)>) {
    if files.is_empty() {
        return;
    }
    let read = contents(files).map_err(|why| why.to_string()).and_then(|octets| {
        let told = open(VERSION, &octets).map_err(|why| why.to_string())?;
        let now = now().map_err(|why| why.to_string())?;
        dns.recall(told, now).map_err(|why| why.to_string())
    });
    match read {
        Ok(answers) => tracing::info!(event = "answers", answers, "remembered answers go on here"),
        Err(why) => {
            tracing::warn!(
                event = "answers",
                why,
                "the answers of the process before are not used; all is asked anew"
            );
        }
    }
}

/// The time since the machine was started, pauses included: the same for all processes.
fn now() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_BOOTTIME)?.into())
}
