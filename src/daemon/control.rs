//! The sockets on which the daemon tells of itself and takes orders.
//!
//! One line of request, one reply, and the connection ends. No request can make the daemon wait: each is
//! short, has a deadline, and only a few are served at once; all others wait in the kernel.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Group;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::status::{CacheStatus, FORMAT};
use super::{Daemon, StartError};
use crate::config::Config;
use crate::server::Socket;
use crate::smtp::{plain_json, printable};
use crate::verdict::List;

/// Mode of the sockets that we make: for the account and a group.
const SOCKET_MODE: u32 = 0o660;
/// Longest request in octets. The longest that means something has 44: `cache flush` and a name.
const LONGEST: usize = 1_024;
/// Longest time for a request to arrive, and for its reply to leave. Both fit into one packet.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections served at once.
const AT_ONCE: usize = 16;
/// Longest wait for the last replies when the daemon ends.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long accepting pauses when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To tell, and to take orders.
    Control,
    /// Only to tell.
    Metrics,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Metrics => "metrics",
        }
    }

    /// The setting that names such a socket.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Control => "control.listen",
            Self::Metrics => "metrics.listen",
        }
    }

    /// The group that may use such a socket, if the system has it.
    fn group(self) -> &'static str {
        match self {
            Self::Control => "gatepost-admin",
            Self::Metrics => "gatepost-exporter",
        }
    }
}

/// A socket with its purpose.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) purpose: Purpose,
    pub(super) socket: Socket,
}

impl Desk {
    /// The sockets that the service manager passed, else those of the settings.
    pub(super) fn all(
        config: &Config,
        control: Vec<UnixListener>,
        metrics: Vec<UnixListener>,
    ) -> Result<Vec<Self>, StartError> {
        let mut desks = Vec::new();
        for (purpose, passed, listen) in [
            (Purpose::Control, control, &config.control_listen),
            (Purpose::Metrics, metrics, &config.metrics_listen),
        ] {
            let mut sockets = Vec::new();
            for listener in passed {
                sockets.push(Socket::from_unix(listener, purpose.name())?);
            }
            if let (Some(listen), true) = (listen, sockets.is_empty()) {
                sockets = listen.bind(SOCKET_MODE)?;
            }
            desks.extend(sockets.into_iter().map(|socket| Self { purpose, socket }));
        }
        Ok(desks)
    }

    /// Gives a socket file of ours to an account, and to the group that may use it.
    pub(super) fn hand_to(&self, user: u32) -> io::Result<()> {
        let group = Group::from_name(self.purpose.group()).ok().flatten();
        self.socket.hand_to(Some(user), group.map(|group| group.gid.as_raw()))
    }
}

/// What the daemon's own loop has to do.
pub(super) enum Order {
    /// Read the configuration anew.
    Reload(oneshot::Sender<Done>),
    /// Take no more connections, and end.
    Drain(oneshot::Sender<Done>),
}

/// What came of an order, or of a request that brings nothing else.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Done {
    format: u32,
    ok: bool,
    /// Why not; all reasons.
    problems: Vec<String>,
    /// What else there is to know.
    notices: Vec<String>,
}

impl Done {
    pub(super) fn well(notices: Vec<String>) -> Self {
        Self { format: FORMAT, ok: true, problems: Vec::new(), notices }
    }

    pub(super) fn badly(problems: Vec<String>) -> Self {
        Self { format: FORMAT, ok: false, problems, notices: Vec::new() }
    }
}

#[derive(Serialize)]
struct Stats {
    format: u32,
    #[serde(flatten)]
    cache: CacheStatus,
}

/// The desks of a daemon while they are served; nobody is let in any more once it is dropped.
pub(super) struct Open {
    accepting: JoinSet<()>,
    places: Vec<Arc<Semaphore>>,
}

impl Open {
    /// Lets nobody in any more, and the last replies leave: somebody may wait to hear of the end.
    pub(super) async fn close(mut self) {
        self.accepting.shutdown().await;
        for places in self.places {
            let _ = timeout(LAST_WORDS, places.acquire_many(u32::try_from(AT_ONCE).unwrap_or(1))).await;
        }
    }
}

/// Serves all desks of a daemon.
pub(super) fn open(daemon: &Arc<Daemon>, orders: &mpsc::Sender<Order>) -> io::Result<Open> {
    let mut open = Open { accepting: JoinSet::new(), places: Vec::new() };
    for desk in &daemon.desks {
        let listener = desk.socket.unix_listener()?;
        let clerk = Clerk { daemon: Arc::clone(daemon), orders: orders.clone(), purpose: desk.purpose };
        let clerk = Arc::new(clerk);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        open.places.push(Arc::clone(&places));
        open.accepting.spawn(async move {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&clerk).serve(stream, place))),
                    Err(_) => sleep(PAUSE).await,
                }
            }
        });
    }
    Ok(open)
}

/// Answers at one desk.
struct Clerk {
    daemon: Arc<Daemon>,
    orders: mpsc::Sender<Order>,
    purpose: Purpose,
}

impl Clerk {
    async fn serve(self: Arc<Self>, mut stream: UnixStream, place: OwnedSemaphorePermit) {
        let reply = match timeout(PATIENCE, request(&mut stream)).await {
            Ok(Ok(line)) => self.answer(&line).await,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => refuse(&error.to_string()),
            Ok(Err(_)) => return,
            Err(_) => refuse("the request took too long to arrive"),
        };
        let _ = timeout(PATIENCE, async {
            stream.write_all(reply.as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
        drop(place);
    }

    async fn answer(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match &words[..] {
            ["status"] => json(&self.daemon.report()),
            ["metrics"] => self.daemon.metrics(),
            ["reload" | "drain" | "cache", ..] if self.purpose != Purpose::Control => {
                refuse("this socket only tells; use the control socket")
            }
            ["reload"] => self.order(Order::Reload).await,
            ["drain"] => self.order(Order::Drain).await,
            ["cache", "stats"] => json(&Stats { format: FORMAT, cache: self.daemon.cache_status() }),
            ["cache", "flush"] => self.flush(None),
            ["cache", "flush", name] => match self.list(name) {
                Ok(list) => self.flush(Some(list)),
                Err(why) => refuse(&why),
            },
            _ => refuse(
                "there is no such request; choose status, metrics, reload, drain, cache stats or cache flush [LIST]",
            ),
        }
    }

    /// The list with this name, one of DQS or one in use, if answers of it are remembered.
    fn list(&self, name: &str) -> Result<List, String> {
        let in_use = self.daemon.dns.health().into_iter().map(|zone| zone.list);
        let mut lists: Vec<List> = List::DQS.into_iter().collect();
        lists.extend(in_use.filter(|list| !list.is_dqs()));
        lists.extend(self.daemon.files().map(|(list, _)| list));
        match lists.iter().find(|list| list.name() == name) {
            Some(list) if list.is_local() => Err(format!(
                "{name} is a file, of which no answers are remembered; a changed file is read by itself"
            )),
            Some(list) => Ok(*list),
            None => {
                let names: Vec<&str> = lists.iter().map(|list| list.name()).collect();
                Err(format!(
                    "there is no list {}; there are {}",
                    printable(name.as_bytes(), 80),
                    names.join(", ")
                ))
            }
        }
    }

    fn flush(&self, list: Option<List>) -> String {
        match list {
            Some(list) => self.daemon.dns.forget(list),
            None => self.daemon.dns.flush(),
        }
        let what = list.map_or("all lists", List::name);
        tracing::info!(event = "control", request = "cache flush", "forgot the answers of {what}");
        json(&Done::well(vec![format!("forgot the answers of {what}")]))
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<Done>) -> Order) -> String {
        let (done, doing) = oneshot::channel();
        if self.orders.send(order(done)).await.is_ok()
            && let Ok(done) = doing.await
        {
            return json(&done);
        }
        refuse("the daemon is about to end")
    }
}

/// Reads one line, without its end.
async fn request(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::with_capacity(64);
    let mut piece = [0; 256];
    let end = loop {
        let count = stream.read(&mut piece).await?;
        if let Some(end) = piece[..count].iter().position(|octet| *octet == b'\n') {
            line.extend_from_slice(&piece[..end]);
            break true;
        }
        line.extend_from_slice(&piece[..count]);
        if count == 0 || line.len() > LONGEST {
            break false;
        }
    };
    if line.len() > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a request has at most {LONGEST} octets"),
        ));
    }
    if !end {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    String::from_utf8(line).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a request is plain text"))
}

fn refuse(problem: &str) -> String {
    json(&Done::badly(vec![problem.to_owned()]))
}

fn json(reply: &impl Serialize) -> String {
    // Structures of texts and numbers can always be written.
    plain_json(&serde_json::to_string(reply).unwrap_or_default()) + "\n"
}
