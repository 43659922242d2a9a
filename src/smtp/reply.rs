//! An SMTP reply that cannot be malformed.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest reply line in octets without its CRLF (RFC 5321, section 4.5.3.1.5).
const LINE: usize = 510;
/// Most lines in one reply; libmilter refuses more.
const LINES: usize = 32;

/// A negative SMTP reply: code, enhanced status code and one or more lines of text.
///
/// By construction the code is 4yz or 5yz, the enhanced code is of the same class (RFC 3463), and
/// every line is printable ASCII of at most 510 octets. MTAs of the past have hung, leaked memory or
/// let a client read forged lines when a filter sent them anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reply {
    code: u16,
    enhanced: (u8, u16, u16),
    lines: Vec<String>,
}

/// Why a reply was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// The reply code is not three digits beginning with 4 or 5.
    #[error("the reply code must be 400 to 599")]
    Code,
    /// The enhanced status code is not `class.subject.detail`.
    #[error("the enhanced status code must be three numbers such as 5.7.1")]
    Enhanced,
    /// The classes of the two codes differ.
    #[error("the first digits of the reply code and of the enhanced status code must be the same")]
    Class,
    /// There is no text.
    #[error("the reply has no text")]
    Empty,
}

impl Reply {
    /// Builds a reply. Line feeds in `text` begin new lines; lines that are too long are wrapped,
    /// characters outside printable ASCII become `?`, and what exceeds 32 lines is cut.
    ///
    /// # Errors
    /// See [`BadReply`].
    pub fn new(code: u16, enhanced: &str, text: &str) -> Result<Self, BadReply> {
        if !(400..=599).contains(&code) {
            return Err(BadReply::Code);
        }
        let enhanced = parse_enhanced(enhanced).ok_or(BadReply::Enhanced)?;
        if u16::from(enhanced.0) != code / 100 {
            return Err(BadReply::Class);
        }
        let room = LINE - format!("{code} {}.{}.{} ", enhanced.0, enhanced.1, enhanced.2).len();
        let mut lines: Vec<String> = text
            .split('\n')
            .map(clean)
            .filter(|line| !line.is_empty())
            .flat_map(|line| wrap(&line, room))
            .collect();
        lines.truncate(LINES);
        if lines.is_empty() {
            return Err(BadReply::Empty);
        }
        Ok(Self { code, enhanced, lines })
    }

    /// The three-digit reply code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Whether the client may try again (4yz).
    pub fn is_temporary(&self) -> bool {
        self.code < 500
    }

    /// The enhanced status code, such as `5.7.1`.
    pub fn enhanced(&self) -> String {
        let (class, subject, detail) = self.enhanced;
        format!("{class}.{subject}.{detail}")
    }

    /// The lines of text, without codes.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The complete lines as they appear in SMTP, without CRLF: `550-5.7.1 …` and `550 5.7.1 …`.
    pub fn wire_lines(&self) -> impl Iterator<Item = String> + '_ {
        let enhanced = self.enhanced();
        let last = self.lines.len() - 1;
        self.lines.iter().enumerate().map(move |(n, line)| {
            let mark = if n == last { ' ' } else { '-' };
            format!("{}{mark}{enhanced} {line}", self.code)
        })
    }
}

impl fmt::Display for Reply {
    /// Code, enhanced code and text on one line, ` / ` between the lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.enhanced(), self.lines.join(" / "))
    }
}

impl FromStr for Reply {
    type Err = BadReply;

    /// Reads `550 5.7.1 text`.
    fn from_str(reply: &str) -> Result<Self, BadReply> {
        let (code, rest) = reply.split_once(' ').ok_or(BadReply::Code)?;
        let (enhanced, text) = rest.split_once(' ').ok_or(BadReply::Enhanced)?;
        let code = Some(code).filter(|code| code.len() == 3).and_then(|code| code.parse().ok());
        Self::new(code.ok_or(BadReply::Code)?, enhanced, text)
    }
}

impl TryFrom<String> for Reply {
    type Error = BadReply;

    fn try_from(reply: String) -> Result<Self, BadReply> {
        reply.parse()
    }
}

impl From<Reply> for String {
    fn from(reply: Reply) -> Self {
        format!("{} {} {}", reply.code, reply.enhanced(), reply.lines.join("\n"))
    }
}

fn parse_enhanced(text: &str) -> Option<(u8, u16, u16)> {
    let mut parts = text.split('.');
    let mut part = |digits: usize| -> Option<u16> {
        let part = parts.next()?;
        let plain = !part.is_empty() && part.len() <= digits && part.bytes().all(|b| b.is_ascii_digit());
        if plain { part.parse().ok() } else { None }
    };
    let (class, subject, detail) = (part(1)?, part(3)?, part(3)?);
    parts.next().is_none().then_some((u8::try_from(class).ok()?, subject, detail))
}

fn clean(line: &str) -> String {
    let shown: String = line
        .chars()
        .filter(|&c| c != '\r')
        .map(|c| match c {
            ' '..='~' => c,
            '\t' => ' ',
            _ => '?',
        })
        .collect();
    shown.trim().to_owned()
}

/// Cuts a line of ASCII into pieces of at most `room` octets, at a blank where there is one.
fn wrap(line: &str, room: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while rest.len() > room {
        let cut = rest[..room].rfind(' ').filter(|&at| at > 0).unwrap_or(room);
        let (piece, tail) = rest.split_at(cut);
        pieces.push(piece.trim_end().to_owned());
        rest = tail.trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest.to_owned());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_of_both_codes_must_agree() {
        assert_eq!(Reply::new(550, "4.7.1", "no"), Err(BadReply::Class));
        assert_eq!(Reply::new(250, "2.0.0", "ok"), Err(BadReply::Code));
        assert_eq!(Reply::new(550, "5.7", "no"), Err(BadReply::Enhanced));
        assert_eq!(Reply::new(550, "5.7.1.2", "no"), Err(BadReply::Enhanced));
        assert_eq!(Reply::new(550, "5.7.1", " \r\n "), Err(BadReply::Empty));
        assert_eq!(Reply::new(451, "4.7.1", "later").map(|r| r.to_string()), Ok("451 4.7.1 later".into()));
    }

    #[test]
    fn no_text_can_start_a_line_of_its_own_choosing() {
        let reply = Reply::new(550, "5.7.1", "no\r\n250 ok\u{0}\u{1b}[31m\u{e9}").expect("a reply");
        let lines: Vec<String> = reply.wire_lines().collect();
        assert_eq!(lines, ["550-5.7.1 no", "550 5.7.1 250 ok??[31m?"]);
    }

    #[test]
    fn long_lines_are_wrapped_below_the_limit_of_smtp() {
        let reply = Reply::new(550, "5.7.1", &"word ".repeat(400)).expect("a reply");
        let lines: Vec<String> = reply.wire_lines().collect();
        assert!(lines.len() > 3 && lines.iter().all(|line| line.len() <= 510));
        assert!(lines[..lines.len() - 1].iter().all(|line| line.starts_with("550-5.7.1 ")));
        let solid = Reply::new(550, "5.7.1", &"x".repeat(40_000)).expect("a reply");
        assert_eq!(solid.lines().len(), LINES);
    }

    #[test]
    fn a_reply_survives_being_stored() {
        let reply = Reply::new(550, "5.7.1", "one\ntwo").expect("a reply");
        let json = serde_json::to_string(&reply).expect("json");
        assert_eq!(serde_json::from_str::<Reply>(&json).expect("back"), reply);
        assert!(serde_json::from_str::<Reply>("\"250 2.0.0 ok\"").is_err());
    }
}
