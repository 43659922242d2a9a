//! Access maps: how long a million entries load, how fast a whole question is answered, what it takes; and what a
//! thousand patterns on one key cost.
//!
//! `cargo bench --bench access`; what the figures mean stands in `docs/benchmarks.md`. Each measurement has a process of its own
//! (this binary with its number as the argument), so that no memory of another one counts.

mod alone;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use gatepost::list::access::{Address, Answer, Host, Map, Options, Patterns, Rules, Ruling, Search, Syntax};
use gatepost::list::pattern::Classes;

use alone::{Failure, Judge, child, cpu, mebibytes, memory, mix, number};

const ENTRIES: u64 = 1_000_000;
const QUESTIONS: u64 = 200_000;
const PATTERNS: u64 = 1_000;
const DECISIONS: u64 = 20_000;

const LOAD: f64 = 3.0;
const QUESTION: f64 = 5.0;
const MEMORY: f64 = 200.0;
const DECISION: f64 = 100.0;

/// One kind of map, and what is asked of it.
struct Kind {
    title: &'static str,
    syntax: Syntax,
    entry: fn(u64) -> String,
    ask: fn(&Map, u64) -> Answer,
}

const KINDS: [Kind; 4] = [
    Kind {
        title: "Connect:, addresses",
        syntax: Syntax::Sendmail,
        entry: |n| format!("Connect:{}\tREJECT", ip(n)),
        ask: |map, n| {
            Search::connect(&Host::new(Some(ip(n)), b"mail.isp.example.net"), &Rules::default()).run(map)
        },
    },
    Kind {
        title: "From:, mailboxes and domains",
        syntax: Syntax::Sendmail,
        entry: |n| {
            let user = if n.is_multiple_of(2) { format!("user{n}@") } else { String::new() };
            format!("From:{user}d{n}.example\tERROR:5.7.1:550 not from d{n}.example")
        },
        ask: |map, n| {
            let sender = Address::parse(format!("<user{n}@d{n}.example>").as_bytes());
            Search::mail(&Host::default(), None, sender.as_ref(), &Rules::default()).run(map)
        },
    },
    Kind {
        title: "To:, mailboxes, gatepost's own tag",
        syntax: Syntax::Sendmail,
        entry: |n| format!("gatepost-To:user{n}@lists.example.org\t!*@d{}.example!REJECT OK", n % 1_000),
        ask: |map, n| {
            let recipient = Address::parse(format!("<User{n}+x@lists.example.org>").as_bytes());
            let recipient = recipient.expect("an address");
            Search::rcpt(&Host::new(Some(ip(n)), b""), None, &recipient, &Rules::default()).run(map)
        },
    },
    Kind {
        title: "Postfix, domains",
        syntax: Syntax::Postfix,
        entry: |n| format!("d{n}.example 554 5.7.1 go away"),
        ask: |map, n| {
            let sender = Address::parse(format!("<user@a.b.d{n}.example>").as_bytes());
            Search::mail(&Host::default(), None, sender.as_ref(), &Rules::default()).run(map)
        },
    },
];

/// Lists of patterns on one key, of which the last one matches what is asked.
type List = (&'static str, fn(u64) -> String);

const LISTS: [List; 6] = [
    ("globs, domains", |n| format!("!*@spam{n}.example!REJECT")),
    ("globs, local parts", |n| format!("!user{n}+*@*!REJECT")),
    ("expressions, domains", |n| format!("/^user[0-9]+.*@spam{n}\\.example$/REJECT")),
    ("expressions without any text", |n| format!("/^[a-z]{{{}}}[0-9]+[+]x@/REJECT", 1_003 - n)),
    ("networks", |n| format!("[198.51.{}.{}/32]REJECT", 100 + n / 250, n % 250)),
    ("all of these", |n| match n % 4 {
        0 => format!("!*@spam{n}.example!REJECT"),
        1 => format!("/^u[a-z]*[0-9]{{{}}}@/REJECT", n % 30 + 3),
        2 => format!("/(spam{n}|x{n})[.]example$/REJECT"),
        _ => format!("[198.51.{}.{}/32]REJECT", 100 + n / 250, n % 250),
    }),
];

fn main() -> ExitCode {
    let one = |what: &str, number: usize| match what {
        "map" => map(KINDS.get(number).ok_or("no such map")?),
        "list" => list(*LISTS.get(number).ok_or("no such list")?),
        _ => Err("no such measurement".into()),
    };
    alone::begin("access", one, run)
}

fn run() -> Result<u32, Failure> {
    let mut missed = 0;
    println!("\n### Access maps of {ENTRIES} entries\n");
    println!(
        "| map | file MiB | load s | target | result | question µs, found | not found | target | result | RSS MiB | target | result | MiB at most |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for number in 0..KINDS.len() {
        missed += child("map", number)?;
    }
    println!("\n### {PATTERNS} patterns on one key\n");
    println!("| patterns | compile ms | decision µs, the last | none | target | result | RSS MiB |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for number in 0..LISTS.len() {
        missed += child("list", number)?;
    }
    println!("\n{missed} rows missed a target.");
    Ok(missed)
}

fn map(kind: &Kind) -> Result<u32, Failure> {
    let mut text = String::with_capacity(96 << 20);
    for n in 0..ENTRIES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", (kind.entry)(n));
    }
    let size = text.len();
    let options = Options { syntax: kind.syntax, ..Options::default() };
    let begun = cpu()?;
    let (map, _) = Map::parse(text.as_bytes(), &options)?;
    let load = cpu()? - begun;
    drop(text);
    let resident = memory("VmRSS:")? / 1024.0;
    let ask = |first: u64, expected: bool| -> Result<f64, Failure> {
        let begun = cpu()?;
        let mut found = 0;
        for n in 0..QUESTIONS {
            let answer = black_box((kind.ask)(&map, first + mix(n) % ENTRIES));
            found += u64::from(answer.ruling != Ruling::Nothing);
        }
        let each = (cpu()? - begun) * 1e6 / number(QUESTIONS);
        if found == if expected { QUESTIONS } else { 0 } {
            Ok(each)
        } else {
            Err(format!("{}: {found} of {QUESTIONS} found", kind.title).into())
        }
    };
    let (found, absent) = (ask(0, true)?, ask(ENTRIES, false)?);
    let mut judge = Judge(0);
    println!(
        "| {} | {:.1} | {load:.2} | ≤ {LOAD} | {} | {found:.2} | {absent:.2} | ≤ {QUESTION} | {} | {resident:.0} | ≤ {MEMORY} | {} | {:.0} |",
        kind.title,
        mebibytes(size),
        judge.of(load, LOAD),
        judge.of(found.max(absent), QUESTION),
        judge.of(resident, MEMORY),
        memory("VmHWM:")? / 1024.0,
    );
    Ok(judge.0)
}

fn list((title, pattern): List) -> Result<u32, Failure> {
    let value = (0..PATTERNS).map(|n| pattern(n) + " ").collect::<String>() + "OK";
    let begun = cpu()?;
    let patterns =
        Patterns::new(&value, Classes::Off, &mut Vec::new()).map_err(|errors| errors.join("\n"))?;
    let compile = (cpu()? - begun) * 1e3;
    let decide = |ip: IpAddr, n: u64, domain: &str| {
        // Local parts that differ: no two questions are alike.
        let address = format!("user{n}+x@{domain}");
        let (ip_text, host) = (ip.to_string(), format!("host{n}.isp.example.net"));
        let texts = [host.as_str(), &ip_text, &address];
        patterns.decide(Some(ip), &texts).map(|found| found.pattern)
    };
    let last = format!("spam{}.example", PATTERNS - 1);
    let matching = |n: u64| match title {
        "networks" => {
            (format!("198.51.{}.{}", 100 + (PATTERNS - 1) / 250, (PATTERNS - 1) % 250), n, "a.example")
        }
        "globs, local parts" => ("192.0.2.1".to_owned(), PATTERNS - 1, "a.example"),
        _ => ("192.0.2.1".to_owned(), 100_000 + n, last.as_str()),
    };
    let time = |subject: &dyn Fn(u64) -> (String, u64, String)| -> Result<f64, Failure> {
        let subjects: Vec<(IpAddr, u64, String)> = (0..DECISIONS)
            .map(subject)
            .map(|(ip, n, domain)| Ok((ip.parse()?, n, domain)))
            .collect::<Result<_, Failure>>()?;
        let begun = cpu()?;
        for (ip, n, domain) in &subjects {
            black_box(decide(*ip, *n, domain));
        }
        Ok((cpu()? - begun) * 1e6 / number(DECISIONS))
    };
    let found = time(&|n| {
        let (ip, n, domain) = matching(n);
        (ip, n, domain.to_owned())
    })?;
    let none = time(&|n| ("192.0.2.1".to_owned(), 5_000_000 + n, "quiet.example".to_owned()))?;
    let mut judge = Judge(0);
    println!(
        "| {title} | {compile:.1} | {found:.1} | {none:.1} | ≤ {DECISION} | {} | {:.0} |",
        judge.of(found.max(none), DECISION),
        memory("VmRSS:")? / 1024.0,
    );
    Ok(judge.0)
}

/// Addresses that differ, without an order.
#[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
fn ip(n: u64) -> IpAddr {
    // An odd factor makes of different numbers different ones; 127/8 is no client.
    let bits = (n as u32).wrapping_mul(0x9e37_79b1);
    IpAddr::V4(Ipv4Addr::from_bits(if bits >> 24 == 127 { bits ^ 0x8000_0000 } else { bits }))
}
