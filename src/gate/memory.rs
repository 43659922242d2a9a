//! What the gate remembers of one session.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mark::{Forged, Mark};
use crate::check::Inquiry;
use crate::clock::Time;
use crate::list::access;
use crate::policy::Said;
use crate::telemetry::Action;
use crate::verdict::{Finding, Identities, Identity};

/// What was asked in one session and what came of it.
///
/// When a session is handed to another process, the time spent and what its open message has earned are stored: what
/// was asked is asked again there, from the dialog.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// By identity, in the order of [`Identity::ALL`].
    #[serde(skip)]
    asked: [Option<Vec<Inquiry>>; Identity::ALL.len()],
    /// Identities of which some, but not all, is to be asked anew.
    #[serde(skip)]
    partly: Identities,
    /// How long the session has waited for answers that did not come.
    pub(super) spent: Duration,
    /// What is to be done at the end of the open message.
    #[serde(default, skip_serializing_if = "Mark::is_nothing")]
    pub(super) mark: Mark,
    /// Header fields of the open message that look like ours.
    #[serde(flatten)]
    pub(super) forged: Forged,
    /// Limits of connections that this one was too much for, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) crowded: Vec<Box<str>>,
    /// Recipients of the open message that were let in and count.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) let_in: u32,
    /// The open message began in a process that looked at the parameters of MAIL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_parameters: bool,
    /// Limits that count what is in question now, and what of the session may be refused yet, by their place, and since when.
    #[serde(skip)]
    pub(super) counted: Vec<(usize, Time)>,
    /// Limits that count the session or the open message no more, since all of it was refused so far, by their place.
    #[serde(skip)]
    pub(super) returned: Vec<usize>,
    /// What access maps say about the client, and about the open message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<Box<access::Standing>>,
    /// What is said beside the lists of whoever is in question now.
    #[serde(skip)]
    pub(super) said: Vec<Said>,
    /// What the log has told of the open message: rules, and what they did.
    #[serde(skip)]
    pub(super) told: Vec<(Arc<str>, Action)>,
}

impl Memory {
    /// Everything that was found so far, in the order of the session.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.asked.iter().flatten().flatten().map(Inquiry::finding)
    }

    /// What is said beside the lists of whoever is in question now.
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    pub(super) fn knows(&self, identity: Identity) -> bool {
        self.asked[identity as usize].is_some() && !self.partly.contains(identity)
    }

    /// What is known of an identity and need not be asked anew.
    pub(super) fn take_known(&mut self, identity: Identity) -> Vec<Inquiry> {
        let mut known = self.asked[identity as usize].take().unwrap_or_default();
        known.retain(|inquiry| !inquiry.is_spent());
        known
    }

    pub(super) fn of_mut(&mut self, identity: Identity) -> &mut [Inquiry] {
        self.asked[identity as usize].as_deref_mut().unwrap_or_default()
    }

    /// Everything that was asked so far, in the order of the session.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Inquiry> {
        self.asked.iter_mut().flatten().flatten()
    }

    pub(super) fn keep(&mut self, identity: Identity, inquiries: Vec<Inquiry>) {
        self.asked[identity as usize] = Some(inquiries);
        self.partly.remove(identity);
    }

    pub(super) fn forget(&mut self, identity: Identity) {
        self.asked[identity as usize] = None;
        self.partly.remove(identity);
    }

    /// Forgets the greeting before, and what is said of the message before: a new greeting ends it (RFC 5321, section 4.1.4).
    pub(super) fn greet(&mut self) {
        self.forget(Identity::Helo);
        self.end_message();
    }

    /// Forgets what access maps say about the message.
    fn end_message(&mut self) {
        if let Some(access) = &mut self.access {
            access.end_message();
        }
    }

    /// Forgets sender and recipient, and what could not be answered or was spared for a login about the client:
    /// that is asked again for each message, but not for each recipient.
    pub(super) fn begin_message(&mut self) {
        // Nothing is waited for any more once the time is spent, so this alone tells that the name server is
        // back: without it the rest of the session would pass unchecked.
        if self.all_mut().any(Inquiry::came_late) {
            self.spent = Duration::ZERO;
        }
        self.forget(Identity::Sender);
        self.forget(Identity::Recipient);
        for identity in [Identity::Client, Identity::ClientName, Identity::Helo] {
            if self.of_mut(identity).iter().any(Inquiry::is_spent) {
                self.partly.insert(identity);
            }
        }
        self.end_message();
        self.mark = Mark::default();
        self.forged = Forged::default();
        self.let_in = 0;
        self.has_parameters = false;
        self.told.clear();
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_none(count: &u32) -> bool {
    *count == 0
}
