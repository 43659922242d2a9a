//! The longest wait when the name server is no help.

use crate::dns::Behaviour;
use crate::goals::Goal;
use crate::load::Job;
use crate::peer::{Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::NameServer;
use crate::report::{figure, millis, no_target};
use crate::sessions::{play, probe};
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::time::{Duration, Instant};

const CASES: [(Behaviour, &str); 4] = [
    (Behaviour::Drop, "never answers"),
    (Behaviour::Answer(3000), "answers after 3 s"),
    (Behaviour::Refuse, "refuses"),
    (Behaviour::Garbage, "answers with garbage"),
];

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (behaviour, words) in CASES {
        for peer in [Peer::Gatepost(Stage::Connect), Peer::Gatepost(Stage::Mail)] {
            if !run.peers_only {
                rows.push(gatepost(run, peer, behaviour, words, &mut bars)?);
            }
        }
        // Eleven seconds for one session: once is enough to see it, and too much for a quick look.
        if !run.quick || behaviour == Behaviour::Refuse {
            rows.push(python(run, behaviour, words, &mut bars)?);
        }
    }
    let header = [
        "filter",
        "name server",
        "longest reply s",
        "target",
        "result",
        "longest session s",
        "target",
        "result",
        "after that, p50 ms",
        "p99 ms",
        "target (p50)",
        "result",
    ];
    run.report.table("The name server fails", &header, &rows);
    let title = "Longest waiting time of a session when the name server fails".into();
    run.report.plot(Plot { name: "fails", title, unit: "s", bars, target: Some(Goal::DeadWait.limit()) });
    Ok(())
}

fn gatepost(
    run: &mut Run,
    peer: Peer,
    behaviour: Behaviour,
    words: &str,
    bars: &mut Vec<Bar>,
) -> Result<Vec<String>, Failure> {
    let names = NameServer::start(behaviour)?;
    let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
    let (first, further) = (32, if run.quick { 50 } else { 200 });
    let number = run.strangers(first + further);
    // Sixteen at once and each with five questions: every zone sees more failures than its breaker bears.
    let what = format!("name server {words}");
    let struck =
        play(&mut run.report, peer, &what, &Job::stream(&filter.door, Crowd::Strangers(number), first))?;
    let budget = Duration::from_secs(5);
    let alone =
        Job { at_once: 1, budget, ..Job::stream(&filter.door, Crowd::Strangers(number + first), further) };
    let warned = play(&mut run.report, peer, &what, &alone)?;

    let reply = millis(struck.reply_max.max(warned.reply_max)) / 1000.0;
    let session = millis(struck.wait_max.max(warned.wait_max)) / 1000.0;
    let after = millis(warned.wait_p50);
    bars.push(Bar { label: format!("{words}: {}", peer.title()), value: session, own: true });
    let mut row = vec![peer.title(), words.to_owned(), figure(reply)];
    row.extend(run.report.at_most(&format!("{}, {what}: longest reply, s", peer.title()), reply, 1.9));
    row.push(figure(session));
    row.extend(run.report.goal(Goal::DeadWait, session));
    row.extend([figure(after), figure(millis(warned.wait_p99))]);
    row.extend(run.report.goal(Goal::DeadAfter, after));
    Ok(row)
}

/// Outages in seconds. Against silence a question every second tells when it is over; a server that does answer is left alone
/// for longer and longer, so nothing is promised there but what is measured.
const OUTAGES: [(Behaviour, &str, u64, Option<Goal>); 5] = [
    (Behaviour::Drop, "silent", 3, Some(Goal::DeadRecovery)),
    (Behaviour::Drop, "silent", 10, Some(Goal::DeadRecovery)),
    (Behaviour::Drop, "silent", 60, Some(Goal::DeadRecovery)),
    (Behaviour::ServFail, "SERVFAIL", 10, None),
    (Behaviour::ServFail, "SERVFAIL", 40, None),
];

/// From the first answer of a name server that was out to the first right verdict on a new client that is listed.
pub(crate) fn recovery(run: &mut Run) -> Result<(), Failure> {
    if run.peers_only {
        return Ok(());
    }
    let peer = Peer::Gatepost(Stage::Connect);
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (behaviour, words, out, goal) in OUTAGES {
        if run.quick && out > 10 {
            continue;
        }
        let mut names = NameServer::start(behaviour)?;
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(out) {
            let job = Job::stream(&filter.door, Crowd::Strangers(run.strangers(16)), 16);
            play(&mut run.report, peer, "recovery, before it", &job)?;
        }
        names.behave(Behaviour::Answer(0))?;
        let back = Instant::now();
        let after = loop {
            let listed = Crowd::Share(run.strangers(1), 100);
            let job = Job { enforce: peer.enforce(), ..Job::stream(&filter.door, listed, 1) };
            if probe(&mut run.report, peer, "recovery", &job)?.good == 1 {
                break back.elapsed().as_secs_f64();
            }
            if back.elapsed() > LONGEST_RECOVERY {
                return Err(format!("no recovery {LONGEST_RECOVERY:?} after {out} s of {words}").into());
            }
        };
        let mut row = vec![peer.title(), words.to_owned(), out.to_string(), figure(after)];
        row.extend(goal.map_or_else(no_target, |goal| run.report.goal(goal, after)));
        rows.push(row);
        bars.push(Bar { label: format!("{words} for {out} s"), value: after, own: true });
    }
    let header = ["filter", "name server", "for s", "recovery s", "target", "result"];
    run.report.table("The name server comes back", &header, &rows);
    let title = "From the name server's return to the first right verdict".into();
    run.report.plot(Plot {
        name: "recovery",
        title,
        unit: "s",
        bars,
        target: Some(Goal::DeadRecovery.limit()),
    });
    Ok(())
}

/// No list is left alone for longer than a minute after a failure of its name server alone.
const LONGEST_RECOVERY: Duration = Duration::from_secs(90);

fn python(
    run: &mut Run,
    behaviour: Behaviour,
    words: &str,
    bars: &mut Vec<Bar>,
) -> Result<Vec<String>, Failure> {
    let names = NameServer::start(behaviour)?;
    let filter = run.workshop.start(Peer::Python, Transport::Tcp, &names)?;
    let number = run.strangers(4);
    let job = Job {
        at_once: 4,
        patience: Duration::from_secs(30),
        ..Job::stream(&filter.door, Crowd::Strangers(number), 4)
    };
    let outcome = play(&mut run.report, Peer::Python, &format!("name server {words}"), &job)?;
    let session = millis(outcome.wait_max) / 1000.0;
    bars.push(Bar { label: format!("{words}: {}", Peer::Python.title()), value: session, own: false });
    let mut row = vec![Peer::Python.title(), words.to_owned(), figure(millis(outcome.reply_max) / 1000.0)];
    row.extend(no_target());
    row.push(figure(session));
    row.extend(no_target());
    row.extend([String::new(), String::new()]);
    row.extend(no_target());
    Ok(row)
}
