//! What gatepost tells about itself: the log and its lines, and what it counts.
//!
//! Every value that came from outside is made printable before it gets here, and once more where a
//! line is written: a client must not be able to forge a line.

mod budget;
mod exposition;
mod journal;
mod line;
mod log;
mod message;
mod metrics;
mod outlet;
mod process;
mod summary;
mod verdict;

pub use budget::Budget;
pub use exposition::{CacheFigures, FileFigures, Snapshot, ZoneFigures};
pub use log::{Destination, Level, StartError, detach, flush, lost_lines, muted, start};
pub use message::{MESSAGES, Message};
pub use metrics::{Acted, Cause, CheckResult, Ended, Handover, Metrics, ShedAs};
pub use process::{Process, Usage};
pub use summary::Figures;
pub use verdict::{Action, Report};
