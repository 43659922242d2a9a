//! What gatepost tells about itself: the log and its lines.
//!
//! Every value that came from outside is made printable before it gets here, and once more where a
//! line is written: a client must not be able to forge a line.

mod budget;
mod line;
mod log;
mod verdict;

pub use budget::Budget;
pub use log::{Destination, Level, StartError, start};
pub use verdict::{Action, Report};
