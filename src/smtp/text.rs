//! Making text of unknown origin safe to show.

use std::fmt::Write as _;

/// Octets as one line of printable ASCII, at most `limit` characters long.
///
/// Printable ASCII passes unchanged, except that a backslash and a double quote get a backslash in
/// front, so that the result can stand inside quotes; anything else becomes `\xNN`. What is longer
/// than `limit` ends in `...`.
pub fn printable(octets: &[u8], limit: usize) -> String {
    let mut line = String::with_capacity(octets.len().min(limit));
    for &octet in octets {
        if line.len() + 4 > limit {
            line.truncate(limit.saturating_sub(3));
            line.push_str("...");
            break;
        }
        match octet {
            b'\\' | b'"' => {
                line.push('\\');
                line.push(char::from(octet));
            }
            0x20..=0x7e => line.push(char::from(octet)),
            _ => {
                let _ = write!(line, "\\x{octet:02x}");
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_octets_cannot_start_a_second_line() {
        assert_eq!(
            printable(b"a\r\nevent=verdict \x1b[31m\"\\", 200),
            r#"a\x0d\x0aevent=verdict \x1b[31m\"\\"#
        );
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        let line = printable(&[b'x'; 5_000], 64);
        assert!(line.len() <= 64 && line.ends_with("..."), "{line}");
    }
}
