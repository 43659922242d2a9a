//! The load generator: a process of its own that plays sessions and reports how they went.
//!
//! One job per process, given as JSON; one result as JSON on standard output. Every reply is checked.

use crate::Failure;
use crate::report::millis;
use crate::smtp;
use crate::subject::{Crowd, Identity, STAGES, Stage};
use crate::wire::{Course, Session, Writing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Barrier;

/// Where a filter listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Door {
    Tcp(u16),
    Unix(String),
    /// A whole mail server, spoken to in SMTP.
    Smtp(u16),
}

impl Door {
    /// In libmilter's notation.
    pub(crate) fn notation(&self) -> String {
        match self {
            Self::Tcp(port) => format!("inet:{port}@127.0.0.1"),
            Self::Unix(path) => format!("unix:{path}"),
            Self::Smtp(port) => format!("SMTP port {port}"),
        }
    }
}

/// What to play.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) door: Door,
    pub(crate) crowd: Crowd,
    pub(crate) sessions: u32,
    pub(crate) at_once: u32,
    /// The stage at which the filter gives its verdicts; `None` for a filter that judges nobody.
    pub(crate) enforce: Option<Stage>,
    /// Before each command, for a client that is far away.
    pub(crate) pause: Duration,
    pub(crate) manner: Manner,
    pub(crate) writing: Writing,
    /// On one connection.
    pub(crate) messages: u32,
    /// Octets of a message's body; `None`: only its envelope.
    pub(crate) body: Option<usize>,
    /// For one session; longer counts as failed.
    pub(crate) patience: Duration,
    /// For the job: no session begins later, so a slow filter plays fewer of them.
    pub(crate) budget: Duration,
}

/// How the sessions are strung together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Manner {
    /// Each worker plays one session after the other.
    Stream,
    /// All connect and negotiate first, then all begin in the same moment.
    Burst,
    /// All get as far as HELO and stay there until standard input ends.
    Idle,
    /// So many begin in a second, however long they take.
    Paced(u32),
}

impl Job {
    /// Clean sessions one after the other, sixteen at once, without a pause.
    pub(crate) fn stream(door: &Door, crowd: Crowd, sessions: u32) -> Self {
        Self {
            door: door.clone(),
            crowd,
            sessions,
            at_once: 16,
            enforce: None,
            pause: Duration::ZERO,
            manner: Manner::Stream,
            writing: Writing::Burst,
            messages: 1,
            body: None,
            patience: Duration::from_secs(20),
            budget: Duration::from_secs(20),
        }
    }
}

/// How the sessions went. Times are in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) good: u32,
    /// Broken off, answered with nonsense, or out of patience.
    pub(crate) failed: u32,
    /// Came to an end, but the wrong clients were let in or refused, or at the wrong stage.
    pub(crate) wrong: u32,
    /// All replies after the negotiation.
    pub(crate) replies: u32,
    /// What was wrong, and how often.
    pub(crate) reasons: BTreeMap<String, u32>,
    /// The sum of all waits of one session: 50 %, 99 % and all of the sessions are below.
    pub(crate) wait_p50: u64,
    pub(crate) wait_p99: u64,
    pub(crate) wait_max: u64,
    /// The longest wait for one reply in any session.
    pub(crate) reply_max: u64,
    /// 50 %, 99 % and all of the waits at each stage are below.
    pub(crate) stages: [[u64; 3]; STAGES],
    /// From the first connection of the job to the end of its last session.
    pub(crate) elapsed: u64,
}

/// The whole of a job, and of sitting idle.
const LONGEST: Duration = Duration::from_mins(1);

impl Outcome {
    pub(crate) fn sessions(&self) -> u32 {
        self.good + self.failed + self.wrong
    }

    /// Sessions in a second, as many as this load generator can play beside the filter.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.sessions()) / millis(self.elapsed.max(1)) * 1000.0
    }
}

/// What the workers share.
struct Play {
    job: Job,
    begun: Instant,
    next: AtomicU32,
    start: Barrier,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    outcome: Outcome,
    waits: Vec<u64>,
    stages: [Vec<u64>; STAGES],
}

/// Plays the job that the argument describes.
pub(crate) fn play(job: &str) -> Result<(), Failure> {
    let job: Job = serde_json::from_str(job)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // No load may outlive the patience of whoever runs the bench, whatever the filter does.
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST);
        eprintln!("load generator: not done after {LONGEST:?}");
        std::process::exit(1);
    });
    let workers = job.at_once.min(job.sessions);
    let begun = Instant::now();
    let play = Arc::new(Play {
        next: AtomicU32::new(0),
        start: Barrier::new(workers as usize),
        ledger: Mutex::default(),
        begun,
        job,
    });
    let kept = runtime.block_on(async {
        let tasks: Vec<_> = (0..workers).map(|_| tokio::spawn(work(Arc::clone(&play)))).collect();
        let mut kept = Vec::new();
        for task in tasks {
            kept.extend(task.await?);
        }
        Ok::<_, Failure>(kept)
    })?;
    let elapsed = micros(begun.elapsed());
    let mut ledger = std::mem::take(&mut *play.ledger.lock().unwrap_or_else(PoisonError::into_inner));
    let [wait_p50, wait_p99, wait_max] = below(&mut ledger.waits);
    let stages = std::mem::take(&mut ledger.stages).map(|mut waits| below(&mut waits));
    let outcome = Outcome { wait_p50, wait_p99, wait_max, stages, elapsed, ..ledger.outcome };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    out.flush()?;
    if play.job.manner == Manner::Idle {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    }
    drop(kept);
    Ok(())
}

/// What 50 %, 99 % and all of the values are not above.
fn below(values: &mut [u64]) -> [u64; 3] {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    [50, 99, 100].map(|share| values.get((values.len() * share / 100).min(last)).copied().unwrap_or_default())
}

/// Either kind of open session, kept only to keep it open.
enum Open {
    Tcp { _session: Session<TcpStream> },
    Unix { _session: Session<UnixStream> },
}

async fn work(play: Arc<Play>) -> Vec<Open> {
    let mut kept = Vec::new();
    loop {
        let session = play.next.fetch_add(1, Ordering::Relaxed);
        if session >= play.job.sessions || play.begun.elapsed() > play.job.budget {
            return kept;
        }
        if let Manner::Paced(rate) = play.job.manner {
            let due = play.begun + Duration::from_secs(1) * session / rate;
            tokio::time::sleep_until(due.into()).await;
        }
        let who = play.job.crowd.identity(session);
        let ended = tokio::time::timeout(play.job.patience, attend(&play, &who)).await;
        let ended = ended.unwrap_or_else(|_| Err(format!("no end after {:?}", play.job.patience)));
        let mut ledger = play.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ok((open, course)) => {
                kept.extend(open);
                ledger.note(&play.job, &who, &course);
            }
            Err(reason) => {
                ledger.outcome.failed += 1;
                *ledger.outcome.reasons.entry(reason).or_default() += 1;
            }
        }
    }
}

async fn attend(play: &Play, who: &Identity) -> Result<(Option<Open>, Course), String> {
    match &play.job.door {
        Door::Tcp(port) => {
            let stream =
                TcpStream::connect(("127.0.0.1", *port)).await.map_err(|e| format!("connect: {e}"))?;
            stream
                .set_nodelay(play.job.writing == Writing::Burst)
                .map_err(|error| format!("connect: {error}"))?;
            match converse(play, stream, who).await? {
                Conversation::Ended(course) => Ok((None, course)),
                Conversation::Open(session) => {
                    Ok((Some(Open::Tcp { _session: *session }), Course::default()))
                }
            }
        }
        Door::Smtp(port) => Ok((None, smtp::converse(*port, who).await?)),
        Door::Unix(path) => {
            let stream = loop {
                match UnixStream::connect(path).await {
                    // Where TCP would wait for room in the backlog, a Unix socket says "again".
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    other => break other.map_err(|error| format!("connect: {error}"))?,
                }
            };
            match converse(play, stream, who).await? {
                Conversation::Ended(course) => Ok((None, course)),
                Conversation::Open(session) => {
                    Ok((Some(Open::Unix { _session: *session }), Course::default()))
                }
            }
        }
    }
}

enum Conversation<S> {
    Ended(Course),
    Open(Box<Session<S>>),
}

async fn converse<S>(play: &Play, stream: S, who: &Identity) -> Result<Conversation<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session::new(stream, play.job.writing);
    session.negotiate().await?;
    if play.job.manner == Manner::Burst {
        play.start.wait().await;
    }
    session.introduce(who, play.job.pause).await?;
    if play.job.manner == Manner::Idle {
        return Ok(Conversation::Open(Box::new(session)));
    }
    for message in 0..play.job.messages {
        if message > 0 && !session.next() {
            break;
        }
        session.send(who, play.job.pause).await?;
        if let Some(octets) = play.job.body {
            session.message(who, octets).await?;
        }
    }
    session.end().await.map(Conversation::Ended)
}

impl Ledger {
    fn note(&mut self, job: &Job, who: &Identity, course: &Course) {
        // A subject that is known early is refused at the stage of the verdict, a later one when it comes.
        let due = match (job.enforce, who.listed) {
            (Some(enforce), Some(listed)) => Some(listed.max(enforce)),
            _ => None,
        };
        self.waits.push(micros(course.waited));
        self.outcome.replies += course.replies;
        for (stage, &longest) in self.stages.iter_mut().zip(&course.stages) {
            stage.push(micros(longest));
            self.outcome.reply_max = self.outcome.reply_max.max(micros(longest));
        }
        // Which command carries a refusal is the mail server's business.
        let right = match job.door {
            Door::Smtp(_) => course.refused.is_some() == due.is_some(),
            Door::Tcp(_) | Door::Unix(_) => course.refused == due,
        };
        if right {
            self.outcome.good += 1;
        } else {
            self.outcome.wrong += 1;
            let reason = format!("refused at {:?}, due {due:?}", course.refused);
            *self.outcome.reasons.entry(reason).or_default() += 1;
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
