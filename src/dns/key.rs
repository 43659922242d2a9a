//! The account key, which nothing can print.
//!
//! The key is one label of every queried name. It may appear on the wire to the name server and
//! nowhere else: no `Display`, a `Debug` that shows nothing, no serialisation, wiped when dropped.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Longest label (RFC 1035, section 2.3.4).
const LONGEST: usize = 63;

/// Shorter texts than this may be ordinary words.
const TELLING: usize = 20;

/// What the sample files of several programs put where the key belongs, without punctuation.
const PLACEHOLDERS: [&str; 6] = ["replaceme", "changeme", "yourkey", "dqskey", "apikey", "examplekey"];

/// The label that names the account at Spamhaus DQS: 1 to 63 letters, digits and inner hyphens.
///
/// Keys are 26 characters long today; the length is not checked, since nothing promises it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<Box<[u8]>>);

/// Why a text cannot be a key. Never tells the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Nothing there.
    #[error("the key is empty")]
    Empty,
    /// More than one label can hold.
    #[error("the key is longer than 63 characters, which a DNS label cannot hold")]
    TooLong,
    /// The text of a sample file.
    #[error("the key is still the placeholder of the sample file")]
    Placeholder,
    /// A dot would make two labels of it, a blank or an underscore is a slip of the clipboard.
    #[error("the key holds something other than letters, digits and hyphens")]
    Character,
    /// No label begins or ends so (RFC 1123, section 2.1).
    #[error("the key begins or ends with a hyphen")]
    Hyphen,
}

impl Key {
    /// Reads a key, exactly as it stands: blanks and line ends are the caller's to trim.
    ///
    /// # Errors
    /// [`BadKey`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, BadKey> {
        if text.is_empty() {
            return Err(BadKey::Empty);
        }
        if text.len() > LONGEST {
            return Err(BadKey::TooLong);
        }
        if is_placeholder(text) {
            return Err(BadKey::Placeholder);
        }
        if !text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            return Err(BadKey::Character);
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(BadKey::Hyphen);
        }
        Ok(Self(Zeroizing::new(text.as_bytes().into())))
    }

    /// Whether a text holds the key, in upper or lower case. A key of less than 20 characters is
    /// never found: it may be part of any word.
    pub fn stands_in(&self, text: &str) -> bool {
        self.0.len() >= TELLING
            && text.as_bytes().windows(self.0.len()).any(|piece| piece.eq_ignore_ascii_case(&self.0))
    }

    /// Tells keys apart without telling them: the first four hexadecimal digits of the key's SHA-256. Case does
    /// not count, as in DNS.
    pub fn fingerprint(&self) -> String {
        let lower = Zeroizing::new(self.0.to_ascii_lowercase());
        let digest = Sha256::digest(&*lower);
        format!("{:02x}{:02x}", digest[0], digest[1])
    }

    /// The label.
    pub(crate) fn label(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

fn is_placeholder(text: &str) -> bool {
    let letters: Zeroizing<String> = Zeroizing::new(
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect(),
    );
    PLACEHOLDERS.iter().any(|placeholder| letters.contains(placeholder))
}

#[cfg(test)]
mod tests {
    use super::{BadKey, Key};

    // case: Q09
    #[test]
    fn a_key_is_one_label_of_any_length_that_fits() {
        for length in [1, 26, 27, 63] {
            assert!(Key::new(&"k".repeat(length)).is_ok(), "{length}");
        }
        assert_eq!(Key::new(&"k".repeat(64)).err(), Some(BadKey::TooLong));
        assert!(Key::new("abc-DEF-012").is_ok());
    }

    // case: Q11, Q12
    #[test]
    fn what_cannot_be_a_key_is_refused_without_being_shown() {
        for (text, why) in [
            ("", BadKey::Empty),
            ("REPLACE_ME_WITH_YOUR_DQS_KEY", BadKey::Placeholder),
            ("your_DQS_key", BadKey::Placeholder),
            ("your-dqs-key", BadKey::Placeholder),
            ("changeme", BadKey::Placeholder),
            ("a.b", BadKey::Character),
            ("two words", BadKey::Character),
            ("abcdefgh\n", BadKey::Character),
            ("abc_def", BadKey::Character),
            ("\u{e4}bc", BadKey::Character),
            ("-abc", BadKey::Hyphen),
            ("abc-", BadKey::Hyphen),
        ] {
            let refused = Key::new(text).expect_err(text);
            assert_eq!(refused, why, "{text}");
            assert!(text.is_empty() || !refused.to_string().contains(text.trim()), "{text}");
        }
    }

    #[test]
    fn a_key_is_found_in_a_text_whatever_its_case() {
        let key = Key::new("abcdefghij0123456789klmnop").expect("a key");
        assert!(key.stands_in("https://x.example/ABCDEFGHIJ0123456789klmnop/"));
        assert!(!key.stands_in("abcdefghij0123456789klmno") && !key.stands_in(""));
        assert!(!Key::new("mail").expect("a key").stands_in("mail.example"));
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_nothing_else() {
        let key = |text| Key::new(text).expect("a key");
        assert_eq!(key("abc").fingerprint(), "ba78");
        assert_eq!(key("ABC").fingerprint(), "ba78");
        assert_ne!(key("abd").fingerprint(), "ba78");
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = Key::new("s3cr3tlabel").expect("a key");
        assert_eq!(format!("{key:?} {:?}", Some(&key)), "Key(***) Some(Key(***))");
    }
}
