//! Being a Unix process: sockets, privileges, readiness, signals, reload, orders.
//!
//! The order is the design: configuration, log, sockets, privileges, and only then threads and the
//! runtime. What a decision is, is none of its business.

mod ask;
mod control;
mod descriptors;
mod exit;
mod privileges;
mod serve;
mod status;

use std::sync::Arc;

use crate::config::Config;
use crate::dns::{Dns, Source};
use crate::gate::Gate;
use crate::limits::Limits;
use crate::server::{BindError, Listen, Server, Socket};
use crate::telemetry::Metrics;
use control::Desk;
use status::Notes;

pub use ask::{AskError, CONTROL_SOCKET, METRICS_SOCKET, ask};
pub use exit::Exit;
pub use privileges::{Account, PrivilegeError};
pub use serve::Reload;
pub use status::{
    CacheStatus, FORMAT, KeyStatus, ServerStatus, Sessions, SocketStatus, Status, Step, ZoneStatus,
};

/// Mode of a Unix socket that we make ourselves: the MTA's account gets in by its group.
const SOCKET_MODE: u32 = 0o660;

/// Why the daemon could not start. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An endpoint could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The account is unknown, or privileges could not be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The system refused what every process needs.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Gives up root for good in favour of `account`, if there is one, and hardens the process: for one that
/// stands beside the daemon. To be called before the first thread exists.
///
/// # Errors
/// [`StartError::Privileges`]; the process must not go on then.
pub fn confine(account: Option<&Account>) -> Result<(), StartError> {
    if let Some(account) = account {
        privileges::drop_to(account)?;
    }
    privileges::harden()?;
    Ok(())
}

/// A daemon with its sockets bound, ready to serve.
pub struct Daemon {
    config: Config,
    sockets: Vec<Socket>,
    desks: Vec<Desk>,
    server: Server<Gate>,
    dns: Arc<Dns>,
    metrics: Arc<Metrics>,
    notes: Notes,
}

impl Daemon {
    /// Binds the sockets and compiles the gate; asks and accepts nothing yet.
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub fn new(config: Config, source: Source) -> Result<Self, StartError> {
        let mut sockets = Vec::new();
        for listen in &config.listen {
            sockets.extend(listen.bind(SOCKET_MODE)?);
        }
        let desks = Desk::bind(&config)?;
        let limits = Limits::from(&config);
        descriptors::make_room(&limits);
        let metrics = Arc::<Metrics>::default();
        let dns = Dns::counting((&config).into(), config.key.clone(), source, Arc::clone(&metrics));
        let gate = Gate::compile(&config, Arc::clone(&dns)).counting(Arc::clone(&metrics));
        let server = Server::counting(gate, limits, Arc::clone(&metrics));
        Ok(Self { config, sockets, desks, server, dns, metrics, notes: Notes::new() })
    }

    /// Where it listens, with ports that the system chose.
    pub fn listens(&self) -> impl Iterator<Item = &Listen> + '_ {
        self.sockets.iter().map(Socket::listen)
    }

    /// Gives up root, if the process has it: becomes `account` for good. Its socket files go to that
    /// account too. To be called before the first thread exists.
    ///
    /// # Errors
    /// [`PrivilegeError`]; the process must not go on then.
    pub fn become_account(&self, account: &Account) -> Result<(), StartError> {
        for socket in &self.sockets {
            socket.hand_to(account.uid())?;
        }
        for desk in &self.desks {
            desk.hand_to(account.uid())?;
        }
        privileges::drop_to(account)?;
        self.notes.runs_as(account.name());
        Ok(())
    }
}
