//! One log line of `key=value` pairs.

use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};

use crate::smtp::printable;

/// Longest value in a line, in characters. Replies are the longest of ours.
pub(super) const VALUE: usize = 1_100;

/// Collects the fields of an event as `key=value key="value with blanks"`, the message last.
#[derive(Default)]
pub(super) struct Line {
    fields: String,
    message: String,
}

impl Line {
    /// The whole line, without line end.
    pub(super) fn finish(mut self) -> String {
        if !self.message.is_empty() {
            let message = std::mem::take(&mut self.message);
            self.push("message", &message);
        }
        self.fields
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.fields.is_empty() {
            self.fields.push(' ');
        }
        let plain = !value.is_empty()
            && value.bytes().all(|octet| octet.is_ascii_graphic() && !b"\"\\=".contains(&octet));
        let _ = if plain && value.len() <= VALUE {
            write!(self.fields, "{name}={value}")
        } else {
            write!(self.fields, "{name}=\"{}\"", printable(value.as_bytes(), VALUE))
        };
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.push(field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_start_a_line_or_a_field() {
        let mut line = Line::default();
        line.push("helo", "x action=accept");
        line.push("reply", "550 5.7.1 \"no\"\nevent=verdict\u{1b}[0m");
        line.push("empty", "");
        line.push("plain", "127.0.0.2,127.0.0.4");
        assert_eq!(
            line.finish(),
            "helo=\"x action=accept\" reply=\"550 5.7.1 \\\"no\\\"\\x0aevent=verdict\\x1b[0m\" \
             empty=\"\" plain=127.0.0.2,127.0.0.4"
        );
    }
}
