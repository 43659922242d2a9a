//! How long a session waits when nothing is known yet and the name server is some way off.

use crate::dns::{Behaviour, Plan};
use crate::goals::Goal;
use crate::load::{Job, Manner, Outcome};
use crate::peer::{Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::NameServer;
use crate::rbldnsd::Zones;
use crate::report::{figure, millis, no_target};
use crate::sessions::play;
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::time::Duration;

/// What a waiting time is held against.
#[derive(Clone, Copy)]
enum Judged {
    Goal(Goal),
    Bound,
    Not,
}

const FAR: Duration = Duration::from_millis(30);

/// DNS 20 ms away; the client near and far.
pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let cases = [
        (Peer::Gatepost(Stage::Connect), Duration::ZERO, Judged::Bound),
        (Peer::Gatepost(Stage::Mail), Duration::ZERO, Judged::Goal(Goal::WaitNear)),
        (Peer::Gatepost(Stage::Rcpt), Duration::ZERO, Judged::Goal(Goal::WaitNear)),
        (Peer::Gatepost(Stage::Rcpt), FAR, Judged::Goal(Goal::WaitFar)),
        (Peer::Python, Duration::ZERO, Judged::Not),
        (Peer::Python, FAR, Judged::Not),
    ];
    let names = NameServer::start(Behaviour::Answer(20))?;
    let sessions = if run.quick { 60 } else { 200 };
    let (mut rows, mut stages, mut bars) = (Vec::new(), Vec::new(), Vec::new());
    for (peer, pause, judged) in cases {
        let own = matches!(peer, Peer::Gatepost(_));
        if run.peers_only && own {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        // A first session pays for what is made once: sockets, imports, pages.
        let first = run.strangers(sessions + 4);
        let greeting = Job { at_once: 4, ..Job::stream(&filter.door, Crowd::Strangers(first), 4) };
        play(&mut run.report, peer, "waiting time, first acquaintance", &greeting)?;
        let job =
            Job { pause, at_once: 4, ..Job::stream(&filter.door, Crowd::Strangers(first + 4), sessions) };
        let outcome = play(&mut run.report, peer, "waiting time", &job)?;
        let p50 = millis(outcome.wait_p50);
        let client = if pause.is_zero() { "at once" } else { "30 ms away" };
        let mut row = vec![peer.title(), client.into()];
        row.extend(waits(&outcome));
        row.extend(match judged {
            Judged::Goal(goal) => run.report.goal(goal, p50),
            // Three stages, each with an answer to wait for.
            Judged::Bound => run.report.at_most("waiting time of gatepost by default", p50, 63.0),
            Judged::Not => no_target(),
        });
        let label = if pause.is_zero() { peer.title() } else { format!("{}, {client}", peer.title()) };
        bars.push(Bar { label, value: p50, own });
        rows.push(row);
        let mut row = vec![peer.title(), client.into()];
        // All but the end of a message, which is not sent.
        row.extend(outcome.stages[..4].iter().map(|times| times.map(|t| figure(millis(t))).join(" · ")));
        stages.push(row);
    }
    let header = ["filter", "client answers", "p50 ms", "p99 ms", "max ms", "target (p50)", "result"];
    run.report.table("Waiting time of a session, DNS 20 ms away, nothing in the cache", &header, &rows);
    let header = ["filter", "client answers", "CONNECT", "HELO", "MAIL", "RCPT"];
    run.report.table("The same by stage: p50 · p99 · max in ms", &header, &stages);
    let title = "Waiting time of a session, p50, everything new, DNS 20 ms away".into();
    run.report.plot(Plot { name: "waiting", title, unit: "ms", bars, target: Some(22.0) });
    Ok(())
}

/// Which name server is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zoned {
    /// The bench's own.
    Own,
    /// rbldnsd behind it.
    Rbldnsd,
}

/// Sessions on a schedule; lost packets; a name server far away.
pub(crate) fn network(run: &mut Run) -> Result<(), Failure> {
    const RATE: u32 = 100;
    let mail = Peer::Gatepost(Stage::Mail);
    let rcpt = Peer::Gatepost(Stage::Rcpt);
    // Milliseconds to the name server, packets lost in per cent.
    let cases = [
        (mail, Zoned::Own, 20, 0, Some(Goal::WaitPaced)),
        (rcpt, Zoned::Own, 20, 0, Some(Goal::WaitPaced)),
        (mail, Zoned::Own, 20, 2, Some(Goal::WaitLoss)),
        (rcpt, Zoned::Own, 20, 2, Some(Goal::WaitLoss)),
        (rcpt, Zoned::Rbldnsd, 20, 2, Some(Goal::WaitLoss)),
        (rcpt, Zoned::Own, 0, 0, None),
        (rcpt, Zoned::Own, 200, 0, None),
        (rcpt, Zoned::Rbldnsd, 200, 0, None),
        (Peer::Python, Zoned::Own, 20, 0, None),
        (Peer::Python, Zoned::Own, 20, 2, None),
        (Peer::Python, Zoned::Rbldnsd, 20, 2, None),
    ];
    let zones = Zones::start(run.workshop.directory())?;
    let mut rows = Vec::new();
    let (mut paced, mut lossy) = (Vec::new(), Vec::new());
    for (peer, zoned, delay, loss, goal) in cases {
        let own = matches!(peer, Peer::Gatepost(_));
        if run.peers_only && own {
            continue;
        }
        let (server, names) = match zoned {
            Zoned::Own => {
                ("own", NameServer::start_with(&Plan { loss, ..Plan::new(Behaviour::Answer(delay)) })?)
            }
            Zoned::Rbldnsd => ("rbldnsd", zones.behind(delay, loss, 0)?),
        };
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let sessions = if run.quick { 300 } else { 1_000 };
        let first = run.strangers(sessions + 20);
        // The filter has to learn how far away the name server is.
        let greeting = Job { at_once: 4, ..Job::stream(&filter.door, Crowd::Strangers(first), 20) };
        play(&mut run.report, peer, "sessions on a schedule, first acquaintance", &greeting)?;
        let job = Job {
            at_once: 512,
            manner: Manner::Paced(RATE),
            ..Job::stream(&filter.door, Crowd::Strangers(first + 20), sessions)
        };
        let outcome = play(&mut run.report, peer, "sessions on a schedule", &job)?;
        let p99 = millis(outcome.wait_p99);
        let mut row = vec![
            peer.title(),
            RATE.to_string(),
            server.into(),
            delay.to_string(),
            loss.to_string(),
            outcome.good.to_string(),
        ];
        row.extend(waits(&outcome));
        row.extend(goal.map_or_else(no_target, |goal| run.report.goal(goal, p99)));
        rows.push(row);
        if delay == 20 {
            let bars = if loss == 0 { &mut paced } else { &mut lossy };
            let label = match zoned {
                Zoned::Own => peer.title(),
                Zoned::Rbldnsd => format!("{}, rbldnsd", peer.title()),
            };
            bars.push(Bar { label, value: p99, own });
        }
    }
    let header = [
        "filter",
        "sessions/s",
        "name server",
        "ms away",
        "lost %",
        "sessions",
        "p50 ms",
        "p99 ms",
        "max ms",
        "target (p99)",
        "result",
    ];
    run.report.table("Sessions on a schedule, nothing in the cache", &header, &rows);
    let title = "Waiting time of a session, p99, 100 sessions/s, DNS 20 ms away".into();
    let target = Some(Goal::WaitPaced.limit());
    run.report.plot(Plot { name: "paced", title, unit: "ms", bars: paced, target });
    let title = "Waiting time of a session, p99, with 2 % of the DNS packets lost".into();
    let target = Some(Goal::WaitLoss.limit());
    run.report.plot(Plot { name: "loss", title, unit: "ms", bars: lossy, target });
    Ok(())
}

/// p50, p99 and the longest.
fn waits(outcome: &Outcome) -> [String; 3] {
    [outcome.wait_p50, outcome.wait_p99, outcome.wait_max].map(|time| figure(millis(time)))
}
