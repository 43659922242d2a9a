//! What comes back: from A records to an answer.
//!
//! Pure functions. A listing is a code inside the list's own /24 and nothing else; an operator's code is never
//! reputation, and a record that no list gives out means that somebody rewrites answers.

use std::fmt;
use std::net::Ipv4Addr;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsResponse, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record};

use crate::verdict::{Codes, List, Origin, Trouble};

/// What a list says about a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The list has it, with these codes of the list's own group; never empty.
    Listed(Codes),
    /// The list does not have it.
    NotListed,
    /// The list said nothing that could be used.
    Failed(Trouble),
}

impl Answer {
    /// One word for log lines and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Listed(_) => "listed",
            Self::NotListed => "not-listed",
            Self::Failed(trouble) => trouble.name(),
        }
    }
}

/// An answer and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// Where it came from.
    pub origin: Origin,
}

/// What all A records of one response say together.
///
/// In this order: a record outside 127.0.0.0/8, or 127.0.0.1 unless the list refuses with it, makes the whole answer
/// [`Trouble::Bogus`]; a record in 127.255.255.0/24 is a message of the operator and wins over listings beside it; so does the list's own
/// way to say that it does not answer us ([`Trouble::Declined`]); "you asked about an address" (127.0.1.255,
/// 127.0.2.255) is [`Trouble::Misuse`]; then codes that the list's definition knows are a listing, and what
/// is left says nothing.
pub fn classify(list: List, records: &[Ipv4Addr]) -> Answer {
    let is_bogus = |record: &Ipv4Addr| *record == Ipv4Addr::LOCALHOST && !list.is_refusal(*record);
    if records.iter().any(|record| !record.is_loopback() || is_bogus(record)) {
        return Answer::Failed(Trouble::Bogus);
    }
    if let Some(octet) =
        records.iter().copied().filter_map(service).min_by_key(|&octet| (!is_known(octet), octet))
    {
        return Answer::Failed(Trouble::Service(octet));
    }
    if records.iter().any(|record| list.is_refusal(*record)) {
        return Answer::Failed(Trouble::Declined);
    }
    if records.iter().any(|record| list.is_misuse(*record)) {
        return Answer::Failed(Trouble::Misuse);
    }
    let codes = records.iter().fold(list.no_codes(), |codes, record| codes.or(list.codes(*record)));
    if codes.is_empty() { Answer::NotListed } else { Answer::Listed(codes) }
}

/// The records of a [classified](classify) answer that neither list nor operator explains.
pub(super) fn unknown(list: List, records: &[Ipv4Addr]) -> impl Iterator<Item = Ipv4Addr> {
    records.iter().copied().filter(move |record| {
        record.is_loopback()
            && *record != Ipv4Addr::LOCALHOST
            && service(*record).is_none()
            && !list.is_misuse(*record)
            && !list.is_refusal(*record)
            && list.codes(*record).is_empty()
    })
}

fn service(record: Ipv4Addr) -> Option<u8> {
    match record.octets() {
        [127, 255, 255, octet] => Some(octet),
        _ => None,
    }
}

fn is_known(octet: u8) -> bool {
    matches!(octet, 250..=252 | 254 | 255)
}

/// What a name server said: the A records, and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reply {
    pub(super) records: Vec<Ipv4Addr>,
    /// The least time to live of the records; of a negative answer what its SOA says (RFC 2308,
    /// section 5), if it has one. Seconds.
    pub(super) ttl: Option<u32>,
    /// Where an alias leads whose records are not there.
    pub(super) alias: Option<Name>,
}

/// Why a response is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Cut short: to be asked again over TCP.
    Truncated,
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// Cannot be read, or a code that tells nothing about the subject.
    Garbled,
    /// The server cannot be reached at all.
    Unreachable,
}

impl Reply {
    /// What a response with records says to a question about a name: what stands at the end of the aliases that begin there.
    ///
    /// Records of other names, and those of another class, say nothing about the subject (RFC 5452, section 6).
    pub(super) fn found(message: &Message, asked: &Name) -> Result<Self, Fault> {
        tell(message.response_code)?;
        let mut reply = Self::default();
        let end = end(asked, &message.answers).ok_or(Fault::Garbled)?;
        for record in &message.answers {
            if let RData::A(address) = &record.data
                && record.name == *end
                && record.dns_class == DNSClass::IN
            {
                reply.records.push(address.0);
                let ttl = in_bounds(record.ttl);
                reply.ttl = Some(reply.ttl.map_or(ttl, |least| least.min(ttl)));
            }
        }
        Ok(reply)
    }

    /// What the octets of a response say; nothing if they cannot be read.
    pub(super) fn read(octets: &[u8]) -> Option<Result<Self, Fault>> {
        let response = DnsResponse::from_buffer(octets.to_vec()).ok()?;
        if response.truncation {
            return Some(Err(Fault::Truncated));
        }
        let asked = response.queries.first().map(Query::name);
        // A refusal may come without the question, and says what it says.
        let said = asked.map_or_else(
            || tell(response.response_code).map(|()| Self::default()),
            |asked| Self::found(&response, asked),
        );
        Some(said.map(|reply| {
            if !reply.records.is_empty() {
                return reply;
            }
            let end = asked.and_then(|asked| end(asked, &response.answers)).filter(|end| Some(*end) != asked);
            Self { ttl: response.negative_ttl().map(in_bounds), alias: end.cloned(), ..reply }
        }))
    }

    /// What the resolver library takes for an error. Negative answers are among that.
    ///
    /// Nothing of the error is kept or shown: it may quote names.
    pub(super) fn not_found(error: &NetError) -> Result<Self, Fault> {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(nothing)) => {
                tell(nothing.response_code)?;
                Ok(Self { ttl: nothing.negative_ttl.map(in_bounds), ..Self::default() })
            }
            NetError::Dns(DnsError::ResponseCode(code)) => tell(*code).and(Err(Fault::Garbled)),
            // A connection that cannot be made or ends, or on which nothing comes that can be read: it is all the same.
            _ => Err(Fault::Garbled),
        }
    }
}

/// Most aliases in one response, as resolvers follow them. Each is looked for among all records, of which a response over TCP
/// may have thousands.
const ALIASES: usize = 16;

/// The end of the chain of aliases that begins at this name: itself if there is none. Nothing if the chain has no end, or
/// is longer than any that is meant.
fn end<'a>(asked: &'a Name, answers: &'a [Record]) -> Option<&'a Name> {
    let mut end = asked;
    for _ in 0..=ALIASES {
        let next = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *end => Some(&target.0),
            _ => None,
        });
        match next {
            // An alias of itself leads nowhere.
            Some(next) if next != end => end = next,
            _ => return Some(end),
        }
    }
    None
}

/// Whether a response of this code tells something about the subject.
fn tell(code: ResponseCode) -> Result<(), Fault> {
    match code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(()),
        ResponseCode::ServFail => Err(Fault::ServFail),
        ResponseCode::Refused => Err(Fault::Refused),
        _ => Err(Fault::Garbled),
    }
}

/// A time to live with its top bit set counts as zero (RFC 2181, section 8).
fn in_bounds(ttl: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

/// Reads a whole response of a name server as an answer of `list`, whatever the question was.
///
/// For fuzzing and for looking at recorded packets: from the octets on it takes the daemon's way. That a
/// response belongs to its question is not looked at here.
pub fn read(list: List, response: &[u8]) -> Answer {
    match Reply::read(response).unwrap_or(Err(Fault::Garbled)) {
        Ok(reply) => classify(list, &reply.records),
        Err(fault) => Answer::Failed(fault.trouble()),
    }
}

impl Fault {
    pub(super) fn trouble(self) -> Trouble {
        match self {
            Self::ServFail => Trouble::ServFail,
            Self::Refused => Trouble::Refused,
            Self::Truncated | Self::Garbled | Self::Unreachable => Trouble::Network,
        }
    }
}

/// Trouble in plain words: what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words(pub(super) Trouble);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Trouble::Service(octet) => write!(f, "service error {octet} ({})", meaning(octet)),
            Trouble::Timeout => f.write_str("no answer from the name servers"),
            Trouble::ServFail => f.write_str("SERVFAIL from the name server"),
            Trouble::Refused => f.write_str("REFUSED by the name server"),
            Trouble::Network => f.write_str("name servers not reachable, or answers not readable"),
            Trouble::Bogus => f.write_str("answers that the list never gives"),
            Trouble::Declined => f.write_str("the list says that it does not answer us"),
            Trouble::Misuse => f.write_str("the list was asked the wrong kind of question"),
            Trouble::Busy => f.write_str("too many questions at once"),
            Trouble::Resting => f.write_str("not asked for a while"),
            Trouble::NoKey => f.write_str("no key"),
        }
    }
}

/// What the last octet of 127.255.255.x means.
fn meaning(octet: u8) -> &'static str {
    match octet {
        250 => "key disabled",
        251 => "key used against the terms",
        252 => "zone name wrong",
        254 => "asked through a public resolver",
        255 => "too many queries",
        _ => "reserved code",
    }
}

/// What an administrator can do about it.
pub(super) fn remedy(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Service(250) => "renew or replace the key in the Spamhaus customer portal, then reload",
        Trouble::Service(251) => "talk to Spamhaus about this key, or set another one and reload",
        Trouble::Service(252) => "check the zone base setting and the key",
        Trouble::Service(254) => "ask through a recursive resolver of your own",
        Trouble::Service(255) => "the plan's query limit is used up: ask less, or change the plan",
        Trouble::Service(_) => "see the Spamhaus return code documentation",
        Trouble::Timeout | Trouble::Network => {
            "check that the configured name servers run and reach the Internet"
        }
        Trouble::ServFail | Trouble::Refused => {
            "check the key, that the plan includes this list, and that the resolver reaches Spamhaus"
        }
        Trouble::Bogus => "use a resolver that does not rewrite answers",
        Trouble::Declined => "see the list's terms: it may limit queries, or refuse public resolvers",
        Trouble::Misuse | Trouble::Busy | Trouble::Resting | Trouble::NoKey => "see the log",
    }
}
