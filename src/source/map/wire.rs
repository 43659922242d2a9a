//! The socket map protocol of Sendmail and Postfix: octets to replies and back.
//!
//! No sockets here, and no meaning. A question is `name key` and a reply a word and perhaps a text, each in a netstring
//! (`5:hello,`); see `socketmap_table(5)`.

use std::fmt;

/// Longest reply in octets, which is Postfix' limit, too (`socketmap_table(5)`).
pub const REPLY: usize = 100_000;
/// Digits of that number.
const DIGITS: usize = 6;

/// What a server says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `OK value`.
    Found(&'a [u8]),
    /// `NOTFOUND`.
    NotFound,
    /// `TEMP reason`: it cannot tell now.
    Temporary(&'a [u8]),
    /// `TIMEOUT reason`: it got no answer itself.
    Timeout(&'a [u8]),
    /// `PERM reason`: it will never tell.
    Permanent(&'a [u8]),
}

/// Why what a server sent is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It announces more than [`REPLY`] octets.
    Length,
    /// It is no netstring.
    Form,
    /// The first word is none of the five.
    Word,
    /// More follows than was asked for.
    Extra,
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "it announces more than {REPLY} octets"),
            Self::Form => f.write_str("it is no netstring"),
            Self::Word => f.write_str("it begins with none of OK, NOTFOUND, TEMP, TIMEOUT and PERM"),
            Self::Extra => f.write_str("there is more behind it"),
        }
    }
}

/// The octets that ask for a key. Any key will do: its length stands before it.
pub fn query(name: &str, key: &str) -> Vec<u8> {
    format!("{}:{name} {key},", name.len() + 1 + key.len()).into_bytes()
}

/// Takes a netstring from the beginning of `octets`: what is in it, and how many octets it has as a whole. `None` if
/// there are not enough yet.
///
/// # Errors
/// [`Lie`] as soon as it is clear that there will be none.
pub fn take(octets: &[u8]) -> Result<Option<(&[u8], usize)>, Lie> {
    let digits = octets.iter().take_while(|octet| octet.is_ascii_digit()).count();
    if digits > DIGITS {
        return Err(Lie::Length);
    }
    match octets.get(digits) {
        None => return Ok(None),
        Some(b':') if digits > 0 && (digits == 1 || octets[0] != b'0') => {}
        Some(_) => return Err(Lie::Form),
    }
    let length = octets[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    if length > REPLY {
        return Err(Lie::Length);
    }
    let end = digits + 1 + length;
    match octets.get(end) {
        None => Ok(None),
        Some(b',') => Ok(Some((&octets[digits + 1..end], end + 1))),
        Some(_) => Err(Lie::Form),
    }
}

/// Reads a reply.
///
/// # Errors
/// [`Lie::Word`].
pub fn reply(octets: &[u8]) -> Result<Reply<'_>, Lie> {
    let end = memchr::memchr(b' ', octets).unwrap_or(octets.len());
    let text = octets.get(end + 1..).unwrap_or_default();
    match &octets[..end] {
        b"OK" => Ok(Reply::Found(text)),
        b"NOTFOUND" => Ok(Reply::NotFound),
        b"TEMP" => Ok(Reply::Temporary(text)),
        b"TIMEOUT" => Ok(Reply::Timeout(text)),
        b"PERM" => Ok(Reply::Permanent(text)),
        _ => Err(Lie::Word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_the_name_a_blank_and_the_key() {
        assert_eq!(query("access", "connect:192.0.2.9"), b"24:access connect:192.0.2.9,");
        assert_eq!(take(&query("a", "b,\u{e9}")), Ok(Some((&b"a b,\xc3\xa9"[..], 9))));
    }

    #[test]
    fn a_netstring_is_taken_when_it_is_whole_and_never_when_it_is_none() {
        for octets in [&b""[..], b"1", b"10:OK", b"5:OK va", b"6:OK val", b"100000:"] {
            assert_eq!(take(octets), Ok(None), "{octets:?}");
        }
        assert_eq!(take(b"0:,"), Ok(Some((&b""[..], 3))));
        assert_eq!(take(b"4:OK x,rest"), Ok(Some((&b"OK x"[..], 7))));
        for octets in [&b":"[..], b"a", b"05:OK va,", b"5OK", b"-1:", b"2:OK ", b"2:OKK,", b" 2:OK,"] {
            assert_eq!(take(octets), Err(Lie::Form), "{octets:?}");
        }
        for octets in [&b"100001:"[..], b"999999:", b"1234567", b"99999999999999999999"] {
            assert_eq!(take(octets), Err(Lie::Length), "{octets:?}");
        }
    }

    #[test]
    fn replies_are_told_by_their_first_word() {
        for (octets, expected) in [
            (&b"OK REJECT go away"[..], Ok(Reply::Found(&b"REJECT go away"[..]))),
            (b"OK ", Ok(Reply::Found(b""))),
            (b"OK", Ok(Reply::Found(b""))),
            (b"NOTFOUND ", Ok(Reply::NotFound)),
            (b"NOTFOUND", Ok(Reply::NotFound)),
            (b"TEMP later", Ok(Reply::Temporary(b"later"))),
            (b"TIMEOUT ", Ok(Reply::Timeout(b""))),
            (b"PERM no such map", Ok(Reply::Permanent(b"no such map"))),
            (b"ok x", Err(Lie::Word)),
            (b"OKAY", Err(Lie::Word)),
            (b"", Err(Lie::Word)),
        ] {
            assert_eq!(reply(octets), expected, "{octets:?}");
        }
    }
}
