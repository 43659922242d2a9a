//! The DQS key: what it looks like, and that nobody sees it.

use std::fmt;

use zeroize::Zeroizing;

/// Longest key: it is one label of a DNS name (RFC 1035, section 2.3.4).
const LABEL: usize = 63;

/// A DQS key that is fit to be a label of a query name.
///
/// It has no `Display`, its `Debug` shows nothing of it, and its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<String>);

/// Why a text is no key. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// There is nothing.
    #[error("the key is empty")]
    Empty,
    /// More than 63 octets.
    #[error("the key is longer than 63 characters, which a DNS label cannot hold")]
    Length,
    /// Something else than letters, digits and hyphens, or a hyphen at an end.
    #[error("the key holds something else than letters, digits and inner hyphens")]
    Character,
    /// The text of an example file.
    #[error("the key is still the placeholder of an example")]
    Placeholder,
}

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// See [`BadKey`].
    pub fn new(text: &str) -> Result<Self, BadKey> {
        if text.is_empty() {
            return Err(BadKey::Empty);
        }
        if is_placeholder(text) {
            return Err(BadKey::Placeholder);
        }
        let legal = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        if !legal || text.starts_with('-') || text.ends_with('-') {
            return Err(BadKey::Character);
        }
        if text.len() > LABEL {
            return Err(BadKey::Length);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The key itself, for the one place that builds query names.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(set)")
    }
}

/// Whether the text is what examples print in place of a key. A real one is 26 random characters.
fn is_placeholder(text: &str) -> bool {
    let plain: String =
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|c| char::from(c.to_ascii_lowercase())).collect();
    let plain = Zeroizing::new(plain);
    plain.starts_with("replaceme")
        || plain.starts_with("changeme")
        || plain.starts_with("insert")
        || (plain.starts_with("your") && plain.ends_with("key"))
        || matches!(plain.as_str(), "key" | "apikey" | "dqskey" | "example" | "xxx" | "secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    // case: Q09
    #[test]
    fn a_key_may_fill_a_label_and_no_more() {
        for length in [1, 26, 27, 63] {
            assert!(Key::new(&"k".repeat(length)).is_ok(), "{length}");
        }
        assert_eq!(Key::new(&"k".repeat(64)), Err(BadKey::Length));
    }

    // case: Q12
    #[test]
    fn placeholders_and_broken_keys_are_refused() {
        for (text, why) in [
            ("", BadKey::Empty),
            ("REPLACE_ME_WITH_YOUR_DQS_KEY", BadKey::Placeholder),
            ("your_DQS_key", BadKey::Placeholder),
            ("your-dqs-key", BadKey::Placeholder),
            ("a.b", BadKey::Character),
            ("two words", BadKey::Character),
            ("-edge", BadKey::Character),
            ("edge-", BadKey::Character),
            ("caf\u{e9}", BadKey::Character),
        ] {
            assert_eq!(Key::new(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let key = Key::new("abcdefghij0123456789klmnop").expect("a key");
        assert_eq!(format!("{key:?}"), "Key(set)");
        assert_eq!(key.expose(), "abcdefghij0123456789klmnop");
    }
}
