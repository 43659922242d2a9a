//! Who may write to whom: recipient policies, and the member files that they name.
//!
//! Says what a policy has against a message; what is done about it is not decided here.

use std::path::Path;
use std::sync::Arc;

use crate::list::recipients::{Admission, Files, Members, Party, Protected, Ruling};
use crate::smtp::Dialog;
use crate::source::Watched;

/// Recipient policies, by their place.
#[derive(Debug, Clone, Default)]
pub struct Admissions {
    /// Which policy holds for whom.
    pub protected: Protected,
    /// What each policy says.
    pub policies: Vec<Admission>,
    /// The member files, by their place; one that is not there cannot be read.
    pub members: Vec<Arc<Watched<Members>>>,
    /// Delimiters of the detail of a local part.
    pub detail: String,
}

impl Admissions {
    /// Whether there is no policy.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policy that holds for the recipient in question, by its place, and what it says of the sender. Nothing for a
    /// recipient that everybody may write to, and where there is none. One that `is_exempt` is protected only by its own
    /// name, not by that of its domain: postmaster must be reachable (RFC 5321, section 4.5.1).
    pub fn ask(&self, dialog: &Dialog, is_exempt: bool) -> Option<(usize, Ruling)> {
        let message = dialog.transaction.as_ref()?;
        let recipient = Party::parse(&message.recipients.last()?.address)?;
        let policy = self.policy(&recipient, is_exempt)?;
        let sender = Party::parse(&message.sender);
        let admission = self.policies.get(policy)?;
        Some((policy, admission.ask(sender.as_ref(), dialog.is_authenticated(), &self.detail, self)))
    }

    /// The policy that holds for a recipient, by its place; see [`Admissions::ask`].
    pub fn policy(&self, recipient: &Party, is_exempt: bool) -> Option<usize> {
        if is_exempt {
            self.protected.named(recipient, &self.detail)
        } else {
            self.protected.find(recipient, &self.detail)
        }
    }

    /// The path of a member file, by its place.
    pub fn path(&self, file: usize) -> Option<&Path> {
        self.members.get(file).map(|members| members.path())
    }
}

impl Files for Admissions {
    /// What was in a file before it went is not what its owner wants any more, so it counts as unread.
    fn contains(&self, file: usize, party: &Party) -> Option<bool> {
        let members = self.members.get(file).filter(|members| !members.is_failed())?;
        Some(members.current().contains(party, &self.detail))
    }
}
