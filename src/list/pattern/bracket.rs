//! Bracket expressions of POSIX (`[a-z[:digit:]]`), octet by octet.
//!
//! In the C locale: a character is an octet, a range goes by its number. Names of collating elements
//! that are longer than one character are not known.

use std::fmt::Write as _;

use super::ere::EreError;

/// A set of octets.
struct Octets([bool; 256]);

/// Reads a bracket expression whose `[` has been read, and writes it as a class of the `regex` crate.
/// Returns how many octets it took, its `]` included.
///
/// The backslash stands for itself here, as do `&&`, `--` and `~~`, which the crate takes for set
/// operations: every octet is written by its number.
pub(super) fn translate(input: &[u8], out: &mut String) -> Result<usize, EreError> {
    let mut set = Octets([false; 256]);
    let negated = input.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let first = at;
    loop {
        if at > first && input.get(at) == Some(&b']') {
            break;
        }
        // In the middle, `-` is the sign of a range and nothing else (glibc: REG_ERANGE).
        if at > first && input.get(at) == Some(&b'-') && input.get(at + 1) != Some(&b']') {
            return Err(EreError::Range);
        }
        let (start, after) = element(input, at)?;
        at = after;
        let is_range = input.get(at) == Some(&b'-') && input.get(at + 1).is_some_and(|&next| next != b']');
        match start {
            Element::Class(holds) => {
                if is_range {
                    return Err(EreError::Range);
                }
                (0..=u8::MAX).filter(holds).for_each(|octet| set.0[usize::from(octet)] = true);
            }
            Element::Octet(low) if is_range => {
                let (end, after) = element(input, at + 1)?;
                at = after;
                match end {
                    Element::Octet(high) if low <= high => {
                        (low..=high).for_each(|octet| set.0[usize::from(octet)] = true);
                    }
                    _ => return Err(EreError::Range),
                }
            }
            Element::Octet(octet) => set.0[usize::from(octet)] = true,
        }
    }
    // The sign of negation is kept: both cases of a letter are added before it is applied, not after.
    out.push_str(if negated { "[^" } else { "[" });
    let mut octet = 0;
    while octet < 256 {
        if !set.0[octet] {
            octet += 1;
            continue;
        }
        let length = set.0[octet..].iter().take_while(|&&inside| inside).count();
        let _ = write!(out, "\\x{octet:02x}-\\x{:02x}", octet + length - 1);
        octet += length;
    }
    out.push(']');
    Ok(at + 1)
}

enum Element {
    Octet(u8),
    Class(fn(&u8) -> bool),
}

/// One element at `at`, and where the next one begins.
fn element(input: &[u8], at: usize) -> Result<(Element, usize), EreError> {
    let &octet = input.get(at).ok_or(EreError::OpenBracket)?;
    let (b'[', Some(&kind @ (b':' | b'.' | b'='))) = (octet, input.get(at + 1)) else {
        return Ok((Element::Octet(octet), at + 1));
    };
    let rest = &input[at + 2..];
    let end = rest.windows(2).position(|pair| pair == [kind, b']']).ok_or(EreError::OpenBracket)?;
    let name = &rest[..end];
    let element = match (kind, name) {
        (b':', name) => Element::Class(class(name).ok_or(EreError::Class)?),
        (_, &[single]) => Element::Octet(single),
        _ => return Err(EreError::Collating),
    };
    Ok((element, at + end + 4))
}

/// The classes of POSIX in the C locale.
fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alpha" => u8::is_ascii_alphabetic,
        b"digit" => u8::is_ascii_digit,
        b"alnum" => u8::is_ascii_alphanumeric,
        b"upper" => u8::is_ascii_uppercase,
        b"lower" => u8::is_ascii_lowercase,
        b"punct" => u8::is_ascii_punctuation,
        b"graph" => u8::is_ascii_graphic,
        b"cntrl" => u8::is_ascii_control,
        b"xdigit" => u8::is_ascii_hexdigit,
        b"blank" => |octet| matches!(octet, b' ' | b'\t'),
        b"space" => |octet| matches!(octet, b' ' | 0x09..=0x0d),
        b"print" => |octet| matches!(octet, 0x20..=0x7e),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Ere;

    #[test]
    fn classes_hold_what_they_hold_in_the_c_locale() {
        for (class, count, least, most) in [
            // Letters match in either case.
            ("alpha", 52, b'A', b'z'),
            ("upper", 52, b'A', b'z'),
            ("lower", 52, b'A', b'z'),
            ("digit", 10, b'0', b'9'),
            ("alnum", 62, b'0', b'z'),
            ("xdigit", 22, b'0', b'f'),
            ("punct", 32, b'!', b'~'),
            ("graph", 94, b'!', b'~'),
            ("print", 95, b' ', b'~'),
            ("cntrl", 33, 0, 0x7f),
            ("blank", 2, b'\t', b' '),
            ("space", 6, b'\t', b' '),
        ] {
            let ere = Ere::new(&format!("^[[:{class}:]]$")).expect(class);
            let inside: Vec<u8> = (0..=u8::MAX).filter(|octet| ere.is_match(&[*octet])).collect();
            assert_eq!((inside.len(), inside[0], inside[count - 1]), (count, least, most), "{class}");
        }
    }
}
