//! System calls of a session, counted by strace.
//!
//! Counts only: under strace everything is slow, and no time means anything.

use crate::dns::Behaviour;
use crate::goals::Goal;
use crate::load::Job;
use crate::peer::{Filter, Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::{NameServer, tethered};
use crate::report::{figure, no_target, number};
use crate::sessions::play;
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let sessions = if run.quick { 200 } else { 1_000 };
    let names = NameServer::start(Behaviour::Answer(0))?;
    let gatepost = Peer::Gatepost(Stage::Rcpt);
    let (mut rows, mut pictured, mut bare) = (Vec::new(), Vec::new(), f64::NAN);
    for peer in [Peer::Bare, Peer::Libmilter, gatepost, Peer::Python] {
        if run.peers_only && peer == gatepost {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let greeting = Job::stream(&filter.door, Crowd::Regulars(16), 200);
        play(&mut run.report, peer, "system calls, first acquaintance", &greeting)?;
        let warm = count(run, &filter, Crowd::Regulars(16), sessions)?;
        let strangers = Crowd::Strangers(run.strangers(sessions));
        // Those that ask nobody treat all alike.
        let cold = match peer {
            Peer::Bare | Peer::Libmilter => None,
            _ => Some(count(run, &filter, strangers, sessions.min(300))?),
        };
        if peer == Peer::Bare {
            bare = warm;
        }
        for (what, calls) in [("answers in the cache", Some(warm)), ("everything new", cold)] {
            let label = format!("{}, {what}", peer.title());
            pictured.extend(calls.map(|value| Bar { label, value, own: peer == gatepost }));
        }
        let mut row = vec![peer.title(), figure(warm), figure(warm / bare)];
        row.extend(if peer == gatepost {
            run.report.goal(Goal::CallsWarm, warm / bare)
        } else {
            no_target()
        });
        row.extend([
            cold.map_or(String::new(), figure),
            cold.map_or(String::new(), |cold| figure(cold - warm)),
        ]);
        row.extend(match cold {
            Some(cold) if peer == gatepost => run.report.goal(Goal::CallsCold, cold - warm),
            _ => no_target(),
        });
        rows.push(row);
    }
    let header = [
        "filter",
        "warm",
        "× bare",
        "target",
        "result",
        "cold",
        "cold − warm",
        "target (cold − warm)",
        "result",
    ];
    run.report.table("System calls of a session, TCP, sixteen at once", &header, &rows);
    let title = "System calls of a session, TCP, sixteen at once".into();
    run.report.plot(Plot { name: "calls", title, unit: "calls", bars: pictured, target: None });
    Ok(())
}

/// All system calls of a filter while it serves the sessions, divided by these.
fn count(run: &mut Run, filter: &Filter, crowd: Crowd, sessions: u32) -> Result<f64, Failure> {
    let summary = run.workshop.path("strace");
    let mut command = tethered(Path::new("strace"));
    command.args(["-f", "-c", "-o"]).arg(&summary).args(["-p", &filter.id().to_string()]);
    let mut tracer = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(tracer.stderr.take().ok_or("strace: no standard error")?);
    let mut line = String::new();
    while !line.contains("attached") {
        line.clear();
        if said.read_line(&mut line)? == 0 {
            return Err("strace cannot attach to a filter; is it installed, and allowed to?".into());
        }
    }
    // What it says of new threads must not fill the pipe.
    let drain = std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    let job = Job::stream(&filter.door, crowd, sessions);
    let outcome = play(&mut run.report, filter.peer, "system calls", &job)?;
    kill(Pid::from_raw(i32::try_from(tracer.id())?), Signal::SIGINT)?;
    tracer.wait()?;
    // It was copied to nowhere.
    let _ = drain.join();
    let total = BufReader::new(File::open(&summary)?).lines().map_while(Result::ok).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // Share, seconds, microseconds a call, calls, errors if any, "total".
        (fields.last() == Some(&"total"))
            .then(|| fields.get(3).and_then(|calls| calls.parse::<u64>().ok()))?
    });
    let total = total.ok_or("strace: no total in its summary")?;
    fs::remove_file(&summary)?;
    Ok(number(total) / f64::from(outcome.sessions()))
}
