//! A set of networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// A set of networks that tells whether it holds an address.
///
/// Networks are merged and sorted, so that a look-up is one binary search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of the networks. IPv4-mapped addresses must be canonical already.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let after = self.0.partition_point(|network| network.network() <= ip);
        after > 0 && self.0[after - 1].contains(&ip)
    }

    /// Whether all of its addresses are in `other`, too.
    pub fn is_within(&self, other: &Self) -> bool {
        // What is covered by several networks together is one network after aggregation.
        self.0.iter().all(|network| {
            let after = other.0.partition_point(|wide| wide.network() <= network.network());
            after > 0 && other.0[after - 1].contains(network)
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a network covers so much of the Internet that it was hardly meant. No private network does, `fc00::/7` (RFC 4193)
/// included. IPv4-mapped networks must be IPv4 already.
pub fn is_wide(network: &IpNet) -> bool {
    network.prefix_len() < if matches!(network, IpNet::V4(_)) { 8 } else { 7 }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let networks: Vec<IpNet> = networks.into_iter().map(|network| network.trunc()).collect();
        // What is left after aggregation does not overlap, and is sorted within each family.
        let mut networks = IpNet::aggregate(&networks);
        networks.sort();
        Self(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_within_another_if_all_of_it_is() {
        let set = |text: &str| -> Networks {
            text.split(' ').map(|network| network.parse::<IpNet>().expect("a network")).collect()
        };
        for (inner, outer, within) in [
            ("192.0.2.0/24", "192.0.2.0/24", true),
            ("192.0.2.7/32 192.0.2.128/25", "192.0.2.0/24", true),
            ("192.0.2.0/24", "192.0.2.0/25 192.0.2.128/25", true),
            ("192.0.2.0/24", "192.0.2.0/25 192.0.2.192/26", false),
            ("192.0.2.0/24 198.51.100.1/32", "192.0.2.0/23", false),
            ("2001:db8::/48 192.0.2.1/32", "192.0.2.0/24 2001:db8::/32", true),
            ("2001:db8::/32", "2001:db8::/48", false),
            ("192.0.2.0/24", "198.51.100.0/24", false),
        ] {
            assert_eq!(set(inner).is_within(&set(outer)), within, "{inner} in {outer}");
        }
        assert!(Networks::default().is_within(&Networks::default()));
        assert!(Networks::default().is_empty() && !set("192.0.2.0/24").is_empty());
    }

    #[test]
    fn an_address_is_found_in_nested_adjacent_and_mixed_networks() {
        let networks: Networks = [
            "198.51.100.0/24",
            "198.51.100.128/25",
            "203.0.113.7/32",
            "0.0.0.0/32",
            "2001:db8::/32",
            "2001:db8:1::/48",
        ]
        .into_iter()
        .map(|network| network.parse::<IpNet>().expect("a network"))
        .collect();
        for (ip, inside) in [
            ("198.51.100.0", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("198.51.99.255", false),
            ("203.0.113.7", true),
            ("203.0.113.8", false),
            ("0.0.0.0", true),
            ("255.255.255.255", false),
            ("2001:db8::1", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("::", false),
        ] {
            assert_eq!(networks.contains(ip.parse().expect("an address")), inside, "{ip}");
        }
        assert!(!Networks::default().contains("192.0.2.1".parse().expect("an address")));
    }
}
