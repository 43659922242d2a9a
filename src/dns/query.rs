//! A question as a datagram, and what is an answer to it.
//!
//! Knows no socket and no clock. What it cannot tell from a forgery, or cannot read, is no answer.

use hickory_resolver::proto::op::{Edns, Message, Query as Asked};
use hickory_resolver::proto::rr::RecordType;

use super::answer::{Answer, Fault, Reply, classify};
use super::question::Question;
use super::{Settings, Subject};
use crate::verdict::List;

/// What we can take by UDP: what passes everywhere without fragments (DNS flag day 2020).
pub(super) const PAYLOAD: u16 = 1_232;

/// The octets of a header (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// A message with one question. Holds the key; never shown.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Query {
    id: u16,
    octets: Vec<u8>,
    /// Where the question ends.
    end: usize,
}

impl Query {
    /// Writes the message. Its identifier is by the library's generator, which is fit for cryptography and fed by
    /// the kernel.
    pub(super) fn new(question: &Question) -> Option<Self> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Asked::query(question.name().clone(), RecordType::A));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        let id = message.id;
        let octets = message.to_vec().ok()?;
        // A name that stands first is never compressed: the labels, each with its length, and the root; type and
        // class.
        let name = question.name().iter().map(|label| label.len() + 1).sum::<usize>() + 1;
        Some(Self { id, octets, end: HEADER + name + 4 })
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What a datagram says to this question; nothing if it is no answer to it, or cannot be read.
    ///
    /// An answer has the question's identifier, is a response, and repeats the question to the octet, upper
    /// and lower case aside; nothing less (RFC 5452, section 9.1).
    pub(super) fn read(&self, datagram: &[u8]) -> Option<Result<Reply, Fault>> {
        const RESPONSE: u8 = 0x80;
        /// Response or not, and the operation.
        const KIND: u8 = 0xf8;
        const CUT: u8 = 0x02;
        let asked = self.octets.get(HEADER..self.end)?;
        let flags = *datagram.get(2)?;
        let belongs = id(datagram)? == self.id
            && flags & KIND == RESPONSE
            && datagram.get(4..6)? == [0, 1]
            && datagram.get(HEADER..self.end)?.eq_ignore_ascii_case(asked);
        if !belongs {
            return None;
        }
        // Some servers cut in the middle of a record.
        if flags & CUT != 0 {
            return Some(Err(Fault::Truncated));
        }
        Reply::read(datagram)
    }
}

/// What a datagram says to a question without a key about `subject`, whatever its identifier is; nothing if it is no
/// answer to that.
///
/// For fuzzing: from the octets on it takes the daemon's way.
pub fn hear(list: List, subject: &Subject, datagram: &[u8]) -> Option<Answer> {
    let question = Question::new(subject, None, list, &Settings::default().zone_base)?;
    let query = Query { id: id(datagram)?, ..Query::new(&question)? };
    Some(match query.read(datagram)? {
        Ok(reply) => classify(list, &reply.records),
        Err(fault) => Answer::Failed(fault.trouble()),
    })
}

/// The identifier of a message.
pub(super) fn id(datagram: &[u8]) -> Option<u16> {
    datagram.first_chunk().map(|id| u16::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::{Key, Subject};
    use super::*;
    use crate::smtp::Domain;
    use crate::verdict::List;

    fn query() -> Query {
        let key = Key::new("K3y").expect("a key");
        let base = Domain::from_setting("dq.spamhaus.net").expect("a domain");
        let subject = Subject::Ip([192, 0, 2, 1].into());
        let question = Question::new(&subject, Some(&key), List::ZEN, &base).expect("a question");
        Query::new(&question).expect("a message")
    }

    /// An answer with one record, 127.0.0.2.
    fn answer(query: &Query) -> Vec<u8> {
        let mut octets = query.octets[..query.end].to_vec();
        (octets[2], octets[3], octets[7], octets[11]) = (0x81, 0x80, 1, 0);
        octets.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 2]);
        octets
    }

    #[test]
    fn a_question_is_what_every_name_server_understands() {
        let query = query();
        let mut expected = query.id.to_be_bytes().to_vec();
        expected.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        expected.extend_from_slice(
            b"\x011\x012\x010\x03192\x03K3y\x03zen\x02dq\x08spamhaus\x03net\0\0\x01\0\x01",
        );
        assert_eq!(query.end, expected.len());
        // EDNS of 1,232 octets and nothing else (RFC 6891, section 6.1.2).
        expected.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(query.octets, expected);
    }

    #[test]
    fn an_answer_repeats_identifier_and_question_whatever_their_case() {
        let query = query();
        let answer = answer(&query);
        let listed = Reply { records: vec![Ipv4Addr::new(127, 0, 0, 2)], ttl: Some(60), alias: None };
        assert_eq!(query.read(&answer), Some(Ok(listed.clone())));
        let mut lower = answer.clone();
        lower[HEADER..query.end].make_ascii_lowercase();
        assert_eq!(query.read(&lower), Some(Ok(listed)));
    }

    #[test]
    fn one_other_octet_before_the_records_makes_it_no_answer() {
        let query = query();
        let answer = answer(&query);
        for at in 0..query.end {
            for bit in 0..8 {
                let mut other = answer.clone();
                other[at] ^= 1 << bit;
                let said = query.read(&other);
                // Flags that say something else than "this is a response", the code and the other counts do not
                // make a forgery, and the case of a letter does not either.
                let is_free = (at == 2 && bit < 3) || at == 3 || (6..HEADER).contains(&at);
                let is_case = at >= HEADER && answer[at].is_ascii_alphabetic() && bit == 5;
                assert!(said.is_none() || is_free || is_case, "octet {at}, bit {bit}: {said:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_answer_and_what_was_cut_is_told() {
        let query = query();
        let answer = answer(&query);
        for length in 0..answer.len() {
            assert_eq!(query.read(&answer[..length]), None, "{length} octets");
        }
        let mut cut = answer[..query.end + 5].to_vec();
        cut[2] |= 2;
        assert_eq!(query.read(&cut), Some(Err(Fault::Truncated)));
        let mut refused = answer[..query.end].to_vec();
        (refused[3], refused[7]) = (0x85, 0);
        assert_eq!(query.read(&refused), Some(Err(Fault::Refused)));
    }

    #[test]
    fn a_datagram_is_heard_whatever_its_identifier_if_it_answers_the_question() {
        let subject = Subject::Ip([192, 0, 2, 1].into());
        let base = Settings::default().zone_base;
        let question = Question::new(&subject, None, List::ZEN, &base).expect("a question");
        let answer = answer(&Query::new(&question).expect("a message"));
        let said = hear(List::ZEN, &subject, &answer);
        assert!(matches!(said, Some(Answer::Listed(codes)) if codes.iter().eq([2])), "{said:?}");
        let other = [&[!answer[0], !answer[1]], &answer[2..]].concat();
        assert_eq!(hear(List::ZEN, &subject, &other), said);
        assert_eq!(hear(List::ZEN, &Subject::Ip([192, 0, 2, 2].into()), &answer), None);
        assert_eq!(hear(List::AUTHBL, &subject, &answer), None);
        assert_eq!(hear(List::ZEN, &subject, &answer[..1]), None);
    }

    #[test]
    fn identifiers_do_not_repeat_or_follow_each_other() {
        let ids: Vec<u16> = (0..1_000).map(|_| query().id).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        // Of 1,000 random ones some 8 are there twice.
        assert!(sorted.len() > 960, "{}", sorted.len());
        let near = ids.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 256).count();
        assert!(near < 50, "{near}");
    }
}
