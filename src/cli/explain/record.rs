//! Our own decisions, read back from the log.
//!
//! Takes the lines of standard error, whatever syslog put in front of them, and entries of the journal as
//! journalctl(1) prints them with `-o json`, `-o export` or `-o verbose`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use crate::smtp::Stage;
use crate::verdict::{Act, Identity};

/// What the fields of an entry of ours begin with in the journal.
const PREFIX: &str = "GATEPOST_";
/// From this length on a text that ends in dots was cut short: a field has 256 characters.
const LONG: usize = 250;

/// Most findings that are kept of one message for its later decisions: more than the lists of any configuration make,
/// and so few that a log of one endless session costs no more than its length.
const FINDINGS: usize = 256;

/// One line about one decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record(BTreeMap<String, String>);

/// All lines about the same decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) stage: Stage,
    pub(super) records: Vec<Arc<Record>>,
    /// Lines about earlier decisions of the same message, one for each finding about anything but a recipient: what was
    /// found is told once.
    earlier: Vec<Arc<Record>>,
}

impl Record {
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// What a client said, as octets: it was made safe before it became a field.
    pub(super) fn said(&self, name: &str) -> Vec<u8> {
        unescaped(self.field(name))
    }

    /// Whether what a client said was too long for the log.
    pub(super) fn is_cut(&self) -> bool {
        ["helo", "mail_from", "rcpt"]
            .into_iter()
            .any(|name| self.field(name).len() >= LONG && self.field(name).ends_with("..."))
    }

    /// What was done on account of it; nothing for a line that only tells.
    pub(super) fn act(&self) -> Option<Act> {
        let act = Act::ALL.into_iter().find(|act| act.name() == self.field("action"));
        act.filter(|act| *act > Act::Log)
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        Identity::ALL.into_iter().find(|identity| identity.name() == self.field("identity"))
    }

    fn stage(&self) -> Option<Stage> {
        self.field("stage").parse().ok()
    }

    /// What all lines about one decision have in common.
    fn decision(&self) -> [String; 5] {
        ["session", "qid", "stage", "mail_from", "rcpt"].map(|name| self.field(name).to_owned())
    }

    fn tells_the_same_as(&self, other: &Self) -> bool {
        ["identity", "zone", "subject", "reason", "codes"]
            .into_iter()
            .all(|name| self.field(name) == other.field(name))
    }
}

impl Decided {
    /// All lines that tell what lists have said.
    pub(super) fn told(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().chain(&self.earlier).map(|record| &**record)
    }

    /// The line about what was done, the strongest; the first one if nothing was.
    pub(super) fn reason(&self) -> &Record {
        let mut best = &self.records[0];
        for record in &self.records {
            if record.act() > best.act() {
                best = record;
            }
        }
        best
    }
}

/// The decisions that a text tells of, in its order.
pub(super) fn read(text: &str) -> Vec<Decided> {
    let mut decided: Vec<Decided> = Vec::new();
    let mut places: BTreeMap<[String; 5], usize> = BTreeMap::new();
    // What was found, by session, client and sender; before MAIL there is none.
    let mut found: BTreeMap<[String; 3], Vec<Arc<Record>>> = BTreeMap::new();
    let mut keep = |fields: BTreeMap<String, String>| {
        let record = Record(fields);
        if record.field("event") != "verdict" {
            return;
        }
        // At its end a message is refused for its header fields, which no log tells of.
        let Some(stage) = record.stage().filter(|stage| *stage != Stage::Message) else { return };
        let record = Arc::new(record);
        let message = ["session", "client_ip", "mail_from"].map(|name| record.field(name).to_owned());
        match places.entry(record.decision()) {
            Entry::Occupied(place) => decided[*place.get()].records.push(Arc::clone(&record)),
            Entry::Vacant(place) => {
                place.insert(decided.len());
                let [session, client, sender] = message.clone();
                let of_session = found.get(&[session, client, String::new()]).into_iter().flatten();
                let of_message = found.get(&message).filter(|_| !sender.is_empty()).into_iter().flatten();
                let earlier = of_session.chain(of_message).map(Arc::clone).collect();
                decided.push(Decided { stage, records: vec![Arc::clone(&record)], earlier });
            }
        }
        let found = found.entry(message).or_default();
        let is_new = || !found.iter().any(|known| known.tells_the_same_as(&record));
        if record.identity() != Some(Identity::Recipient) && found.len() < FINDINGS && is_new() {
            found.push(record);
        }
    };
    // An entry that has a line for each field goes on until there is an empty line, or a field comes again.
    let mut entry = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some((name, value)) = journal_field(line) {
            if entry.contains_key(&name) {
                keep(std::mem::take(&mut entry));
            }
            entry.insert(name, value);
            continue;
        }
        if line.is_empty() {
            keep(std::mem::take(&mut entry));
        } else if line.starts_with('{') {
            keep(json_fields(line));
        } else if let Some(at) = line.find("event=verdict ") {
            keep(pairs(&line[at..]));
        }
    }
    keep(entry);
    decided
}

/// `GATEPOST_RCPT=…`.
fn journal_field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix(PREFIX)?.split_once('=')?;
    Some((name.to_ascii_lowercase(), unescape(value)))
}

/// One object of `journalctl -o json`.
fn json_fields(line: &str) -> BTreeMap<String, String> {
    let entry: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap_or_default();
    let field = |(name, value): (String, serde_json::Value)| {
        let name = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        Some((name, unescape(value.as_str()?)))
    };
    entry.into_iter().filter_map(field).collect()
}

/// `name=value name="value with blanks"`.
fn pairs(line: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| *c == ' ').is_some() {}
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| *c != '=' && *c != ' ') {
            name.push(c);
        }
        if rest.next_if_eq(&'=').is_none() {
            if rest.peek().is_none() {
                return fields;
            }
            continue;
        }
        let value = value(&mut rest);
        fields.insert(name, value);
    }
}

fn value(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut raw = String::new();
    if rest.next_if_eq(&'"').is_none() {
        while let Some(c) = rest.next_if(|c| *c != ' ') {
            raw.push(c);
        }
        return raw;
    }
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => {
                raw.push(c);
                raw.extend(rest.next());
            }
            c => raw.push(c),
        }
    }
    unescape(&raw)
}

/// A text that [`printable`](crate::smtp::printable) made safe, as it was.
fn unescape(text: &str) -> String {
    String::from_utf8_lossy(&unescaped(text)).into_owned()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |octets: &[u8]| u8::from_str_radix(std::str::from_utf8(octets).ok()?, 16).ok();
        match (first, rest) {
            (b'\\', [b'x', a, b, tail @ ..]) if hex(&[*a, *b]).is_some() => {
                octets.extend(hex(&[*a, *b]));
                rest = tail;
            }
            (b'\\', [next @ (b'\\' | b'"'), tail @ ..]) => {
                octets.push(*next);
                rest = tail;
            }
            _ => octets.push(*first),
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "Nov 21 mx gatepost[7]: 2026-11-21T07:17:21.274Z INFO event=verdict session=6b.4 qid=NOQUEUE \
        stage=mail action=reject identity=client zone=zen list=SBL codes=127.0.0.2 subject=8.8.2.2 client_ip=8.8.2.2 \
        helo=\"a \\\\\\\"b\\\\\\\" \\\\x0a event=verdict stage=rcpt\" mail_from=<u@x.example> rcpt=\"\" auth=0 \
        reply=\"554 5.7.1 no\" reason=listed rule=zen score=0 message=\"reject at mail\"";

    #[test]
    fn a_line_is_read_in_every_form_in_which_it_was_written() {
        let plain = read(LINE);
        assert_eq!(plain.len(), 1, "{plain:#?}");
        let record = plain[0].reason();
        assert_eq!(
            (plain[0].stage, record.act(), record.field("rule")),
            (Stage::Mail, Some(Act::Refuse), "zen")
        );
        assert_eq!(record.said("helo"), b"a \"b\" \n event=verdict stage=rcpt");
        assert_eq!((record.field("rcpt"), record.field("reply")), ("", "554 5.7.1 no"));
        let fields = record.0.iter().map(|(name, value)| {
            let value = crate::smtp::printable(value.as_bytes(), 1_000);
            (format!("{PREFIX}{}", name.to_ascii_uppercase()), value)
        });
        let fields: BTreeMap<String, String> = fields.collect();
        let json = serde_json::to_string(&fields).expect("JSON");
        assert_eq!(read(&json), plain);
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("    {name}={value}")).collect();
        let verbose = format!("Fri 2026-11-21 07:17:21 UTC [s=1]\n{}\n", lines.join("\n"));
        assert_eq!(read(&verbose), plain);
        assert_eq!(read(&format!("{verbose}{verbose}")).len(), 1, "two lines about the same");
        assert_eq!(read(&format!("{verbose}{verbose}"))[0].records.len(), 2);
    }

    #[test]
    fn what_is_no_decision_of_ours_is_passed_over() {
        for text in [
            "",
            "hello",
            "{",
            "[1]",
            "event=ready x=1",
            "event=verdict stage=",
            "event=verdict stage=message action=reject rule=forged-fields",
            "{\"GATEPOST_EVENT\":\"verdict\"}",
            "a=\"b",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn lines_about_one_decision_stand_together_and_the_strongest_is_its_reason() {
        let line = |stage: &str, action: &str, rcpt: &str| {
            format!("event=verdict session=1.1 stage={stage} action={action} rcpt={rcpt} rule={action}\n")
        };
        let text = [
            line("rcpt", "tag", "<a@x>"),
            line("rcpt", "would-reject", "<a@x>"),
            line("rcpt", "quarantine", "<a@x>"),
            line("rcpt", "log", "<b@x>"),
        ];
        let decided = read(&text.concat());
        let reasons: Vec<_> =
            decided.iter().map(|one| (one.records.len(), one.reason().field("rule"))).collect();
        assert_eq!(reasons, [(3, "quarantine"), (1, "log")]);
        assert_eq!(decided[1].reason().act(), None);
    }

    #[test]
    fn a_decision_keeps_each_earlier_finding_of_its_message_once_and_none_about_other_recipients() {
        let line = |stage: &str, identity: &str, subject: &str, rcpt: usize| {
            format!(
                "event=verdict session=1.1 stage={stage} action=reject identity={identity} zone=zen reason=listed \
                 subject={subject} client_ip=8.8.2.2 mail_from={} rcpt=<{rcpt}@x>\n",
                if stage == "rcpt" { "<a@x>" } else { "" }
            )
        };
        let mut text = line("connect", "client", "8.8.2.2", 0);
        for rcpt in 0..4_000 {
            text += &line("rcpt", "client", "8.8.2.2", rcpt);
            text += &line("rcpt", "recipient", &format!("{rcpt}@x"), rcpt);
        }
        let decided = read(&text);
        assert_eq!(decided.len(), 4_001);
        let earlier = |one: &Decided| -> Vec<String> {
            one.earlier.iter().map(|record| record.field("subject").to_owned()).collect()
        };
        assert_eq!(earlier(&decided[1]), ["8.8.2.2"]);
        assert_eq!(earlier(&decided[4_000]), ["8.8.2.2", "8.8.2.2"], "at CONNECT, and of the message");
        let ever_new: String =
            (0..4_000).map(|n| line("rcpt", "sender", &format!("{n}.example"), n)).collect();
        assert_eq!(read(&ever_new).iter().map(|one| one.earlier.len()).max(), Some(FINDINGS));
    }
}
