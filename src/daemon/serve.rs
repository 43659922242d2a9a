//! The daemon's life from the first thread to the last session.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::control::{self, Done, Order};
use super::{Daemon, StartError, privileges};
use crate::config::{Config, Problems};
use crate::gate::Gate;
use crate::server::Socket;

/// Reads the configuration anew.
pub type Reload = Box<dyn FnMut() -> Result<Config, Problems> + Send>;

impl Daemon {
    /// Serves until SIGTERM or SIGINT, then drains. SIGHUP makes a new gate of what `reload` reads; on
    /// any error the old one stays.
    ///
    /// # Errors
    /// [`StartError::Runtime`] and [`StartError::Privileges`].
    pub fn run(self, reload: Reload) -> Result<(), StartError> {
        privileges::harden()?;
        std::panic::set_hook(Box::new(|panic| {
            // Not its message: that may hold what a client sent.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(event = "panic", place, "a programming error; please report it");
        }));
        self.notes.runs_as_it_is();
        let this = Arc::new(self);
        let others: Vec<Runtime> = (1..this.config.threads).map(|_| runtime()).collect::<io::Result<_>>()?;
        let threads: Vec<_> = others
            .into_iter()
            .map(|runtime| {
                let this = Arc::clone(&this);
                std::thread::spawn(move || runtime.block_on(this.server.serve(&this.sockets)))
            })
            .collect();
        runtime()?.block_on(Arc::clone(&this).live(reload))?;
        for thread in threads {
            let _ = thread.join();
        }
        tracing::info!(event = "stopped", served = this.server.tally().served, "stopped");
        Ok(())
    }

    /// Serves while `work` goes on, without signals and reload: for a demonstration.
    ///
    /// # Errors
    /// As [`Daemon::run`].
    pub fn run_during<T>(self, work: impl Future<Output = T>) -> Result<T, StartError> {
        privileges::harden()?;
        let done = runtime()?.block_on(async {
            tokio::select! {
                served = self.server.serve(&self.sockets) => served.and(Err(io::ErrorKind::Interrupted.into())),
                done = work => Ok(done),
            }
        });
        done.map_err(StartError::Runtime)
    }

    async fn live(self: Arc<Self>, mut reload: Reload) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (orders, mut ordered) = mpsc::channel(1);
        let desks = control::open(&self, &orders)?;
        let probes = tokio::spawn(Arc::clone(&self.dns).watch());
        let listens: Vec<String> = self.listens().map(ToString::to_string).collect();
        tracing::info!(
            event = "ready",
            version = env!("CARGO_PKG_VERSION"),
            listen = listens.join(" "),
            enforce = self.config.enforce_stage.name(),
            "ready"
        );
        // Without a service manager there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let serving = self.server.serve(&self.sockets);
        tokio::pin!(serving);
        loop {
            tokio::select! {
                served = &mut serving => {
                    probes.abort();
                    drop(ordered);
                    desks.close().await;
                    return served;
                }
                _ = hangup.recv() => drop(self.reload(reload())),
                Some(order) = ordered.recv() => match order {
                    Order::Reload(done) => drop(done.send(self.reload(reload()))),
                    Order::Drain(done) => {
                        if !self.server.is_draining() {
                            self.drain();
                        }
                        let open = self.server.tally().open;
                        let _ = done.send(Done::well(vec![format!("draining; {open} sessions are open")]));
                    }
                },
                // A second signal ends what is still open, on all threads.
                () = either(&mut terminate, &mut interrupt) => {
                    if self.server.is_draining() { self.server.stop() } else { self.drain() }
                }
            }
        }
    }

    fn drain(&self) {
        tracing::info!(
            event = "draining",
            open = self.server.tally().open,
            "stopping: open messages may finish"
        );
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.server.drain();
        self.sockets.iter().for_each(Socket::close);
    }

    fn reload(&self, config: Result<Config, Problems>) -> Done {
        let config = match config {
            Ok(config) => config,
            Err(problems) => {
                let problems: Vec<String> = problems.to_string().lines().map(str::to_owned).collect();
                for problem in &problems {
                    tracing::error!(event = "reload", problem, "the configuration in force stays");
                }
                self.notes.reloaded(&problems);
                return Done::badly(problems);
            }
        };
        let mut notices = Vec::new();
        for notice in &config.notices {
            tracing::warn!(event = "config", "{notice}");
            notices.push(notice.to_string());
        }
        for name in fixed(&self.config, &config) {
            tracing::warn!(event = "reload", setting = name, "takes effect at the next restart");
            notices.push(format!("{name} takes effect at the next restart"));
        }
        self.dns.reconfigure((&config).into());
        self.dns.set_key(config.key.clone());
        let gate = Gate::compile(&config, Arc::clone(&self.dns)).counting(Arc::clone(&self.metrics));
        self.server.replace(gate);
        tracing::info!(
            event = "reloaded",
            enforce = config.enforce_stage.name(),
            "the new configuration is in force"
        );
        self.notes.reloaded(&[]);
        Done::well(notices)
    }
}

/// The settings that changed although they are fixed for the life of the process.
fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("listen", old.listen != new.listen),
        ("user", old.user != new.user),
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
