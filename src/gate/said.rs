//! What is said of a session beside its lists, gathered before they are asked.
//!
//! Decides nothing: what is said becomes part of the judgement in [`Policy::heed`](crate::policy::Policy::heed).

use tokio::time::Instant;

use super::{Gate, Memory};
use crate::policy::{Mode, Word};
use crate::smtp::{Dialog, Stage};

impl Gate {
    /// Has everything beside the lists say what it has to say of whoever is in question at this stage; it stands in the
    /// memory until the next one. When it began, unless nothing of this session is checked.
    pub(super) fn hear(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Option<Instant> {
        memory.said.clear();
        if self.rules.exempt.session(dialog).is_some() {
            self.look_at_own_mail(stage, dialog, memory);
            return None;
        }
        let begun = (stage <= Stage::Rcpt).then(Instant::now);
        self.look_at_envelope(stage, dialog, memory);
        begun
    }

    /// Whether lists need not be asked, since somebody lets the mail in whatever they hold.
    pub(super) fn is_spared(&self, memory: &Memory) -> bool {
        let spares = |said: &crate::policy::Said| said.word == Word::Spare && said.mode == Mode::Enforce;
        !self.rules.policy.is_observing() && memory.said.iter().any(spares)
    }
}
