//! Checks: each looks at a part of the dialog and reports what it finds.
//!
//! A check asks and reports; it never decides. A question starts as soon as its subject is known; whoever
//! needs the answer waits for it later, as long as it wants.

mod access;
mod admissions;
mod exempt;
mod inquiry;
mod listed;
mod meter;
mod target;

pub use access::{Access, OfRecipient, Told, because};
pub use admissions::Admissions;
pub use exempt::{Exempt, Standing};
pub use inquiry::Inquiry;
pub use listed::Listed;
pub use meter::{Counted, Meter, Meters, Rate};
pub use target::Target;
