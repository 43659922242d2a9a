//! IPv6 networks in rbldnsd's notation.

use std::net::Ipv6Addr;

use super::fault::{Wrong, wrong};

/// An IPv4-mapped address, its IPv4 part aside (RFC 4291, section 2.5.5.2).
const MAPPED: u128 = 0xffff << 32;

fn invalid() -> Wrong {
    wrong("not an IPv6 address or network", "write 2001:db8::1 or 2001:db8::/32")
}

/// The hosts of a network of so many bits, as ones.
pub(super) fn hosts(bits: u32) -> u128 {
    u128::MAX.checked_shr(bits).unwrap_or(0)
}

/// A network: `2001:db8::/32`, an address, or its first groups: `2001:db8:1:2` is a /64. Gives the first address, the
/// number of bits and what follows.
pub(super) fn network(text: &[u8]) -> Result<(u128, u32, &[u8]), Wrong> {
    let (address, bits, rest) = prefix(text).ok_or_else(invalid)?;
    let (bits, rest) = match rest.strip_prefix(b"/") {
        Some(rest) => {
            let end = rest.iter().position(|octet| !octet.is_ascii_digit()).unwrap_or(rest.len());
            let bits = std::str::from_utf8(&rest[..end]).ok().and_then(|bits| bits.parse().ok());
            (bits.filter(|bits| *bits <= 128).ok_or_else(invalid)?, &rest[end..])
        }
        None if bits == 16 => return Err(wrong("a single group", "write 2001::/16")),
        None => (bits, rest),
    };
    if address & hosts(bits) != 0 {
        let network = Ipv6Addr::from_bits(address & !hosts(bits));
        return Err(wrong(
            "the address is not the first one of its network",
            format!("write {network}/{bits}, or the address alone"),
        ));
    }
    Ok((address, bits, rest))
}

/// A network of IPv4-mapped addresses as one of IPv4.
pub(super) fn mapped(address: u128, bits: u32) -> Option<(u32, u32)> {
    let bits = bits.checked_sub(96)?;
    let ip4 = u32::try_from(address ^ MAPPED).ok()?;
    Some((ip4, bits))
}

/// One to eight groups with at most one `::`; the address, how many bits were given, and what follows.
fn prefix(text: &[u8]) -> Option<(u128, u32, &[u8])> {
    let mut words = [0_u16; 8];
    let (mut count, mut gap) = (0, None);
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        (gap, rest) = (Some(0), after);
    }
    loop {
        let Some((word, after)) = group(rest) else {
            // Only a gap may stand at the end.
            if gap == Some(count) {
                break;
            }
            return None;
        };
        words[count] = word;
        count += 1;
        rest = after;
        if count == words.len() {
            break;
        }
        let Some(after) = rest.strip_prefix(b":") else { break };
        rest = after;
        if let (None, Some(after)) = (gap, rest.strip_prefix(b":")) {
            (gap, rest) = (Some(count), after);
        }
    }
    let bits = match gap {
        // There is nothing left for the gap to stand for.
        Some(_) if count == words.len() => return None,
        Some(gap) => {
            words[gap..].rotate_right(8 - count);
            128
        }
        None => 16 * u32::try_from(count).ok()?,
    };
    Some((Ipv6Addr::from(words).to_bits(), bits, rest))
}

/// One to four hexadecimal digits.
fn group(text: &[u8]) -> Option<(u16, &[u8])> {
    let end = text.iter().position(|octet| !octet.is_ascii_hexdigit()).unwrap_or(text.len());
    let digits = std::str::from_utf8(text.get(..end.min(5))?).ok()?;
    Some((u16::from_str_radix(digits, 16).ok()?, &text[end..]))
}
