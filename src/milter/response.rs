//! Responses: what the filter tells the MTA.

use super::{Actions, Frame, Unspoken};
use crate::smtp::Reply;
use crate::verdict::Edit;

/// A final response without data, or a step on the way to one.
///
/// The codes `f` (connection failure), `4` (shutdown) and `l` exist in header files only and are never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Go on.
    Continue,
    /// Go on without the filter.
    Accept,
    /// Refuse for good, in the MTA's words.
    Reject,
    /// Refuse for now, in the MTA's words.
    Tempfail,
    /// Take the message and drop it.
    Discard,
    /// Seen enough of the body.
    Skip,
    /// Still working; at the end of the message only.
    Progress,
}

impl Response {
    /// Appends the response to `out` as a packet.
    pub fn put(self, out: &mut Vec<u8>) {
        let code = match self {
            Self::Continue => b'c',
            Self::Accept => b'a',
            Self::Reject => b'r',
            Self::Tempfail => b't',
            Self::Discard => b'd',
            Self::Skip => b's',
            Self::Progress => b'p',
        };
        Frame::put(code, &[], out);
    }
}

/// Appends a reply with code and text (REPLYCODE).
///
/// Percent signs are doubled, as both MTAs use the text as a format; lines are separated by CRLF and the
/// whole ends in NUL, whose absence older Postfix answers with octets from its heap.
pub(super) fn put_reply(reply: &Reply, out: &mut Vec<u8>) {
    let text = reply.wire_lines().collect::<Vec<_>>().join("\r\n").replace('%', "%%");
    Frame::put(b'y', &[text.as_bytes(), b"\0"], out);
}

/// Appends a quarantine request. libmilter knows none without a reason.
pub(super) fn put_quarantine(reason: &str, out: &mut Vec<u8>) {
    let reason = if reason.is_empty() { "held by a mail filter" } else { reason };
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let reason: String = reason.chars().take(REASON).map(shown).collect();
    Frame::put(b'q', &[reason.as_bytes(), b"\0"], out);
}

/// Longest reason for a quarantine, in characters; it becomes part of a log line.
const REASON: usize = 500;
/// Longest packet, code included: the buffer of Sendmail.
const PACKET: usize = 65_536;
/// Highest header index: to libmilter it is a signed integer.
const INDEX: u32 = i32::MAX.unsigned_abs();

/// Appends one change to the message, if the MTA agreed to its kind and can read it.
///
/// With `leading_space` the MTA takes header values as they are and expects them to bring their own blank.
pub(super) fn put_edit(
    edit: &Edit,
    agreed: Actions,
    leading_space: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unspoken> {
    let (needed, what) = need(edit);
    if !agreed.contains(needed) {
        return Err(Unspoken::NotAgreed(what));
    }
    let start = out.len();
    put_agreed(edit, if leading_space { b" " } else { b"" }, out)?;
    let one_packet = !matches!(edit, Edit::ReplaceBody(_));
    if one_packet && out.len() - start > 4 + PACKET {
        out.truncate(start);
        return Err(Unspoken::TooLong(what));
    }
    Ok(())
}

fn put_agreed(edit: &Edit, space: &[u8], out: &mut Vec<u8>) -> Result<(), Unspoken> {
    match edit {
        Edit::AddHeader(name, value) => {
            Frame::put(
                b'h',
                &[name.as_str().as_bytes(), b"\0", space, value.as_str().as_bytes(), b"\0"],
                out,
            );
        }
        Edit::InsertHeader(index, name, value) => {
            let (name, value) = (name.as_str().as_bytes(), value.as_str().as_bytes());
            let index = *index.min(&INDEX);
            Frame::put(b'i', &[&index.to_be_bytes(), name, b"\0", space, value, b"\0"], out);
        }
        Edit::ChangeHeader(index, name, value) => {
            let (name, value) = (name.as_str().as_bytes(), value.as_str().as_bytes());
            let index = (*index).clamp(1, INDEX);
            Frame::put(b'm', &[&index.to_be_bytes(), name, b"\0", space, value, b"\0"], out);
        }
        Edit::DeleteHeader(index, name) => {
            let index = (*index).clamp(1, INDEX);
            Frame::put(b'm', &[&index.to_be_bytes(), name.as_str().as_bytes(), b"\0\0"], out);
        }
        Edit::AddRecipient { address, parameters: None } => {
            Frame::put(b'+', &[recipient(address)?, b"\0"], out);
        }
        Edit::AddRecipient { address, parameters: Some(parameters) } => {
            Frame::put(b'2', &[recipient(address)?, b"\0", text(parameters)?, b"\0"], out);
        }
        Edit::DeleteRecipient(address) => Frame::put(b'-', &[recipient(address)?, b"\0"], out),
        Edit::ChangeSender { address, parameters } => {
            let mut data: Vec<&[u8]> = vec![text(address)?, b"\0"];
            if let Some(parameters) = parameters {
                data.extend([text(parameters)?, b"\0"]);
            }
            Frame::put(b'e', &data, out);
        }
        Edit::ReplaceBody(body) => put_body(body, out),
    }
    Ok(())
}

/// Appends a new body in pieces of the size that all MTAs take.
fn put_body(body: &[u8], out: &mut Vec<u8>) {
    if body.is_empty() {
        Frame::put(b'b', &[], out);
    }
    for chunk in body.chunks(65_535) {
        Frame::put(b'b', &[chunk], out);
    }
}

/// The action bit that a change needs, and what to call it.
fn need(edit: &Edit) -> (Actions, &'static str) {
    match edit {
        Edit::AddHeader(..) | Edit::InsertHeader(..) => (Actions::ADDHDRS, "adding header fields"),
        Edit::ChangeHeader(..) | Edit::DeleteHeader(..) => (Actions::CHGHDRS, "changing header fields"),
        Edit::AddRecipient { parameters: None, .. } => (Actions::ADDRCPT, "adding recipients"),
        Edit::AddRecipient { .. } => (Actions::ADDRCPT_PAR, "adding recipients with parameters"),
        Edit::DeleteRecipient(_) => (Actions::DELRCPT, "deleting recipients"),
        Edit::ChangeSender { .. } => (Actions::CHGFROM, "changing the sender"),
        Edit::ReplaceBody(_) => (Actions::CHGBODY, "replacing the body"),
    }
}

/// An address that names somebody; the null reverse-path is the sender's alone.
fn recipient(address: &str) -> Result<&[u8], Unspoken> {
    if address.is_empty() { Err(Unspoken::Text) } else { text(address) }
}

fn text(text: &str) -> Result<&[u8], Unspoken> {
    if text.chars().any(char::is_control) { Err(Unspoken::Text) } else { Ok(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{HeaderName, HeaderValue};

    #[test]
    fn percent_signs_are_doubled_and_lines_end_in_crlf() {
        let reply = Reply::new(550, "5.7.1", "100% listed\nsee https://x.example/%20").expect("a reply");
        let mut out = Vec::new();
        put_reply(&reply, &mut out);
        assert_eq!(&out[4..], b"y550-5.7.1 100%% listed\r\n550 5.7.1 see https://x.example/%%20\0");
    }

    #[test]
    fn changes_look_as_libmilter_sends_them() {
        let name = HeaderName::new("X-Check").expect("a name");
        let value = HeaderValue::new("clean").expect("a value");
        for (edit, wire) in [
            (Edit::AddHeader(name.clone(), value.clone()), &b"\0\0\0\x0fhX-Check\0clean\0"[..]),
            (Edit::InsertHeader(0, name.clone(), value.clone()), b"\0\0\0\x13i\0\0\0\0X-Check\0clean\0"),
            (Edit::DeleteHeader(2, name.clone()), b"\0\0\0\x0em\0\0\0\x02X-Check\0\0"),
            (
                Edit::AddRecipient { address: "<a@b.example>".into(), parameters: None },
                b"\0\0\0\x0f+<a@b.example>\0",
            ),
            (
                Edit::ChangeSender { address: "<>".into(), parameters: Some("RET=HDRS".into()) },
                b"\0\0\0\x0de<>\0RET=HDRS\0",
            ),
        ] {
            let mut out = Vec::new();
            put_edit(&edit, Actions::ALL, false, &mut out).expect("a packet");
            assert_eq!(out, wire);
            let mut nothing = Vec::new();
            assert!(put_edit(&edit, Actions(0), false, &mut nothing).is_err());
            assert!(nothing.is_empty());
        }
        let mut out = Vec::new();
        put_edit(&Edit::AddHeader(name, value), Actions::ALL, true, &mut out).expect("a packet");
        assert_eq!(out, b"\0\0\0\x10hX-Check\0 clean\0");
    }

    #[test]
    fn changes_that_libmilter_refuses_are_left_out_or_made_acceptable() {
        let put = |edit: Edit| {
            let mut out = Vec::new();
            Response::Progress.put(&mut out);
            let before = out.len();
            put_edit(&edit, Actions::ALL, false, &mut out).map(|()| out.split_off(before))
        };
        let name = HeaderName::new("X").expect("a name");
        let value = |text: &str| HeaderValue::new(text).expect("a value");
        let nobody = Edit::AddRecipient { address: String::new(), parameters: None };
        assert_eq!(put(nobody), Err(Unspoken::Text));
        assert_eq!(put(Edit::DeleteRecipient(String::new())), Err(Unspoken::Text));
        let long = Edit::AddHeader(name.clone(), value(&"x".repeat(65_533)));
        assert_eq!(put(long), Err(Unspoken::TooLong("adding header fields")));
        assert!(put(Edit::AddHeader(name.clone(), value(&"x".repeat(65_532)))).is_ok());
        let first = put(Edit::DeleteHeader(0, name.clone())).expect("a packet");
        assert_eq!(first[5..9], [0, 0, 0, 1]);
        for edit in [
            Edit::InsertHeader(u32::MAX, name.clone(), value("y")),
            Edit::ChangeHeader(u32::MAX, name.clone(), value("y")),
            Edit::DeleteHeader(u32::MAX, name.clone()),
        ] {
            assert_eq!(put(edit).expect("a packet")[5..9], [0x7f, 0xff, 0xff, 0xff]);
        }
    }

    #[test]
    fn a_quarantine_without_reason_gets_one() {
        let mut out = Vec::new();
        put_quarantine("", &mut out);
        assert_eq!(&out[4..], b"qheld by a mail filter\0");
    }

    #[test]
    fn a_large_body_goes_out_in_pieces() {
        let mut out = Vec::new();
        put_body(&vec![b'x'; 70_000], &mut out);
        assert_eq!(out.len(), 70_000 + 2 * 5);
        assert_eq!(out[..5], [0, 1, 0, 0, b'b']);
    }
}
