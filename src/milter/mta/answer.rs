//! Replies of the filter, read as strictly as both MTAs together.

use super::Violation;
use crate::milter::{Actions, Offer};
use crate::verdict::{BadHeader, Edit, HeaderName, HeaderValue};

/// The final reply of a filter to one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// OPTNEG: what the filter made of the offer.
    Negotiated(Offer),
    /// Go on.
    Continue,
    /// Go on without the filter: for the session at CONNECT and HELO, for the message later.
    Accept,
    /// Refuse for good, in the MTA's own words.
    Reject,
    /// Refuse for now, in the MTA's own words.
    Tempfail,
    /// Take the message and drop it.
    Discard,
    /// Do not send the rest of the body.
    Skip,
    /// Refuse in the filter's words (REPLYCODE).
    Reply {
        /// The reply code, 400 to 599.
        code: u16,
        /// The enhanced status code (RFC 3463), of the same class.
        enhanced: String,
        /// The lines of text without codes and with single percent signs, as the SMTP client sees them.
        lines: Vec<String>,
    },
}

impl Answer {
    /// Whether the event was refused, for now or for good.
    pub fn is_negative(&self) -> bool {
        matches!(self, Self::Reject | Self::Tempfail | Self::Reply { .. })
    }

    /// Whether the SMTP client is told to try again later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Tempfail | Self::Reply { code: ..500, .. })
    }

    /// Whether the MTA closes the SMTP connection after this reply.
    pub(super) fn is_shutdown(&self) -> bool {
        matches!(self, Self::Reply { code: 421, .. })
    }
}

/// A change to the message that the filter asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modification {
    /// A change to headers, envelope or body. All pieces of a new body are one change.
    Edit(Edit),
    /// Hold the message, for this reason.
    Quarantine(String),
}

/// What one packet says.
pub(super) enum Heard {
    Final(Answer),
    Progress,
    Modification(Modification),
}

/// Reads one reply packet to an event; whether it is possible at that event is not judged here.
pub(super) fn parse(code: u8, data: &[u8], agreed: Actions, leading_space: bool) -> Result<Heard, Violation> {
    let plain = |answer| if data.is_empty() { Ok(answer) } else { Err(Violation::Trailing(code)) };
    match code {
        b'c' => plain(Heard::Final(Answer::Continue)),
        b'a' => plain(Heard::Final(Answer::Accept)),
        b'r' => plain(Heard::Final(Answer::Reject)),
        b't' => plain(Heard::Final(Answer::Tempfail)),
        b'd' => plain(Heard::Final(Answer::Discard)),
        b's' => plain(Heard::Final(Answer::Skip)),
        b'p' => plain(Heard::Progress),
        b'y' => reply(data).map(Heard::Final),
        b'q' => {
            permit(agreed, Actions::QUARANTINE, "quarantine")?;
            let reason = text(only_string(code, data)?, "a reason for quarantine")?;
            Ok(Heard::Modification(Modification::Quarantine(reason)))
        }
        _ => {
            edit(code, data, agreed, leading_space).map(|edit| Heard::Modification(Modification::Edit(edit)))
        }
    }
}

fn edit(code: u8, data: &[u8], agreed: Actions, leading_space: bool) -> Result<Edit, Violation> {
    match code {
        b'h' => {
            permit(agreed, Actions::ADDHDRS, "adding header fields")?;
            let (name, value) = field(code, data)?;
            Ok(Edit::AddHeader(name, header_value(value, leading_space)?))
        }
        b'i' => {
            permit(agreed, Actions::ADDHDRS, "inserting header fields")?;
            let (index, data) = index(code, data)?;
            let (name, value) = field(code, data)?;
            Ok(Edit::InsertHeader(index, name, header_value(value, leading_space)?))
        }
        b'm' => {
            permit(agreed, Actions::CHGHDRS, "changing header fields")?;
            let (index, data) = index(code, data)?;
            if index == 0 {
                return Err(Violation::Index(0));
            }
            let (name, value) = field(code, data)?;
            if value.is_empty() {
                return Ok(Edit::DeleteHeader(index, name));
            }
            Ok(Edit::ChangeHeader(index, name, header_value(value, leading_space)?))
        }
        b'+' => {
            permit(agreed, Actions::ADDRCPT, "adding recipients")?;
            let address = text(only_string(code, data)?, "a recipient")?;
            Ok(Edit::AddRecipient { address, parameters: None })
        }
        b'2' => {
            permit(agreed, Actions::ADDRCPT_PAR, "adding recipients with parameters")?;
            let (address, parameters) = address(code, data)?;
            Ok(Edit::AddRecipient { address: text(address, "a recipient")?, parameters })
        }
        b'-' => {
            permit(agreed, Actions::DELRCPT, "deleting recipients")?;
            Ok(Edit::DeleteRecipient(text(only_string(code, data)?, "a recipient")?))
        }
        b'e' => {
            permit(agreed, Actions::CHGFROM, "changing the sender")?;
            let (address, parameters) = address(code, data)?;
            // An empty address is the null reverse-path.
            let address = if address.is_empty() { String::new() } else { text(address, "a sender")? };
            Ok(Edit::ChangeSender { address, parameters })
        }
        b'b' => {
            permit(agreed, Actions::CHGBODY, "replacing the body")?;
            Ok(Edit::ReplaceBody(bytes::Bytes::copy_from_slice(data)))
        }
        _ => Err(Violation::UnknownCode(code)),
    }
}

fn permit(agreed: Actions, needed: Actions, what: &'static str) -> Result<(), Violation> {
    if agreed.contains(needed) { Ok(()) } else { Err(Violation::NotAgreed(what)) }
}

/// One terminated string, and what follows it.
fn string(code: u8, data: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let end = memchr::memchr(0, data).ok_or(Violation::Unterminated(code))?;
    Ok((&data[..end], &data[end + 1..]))
}

fn only_string(code: u8, data: &[u8]) -> Result<&[u8], Violation> {
    let (string, rest) = string(code, data)?;
    if rest.is_empty() { Ok(string) } else { Err(Violation::Trailing(code)) }
}

fn index(code: u8, data: &[u8]) -> Result<(u32, &[u8]), Violation> {
    let (index, rest) = data.split_first_chunk().ok_or(Violation::Unterminated(code))?;
    let index = u32::from_be_bytes(*index);
    // To libmilter the index is a signed integer that must not be negative.
    if i32::try_from(index).is_ok() { Ok((index, rest)) } else { Err(Violation::Index(index)) }
}

fn field(code: u8, data: &[u8]) -> Result<(HeaderName, &[u8]), Violation> {
    let (name, rest) = string(code, data)?;
    let name = std::str::from_utf8(name).map_err(|_| BadHeader::Name)?;
    Ok((HeaderName::new(name)?, only_string(code, rest)?))
}

/// A value; where header values keep their leading blank, the one that belongs to the colon is taken off.
fn header_value(value: &[u8], leading_space: bool) -> Result<HeaderValue, Violation> {
    let value = std::str::from_utf8(value).map_err(|_| BadHeader::Value)?;
    let value = if leading_space { value.strip_prefix(' ').unwrap_or(value) } else { value };
    Ok(HeaderValue::new(value)?)
}

fn address(code: u8, data: &[u8]) -> Result<(&[u8], Option<String>), Violation> {
    let (address, rest) = string(code, data)?;
    if rest.is_empty() {
        return Ok((address, None));
    }
    let parameters = only_string(code, rest)?;
    // An empty list of parameters is legal: it is what a caller of libmilter gets who passes "".
    let parameters =
        if parameters.is_empty() { String::new() } else { text(parameters, "a list of parameters")? };
    Ok((address, Some(parameters)))
}

fn text(text: &[u8], what: &'static str) -> Result<String, Violation> {
    let text = std::str::from_utf8(text).map_err(|_| Violation::Text(what))?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Violation::Text(what));
    }
    Ok(text.to_owned())
}

/// Longest line without CRLF (RFC 5321, section 4.5.3.1.5), and most lines that libmilter takes.
const LINE: usize = 510;
const LINES: usize = 32;

/// Reads `ddd-d.d.d text CRLF … ddd d.d.d text NUL`.
fn reply(data: &[u8]) -> Result<Answer, Violation> {
    let bad = |why| Err(Violation::ReplyText(why));
    let Some((0, text)) = data.split_last() else { return Err(Violation::Unterminated(b'y')) };
    if text.contains(&0) {
        return bad("with a NUL inside");
    }
    let Ok(text) = std::str::from_utf8(text) else { return bad("that is not ASCII") };
    let wire: Vec<&str> = text.split("\r\n").collect();
    if wire.len() > LINES {
        return bad("of more than 32 lines");
    }
    let mut codes = None;
    let mut lines = Vec::with_capacity(wire.len());
    for (n, line) in wire.iter().enumerate() {
        if line.bytes().any(|octet| !matches!(octet, b' '..=b'~')) {
            return bad("with an octet that is not printable ASCII");
        }
        let Some(line) = percent(line) else { return bad("with a single percent sign") };
        if line.len() > LINE {
            return bad("with a line of more than 510 octets");
        }
        let Some((code, mark, enhanced, text)) = split(&line) else {
            return bad("that does not begin with reply code and enhanced status code");
        };
        if (mark == b' ') != (n + 1 == wire.len()) {
            return bad("whose hyphens do not mark all lines but the last");
        }
        if code.as_bytes()[0] != enhanced.as_bytes()[0] {
            return bad("whose codes are not of one class");
        }
        if *codes.get_or_insert((code.to_owned(), enhanced.to_owned())) != (code.into(), enhanced.into()) {
            return bad("whose lines differ in their codes");
        }
        lines.push(text.to_owned());
    }
    match codes.map(|(code, enhanced)| (code.parse(), enhanced)) {
        Some((Ok(code), enhanced)) => Ok(Answer::Reply { code, enhanced, lines }),
        _ => bad("that is empty"),
    }
}

/// Undoes the doubling of percent signs; both MTAs take the text for a format.
fn percent(line: &str) -> Option<String> {
    let mut pairs = line.split("%%");
    pairs.all(|part| !part.contains('%')).then(|| line.replace("%%", "%"))
}

/// Takes `550-5.7.1 text` apart.
fn split(line: &str) -> Option<(&str, u8, &str, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    let (&mark, _) = rest.as_bytes().split_first()?;
    let (enhanced, text) = rest.get(1..)?.split_once(' ')?;
    let legal = matches!(code.as_bytes(), [b'4' | b'5', b'0'..=b'9', b'0'..=b'9'])
        && matches!(mark, b' ' | b'-')
        && is_enhanced(enhanced);
    legal.then_some((code, mark, enhanced, text))
}

fn is_enhanced(text: &str) -> bool {
    let number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit());
    let mut parts = text.split('.');
    matches!(parts.next(), Some("4" | "5")) && parts.clone().count() == 2 && parts.all(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_text_is_taken_apart() {
        assert_eq!(
            reply(b"550-5.7.1 100%% listed\r\n550 5.7.1 see below\0"),
            Ok(Answer::Reply {
                code: 550,
                enhanced: "5.7.1".into(),
                lines: vec!["100% listed".into(), "see below".into()]
            })
        );
    }

    // case: 55
    #[test]
    fn a_text_that_endangers_smtp_is_a_violation() {
        let long = format!("550 5.7.1 {}\0", "x".repeat(501));
        let many = format!("{}550 5.7.1 x\0", "550-5.7.1 x\r\n".repeat(32));
        for bad in [
            &b"550 5.7.1 no"[..],
            b"",
            b"\0",
            b"550\0",
            b"550 no\0",
            b"550 5.7.1\0",
            b"250 2.0.0 ok\0",
            b"550 4.7.1 no\0",
            b"550 5.7 no\0",
            b"550 5.7.1.1 no\0",
            b"550 5.7.1000 no\0",
            b"5500 5.7.1 no\0",
            b"550-5.7.1 no\0",
            b"550+5.7.1 one\r\n550 5.7.1 two\0",
            b"550 5.7.1 one\r\n550 5.7.1 two\0",
            b"550-5.7.1 one\r\n551 5.7.1 two\0",
            b"550-5.7.1 one\r\n550 5.7.2 two\0",
            b"550-5.7.1 one\n550 5.7.1 two\0",
            b"550 5.7.1 one\r\n\0",
            b"550 5.7.1 one\r\n250 ok\0",
            b"550 5.7.1 a\0b\0",
            b"550 5.7.1 100%\0",
            b"550 5.7.1 100%%%\0",
            b"550 5.7.1 a\tb\0",
            b"550 5.7.1 a\x7fb\0",
            b"550 5.7.1 caf\xc3\xa9\0",
            b"550 5.7.1 caf\xe9\0",
            long.as_bytes(),
            many.as_bytes(),
        ] {
            assert!(reply(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert!(reply(format!("550 5.7.1 {}\0", "x".repeat(500)).as_bytes()).is_ok());
        assert!(reply(format!("{}550 5.7.1 x\0", "550-5.7.1 x\r\n".repeat(31)).as_bytes()).is_ok());
    }
}
