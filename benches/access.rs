//! Access maps: how long a million entries load, how fast a whole question is answered, what it takes; and what a
//! thousand patterns on one key cost.
//!
//! `cargo bench --bench access`; what the figures mean stands in `docs/benchmarks.md`. Each measurement has a process of its own
//! (this binary with its number as the argument), so that no memory of another one counts.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, ExitCode};
use std::time::Instant;

use gatepost::list::access::{Address, Answer, Host, Map, Options, Patterns, Rules, Ruling, Search, Syntax};
use gatepost::list::pattern::Classes;

type Failure = Box<dyn std::error::Error + Send + Sync>;

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["map", number] => {
            number.parse().map_err(Failure::from).and_then(|number: usize| map(&KINDS[number]))
        }
        ["list", number] => {
            number.parse().map_err(Failure::from).and_then(|number: usize| list(LISTS[number]))
        }
        // `cargo test --all-targets` runs benchmarks too, without `--bench`.
        _ if !words.contains(&"--bench") => {
            println!("run with: cargo bench --bench access");
            return ExitCode::SUCCESS;
        }
        _ => run(),
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<u32, Failure> {
    let mut missed = 0;
    println!("\n### Access maps of {ENTRIES} entries\n");
    println!(
        "| map | file MiB | load s | target | result | question us, found | not found | target | result | RSS MiB | target | result | MiB at most |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for number in 0..KINDS.len() {
        missed += child("map", number)?;
    }
    println!("\n### {PATTERNS} patterns on one key\n");
    println!("| patterns | compile ms | decision us, the last | none | target | result | RSS MiB |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for number in 0..LISTS.len() {
        missed += child("list", number)?;
    }
    println!("\n{missed} rows missed a target.");
    Ok(missed)
}

fn child(what: &str, number: usize) -> Result<u32, Failure> {
    let status = Command::new(std::env::current_exe()?).args([what, &number.to_string()]).status()?;
    match status.code() {
        Some(missed @ 0..=1) => Ok(missed.unsigned_abs()),
        _ => Err(format!("{what} {number}: {status}").into()),
    }
}

fn map(kind: &Kind) -> Result<u32, Failure> {
    let mut text = String::with_capacity(96 << 20);
    for n in 0..ENTRIES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", (kind.entry)(n));
    }
    let size = text.len();
    let options = Options { syntax: kind.syntax, ..Options::default() };
    let begun = Instant::now();
    let (map, _) = Map::parse(text.as_bytes(), &options)?;
    let load = begun.elapsed().as_secs_f64();
    drop(text);
    let resident = memory("VmRSS:")?;
    let ask = |first: u64, expected: bool| -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut found = 0;
        for n in 0..QUESTIONS {
            let answer = black_box((kind.ask)(&map, first + mix(n) % ENTRIES));
            found += u64::from(answer.ruling != Ruling::Nothing);
        }
        let each = begun.elapsed().as_secs_f64() * 1e6 / number(QUESTIONS);
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
        number(size as u64) / 1024.0 / 1024.0,
        judge.of(load, LOAD),
        judge.of(found.max(absent), QUESTION),
        judge.of(resident, MEMORY),
        memory("VmHWM:")?,
    );
    Ok(judge.0)
}

fn list((title, pattern): List) -> Result<u32, Failure> {
    let value = (0..PATTERNS).map(|n| pattern(n) + " ").collect::<String>() + "OK";
    let begun = Instant::now();
    let patterns =
        Patterns::new(&value, Classes::Off, &mut Vec::new()).map_err(|errors| errors.join("\n"))?;
    let compile = begun.elapsed().as_secs_f64() * 1e3;
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
        let begun = Instant::now();
        for (ip, n, domain) in &subjects {
            black_box(decide(*ip, *n, domain));
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6 / number(DECISIONS))
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
        memory("VmRSS:")?,
    );
    Ok(judge.0)
}

/// Whether a target was missed.
struct Judge(u32);

impl Judge {
    fn of(&mut self, value: f64, limit: f64) -> &'static str {
        let met = value <= limit;
        self.0 |= u32::from(!met);
        if met { "pass" } else { "**missed**" }
    }
}

/// Numbers without an order, the same in each run (`SplitMix64`).
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Addresses that differ, without an order.
#[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
fn ip(n: u64) -> IpAddr {
    // An odd factor makes of different numbers different ones; 127/8 is no client.
    let bits = (n as u32).wrapping_mul(0x9e37_79b1);
    IpAddr::V4(Ipv4Addr::from_bits(if bits >> 24 == 127 { bits ^ 0x8000_0000 } else { bits }))
}

/// A figure of this process in MiB (`/proc/self/status`).
fn memory(field: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such figure")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes / 1024.0)
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "nothing here counts as far as 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}
