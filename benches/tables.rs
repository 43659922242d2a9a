//! Lists of a million entries: how long they load, how fast they answer, what they take, and whether a reload shows.
//!
//! `cargo bench --bench tables`; what the figures mean stands in `docs/benchmarks.md`. Each list is measured in a
//! process of its own (this binary with the number of the list as its argument), so that no memory of another one counts.

mod alone;

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gatepost::list::{Format, Kind, Table};
use gatepost::smtp::{Domain, NoDomain};
use gatepost::source::{Parse, Parsed, Watcher};

use alone::{Failure, Judge, child, cpu, mebibytes, memory, mix, number};

const ENTRIES: u64 = 1_000_000;
const LOOK_UPS: u64 = 1_000_000;
const RELOADS: usize = 10;

const LOAD: f64 = 3.0;
const LOOK_UP: f64 = 1_000.0;
const ADDRESS: f64 = 64.0;
const STALL: f64 = 50.0;

/// One kind of list.
struct List {
    title: &'static str,
    format: Format,
    kind: Kind,
    entry: fn(&mut String, u64),
}

const LISTS: [List; 9] = [
    List {
        title: "ip4set, addresses",
        format: Format::Ip4Set,
        kind: Kind::Address,
        entry: |text, n| line(text, ip4(n)),
    },
    List {
        title: "ip4set, each with a text of its own",
        format: Format::Ip4Set,
        kind: Kind::Address,
        entry: |text, n| line(text, format_args!("{} :3:see ticket {n}", ip4(n))),
    },
    List {
        title: "ip4trie, networks",
        format: Format::Ip4Trie,
        kind: Kind::Address,
        entry: |text, n| line(text, format_args!("{}/28", Ipv4Addr::from_bits(ip4(n).to_bits() & !15))),
    },
    List {
        title: "ip6trie, addresses",
        format: Format::Ip6Trie,
        kind: Kind::Address,
        entry: |text, n| line(text, ip6(n)),
    },
    List {
        title: "plain, addresses of both families",
        format: Format::Plain,
        kind: Kind::Address,
        entry: |text, n| line(text, ip(n)),
    },
    List {
        title: "dnset, domains and what is below",
        format: Format::Dnset,
        kind: Kind::Domain,
        entry: |text, n| line(text, format_args!(".{}", name(n))),
    },
    List {
        title: "generic",
        format: Format::Generic,
        kind: Kind::Domain,
        entry: |text, n| line(text, format_args!("{} A 127.0.0.2", name(n))),
    },
    List {
        title: "plain, domains",
        format: Format::Plain,
        kind: Kind::Domain,
        entry: |text, n| line(text, name(n)),
    },
    List {
        title: "plain, mailboxes",
        format: Format::Plain,
        kind: Kind::Mailbox,
        entry: |text, n| line(text, format_args!("user{}@{}", n % 1_000, name(n))),
    },
];

/// The lists whose reload is measured: one of addresses, one of domains.
const RELOADED: [usize; 2] = [0, 5];

fn main() -> ExitCode {
    let one = |what: &str, number: usize| {
        let list = LISTS.get(number).ok_or("no such list")?;
        match what {
            "list" => measure(list),
            "reload" => reload(list),
            _ => Err("no such measurement".into()),
        }
    };
    alone::begin("tables", one, run)
}

/// All measurements, each in a process of its own; how many targets were missed.
fn run() -> Result<u32, Failure> {
    let begun = Instant::now();
    let mut missed = 0;
    println!("\n### Lists of {ENTRIES} entries\n");
    println!(
        "| list | file MiB | load s | target | result | look-up ns, listed | not listed | p99.9 | target (look-up) | result | octets an entry | target | result | MiB at most |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for number in 0..LISTS.len() {
        missed += child("list", number)?;
    }
    println!("\n### Look-ups while the list is replaced {RELOADS} times\n");
    println!(
        "| list | look-ups | longest ms, list at rest | longest ms, while it is replaced | target | result | reload s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for number in RELOADED {
        missed += child("reload", number)?;
    }
    println!("\n{} s in all, {missed} targets missed.", begun.elapsed().as_secs());
    Ok(missed)
}

fn measure(list: &List) -> Result<u32, Failure> {
    let text = written(list, 0);
    let size = mebibytes(text.len());
    let before = memory("VmRSS:")?;
    let begun = cpu()?;
    let table = parse(list, text.as_bytes())?;
    let load = cpu()? - begun;
    let each = (memory("VmRSS:")? - before) * 1024.0 / number(ENTRIES);
    drop(text);
    let (listed, rare) = look_up(&table, list, 0, true)?;
    // Numbers that were not drawn; a few of their addresses may still lie in a network.
    let (absent, rarely) = look_up(&table, list, ENTRIES, false)?;
    let slowest = listed.max(absent);
    let judged_size = list.kind == Kind::Address && !list.title.contains("text");
    let mut judge = Judge(0);
    println!(
        "| {} | {size:.1} | {load:.2} | ≤ {LOAD} | {} | {listed:.0} | {absent:.0} | {:.0} | ≤ {LOOK_UP} | {} | {each:.1} | {} | {} | {:.0} |",
        list.title,
        judge.of(load, LOAD),
        rare.max(rarely),
        judge.of(slowest, LOOK_UP),
        if judged_size { format!("≤ {ADDRESS}") } else { String::new() },
        if judged_size { judge.of(each, ADDRESS) } else { "" },
        memory("VmHWM:")? / 1024.0,
    );
    Ok(judge.0)
}

/// Looks up so many subjects; nanoseconds on average, and at p99.9 (which holds the clock's own time, too).
fn look_up(table: &Table, list: &List, first: u64, listed: bool) -> Result<(f64, f64), Failure> {
    const BATCH: u64 = 10_000;
    let mut spent = Duration::ZERO;
    let mut single = Vec::with_capacity(usize::try_from(LOOK_UPS)?);
    let mut found = 0_u64;
    for batch in 0..LOOK_UPS / BATCH {
        let number = |n: u64| first + mix(batch * BATCH + n) % ENTRIES;
        let subjects = (0..BATCH).map(|n| Subject::of(list, number(n))).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        for subject in &subjects {
            found += u64::from(black_box(subject.is_listed(table)));
        }
        spent += begun.elapsed();
        for subject in &subjects {
            let begun = Instant::now();
            black_box(subject.is_listed(table));
            single.push(begun.elapsed());
        }
    }
    let wrong = if listed { found != LOOK_UPS } else { found > LOOK_UPS / 50 };
    if wrong {
        return Err(format!("{}: {found} of {LOOK_UPS} are listed", list.title).into());
    }
    single.sort_unstable();
    let rare = single[single.len() / 1_000 * 999];
    Ok((spent.as_secs_f64() * 1e9 / number(LOOK_UPS), rare.as_secs_f64() * 1e9))
}

/// Look-ups without a pause while the watcher replaces the list.
fn reload(list: &'static List) -> Result<u32, Failure> {
    let folder = tempfile::TempDir::new()?;
    let path = folder.path().join("list");
    fs::write(&path, written(list, 0))?;
    let watcher = Watcher::default();
    let parse: Parse<Table> = Box::new(|octets| {
        let (value, warnings) = Table::parse(list.format, list.kind, octets)?;
        Ok(Parsed { entries: value.entries(), value, warnings })
    });
    let file = watcher.open(&path, list.title, usize::MAX, parse)?;
    watcher.start(Duration::from_millis(100))?;
    let (replacing, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut reloads = Vec::new();
    let (count, rest, busy) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut count, mut rest, mut busy) = (0_u64, Duration::ZERO, Duration::ZERO);
            let subjects: Vec<_> =
                (0..10_000).filter_map(|n| Subject::of(list, mix(n) % ENTRIES).ok()).collect();
            while !done.load(Ordering::Relaxed) {
                let was_replacing = replacing.load(Ordering::Relaxed);
                for subject in &subjects {
                    let begun = Instant::now();
                    black_box(subject.is_listed(&file.current()));
                    let spent = begun.elapsed();
                    let longest = if was_replacing { &mut busy } else { &mut rest };
                    *longest = spent.max(*longest);
                    count += 1;
                }
            }
            (count, rest, busy)
        });
        let mut work = || -> Result<(), Failure> {
            std::thread::sleep(Duration::from_secs(2));
            for round in 1..=RELOADS {
                let aside = folder.path().join("aside");
                // Not in the measured time: to make the text takes as long as to read it.
                fs::write(&aside, written(list, round as u64))?;
                let before = file.state().loaded;
                replacing.store(true, Ordering::Relaxed);
                let begun = Instant::now();
                fs::rename(&aside, &path)?;
                watcher.refresh();
                while file.state().loaded == before {
                    if begun.elapsed().as_secs() > 60 {
                        return Err("the list was not read anew".into());
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                reloads.push(begun.elapsed());
                // The old list is freed by the look after this one.
                watcher.refresh();
                std::thread::sleep(Duration::from_millis(200));
                replacing.store(false, Ordering::Relaxed);
            }
            Ok(())
        };
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let read = reader.join().map_err(|_| Failure::from("the reader panicked"));
        worked.and(read)
    })?;
    let busy = busy.as_secs_f64() * 1e3;
    let mut judge = Judge(0);
    println!(
        "| {} | {count} | {:.3} | {busy:.3} | ≤ {STALL} | {} | {:.2} |",
        list.title,
        rest.as_secs_f64() * 1e3,
        judge.of(busy, STALL),
        reloads.iter().max().map_or(0.0, Duration::as_secs_f64),
    );
    Ok(judge.0)
}

/// What is looked up in a list.
enum Subject {
    Address(IpAddr),
    Domain(Domain),
    Mailbox(String, Domain),
}

impl Subject {
    fn of(list: &List, n: u64) -> Result<Self, Failure> {
        let domain = || Domain::from_setting(&name(n)).map_err(NoDomain::name);
        Ok(match (list.format, list.kind) {
            (Format::Ip6Trie, _) => Self::Address(ip6(n).into()),
            (Format::Plain, Kind::Address) => Self::Address(ip(n)),
            (_, Kind::Address) => Self::Address(ip4(n).into()),
            (Format::Dnset, _) => {
                Self::Domain(Domain::from_setting(&format!("mail.{}", name(n))).map_err(NoDomain::name)?)
            }
            (_, Kind::Domain) => Self::Domain(domain()?),
            (_, Kind::Mailbox) => Self::Mailbox(format!("user{}", n % 1_000), domain()?),
        })
    }

    fn is_listed(&self, table: &Table) -> bool {
        match self {
            Self::Address(ip) => table.address(*ip),
            Self::Domain(name) => table.domain(name),
            Self::Mailbox(local, domain) => table.mailbox(local, Some(domain)),
        }
        .is_some()
    }
}

fn parse(list: &List, text: &[u8]) -> Result<Table, Failure> {
    let (table, _) = Table::parse(list.format, list.kind, text).map_err(|faults| {
        format!("{}:{}", list.title, faults.first().map(ToString::to_string).unwrap_or_default())
    })?;
    Ok(table)
}

/// The text of a list, with a comment that tells it from others of the same entries.
fn written(list: &List, round: u64) -> String {
    let mut text = String::with_capacity(64 << 20);
    line(&mut text, format_args!("# {round}"));
    for n in 0..ENTRIES {
        (list.entry)(&mut text, n);
    }
    text.shrink_to_fit();
    text
}

fn line(text: &mut String, entry: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{entry}");
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is meant")]
fn ip4(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(mix(n) as u32)
}

fn ip6(n: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(mix(n)) << 32 | u128::from(n))
}

fn ip(n: u64) -> IpAddr {
    if n.is_multiple_of(2) { ip4(n).into() } else { ip6(n).into() }
}

fn name(n: u64) -> String {
    format!("{:x}.example{}", mix(n) >> 16, n % 10)
}
