//! The `$` lines of rbldnsd's files.
//!
//! What is about DNS, or about time, is understood and has no effect.

use super::fault::{Wrong, wrong};
use super::text::Substitutes;
use super::values::cut;

/// What a `$` line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Directive {
    /// Nothing that matters here.
    Ignored,
    /// A variable for texts was set.
    Substitute,
    /// The most addresses that an entry may cover from now on.
    MaxRange4(u32),
    /// From here on the file holds other lists, each in a format of its own.
    Dataset,
}

/// Names that have no effect here.
const IGNORED: [&str; 5] = ["soa", "ns", "nameserver", "ttl", "timestamp"];

/// The directive of a line, without what marks it (`$`, `#$`, `;$`, `:$`); `None` if it is no such line.
pub(super) fn of(line: &[u8]) -> Option<&[u8]> {
    match line {
        [b'$', directive @ ..] | [b'#' | b';' | b':', b'$', directive @ ..] => Some(directive),
        _ => None,
    }
}

/// Reads a directive. Variables go to `substitutes`.
pub(super) fn read(directive: &[u8], substitutes: &mut Substitutes) -> Result<Directive, Wrong> {
    let unknown = || wrong("an unknown directive, which is passed over", "see rbldnsd(8)");
    let blank = directive.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(directive.len());
    let (name, rest) = directive.split_at(blank);
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return Err(unknown());
    }
    match name {
        [name @ (b'0'..=b'9' | b'=')] => {
            substitutes.set(*name, &cut(rest).0);
            Ok(Directive::Substitute)
        }
        name if name.eq_ignore_ascii_case(b"maxrange4") => max_range(rest)
            .map(Directive::MaxRange4)
            .ok_or_else(|| wrong("not a number of addresses", "write $MAXRANGE4 256, or /24 for the same")),
        name if name.eq_ignore_ascii_case(b"dataset") => Ok(Directive::Dataset),
        name if IGNORED.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) => {
            Ok(Directive::Ignored)
        }
        _ => Err(unknown()),
    }
}

fn max_range(text: &[u8]) -> Option<u32> {
    let number =
        |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok().filter(|number| *number > 0);
    match text.strip_prefix(b"/") {
        Some(bits) => {
            let bits = number(bits).filter(|bits| *bits <= 32)?;
            Some(1 << (32 - bits))
        }
        None => number(text),
    }
}
