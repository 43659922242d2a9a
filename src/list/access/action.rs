//! The words on the right side of an access map.
//!
//! Words are compared as a whole and in either case. What they lead to in which place is for
//! [`Search`](super::Search) to say.

use serde::{Deserialize, Serialize};

use crate::smtp::Reply;

use super::Syntax;

/// What a map says about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `OK`, `PERMIT`, `RELAY`; in Postfix' syntax also a number.
    Allow,
    /// `FRIEND`: allow; after `Spam:`, this recipient wants no checks.
    Friend,
    /// `HATER`: refuse; after `Spam:`, this recipient wants checks whatever else is allowed.
    Hater,
    /// `REJECT`, `ERROR`, `550 text`.
    Refuse(Denial),
    /// `TEMPFAIL`, `DEFER`, `450 text`.
    Defer(Denial),
    /// `DISCARD`: accept and drop.
    Discard,
    /// `QUARANTINE:text`, `HOLD text`: to the quarantine of the mail server, with this reason.
    Quarantine(Box<str>),
    /// `SKIP`, `DUNNO`: look no further, and say nothing.
    Skip,
    /// `NEXT`: go on with the next tag.
    Next,
    /// A word of other programs that says nothing about access: as if it were `SKIP`.
    Idle(&'static str),
}

/// A refusal in the words of the map, as far as it has any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The reply code, 400 to 599.
    pub code: u16,
    /// The enhanced status code (RFC 3463), of the same class.
    pub enhanced: Box<str>,
    /// The text, if the map has one.
    pub text: Option<Box<str>>,
}

impl Denial {
    /// 550 5.7.1, without a text.
    pub fn refusal() -> Self {
        Self { code: 550, enhanced: "5.7.1".into(), text: None }
    }

    /// 451 4.7.1, without a text.
    pub fn deferral() -> Self {
        Self { code: 451, enhanced: "4.7.1".into(), text: None }
    }

    /// The reply, with `words` where the map has none of its own.
    ///
    /// # Errors
    /// [`BadReply`](crate::smtp::BadReply) if these words are empty, too.
    pub fn reply(&self, words: &str) -> Result<Reply, crate::smtp::BadReply> {
        Reply::new(self.code, &self.enhanced, self.text.as_deref().unwrap_or(words))
    }

    fn with_text(mut self, text: &str) -> Self {
        let text = unquoted(text);
        self.text = (!text.is_empty()).then(|| text.into());
        self
    }
}

/// An action, and what its author should know about it.
pub(super) type Read = Result<(Action, Option<String>), String>;

/// Octets of a reason of a quarantine that surely reach the mail server, whose log has them in one line.
const REASON: usize = 380;

/// Words without a meaning here, of libsnert and Sendmail.
const IDLE: [&str; 7] = ["SUBJECT", "ENCR", "VERIFY", "TRAP", "TAG", "SAVE", "IREJECT"];
/// Words of Postfix that only Postfix can do.
const POSTFIX: [&str; 7] = ["FILTER", "REDIRECT", "PREPEND", "WARN", "INFO", "BCC", "DEFER_IF_REJECT"];
/// The beginnings of Postfix' restrictions, which can stand in its maps.
const RESTRICTIONS: [&str; 5] = ["PERMIT_", "REJECT_", "CHECK_", "DEFER_UNLESS", "WARN_IF"];
/// All others, to be named in an error.
const WORDS: &str =
    "OK, RELAY, REJECT, ERROR, DISCARD, TEMPFAIL, DEFER, QUARANTINE, HOLD, FRIEND, HATER, SKIP, DUNNO, NEXT";

impl Action {
    /// Reads one action. An error is a clause that says what is wrong with it.
    pub(super) fn read(value: &str, syntax: Syntax) -> Read {
        let value = value.trim();
        let end = value.find([' ', '\t', ':']).unwrap_or(value.len());
        let (word, rest) = value.split_at(end);
        if word.bytes().all(|octet| octet.is_ascii_digit()) && !word.is_empty() {
            return numeric(word, rest.trim(), syntax);
        }
        let mut text = rest.strip_prefix(':').unwrap_or(rest).trim();
        let word = word.to_ascii_uppercase();
        let mut notice = None;
        let action = match word.as_str() {
            "OK" | "PERMIT" | "RELAY" => Self::Allow,
            "FRIEND" => Self::Friend,
            "HATER" => Self::Hater,
            "DISCARD" => Self::Discard,
            "SKIP" | "DUNNO" => Self::Skip,
            "NEXT" => Self::Next,
            "REJECT" => Self::Refuse(Denial::refusal().with_text(text)),
            "TEMPFAIL" | "DEFER" | "DEFER_IF_PERMIT" => Self::Defer(Denial::deferral().with_text(text)),
            "QUARANTINE" | "HOLD" => Self::Quarantine(unquoted(text).into()),
            "ERROR" => return error(text),
            other => match (idle(other), syntax) {
                (Some(word), _) => {
                    text = "";
                    notice = Some(format!("{word} says nothing about access; it is taken as SKIP"));
                    Self::Idle(word)
                }
                (None, Syntax::Postfix) => {
                    let word = postfix(other).ok_or_else(|| unknown(&word, syntax))?;
                    text = "";
                    notice =
                        Some(format!("{word} is something that only Postfix can do; it is taken as DUNNO"));
                    Self::Idle(word)
                }
                (None, Syntax::Sendmail) => return Err(unknown(&word, syntax)),
            },
        };
        let takes_text = matches!(action, Self::Refuse(_) | Self::Defer(_) | Self::Quarantine(_));
        // Postfix allows and ignores a text here; what looks like a comment is none.
        if !takes_text && !text.is_empty() && syntax == Syntax::Sendmail {
            notice = Some(format!("what stands after {word} is ignored"));
        }
        if let Self::Quarantine(reason) = &action
            && reason.len() > REASON
        {
            notice = Some(format!("a reason of {} octets; what is beyond {REASON} is cut off", reason.len()));
        }
        Ok((action, notice))
    }
}

fn idle(word: &str) -> Option<&'static str> {
    IDLE.into_iter().find(|idle| *idle == word)
}

fn postfix(word: &str) -> Option<&'static str> {
    POSTFIX.into_iter().find(|own| *own == word)
}

fn unknown(word: &str, syntax: Syntax) -> String {
    let word = crate::smtp::excerpt(word.as_bytes(), 40);
    if RESTRICTIONS.iter().any(|start| word.starts_with(start)) {
        return format!(
            "{word} is a restriction of Postfix, which gatepost cannot evaluate; use one of {WORDS}"
        );
    }
    if syntax == Syntax::Sendmail && postfix(&word).is_some() {
        return format!(
            "{word} is a word of Postfix; say that the map is in its syntax, or use one of {WORDS}"
        );
    }
    format!("{word} is no action; use one of {WORDS}, or 550 and a text")
}

/// `550 text`, or in Postfix' syntax a number alone.
fn numeric(word: &str, text: &str, syntax: Syntax) -> Read {
    match (code(word), syntax) {
        // As made by programs that let in who has just fetched mail (access(5)).
        (_, Syntax::Postfix) if text.is_empty() => Ok((Action::Allow, None)),
        (Some(code), _) => Ok(denial(None, Some(code), text)),
        (None, _) => {
            let word = crate::smtp::excerpt(word.as_bytes(), 20);
            Err(format!("{word} is no reply code of a refusal; these are 400 to 599"))
        }
    }
}

/// What stands after `ERROR:`, as in Sendmail's `cf/README`: `D.S.N:ccc text`, `ccc text`.
fn error(value: &str) -> Read {
    let value = unquoted(value);
    let (enhanced, rest) = match value.split_once(':') {
        Some((status, rest)) if is_enhanced(status) => (Some(status), unquoted(rest)),
        _ => (None, value),
    };
    let end = rest.find([' ', '\t']).unwrap_or(rest.len());
    let (word, text) = rest.split_at(end);
    match code(word) {
        Some(code) => Ok(denial(enhanced, Some(code), text.trim())),
        None if word.len() == 3 && word.bytes().all(|octet| octet.is_ascii_digit()) => {
            Err(format!("{word} is no reply code of a refusal; these are 400 to 599"))
        }
        None => Ok(denial(enhanced, None, rest)),
    }
}

fn denial(enhanced: Option<&str>, code: Option<u16>, text: &str) -> (Action, Option<String>) {
    // Postfix writes the enhanced code in front of the text.
    let (enhanced, text) = match (enhanced, text.split_once([' ', '\t']).unwrap_or((text, ""))) {
        (None, (status, text)) if is_enhanced(status) => (Some(status), text),
        (enhanced, _) => (enhanced, text),
    };
    let class = enhanced.map(|status| &status[..1]);
    let code = code.unwrap_or(if class == Some("4") { 451 } else { 550 });
    let own = if code < 500 { "4" } else { "5" };
    let (enhanced, notice) = match enhanced {
        None => (format!("{own}.7.1"), None),
        Some(status) if class == Some(own) => (status.to_owned(), None),
        Some(status) => {
            let mended = format!("{own}{}", &status[1..]);
            let notice = format!("{code} and {status} contradict each other; {mended} is said");
            (mended, Some(notice))
        }
    };
    let denial = Denial { code, enhanced: enhanced.into(), text: None }.with_text(text);
    (if code < 500 { Action::Defer(denial) } else { Action::Refuse(denial) }, notice)
}

fn code(word: &str) -> Option<u16> {
    word.parse().ok().filter(|code| word.len() == 3 && (400..=599).contains(code))
}

/// `4.7.1`, `5.700.21`: what [`Reply`] takes.
fn is_enhanced(text: &str) -> bool {
    let is_number = |part: &str, digits: usize| {
        (1..=digits).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit())
    };
    let mut parts = text.split('.');
    let class = parts.next().is_some_and(|class| matches!(class, "4" | "5"));
    class && parts.clone().count() == 2 && parts.all(|part| is_number(part, 3))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_dqs_in_the_place_of_an_action_is_not_shown_nor_its_beginning() {
        let key = "abcdefghij0123456789klmnop";
        let words = (0..50).map(|before| format!("{}-{key}", "x".repeat(before)));
        let others = [key.to_owned(), format!("REJECT_{key}"), format!("{key}: OK")];
        for value in words.chain(others) {
            for syntax in [Syntax::Sendmail, Syntax::Postfix] {
                let cause = Action::read(&value, syntax).expect_err("no action");
                assert!(!cause.contains("ABC"), "{cause}");
            }
        }
        let cause = Action::read(&"1234567890".repeat(3), Syntax::Sendmail).expect_err("no code");
        assert!(!cause.contains("123"), "{cause}");
    }
}
