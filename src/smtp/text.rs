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

/// Characters that a terminal acts on instead of showing them: controls, separators of lines and paragraphs, and
/// what is invisible or turns the direction of writing (Unicode's general category Cf, the common ones; not the joiners,
/// which some languages need, in domains as well: RFC 5892, appendix A).
pub fn is_unprintable(c: char) -> bool {
    let is_invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{feff}')
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || is_invisible
}

/// Text that may hold any other character, as a path does, with `?` for those that are [unprintable](is_unprintable).
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if is_unprintable(c) { '?' } else { c }).collect()
}

/// From this many letters and digits in a row on, with a digit among them, a word may be a key.
pub(crate) const KEY_LIKE: usize = 20;
/// As long as keys of DQS are; one in some thousands has no digit.
pub(crate) const KEY_LENGTH: usize = 26;
/// Longest label of a name in DNS, as which a key is sent (RFC 1035, section 2.3.4).
const LABEL: usize = 63;

/// Whether a word of letters and digits may be a key.
pub(crate) fn is_like_key(word: &str) -> bool {
    word.len() == KEY_LENGTH || word.len() >= KEY_LIKE && word.bytes().any(|octet| octet.is_ascii_digit())
}

/// Whether a word of a text may be a key.
pub(crate) fn holds_like_key(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_like_key)
}

/// A text with `(...)` for each word that may be a key.
pub(crate) fn without_keys(text: &str) -> String {
    let is_between = |c: char| !c.is_ascii_alphanumeric();
    let word = |word: &str| {
        let bare = word.trim_end_matches(is_between);
        if is_like_key(bare) { format!("(...){}", &word[bare.len()..]) } else { word.to_owned() }
    };
    text.split_inclusive(is_between).map(word).collect()
}

/// A finished JSON text with escapes for all characters that are [unprintable](is_unprintable), of which `serde_json` leaves
/// most as they are: they stand in strings only. Line feeds between values stay.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_unprintable(c) {
            plain.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    plain
}

/// A piece of a file or a setting as a message may quote it: [`printable`], and without any word that may be a key.
/// What is like one goes before the text is cut: nobody would know the beginning of one.
pub fn excerpt(octets: &[u8], limit: usize) -> String {
    // Far more than is shown, for words that go; without a word that is cut too short to be known for what it is.
    let (mut octets, rest) = octets.split_at(octets.len().min(8 * limit + 1_000));
    let word = octets.iter().rev().take_while(|octet| octet.is_ascii_alphanumeric()).count();
    if !rest.is_empty() && word <= LABEL {
        octets = &octets[..octets.len() - word];
    }
    let mut safe = Vec::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        safe.extend_from_slice(without_keys(chunk.valid()).as_bytes());
        safe.extend_from_slice(chunk.invalid());
    }
    printable(&safe, limit)
}

#[cfg(test)]
mod tests {
    use super::{excerpt, is_unprintable, plain_json, printable};

    #[test]
    fn an_excerpt_holds_no_key_and_no_beginning_of_one() {
        for (text, shown) in [
            ("see abcdefghij0123456789klmnop", "see (...)"),
            ("a, b, c: abcdefghij0123456789klmnop", "a, b, c: (...)"),
            ("abcdefghij0123456789:x \u{e4}", "(...):x \\xc3\\xa4"),
            ("abcdefghijklmnopqrstuvwxyza", "abcdefghijklmnopqrs..."),
            ("see abcdefghijklmnopqrstuvwxyz", "see (...)"),
            ("abcdefghijklmno pqrstuvwxyz", "abcdefghijklmno pqr..."),
        ] {
            assert_eq!(excerpt(text.as_bytes(), 22), shown);
        }
        assert_eq!(excerpt(b"\xffabcdefghij0123456789\xff", 40), "\\xff(...)\\xff");
        let long = excerpt(&b"abcdefghij0123456789klmnop ".repeat(10_000), 60);
        assert!(long.len() <= 60 && !long.contains("abc"), "{long}");
        // What is cut off before it is looked at is not shown.
        for ahead in 1_000..1_500 {
            let text = ["x ".repeat(ahead / 2), "abcdefghij0123456789klmnop".to_owned()].concat();
            assert!(!excerpt(text.as_bytes(), 60).contains("abc"));
        }
        for size in 1_400..1_500 {
            let text = ["1".repeat(size), " abcdefghijklmnopqrstuvwx01 z".to_owned()].concat();
            assert!(!excerpt(text.as_bytes(), 60).contains("abc"));
        }
    }

    #[test]
    fn what_a_terminal_would_act_on_is_unprintable() {
        for c in "\0\t\n\r\u{1b}\u{7f}\u{9b}\u{ad}\u{200f}\u{2028}\u{2029}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}".chars() {
            assert!(is_unprintable(c), "{c:?}");
        }
        for c in " a~\u{a0}\u{e4}\u{200c}\u{200d}\u{3042}\u{1f600}\u{fffd}".chars() {
            assert!(!is_unprintable(c), "{c:?}");
        }
    }

    #[test]
    fn json_has_nothing_in_it_that_a_terminal_acts_on_and_says_the_same() {
        let text = "\u{1b}[2J\u{7f}\u{9b}31m\u{ad}\u{2028}\u{202e}\u{feff}\u{e0041}\n\t\"\\ \u{e4}\u{1f600}";
        let value = serde_json::json!({ text: [text, {"a": text}] });
        for json in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON") + "\n"] {
            let plain = plain_json(&json);
            assert!(!plain.chars().any(|c| c != '\n' && is_unprintable(c)), "{plain:?}");
            assert!(plain.contains("\\u009b31m\\u00ad\\u2028\\u202e\\ufeff\\udb40\\udc41\\n"), "{plain}");
            assert!(plain.contains("\u{e4}\u{1f600}"), "what can be read stays: {plain}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).expect("JSON"), value);
            assert_eq!(plain.lines().count(), json.lines().count());
        }
    }

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
