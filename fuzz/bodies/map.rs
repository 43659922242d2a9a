//! Access maps: any octets at all, as a text, as a database, as the values and replies of a server.

use gatepost::list::Fault;
use gatepost::list::access::{
    Action, Address, Answer, Because, Host, Location, Map, Options, Rules, Search, Syntax, Tag, VALUE, Value,
};
use gatepost::list::cdb::Cdb;
use gatepost::list::lmdb::{self, Lmdb};
use gatepost::list::pattern::Classes;
use gatepost::source::map::wire;

/// Whatever comes is a map that answers, or is refused with its faults.
pub fn map(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let options = Options {
        syntax: if first & 8 == 0 { Syntax::Sendmail } else { Syntax::Postfix },
        classes: if first & 16 == 0 { Classes::Off } else { Classes::On },
        ..Options::default()
    };
    match first & 7 {
        0..=2 => text(rest, options),
        3 => database(rest, options),
        4 => value(rest, options),
        5 => replies(rest),
        6 => location(rest),
        _ => lightning(rest, options),
    }
}

fn text(text: &[u8], options: Options) {
    match Map::parse(text, &options) {
        Ok((map, notices)) => {
            check(notices.iter());
            assert!(map.len() <= text.len());
            let again = Map::parse(text, &options).expect("what was good once is good twice").0;
            for words in text.split(|octet| !octet.is_ascii_graphic()).take(40) {
                assert_eq!(ask(&map, words), ask(&again, words));
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            check(faults.iter());
        }
    }
}

/// All that a map says about a word, as a client, a sender and a recipient.
fn ask(map: &Map, word: &[u8]) -> Vec<Answer> {
    // A key without its tag is what the key is about.
    let subject = word.iter().position(|&octet| octet == b':').map_or(word, |at| &word[at + 1..]);
    let ip = std::str::from_utf8(subject).ok().and_then(|text| text.parse().ok());
    let host = Host::new(ip.or_else(|| "192.0.2.9".parse().ok()), subject);
    let (sender, rules) = (Address::parse(subject), Rules::default());
    let mut answers = vec![
        Search::connect(&host, &rules).run(map),
        Search::mail(&host, std::str::from_utf8(word).ok(), sender.as_ref(), &rules).run(map),
    ];
    answers
        .extend(sender.as_ref().map(|address| Search::rcpt(&host, Some(address), address, &rules).run(map)));
    for answer in &answers {
        // Five tags, of which three are pairs of the deepest names.
        assert!(answer.chain.len() < 9_000, "{}", answer.chain.len());
        if let Because::Hit(hit) = &answer.because {
            assert!(answer.chain.contains(&hit.key) && map.get(&hit.key).is_some(), "{hit:?}");
        }
    }
    answers
}

fn database(octets: &[u8], options: Options) {
    // A header that fits, so that what follows can be records.
    let mut framed = vec![0; 2_048];
    let end = u32::try_from(2_048 + octets.len()).expect("a small input");
    let slots = 4_096_u32;
    framed.chunks_exact_mut(8).for_each(|table| table[..4].copy_from_slice(&end.to_le_bytes()));
    framed[4..8].copy_from_slice(&slots.to_le_bytes());
    framed.extend_from_slice(octets);
    framed.resize(framed.len() + slots as usize * 8, 0);
    for octets in [octets, &framed] {
        let Ok(cdb) = Cdb::new(octets) else { continue };
        assert_eq!(cdb.records().count(), cdb.len());
        let size: usize = cdb.records().map(|(key, value)| 8 + key.len() + value.len()).sum();
        assert!(size <= octets.len());
        records(&cdb.records().collect::<Vec<_>>(), options);
    }
}

fn records(records: &[(&[u8], &[u8])], options: Options) {
    match Map::from_records(records.iter().copied(), &options) {
        Ok((map, notices)) => {
            check(notices.iter());
            records.iter().take(20).for_each(|(key, _)| drop(ask(&map, key)));
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            check(faults.iter());
        }
    }
}

fn lightning(octets: &[u8], options: Options) {
    match Lmdb::new(octets) {
        Ok(database) => {
            assert!(lmdb::begins(octets));
            let all: Vec<(&[u8], &[u8])> = database.records().collect();
            assert_eq!(all.len(), database.len());
            let size: usize = all.iter().map(|(key, value)| 8 + key.len() + value.len()).sum();
            assert!(size <= octets.len());
            // Each key stands behind the one before it.
            assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
            records(&all, options);
        }
        Err(error) => assert!(!error.to_string().contains(gatepost::smtp::is_unprintable)),
    }
}

fn value(value: &[u8], options: Options) {
    for tag in [Tag::Bare, Tag::Spam, Tag::FromTo] {
        let mut notices = Vec::new();
        match Value::read(tag, value, options.syntax, options.classes, &mut notices) {
            Ok(Value::Patterns(patterns)) => {
                let text = String::from_utf8_lossy(value).to_ascii_lowercase();
                let words: Vec<&str> = text.split(' ').take(8).collect();
                let found = patterns.decide("192.0.2.9".parse().ok(), &words);
                // Asked word by word it says the same: the first pattern that matches any of them.
                let first = words
                    .iter()
                    .filter_map(|word| patterns.decide("192.0.2.9".parse().ok(), &[word]))
                    .map(|found| found.pattern)
                    .min_by_key(|&pattern| if pattern == 0 { usize::MAX } else { pattern });
                if !words.is_empty() {
                    assert_eq!(found.map(|found| found.pattern), first);
                }
            }
            Ok(Value::Action(action)) => {
                if let Action::Refuse(denial) | Action::Defer(denial) = action {
                    assert!((400..=599).contains(&denial.code) && denial.reply("words").is_ok());
                }
            }
            Err(causes) => assert!(!causes.is_empty()),
        }
        assert!(notices.iter().all(|notice| !notice.contains(gatepost::smtp::is_unprintable)), "{notices:?}");
    }
    assert!(
        value.len() <= VALUE
            || Value::read(Tag::Bare, value, options.syntax, options.classes, &mut Vec::new()).is_err()
    );
}

fn replies(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((reply, size))) = wire::take(rest) {
        assert!(reply.len() <= wire::REPLY && size <= rest.len() && size > reply.len());
        // However it comes in pieces, nothing is taken before it is whole.
        assert!((0..size).all(|size| wire::take(&rest[..size]) == Ok(None)));
        let _ = wire::reply(reply);
        if let Ok(key) = std::str::from_utf8(reply) {
            let question = wire::query("access", key);
            let (inside, size) = wire::take(&question).expect("legal").expect("whole");
            assert!(size == question.len() && inside.strip_prefix(b"access ") == Some(reply));
        }
        rest = &rest[size..];
    }
}

fn location(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Location>() {
        Ok(location) => assert_eq!(location.to_string().parse(), Ok(location)),
        Err(bad) => {
            let said = bad.to_string();
            assert!(!bad.cause.is_empty() && !said.contains(gatepost::smtp::is_unprintable), "{said:?}");
        }
    }
}

/// What an administrator reads is one line, and not long.
fn check<'a>(faults: impl Iterator<Item = &'a Fault>) {
    for fault in faults {
        let line = fault.to_string();
        assert!(
            !fault.cause.is_empty() && line.len() < 800 && !line.contains(gatepost::smtp::is_unprintable),
            "{line:?}"
        );
    }
}
