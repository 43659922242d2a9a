//! Being a Unix process: sockets, privileges, readiness, signals, reload.
//!
//! The order is the design: configuration, log, sockets, privileges, and only then threads and the
//! runtime. What a decision is, is none of its business.

mod descriptors;
mod exit;
mod handover;
mod privileges;
mod serve;
mod store;

use crate::config::Config;
use crate::dns::{Dns, Source};
use crate::gate::Gate;
use crate::limits::Limits;
use crate::server::{BindError, Listen, Server, Socket};

pub use exit::Exit;
pub use privileges::{Account, PrivilegeError};
pub use serve::Reload;

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

/// A daemon with its sockets bound, ready to serve.
pub struct Daemon {
    config: Config,
    sockets: Vec<Socket>,
    server: Server<Gate>,
    dns: std::sync::Arc<Dns>,
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
        let limits = Limits::from(&config);
        descriptors::make_room(&limits);
        let dns = Dns::new((&config).into(), config.key.clone(), source);
        let server = Server::new(Gate::compile(&config, dns.clone()), limits);
        Ok(Self { config, sockets, server, dns })
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
        privileges::drop_to(account)?;
        Ok(())
    }
}
