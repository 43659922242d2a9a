//! Rounds in which filters take turns, and the CPU that each session cost.
//!
//! What a session is like is decided by the job of each filter.

use crate::load::Job;
use crate::peer::{Filter, Peer};
use crate::report::{figure, spread};
use crate::sessions::play;
use crate::subject::Crowd;
use crate::{Failure, Run};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

pub(crate) fn chosen(run: &Run, peers: &[Peer]) -> Vec<Peer> {
    peers.iter().copied().filter(|peer| !(run.peers_only && matches!(peer, Peer::Gatepost(_)))).collect()
}

/// One filter over all rounds, with what it is given to do.
pub(crate) struct Runner {
    pub(crate) filter: Rc<Filter>,
    /// But for the crowd, which is another one in each round.
    pub(crate) job: Job,
    /// CPU per session in microseconds, round by round.
    pub(crate) costs: Vec<f64>,
    /// Sessions in a second of wall-clock time, round by round.
    rates: Vec<f64>,
    /// Per session, after the negotiation.
    pub(crate) replies: f64,
}

impl Runner {
    /// Sessions one after the other, sixteen at once.
    pub(crate) fn new(filter: Filter, sessions: u32) -> Self {
        let job = Job::stream(&filter.door, Crowd::Regulars(16), sessions);
        Self::shaped(&Rc::new(filter), job)
    }

    pub(crate) fn shaped(filter: &Rc<Filter>, job: Job) -> Self {
        Self { filter: Rc::clone(filter), job, costs: Vec::new(), rates: Vec::new(), replies: 0.0 }
    }

    /// The median of all rounds.
    pub(crate) fn cost(&self) -> f64 {
        spread(&self.costs).0
    }

    /// The median of all rounds.
    pub(crate) fn rate(&self) -> f64 {
        spread(&self.rates).0
    }

    /// The median of the rounds' own ratios: what disturbs the machine in a round disturbs both.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        let ratios: Vec<_> = self.costs.iter().zip(&other.costs).map(|(mine, other)| mine / other).collect();
        spread(&ratios).0
    }

    pub(crate) fn cells(&self) -> Result<Vec<String>, Failure> {
        let (middle, low, high) = spread(&self.costs);
        Ok(vec![
            self.filter.peer.title(),
            format!("{:?}", self.filter.transport),
            self.replies.to_string(),
            figure(middle),
            format!("{} – {}", figure(low), figure(high)),
            figure(self.rate()),
            format!("{:.0} %", self.filter.kernel_share()? * 100.0),
        ])
    }
}

/// Lets the filters take turns, to and fro.
pub(crate) fn rounds(
    run: &mut Run,
    runners: &mut [Runner],
    count: u32,
    mut crowd: impl FnMut(&mut Run, u32) -> Crowd,
) -> Result<(), Failure> {
    for round in 0..if run.quick { 3 } else { count } {
        // To and fro, so that a machine that gets slower favours nobody.
        let mut order: Vec<_> = (0..runners.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for runner in order {
            let runner = &mut runners[runner];
            let job = Job { crowd: crowd(run, runner.job.sessions), ..runner.job.clone() };
            let before = runner.filter.cpu()?;
            let outcome = play(&mut run.report, runner.filter.peer, "CPU", &job)?;
            // The last sessions are closed, but perhaps not yet forgotten.
            thread::sleep(Duration::from_millis(20));
            let cost = runner.filter.cpu()?.saturating_sub(before).as_secs_f64() * 1e6;
            runner.replies = f64::from(outcome.replies) / f64::from(outcome.sessions());
            runner.rates.push(outcome.rate());
            runner.costs.push(cost / f64::from(outcome.sessions()));
        }
    }
    Ok(())
}
