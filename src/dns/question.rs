//! What is asked: subjects, and the octets of a question about one.
//!
//! Names are built label by label from octets, never from text that something could parse anew, and
//! are absolute: no search list, no hosts file. Every question is for A records of class IN
//! (RFC 5782, section 2.1: also for IPv6 addresses).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use zeroize::Zeroizing;

use super::Key;
use crate::smtp::Domain;
use crate::verdict::List;

/// Longest name in presentation form (RFC 1035, section 3.1: 255 octets on the wire).
const NAME: usize = 253;

/// What we can take by UDP: what passes everywhere without fragments (DNS flag day 2020).
pub(super) const PAYLOAD: u16 = 1_232;

const HEADER: usize = 12;

/// What a list is asked about; with the list, the key of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An address, for ZEN.
    Ip(IpAddr),
    /// A domain or host name, for DBL and ZRD.
    Domain(Domain),
}

impl fmt::Display for Subject {
    /// The address or the name, as it may be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

impl Subject {
    /// Whether `list` knows subjects of this kind.
    pub(super) fn suits(&self, list: List) -> bool {
        matches!((self, list), (Self::Ip(_), List::Zen) | (Self::Domain(_), List::Dbl | List::Zrd))
    }

    /// The subject as it is asked and remembered.
    ///
    /// An IPv4-mapped address is IPv4; so is one behind the well-known NAT64 prefix (RFC 6052), for no list
    /// knows it by that name. A domain loses labels on the left until it has at most `room` octets.
    pub(super) fn canonical(self, room: usize) -> Self {
        match self {
            Self::Ip(IpAddr::V6(ip)) => Self::Ip(embedded(ip)),
            Self::Domain(domain) if domain.as_str().len() > room => {
                let parent = Domain::from_setting(domain.fit(room));
                Self::Domain(parent.unwrap_or(domain))
            }
            subject => subject,
        }
    }

    /// The name below which the list files the subject: `2.0.0.127`, `spam.example`.
    pub(super) fn name(&self) -> String {
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
        match self {
            Self::Ip(IpAddr::V4(ip)) => {
                for octet in ip.octets().into_iter().rev() {
                    each(octet.to_string().as_bytes());
                }
            }
            Self::Ip(IpAddr::V6(ip)) => {
                for octet in ip.octets().into_iter().rev() {
                    each(&[HEX[usize::from(octet & 15)]]);
                    each(&[HEX[usize::from(octet >> 4)]]);
                }
            }
            Self::Domain(domain) => domain.as_str().split('.').for_each(|label| each(label.as_bytes())),
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn embedded(ip: Ipv6Addr) -> IpAddr {
    match ip.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => IpAddr::V6(ip).to_canonical(),
    }
}

/// The octets left for a subject beside the key, the zone and the dots between them.
pub(super) fn room(key: &Key, list: List, base: &Domain) -> usize {
    NAME.saturating_sub(key.label().len() + list.name().len() + base.as_str().len() + 3)
}

/// A question as it goes over the wire, the key inside; wiped when dropped, and never shown.
pub(super) struct Question {
    octets: Zeroizing<Vec<u8>>,
    /// Where the question section ends and the OPT record begins.
    end: usize,
}

impl Question {
    /// Writes the question, or `None` if the name is longer than a name can be: then the zone's own
    /// name is out of bounds.
    pub(super) fn new(id: u16, subject: &Subject, key: &Key, list: List, base: &Domain) -> Option<Self> {
        // Never grown: a vector that moves leaves the key behind.
        let mut octets = Zeroizing::new(Vec::with_capacity(HEADER + 512));
        octets.extend_from_slice(&id.to_be_bytes());
        // A query, recursion desired; one question, one additional record.
        octets.extend_from_slice(&[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1]);
        subject.labels(|label| push(&mut octets, label));
        push(&mut octets, key.label());
        push(&mut octets, list.name().as_bytes());
        base.as_str().split('.').for_each(|label| push(&mut octets, label.as_bytes()));
        octets.push(0);
        if octets.len() - HEADER > NAME + 2 {
            return None;
        }
        octets.extend_from_slice(&[0, 1, 0, 1]);
        let end = octets.len();
        // EDNS (RFC 6891): the root, type OPT, our payload size, version 0, no flags, no options.
        octets.extend_from_slice(&[0, 0, 41]);
        octets.extend_from_slice(&PAYLOAD.to_be_bytes());
        octets.extend_from_slice(&[0; 6]);
        Some(Self { octets, end })
    }

    /// The message.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Whether `response` answers this question: its identifier and its question, in any case (servers
    /// may not keep it). Errors may come without the question.
    pub(super) fn is_answered_by(&self, response: &[u8]) -> bool {
        let Some((header, rest)) = response.split_first_chunk::<HEADER>() else { return false };
        let [id0, id1, flags, code, questions @ ..] = header;
        if [*id0, *id1] != self.octets[..2] || flags & 0x80 == 0 {
            return false;
        }
        let asked = &self.octets[HEADER..self.end];
        match [questions[0], questions[1]] {
            // Lengths are below 64 and letters above: comparing without case cannot mix them up.
            [0, 1] => rest.get(..asked.len()).is_some_and(|theirs| theirs.eq_ignore_ascii_case(asked)),
            [0, 0] => !matches!(code & 15, 0 | 3),
            _ => false,
        }
    }
}

fn push(octets: &mut Vec<u8>, label: &[u8]) {
    // Both keys and domains are made of labels of at most 63 octets.
    octets.push(u8::try_from(label.len()).unwrap_or(63) & 63);
    octets.extend_from_slice(label);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Domain {
        Domain::from_setting("dq.spamhaus.net").expect("a domain")
    }

    fn question(subject: &Subject) -> Question {
        let key = Key::new("ABC").expect("a key");
        Question::new(0x1234, subject, &key, List::Dbl, &base()).expect("a question")
    }

    fn subject(name: &str) -> Subject {
        Subject::Domain(Domain::from_setting(name).expect("a domain"))
    }

    #[test]
    fn a_question_is_made_of_labels_to_the_octet() {
        let expected = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\x01\
            \x04spam\x07example\x03ABC\x03dbl\x02dq\x08spamhaus\x03net\0\0\x01\0\x01\
            \0\0\x29\x04\xd0\0\0\0\0\0\0";
        assert_eq!(question(&subject("spam.example")).octets(), expected);
    }

    #[test]
    fn the_name_without_key_reads_as_the_list_files_it() {
        assert_eq!(subject("spam.example").name(), "spam.example");
        assert_eq!(Subject::Ip([192, 0, 2, 1].into()).name(), "1.2.0.192");
        let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(Subject::Ip("2001:db8::1".parse().expect("an address")).name(), nibbles);
    }

    #[test]
    fn only_responses_to_the_same_question_answer_it() {
        let question = question(&subject("spam.example"));
        let mut response = question.octets()[..question.end].to_vec();
        response[2] |= 0x80;
        assert!(question.is_answered_by(&response));
        let upper: Vec<u8> = [&response[..12], &response[12..].to_ascii_uppercase()].concat();
        assert!(question.is_answered_by(&upper), "servers may not keep the case");
        for (at, octet, what) in [
            (0, 0x13, "another identifier"),
            (2, 0x01, "a question"),
            (5, 2, "two questions"),
            (13, b'x', "another name"),
            (question.end - 3, 28, "another type"),
            (question.end - 1, 3, "another class"),
        ] {
            let mut other = response.clone();
            other[at] = octet;
            assert!(!question.is_answered_by(&other), "{what}");
        }
        for length in 0..response.len() {
            assert!(!question.is_answered_by(&response[..length]), "{length}");
        }
        let mut bare = response[..12].to_vec();
        (bare[5], bare[3]) = (0, 0x85);
        assert!(question.is_answered_by(&bare), "REFUSED may come without the question");
        bare[3] = 0x83;
        assert!(!question.is_answered_by(&bare), "NXDOMAIN may not");
    }

    #[test]
    fn a_name_that_cannot_be_is_not_asked() {
        let long = subject(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(40)].join("."));
        let key = Key::new("ABC").expect("a key");
        assert!(Question::new(1, &long, &key, List::Dbl, &base()).is_none());
        let room = room(&key, List::Dbl, &base());
        assert!(Question::new(1, &long.canonical(room), &key, List::Dbl, &base()).is_some());
    }
}
