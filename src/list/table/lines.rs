//! The lines of a file, whatever is in it.

use memchr::{memchr, memchr_iter};

use super::fault::Faults;

/// Longest line that is read to its end, in octets: a name or range of 260, a text of 255, and room for variables.
pub(super) const LONGEST: usize = 4_096;

/// Largest file, in octets: offsets are numbers of 32 bits, and what is read may take three times the room.
const LARGEST: usize = 1 << 30;

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One line without its end and the blanks around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) octets: &'a [u8],
    /// The line goes on, but its end is not read.
    pub(super) cut: bool,
    /// There is an end of line; the last line of a file may be without.
    pub(super) ended: bool,
}

/// Lines that hold anything. CR LF ends a line as LF does.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        while !self.rest.is_empty() {
            self.number += 1;
            let end = memchr(b'\n', self.rest);
            let (line, rest) = match end {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let cut = line.len() > LONGEST;
            let octets = trim(&line[..line.len().min(LONGEST)]);
            if !octets.is_empty() || cut {
                return Some(Line { number: self.number, octets, cut, ended: end.is_some() });
            }
        }
        None
    }
}

/// Without blanks and tabs at both ends.
fn trim(line: &[u8]) -> &[u8] {
    let is_text = |octet: &u8| !matches!(octet, b' ' | b'\t');
    let Some(start) = line.iter().position(is_text) else { return &[] };
    let end = line.iter().rposition(is_text).map_or(start, |last| last + 1);
    &line[start..end]
}

/// Whether a line holds what no text holds.
pub(super) fn has_control(line: &[u8]) -> bool {
    line.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t')
}

/// Takes off a byte order mark, and finds out whether this is a text at all.
///
/// A file without anything in it is what a full disk and a failed download leave, and hardly ever meant: a comment
/// makes a list that is to be empty.
pub(super) fn text<'a>(octets: &'a [u8], warnings: &mut Faults, errors: &mut Faults) -> &'a [u8] {
    match octets {
        octets if octets.strip_prefix(MARK).unwrap_or(octets).trim_ascii().is_empty() => errors.file(
            "there is nothing in it, as after a full disk or a failed download",
            "write it anew; if the list is to be empty, write a comment into it: # nothing",
        ),
        octets if octets.len() > LARGEST => errors.file("the file is larger than 1 GiB", "divide it"),
        [0x1f, 0x8b, ..] => errors.file("the file is compressed", "unpack it with gunzip"),
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => errors.file("the file is UTF-16", "save it as UTF-8"),
        _ => {
            if let Some(text) = octets.strip_prefix(MARK) {
                let cause = "the file begins with a byte order mark, which is passed over";
                warnings.file(cause, "save it without one");
                return text;
            }
            if let Some(nul) = memchr(0, octets) {
                let line = memchr_iter(b'\n', &octets[..nul]).count() + 1;
                let cause = "it holds NUL: this is no text, or was damaged when it was written";
                errors.at(line, cause, "write the file anew");
            }
            return octets;
        }
    }
    &[]
}
