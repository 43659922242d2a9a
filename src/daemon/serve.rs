//! The daemon's life from the first thread to the last session.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Daemon, StartError, handover, privileges};
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
        let this = Arc::new(self);
        let others: Vec<Runtime> = (1..this.config.threads).map(|_| runtime()).collect::<io::Result<_>>()?;
        let threads: Vec<_> = others
            .into_iter()
            .map(|runtime| {
                let this = Arc::clone(&this);
                std::thread::spawn(move || runtime.block_on(this.server.serve(&this.sockets)))
            })
            .collect();
        runtime()?.block_on(this.live(reload))?;
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

    async fn live(&self, mut reload: Reload) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
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
                    return served;
                }
                _ = hangup.recv() => self.reload(reload()),
                () = either(&mut terminate, &mut interrupt) => {
                    tracing::info!(event = "draining", open = self.server.tally().open, "stopping: open messages may finish");
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                    // A second signal ends what is still open, on all threads.
                    if self.server.is_draining() {
                        self.server.stop();
                        continue;
                    }
                    handover::leave(&self.server).await;
                    self.sockets.iter().for_each(Socket::close);
                }
            }
        }
    }

    fn reload(&self, config: Result<Config, Problems>) {
        let config = match config {
            Ok(config) => config,
            Err(problems) => {
                for problem in problems.to_string().lines() {
                    tracing::error!(event = "reload", problem, "the configuration in force stays");
                }
                return;
            }
        };
        for notice in &config.notices {
            tracing::warn!(event = "config", "{notice}");
        }
        for name in fixed(&self.config, &config) {
            tracing::warn!(event = "reload", setting = name, "takes effect at the next restart");
        }
        self.dns.reconfigure((&config).into());
        self.dns.set_key(config.key.clone());
        self.server.replace(Gate::compile(&config, Arc::clone(&self.dns)));
        tracing::info!(
            event = "reloaded",
            enforce = config.enforce_stage.name(),
            "the new configuration is in force"
        );
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
        ("timeouts.idle", old.idle_timeout != new.idle_timeout),
        ("timeouts.drain", old.drain_timeout != new.drain_timeout),
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
