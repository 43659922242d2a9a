//! The entries of plain lists.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::list::is_wide;
use crate::list::recipients::folded;
use crate::smtp::{Domain, NoDomain};

use super::fault::{Wrong, wrong};
use super::ip6;
use super::names::Reach;

/// Longest local part in octets: four times what SMTP has (RFC 5321, section 4.5.3.1.1), as some senders do it.
pub(super) const LOCAL: usize = 256;

/// The entry of a line, and what follows it: nothing, or blanks and more.
pub(super) fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut quoted = false;
    let mut escaped = false;
    let end = line.iter().position(|octet| {
        let was = std::mem::replace(&mut escaped, false);
        match octet {
            _ if was => {}
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b' ' | b'\t' => return !quoted,
            _ => {}
        }
        false
    });
    line.split_at(end.unwrap_or(line.len()))
}

/// Addresses, networks, or a range of IPv4 addresses as networks.
pub(super) fn networks(entry: &[u8], mut each: impl FnMut(IpNet)) -> Result<(), Wrong> {
    let invalid = || {
        wrong(
            "neither address nor network",
            "write 192.0.2.1, 192.0.2.0/24, 192.0.2.0-192.0.2.9 or 2001:db8::/32",
        )
    };
    let text = std::str::from_utf8(entry).map_err(|_| invalid())?;
    if let Some((first, last)) = text.split_once('-') {
        let (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) = (first.parse(), last.parse()) else {
            return Err(invalid());
        };
        if first > last {
            return Err(wrong("the range ends before it begins", "put the lower address first"));
        }
        for network in ipnet::Ipv4Subnets::new(first, last, 0) {
            each(network.into());
        }
        return Ok(());
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        each(ip.into());
        return Ok(());
    }
    let network: IpNet = text.parse().map_err(|_| invalid())?;
    if network.addr() != network.network() {
        return Err(wrong(
            "the address is not the first one of its network",
            format!("write {}, or the address alone", network.trunc()),
        ));
    }
    let mapped = |network: &IpNet| {
        let IpNet::V6(six) = network else { return None };
        let (four, bits) = ip6::mapped(six.network().to_bits(), six.prefix_len().into())?;
        ipnet::Ipv4Net::new(four.into(), u8::try_from(bits).ok()?).ok().map(IpNet::V4)
    };
    if is_wide(&mapped(&network).unwrap_or(network)) {
        let remedy =
            "name smaller networks; of IPv4 a range such as 224.0.0.0-255.255.255.255, if you mean it";
        return Err(wrong("it covers a large part of the Internet", remedy));
    }
    each(network);
    Ok(())
}

/// A domain, and what of it is meant.
pub(super) fn domain(entry: &[u8]) -> Result<(Cow<'_, str>, Reach), Wrong> {
    let (reach, name) = match entry {
        [b'*', b'.', name @ ..] => (Reach::Below, name),
        [b'.', name @ ..] => (Reach::Both, name),
        name => (Reach::Itself, name),
    };
    Ok((canonical(name)?, reach))
}

/// A name in the form of [`Domain`].
fn canonical(name: &[u8]) -> Result<Cow<'_, str>, Wrong> {
    let name =
        std::str::from_utf8(name).map_err(|_| wrong("not UTF-8", "write the domain as A-labels (xn--…)"))?;
    // Nearly all names stand in the file as they are looked up.
    let name = match ascii(name.as_bytes()) {
        Some(name) => name,
        None => match Domain::from_setting(name) {
            Ok(domain) => domain.as_str().to_owned().into(),
            Err(NoDomain::Empty) => {
                return Err(wrong("there is no domain", "write spam.example or .spam.example"));
            }
            Err(_) => {
                return Err(wrong("not a domain", "write spam.example, *.spam.example or .spam.example"));
            }
        },
    };
    // In whatever notation: UTS 46 knows other digits, and characters that are left out.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(wrong("an address, or no domain", "put addresses into a list of addresses"));
    }
    Ok(name)
}

/// A name of legal labels in lower case, without empty labels as in `a..example` and `example.`; `None` if no domain
/// can be called so.
pub(super) fn ascii(name: &[u8]) -> Option<Cow<'_, str>> {
    let is_label = |label: &[u8]| {
        let legal = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.iter().all(legal)
    };
    let text = std::str::from_utf8(name).ok()?;
    if name.len() <= 253 && name.split(|octet| *octet == b'.').all(is_label) {
        let is_lower = !name.iter().any(u8::is_ascii_uppercase);
        return Some(if is_lower { text.into() } else { text.to_ascii_lowercase().into() });
    }
    if !name.contains(&b'.') {
        return None;
    }
    let labels: Vec<&str> = text.split('.').filter(|label| !label.is_empty()).collect();
    let whole = labels.iter().all(|label| is_label(label.as_bytes())) && !labels.is_empty();
    let name = labels.join(".").to_ascii_lowercase();
    (whole && name.len() <= 253).then_some(name.into())
}

/// What a line about mailboxes means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mailboxes<'a> {
    /// `user@dom`, `user@`, or `@` for the null reverse-path.
    Key(String),
    /// Every mailbox of a domain.
    Domain(Cow<'a, str>, Reach),
}

/// `user@dom`, `@dom`, `user@`, `<>`; in brackets or not, the local part in quotes or not.
pub(super) fn mailbox(entry: &[u8]) -> Result<Mailboxes<'_>, Wrong> {
    let invalid = || wrong("not a mailbox", "write user@spam.example, @spam.example, user@ or <>");
    let entry = match entry {
        b"<>" => return Ok(Mailboxes::Key("@".to_owned())),
        [b'<', inner @ .., b'>'] => inner,
        entry => entry,
    };
    let at = memchr::memrchr(b'@', entry).ok_or_else(invalid)?;
    let (local, domain) = (&entry[..at], &entry[at + 1..]);
    if local.is_empty() {
        let (name, reach) = self::domain(domain)?;
        return Ok(Mailboxes::Domain(name, reach));
    }
    let local = unquoted(local).map(|local| folded(&local));
    let mut key = local.filter(|local| local.len() <= LOCAL).ok_or_else(invalid)?;
    key.push('@');
    if !domain.is_empty() {
        key.push_str(&canonical(domain)?);
    }
    Ok(Mailboxes::Key(key))
}

/// A local part without its quotes (RFC 5321, section 4.1.2).
fn unquoted(local: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(local).ok()?;
    let Some(inner) = text.strip_prefix('"') else {
        let plain = !text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '\\' | '@'));
        return plain.then(|| text.to_owned());
    };
    let mut name = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => name.push(rest.next()?),
            c => name.push(c),
        }
    }
    (rest.next().is_none() && !name.is_empty()).then_some(name)
}
