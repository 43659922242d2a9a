//! The right side of a map: an action, or a list of patterns.

use std::sync::Arc;

use super::super::pattern::Classes;
use super::{Action, Patterns, Syntax, Tag};

/// Longest value in octets: a list of a thousand patterns, and as many again.
pub const VALUE: usize = 1 << 16;

/// What stands behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One action.
    Action(Action),
    /// A list, for tags that [have lists](Tag::has_lists).
    Patterns(Arc<Patterns>),
}

impl Value {
    /// Reads a value that a map has for a key with this tag. `notices` gets what its author should know.
    ///
    /// # Errors
    /// Every mistake in it, each a clause.
    pub fn read(
        tag: Tag,
        value: &[u8],
        syntax: Syntax,
        classes: Classes,
        notices: &mut Vec<String>,
    ) -> Result<Self, Vec<String>> {
        let text = text(value).map_err(|cause| vec![cause])?;
        if tag.has_lists() {
            return Patterns::new(text, classes, notices).map(|patterns| Self::Patterns(Arc::new(patterns)));
        }
        let (action, notice) = Action::read(text, syntax).map_err(|cause| vec![cause])?;
        notices.extend(notice);
        Ok(Self::Action(action))
    }
}

/// A value as text: not empty, not too long, without control characters.
pub(super) fn text(value: &[u8]) -> Result<&str, String> {
    if value.len() > VALUE {
        return Err(format!("a value of {} octets, more than the {VALUE} allowed; divide it", value.len()));
    }
    let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8".to_owned())?.trim();
    if let Some(control) = text.bytes().find(|octet| octet.is_ascii_control() && *octet != b'\t') {
        return Err(format!("there is a control character (0x{control:02x}) in the value"));
    }
    if text.is_empty() {
        return Err("there is a key and no value; write SKIP if it is to say nothing".to_owned());
    }
    Ok(text)
}
