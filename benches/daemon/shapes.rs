//! CPU of a session under loads of other shapes: more at once, kept connections, two threads, Sendmail's writes.

use crate::cpu::TRANSPORTS;
use crate::dns::Behaviour;
use crate::goals::Goal;
use crate::load::Job;
use crate::peer::{Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::NameServer;
use crate::report::{figure, millis, no_target, number};
use crate::rounds::{Runner, chosen, rounds};
use crate::sessions::play;
use crate::subject::{Crowd, Stage};
use crate::wire::Writing;
use crate::{Failure, Run};
use std::fs;
use std::rc::Rc;
use std::time::Duration;

/// Fewer than for the goals at sixteen: there are many pairs.
const ROUNDS: u32 = 9;

/// From one session to 1,024 at once, all answers in the cache.
pub(crate) fn crowds(run: &mut Run) -> Result<(), Failure> {
    const CROWDS: [u32; 4] = [1, 16, 128, 1024];
    let names = NameServer::start(Behaviour::Answer(0))?;
    let peers = chosen(run, &[Peer::Bare, Peer::Libmilter, Peer::Gatepost(Stage::Rcpt)]);
    let mut runners = Vec::new();
    for transport in TRANSPORTS {
        for &peer in &peers {
            let filter = Rc::new(run.workshop.start(peer, transport, &names)?);
            for at_once in CROWDS {
                let job = Job { at_once, ..Job::stream(&filter.door, Crowd::Regulars(16), 2_048) };
                // Once before it counts: memory for so many, and all answers.
                play(&mut run.report, peer, "sessions at once, first acquaintance", &job)?;
                runners.push(Runner::shaped(&filter, job));
            }
        }
    }
    rounds(run, &mut runners, ROUNDS, |_, _| Crowd::Regulars(16))?;
    let mut rows = Vec::new();
    for (of, transport) in runners.chunks(peers.len() * CROWDS.len()).zip(TRANSPORTS) {
        let (name, socket) = match transport {
            Transport::Tcp => ("at-once", "TCP"),
            Transport::Unix => ("at-once-unix", "Unix sockets"),
        };
        let mut bars = Vec::new();
        for (index, runner) in of.iter().enumerate() {
            let ratio = runner.ratio(&of[index % CROWDS.len()]);
            let (peer, at_once) = (runner.filter.peer, runner.job.at_once);
            let own = matches!(peer, Peer::Gatepost(_));
            let mut row = vec![
                peer.title(),
                format!("{transport:?}"),
                at_once.to_string(),
                figure(runner.rate()),
                figure(runner.cost()),
                figure(ratio),
            ];
            row.extend(if own && at_once == 1024 {
                run.report.goal(Goal::WarmCrowd, ratio)
            } else {
                no_target()
            });
            rows.push(row);
            let label = format!("{}, {at_once} at once", peer.title());
            bars.push(Bar { label, value: runner.cost(), own });
        }
        let title = format!("CPU of a session by the number of sessions at once, {socket}");
        run.report.plot(Plot { name, title, unit: "µs", bars, target: None });
    }
    let header =
        ["filter", "socket", "at once", "sessions/s", "µs CPU/session", "× bare", "target", "result"];
    run.report.table("Sessions at once, every answer in the cache", &header, &rows);
    Ok(())
}

/// Other clients: few that come often, listed ones, slow ones, and connections that are kept.
pub(crate) fn shapes(run: &mut Run) -> Result<(), Failure> {
    /// The same for each filter: what is known of clients that come again depends on how many came before.
    const SESSIONS: u32 = 600;
    type Shape = (&'static str, fn(&mut Run, u32) -> Crowd, fn(Job) -> Job);
    let shapes: [Shape; 6] = [
        ("all known", |_, _| Crowd::Regulars(16), |job| job),
        ("Zipf, 10,000 clients", |run, sessions| run.drawn(sessions), |job| job),
        ("all new", |run, sessions| Crowd::Strangers(run.strangers(sessions)), |job| job),
        ("all new, 80 % listed", |run, sessions| Crowd::Share(run.strangers(sessions), 80), |job| job),
        (
            "all known, 20 messages each",
            |_, _| Crowd::Regulars(16),
            |job| Job { messages: 20, sessions: job.sessions / 5, ..job },
        ),
        (
            "all known, 5 ms of thought, 128 at once",
            |_, _| Crowd::Regulars(16),
            |job| Job { pause: Duration::from_millis(5), at_once: 128, ..job },
        ),
    ];
    let mut names = NameServer::start(Behaviour::Answer(0))?;
    let mut filters = Vec::new();
    for peer in chosen(run, &[Peer::Bare, Peer::Gatepost(Stage::Rcpt), Peer::Python]) {
        filters.push(Rc::new(run.workshop.start(peer, Transport::Tcp, &names)?));
    }
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (what, crowd, shape) in shapes {
        let mut runners = Vec::new();
        for filter in &filters {
            let job = Job {
                enforce: filter.peer.enforce(),
                crowd: crowd(run, SESSIONS),
                ..Job::stream(&filter.door, Crowd::Regulars(16), SESSIONS)
            };
            let job = shape(job);
            play(&mut run.report, filter.peer, &format!("{what}, first acquaintance"), &job)?;
            runners.push(Runner::shaped(filter, job));
        }
        rounds(run, &mut runners, 5, crowd)?;
        for runner in &runners {
            // Once more by itself: what it asks, and what goes over the wire.
            names.counts()?;
            let job = Job { crowd: crowd(run, runner.job.sessions), ..runner.job.clone() };
            let before = packets()?;
            let peer = runner.filter.peer;
            let sessions = f64::from(play(&mut run.report, peer, what, &job)?.sessions());
            let packets = number(packets()? - before) / sessions;
            let queries = number(names.counts()?.values().sum()) / sessions;
            // Then all was known, and the row would be that of known clients under another name.
            if queries == 0.0 && peer.enforce().is_some() && !matches!(job.crowd, Crowd::Regulars(_)) {
                return Err(format!("{what}: {} asked the name server nothing", peer.title()).into());
            }
            let label = format!("{what}: {}", peer.title());
            bars.push(Bar { label, value: runner.cost(), own: matches!(peer, Peer::Gatepost(_)) });
            let cost = figure(runner.cost());
            let each = figure(runner.cost() / f64::from(runner.job.messages));
            let ratio = figure(runner.ratio(&runners[0]));
            rows.push(vec![what.into(), peer.title(), cost, each, ratio, figure(queries), figure(packets)]);
        }
    }
    let header = [
        "sessions",
        "filter",
        "µs CPU/session",
        "µs CPU/message",
        "× bare",
        "DNS queries/session",
        "packets/session",
    ];
    run.report.table("Loads of other shapes, TCP", &header, &rows);
    let title = "CPU of a session under loads of other shapes, TCP".into();
    run.report.plot(Plot { name: "shapes", title, unit: "µs", bars, target: None });
    Ok(())
}

/// All packets over loopback so far: both directions of milter and DNS, and whatever else the machine sends itself.
fn packets() -> Result<u64, Failure> {
    let devices = fs::read_to_string("/proc/self/net/dev")?;
    let line = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let packets = line.and_then(|rest| rest.split_whitespace().nth(1));
    Ok(packets.ok_or("/proc/self/net/dev: no lo")?.parse()?)
}

/// One thread and two.
pub(crate) fn threads(run: &mut Run) -> Result<(), Failure> {
    if run.peers_only {
        return Ok(());
    }
    let names = NameServer::start(Behaviour::Answer(0))?;
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for at_once in [16, 128] {
        let mut runners = Vec::new();
        for threads in ["1", "2"] {
            let settings = [("SPAMHAUS_DQS_THREADS", threads.to_owned())];
            let peer = Peer::Gatepost(Stage::Rcpt);
            let filter = run.workshop.start_with(peer, Transport::Tcp, &names, &settings)?;
            let job = Job { at_once, ..Job::stream(&filter.door, Crowd::Regulars(16), 2_000) };
            play(&mut run.report, peer, "threads, first acquaintance", &job)?;
            runners.push(Runner::shaped(&Rc::new(filter), job));
        }
        rounds(run, &mut runners, ROUNDS, |_, _| Crowd::Regulars(16))?;
        let ratio = runners[1].ratio(&runners[0]);
        for (runner, threads) in runners.iter().zip(["1", "2"]) {
            let mut row = vec![threads.to_owned(), at_once.to_string(), figure(runner.cost())];
            row.extend(if threads == "2" {
                let [target, result] = run.report.goal(Goal::Threads, ratio);
                [figure(ratio), target, result]
            } else {
                ["1.00".into(), String::new(), String::new()]
            });
            rows.push(row);
            let label = format!("{threads} of them, {at_once} sessions at once");
            bars.push(Bar { label, value: runner.cost(), own: true });
        }
    }
    let header = ["threads", "at once", "µs CPU/session", "× one", "target", "result"];
    run.report.table("Threads of gatepost, every answer in the cache, TCP", &header, &rows);
    let title = "CPU of a session by the number of threads, TCP".into();
    run.report.plot(Plot { name: "threads", title, unit: "µs", bars, target: None });
    Ok(())
}

/// A client that writes each packet by itself and leaves Nagle's algorithm on: each waits for the acknowledgement of the one
/// before, and the kernel of the filter may hold that back for 40 ms.
pub(crate) fn steps(run: &mut Run) -> Result<(), Failure> {
    let names = NameServer::start(Behaviour::Answer(0))?;
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for peer in chosen(
        run,
        &[Peer::Gatepost(Stage::Connect), Peer::Gatepost(Stage::Rcpt), Peer::Libmilter, Peer::Bare],
    ) {
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let greeting = Job::stream(&filter.door, Crowd::Regulars(16), 200);
        play(&mut run.report, peer, "a write for each packet, first acquaintance", &greeting)?;
        let own = matches!(peer, Peer::Gatepost(_));
        // The others take a fifth of a second for each.
        let sessions = if own && !run.quick { 400 } else { 60 };
        let job = Job {
            at_once: 4,
            writing: Writing::Packet,
            ..Job::stream(&filter.door, Crowd::Regulars(16), sessions)
        };
        let outcome = play(&mut run.report, peer, "a write for each packet", &job)?;
        let p50 = millis(outcome.wait_p50);
        let mut row = vec![peer.title(), figure(p50)];
        row.extend([outcome.wait_p99, outcome.wait_max].map(|time| figure(millis(time))));
        row.extend(if own { run.report.goal(Goal::Steps, p50) } else { no_target() });
        rows.push(row);
        bars.push(Bar { label: peer.title(), value: p50, own });
    }
    let header = ["filter", "p50 ms", "p99 ms", "max ms", "target (p50)", "result"];
    run.report.table(
        "Waiting time of a session, a write for each packet as Sendmail does, TCP",
        &header,
        &rows,
    );
    let title = "Waiting time of a session, written as Sendmail does, p50, TCP".into();
    run.report.plot(Plot { name: "sendmail", title, unit: "ms", bars, target: Some(5.0) });
    Ok(())
}
