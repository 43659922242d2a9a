//! What the daemon tells about itself.
//!
//! The same structure is written by the daemon and read by `gatepost status`. Never a secret: of the key
//! only that it is there, and four digits of its digest.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{Daemon, Step};
use crate::dns::{QueryBudget, ZoneHealth, ZoneState};
use crate::gate::Access;
use crate::server::Socket;
use crate::source::State;
use crate::telemetry::{self, FileFigures, Handover, Process, Snapshot, ZoneFigures};
use crate::verdict::List;

/// The number of the format of all replies in JSON; a member that goes or changes its meaning raises it.
pub const FORMAT: u32 = 1;

/// What a daemon remembers about itself beside what it works with.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) process: Process,
    pub(super) runtimes: OnceLock<Vec<Handle>>,
    started: Instant,
    account: OnceLock<String>,
    reload: Mutex<Reload>,
    /// When the configuration in force was read.
    loaded: Mutex<SystemTime>,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            process: Process::new(),
            runtimes: OnceLock::new(),
            started: Instant::now(),
            account: OnceLock::new(),
            reload: Mutex::default(),
            loaded: Mutex::new(SystemTime::now()),
        }
    }

    /// Notes the account; only the first one counts.
    pub(super) fn runs_as(&self, account: &str) {
        let _ = self.account.set(account.to_owned());
    }

    /// Notes the account that the process has now.
    pub(super) fn runs_as_it_is(&self) {
        let uid = Uid::effective();
        self.account.get_or_init(|| match User::from_uid(uid) {
            Ok(Some(user)) => user.name,
            _ => uid.to_string(),
        });
    }

    /// Notes what came of a reload.
    pub(super) fn reloaded(&self, problems: &[String]) {
        let now = SystemTime::now();
        if problems.is_empty() {
            *lock(&self.loaded) = now;
        }
        *lock(&self.reload) = Reload {
            time: Some(humantime::format_rfc3339_seconds(now).to_string()),
            ok: problems.is_empty(),
            problems: problems.to_vec(),
        };
    }
}

/// All that a daemon tells about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`FORMAT`].
    pub format: u32,
    /// The version that runs.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The account that it runs as.
    pub account: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Tasks alive on all runtimes: one for each session, some for questions, and a few more.
    #[serde(default)]
    pub tasks: usize,
    /// `serving` or `draining`.
    pub state: String,
    /// The stage at which mail is refused.
    pub enforce: String,
    /// The key.
    pub key: KeyStatus,
    /// The sockets.
    pub sockets: Vec<SocketStatus>,
    /// Sessions.
    pub sessions: Sessions,
    /// The lists in use.
    pub zones: Vec<ZoneStatus>,
    /// The lists in files, access maps and member files.
    #[serde(default)]
    pub files: Vec<FileStatus>,
    /// The name servers.
    pub servers: Vec<ServerStatus>,
    /// The memory of answers.
    pub cache: CacheStatus,
    /// What DQS was asked today, if there is a budget for it.
    #[serde(default)]
    pub query_budget: Option<BudgetStatus>,
    /// The steps by which the process is confined; empty if it does not tell.
    #[serde(default)]
    pub confinement: Vec<StepStatus>,
    /// The last reload.
    pub reload: Reload,
    /// The log.
    #[serde(default)]
    pub log: LogStatus,
}

/// What stands in the place of a list for a member file.
pub const MEMBERS: &str = "members";

/// Questions to DQS today (UTC).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Sent so far.
    pub sent: u64,
    /// The number of the settings.
    pub limit: u64,
}

/// What is told of the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// Whether there is one.
    pub present: bool,
    /// The first four hexadecimal digits of its SHA-256.
    pub fingerprint: Option<String>,
}

/// A socket that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SocketStatus {
    /// What it is for: `milter`, `control` or `metrics`.
    pub purpose: String,
    /// Where it is, in libmilter's notation.
    pub endpoint: String,
    /// Where it came from: the place of the setting, or `socket unit` and its name there.
    pub origin: String,
}

/// Sessions since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// Open now.
    pub open: usize,
    /// The most that may be open.
    pub limit: usize,
    /// Ever served.
    pub served: u64,
    /// Let go for lack of room.
    pub shed: u64,
    /// Handed to the next process.
    pub handed_over: u64,
    /// Taken over from the process before.
    pub taken_over: u64,
    /// Not taken over from the process before.
    pub lost: u64,
    /// Closed for what their peer sent.
    pub malformed: u64,
    /// Ended by a defect.
    pub panics: u64,
}

/// How a list does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZoneStatus {
    /// The list.
    pub zone: String,
    /// `ok`, `resting` (left alone after trouble), `error` (what the operator of the list says about us) or `doubtful` (its test entry is missing).
    pub state: String,
    /// What is wrong, in plain words.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Seconds since it is left alone.
    pub since_seconds: Option<u64>,
    /// Seconds until it is asked again.
    pub retry_seconds: Option<u64>,
    /// Questions sent to name servers.
    pub queries: u64,
    /// Listings among them.
    pub listed: u64,
    /// Failures and operator's errors among them.
    pub failures: u64,
    /// Questions answered from memory.
    pub cache_hits: u64,
}

/// How the file of a list does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileStatus {
    /// The list; `members` for a member file.
    pub zone: String,
    /// Its path.
    pub path: String,
    /// `ok`, or `failed` while the file as it is now cannot be used.
    pub state: String,
    /// Entries of what is in use.
    pub entries: usize,
    /// Seconds since that was read.
    pub age_seconds: u64,
    /// Why the file as it is now is not in use, with its lines.
    pub problems: Vec<String>,
    /// How often a new file could not be used.
    pub failures: u64,
}

/// How a name server does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its address and port.
    pub address: String,
    /// `ok`, or `silent` while it is asked after the others.
    pub state: String,
    /// Seconds since it kept silent.
    pub silent_seconds: Option<u64>,
}

/// How the memory of answers does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Answers remembered, stale ones included.
    pub entries: u64,
    /// The most that are.
    pub max: usize,
    /// Questions answered from memory.
    pub hits: u64,
    /// All questions of checks.
    pub asked: u64,
    /// Questions under way.
    pub under_way: u64,
    /// Answers forgotten for lack of room.
    pub evictions: u64,
}

/// One step of confinement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepStatus {
    /// What it is.
    pub step: String,
    /// `enforced`, `partial` or `off`.
    pub state: String,
    /// What holds, or why it does not.
    pub reason: Option<String>,
}

/// How the log does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LogStatus {
    /// Lines lost since the start, because the journal or whoever reads standard error did not take them.
    pub lost: u64,
}

/// What came of the last reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// When it was (RFC 3339); nothing if there was none.
    pub time: Option<String>,
    /// Whether its configuration came into force; true before the first one.
    pub ok: bool,
    /// What was wrong with it.
    pub problems: Vec<String>,
}

impl Default for Reload {
    fn default() -> Self {
        Self { time: None, ok: true, problems: Vec::new() }
    }
}

impl Daemon {
    /// What it tells about itself now.
    pub fn report(&self) -> Status {
        let tally = self.server.tally();
        let key = self.dns.key_fingerprint();
        let handed = |way| self.metrics.handed_over(way);
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            account: self.notes.account.get().cloned().unwrap_or_default(),
            uptime_seconds: self.notes.started.elapsed().as_secs(),
            tasks: self
                .notes
                .runtimes
                .get()
                .into_iter()
                .flatten()
                .map(|each| each.metrics().num_alive_tasks())
                .sum(),
            state: if self.server.is_draining() { "draining" } else { "serving" }.to_owned(),
            enforce: self.server.filter().rules().enforce.name().to_owned(),
            key: KeyStatus { present: key.is_some(), fingerprint: key },
            sockets: self.socket_status(),
            sessions: Sessions {
                open: tally.open,
                limit: self.config.connections,
                served: tally.served,
                shed: tally.shed,
                handed_over: handed(Handover::Out),
                taken_over: handed(Handover::In),
                lost: handed(Handover::Lost),
                malformed: tally.malformed,
                panics: tally.panics,
            },
            zones: self.dns.health().iter().map(zone).collect(),
            files: self
                .files()
                .map(|(list, state)| file(list.name(), state))
                .chain(self.member_files())
                .chain(self.maps().map(|(name, state)| file(&name, state)))
                .collect(),
            servers: self
                .dns
                .servers()
                .into_iter()
                .map(|server| ServerStatus {
                    address: server.address.to_string(),
                    state: if server.silent.is_some() { "silent" } else { "ok" }.to_owned(),
                    silent_seconds: server.silent.map(|ago| ago.as_secs()),
                })
                .collect(),
            cache: self.cache_status(),
            query_budget: self
                .dns
                .query_budget()
                .map(|QueryBudget { sent, limit }| BudgetStatus { sent, limit }),
            confinement: self.confinement.steps().iter().map(step).collect(),
            reload: lock(&self.notes.reload).clone(),
            log: LogStatus { lost: telemetry::lost_lines() },
        }
    }

    /// How the files of the lists in use do.
    pub(super) fn files(&self) -> impl Iterator<Item = (List, State)> {
        let gate = self.server.filter();
        let states =
            gate.rules().checks.iter().filter_map(|check| Some((check.list, check.table.as_ref()?.state())));
        states.collect::<Vec<_>>().into_iter()
    }

    /// How the member files of recipient policies do.
    pub(super) fn member_files(&self) -> Vec<FileStatus> {
        let gate = self.server.filter();
        let members = gate.rules().envelope.admissions.members.iter();
        members.map(|members| file(MEMBERS, members.state())).collect()
    }

    /// How the access maps in use do: `access`, `access-2` and so on, in the order in which they are asked.
    pub(super) fn maps(&self) -> impl Iterator<Item = (String, State)> {
        let gate = self.server.filter();
        let maps = gate.rules().access.iter().flat_map(|access| &access.check.maps);
        let name = |number: usize| match number {
            0 => Access::NAME.to_owned(),
            more => format!("{}-{}", Access::NAME, more + 1),
        };
        let states = maps.enumerate().filter_map(|(number, map)| Some((name(number), map.state()?)));
        states.collect::<Vec<_>>().into_iter()
    }

    /// How the memory of answers does.
    pub fn cache_status(&self) -> CacheStatus {
        let figures = self.dns.cache_figures();
        let health = self.dns.health();
        CacheStatus {
            entries: figures.answers,
            max: self.dns.cache_max(),
            hits: health.iter().map(|zone| zone.counters.hits).sum(),
            asked: health.iter().map(|zone| zone.counters.asked).sum(),
            under_way: figures.questions,
            evictions: figures.evictions,
        }
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        let zones = self.dns.health();
        let figures = |zone: &ZoneHealth| ZoneFigures {
            list: zone.list,
            healthy: zone.trouble().is_none(),
            open: zone.state != ZoneState::Ok,
            queries: zone.counters.queries,
            hits: zone.counters.hits,
            coalesced: zone.counters.coalesced,
        };
        let lost = [("log", telemetry::lost_lines())];
        let suppressed =
            self.server.suppressed().into_iter().chain(self.dns.suppressed()).chain(lost).collect();
        self.metrics.text(Snapshot {
            open: self.server.tally().open as u64,
            zones: zones.iter().map(figures).collect(),
            files: self
                .files()
                .map(|(list, state)| figures_of(Some(list), list.name().into(), &state))
                .chain(self.maps().map(|(name, state)| figures_of(None, name.into(), &state)))
                .collect(),
            cache: self.dns.cache_figures(),
            budget: self.dns.query_budget().map(|budget| (budget.sent, budget.limit)),
            suppressed,
            reload_success: lock(&self.notes.reload).ok,
            reloaded: *lock(&self.notes.loaded),
            process: self.notes.process.usage(),
        })
    }

    pub(super) fn socket_status(&self) -> Vec<SocketStatus> {
        let milter = self.sockets.iter().map(|socket| ("milter", "listen", socket));
        let desks = self.desks.iter().map(|desk| (desk.purpose.name(), desk.purpose.setting(), &desk.socket));
        let told = |(purpose, setting, socket): (&str, &str, &Socket)| SocketStatus {
            purpose: purpose.to_owned(),
            endpoint: socket.listen().to_string(),
            origin: match socket.name() {
                Some(name) => format!("socket unit, {name}"),
                None => self.config.place_of(setting).to_string(),
            },
        };
        milter.chain(desks).map(told).collect()
    }
}

fn step(step: &Step) -> StepStatus {
    StepStatus {
        step: step.name.to_owned(),
        state: step.extent.word().to_owned(),
        reason: Some(step.reason.clone()).filter(|reason| !reason.is_empty()),
    }
}

fn file(name: &str, state: State) -> FileStatus {
    let path = state.path.display().to_string();
    let faults = state.failed.map(|failed| failed.faults).unwrap_or_default();
    FileStatus {
        zone: name.to_owned(),
        state: if faults.is_empty() { "ok" } else { "failed" }.to_owned(),
        entries: state.entries,
        // The clock may have been set back since.
        age_seconds: state.loaded.elapsed().unwrap_or_default().as_secs(),
        problems: faults.iter().map(|fault| format!("{path}:{fault}")).collect(),
        failures: state.failures,
        path,
    }
}

fn figures_of(list: Option<List>, name: Box<str>, state: &State) -> FileFigures {
    FileFigures {
        list,
        name,
        entries: state.entries as u64,
        loaded: state.loaded,
        healthy: state.failed.is_none(),
        failures: state.failures,
    }
}

fn zone(health: &ZoneHealth) -> ZoneStatus {
    let now = tokio::time::Instant::now();
    let (state, until) = match health.state {
        ZoneState::Open { trouble, until } if trouble.is_about_us() => ("error", Some(until)),
        ZoneState::Open { until, .. } => ("resting", Some(until)),
        ZoneState::Ok if health.trouble().is_some() => ("doubtful", None),
        ZoneState::Ok => ("ok", None),
    };
    let (reason, remedy) = health.trouble().unzip();
    let seconds = |time: Duration| time.as_secs();
    ZoneStatus {
        zone: health.list.name().to_owned(),
        state: state.to_owned(),
        reason,
        remedy: remedy.map(str::to_owned),
        since_seconds: health.since.map(|since| seconds(now.duration_since(since))),
        retry_seconds: until.map(|until| seconds(until.duration_since(now))),
        queries: health.counters.queries,
        listed: health.counters.listed,
        failures: health.counters.failures + health.counters.service_errors,
        cache_hits: health.counters.hits,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
