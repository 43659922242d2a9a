//! What is asked: subjects, and the name of a question about one.
//!
//! Names are built label by label from octets, never from text that something could parse anew, and
//! are absolute: no search list, no hosts file. Every question is for A records of class IN
//! (RFC 5782, section 2.1: also for IPv6 addresses).

use std::fmt;
use std::net::IpAddr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::rr::Name;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::Key;
use crate::smtp::{Domain, canonical};
use crate::verdict::{Digest, Kind, List, Place};

/// Longest name in presentation form (RFC 1035, section 3.1: 255 octets on the wire).
const NAME: usize = 253;

/// What a list is asked about; with the list, the key of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An address.
    Ip(IpAddr),
    /// A domain or host name.
    Domain(Domain),
    /// A mailbox, by its digest.
    Mailbox(Box<str>),
}

impl Subject {
    /// A mailbox, as a list that keeps digests is asked about it. `address` is `local@domain` as the list wants it.
    pub fn mailbox(address: &str, digest: Digest) -> Self {
        let address = address.as_bytes();
        Self::Mailbox(match digest {
            Digest::Sha1Hex => HEXLOWER.encode(&Sha1::digest(address)).into(),
            Digest::Sha256Base32 => BASE32_NOPAD.encode(&Sha256::digest(address)).into(),
            Digest::Plain => String::from_utf8_lossy(address).into(),
        })
    }
}

impl fmt::Display for Subject {
    /// The address or the name, as it may be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
            Self::Mailbox(digest) => f.write_str(digest),
        }
    }
}

impl Subject {
    /// Whether `list` knows subjects of this kind.
    pub(super) fn suits(&self, list: List) -> bool {
        matches!(
            (self, list.kind()),
            (Self::Ip(_), Kind::Address)
                | (Self::Domain(_), Kind::Domain)
                | (Self::Mailbox(_), Kind::Mailbox(_))
        )
    }

    /// The subject as it is asked and remembered.
    ///
    /// An address is in its [canonical] form. A domain loses labels on the left until it has at most `room` octets.
    pub(super) fn canonical(self, room: usize) -> Self {
        match self {
            Self::Ip(ip) => Self::Ip(canonical(ip)),
            Self::Domain(domain) if domain.as_str().len() > room => Self::Domain(domain.fit(room)),
            subject => subject,
        }
    }

    /// The name below which the list files the subject: `2.0.0.127`, `spam.example`.
    pub fn name(&self) -> String {
        let mut name = String::with_capacity(64);
        self.labels(|label| {
            if !name.is_empty() {
                name.push('.');
            }
            // Labels of subjects are ASCII by construction.
            name.extend(label.iter().copied().map(char::from));
        });
        name
    }

    fn labels(&self, mut each: impl FnMut(&[u8])) {
        let Ok(()) = self.try_labels(|label| {
            each(label);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    fn try_labels<E>(&self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Ip(IpAddr::V4(ip)) => {
                ip.octets().into_iter().rev().try_for_each(|octet| each(octet.to_string().as_bytes()))
            }
            Self::Ip(IpAddr::V6(ip)) => ip.octets().into_iter().rev().try_for_each(|octet| {
                each(&[HEX[usize::from(octet & 15)]])?;
                each(&[HEX[usize::from(octet >> 4)]])
            }),
            Self::Domain(domain) => domain.as_str().split('.').try_for_each(|label| each(label.as_bytes())),
            Self::Mailbox(digest) => each(digest.as_bytes()),
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The octets left for a subject beside the key, the zone and the dots between them.
pub(super) fn room(key: Option<&Key>, list: List, base: &Domain) -> usize {
    NAME.saturating_sub(around(key, list, base))
}

/// The octets of everything but the subject, dots included.
fn around(key: Option<&Key>, list: List, base: &Domain) -> usize {
    let key = key.map_or(0, |key| key.label().len() + 1);
    match list.definition().place {
        Place::Dqs => key + list.name().len() + base.as_str().len() + 2,
        Place::Zone { apex, .. } => key + apex.len() + 1,
        Place::File { .. } => 0,
    }
}

/// The longest zone base with which every subject of `list` can be asked about, in octets.
///
/// A name has 253 octets (RFC 1035, section 3.1). The longest subject is an IPv6 address of 32 nibbles, or a
/// domain of two labels of 63 octets, since longer ones lose labels on the left.
pub fn longest_base(key: &Key, list: List) -> usize {
    let beside = key.label().len() + list.name().len() + 3;
    NAME.saturating_sub(beside + longest_subject(list.kind()))
}

/// The octets that a subject must have room for.
fn longest_subject(kind: Kind) -> usize {
    match kind {
        Kind::Address => 2 * 32 - 1,
        Kind::Domain => 2 * 63 + 1,
        Kind::Mailbox(_) => 52,
    }
}

/// Whether every subject of a list with a zone of its own fits beside this apex and the longest key.
pub fn is_apex_short(apex: &str, keyed: bool, kind: Kind) -> bool {
    let key = if keyed { 64 } else { 0 };
    longest_subject(kind) + key + apex.len() < NAME
}

/// A name as it is asked, the key inside; never shown.
pub(super) struct Question(Name);

impl Question {
    /// Puts the name together, or `None` if it is longer than a name can be: then the zone's own name
    /// is out of bounds.
    pub(super) fn new(subject: &Subject, key: Option<&Key>, list: List, base: &Domain) -> Option<Self> {
        let mut name = Name::new();
        let mut push = |label: &[u8]| -> Result<(), ProtoError> {
            name = std::mem::take(&mut name).append_label(label)?;
            Ok(())
        };
        subject.try_labels(&mut push).ok()?;
        key.map_or(Ok(()), |key| push(key.label())).ok()?;
        let zone = match list.definition().place {
            Place::Dqs => {
                push(list.name().as_bytes()).ok()?;
                base.as_str()
            }
            Place::Zone { apex, .. } => apex,
            Place::File { .. } => return None,
        };
        zone.split('.').try_for_each(|label| push(label.as_bytes())).ok()?;
        name.set_fqdn(true);
        Some(Self(name))
    }

    /// What an alias leads to.
    pub(super) fn of(name: Name) -> Self {
        Self(name)
    }

    /// The name. Whoever prints it prints the key.
    pub(super) fn name(&self) -> &Name {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Home, Sketch};

    fn base() -> Domain {
        Domain::from_setting("dq.spamhaus.net").expect("a domain")
    }

    fn subject(name: &str) -> Subject {
        Subject::Domain(Domain::from_setting(name).expect("a domain"))
    }

    #[test]
    fn a_name_is_made_of_labels_to_the_octet() {
        let key = Key::new("ABC").expect("a key");
        let question =
            Question::new(&subject("spam.example"), Some(&key), List::DBL, &base()).expect("a question");
        let labels: Vec<&[u8]> = question.name().iter().collect();
        let expected: [&[u8]; 7] = [b"spam", b"example", b"ABC", b"dbl", b"dq", b"spamhaus", b"net"];
        assert_eq!(labels, expected);
        assert!(question.name().is_fqdn());
    }

    #[test]
    fn the_name_without_key_reads_as_the_list_files_it() {
        assert_eq!(subject("spam.example").name(), "spam.example");
        assert_eq!(Subject::Ip([192, 0, 2, 1].into()).name(), "1.2.0.192");
        let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(Subject::Ip("2001:db8::1".parse().expect("an address")).name(), nibbles);
    }

    /// A domain of so many octets.
    fn labels(length: usize) -> Domain {
        let mut name = "b.".repeat(length / 2);
        name.truncate(length - 1);
        Domain::from_setting(&format!("{name}b")).expect("a domain")
    }

    /// A list at a place of its own.
    fn list(home: Home, kind: Kind) -> List {
        let name = format!("{home:?}");
        let sketch =
            Sketch { title: name.clone(), name, kind, home, answers: vec![], refusals: vec![], test: None };
        List::define(sketch).expect("room")
    }

    fn zone(apex: &str, keyed: bool) -> Home {
        Home::Zone { apex: apex.to_owned(), keyed }
    }

    #[test]
    fn a_subject_has_the_room_that_key_and_zone_leave_to_the_octet() {
        let key = Key::new("ABC").expect("a key");
        let own = |keyed| list(zone("bl.example", keyed), Kind::Domain);
        for (list, key) in
            [(List::DBL, Some(&key)), (List::ZRD, Some(&key)), (own(false), None), (own(true), Some(&key))]
        {
            let room = room(key, list, &base());
            let fits = |length| Question::new(&Subject::Domain(labels(length)), key, list, &base()).is_some();
            assert!(fits(room) && !fits(room + 1), "{list}: {room}");
        }
    }

    #[test]
    fn beside_the_longest_apex_the_longest_subject_fits_to_the_octet() {
        let mailbox = Subject::mailbox("u@spam.example", Digest::Sha256Base32);
        let address = Subject::Ip("2001:db8::1".parse().expect("an address"));
        let domain = subject(&[["x"; 63].concat(), ["y"; 63].concat()].join("."));
        let key = Key::new(&"k".repeat(63)).expect("a key");
        for (subject, kind) in
            [(address, Kind::Address), (domain, Kind::Domain), (mailbox, Kind::Mailbox(Digest::Sha256Base32))]
        {
            for key in [None, Some(&key)] {
                let (keyed, apex) = (key.is_some(), |length| labels(length).as_str().to_owned());
                let most =
                    (2..NAME).rfind(|length| is_apex_short(&apex(*length), keyed, kind)).expect("a length");
                let fits = |length| {
                    let list = list(zone(&apex(length), keyed), kind);
                    Question::new(&subject, key, list, &base()).is_some()
                };
                assert!(fits(most) && !fits(most + 1), "{kind:?} {keyed}: {most}");
                assert!(
                    (2..=most).all(|length| is_apex_short(&apex(length), keyed, kind)),
                    "{kind:?} {keyed}"
                );
            }
        }
    }

    #[test]
    fn beside_the_longest_base_the_longest_subject_fits_to_the_octet() {
        let address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().expect("an address");
        let name = [["x"; 63].concat(), ["y"; 63].concat()].join(".");
        for key in ["k".repeat(26), "k".repeat(63)] {
            let key = Key::new(&key).expect("a key");
            for (list, longest) in [(List::ZEN, Subject::Ip(address)), (List::DBL, subject(&name))] {
                let most = longest_base(&key, list);
                assert!(Question::new(&longest, Some(&key), list, &labels(most)).is_some(), "{list} {most}");
                assert!(
                    Question::new(&longest, Some(&key), list, &labels(most + 1)).is_none(),
                    "{list} {most}"
                );
            }
        }
    }

    #[test]
    fn a_name_that_cannot_be_is_not_asked() {
        let long = subject(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(40)].join("."));
        let key = Key::new("ABC").expect("a key");
        assert!(Question::new(&long, Some(&key), List::DBL, &base()).is_none());
        let room = room(Some(&key), List::DBL, &base());
        assert!(Question::new(&long.canonical(room), Some(&key), List::DBL, &base()).is_some());
    }
}
