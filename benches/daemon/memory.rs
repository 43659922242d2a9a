//! Resident memory of a connection on which nothing happens.

use crate::dns::Behaviour;
use crate::load::{Job, Manner};
use crate::peer::{NameServer, Peer, Transport, play};
use crate::report::{figure, no_target, table};
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};

/// 9,500 connections that got as far as HELO, of sixteen clients, so that the cache does not grow.
pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    const CONNECTIONS: u32 = 9_500;
    let names = NameServer::start(Behaviour::Answer(0))?;
    let mut rows = Vec::new();
    for peer in [Peer::Gatepost(Stage::Connect), Peer::Bare, Peer::Libmilter, Peer::Python] {
        let judged = matches!(peer, Peer::Gatepost(_));
        if run.peers_only && judged {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        play(&Job::stream(&filter.door, Crowd::Regulars(16), 500))?;
        let before = filter.resident()?;
        let job = Job {
            at_once: 64,
            manner: Manner::Idle,
            ..Job::stream(&filter.door, Crowd::Regulars(16), CONNECTIONS)
        };
        let crowd = play(&job)?;
        let each = (filter.resident()? - before) / f64::from(CONNECTIONS);
        run.report.sound(&format!("idle connections of {}", peer.title()), &crowd.outcome);
        let mut row =
            vec![peer.title(), crowd.outcome.good.to_string(), figure(before / 1024.0), figure(each)];
        row.extend(if judged {
            run.report.at_most("memory of an idle connection", each, 6.0)
        } else {
            no_target()
        });
        rows.push(row);
    }
    let header = ["filter", "connections", "MiB without", "KiB each", "target (KiB)", "result"];
    table("Resident memory of idle connections after CONNECT and HELO", &header, &rows);
    Ok(())
}
