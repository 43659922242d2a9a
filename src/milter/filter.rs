//! What a user of the library implements.

use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;

use crate::smtp::{Dialog, Needs, Stage};
use crate::verdict::{Decision, Verdict};

/// A mail filter: it is told what happens in an SMTP session and decides.
///
/// One value serves all sessions; what it wants to remember of a single session goes into its
/// [`Memory`](Filter::Memory). A filter that fails an event does so by its own decision only: a panic
/// ends that session's connection and nothing else.
///
/// ```
/// use gatepost::milter::Filter;
/// use gatepost::smtp::{Dialog, Event, Needs, Reply, Stage};
/// use gatepost::verdict::{Decision, Verdict};
///
/// /// Refuses mail from senders at one domain.
/// struct NotFrom(&'static [u8]);
///
/// impl Filter for NotFrom {
///     type Memory = ();
///     fn needs(&self) -> Needs {
///         Needs::default().event(Event::Mail)
///     }
///     async fn judge(&self, _: Stage, dialog: &Dialog, (): &mut ()) -> Decision {
///         let sender = dialog.transaction.as_ref().map_or(&b""[..], |message| &message.sender);
///         if sender.trim_ascii_end().ends_with(self.0) {
///             Verdict::Refuse(Reply::new(550, "5.7.1", "not from there").expect("a reply")).into()
///         } else {
///             Decision::default()
///         }
///     }
/// }
/// ```
pub trait Filter: Send + Sync + 'static {
    /// What the filter remembers of one session. It is serialisable so that an open session can be
    /// handed to another process; what cannot be stored is left out and made again.
    type Memory: Default + Serialize + DeserializeOwned + Send;

    /// What the filter wants to be told and may want to do. Asked once per connection.
    fn needs(&self) -> Needs;

    /// Decides at a stage. Called at the stages whose event is in [`Filter::needs`], and always at
    /// [`Stage::Message`]. MTAs wait ten seconds at most; a filter keeps its own, shorter deadline.
    ///
    /// A judgement that is under way when the session is handed to another process is dropped and begun
    /// anew over there, with the memory as it was left.
    ///
    /// A new message can be told from an earlier one by [`Dialog::messages`].
    fn judge(
        &self,
        stage: Stage,
        dialog: &Dialog,
        memory: &mut Self::Memory,
    ) -> impl Future<Output = Decision> + Send;

    /// Sees one header field as it streams by.
    fn header(&self, _dialog: &Dialog, _memory: &mut Self::Memory, _name: &[u8], _value: &[u8]) -> Verdict {
        Verdict::Continue
    }

    /// Sees the end of the header section.
    fn end_of_headers(&self, _dialog: &Dialog, _memory: &mut Self::Memory) -> Verdict {
        Verdict::Continue
    }

    /// Sees a piece of the body, cut anywhere, line ends as CRLF.
    fn body(&self, _dialog: &Dialog, _memory: &mut Self::Memory, _chunk: &[u8]) -> Flow {
        Flow::Next
    }

    /// Sees a command that the MTA does not know.
    fn unknown(&self, _dialog: &Dialog, _memory: &mut Self::Memory, _line: &[u8]) -> Verdict {
        Verdict::Continue
    }
}

/// The answer to a piece of the body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Flow {
    /// Go on with the next piece.
    #[default]
    Next,
    /// Enough seen: the MTA need not send the rest, if it can do that.
    Enough,
    /// A verdict on the message.
    Answer(Verdict),
}
