//! Commands: what the MTA tells the filter.

use super::{Frame, Offer, ProtocolError};

/// One command of the MTA. The names are those of libmilter's callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// OPTNEG, what the MTA offers.
    Negotiate(Offer),
    /// Macros for the command with this letter, as `name NUL value NUL …`.
    Macros {
        /// The letter of the command to come.
        command: u8,
        /// The pairs.
        pairs: &'a [u8],
    },
    /// A client connected.
    Connect {
        /// The host name, `[address]` if it has none.
        name: &'a [u8],
        /// `4`, `6`, `L` (local socket) or anything else (unknown).
        family: u8,
        /// The client's port, 0 if there is none.
        port: u16,
        /// The address or path as text.
        address: &'a [u8],
    },
    /// HELO or EHLO.
    Helo(&'a [u8]),
    /// MAIL: address and parameters.
    Mail(Strings<'a>),
    /// RCPT: address and parameters.
    Rcpt(Strings<'a>),
    /// DATA.
    Data,
    /// A header field.
    Header {
        /// The name, never empty.
        name: &'a [u8],
        /// The value, folded with line feeds.
        value: &'a [u8],
    },
    /// The end of the header section.
    EndOfHeaders,
    /// A piece of the body.
    Body(&'a [u8]),
    /// The end of the message, with a last piece of the body that neither Postfix nor Sendmail ever sends.
    EndOfMessage(&'a [u8]),
    /// A command that the MTA does not know.
    Unknown(&'a [u8]),
    /// The message is given up; connection data stays.
    Abort,
    /// The end of the session.
    Quit,
    /// The end of the session; the next one follows on the same socket. No known MTA sends it.
    QuitNewConnection,
}

/// One or more NUL-terminated strings: an address and its ESMTP parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    /// Takes terminated strings. An unterminated last one is dropped, as libmilter does.
    pub fn new(data: &'a [u8]) -> Option<Self> {
        memchr::memrchr(0, data).map(|end| Self(&data[..=end]))
    }

    /// The first string: the address.
    pub fn first(self) -> &'a [u8] {
        self.iter().next().unwrap_or_default()
    }

    /// All strings.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.0[..self.0.len() - 1].split(|&octet| octet == 0)
    }
}

impl<'a> Command<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// [`ProtocolError`] if the packet is none that an MTA could mean. libmilter leaves some of them
    /// unanswered, and the MTA then waits for its whole timeout; closing is kinder.
    pub fn parse(frame: Frame<'a>) -> Result<Self, ProtocolError> {
        let data = frame.data;
        Ok(match frame.code {
            b'O' => Self::Negotiate(Offer::parse(data)?),
            b'D' => {
                let (&command, pairs) = data.split_first().ok_or(ProtocolError::Malformed("MACRO"))?;
                Self::Macros { command, pairs }
            }
            b'C' => connect(data).ok_or(ProtocolError::Malformed("CONNECT"))?,
            b'H' => Self::Helo(string(data).ok_or(ProtocolError::Malformed("HELO"))?.0),
            b'M' => Self::Mail(Strings::new(data).ok_or(ProtocolError::Malformed("MAIL"))?),
            b'R' => Self::Rcpt(Strings::new(data).ok_or(ProtocolError::Malformed("RCPT"))?),
            b'T' => Self::Data,
            b'L' => header(data).ok_or(ProtocolError::Malformed("HEADER"))?,
            b'N' => Self::EndOfHeaders,
            b'B' => Self::Body(data),
            b'E' => Self::EndOfMessage(data),
            b'U' => Self::Unknown(string(data).map_or(data, |(line, _)| line)),
            b'A' => Self::Abort,
            b'Q' => Self::Quit,
            b'K' => Self::QuitNewConnection,
            code => return Err(ProtocolError::UnknownCommand(code)),
        })
    }

    /// Appends the command to `out` as a packet.
    pub fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Negotiate(offer) => offer.put(&[], out),
            Self::Macros { command, pairs } => Frame::put(b'D', &[&[command], pairs], out),
            Self::Connect { name, family, port, address } => match family {
                b'4' | b'6' | b'L' => {
                    Frame::put(b'C', &[name, b"\0", &[family], &port.to_be_bytes(), address, b"\0"], out);
                }
                _ => Frame::put(b'C', &[name, b"\0", &[family]], out),
            },
            Self::Helo(name) => Frame::put(b'H', &[name, b"\0"], out),
            Self::Mail(strings) => Frame::put(b'M', &[strings.0], out),
            Self::Rcpt(strings) => Frame::put(b'R', &[strings.0], out),
            Self::Data => Frame::put(b'T', &[], out),
            Self::Header { name, value } => Frame::put(b'L', &[name, b"\0", value, b"\0"], out),
            Self::EndOfHeaders => Frame::put(b'N', &[], out),
            Self::Body(chunk) => Frame::put(b'B', &[chunk], out),
            Self::EndOfMessage(chunk) => Frame::put(b'E', &[chunk], out),
            Self::Unknown(line) => Frame::put(b'U', &[line, b"\0"], out),
            Self::Abort => Frame::put(b'A', &[], out),
            Self::Quit => Frame::put(b'Q', &[], out),
            Self::QuitNewConnection => Frame::put(b'K', &[], out),
        }
    }
}

/// The text up to the first NUL, and what follows it.
fn string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let nul = memchr::memchr(0, data)?;
    Some((&data[..nul], &data[nul + 1..]))
}

fn connect(data: &[u8]) -> Option<Command<'_>> {
    let (name, rest) = string(data)?;
    let (&family, rest) = rest.split_first()?;
    if !matches!(family, b'4' | b'6' | b'L') {
        // Family U carries nothing more; one test client adds a port and an empty string all the same.
        return Some(Command::Connect { name, family, port: 0, address: b"" });
    }
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (address, _) = string(rest)?;
    Some(Command::Connect { name, family, port: u16::from_be_bytes(*port), address })
}

fn header(data: &[u8]) -> Option<Command<'_>> {
    let (name, rest) = string(data)?;
    let (value, _) = string(rest)?;
    (!name.is_empty()).then_some(Command::Header { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(code: u8, data: &[u8]) -> Result<Command<'_>, ProtocolError> {
        Command::parse(Frame { code, data })
    }

    #[test]
    fn connect_is_read_in_all_families() {
        assert_eq!(
            parse(b'C', b"client.example\x004\x20\x01192.0.2.2\0"),
            Ok(Command::Connect {
                name: b"client.example",
                family: b'4',
                port: 0x2001,
                address: b"192.0.2.2"
            })
        );
        let unknown = Command::Connect { name: b"localhost", family: b'U', port: 0, address: b"" };
        assert_eq!(parse(b'C', b"localhost\0U"), Ok(unknown));
        assert_eq!(parse(b'C', b"localhost\0U\0\0\0"), Ok(unknown));
        for broken in [
            &b""[..],
            b"host",
            b"host\0",
            b"host\x004",
            b"host\x004\0",
            b"host\x004\0\0",
            b"host\x004\0\x001.2",
        ] {
            assert_eq!(parse(b'C', broken), Err(ProtocolError::Malformed("CONNECT")), "{broken:?}");
        }
    }

    #[test]
    fn addresses_come_with_their_parameters() {
        let Ok(Command::Mail(strings)) = parse(b'M', b"<a@example.com>\0SIZE=1\0half") else {
            panic!("MAIL")
        };
        assert_eq!(strings.first(), b"<a@example.com>");
        assert_eq!(strings.iter().collect::<Vec<_>>(), [&b"<a@example.com>"[..], b"SIZE=1"]);
        let Ok(Command::Mail(null)) = parse(b'M', b"\0") else { panic!("MAIL") };
        assert_eq!(null.iter().collect::<Vec<_>>(), [b""]);
        assert_eq!(parse(b'M', b""), Err(ProtocolError::Malformed("MAIL")));
        assert_eq!(parse(b'R', b"<a@example.com>"), Err(ProtocolError::Malformed("RCPT")));
    }

    #[test]
    fn headers_need_a_name_and_both_terminators() {
        assert_eq!(parse(b'L', b"X\0a\n b\0third\0"), Ok(Command::Header { name: b"X", value: b"a\n b" }));
        assert_eq!(parse(b'L', b"X\0\0"), Ok(Command::Header { name: b"X", value: b"" }));
        for broken in [&b""[..], b"X", b"X\0", b"X\0a", b"\0a\0"] {
            assert_eq!(parse(b'L', broken), Err(ProtocolError::Malformed("HEADER")), "{broken:?}");
        }
    }

    #[test]
    fn the_rest_is_read_as_libmilter_sends_it() {
        assert_eq!(parse(b'H', b""), Err(ProtocolError::Malformed("HELO")));
        assert_eq!(parse(b'H', b"x"), Err(ProtocolError::Malformed("HELO")));
        assert_eq!(parse(b'H', b"bad name here\0"), Ok(Command::Helo(b"bad name here")));
        assert_eq!(parse(b'U', b"WIBBLE\0"), Ok(Command::Unknown(b"WIBBLE")));
        assert_eq!(parse(b'U', b"WIBBLE"), Ok(Command::Unknown(b"WIBBLE")));
        assert_eq!(parse(b'D', b""), Err(ProtocolError::Malformed("MACRO")));
        assert_eq!(parse(b'D', b"H"), Ok(Command::Macros { command: b'H', pairs: b"" }));
        assert_eq!(parse(b'Z', b""), Err(ProtocolError::UnknownCommand(b'Z')));
    }
}
