//! Member files: one address a line, as mailing-list managers export them.
//!
//! A line that cannot be read lets nobody in and is told of; it does not keep the other members out. A file that is no
//! text at all is not used. One without any line has no members: that is what an empty list exports.

use std::cmp::Ordering;

use super::key::Key;
use super::party::Party;
use crate::list::Fault;
use crate::smtp::excerpt;

/// Longest line that is read, in octets: a name and an address of the longest form (RFC 5321, section 4.5.3.1.3).
const LINE: usize = 1_024;

/// Lines that are told of; an export of another kind has a mistake in each one.
const TOLD: usize = 20;

/// Longest part of a line that is shown, in characters.
const EXCERPT: usize = 60;

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The addresses of a file, as compact as they can be: one text, and where each address ends in it, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    text: Box<str>,
    places: Box<[(u32, u32)]>,
}

impl Members {
    /// Reads a file. The second value tells of lines that let nobody in.
    ///
    /// # Errors
    /// The file is no text, or holds lines but not a single address.
    pub fn parse(octets: &[u8]) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let whole = |cause: &str, remedy: &str| Err(vec![Fault::whole(cause, remedy)]);
        match octets {
            [0x1f, 0x8b, ..] => return whole("the file is compressed", "unpack it with gunzip"),
            [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => return whole("the file is UTF-16", "save it as UTF-8"),
            // Places are numbers of 32 bits.
            octets if octets.len() > 1 << 30 => return whole("the file is larger than 1 GiB", "divide it"),
            octets if memchr::memchr(0, octets).is_some() => {
                return whole("it holds NUL: this is no text, or was damaged", "write the file anew");
            }
            _ => {}
        }
        let octets = octets.strip_prefix(MARK).unwrap_or(octets);
        let (mut text, mut places) = (String::with_capacity(octets.len()), Vec::new());
        let (mut faults, mut more) = (Vec::new(), 0_usize);
        for (number, line) in octets.split(|octet| *octet == b'\n').enumerate() {
            match address(line) {
                Ok(None) => {}
                Ok(Some(address)) => {
                    let start = text.len();
                    text.push_str(&address);
                    places.push((place(start), place(text.len())));
                }
                Err(why) if faults.len() < TOLD => {
                    let shown = excerpt(line, EXCERPT);
                    let cause = format!("\"{shown}\": {why}");
                    let remedy = "write one address a line, as in user@example.org".to_owned();
                    faults.push(Fault { line: number + 1, cause, remedy });
                }
                Err(_) => more += 1,
            }
        }
        if more > 0 {
            faults.push(Fault::whole(format!("and {more} more"), ""));
        }
        if places.is_empty() && !faults.is_empty() {
            return Err(faults);
        }
        places.sort_unstable_by(|a, b| slice(&text, *a).cmp(slice(&text, *b)));
        places.dedup_by(|a, b| slice(&text, *a) == slice(&text, *b));
        Ok((Self { text: text.into(), places: places.into() }, faults))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether somebody is one of them, with or without the detail of the address.
    pub fn contains(&self, party: &Party, delimiters: &str) -> bool {
        let Some(domain) = party.domain() else { return false };
        let has = |local: &str| self.has(&format!("{local}@{domain}"));
        !self.is_empty() && (has(party.local()) || party.without_detail(delimiters).is_some_and(has))
    }

    fn has(&self, address: &str) -> bool {
        let order = |range: &(u32, u32)| -> Ordering { slice(&self.text, *range).cmp(address) };
        self.places.binary_search_by(order).is_ok()
    }
}

fn place(at: usize) -> u32 {
    // Addresses may get longer as A-labels, but never four times.
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn slice(text: &str, (start, end): (u32, u32)) -> &str {
    text.get(start as usize..end as usize).unwrap_or_default()
}

/// The address of a line, which may have a name before it: `Name <user@example.org>`.
fn address(line: &[u8]) -> Result<Option<Box<str>>, &'static str> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    if line.len() > LINE {
        return Err("it is too long for a line with an address");
    }
    let line = std::str::from_utf8(line).map_err(|_| "it is no UTF-8")?;
    let bare = match line.rfind('<') {
        // What follows the bracket can only be a comment.
        Some(open) => {
            let inside = line[open..].split_once('>').ok_or("a bracket has no partner")?;
            let rest = inside.1.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err("something stands behind the address");
            }
            inside.0
        }
        None => line
            .split_once([' ', '\t'])
            .map_or(line, |(address, rest)| if rest.trim_start().starts_with('#') { address } else { line }),
    };
    match Key::parse(bare) {
        Ok(Key::Address(address)) => Ok(Some(address)),
        Ok(_) => Err("it is no single address"),
        Err(_) => Err("it is no address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Members {
        let (members, faults) = Members::parse(text.as_bytes()).expect("members");
        assert!(faults.is_empty(), "{faults:?}");
        members
    }

    fn holds(members: &Members, argument: &str) -> bool {
        members.contains(&Party::parse(argument.as_bytes()).expect("a party"), "+")
    }

    #[test]
    fn a_member_file_is_read_as_it_is_exported() {
        let members = members(
            "\u{feff}# members of announce\r\nAlice@Example.org\r\n\r\n  bob@b\u{fc}cher.example\t# since May\n\
             Carol Smith #2 <carol@example.net>\n\"D, E\" <d@example.net> # digest\nalice@example.ORG",
        );
        assert_eq!(members.len(), 4);
        for (argument, inside) in [
            ("<ALICE@example.org>", true),
            ("<alice+lists@example.org>", true),
            ("<bob@xn--bcher-kva.example>", true),
            ("<carol@example.net>", true),
            ("<d@example.net>", true),
            ("<alice@sub.example.org>", false),
            ("<alice>", false),
            ("<lice@example.org>", false),
            ("<alice@example.or>", false),
        ] {
            assert_eq!(holds(&members, argument), inside, "{argument}");
        }
    }

    #[test]
    fn a_wrong_line_lets_nobody_in_and_keeps_nobody_out() {
        let text = "alice@example.org\nbob\n@example.net\n*@example.net\nx <y@example.net> z\n\u{fc}@\n";
        let (members, faults) = Members::parse(text.as_bytes()).expect("members");
        assert_eq!(members.len(), 1);
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
        assert!(!holds(&members, "<bob@example.net>"));
    }

    #[test]
    fn a_line_is_as_long_as_a_name_and_the_longest_address() {
        let line =
            |octets: usize| format!("{} <a@example.org>\n", "x".repeat(octets - " <a@example.org>".len()));
        assert_eq!(members(&line(LINE)).len(), 1);
        for octets in [LINE + 1, LINE + 100] {
            let faults = Members::parse(line(octets).as_bytes()).expect_err("too long");
            assert!(faults[0].cause.ends_with("it is too long for a line with an address"), "{faults:?}");
            assert!(faults[0].cause.len() < 2 * EXCERPT);
        }
    }

    #[test]
    fn nobody_is_a_member_of_an_empty_list_and_what_is_no_text_is_no_list() {
        for text in ["", "\n\n", "# nobody\n"] {
            assert!(members(text).is_empty(), "{text:?}");
        }
        for (octets, why) in [
            (&b"alice@example.org\0"[..], "it holds NUL"),
            (b"\x1f\x8b\x08\x00", "the file is compressed"),
            (b"\xff\xfea\0", "the file is UTF-16"),
            (b"\xfe\xff\0a", "the file is UTF-16"),
            (b"no address at all\nand here\n", "\"no address at all\": it is no address"),
            (&vec![0; 1 << 30], "it holds NUL"),
            (&vec![0; (1 << 30) + 1], "the file is larger than 1 GiB"),
        ] {
            let faults = Members::parse(octets).expect_err("no text");
            assert!(faults[0].cause.starts_with(why), "{faults:?}");
        }
        let many = "x\n".repeat(1_000);
        assert_eq!(Members::parse(many.as_bytes()).expect_err("no address").len(), TOLD + 1);
    }

    #[test]
    fn a_hundred_thousand_members_take_little_more_room_than_their_file() {
        let lines: Vec<String> =
            (0..100_000).map(|n| format!("member-{n}@list-{}.example", n % 977)).collect();
        let text = lines.join("\n");
        let members = members(&text);
        assert_eq!(members.len(), 100_000);
        assert!(members.text.len() + 8 * members.places.len() < 2 * text.len());
        assert!(holds(&members, "<member-99999@list-345.example>"));
        assert!(!holds(&members, "<member-99999@list-346.example>"));
    }

    #[test]
    fn an_address_with_an_invisible_character_is_nobodys() {
        for c in ['\u{200b}', '\u{202e}', '\u{ad}', '\u{9b}'] {
            let text = format!("a@x.example\nb{c}@x.example\n");
            let (members, faults) = Members::parse(text.as_bytes()).expect("a list");
            assert!(members.len() == 1 && faults.len() == 1 && faults[0].line == 2, "{faults:?}");
        }
    }

    #[test]
    fn a_key_of_dqs_in_a_member_file_is_not_shown_nor_its_beginning() {
        for before in 0..70 {
            let text = format!("{} abcdefghij0123456789klmnop\n", "x".repeat(before));
            let faults = Members::parse(text.as_bytes()).expect_err("no address");
            assert!(!faults[0].to_string().contains("abc"), "{faults:?}");
        }
    }
}
