//! Who is at the other end of the SMTP session.

use std::fmt;

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The SMTP client as the MTA presents it at CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Client {
    /// No address, or none that can be read: no check of addresses is possible.
    #[default]
    Unknown,
    /// A local socket or standard input: mail that did not come over the network.
    Local,
    /// An address in [canonical] form: an IPv4-mapped IPv6 address is held as IPv4.
    Ip(IpAddr),
}

impl Client {
    /// Reads the family octet and address of a CONNECT packet.
    ///
    /// Accepts what the MTAs send: an `IPv6:` tag in any case (Sendmail), a zone id, compressed and
    /// full forms. IPv4 short forms (`1.2`) and anything else that is no address give
    /// [`Client::Unknown`]: a strange address must not end the session.
    pub fn from_connect(family: u8, address: &[u8]) -> Self {
        match family {
            b'4' | b'6' => parse(address).map_or(Self::Unknown, Self::Ip),
            b'L' => Self::Local,
            _ => Self::Unknown,
        }
    }

    /// The address, if there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Unknown | Self::Local => None,
        }
    }

    /// Whether the mail was handed in on this host: a local socket or a loopback address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Ip(ip) => ip.is_loopback(),
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Local => f.write_str("local"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// What is counted as one client: the address, or the /64 that a customer of IPv6 has at least.
pub fn household(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        IpAddr::V4(_) => ip,
    }
}

fn parse(address: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(address).ok()?.trim();
    let text = match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => &text[5..],
        _ => text,
    };
    let text = text.split_once('%').map_or(text, |(address, _zone)| address);
    text.parse::<IpAddr>().ok().map(canonical)
}

/// The address under which lists know a host: IPv4 where it is mapped into IPv6, or translated with the
/// well-known prefix of NAT64 (RFC 6052, section 2.1), which may hold global addresses only.
pub fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => match v6.octets() {
            [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
                if !special4([a, b, c, d].into()) =>
            {
                IpAddr::from([a, b, c, d])
            }
            _ => ip.to_canonical(),
        },
        IpAddr::V4(_) => ip,
    }
}

/// Whether no public list can know the address: special-purpose, private or documentation space
/// (IANA special-purpose registries, RFC 6890), or multicast.
///
/// Such an address is never asked about. 6to4 and Teredo addresses are asked as IPv6.
pub fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => special4(ip),
        IpAddr::V6(ip) => special6(ip),
    }
}

fn special4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn special6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    ip.is_unspecified()
        || ip.is_loopback()
        || s[0] & 0xfe00 == 0xfc00
        || s[0] & 0xffc0 == 0xfe80
        || s[0] & 0xff00 == 0xff00
        || s[..4] == [0x0100, 0, 0, 0]
        || s[..2] == [0x2001, 0x0db8]
        || s[..3] == [0x2001, 0x0002, 0]
        || (s[0] == 0x2001 && s[1] & 0xfff0 == 0x0010)
        || (s[0] == 0x3fff && s[1] & 0xf000 == 0)
        || s[..3] == [0x0064, 0xff9b, 0x0001]
        // A global address behind that prefix is IPv4 in canonical form.
        || s[..6] == [0x0064, 0xff9b, 0, 0, 0, 0] && canonical(ip.into()).is_ipv6()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn every_form_of_address_of_the_mtas_is_read() {
        for (family, address, expected) in [
            (b'4', "192.0.2.1", Client::Ip(ip("192.0.2.1"))),
            (b'6', "2001:db8::1", Client::Ip(ip("2001:db8::1"))),
            (b'6', "IPv6:2001:db8:0:0:0:0:0:1", Client::Ip(ip("2001:db8::1"))),
            (b'6', "ipv6:2001:db8::1", Client::Ip(ip("2001:db8::1"))),
            (b'6', "fe80::1%eth0", Client::Ip(ip("fe80::1"))),
            (b'6', "::ffff:192.0.2.7", Client::Ip(ip("192.0.2.7"))),
            (b'6', "IPv6:::ffff:c000:0207", Client::Ip(ip("192.0.2.7"))),
            (b'6', "64:ff9b::192.0.1.7", Client::Ip(ip("192.0.1.7"))),
            (b'6', "64:ff9b::127.0.0.1", Client::Ip(ip("64:ff9b::7f00:1"))),
            (b'L', "/run/x.sock", Client::Local),
            (b'L', "", Client::Local),
            (b'U', "", Client::Unknown),
            (b'4', "unknown", Client::Unknown),
            (b'4', "999.1.1.1", Client::Unknown),
            (b'4', "1.2", Client::Unknown),
            (b'4', "", Client::Unknown),
            (b'6', "\u{fc}", Client::Unknown),
            (b'x', "192.0.2.1", Client::Unknown),
        ] {
            assert_eq!(Client::from_connect(family, address.as_bytes()), expected, "{address}");
        }
    }

    #[test]
    fn special_addresses_are_known_at_both_ends_of_their_range() {
        for special in [
            "0.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.0.1",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "100::1",
            "2001:db8::1",
            "2001:2::1",
            "2001:10::1",
            "2001:1f::1",
            "3fff::1",
            "3fff:fff::1",
            "64:ff9b:1::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.2",
        ] {
            assert!(is_special(ip(special)), "{special}");
        }
        for global in [
            "8.8.0.2",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.0.3.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:470::1",
            "2002:808::1",
            "2001::1",
            "2001:20::1",
            "64:ff9b::808:2",
            "3fff:1000::1",
            "2001:2:1::1",
        ] {
            assert!(!is_special(ip(global)), "{global}");
        }
    }
}
