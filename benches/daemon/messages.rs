//! Whole messages: what their octets cost a filter that needs none of them, and one that reads them all.

use crate::goals::Goal;
use crate::load::Job;
use crate::peer::{Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::rbldnsd::Zones;
use crate::report::{figure, millis, no_target};
use crate::rounds::{Runner, chosen, rounds};
use crate::sessions::play;
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::rc::Rc;

const KIB: usize = 1024;

/// Known clients with messages of four sizes.
pub(crate) fn sizes(run: &mut Run) -> Result<(), Failure> {
    const SIZES: [(Option<usize>, &str); 4] =
        [(None, "none"), (Some(4 * KIB), "4 KiB"), (Some(16 * KIB), "16 KiB"), (Some(1024 * KIB), "1 MiB")];
    let zones = Zones::start(run.workshop.directory())?;
    let names = zones.behind(0, 0, 0)?;
    let peers = [
        Peer::Bare,
        Peer::Libmilter,
        Peer::Gatepost(Stage::Connect),
        Peer::Gatepost(Stage::Rcpt),
        Peer::Rspamd,
    ];
    let mut runners = Vec::new();
    for peer in chosen(run, &peers) {
        let filter = Rc::new(run.workshop.start(peer, Transport::Tcp, &names)?);
        for (body, _) in SIZES {
            // Those that read all of it take their time for a large one.
            let sessions = match (peer, body) {
                (Peer::Bare | Peer::Rspamd, Some(octets)) if octets > 16 * KIB => 32,
                (Peer::Rspamd, _) => 250,
                _ => 1_000,
            };
            let job = Job { body, ..Job::stream(&filter.door, Crowd::Regulars(16), sessions) };
            let greeting = Job { sessions: 32, ..job.clone() };
            play(&mut run.report, peer, "whole messages, first acquaintance", &greeting)?;
            runners.push(Runner::shaped(&filter, job));
        }
    }
    rounds(run, &mut runners, 7, |_, _| Crowd::Regulars(16))?;
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (index, runner) in runners.iter().enumerate() {
        let (body, size) = SIZES[index % SIZES.len()];
        let peer = runner.filter.peer;
        let ratio = runner.ratio(&runners[index - index % SIZES.len()]);
        let own = matches!(peer, Peer::Gatepost(_));
        let mut row =
            vec![peer.title(), size.to_owned(), figure(runner.replies), figure(runner.cost()), figure(ratio)];
        row.extend(if own && body == Some(16 * KIB) {
            run.report.goal(Goal::Message, ratio)
        } else {
            no_target()
        });
        rows.push(row);
        if body == Some(16 * KIB) {
            bars.push(Bar { label: peer.title(), value: runner.cost(), own });
        }
    }
    let header = ["filter", "message", "replies", "µs CPU/session", "× without", "target", "result"];
    run.report.table("Whole messages, known clients, TCP", &header, &rows);
    let title = "CPU of a session with a message of 16 KiB, TCP".into();
    run.report.plot(Plot { name: "message", title, unit: "µs", bars, target: None });
    Ok(())
}

/// New clients, of which three in four are listed, with a message of 4 KiB; each filter must refuse the right ones.
pub(crate) fn verdicts(run: &mut Run) -> Result<(), Failure> {
    let zones = Zones::start(run.workshop.directory())?;
    let names = zones.behind(20, 0, 0)?;
    let sessions = if run.quick { 60 } else { 300 };
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for peer in chosen(
        run,
        &[Peer::Gatepost(Stage::Connect), Peer::Gatepost(Stage::Rcpt), Peer::Rspamd, Peer::Python],
    ) {
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let first = run.strangers(sessions + 20);
        let job = Job {
            body: Some(4 * KIB),
            enforce: peer.enforce(),
            ..Job::stream(&filter.door, Crowd::Mixed(first), 20)
        };
        play(&mut run.report, peer, "messages of new clients, first acquaintance", &job)?;
        let before = filter.cpu()?;
        let job = Job { crowd: Crowd::Mixed(first + 20), sessions, ..job };
        let outcome = play(&mut run.report, peer, "messages of new clients", &job)?;
        let cost = filter.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / f64::from(outcome.sessions());
        let mut row = vec![peer.title(), figure(cost)];
        row.extend([outcome.wait_p50, outcome.wait_p99].map(|time| figure(millis(time))));
        row.extend([outcome.good, outcome.wrong, outcome.failed].map(|count| count.to_string()));
        rows.push(row);
        bars.push(Bar { label: peer.title(), value: cost, own: matches!(peer, Peer::Gatepost(_)) });
    }
    let header = ["filter", "µs CPU/session", "wait p50 ms", "p99 ms", "good", "wrong", "failed"];
    run.report.table(
        "New clients with a message of 4 KiB, three in four listed, rbldnsd 20 ms away",
        &header,
        &rows,
    );
    let title = "CPU of a session with a message, new clients, three in four listed".into();
    run.report.plot(Plot { name: "listed", title, unit: "µs", bars, target: None });
    Ok(())
}
