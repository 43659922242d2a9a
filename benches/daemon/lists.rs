//! What sessions notice while a list or an access map of a million entries is replaced under the daemon, and what it takes.

use crate::dns::Behaviour;
use crate::load::{Job, Outcome};
use crate::peer::{Filter, Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::NameServer;
use crate::report::{figure, millis, number};
use crate::sessions::play;
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const ENTRIES: u32 = 1_000_000;

/// Longest wait of a session in milliseconds, and octets of an entry.
const STALL: f64 = 50.0;
const ENTRY: f64 = 64.0;

/// The same of an access map, whose keys and values take as much as they are long.
const KEY: f64 = 200.0;

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Map,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Map => "access map",
        }
    }

    fn config(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::List => format!(
                "[[list]]\nname = \"own\"\nfile = \"{path}\"\nformat = \"ip4set\"\n\
                 [[rule]]\nname = \"own\"\nlist = \"own\"\naction = \"reject\"\n"
            ),
            Self::Map => format!("[access]\nmap = [\"text:{path}\"]\ndelay = \"none\"\n"),
        }
    }

    fn entry(self, address: Ipv4Addr) -> String {
        match self {
            Self::List => format!("{address}\n"),
            Self::Map => format!("Connect:{address}\tREJECT\n"),
        }
    }
}

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    if run.peers_only {
        return Ok(());
    }
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for kind in [Kind::List, Kind::Map] {
        rows.extend(replaced(run, kind, &mut bars)?);
    }
    let header = [
        "what",
        "sessions",
        "wait p50 ms",
        "p99 ms",
        "max ms",
        "target (max)",
        "result",
        "s to replace",
        "MiB at most",
        "octets an entry",
        "target",
        "result",
    ];
    run.report.table("Sessions while a million entries are replaced", &header, &rows);
    let title = "Longest waiting time of a session while a million entries are replaced".into();
    run.report.plot(Plot { name: "lists", title, unit: "ms", bars, target: Some(STALL) });
    Ok(())
}

fn replaced(run: &mut Run, kind: Kind, bars: &mut Vec<Bar>) -> Result<[Vec<String>; 2], Failure> {
    let names = NameServer::start(Behaviour::Answer(0))?;
    let rounds = if run.quick { 2 } else { 8 };
    let peer = Peer::Gatepost(Stage::Connect);
    let without = run.workshop.start(peer, Transport::Tcp, &names)?;
    let job = |filter: &Filter, seconds| Job {
        pause: Duration::from_millis(5),
        budget: Duration::from_secs(seconds),
        ..Job::stream(&filter.door, Crowd::Regulars(16), u32::MAX)
    };
    play(&mut run.report, peer, "no list, first acquaintance", &job(&without, 1))?;
    let empty = without.resident()?;
    drop(without);

    let list = run.workshop.path("list");
    fs::write(&list, written(kind, 0))?;
    let config = run.workshop.path("toml");
    fs::write(&config, kind.config(&list))?;
    let filter =
        run.workshop.start_with(peer, Transport::Tcp, &names, &[("CONFIG", config.display().to_string())])?;
    let what = |when: &str| format!("sessions with a {}, {when}", kind.name());
    play(&mut run.report, peer, &what("first acquaintance"), &job(&filter, 1))?;
    let each = (filter.resident()? - empty) * 1024.0 / f64::from(ENTRIES);
    let at_rest = play(&mut run.report, peer, &what("at rest"), &job(&filter, 5))?;
    // All sessions within the time that the rounds take.
    let (busy, longest) = thread::scope(|scope| {
        let replaced = scope.spawn(|| replace(&filter, kind, &list, rounds));
        let sessions = play(&mut run.report, peer, &what("while it is replaced"), &job(&filter, 3 * rounds));
        let replaced = replaced.join().map_err(|_| Failure::from("what replaces the list panicked"))?;
        Ok::<_, Failure>((sessions?, replaced?))
    })?;
    let figures =
        |outcome: &Outcome| [outcome.wait_p50, outcome.wait_p99, outcome.wait_max].map(|t| figure(millis(t)));
    for (when, outcome) in [("at rest", &at_rest), ("read anew, and reloads", &busy)] {
        let label = format!("{}, {when}", kind.name());
        bars.push(Bar { label, value: millis(outcome.wait_max), own: true });
    }
    let mut calm = vec![format!("{}, at rest", kind.name()), at_rest.good.to_string()];
    calm.extend(figures(&at_rest));
    calm.extend([String::new(), String::new(), String::new(), String::new(), figure(each)]);
    let most = if kind == Kind::List { ENTRY } else { KEY };
    calm.extend(run.report.at_most("octets of an entry in the daemon", each, most));
    let mut row =
        vec![format!("{}, read anew {rounds} times, and a reload each", kind.name()), busy.good.to_string()];
    row.extend(figures(&busy));
    row.extend(run.report.at_most(
        &format!("longest session while a {} is replaced", kind.name()),
        millis(busy.wait_max),
        STALL,
    ));
    row.extend([figure(longest.as_secs_f64()), figure(number(filter.peak()?) / 1024.0)]);
    // What each reading leaves behind would be in it.
    let after = (filter.resident()? - empty) * 1024.0 / f64::from(ENTRIES);
    row.push(figure(after));
    row.extend(run.report.at_most("octets of an entry after all of it", after, most));
    Ok([calm, row])
}

/// Puts new lists in the place of the old one, and orders a reload each time; the longest time from the one to the log line
/// of the other.
fn replace(filter: &Filter, kind: Kind, list: &Path, rounds: u64) -> Result<Duration, Failure> {
    let aside = list.with_extension("aside");
    let mut longest = Duration::ZERO;
    for round in 1..=rounds {
        // Not in the measured time: to make the text takes as long as to read it.
        fs::write(&aside, written(kind, round))?;
        let (read, reloaded) = (filter.lines_with("read anew"), filter.lines_with("event=reloaded"));
        let begun = Instant::now();
        fs::rename(&aside, list)?;
        filter.hang_up()?;
        while filter.lines_with("read anew") == read || filter.lines_with("event=reloaded") == reloaded {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("the list was not read anew\n{}", filter.last_words()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        longest = longest.max(begun.elapsed());
        // The old table is freed by the look after the one that read the new one.
        thread::sleep(Duration::from_secs(1));
    }
    Ok(longest)
}

/// A million addresses that no session comes from, the same but for a comment and the last one.
fn written(kind: Kind, round: u64) -> String {
    let mut text = format!("# {round}\n");
    for n in 0..ENTRIES {
        // An odd factor goes through all numbers without an order; none of them is in 8/8 or 9/8.
        let address = Ipv4Addr::from_bits(0x4000_0000 | n.wrapping_mul(0x9e37_79b1) >> 2);
        text.push_str(&kind.entry(address));
    }
    text
}
