//! Many sessions in the same moment: equal ones, and a thousand different ones.

use crate::dns::Behaviour;
use crate::goals::Goal;
use crate::load::{Job, Manner, Outcome};
use crate::peer::{Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::NameServer;
use crate::report::{figure, millis, no_target, number};
use crate::sessions::play;
use crate::subject::{Crowd, Identity, KEY, Stage};
use crate::{Failure, Run};
use std::collections::HashMap;

/// 128 equal sessions that nobody has seen before; the name server is 20 ms away.
pub(crate) fn coalesce(run: &mut Run) -> Result<(), Failure> {
    const SESSIONS: u32 = 128;
    let rounds = if run.quick { 2 } else { 5 };
    let mut names = NameServer::start(Behaviour::Answer(20))?;
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for peer in [Peer::Gatepost(Stage::Connect), Peer::Gatepost(Stage::Rcpt), Peer::Python] {
        let judged = matches!(peer, Peer::Gatepost(_));
        if run.peers_only && judged {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let (mut most, mut sum, mut unasked) = (0, 0, 0);
        for _ in 0..rounds {
            let crowd = Crowd::Same(run.strangers(1));
            names.counts()?;
            let job = Job {
                at_once: SESSIONS,
                manner: Manner::Burst,
                ..Job::stream(&filter.door, crowd, SESSIONS)
            };
            play(&mut run.report, peer, "equal sessions", &job)?;
            let asked = tally(&names.counts()?, &crowd.identity(0));
            most = most.max(asked.into_iter().max().unwrap_or_default());
            sum += asked.iter().sum::<u64>();
            unasked += asked.iter().filter(|&&times| times == 0).count();
        }
        let sessions = f64::from(rounds * SESSIONS);
        let mut row =
            vec![peer.title(), most.to_string(), unasked.to_string(), figure(number(sum) / sessions)];
        row.extend(if judged {
            // A name that was never asked would make "at most once" an empty success.
            let worst = if unasked == 0 { number(most) } else { f64::INFINITY };
            run.report.goal(Goal::Equal, worst - 1.0)
        } else {
            no_target()
        });
        rows.push(row);
        bars.push(Bar { label: peer.title(), value: number(most), own: judged });
    }
    let header = [
        "filter",
        "most queries for one name",
        "names not asked",
        "queries/session",
        "target (beyond the first)",
        "result",
    ];
    run.report.table("128 equal sessions at once, DNS 20 ms away", &header, &rows);
    let title = "The most queries for one name, 128 equal sessions at once".into();
    run.report.plot(Plot { name: "equal", title, unit: "queries", bars, target: Some(1.0) });
    Ok(())
}

/// How often each of the five names of a session was asked.
fn tally(counts: &HashMap<String, u64>, who: &Identity) -> [u64; 5] {
    let [a, b, c, d] = who.address.octets();
    [
        (format!("{d}.{c}.{b}.{a}"), "zen"),
        (who.helo.clone(), "dbl"),
        (who.helo.clone(), "zrd"),
        (who.domain.clone(), "dbl"),
        (who.domain.clone(), "zrd"),
    ]
    .map(|(subject, zone)| {
        counts.get(&format!("{subject}.{KEY}.{zone}.dq.spamhaus.net")).copied().unwrap_or_default()
    })
}

/// 1,024 sessions at once, three of four with something listed.
pub(crate) fn crowd(run: &mut Run) -> Result<(), Failure> {
    const AT_ONCE: u32 = 1024;
    let names = NameServer::start(Behaviour::Answer(20))?;
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for peer in [
        Peer::Gatepost(Stage::Connect),
        Peer::Gatepost(Stage::Rcpt),
        Peer::Python,
        Peer::Libmilter,
        Peer::Bare,
    ] {
        let judged = matches!(peer, Peer::Gatepost(_));
        if run.peers_only && judged {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        // The Python milter takes seconds of CPU for a thousand of them: the burst will do.
        let further = match peer {
            Peer::Python => 0,
            _ if run.quick => AT_ONCE,
            _ => 7 * AT_ONCE,
        };
        let mut total = Outcome::default();
        for (manner, sessions) in [(Manner::Burst, AT_ONCE), (Manner::Stream, further)] {
            if sessions == 0 {
                continue;
            }
            let crowd = Crowd::Mixed(run.strangers(sessions));
            let job = Job {
                at_once: AT_ONCE,
                manner,
                enforce: peer.enforce(),
                ..Job::stream(&filter.door, crowd, sessions)
            };
            let outcome = play(&mut run.report, peer, "a crowd", &job)?;
            total.good += outcome.good;
            total.failed += outcome.failed;
            total.wrong += outcome.wrong;
            total.elapsed += outcome.elapsed;
            total.wait_p50 = total.wait_p50.max(outcome.wait_p50);
            total.wait_max = total.wait_max.max(outcome.wait_max);
        }
        let mut row = vec![peer.title()];
        row.extend([total.good, total.failed, total.wrong].map(|number| number.to_string()));
        row.push(figure(total.rate()));
        row.extend([total.wait_p50, total.wait_max].map(|time| figure(millis(time))));
        row.extend(if judged {
            run.report.at_most(
                &format!("failed and wrong sessions of {}", peer.title()),
                f64::from(total.failed + total.wrong),
                0.0,
            )
        } else {
            no_target()
        });
        if total.failed + total.wrong > 0 {
            eprintln!("{}", filter.last_words());
        }
        rows.push(row);
        bars.push(Bar { label: peer.title(), value: millis(total.wait_max), own: judged });
    }
    let header = [
        "filter",
        "good",
        "failed",
        "wrong",
        "sessions/s",
        "wait p50 ms",
        "wait max ms",
        "target (failed, wrong)",
        "result",
    ];
    run.report.table("1,024 sessions at once, listed and clean, DNS 20 ms away", &header, &rows);
    let title = "Longest waiting time of a session, 1,024 at once, DNS 20 ms away".into();
    run.report.plot(Plot { name: "crowd", title, unit: "ms", bars, target: None });
    Ok(())
}
