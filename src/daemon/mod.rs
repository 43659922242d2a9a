//! Being a Unix process: sockets, privileges, readiness, signals, reload, orders.
//!
//! The order is the design: configuration, log, sockets, privileges, and only then threads and the
//! runtime. What a decision is, is none of its business.

mod access;
mod answers;
mod ask;
mod confinement;
mod control;
mod descriptors;
mod exit;
mod handover;
mod inherited;
mod manager;
mod privileges;
mod reloading;
mod sandbox;
mod serve;
pub mod signals;
mod status;
mod store;
mod summary;
mod watchdog;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{Config, Place, Sandbox};
use crate::dns::{Dns, Source};
use crate::gate::{Gate, Loaded, Meters};
use crate::limits::Limits;
use crate::server::{BindError, Listen, Server, Socket};
use crate::telemetry::Metrics;
use control::Desk;
use status::Notes;

pub use access::Barred;
pub use ask::{AskError, CONTROL_SOCKET, METRICS_SOCKET, ask};
pub use confinement::{Confinement, Extent, Step};
pub use exit::Exit;
pub use inherited::{InheritError, Inherited};
pub use privileges::{Account, Ownership, PrivilegeError};
pub use sandbox::{Bounds, fixed_at_start};
pub use serve::{Reload, tell_notices};
pub use status::{
    BudgetStatus, CacheStatus, FORMAT, FileStatus, KeyStatus, LogStatus, MEMBERS, ServerStatus, Sessions,
    SocketStatus, Status, StepStatus, ZoneStatus,
};

/// Why the daemon could not start. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An endpoint could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What the service manager passed cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// The account is unknown, or privileges could not be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The system refused what every process needs.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// Too few files may be open.
    #[error(
        "only {given} open files are allowed, and {least} are the least without any connection; raise LimitNOFILE= \
         of the unit (ulimit -n), or lower threads"
    )]
    Descriptors {
        /// What the system allows.
        given: u64,
        /// What is needed.
        least: u64,
    },
    /// A thread that serves connections came to its end.
    #[error("a serving thread ended: {0}; open sessions are lost, the service manager starts anew")]
    Thread(String),
}

/// Gives up root for good in favour of `account`, if there is one, hardens the process, and takes every file and
/// every way out of TCP from it: for one that stands beside the daemon. What is open stays open, and the Unix
/// sockets of the file system can be reached. To be called before the first thread exists.
///
/// # Errors
/// [`StartError::Privileges`]; the process must not go on then.
pub fn confine(account: Option<&Account>) -> Result<(), StartError> {
    let mut confinement = Confinement::default();
    if let Some(account) = account {
        privileges::drop_to(account)?;
    }
    privileges::give_up()?;
    // The name is not looked up: this process is to need no file.
    privileges::read_back(&mut confinement, account.map(|account| account.name().to_owned()));
    Bounds::default().enforce(&mut confinement);
    privileges::hide()?;
    privileges::read_back_hidden(&mut confinement);
    tracing::info!(event = "confined", steps = %confinement, "what the process does not need is given up");
    Ok(())
}

/// A daemon with its sockets bound, ready to serve.
pub struct Daemon {
    config: Config,
    sockets: Vec<Socket>,
    desks: Vec<Desk>,
    /// What the process before left in the descriptor store, with its names.
    stored: Vec<(String, OwnedFd)>,
    confinement: Confinement,
    /// What the sandbox leaves, if there is one.
    bounds: Option<Bounds>,
    server: Server<Gate>,
    dns: Arc<Dns>,
    metrics: Arc<Metrics>,
    /// What clients and senders did, for limits that a reload keeps.
    meters: Meters,
    /// How often the log sums up.
    summaries: watch::Sender<Option<Duration>>,
    notes: Notes,
}

impl Daemon {
    /// Binds the sockets and compiles the gate; asks and accepts nothing yet.
    ///
    /// Sockets for MTAs that were inherited come before those of the configuration, which are not bound then.
    ///
    /// # Errors
    /// [`StartError::Bind`], [`StartError::Descriptors`], or [`StartError::Privileges`] for an account or group of sockets that is unknown.
    pub fn new(loaded: Loaded, source: Source, inherited: Inherited) -> Result<Self, StartError> {
        let Loaded { config, tables } = loaded;
        let Inherited { milter: mut sockets, control, metrics, stored, notices } = inherited;
        for notice in notices {
            tracing::warn!(event = "inherited", "{notice}");
        }
        let ownership = Ownership::find(&config)?;
        if sockets.is_empty() {
            for listen in &config.listen {
                sockets.extend(listen.bind(config.socket_mode.0)?);
            }
            for socket in &sockets {
                let handed = socket.hand_to(ownership.owner(), ownership.group());
                handed.map_err(|source| BindError::Owner { listen: socket.listen().clone(), source })?;
            }
        } else if config.place_of("listen") != Place::Default {
            tracing::warn!(
                event = "inherited",
                place = %config.place_of("listen"),
                "listen is set, but the sockets of the socket unit are used; take the setting out, and have the unit listen there: \
                 systemctl edit gatepost.socket, [Socket] ListenStream=, then systemctl restart gatepost.socket"
            );
        }
        let desks = Desk::all(&config, control, metrics)?;
        let limits = Limits::from(&config);
        descriptors::make_room(&limits, config.threads)?;
        let metrics = Arc::<Metrics>::default();
        let dns = Dns::counting((&config).into(), config.key.clone(), source, Arc::clone(&metrics));
        let gate = Gate::compile(&config, &tables, Arc::clone(&dns)).counting(Arc::clone(&metrics));
        let meters = Meters::default();
        let gate = gate.metering(&meters);
        let server = Server::counting(gate, limits, Arc::clone(&metrics));
        let (confinement, bounds) = (Confinement::default(), None);
        let summaries = watch::Sender::new(config.log_summary);
        Ok(Self {
            config,
            sockets,
            desks,
            stored,
            confinement,
            bounds,
            server,
            dns,
            metrics,
            meters,
            summaries,
            notes: Notes::new(),
        })
    }

    /// Where it listens, with ports that the system chose.
    pub fn listens(&self) -> impl Iterator<Item = &Listen> + '_ {
        self.sockets.iter().map(Socket::listen)
    }

    /// Where it listens and where that comes from, in words: `unix:/run/gatepost/milter.sock (socket unit, milter)`.
    pub fn listening(&self) -> Vec<String> {
        let told = |socket: SocketStatus| format!("{} ({})", socket.endpoint, socket.origin);
        self.socket_status().into_iter().map(told).collect()
    }

    /// What the process before left in the descriptor store, with its names; each caller after the first gets
    /// nothing.
    pub fn take_stored(&mut self) -> Vec<(String, OwnedFd)> {
        std::mem::take(&mut self.stored)
    }

    /// Gives up all rights that serving does not need: becomes `account` for good if there is one, clears the
    /// capabilities, and makes the sandbox of the settings. Its socket files go to the account. To be called
    /// once, before the first thread exists.
    ///
    /// # Errors
    /// [`StartError::Privileges`]; the process must not go on then.
    pub fn confine(&mut self, account: Option<&Account>) -> Result<(), StartError> {
        let mut confinement = Confinement::default();
        if let Some(account) = account {
            if self.config.socket_owner.is_none() {
                for socket in &self.sockets {
                    socket.hand_to(Some(account.uid()), None)?;
                }
            }
            for desk in &self.desks {
                desk.hand_to(account.uid())?;
            }
            privileges::drop_to(account)?;
            self.notes.runs_as(account.name());
        }
        self.notes.runs_as_it_is();
        privileges::give_up()?;
        privileges::read_back(&mut confinement, privileges::own_name());
        if self.config.sandbox == Sandbox::Off {
            confinement.note("landlock", Extent::Off, "switched off by the settings");
        } else {
            let all = self.sockets.iter().chain(self.desks.iter().map(|desk| &desk.socket));
            let made = all.filter(|socket| socket.name().is_none());
            let paths = made.filter_map(|socket| match socket.listen() {
                Listen::Unix(path) => Some(path.as_path()),
                _ => None,
            });
            let mut bounds = Bounds::new(&self.config, paths);
            bounds.enforce(&mut confinement);
            let holds =
                confinement.steps().iter().any(|step| step.name == "landlock" && step.extent != Extent::Off);
            self.bounds = holds.then_some(bounds);
        }
        privileges::hide()?;
        privileges::read_back_hidden(&mut confinement);
        tracing::info!(event = "confined", steps = %confinement, "what the process does not need is given up");
        if let Some(gap) = confinement.gap().filter(|_| self.config.sandbox == Sandbox::Require) {
            return Err(PrivilegeError::Gap(gap.to_string()).into());
        }
        self.confinement = confinement;
        Ok(())
    }

    /// What [`Daemon::confine`] took from the process, and what it could not.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// Where the process can still read; nothing without a sandbox.
    pub fn readable(&self) -> Vec<PathBuf> {
        self.bounds.iter().flat_map(Bounds::readable).map(Path::to_owned).collect()
    }
}
