//! The daemon's life from the first thread to the last session.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::control::{self, Done, Order};
use super::reloading::Reloading;
use super::summary::Summary;
use super::{Daemon, StartError, handover, manager, signals, watchdog};
use crate::config::{Config, Problem, Problems};
use crate::gate::{Gate, Loaded};
use crate::server::Socket;
use crate::source::{PERIOD, Watcher};
use crate::telemetry::{self, Figures};

/// Reads the configuration anew.
pub type Reload = Box<dyn FnMut() -> Result<Loaded, Problems> + Send>;

impl Daemon {
    /// Serves until SIGTERM or SIGINT, then drains. SIGHUP makes a new gate of what `reload` reads, in a thread of
    /// its own; on any error the old one stays. The files of lists are watched.
    ///
    /// # Errors
    /// [`StartError::Runtime`] and [`StartError::Thread`].
    pub fn run(mut self, watcher: &Watcher, reload: Reload) -> Result<(), StartError> {
        std::panic::set_hook(Box::new(|panic| {
            // Not its message: that may hold what a client sent.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(event = "panic", place, "a programming error; please report it");
        }));
        telemetry::detach();
        watcher.start(PERIOD)?;
        let stored = self.take_stored();
        self.notes.runs_as_it_is();
        let this = Arc::new(self);
        let others: Vec<Runtime> = (1..this.config.threads).map(|_| runtime()).collect::<io::Result<_>>()?;
        let first = runtime()?;
        let all = [&first].into_iter().chain(&others).map(|runtime| runtime.handle().clone());
        let all = this.notes.runtimes.get_or_init(|| all.collect());
        watchdog::start(&this, all.clone());
        let (report, failures) = mpsc::unbounded_channel();
        let threads: Vec<_> = others
            .into_iter()
            .map(|runtime| {
                let (this, report) = (Arc::clone(&this), report.clone());
                std::thread::spawn(move || {
                    if let Err(cause) = this.work(&runtime) {
                        // Nobody listens when all ends anyway.
                        let _ = report.send(cause);
                    }
                })
            })
            .collect();
        let mut summary = {
            let this = Arc::clone(&this);
            Summary::new(move || this.figures())
        };
        let ended = first.block_on(async {
            handover::take_over(&this.server, &this.dns, stored);
            Arc::clone(&this).live(reload, failures, &mut summary).await
        });
        // Whatever went wrong here, the others must not go on without signals and reload.
        if ended.is_err() {
            this.server.stop();
        }
        for thread in threads {
            // Its panic was reported; here it is only waited for.
            let _ = thread.join();
        }
        summary.tell();
        tracing::info!(event = "stopped", served = this.server.tally().served, "stopped");
        ended
    }

    /// Serves on a runtime of a further thread; `Err` if it could not, or panicked.
    fn work(&self, runtime: &Runtime) -> Result<(), String> {
        match catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.server.serve(&self.sockets)))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("a programming error".to_owned()),
        }
    }

    /// Serves while `work` goes on, without signals and reload: for a demonstration.
    ///
    /// # Errors
    /// As [`Daemon::run`].
    pub fn run_during<T>(self, work: impl Future<Output = T>) -> Result<T, StartError> {
        let done = runtime()?.block_on(async {
            tokio::select! {
                served = self.server.serve(&self.sockets) => served.and(Err(io::ErrorKind::Interrupted.into())),
                done = work => Ok(done),
            }
        });
        done.map_err(StartError::Runtime)
    }

    async fn live(
        self: Arc<Self>,
        reload: Reload,
        mut failures: mpsc::UnboundedReceiver<String>,
        summary: &mut Summary<impl Fn() -> Figures>,
    ) -> Result<(), StartError> {
        let mut hangup = signal(SignalKind::hangup())?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        signals::release();
        let (orders, mut ordered) = mpsc::channel(1);
        let desks = control::open(&self, &orders)?;
        let probes = tokio::spawn(Arc::clone(&self.dns).watch());
        tracing::info!(
            event = "ready",
            version = env!("CARGO_PKG_VERSION"),
            listen = self.listening().join(", "),
            enforce = self.config.enforce_stage.name(),
            "ready"
        );
        let mut standing = Standing { keyless: is_keyless(&self.config), failed: false };
        let mut told = self.status(standing);
        manager::ready(&told);
        let mut tick = interval(manager::STATUS_PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let is_heard = manager::listens();
        let mut summaries = self.summaries.subscribe();
        let mut reloading = Reloading::new(reload);
        let serving = self.server.serve(&self.sockets);
        tokio::pin!(serving);
        loop {
            tokio::select! {
                served = &mut serving => {
                    probes.abort();
                    drop(ordered);
                    desks.close().await;
                    return served.map_err(StartError::Runtime);
                }
                Some(cause) = failures.recv() => {
                    probes.abort();
                    return Err(StartError::Thread(cause));
                }
                _ = tick.tick(), if is_heard => {
                    let status = self.status(standing);
                    if status != told && manager::status(&status) {
                        told = status;
                    }
                }
                () = summary.due(&mut summaries) => summary.tell(),
                loaded = reloading.read() => {
                    let done = self.reload(loaded, &mut standing);
                    told = self.status(standing);
                    manager::ready(&told);
                    if reloading.tell(&done) {
                        manager::reloading();
                    }
                }
                _ = hangup.recv() => if reloading.order(None) {
                    manager::reloading();
                },
                Some(order) = ordered.recv() => match order {
                    Order::Reload(done) => if reloading.order(Some(done)) {
                        manager::reloading();
                    },
                    Order::Drain(done) => {
                        if !self.server.is_draining() {
                            self.announce(standing);
                            self.server.drain();
                            self.sockets.iter().for_each(Socket::close);
                        }
                        let open = self.server.tally().open;
                        let _ = done.send(Done::well(vec![format!("draining; {open} sessions are open")]));
                    }
                },
                // A second signal ends what is still open, on all threads.
                () = either(&mut terminate, &mut interrupt) => {
                    if self.server.is_draining() {
                        self.server.stop();
                    } else {
                        self.announce(standing);
                        handover::leave(&self.server, &self.dns).await;
                        self.sockets.iter().for_each(Socket::close);
                    }
                }
            }
        }
    }

    /// Says that the end has begun.
    fn announce(&self, standing: Standing) {
        tracing::info!(
            event = "draining",
            open = self.server.tally().open,
            "stopping: open messages may finish"
        );
        manager::stopping(&self.status(standing));
    }

    /// One line for people: version, open sessions, how the lists do, and which files are wrong.
    fn status(&self, standing: Standing) -> String {
        use std::fmt::Write as _;
        let open = self.server.tally().open;
        let mut line =
            format!("{}, {open} session{} open", env!("CARGO_PKG_VERSION"), if open == 1 { "" } else { "s" });
        if self.server.is_draining() {
            line.push_str(", stopping");
        }
        for (n, zone) in self.dns.health().iter().enumerate() {
            let _ = write!(line, "{} {zone}", if n == 0 { ";" } else { "," });
        }
        // Of a list that does well there is nothing to say: what is in a file is in memory.
        for (list, _) in self.files().filter(|(_, state)| state.failed.is_some()) {
            let _ = write!(line, "; the file of {list} is wrong, what was read before is in use");
        }
        for file in self.member_files().iter().filter(|file| !file.problems.is_empty()) {
            let _ = write!(line, "; the member file {} cannot be used", file.path);
        }
        for (name, _) in self.maps().filter(|(_, state)| state.failed.is_some()) {
            let _ = write!(line, "; the map {name} is wrong, what was read before is in use");
        }
        if standing.keyless {
            line.push_str("; no key: all mail comes in");
        }
        if standing.failed {
            line.push_str("; the last reload failed, the configuration before it is in force");
        }
        line
    }

    /// Puts a new configuration in force, if it can be.
    fn reload(&self, loaded: Result<Loaded, Problems>, standing: &mut Standing) -> Done {
        let Loaded { config, tables } = match loaded {
            Ok(loaded) => loaded,
            Err(problems) => {
                let problems: Vec<String> = problems.to_string().lines().map(str::to_owned).collect();
                for problem in &problems {
                    tracing::error!(event = "reload", problem, "the configuration in force stays");
                }
                standing.failed = true;
                self.notes.reloaded(&problems);
                return Done::badly(problems);
            }
        };
        if let Some(problem) = self.bounds.as_ref().and_then(|bounds| bounds.forbids(&config)) {
            tracing::error!(event = "reload", problem, "the configuration in force stays");
            standing.failed = true;
            let problems = vec![problem];
            self.notes.reloaded(&problems);
            return Done::badly(problems);
        }
        tell_notices(&config);
        let mut notices: Vec<String> = config.notices.iter().map(Problem::to_string).collect();
        for name in fixed(&self.config, &config) {
            tracing::warn!(event = "reload", setting = name, "takes effect at the next restart");
            notices.push(format!("{name} takes effect at the next restart"));
        }
        self.dns.reconfigure((&config).into());
        self.dns.set_key(config.key.clone());
        let gate = Gate::compile(&config, &tables, Arc::clone(&self.dns)).counting(Arc::clone(&self.metrics));
        self.server.replace(gate.metering(&self.meters));
        self.summaries.send_replace(config.log_summary);
        tracing::info!(
            event = "reloaded",
            enforce = config.enforce_stage.name(),
            "the new configuration is in force"
        );
        *standing = Standing { keyless: is_keyless(&config), failed: false };
        self.notes.reloaded(&[]);
        Done::well(notices)
    }
}

/// Logs what is worth knowing about a configuration.
pub fn tell_notices(config: &Config) {
    for notice in &config.notices {
        if notice.is_missing_key() {
            tracing::warn!(event = "no_key", "{notice}");
        } else {
            tracing::warn!(event = "config", "{notice}");
        }
    }
}

/// What the status line tells beside figures.
#[derive(Clone, Copy)]
struct Standing {
    /// There is no key, and all mail comes in.
    keyless: bool,
    /// The last reload changed nothing, for something is wrong with the configuration.
    failed: bool,
}

fn is_keyless(config: &Config) -> bool {
    config.key.is_none() && config.asks_dqs()
}

/// The settings that changed although they are fixed for the life of the process.
fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("listen", old.listen != new.listen),
        ("socket.owner", old.socket_owner != new.socket_owner),
        ("socket.group", old.socket_group != new.socket_group),
        ("socket.mode", old.socket_mode != new.socket_mode),
        ("user", old.user != new.user),
        ("sandbox", old.sandbox != new.sandbox),
        ("threads", old.threads != new.threads),
        ("log.level", old.log_level != new.log_level),
        ("connections", old.connections != new.connections),
        ("overload", old.overload != new.overload),
        ("client_connections", old.client_connections != new.client_connections),
        ("timeouts.idle", old.idle_timeout != new.idle_timeout),
        ("timeouts.drain", old.drain_timeout != new.drain_timeout),
        ("control.listen", old.control_listen != new.control_listen),
        ("metrics.listen", old.metrics_listen != new.metrics_listen),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(name, _)| name)
    .collect()
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Inherited;
    use crate::dns::Source;

    #[tokio::test]
    async fn a_reload_changes_how_often_the_log_sums_up() {
        let mut config = Config::default();
        config.listen = vec!["inet:0@127.0.0.1".parse().expect("an endpoint")];
        let daemon =
            Daemon::new(config.clone().into(), Source::Resolver, Inherited::default()).expect("a free port");
        let summaries = daemon.summaries.subscribe();
        assert_eq!(*summaries.borrow(), Some(std::time::Duration::from_mins(10)));
        config.log_summary = None;
        let mut standing = Standing { keyless: true, failed: false };
        let _ = daemon.reload(Ok(config.into()), &mut standing);
        assert_eq!(*summaries.borrow(), None);
    }

    #[test]
    fn a_thread_that_cannot_serve_ends_the_daemon_with_its_reason() {
        let mut config = Config::default();
        config.listen = vec!["inet:0@127.0.0.1".parse().expect("an endpoint")];
        let daemon = Daemon::new(config.into(), Source::Resolver, Inherited::default()).expect("a free port");
        let (report, failures) = mpsc::unbounded_channel();
        report.send("no more memory".to_owned()).expect("it listens");
        let reload = Box::new(|| -> Result<Loaded, Problems> { unreachable!("nobody reloads") });
        let mut summary = Summary::new(Figures::default);
        let live = Arc::new(daemon).live(reload, failures, &mut summary);
        let ended = runtime().expect("a runtime").block_on(live);
        let error = ended.expect_err("the thread failed").to_string();
        assert!(error.contains("a serving thread ended: no more memory"), "{error}");
    }
}
