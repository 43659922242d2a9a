//! How long a session waits when the name server is 20 ms away and nothing is known yet.

use crate::dns::Behaviour;
use crate::load::Job;
use crate::peer::{NameServer, Peer, Transport, play};
use crate::report::{figure, millis, no_target, table};
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::time::Duration;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    const FAR: Duration = Duration::from_millis(30);
    let cases = [
        (Peer::Gatepost(Stage::Connect), Duration::ZERO, Some(63.0)),
        (Peer::Gatepost(Stage::Mail), Duration::ZERO, Some(23.0)),
        (Peer::Gatepost(Stage::Rcpt), Duration::ZERO, Some(23.0)),
        (Peer::Gatepost(Stage::Rcpt), FAR, Some(5.0)),
        (Peer::Python, Duration::ZERO, None),
        (Peer::Python, FAR, None),
    ];
    let names = NameServer::start(Behaviour::Answer(20))?;
    let sessions = if run.quick { 60 } else { 200 };
    let mut rows = Vec::new();
    for (peer, pause, limit) in cases {
        if run.peers_only && limit.is_some() {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        // A first session pays for what is made once: sockets, imports, pages.
        let first = run.strangers(sessions + 4);
        play(&Job { at_once: 4, ..Job::stream(&filter.door, Crowd::Strangers(first), 4) })?;
        let job =
            Job { pause, at_once: 4, ..Job::stream(&filter.door, Crowd::Strangers(first + 4), sessions) };
        let outcome = play(&job)?.outcome;
        let what = format!("waiting time of {}", peer.title());
        run.report.sound(&what, &outcome);
        let p50 = millis(outcome.wait_p50);
        let client = if pause.is_zero() { "at once" } else { "30 ms away" };
        let mut row = vec![peer.title(), client.into(), figure(p50)];
        row.extend([outcome.wait_p99, outcome.wait_max].map(|time| figure(millis(time))));
        row.extend(limit.map_or_else(no_target, |limit| run.report.at_most(&what, p50, limit)));
        rows.push(row);
    }
    let header = ["filter", "client answers", "p50 ms", "p99 ms", "max ms", "target (p50)", "result"];
    table("Waiting time of a session, DNS 20 ms away, nothing in the cache", &header, &rows);
    Ok(())
}
