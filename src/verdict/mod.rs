//! What can be said about a dialog: findings, and the decision made of them.
//!
//! Plain data. Checks make findings, the policy makes a decision of them, the session speaks it.

mod act;
mod class;
mod codes;
mod decision;
mod finding;
mod list;
mod meaning;
mod pattern;

pub use act::Act;
pub use class::{Class, Classes, Identities};
pub use codes::Codes;
pub use decision::{BadHeader, Decision, Edit, HeaderName, HeaderValue, Verdict};
pub use finding::{Finding, Identity, Origin, Outcome, Skip, Trouble, Trust};
pub use list::{
    ADDRESS_TEST, Answers, DOMAIN_TEST, Definition, Digest, Home, Kind, List, MOST, Pattern, Place, Sketch,
    Test, TooMany,
};
