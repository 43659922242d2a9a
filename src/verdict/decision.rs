//! What is to be answered, and what is to be changed.

use serde::{Deserialize, Serialize};

use crate::smtp::Reply;

/// What a filter decided at a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// Changes to the message; only the end of the message can carry them, elsewhere they are refused.
    pub edits: Vec<Edit>,
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, edits: Vec::new() }
    }
}

/// The answer to an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Verdict {
    /// Go on.
    #[default]
    Continue,
    /// Go on without this filter: for the session at CONNECT and HELO, for the message later.
    Accept,
    /// Refuse for good, in these words; at RCPT this recipient only.
    Refuse(Reply),
    /// Refuse for now, in these words; at RCPT this recipient only.
    Defer(Reply),
    /// Refuse for good, in the MTA's words.
    Reject,
    /// Refuse for now, in the MTA's words.
    Tempfail,
    /// Take the message and drop it. From MAIL on.
    Discard,
    /// Take the message and hold it, for this reason; carried out at the end of the message. From MAIL on.
    Quarantine(Box<str>),
}

/// A change to the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Adds a header field at the end of the header section.
    AddHeader(HeaderName, HeaderValue),
    /// Inserts a header field so that it becomes the `index`th; 0 is above the MTA's own Received.
    InsertHeader(u32, HeaderName, HeaderValue),
    /// Changes the `index`th header field of that name, counted from 1.
    ChangeHeader(u32, HeaderName, HeaderValue),
    /// Deletes the `index`th header field of that name, counted from 1. Delete from the highest index down:
    /// Postfix renumbers.
    DeleteHeader(u32, HeaderName),
    /// Adds a recipient, with ESMTP parameters if there are any.
    AddRecipient {
        /// The address; brackets optional.
        address: String,
        /// ESMTP parameters, blank separated.
        parameters: Option<String>,
    },
    /// Deletes a recipient, spelt as it was given.
    DeleteRecipient(String),
    /// Changes the envelope sender; `<>` for the null reverse-path.
    ChangeSender {
        /// The address; brackets optional.
        address: String,
        /// ESMTP parameters, blank separated.
        parameters: Option<String>,
    },
    /// Replaces the body.
    ReplaceBody(bytes::Bytes),
}

/// Why a header field was not accepted. No MTA checks what a filter adds; a bad one makes a broken message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Names are printable ASCII without blank and colon (RFC 5322, section 2.2).
    #[error("a header name is printable ASCII without blanks and colons")]
    Name,
    /// Values may not hold NUL or CR, and a line feed only before a blank or tab (folding).
    #[error("a header value may hold line feeds only before a blank or tab, and no NUL or CR")]
    Value,
}

/// The name of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadHeader::Name`].
    pub fn new(name: &str) -> Result<Self, BadHeader> {
        let legal = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
        if legal { Ok(Self(name.into())) } else { Err(BadHeader::Name) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The value of a header field: not empty, folded with line feeds if at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValue(Box<str>);

impl HeaderValue {
    /// Checks a value.
    ///
    /// # Errors
    /// [`BadHeader::Value`]; an empty value would delete the field.
    pub fn new(value: &str) -> Result<Self, BadHeader> {
        let octets = value.as_bytes();
        let legal = !octets.is_empty()
            && octets.iter().enumerate().all(|(at, octet)| match octet {
                0 | b'\r' => false,
                b'\n' => matches!(octets.get(at + 1), Some(b' ' | b'\t')),
                _ => true,
            });
        if legal { Ok(Self(value.into())) } else { Err(BadHeader::Value) }
    }

    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_field_that_would_break_the_message_cannot_be_made() {
        for name in ["", "X Y", "X:Y", "X\n", "X\u{e9}", "X\u{0}"] {
            assert_eq!(HeaderName::new(name), Err(BadHeader::Name), "{name:?}");
        }
        for value in ["", "a\r\n b", "a\nBcc: x", "a\n", "a\u{0}"] {
            assert_eq!(HeaderValue::new(value), Err(BadHeader::Value), "{value:?}");
        }
        let kept = (HeaderName::new("X-Check"), HeaderValue::new("a\n b\n\tc"));
        let kept = (kept.0.as_ref().map(HeaderName::as_str), kept.1.as_ref().map(HeaderValue::as_str));
        assert_eq!(kept, (Ok("X-Check"), Ok("a\n b\n\tc")));
    }

    #[test]
    fn a_verdict_alone_changes_nothing_in_the_message() {
        let decision = Decision::from(Verdict::Discard);
        assert_eq!(decision, Decision { verdict: Verdict::Discard, edits: Vec::new() });
    }
}
