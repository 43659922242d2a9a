//! The header field that a tag adds, with variables as in a reply.

use super::template::{BadTemplate, Variable, fill, variables};
use crate::verdict::{BadHeader, HeaderName, HeaderValue};

/// Longest value of a header field in octets, variables filled in: lines may have 998 (RFC 5322, section 2.1.1).
const LONGEST: usize = 900;
/// Longest value as it is written: the other half is for what its variables become.
const LONGEST_WRITTEN: usize = LONGEST / 2;

/// A header field with variables: `X-Spam-Flag: YES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    name: HeaderName,
    value: String,
}

/// Why a text is no header field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTag {
    /// No colon.
    #[error("a header field is written as NAME: VALUE")]
    Form,
    /// Name or value are none.
    #[error("{0}")]
    Header(#[from] BadHeader),
    /// Its variables are wrong.
    #[error("{0}")]
    Template(#[from] BadTemplate),
    /// A field that belongs to the mail server or to people.
    #[error("{0} is not for filters to add")]
    Reserved(String),
}

/// What a filter must not add: the mail would say something else than its author wrote.
const RESERVED: [&str; 12] = [
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "sender",
    "reply-to",
    "message-id",
    "received",
    "return-path",
    "content-type",
];

impl Tag {
    /// Reads and checks a field.
    ///
    /// # Errors
    /// See [`BadTag`].
    pub fn parse(text: &str) -> Result<Self, BadTag> {
        let (name, value) = text.split_once(':').ok_or(BadTag::Form)?;
        let (name, value) = (HeaderName::new(name.trim())?, value.trim());
        if RESERVED.contains(&name.as_str().to_ascii_lowercase().as_str()) {
            return Err(BadTag::Reserved(name.as_str().to_owned()));
        }
        if value.len() > LONGEST_WRITTEN {
            return Err(BadTemplate::Length(value.len(), LONGEST_WRITTEN).into());
        }
        if !value.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
            return Err(BadTemplate::Character.into());
        }
        variables(value)?;
        HeaderValue::new(value)?;
        Ok(Self { name, value: value.to_owned() })
    }

    /// The name of the field.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The field as it was written.
    pub fn text(&self) -> String {
        format!("{}: {}", self.name.as_str(), self.value)
    }

    /// The value, with `value` asked for each variable: printable ASCII, on one line.
    pub fn render(&self, value: impl Fn(Variable) -> String) -> String {
        let safe = |variable| value(variable).replace(|c: char| !c.is_ascii() || c.is_ascii_control(), "?");
        let mut filled = fill(&self.value, safe).unwrap_or_default();
        filled.truncate(LONGEST);
        if filled.is_empty() { "-".to_owned() } else { filled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_filled_in_and_stays_one_line() {
        let tag = Tag::parse("X-Spam-List:  {list} {domain}").expect("a field");
        let value = tag.render(|variable| match variable {
            Variable::List => "DBL".to_owned(),
            _ => "spam.example\r\nBcc: x\u{e9}".to_owned(),
        });
        assert_eq!((tag.name().as_str(), &*value), ("X-Spam-List", "DBL spam.example??Bcc: x?"));
        assert!(tag.render(|_| "x".repeat(4_000)).len() <= LONGEST);
        assert_eq!(tag.text(), "X-Spam-List: {list} {domain}");
        assert_eq!(Tag::parse(&tag.text()), Ok(tag));
    }

    #[test]
    fn what_is_no_field_says_why() {
        for text in
            ["X-Spam-Flag", ": YES", "X Spam: YES", "X-Spam:", "X-Spam: {nothing}", "X-Spam: caf\u{e9}"]
        {
            assert!(Tag::parse(text).is_err(), "{text}");
        }
        assert_eq!(Tag::parse("Subject: [spam]"), Err(BadTag::Reserved("Subject".to_owned())));
    }

    #[test]
    fn a_field_that_is_too_long_is_told_how_long_one_may_be() {
        let of = |octets| Tag::parse(&format!("X-Spam: {}", "x".repeat(octets)));
        assert!(of(450).is_ok());
        let why = of(451).map_err(|why| why.to_string());
        assert_eq!(why, Err("it is 451 octets long and may have 450".to_owned()));
    }
}
