//! IPv4 addresses, networks and ranges in rbldnsd's notations.

use super::fault::{Wrong, wrong};

/// The first octets of an address, which octets that are missing make 0.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    address: u32,
    /// 8, 16, 24 or 32.
    bits: u32,
}

const INVALID: &str = "not an IPv4 address, network or range";
const EXAMPLES: &str = "write 192.0.2.1, 192.0.2.0/24 or 192.0.2.0-192.0.2.9";

fn invalid() -> Wrong {
    wrong(INVALID, EXAMPLES)
}

/// The hosts of a network of so many bits, as ones.
pub(super) fn hosts(bits: u32) -> u32 {
    u32::MAX.checked_shr(bits).unwrap_or(0)
}

/// A decimal number of at most `most`, and what follows it.
fn number(text: &[u8], most: u32) -> Option<(u32, &[u8])> {
    let mut value = None;
    let mut rest = text;
    while let Some((digit, after)) = rest.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
        let next = value.unwrap_or(0) * 10 + u32::from(digit - b'0');
        value = Some(next).filter(|next| *next <= most);
        value?;
        rest = after;
    }
    value.map(|value| (value, rest))
}

fn prefix(text: &[u8]) -> Option<(Prefix, &[u8])> {
    let (octet, mut rest) = number(text, 255)?;
    let mut prefix = Prefix { address: octet << 24, bits: 8 };
    while let (true, Some(after)) = (prefix.bits < 32, rest.strip_prefix(b".")) {
        let (octet, after) = number(after, 255)?;
        prefix.bits += 8;
        prefix.address |= octet << (32 - prefix.bits);
        rest = after;
    }
    Some((prefix, rest))
}

/// An `A` value: an address, or the last octet of 127.0.0.x. What lies between (`1.2`) lacks its middle octets, as it
/// does for rbldnsd and the C library.
pub(super) fn value(text: &[u8]) -> Option<(u32, &[u8])> {
    let (Prefix { address, bits }, rest) = prefix(text)?;
    let value = match bits {
        8 if address == 0 => 0,
        8 => 0x7f00_0000 | address >> 24,
        _ => short(address, bits),
    };
    (value != 0).then_some((value, rest))
}

/// An address in an `A` record of the format generic: a number alone is the last octet of 0.0.0.x.
pub(super) fn record(text: &[u8]) -> Option<u32> {
    let (Prefix { address, bits }, _) = prefix(text)?;
    Some(short(address, bits))
}

fn short(address: u32, bits: u32) -> u32 {
    let [a, b, c, _] = address.to_be_bytes();
    match bits {
        8 => a.into(),
        16 => u32::from_be_bytes([a, 0, 0, b]),
        24 => u32::from_be_bytes([a, b, 0, c]),
        _ => address,
    }
}

/// A network: `10.0.0.0/8`, `10/8`, `10.2` for 10.2.0.0/16, or an address. Gives the first address, the number of
/// bits and what follows.
pub(super) fn network(text: &[u8]) -> Result<(u32, u32, &[u8]), Wrong> {
    let (Prefix { address, bits }, rest) = prefix(text).ok_or_else(invalid)?;
    let (bits, rest) = match rest.strip_prefix(b"/") {
        Some(rest) => number(rest, 32).ok_or_else(invalid)?,
        None if bits == 8 => return Err(wrong("a number alone", "write 10/8 for 10.0.0.0/8")),
        None => (bits, rest),
    };
    if address & hosts(bits) != 0 {
        let network = std::net::Ipv4Addr::from_bits(address & !hosts(bits));
        return Err(wrong(
            "the address is not the first one of its network",
            format!("write {network}/{bits}, or the address alone"),
        ));
    }
    Ok((address, bits, rest))
}

/// A network, or a range: `10.0.0.1-10.0.0.9`, `10.2-10.4`, `10.2-4` for the same. Gives the first and last address and
/// what follows.
pub(super) fn range(text: &[u8]) -> Result<(u32, u32, &[u8]), Wrong> {
    let (first, rest) = prefix(text).ok_or_else(invalid)?;
    let Some(rest) = rest.strip_prefix(b"-") else {
        let (address, bits, rest) = network(text)?;
        // rbldnsd takes it for a slip of the pen here, unlike in ip4trie.
        if bits == 0 {
            return Err(wrong("all addresses there are", "write 0.0.0.0-255.255.255.255 if you mean it"));
        }
        return Ok((address, address | hosts(bits), rest));
    };
    let (last, rest) = prefix(rest).ok_or_else(invalid)?;
    let last = match last.bits {
        bits if bits == first.bits => last.address,
        // The last octet of the first end is the one that is meant.
        8 => first.address & !hosts(first.bits - 8) | last.address >> (first.bits - 8),
        _ => return Err(wrong("the ends of the range have not the same number of octets", EXAMPLES)),
    };
    let last = last | hosts(first.bits);
    if first.address > last {
        return Err(wrong("the range ends before it begins", "put the lower address first"));
    }
    Ok((first.address, last, rest))
}
