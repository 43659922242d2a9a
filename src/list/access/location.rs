//! Where an access map lies, as an administrator writes it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The place of a map, and with it its kind: `text:/etc/mail/access`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// The source of `makemap` or `postmap`: keys and values, one pair a line.
    Text(PathBuf),
}

/// Why something is no place of a map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}; {remedy}")]
pub struct BadLocation {
    /// What is wrong.
    pub cause: String,
    /// What to write instead.
    pub remedy: String,
}

impl BadLocation {
    fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), remedy: remedy.into() }
    }
}

/// The kinds that there are, for those who named another one.
const KINDS: &str = "text:";
/// Berkeley DB, under the names that Sendmail and Postfix have for it. There is no reader that could be trusted with it.
const BERKELEY: [&str; 4] = ["hash", "btree", "dbm", "db"];

impl Location {
    /// Reads a place.
    ///
    /// # Errors
    /// [`BadLocation`]
    pub fn parse(text: &str) -> Result<Self, BadLocation> {
        let text = text.trim();
        let Some((kind, path)) = text.split_once(':') else {
            let remedy = format!("write the kind in front, as in text:{}", text_of(text).display());
            return Err(BadLocation::new("it does not say what kind of map it is", remedy));
        };
        let kind = kind.to_ascii_lowercase();
        if BERKELEY.contains(&kind.as_str()) || has_ending(path, "db") {
            return Err(berkeley(path));
        }
        match kind.as_str() {
            "text" | "texthash" => path_of(path).map(Self::Text),
            _ => {
                let kind = crate::smtp::printable(kind.as_bytes(), 40);
                let remedy = format!("the kinds are {KINDS}, as in text:/etc/mail/access");
                Err(BadLocation::new(format!("{kind}: is no kind of map"), remedy))
            }
        }
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Text(path) => Some(path),
        }
    }
}

impl fmt::Display for Location {
    /// As it is written: `text:/etc/mail/access`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(path) => write!(f, "text:{}", path.display()),
        }
    }
}

fn path_of(path: &str) -> Result<PathBuf, BadLocation> {
    if path.starts_with('/') && !path.contains(|c: char| c.is_control()) {
        Ok(path.into())
    } else {
        Err(BadLocation::new("it has no absolute path", "name the file as in text:/etc/mail/access"))
    }
}

/// The text that a database was made of, if it is named in the usual way.
fn text_of(path: &str) -> PathBuf {
    let is_db = has_ending(path, "db");
    let path = PathBuf::from(path);
    if is_db { path.with_extension("") } else { path }
}

fn has_ending(path: &str, ending: &str) -> bool {
    Path::new(path).extension().is_some_and(|own| own.eq_ignore_ascii_case(ending))
}

fn berkeley(path: &str) -> BadLocation {
    let path = crate::smtp::printable(text_of(path).as_os_str().as_encoded_bytes(), 200);
    BadLocation::new(
        "a Berkeley DB cannot be read",
        format!(
            "name the text that it is made of, as in text:{path}, or export it: makemap -u hash {path}.db > {path}, or \
             postmap -s hash:{path} > {path}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_and_shown_in_the_same_form() {
        let place = Location::parse(" TEXT:/etc/mail/access ").expect("a place");
        assert_eq!(place, Location::Text("/etc/mail/access".into()));
        assert_eq!(place.to_string(), "text:/etc/mail/access");
        assert_eq!(
            Location::parse("texthash:/etc/postfix/access"),
            Location::parse("text:/etc/postfix/access")
        );
    }

    #[test]
    fn what_is_no_place_says_what_to_write_instead() {
        for (text, cause, remedy) in [
            ("/etc/mail/access", "what kind", "text:/etc/mail/access"),
            ("/etc/mail/access.db", "what kind", "text:/etc/mail/access"),
            (
                "hash:/etc/mail/access",
                "Berkeley DB",
                "makemap -u hash /etc/mail/access.db > /etc/mail/access",
            ),
            ("text:/etc/mail/access.db", "Berkeley DB", "postmap -s hash:/etc/mail/access"),
            ("btree:/etc/postfix/access", "Berkeley DB", "text:/etc/postfix/access"),
            ("ldap:/etc/x", "ldap: is no kind", "the kinds are text:"),
            ("text:access", "no absolute path", "text:/etc/mail/access"),
            ("text:/etc/a\u{1}b", "no absolute path", "text:/etc/mail/access"),
        ] {
            let error = Location::parse(text).expect_err(text);
            assert!(error.cause.contains(cause) && error.remedy.contains(remedy), "{text}: {error}");
        }
    }
}
