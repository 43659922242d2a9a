//! What can be said about a dialog: findings, and the decision made of them.
//!
//! Plain data. Checks make findings, the policy makes a decision of them, the session speaks it.

mod codes;
mod decision;
mod finding;
mod meaning;

pub use codes::Codes;
pub use decision::{BadHeader, Decision, Edit, HeaderName, HeaderValue, Verdict};
pub use finding::{Finding, Identity, List, Origin, Outcome, Skip, Trouble, Trust};
