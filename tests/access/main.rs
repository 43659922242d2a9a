//! Access maps, patterns and address syntax against what milter-spamc and glibc say; see `tests/data/access/README.md`.

mod bounds;
mod cases;
mod chains;
mod differences;
mod lookups;
mod scale;
mod words;

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use gatepost::list::access::{
    Address, Answer, Denial, Exemption, Heard, Host, Map, Options, Rules, Ruling, Search, Standing, Wish,
};

/// A file of the data.
fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/access").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of a table, cut at tabs.
fn rows(name: &str) -> Vec<Vec<String>> {
    let row = |line: &str| line.split('\t').map(str::to_owned).collect();
    data(name).lines().map(row).collect()
}

fn map(text: &str) -> Map {
    Map::parse(text.as_bytes(), &Options::default()).unwrap_or_else(|flaws| panic!("{flaws}")).0
}

fn host(ip: &str, name: &str) -> Host {
    let ip = ip.strip_prefix("IPv6:").unwrap_or(ip);
    Host::new(ip.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()), name.as_bytes())
}

fn nobody() -> Host {
    host("198.51.100.200", "client.example")
}

fn connect(map: &Map, ip: &str, name: &str) -> Answer {
    Search::connect(&host(ip, name), &Rules::default()).run(map)
}

fn mail(map: &Map, sender: &str) -> Answer {
    let sender = Address::parse(sender.as_bytes());
    Search::mail(&nobody(), None, sender.as_ref(), &Rules::default()).run(map)
}

fn rcpt(map: &Map, recipient: &str) -> Answer {
    let recipient = Address::parse(recipient.as_bytes()).expect("a recipient");
    Search::rcpt(&nobody(), None, &recipient, &Rules::default()).run(map)
}

/// What a standing takes of an answer.
fn heard(answer: &Answer) -> Heard {
    Heard { ruling: answer.ruling.clone(), because: "".into() }
}

/// What holds for a recipient of which this is known.
fn to(standing: &mut Standing, answer: &Answer) -> Option<Ruling> {
    standing.rcpt(&heard(answer), Wish::None, Exemption::default()).map(|heard| heard.ruling)
}

/// A ruling in one word, as the tables have it.
fn word(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Nothing => "UNKNOWN",
        Ruling::Allow => "OK",
        Ruling::Refuse(_) => "REJECT",
        Ruling::Defer(_) => "TEMPFAIL",
        Ruling::Discard => "DISCARD",
        Ruling::Quarantine(_) => "QUARANTINE",
    }
}

fn refused(ruling: &Ruling) -> &Denial {
    match ruling {
        Ruling::Refuse(denial) | Ruling::Defer(denial) => denial,
        other => panic!("{other:?}"),
    }
}
