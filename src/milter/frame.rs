//! Packets: a length, a code octet, data.

use super::ProtocolError;
use crate::limits::Limits;

/// The longest packets, in octets, as in [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Longest {
    pub(super) frame: usize,
    pub(super) header_frame: usize,
    pub(super) negotiation_frame: usize,
}

/// One packet, borrowed from the receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The command or response code.
    pub code: u8,
    /// What follows it.
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes the first packet off `input`, and tells how many octets it took.
    ///
    /// `Ok(None)` means that more octets are needed. The declared length is checked as soon as it can be
    /// read and never used to allocate.
    ///
    /// # Errors
    /// [`ProtocolError::EmptyFrame`] and [`ProtocolError::Oversized`]; the connection cannot go on.
    pub fn take(input: &'a [u8], limits: &Limits) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Limits { frame, header_frame, negotiation_frame, .. } = *limits;
        Self::within(input, Longest { frame, header_frame, negotiation_frame })
    }

    /// The same, with nothing but the lengths.
    pub(super) fn within(input: &'a [u8], limits: Longest) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((length, rest)) = input.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        if length == 0 {
            return Err(ProtocolError::EmptyFrame);
        }
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        let widest = limits.header_frame.max(limits.frame);
        if size > widest {
            return Err(ProtocolError::Oversized { length, limit: widest });
        }
        let Some((&code, data)) = rest.split_first() else { return Ok(None) };
        let limit = match code {
            b'L' => limits.header_frame,
            b'O' => limits.negotiation_frame,
            _ => limits.frame,
        };
        if size > limit {
            return Err(ProtocolError::Oversized { length, limit });
        }
        Ok(data.get(..size - 1).map(|data| (Self { code, data }, 4 + size)))
    }

    /// Appends a packet to `out`.
    pub fn put(code: u8, data: &[&[u8]], out: &mut Vec<u8>) {
        let size = 1 + data.iter().map(|part| part.len()).sum::<usize>();
        // Everything this crate sends is far below 4 GiB: texts and header fields are bounded by their types.
        let length = u32::try_from(size).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.reserve(size);
        out.push(code);
        for part in data {
            out.extend_from_slice(part);
        }
    }
}

/// What speaks when the first four octets make an absurd length: a hint for whoever reads the log.
pub(super) fn guess(length: u32) -> &'static str {
    match length.to_be_bytes() {
        [b'G', b'E', b'T', b' '] | [b'P', b'O', b'S', b'T'] | [b'H', b'E', b'A', b'D'] => {
            " (an HTTP request?)"
        }
        [0x16, 0x03, ..] => " (a TLS handshake?)",
        [0x03, 0x00, ..] => " (a remote desktop client?)",
        [b'E', b'H', b'L', b'O'] | [b'H', b'E', b'L', b'O'] => " (an SMTP client?)",
        letters if letters.iter().all(u8::is_ascii_graphic) => " (text instead of packets)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, ProtocolError> {
        Frame::take(input, &Limits::default())
    }

    #[test]
    fn a_packet_is_taken_as_soon_as_its_last_octet_is_there() {
        let packet = b"\0\0\0\x05Habc\0rest";
        for short in 0..9 {
            assert_eq!(take(&packet[..short]), Ok(None));
        }
        assert_eq!(take(packet), Ok(Some((Frame { code: b'H', data: b"abc\0" }, 9))));
    }

    #[test]
    fn absurd_lengths_are_refused_before_their_data_comes() {
        assert_eq!(take(b"\0\0\0\0"), Err(ProtocolError::EmptyFrame));
        for length in [0x7fff_ffff_u32, 0x8000_0001, 0xffff_ffff] {
            let error = take(&length.to_be_bytes()).expect_err("oversized");
            assert!(matches!(error, ProtocolError::Oversized { .. }));
        }
        assert_eq!(take(&[0, 1, 0, 1]), Ok(None), "may still be a header");
        assert!(matches!(take(&[0, 1, 0, 1, b'M']), Err(ProtocolError::Oversized { limit: 65_536, .. })));
        assert_eq!(take(&[0, 1, 0, 1, b'L']), Ok(None));
        assert!(matches!(take(&[0, 0, 0x40, 0, b'O']), Err(ProtocolError::Oversized { .. })));
    }

    #[test]
    fn strangers_are_recognised() {
        for (first, hint) in [
            (&b"GET / HTTP/1.1"[..], "HTTP"),
            (b"\x16\x03\x01\x02\0", "TLS"),
            (b"\x03\0\0\x2f", "remote desktop"),
            (b"EHLO client.example", "SMTP"),
            (b"HELO client.example", "SMTP"),
            (b"SSH-2.0", "text instead of packets"),
        ] {
            let error = take(first).expect_err("no packet").to_string();
            assert!(error.contains(hint), "{error}");
        }
        let error = take(b"\xffSSH").expect_err("no packet").to_string();
        assert!(error.ends_with("allowed"), "no guess: {error}");
    }

    #[test]
    fn what_is_put_can_be_taken() {
        let mut out = Vec::new();
        Frame::put(b'y', &[b"550 5.7.1 no", b"\0"], &mut out);
        assert_eq!(take(&out), Ok(Some((Frame { code: b'y', data: b"550 5.7.1 no\0" }, out.len()))));
    }
}
