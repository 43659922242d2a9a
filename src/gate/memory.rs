//! What the gate remembers of one session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::Inquiry;
use crate::verdict::{Finding, Identity};

/// What was asked in one session and what came of it.
///
/// Only the time spent is stored when a session is handed to another process: what was asked is asked
/// again there, from the dialog.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    #[serde(skip)]
    client: Option<Vec<Inquiry>>,
    #[serde(skip)]
    helo: Option<Vec<Inquiry>>,
    #[serde(skip)]
    sender: Option<Vec<Inquiry>>,
    /// How long the session has waited for answers that did not come.
    pub(super) spent: Duration,
}

impl Memory {
    /// Everything that was found so far, in the order of the session.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        [&self.client, &self.helo, &self.sender].into_iter().flatten().flatten().map(Inquiry::finding)
    }

    pub(super) fn of(&self, identity: Identity) -> Option<&[Inquiry]> {
        match identity {
            Identity::Client => self.client.as_deref(),
            Identity::Helo => self.helo.as_deref(),
            Identity::Sender => self.sender.as_deref(),
        }
    }

    pub(super) fn of_mut(&mut self, identity: Identity) -> &mut [Inquiry] {
        self.slot(identity).as_deref_mut().unwrap_or_default()
    }

    /// Everything that was asked so far, in the order of the session.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Inquiry> {
        [&mut self.client, &mut self.helo, &mut self.sender].into_iter().flatten().flatten()
    }

    pub(super) fn keep(&mut self, identity: Identity, inquiries: Vec<Inquiry>) {
        *self.slot(identity) = Some(inquiries);
    }

    pub(super) fn forget(&mut self, identity: Identity) {
        *self.slot(identity) = None;
    }

    /// Forgets the sender, and what could not be answered or was spared for a login about the client:
    /// that is asked again for each message, but not for each recipient.
    pub(super) fn begin_message(&mut self) {
        // Nothing is waited for any more once the time is spent, so this alone tells that the name server is
        // back: without it the rest of the session would pass unchecked.
        if self.all_mut().any(Inquiry::came_late) {
            self.spent = Duration::ZERO;
        }
        self.sender = None;
        for slot in [&mut self.client, &mut self.helo] {
            if slot.as_ref().is_some_and(|asked| asked.iter().any(Inquiry::is_spent)) {
                *slot = None;
            }
        }
    }

    fn slot(&mut self, identity: Identity) -> &mut Option<Vec<Inquiry>> {
        match identity {
            Identity::Client => &mut self.client,
            Identity::Helo => &mut self.helo,
            Identity::Sender => &mut self.sender,
        }
    }
}
