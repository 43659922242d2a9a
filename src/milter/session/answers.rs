//! What the filter says: decisions and answers, put into packets.
//!
//! Which packets may come, and what is to be judged, is not known here.

use super::super::response::{put_edit, put_quarantine, put_reply};
use super::super::{Actions, Flow, Protocol, Response, Unspoken};
use super::{Due, Passed, Session};
use crate::smtp::{Event, Reply, Stage};
use crate::verdict::{Decision, Edit, Verdict};

/// The one final response to an event.
#[derive(Clone, Copy)]
enum Final<'v> {
    Plain(Response),
    Reply(&'v Reply),
}

impl Final<'_> {
    /// Whether the event is refused, for now or for good.
    fn is_negative(self) -> bool {
        matches!(self, Self::Reply(_) | Self::Plain(Response::Reject | Response::Tempfail))
    }
}

impl Session {
    /// Speaks the decision that [`Step::Judge`] asked for.
    ///
    /// # Errors
    /// [`Unspoken`] tells what part of the decision could not be said; the rest was, and the
    /// conversation goes on.
    pub fn resolve(&mut self, decision: &Decision, out: &mut Vec<u8>) -> Result<(), Unspoken> {
        let Due::Judgement(stage) = self.due else { return Ok(()) };
        self.due = Due::Nothing;
        let event = match stage {
            Stage::Connect => Some(Event::Connect),
            Stage::Helo => Some(Event::Helo),
            Stage::Mail => Some(Event::Mail),
            Stage::Rcpt => Some(Event::Rcpt),
            Stage::Data => Some(Event::Data),
            Stage::Message => None,
        };
        let (last, mut unspoken) = self.weigh(&decision.verdict, stage.name(), stage >= Stage::Mail);
        if stage == Stage::Message {
            // What is refused or dropped need not be changed.
            if matches!(last, Final::Plain(Response::Continue | Response::Accept)) {
                unspoken = self.edit(&decision.edits, out);
                unspoken = unspoken.or(self.hold(out));
            }
        } else if !decision.edits.is_empty() {
            unspoken = Some(Unspoken::EditStage(stage.name()));
        }
        if stage == Stage::Rcpt && last.is_negative() {
            self.drop_recipient();
        }
        self.respond(event, last, out);
        if stage == Stage::Message {
            self.end_message();
        }
        unspoken.map_or(Ok(()), Err)
    }

    /// Speaks the answer to [`Step::Header`], [`Step::EndOfHeaders`], [`Step::Body`] or [`Step::Unknown`].
    ///
    /// # Errors
    /// As [`Session::resolve`].
    pub fn answer(&mut self, flow: &Flow, out: &mut Vec<u8>) -> Result<(), Unspoken> {
        let (name, event) = match std::mem::replace(&mut self.due, Due::Nothing) {
            Due::Nothing | Due::Judgement(_) => return Ok(()),
            Due::Header => ("header", Event::Header),
            Due::EndOfHeaders => ("eoh", Event::EndOfHeaders),
            Due::Body => ("body", Event::Body),
            Due::Unknown => ("unknown", Event::Unknown),
        };
        let skip = self.agreement.is_some_and(|agreement| agreement.answer.protocol.contains(Protocol::SKIP));
        let (last, unspoken) = match flow {
            Flow::Enough if event == Event::Body && skip => (Final::Plain(Response::Skip), None),
            Flow::Next | Flow::Enough => (Final::Plain(Response::Continue), None),
            // libmilter allows no ACCEPT here, and Postfix would take it for the whole session.
            Flow::Answer(Verdict::Accept) if event == Event::Unknown => {
                let unspoken = Unspoken::Verdict { verdict: "accept", stage: name };
                (Final::Plain(Response::Continue), Some(unspoken))
            }
            Flow::Answer(verdict) => self.weigh(verdict, name, event != Event::Unknown),
        };
        self.respond(Some(event), last, out);
        if last.is_negative() && event != Event::Unknown && self.declined(Event::Mail) {
            // Nothing more comes of a refused message, and no MAIL will tell where the next one begins.
            self.end_message();
        }
        unspoken.map_or(Ok(()), Err)
    }

    /// Asks the MTA for more time; possible at the end of a message only, and worth something with Postfix
    /// only. Tells whether it was said.
    pub fn progress(&self, out: &mut Vec<u8>) -> bool {
        let possible = self.due == Due::Judgement(Stage::Message);
        if possible {
            Response::Progress.put(out);
        }
        possible
    }

    /// Finds the response for a verdict, and notes what follows from it for the rest of the session.
    fn weigh<'v>(
        &mut self,
        verdict: &'v Verdict,
        stage: &'static str,
        in_message: bool,
    ) -> (Final<'v>, Option<Unspoken>) {
        let go_on = Final::Plain(Response::Continue);
        let not_here = |verdict| (go_on, Some(Unspoken::Verdict { verdict, stage }));
        match verdict {
            Verdict::Continue => (go_on, None),
            Verdict::Refuse(reply) | Verdict::Defer(reply) => (Final::Reply(reply), None),
            Verdict::Reject => (Final::Plain(Response::Reject), None),
            Verdict::Tempfail => (Final::Plain(Response::Tempfail), None),
            Verdict::Accept => {
                self.passed = if in_message { Passed::Message } else { Passed::Session };
                (Final::Plain(Response::Accept), None)
            }
            Verdict::Discard if in_message => {
                self.passed = Passed::Message;
                (Final::Plain(Response::Discard), None)
            }
            Verdict::Quarantine(reason) if in_message => {
                self.quarantine = Some(reason.clone());
                (go_on, None)
            }
            Verdict::Discard => not_here("discard"),
            Verdict::Quarantine(_) => not_here("quarantine"),
        }
    }

    /// Writes the one final response to an event, unless none was agreed.
    fn respond(&self, event: Option<Event>, last: Final<'_>, out: &mut Vec<u8>) {
        if event.is_some_and(|event| self.agreement.is_some_and(|agreement| agreement.silent(event))) {
            return;
        }
        match last {
            Final::Plain(response) => response.put(out),
            Final::Reply(reply) => put_reply(reply, out),
        }
    }

    pub(super) fn go_on(&self, event: Event, out: &mut Vec<u8>) {
        self.respond(Some(event), Final::Plain(Response::Continue), out);
    }

    /// Writes the changes: everything else first, then new bodies in one go, since Postfix refuses the
    /// message when something stands between two pieces of a body.
    fn edit(&self, edits: &[Edit], out: &mut Vec<u8>) -> Option<Unspoken> {
        let agreed = self.actions();
        let leading_space =
            self.agreement.is_some_and(|agreement| agreement.answer.protocol.contains(Protocol::HDR_LEADSPC));
        let is_body = |edit: &&Edit| matches!(edit, Edit::ReplaceBody(_));
        let bodies = edits.iter().filter(is_body);
        let others = edits.iter().filter(|edit| !is_body(edit));
        let mut unspoken = None;
        for edit in others.chain(bodies) {
            if let Err(why) = put_edit(edit, agreed, leading_space, out) {
                unspoken = unspoken.or(Some(why));
            }
        }
        unspoken
    }

    /// Writes the quarantine request that this message has earned.
    fn hold(&mut self, out: &mut Vec<u8>) -> Option<Unspoken> {
        let reason = self.quarantine.take()?;
        if !self.actions().contains(Actions::QUARANTINE) {
            return Some(Unspoken::NotAgreed("quarantine"));
        }
        put_quarantine(&reason, out);
        None
    }

    fn actions(&self) -> Actions {
        self.agreement.map_or(Actions::default(), |agreement| agreement.answer.actions)
    }
}
