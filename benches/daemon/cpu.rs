//! CPU per session: with every answer in the cache, and with none.

use crate::dns::Behaviour;
use crate::load::Job;
use crate::peer::{Filter, NameServer, Peer, Transport, play};
use crate::report::{figure, no_target, spread, table};
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::Duration;

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
    let transports: &[Transport] =
        if run.quick { &[Transport::Tcp] } else { &[Transport::Tcp, Transport::Unix] };
    let mut runners = Vec::new();
    for &transport in transports {
        for peer in chosen(run, &peers) {
            let filter = run.workshop.start(peer, transport, &names)?;
            let sessions = if peer == Peer::Python { sessions / 3 } else { sessions };
            runners.push(Runner { filter, sessions, costs: Vec::new(), replies: 0.0 });
        }
    }
    for runner in &runners {
        let greeted = play(&Job::stream(&runner.filter.door, Crowd::Regulars(16), 200))?.outcome;
        run.report.sound("warm, first acquaintance", &greeted);
    }
    rounds(run, &mut runners, |_, _| Crowd::Regulars(16))?;

    let mut rows = Vec::new();
    for &transport in transports {
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
            // The target is set for TCP; the Unix socket's share of fixed cost is smaller.
            let judged = matches!(runner.filter.peer, Peer::Gatepost(_)) && transport == Transport::Tcp;
            if judged {
                let what = format!("warm CPU of {}", runner.filter.peer.title());
                let [bare_limit, bare_result] =
                    run.report.at_most(&format!("{what} beside the bare filter"), to_bare, 1.25);
                let [python_limit, python_result] =
                    run.report.at_most(&format!("{what} beside the Python milter"), to_python, 0.5);
                row.push(format!("{bare_limit} × bare, {python_limit} × Python"));
                row.push(format!("{bare_result}, {python_result}"));
            } else {
                row.extend(no_target());
            }
            rows.push(row);
        }
    }
    let header = [
        "filter",
        "socket",
        "replies",
        "µs CPU/session",
        "spread",
        "in the kernel",
        "× bare",
        "× Python",
        "target",
        "result",
    ];
    table("Warm: every answer is in the cache", &header, &rows);
    Ok(())
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
    for config in [None, Some(config.as_path())] {
        let peer = Peer::Gatepost(Stage::Rcpt);
        let filter = run.workshop.start_with(peer, Transport::Tcp, &names, config)?;
        runners.push(Runner { filter, sessions, costs: Vec::new(), replies: 0.0 });
    }
    for runner in &runners {
        let greeted = play(&Job::stream(&runner.filter.door, Crowd::Regulars(16), 200))?.outcome;
        run.report.sound("rules, first acquaintance", &greeted);
    }
    rounds(run, &mut runners, |_, _| Crowd::Regulars(16))?;
    let ratio = runners[1].ratio(&runners[0]);
    let mut rows = Vec::new();
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
    }
    let header = [
        "filter",
        "lists, rules",
        "socket",
        "replies",
        "µs CPU/session",
        "spread",
        "in the kernel",
        "× without",
        "target",
        "result",
    ];
    table("Twelve lists and fifty rules: every answer is in the cache", &header, &rows);
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
    let mut runners = Vec::new();
    for peer in
        chosen(run, &[Peer::Bare, Peer::Gatepost(Stage::Connect), Peer::Gatepost(Stage::Rcpt), Peer::Python])
    {
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        let sessions = if peer == Peer::Python { slow } else { sessions };
        let first = run.strangers(200);
        run.report.sound(
            "cold, first acquaintance",
            &play(&Job::stream(&filter.door, Crowd::Strangers(first), 200))?.outcome,
        );
        runners.push(Runner { filter, sessions, costs: Vec::new(), replies: 0.0 });
    }
    rounds(run, &mut runners, |run, sessions| Crowd::Strangers(run.strangers(sessions)))?;

    let of = |peer| runners.iter().find(|runner| runner.filter.peer == peer);
    let (Some(bare), Some(python)) = (of(Peer::Bare), of(Peer::Python)) else {
        return Err("a peer is missing".into());
    };
    let mut rows = Vec::new();
    for runner in &runners {
        let (to_bare, to_python) = (runner.ratio(bare), runner.ratio(python));
        let mut row = runner.cells()?;
        row.extend([figure(to_bare), format!("{to_python:.3}")]);
        row.extend(match runner.filter.peer {
            Peer::Gatepost(_) => {
                let what = format!("cold CPU of {} beside the Python milter", runner.filter.peer.title());
                run.report.at_most(&what, to_python, 0.125)
            }
            _ => no_target(),
        });
        rows.push(row);
    }
    let header = [
        "filter",
        "socket",
        "replies",
        "µs CPU/session",
        "spread",
        "in the kernel",
        "× bare",
        "× Python",
        "target (× Python)",
        "result",
    ];
    table("Cold: every client, name and sender is new; DNS answers at once", &header, &rows);
    Ok(())
}

fn chosen(run: &Run, peers: &[Peer]) -> Vec<Peer> {
    peers.iter().copied().filter(|peer| !(run.peers_only && matches!(peer, Peer::Gatepost(_)))).collect()
}

/// One filter over all rounds.
struct Runner {
    filter: Filter,
    sessions: u32,
    /// CPU per session in microseconds, round by round.
    costs: Vec<f64>,
    /// Per session, after the negotiation.
    replies: f64,
}

impl Runner {
    /// The median of the rounds' own ratios: what disturbs the machine in a round disturbs both.
    fn ratio(&self, other: &Self) -> f64 {
        let ratios: Vec<_> = self.costs.iter().zip(&other.costs).map(|(mine, other)| mine / other).collect();
        spread(&ratios).0
    }

    fn cells(&self) -> Result<Vec<String>, Failure> {
        let (middle, low, high) = spread(&self.costs);
        Ok(vec![
            self.filter.peer.title(),
            format!("{:?}", self.filter.transport),
            self.replies.to_string(),
            figure(middle),
            format!("{} – {}", figure(low), figure(high)),
            format!("{:.0} %", self.filter.kernel_share()? * 100.0),
        ])
    }
}

fn rounds(
    run: &mut Run,
    runners: &mut [Runner],
    mut crowd: impl FnMut(&mut Run, u32) -> Crowd,
) -> Result<(), Failure> {
    for round in 0..if run.quick { 3 } else { 21 } {
        // To and fro, so that a machine that gets slower favours nobody.
        let mut order: Vec<_> = (0..runners.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for runner in order {
            let runner = &mut runners[runner];
            let job = Job::stream(&runner.filter.door, crowd(run, runner.sessions), runner.sessions);
            let before = runner.filter.cpu()?;
            let outcome = play(&job)?.outcome;
            // The last sessions are closed, but perhaps not yet forgotten.
            thread::sleep(Duration::from_millis(20));
            let cost = runner.filter.cpu()?.saturating_sub(before).as_secs_f64() * 1e6;
            run.report.sound(&format!("CPU of {}", runner.filter.peer.title()), &outcome);
            runner.replies = f64::from(outcome.replies) / f64::from(outcome.sessions());
            runner.costs.push(cost / f64::from(outcome.sessions()));
        }
    }
    Ok(())
}
