//! Patterns of administrators: POSIX expressions and globs, in linear time.
//!
//! Both only tell whether a subject matches. Which subjects there are, and what a match means, is
//! the maps' to say.

mod bracket;
mod ere;
mod glob;
mod needle;
mod sieve;

pub use ere::{Ere, EreError, LARGE};
pub use glob::{Classes, Glob, GlobError};
pub use needle::Needles;
pub use sieve::{Candidates, Sieve};
