//! Resident memory and CPU of connections on which nothing happens.

use crate::dns::Behaviour;
use crate::goals::Goal;
use crate::load::Job;
use crate::peer::{Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::NameServer;
use crate::report::{figure, no_target};
use crate::sessions::{hold, play};
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::thread;
use std::time::Duration;

/// 9,500 connections that got as far as HELO, of sixteen clients, so that the cache does not grow.
pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    const CONNECTIONS: u32 = 9_500;
    let names = NameServer::start(Behaviour::Answer(0))?;
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for peer in [Peer::Gatepost(Stage::Connect), Peer::Bare, Peer::Libmilter, Peer::Python] {
        let judged = matches!(peer, Peer::Gatepost(_));
        if run.peers_only && judged {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let greeting = Job::stream(&filter.door, Crowd::Regulars(16), 500);
        play(&mut run.report, peer, "idle connections, first acquaintance", &greeting)?;
        let (before, open) = (filter.resident()?, filter.descriptors()?);
        let job = Job { at_once: 64, ..Job::stream(&filter.door, Crowd::Regulars(16), CONNECTIONS) };
        let crowd = hold(&mut run.report, peer, "idle connections", &job)?;
        // Time for the filter to end what the arrival of so many has begun.
        thread::sleep(Duration::from_secs(1));
        let (worked, watched) = (filter.cpu()?, Duration::from_secs(if run.quick { 2 } else { 10 }));
        thread::sleep(watched);
        let idle = filter.cpu()?.saturating_sub(worked).as_secs_f64() * 1000.0 / watched.as_secs_f64();
        let closed = (open + CONNECTIONS as usize).saturating_sub(filter.descriptors()?);
        let each = (filter.resident()? - before) / f64::from(CONNECTIONS);
        let mut row =
            vec![peer.title(), crowd.outcome.good.to_string(), figure(before / 1024.0), figure(each)];
        row.extend(if judged { run.report.goal(Goal::IdleMemory, each) } else { no_target() });
        row.extend([closed.to_string(), figure(idle)]);
        row.extend(if judged {
            run.report.goal(Goal::IdleClosed, f64::from(u32::try_from(closed)?));
            run.report.goal(Goal::IdleCpu, idle)
        } else {
            no_target()
        });
        bars.push(Bar { label: peer.title(), value: each, own: judged });
        rows.push(row);
    }
    let header = [
        "filter",
        "connections",
        "MiB without",
        "KiB each",
        "target",
        "result",
        "closed",
        "CPU ms/s",
        "target",
        "result",
    ];
    run.report.table("Resident memory of idle connections after CONNECT and HELO", &header, &rows);
    let title = "Resident memory of an idle connection, 9,500 open".into();
    run.report.plot(Plot { name: "idle", title, unit: "KiB", bars, target: Some(3.0) });
    Ok(())
}
