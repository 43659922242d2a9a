//! Addresses and networks as keys of a map, in one spelling.
//!
//! IPv4 keys are cut at dots (`192.0.2`), IPv6 keys at words (`ipv6:2001:db8`): these are the networks
//! that every program can look up. Other lengths are kept in CIDR form, and looked up only where a map
//! says that it has such a length.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Lengths of prefixes that are not cut at dots or words, and that a map has keys of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lengths {
    v4: u64,
    v6: u128,
}

impl Lengths {
    /// None: for maps whose keys are looked up one by one elsewhere.
    pub const NONE: Self = Self { v4: 0, v6: 0 };

    pub(super) fn add(&mut self, network: IpNet) {
        match network {
            IpNet::V4(network) => self.v4 |= 1 << network.prefix_len(),
            // 128 itself is cut at a word.
            IpNet::V6(network) => self.v6 |= 1 << (network.prefix_len() & 127),
        }
    }
}

/// Whether the network's key is its first octets or words.
pub(super) fn is_cut(network: IpNet) -> bool {
    let (length, step) = match network {
        IpNet::V4(network) => (network.prefix_len(), 8),
        IpNet::V6(network) => (network.prefix_len(), 16),
    };
    length > 0 && length % step == 0
}

/// The networks around an address, the smallest first, as far as they can be keys.
pub(super) fn around(ip: IpAddr, lengths: Lengths) -> impl Iterator<Item = IpNet> {
    let most: u8 = if ip.is_ipv4() { 32 } else { 128 };
    (0..=most).rev().filter_map(move |length| {
        let network = IpNet::new(ip, length).ok()?.trunc();
        let has = match ip {
            IpAddr::V4(_) => lengths.v4 >> length & 1 == 1,
            IpAddr::V6(_) => length < 128 && lengths.v6 >> length & 1 == 1,
        };
        (has || is_cut(network)).then_some(network)
    })
}

/// The key of a network: `192.0.2`, `ipv6:2001:db8`, `192.0.2.128/25`.
pub(super) fn key(network: IpNet) -> String {
    let mut key = String::new();
    match network {
        _ if !is_cut(network) => {
            let tag = if matches!(network, IpNet::V6(_)) { "ipv6:" } else { "" };
            let _ = write!(key, "{tag}{network}");
        }
        IpNet::V4(network) => {
            let octets = usize::from(network.prefix_len() / 8);
            for (n, octet) in network.addr().octets().iter().take(octets).enumerate() {
                let _ = write!(key, "{}{octet}", if n == 0 { "" } else { "." });
            }
        }
        IpNet::V6(network) if network.prefix_len() == 128 => {
            let _ = write!(key, "ipv6:{}", network.addr());
        }
        IpNet::V6(network) => {
            key.push_str("ipv6");
            for word in &network.addr().segments()[..usize::from(network.prefix_len() / 16)] {
                let _ = write!(key, ":{word:x}");
            }
        }
    }
    key
}

/// Other spellings of an IPv6 key that maps of other programs may have: cut from the compressed form (libsnert,
/// Postfix) and from the full form (Sendmail), with and without `ipv6:`.
pub(super) fn spellings(network: Ipv6Net) -> Vec<String> {
    if !is_cut(network.into()) {
        return Vec::new();
    }
    let words = usize::from(network.prefix_len() / 16);
    let segments = network.addr().segments();
    let mut full = String::new();
    for (n, word) in segments[..words].iter().enumerate() {
        let _ = write!(full, "{}{word:x}", if n == 0 { "" } else { ":" });
    }
    let mut forms = vec![full];
    forms.extend(cut(network.addr(), words).filter(|cut| *cut != forms[0]));
    forms.iter().flat_map(|form| [format!("ipv6:{form}"), form.clone()]).collect()
}

/// The compressed form, cut behind so many words; nothing if the cut is inside of `::`.
fn cut(ip: Ipv6Addr, words: usize) -> Option<String> {
    let text = ip.to_string();
    if words == 8 {
        return Some(text);
    }
    let (head, tail) = text.split_once("::")?;
    let count = |part: &str| if part.is_empty() { 0 } else { part.split(':').count() };
    let missing = 8 - count(head) - count(tail);
    // Never 0: what stands behind `::` begins with a word that is none.
    let behind = words.checked_sub(count(head) + missing)?;
    let tail: Vec<&str> = tail.split(':').take(behind).collect();
    Some(format!("{head}::{}", tail.join(":")))
}

/// Reads a network as somebody wrote it: with and without `IPv6:`, compressed, full, padded with zeros, cut
/// (`192.0`, `2001:db8`), in CIDR form, mapped. `None` if it is nothing of the kind; an error is a clause.
///
/// The second value is whether the address had bits outside of its network.
pub(super) fn read(text: &str) -> Option<Result<(IpNet, bool), String>> {
    // Brackets make a name of an address.
    if text.starts_with('[') {
        return None;
    }
    let (text, tagged) = match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => (&text[5..], true),
        _ => (text, false),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
    let looks_like = text.contains(':') || tagged || text.contains('/') || text.split('.').all(digits);
    looks_like
        .then(|| network(text, tagged).map(|network| (mapped(network.trunc()), network != network.trunc())))
}

fn network(text: &str, tagged: bool) -> Result<IpNet, String> {
    let shown = || crate::smtp::excerpt(text.as_bytes(), 60);
    if text.contains('/') {
        return text.parse().map_err(|_| format!("{} is no network", shown()));
    }
    if let Ok(ip) = text.parse::<IpAddr>()
        && !(text.ends_with("::") && text.len() > 2)
    {
        return Ok(ip.into());
    }
    if text.contains(':') || tagged {
        words(text).ok_or_else(|| format!("{} is no IPv6 address or beginning of one", shown()))
    } else {
        octets(text).ok_or_else(|| format!("{} is no IPv4 address or beginning of one", shown()))
    }
}

/// `192.0.2`.
fn octets(text: &str) -> Option<IpNet> {
    let mut octets = [0; 4];
    let mut length = 0;
    for part in text.split('.') {
        // 010 is eight to some and ten to others.
        let plain = part == "0" || !part.starts_with('0');
        *octets.get_mut(usize::from(length))? = part.parse().ok().filter(|_| plain)?;
        length += 1;
    }
    Ipv4Net::new(Ipv4Addr::from(octets), length * 8).ok().map(Into::into)
}

/// `2001:db8`, or `2001:db8::` for the same.
fn words(text: &str) -> Option<IpNet> {
    let text = text.strip_suffix("::").unwrap_or(text);
    let mut words = [0; 8];
    let mut length = 0;
    for part in text.split(':') {
        let word =
            u16::from_str_radix(part, 16).ok().filter(|_| part.len() <= 4 && !part.starts_with('+'))?;
        *words.get_mut(usize::from(length))? = word;
        length += 1;
    }
    Ipv6Net::new(Ipv6Addr::from(words), length * 16).ok().map(Into::into)
}

/// IPv4 for what is IPv4 in IPv6: mapped (`::ffff:192.0.2.0/120`), and the old way (`::192.0.2.0/120`).
fn mapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let segments = v6.addr().segments();
    let is_v4 = segments[..5] == [0; 5] && (segments[5] == 0xffff || segments[5] == 0 && segments[6] != 0);
    let [.., a, b, c, d] = v6.addr().octets();
    match v6.prefix_len().checked_sub(96) {
        Some(length) if is_v4 => Ipv4Net::new([a, b, c, d].into(), length).map_or(network, Into::into),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        Some(key(read(text)?.ok()?.0))
    }

    #[test]
    fn every_spelling_of_a_network_is_one_key() {
        for (spellings, expected) in [
            (
                &["192.0.2", "192.0.2.0/24", "192.0.2.77/24", "::ffff:192.0.2.0/120", "::192.0.2.0/120"][..],
                "192.0.2",
            ),
            (&["10", "10.0.0.0/8"], "10"),
            (&["192.0.2.9", "::ffff:192.0.2.9", "IPv6:::ffff:c000:209", "192.0.2.9/32"], "192.0.2.9"),
            (&["192.0.2.200/25"], "192.0.2.128/25"),
            (
                &["2001:db8", "IPv6:2001:db8", "2001:0DB8", "2001:db8::/32", "ipv6:2001:DB8::", "2001:db8::"],
                "ipv6:2001:db8",
            ),
            (&["2001:db8:0:0", "2001:db8::/64", "2001:0db8:0000:0000"], "ipv6:2001:db8:0:0"),
            (
                &["2001:db8::1", "IPv6:2001:db8:0:0:0:0:0:1", "2001:0db8:0000:0000:0000:0000:0000:0001"],
                "ipv6:2001:db8::1",
            ),
            (&["2001:db8::/33"], "ipv6:2001:db8::/33"),
            (&["ipv6:2001"], "ipv6:2001"),
            (&["::/0"], "ipv6:::/0"),
            (&["0.0.0.0/0"], "0.0.0.0/0"),
            (&["::1"], "ipv6:::1"),
            (&["::", "::/128"], "ipv6:::"),
        ] {
            for text in spellings {
                assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_network_is_told_from_what_is_something_else() {
        for text in [
            "300",
            "192.0.2.256",
            "192.0.2.9.1",
            "010.1",
            "192.0.2.0/33",
            "1.2/16",
            "2001:db8:xyz",
            "fe80::1%eth0",
            "ipv6:",
            "12345::",
            "2001:00db8",
            "2001:+db8",
            "::ffff:1.2.3.4.5",
            "a/b",
        ] {
            assert!(read(text).is_some_and(|read| read.is_err()), "{text}");
        }
        for text in ["example.org", "3com.example", "", "[192.0.2.1]", "1a", "a.1"] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn other_programs_spellings_are_known() {
        let net = |text: &str| match read(text).expect("a network").expect("legal").0 {
            IpNet::V6(network) => spellings(network),
            IpNet::V4(_) => Vec::new(),
        };
        assert_eq!(
            net("2001:db8::1234:5678"),
            [
                "ipv6:2001:db8:0:0:0:0:1234:5678",
                "2001:db8:0:0:0:0:1234:5678",
                "ipv6:2001:db8::1234:5678",
                "2001:db8::1234:5678"
            ]
        );
        assert_eq!(net("2001:db8:0:0"), ["ipv6:2001:db8:0:0", "2001:db8:0:0"]);
    }

    #[test]
    fn an_address_lies_in_the_networks_that_a_map_has() {
        let mut lengths = Lengths::default();
        lengths.add("192.0.2.128/25".parse().expect("a network"));
        let keys: Vec<String> = around(IpAddr::from([192, 0, 2, 200]), lengths).map(key).collect();
        assert_eq!(keys, ["192.0.2.200", "192.0.2.128/25", "192.0.2", "192.0", "192"]);
        lengths.add("2001:db8::/33".parse().expect("a network"));
        let keys: Vec<String> =
            around("2001:db8::1".parse().expect("an address"), lengths).map(key).collect();
        assert_eq!(keys.len(), 9);
        assert_eq!(keys[6], "ipv6:2001:db8::/33");
    }

    #[test]
    fn a_key_of_dqs_in_the_place_of_a_network_is_not_shown_nor_its_beginning() {
        let key = "abcdefghij0123456789klmnop";
        for before in 0..70 {
            let before = "x".repeat(before);
            for text in [format!("{before}-{key}/24"), format!("ipv6:{before}-{key}"), "1".repeat(26)] {
                let cause = read(&text).expect("like a network").expect_err("none");
                assert!(!cause.contains("abc") && !cause.contains("111"), "{cause}");
            }
        }
    }
}
