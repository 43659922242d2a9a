//! What the parts of an address mean to all tables that know addresses.

use std::net::IpAddr;

/// A local part without its detail: up to the first of these delimiters that is not its first character.
pub(super) fn without_detail<'a>(local: &'a str, delimiters: &str) -> Option<&'a str> {
    let (at, _) = local.char_indices().skip(1).find(|&(_, c)| delimiters.contains(c))?;
    Some(&local[..at])
}

/// The address of an address literal, which may lack its tag; IPv4 where it is mapped into IPv6.
pub(super) fn literal(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let inside = match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => &inside[5..],
        _ => inside,
    };
    inside.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}
