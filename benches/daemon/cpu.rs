//! CPU per session: with every answer in the cache, and with none.

use crate::dns::Behaviour;
use crate::goals::Goal;
use crate::load::Job;
use crate::peer::{Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::NameServer;
use crate::report::{figure, no_target};
use crate::rounds::{Runner, chosen, rounds};
use crate::sessions::play;
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::fmt::Write as _;
use std::fs;

/// Enough for a median that two runs agree on.
const ROUNDS: u32 = 21;

pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Unix];

/// Sixteen clients come again and again; all is known after the first time.
pub(crate) fn warm(run: &mut Run) -> Result<(), Failure> {
    let sessions = if run.quick { 2_000 } else { 2_500 };
    // With a verdict at CONNECT there is nothing to say at RCPT, so that command is negotiated away and spares
    // an exchange; with a verdict at RCPT the work is like for like with the bare filter. The second bare
    // filter shows how far two equal filters are apart in this run.
    let peers = [
        Peer::Bare,
        Peer::Libmilter,
        Peer::Gatepost(Stage::Connect),
        Peer::Gatepost(Stage::Rcpt),
        Peer::Python,
        Peer::Bare,
    ];
    let names = NameServer::start(Behaviour::Answer(0))?;
    let mut runners = Vec::new();
    for transport in TRANSPORTS {
        for peer in chosen(run, &peers) {
            let filter = run.workshop.start(peer, transport, &names)?;
            let sessions = if peer == Peer::Python { sessions / 3 } else { sessions };
            runners.push(Runner::new(filter, sessions));
        }
    }
    for runner in &runners {
        let greeting = Job::stream(&runner.filter.door, Crowd::Regulars(16), 200);
        play(&mut run.report, runner.filter.peer, "warm, first acquaintance", &greeting)?;
    }
    rounds(run, &mut runners, ROUNDS, |_, _| Crowd::Regulars(16))?;

    let mut rows = Vec::new();
    for transport in TRANSPORTS {
        let of =
            |peer| runners.iter().find(|one| one.filter.peer == peer && one.filter.transport == transport);
        let (Some(bare), Some(python)) = (of(Peer::Bare), of(Peer::Python)) else { continue };
        for runner in runners.iter().filter(|runner| runner.filter.transport == transport) {
            let (to_bare, to_python) = (runner.ratio(bare), runner.ratio(python));
            let mut row = runner.cells()?;
            if runner.filter.peer == Peer::Bare && !std::ptr::eq(runner, bare) {
                row[0].push_str(", a second one");
            }
            row.extend([figure(to_bare), figure(to_python)]);
            row.extend(match (runner.filter.peer, transport) {
                (Peer::Gatepost(stage), transport) => judged(run, stage, transport, to_bare, 1.0 / to_python),
                _ => no_target(),
            });
            rows.push(row);
        }
    }
    let header = [
        "filter",
        "socket",
        "replies",
        "µs CPU/session",
        "spread",
        "sessions/s",
        "in the kernel",
        "× bare",
        "× Python",
        "target",
        "result",
    ];
    run.report.table("Warm: every answer is in the cache", &header, &rows);
    for transport in TRANSPORTS {
        let of = runners.iter().filter(|runner| runner.filter.transport == transport);
        let (name, socket) = match transport {
            Transport::Tcp => ("warm-tcp", "TCP"),
            Transport::Unix => ("warm-unix", "Unix sockets"),
        };
        run.report.plot(costs(name, format!("CPU of a session, answers in the cache, {socket}"), of));
    }
    Ok(())
}

/// The goals of a row. The Python milter refuses at CONNECT and has three replies: so has gatepost by default.
fn judged(run: &mut Run, stage: Stage, transport: Transport, to_bare: f64, python: f64) -> [String; 2] {
    let (bare_goal, python_goal) = match transport {
        Transport::Tcp => (Goal::WarmTcp, Goal::PythonWarmTcp),
        Transport::Unix => (Goal::WarmUnix, Goal::PythonWarmUnix),
    };
    let [mut target, mut result] = run.report.goal(bare_goal, to_bare);
    // Writing to a string cannot fail.
    target.push_str(" bare");
    if stage == Stage::Connect {
        let [python_target, python_result] = run.report.goal(python_goal, python);
        let _ = write!(target, ", Python {python_target}");
        let _ = write!(result, ", {python_result}");
    }
    [target, result]
}

/// The same clients; fifty rules and twelve lists beside the three lists and no rule of a fresh installation.
pub(crate) fn rules(run: &mut Run) -> Result<(), Failure> {
    if run.peers_only {
        return Ok(());
    }
    let sessions = if run.quick { 2_000 } else { 2_500 };
    let names = NameServer::start(Behaviour::Answer(0))?;
    let config = run.workshop.path("rules.toml");
    fs::write(&config, policy(run)?)?;
    let mut runners = Vec::new();
    // A rule about recipients takes RCPT, so the verdict is given there by both.
    for settings in [vec![], vec![("CONFIG", config.display().to_string())]] {
        let peer = Peer::Gatepost(Stage::Rcpt);
        let filter = run.workshop.start_with(peer, Transport::Tcp, &names, &settings)?;
        runners.push(Runner::new(filter, sessions));
    }
    for runner in &runners {
        let greeting = Job::stream(&runner.filter.door, Crowd::Regulars(16), 200);
        play(&mut run.report, runner.filter.peer, "rules, first acquaintance", &greeting)?;
    }
    rounds(run, &mut runners, ROUNDS, |_, _| Crowd::Regulars(16))?;
    let ratio = runners[1].ratio(&runners[0]);
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (runner, lists, of) in [(&runners[0], "3, 0", None), (&runners[1], "12, 50", Some(ratio))] {
        let mut row = runner.cells()?;
        row.insert(1, lists.to_owned());
        row.push(figure(of.unwrap_or(1.0)));
        row.extend(match of {
            Some(ratio) => {
                run.report.at_most("warm CPU with 12 lists and 50 rules beside 3 and none", ratio, 1.5)
            }
            None => no_target(),
        });
        rows.push(row);
        bars.push(Bar { label: format!("lists, rules: {lists}"), value: runner.cost(), own: true });
    }
    let header = [
        "filter",
        "lists, rules",
        "socket",
        "replies",
        "µs CPU/session",
        "spread",
        "sessions/s",
        "in the kernel",
        "× without",
        "target",
        "result",
    ];
    run.report.table("Twelve lists and fifty rules: every answer is in the cache", &header, &rows);
    let title = "CPU of a session with few and with many lists and rules, answers in the cache, TCP".into();
    run.report.plot(Plot { name: "rules", title, unit: "µs", bars, target: None });
    Ok(())
}

/// Nine lists beside those of DQS: six in DNS, three in files; and fifty rules of all kinds, none of which the
/// clients of a run break.
fn policy(run: &Run) -> Result<String, Failure> {
    let mut text = String::from("[score]\ntag = 50\nreject = 90\n");
    let mut list = |name: &str, lines: &str| {
        let _ = write!(text, "[[list]]\nname = \"{name}\"\n{lines}\n");
    };
    for number in 1..=3 {
        let zone = |kind: char| format!("zone = \"{kind}{number}.lists.example\"\ntest = false\n");
        list(&format!("a{number}"), &format!("kind = \"address\"\n{}", zone('a')));
        list(&format!("d{number}"), &format!("kind = \"domain\"\n{}", zone('d')));
    }
    for (name, format, entries) in [
        ("net", "ip4set", "198.51.100.0/24\n203.0.113.7\n"),
        ("name", "dnset", ".spam.example\nbulk.example\n"),
        ("people", "plain\"\nkind = \"mailbox", "@spam.example\nwinner@\n"),
    ] {
        let file = run.workshop.path(name);
        fs::write(&file, entries)?;
        list(name, &format!("file = \"{}\"\nformat = \"{format}\"\n", file.display()));
    }
    let mut rule = |number: usize, lines: &str| {
        let _ = write!(text, "[[rule]]\nname = \"r{number}\"\n{lines}\n");
    };
    let lists = ["a1", "a2", "a3", "d1", "d2", "d3", "net", "name", "people"];
    for number in 1..=50 {
        let list = lists[number % lists.len()];
        rule(
            number,
            &match number % 5 {
                0 => format!("list = \"{list}\"\naction = \"reject\""),
                1 => format!("list = \"{list}\"\nscore = 3"),
                2 => format!(
                    "list = \"{list}\"\naction = \"tag\"\nheader = \"X-Seen-{number}: {{list}}\"\n\
                     unless = {{ client = [\"192.0.2.0/24\", \"2001:db8::/32\"] }}"
                ),
                3 => format!(
                    "when = {{ sender = [\".s{number}.example\", \"bulk{number}@\"], session = [\"inbound\"] }}\n\
                     action = \"reject\""
                ),
                _ => format!(
                    "when = [{{ helo = [\"h{number}.example\"] }}, {{ client = [\"198.51.100.{number}\"], \
                     recipient = [\"r{number}@mail.example\"] }}]\naction = \"quarantine\""
                ),
            },
        );
    }
    Ok(text)
}

/// Nobody has been here before; the name server answers at once.
pub(crate) fn cold(run: &mut Run) -> Result<(), Failure> {
    let (sessions, slow) = if run.quick { (600, 90) } else { (1_000, 120) };
    let names = NameServer::start(Behaviour::Answer(0))?;
    let peers = [Peer::Bare, Peer::Gatepost(Stage::Connect), Peer::Gatepost(Stage::Rcpt), Peer::Python];
    let mut runners = Vec::new();
    for transport in TRANSPORTS {
        for peer in chosen(run, &peers) {
            let filter = run.workshop.start(peer, transport, &names)?;
            let sessions = if peer == Peer::Python { slow } else { sessions };
            let greeting = Job::stream(&filter.door, Crowd::Strangers(run.strangers(200)), 200);
            play(&mut run.report, peer, "cold, first acquaintance", &greeting)?;
            runners.push(Runner::new(filter, sessions));
        }
    }
    rounds(run, &mut runners, ROUNDS, |run, sessions| Crowd::Strangers(run.strangers(sessions)))?;

    let mut rows = Vec::new();
    for transport in TRANSPORTS {
        let of: Vec<_> = runners.iter().filter(|runner| runner.filter.transport == transport).collect();
        let [bare, .., python] = of[..] else { return Err("a peer is missing".into()) };
        for runner in &of {
            let (to_bare, to_python) = (runner.ratio(bare), runner.ratio(python));
            let mut row = runner.cells()?;
            row.extend([figure(to_bare), format!("{to_python:.3}")]);
            row.extend(match runner.filter.peer {
                Peer::Gatepost(Stage::Connect) => run.report.goal(Goal::PythonCold, 1.0 / to_python),
                _ => no_target(),
            });
            rows.push(row);
        }
        let (name, socket) = match transport {
            Transport::Tcp => ("cold", "TCP"),
            Transport::Unix => ("cold-unix", "Unix sockets"),
        };
        let title = format!("CPU of a session, everything new, {socket}");
        run.report.plot(costs(name, title, of.into_iter()));
    }
    let header = [
        "filter",
        "socket",
        "replies",
        "µs CPU/session",
        "spread",
        "sessions/s",
        "in the kernel",
        "× bare",
        "× Python",
        "target (Python ÷ ours)",
        "result",
    ];
    run.report.table("Cold: every client, name and sender is new; DNS answers at once", &header, &rows);
    Ok(())
}

/// The medians of some filters as bars.
fn costs<'a>(name: &'static str, title: String, runners: impl Iterator<Item = &'a Runner>) -> Plot {
    let bar = |runner: &Runner| Bar {
        label: runner.filter.peer.title(),
        value: runner.cost(),
        own: matches!(runner.filter.peer, Peer::Gatepost(_)),
    };
    Plot { name, title, unit: "µs", bars: runners.map(bar).collect(), target: None }
}
