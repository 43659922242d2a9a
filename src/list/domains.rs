//! A set of domains, exact or with all below them.

use std::collections::HashSet;

use crate::smtp::Domain;

/// A set of domains. Look-ups take time by the number of labels, not of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains(HashSet<Box<str>>);

impl Domains {
    /// Whether exactly this domain is in the set.
    pub fn contains(&self, domain: &Domain) -> bool {
        !self.0.is_empty() && self.0.contains(domain.as_str())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this domain or one above it is in the set.
    pub fn covers(&self, domain: &Domain) -> bool {
        !self.0.is_empty() && self.covers_name(domain.as_str())
    }

    /// Whether `other` holds each of its entries or one above it.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.iter().all(|name| other.covers_name(name))
    }

    /// The entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    pub(super) fn covers_name(&self, name: &str) -> bool {
        let mut rest = Some(name);
        while let Some(name) = rest {
            if self.0.contains(name) {
                return true;
            }
            rest = name.split_once('.').map(|(_, parent)| parent);
        }
        false
    }
}

impl FromIterator<Domain> for Domains {
    fn from_iter<I: IntoIterator<Item = Domain>>(domains: I) -> Self {
        Self(domains.into_iter().map(|domain| domain.as_str().into()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // case: A05, A06, A07
    #[test]
    fn exact_entries_match_themselves_and_suffixes_match_below_on_label_boundaries() {
        let set: Domains = ["example.edu", "b\u{fc}cher.example"]
            .into_iter()
            .map(|name| Domain::from_setting(name).expect("a domain"))
            .collect();
        for (name, exact, covered) in [
            ("example.edu", true, true),
            ("a.example.edu", false, true),
            ("notexample.edu", false, false),
            ("xn--bcher-kva.example", true, true),
            ("edu.example", false, false),
        ] {
            let (domain, _) = Domain::from_octets(name.as_bytes()).expect("a domain");
            assert_eq!((set.contains(&domain), set.covers(&domain)), (exact, covered), "{name}");
        }
        assert!(Domains::default().is_empty() && !set.is_empty());
    }
}
