//! Answers of lists: what A records and whole responses of name servers are taken for.

use std::net::Ipv4Addr;

use gatepost::dns::{Answer, Subject, classify, hear, read};
use gatepost::smtp::Domain;
use gatepost::verdict::{List, Trouble};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::Dice;

/// Only the list's own codes are a listing, whether they come as records or in a response, and nothing
/// that somebody else says beside them is passed over.
pub fn answer(data: &[u8]) {
    for list in List::DQS {
        response(list, data);
        let mut dice = Dice(data);
        let records = dice.records();
        let answer = classify(list, &records);
        judge(list, answer, &records);
        let mut octets = written(list, &records);
        assert_eq!(read(list, &octets), answer, "{records:?}");
        assert_eq!(hear(list, &subject(), &octets), Some(answer), "{records:?}");
        // The same response with a few octets damaged, and cut short.
        for _ in 0..dice.roll() & 7 {
            let at = (usize::from(dice.roll()) << 8 | usize::from(dice.roll())) % octets.len();
            octets[at] = dice.roll();
        }
        octets.truncate(octets.len() - usize::from(dice.roll()) % octets.len());
        response(list, &octets);
    }
}

/// Whatever the octets are, what is read from them is what they say to another reader.
fn response(list: List, octets: &[u8]) {
    let answer = read(list, octets);
    let message = Message::from_vec(octets).ok();
    datagram(list, octets, answer, message.as_ref());
    let Some(message) = message.filter(|message| message.message_type == MessageType::Response) else {
        assert_eq!(answer, Answer::Failed(Trouble::Network), "octets that are no response");
        return;
    };
    let told = matches!(message.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    if message.truncation || !told {
        assert!(matches!(answer, Answer::Failed(_)), "{answer:?} {message:?}");
        return;
    }
    let is_address = |kind: RecordType| kind == RecordType::A;
    // The daemon takes no response without its question.
    let is_ours = !message.queries.is_empty() && message.queries.iter().all(|q| is_address(q.query_type()));
    let records: Vec<Ipv4Addr> = message
        .answers
        .iter()
        .filter(|record| Some(&record.name) == owner(&message) && record.dns_class == DNSClass::IN)
        .filter_map(|record| if let RData::A(address) = &record.data { Some(address.0) } else { None })
        .collect();
    if is_ours || matches!(answer, Answer::Listed(_)) {
        judge(list, answer, &records);
    }
}

/// Whose records say something: the name that was asked about, or the one that its aliases lead to.
fn owner(message: &Message) -> Option<&Name> {
    let target = |name: &Name| {
        message.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some(&target.0),
            _ => None,
        })
    };
    let first = message.queries.first()?.name();
    // A ring has no end: then it is the one so many steps on.
    std::iter::successors(Some(first), |name| target(name)).take(message.answers.len() + 1).last()
}

/// What is heard as an answer is one to another reader, and says the same.
fn datagram(list: List, octets: &[u8], answer: Answer, message: Option<&Message>) {
    let Some(heard) = hear(list, &subject(), octets) else { return };
    assert_eq!(heard, answer);
    assert!(octets[2] & 0xf8 == 0x80, "a response to a question");
    if let Some(message) = message {
        assert_eq!(message.op_code, OpCode::Query);
        let name = Name::from_ascii(format!("x.example.{}.dq.spamhaus.net.", list.name())).expect("a name");
        assert_eq!(message.queries, [Query::query(name, RecordType::A)]);
    } else {
        assert!(octets[2] & 2 != 0, "what cannot be read was cut");
    }
}

/// Whom the responses are about.
fn subject() -> Subject {
    Subject::Domain(Domain::from_setting("x.example").expect("a domain"))
}

/// Holds an answer against the records it was made of.
fn judge(list: List, answer: Answer, records: &[Ipv4Addr]) {
    let (group, least, most) = match list.name() {
        "zen" => (0, 2, 30),
        "dbl" => (1, 2, 254),
        "zrd" => (2, 2, 24),
        _ => (0, 20, 20),
    };
    let foreign = records.iter().any(|record| record.octets()[0] != 127 || *record == Ipv4Addr::LOCALHOST);
    let service = records.iter().any(|record| record.octets()[..3] == [127, 255, 255]);
    let codes = || {
        let own = records.iter().map(Ipv4Addr::octets).filter(|octets| octets[..3] == [127, 0, group]);
        own.map(|octets| octets[3]).filter(move |code| (least..=most).contains(code))
    };
    match answer {
        Answer::Listed(listed) => {
            assert!(!foreign && !service, "{list}: {records:?}");
            assert_eq!(listed.group(), group);
            assert!(!listed.is_empty() && codes().all(|code| listed.contains(code)), "{list}: {records:?}");
            assert!(listed.iter().all(|code| codes().any(|own| own == code)), "{list}: {listed} {records:?}");
        }
        Answer::NotListed => {
            assert!(!foreign && !service && codes().next().is_none(), "{list}: {records:?}");
        }
        Answer::Failed(trouble) => {
            assert_eq!(trouble == Trouble::Bogus, foreign, "{list}: {records:?}");
            assert_eq!(matches!(trouble, Trouble::Service(_)), service && !foreign, "{list}: {records:?}");
        }
    }
}

/// A response to a question about `x.example` with these records.
fn written(list: List, records: &[Ipv4Addr]) -> Vec<u8> {
    let count = u8::try_from(records.len()).expect("few records");
    let mut octets = vec![0, 1, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
    for label in ["x", "example", list.name(), "dq", "spamhaus", "net", ""] {
        octets.push(u8::try_from(label.len()).expect("a short label"));
        octets.extend_from_slice(label.as_bytes());
    }
    octets.extend_from_slice(&[0, 1, 0, 1]);
    for record in records {
        octets.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        octets.extend_from_slice(&record.octets());
    }
    octets
}

impl Dice<'_> {
    /// A few addresses, most of them near those that mean something.
    fn records(&mut self) -> Vec<Ipv4Addr> {
        let count = self.roll() & 7;
        let mut record = || match self.roll() & 15 {
            group @ 0..=3 => Ipv4Addr::new(127, 0, group, self.roll()),
            4..=9 => Ipv4Addr::new(127, 0, self.roll() % 3, self.roll() % 32),
            10..=12 => Ipv4Addr::new(127, 255, 255, self.roll()),
            13 => Ipv4Addr::new(127, self.roll(), self.roll(), self.roll()),
            _ => Ipv4Addr::from(self.number()),
        };
        (0..count).map(|_| record()).collect()
    }
}
