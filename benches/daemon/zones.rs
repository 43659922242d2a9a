//! The three DQS zones as the bench's own name server knows them, in DNS messages.
//!
//! By name pattern listed, or NXDOMAIN with an SOA record; nothing is sent or received here.

use crate::subject::{self, KEY};

const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;
const REFUSED: u8 = 5;
const SERVER_FAILURE: u8 = 2;
const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;
const CLASS_IN: [u8; 2] = [0, 1];
const TTL: [u8; 4] = 300_u32.to_be_bytes();

/// A query of one question (RFC 1035, section 4.1.2).
pub(crate) struct Question {
    /// In lower case, without the last dot.
    pub(crate) name: String,
    kind: u16,
    /// Where the question ends in the query.
    end: usize,
    /// Where `dq.spamhaus.net` begins in the query, for compression.
    apex: usize,
}

impl Question {
    pub(crate) fn parse(query: &[u8]) -> Option<Self> {
        if query.get(2)? & 0x80 != 0 || query.get(4..6)? != [0, 1] {
            return None;
        }
        let (mut at, mut name, mut starts) = (12, String::new(), Vec::new());
        loop {
            let length = usize::from(*query.get(at)?);
            if length == 0 {
                break;
            }
            if length > 63 {
                return None;
            }
            starts.push(at);
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&String::from_utf8_lossy(query.get(at + 1..=at + length)?).to_ascii_lowercase());
            at += length + 1;
        }
        let kind = u16::from_be_bytes([*query.get(at + 1)?, *query.get(at + 2)?]);
        let apex = starts.len().checked_sub(3).map_or(12, |label| starts[label]);
        query.get(at + 3..at + 5)?;
        Some(Self { name, kind, end: at + 5, apex })
    }

    /// The answer of a server that knows the zones.
    pub(crate) fn resolve(&self, query: &[u8]) -> Vec<u8> {
        // Lists that have nobody.
        if self.name.ends_with(".lists.example") {
            return self.reply(query, NAME_ERROR, &[]);
        }
        let zone = self.name.strip_suffix(".dq.spamhaus.net").and_then(|rest| rest.rsplit_once('.'));
        // A wrong key is refused, as by the real service: a filter that garbles it must not look clean.
        let Some((subject, zone)) = zone.and_then(|(rest, zone)| {
            rest.strip_suffix(KEY).and_then(|rest| rest.strip_suffix('.')).map(|subject| (subject, zone))
        }) else {
            return self.reply(query, REFUSED, &[]);
        };
        match subject::listing(zone, subject) {
            Some(address) if self.kind == TYPE_A => {
                let mut record = vec![0xc0, 12];
                record.extend(TYPE_A.to_be_bytes());
                record.extend(CLASS_IN);
                record.extend(TTL);
                record.extend([0, 4]);
                record.extend(address.octets());
                self.reply(query, NO_ERROR, &record)
            }
            Some(_) => self.reply(query, NO_ERROR, &[]),
            None => self.reply(query, NAME_ERROR, &[]),
        }
    }

    pub(crate) fn refuse(&self, query: &[u8]) -> Vec<u8> {
        self.reply(query, REFUSED, &[])
    }

    pub(crate) fn fail(&self, query: &[u8]) -> Vec<u8> {
        self.reply(query, SERVER_FAILURE, &[])
    }

    /// One answer record, or the SOA record that says how long a "no" holds (RFC 2308).
    fn reply(&self, query: &[u8], code: u8, record: &[u8]) -> Vec<u8> {
        let answers = u8::from(!record.is_empty());
        let authorities = u8::from(record.is_empty() && !matches!(code, REFUSED | SERVER_FAILURE));
        let mut reply = Vec::with_capacity(self.end + 64);
        reply.extend(&query[..2]);
        reply.extend([0x84 | (query[2] & 1), 0x80 | code, 0, 1, 0, answers, 0, authorities, 0, 0]);
        reply.extend(&query[12..self.end]);
        reply.extend(record);
        if authorities == 1 {
            let apex = [0xc0, u8::try_from(self.apex).unwrap_or(12)];
            reply.extend(apex);
            reply.extend(TYPE_SOA.to_be_bytes());
            reply.extend(CLASS_IN);
            reply.extend(TTL);
            reply.extend([0, 24]);
            reply.extend(apex); // primary server
            reply.extend(apex); // mailbox
            for number in [1, 60, 60, 3600, 300_u32] {
                reply.extend(number.to_be_bytes());
            }
        }
        reply
    }
}
