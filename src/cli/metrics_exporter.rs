//! `gatepost metrics-exporter`: the daemon's metrics over HTTP.
//!
//! A process of its own, so that the daemon has no HTTP. It reads no configuration and no key, and knows of
//! the daemon only the socket that tells and takes no orders.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::args;
use crate::config::Overrides;
use crate::daemon::{self, Account, Exit, PrivilegeError, StartError, ask};
use crate::server::{Listen, Socket};
use crate::telemetry::{self, Budget, Destination, Level};

/// Where it listens if nobody says otherwise.
const LISTEN: &str = "inet:9119@localhost";
/// The account that it becomes when started as root.
const ACCOUNT: &str = "gatepost-exporter";
/// Connections at once; Prometheus needs one.
const AT_ONCE: usize = 32;
/// Longest time for the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// Longest time for a whole connection, which has one request.
const WHOLE: Duration = Duration::from_secs(20);
/// Longest head of a request in octets, the least that the library takes.
const HEAD_OCTETS: usize = 8_192;
/// How long accepting pauses when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
/// The last line of every page of metrics.
const END: &str = "# EOF\n";

pub(super) fn run(overrides: &Overrides, what: &args::MetricsExporter) -> Exit {
    let texts = if overrides.listen.is_empty() { vec![LISTEN.to_owned()] } else { overrides.listen.clone() };
    let mut listens = Vec::new();
    for text in &texts {
        match text.parse::<Listen>() {
            Ok(listen @ (Listen::Inet { .. } | Listen::Inet6 { .. })) => listens.push(listen),
            Ok(Listen::Unix(_)) | Err(_) => {
                eprintln!("--listen: not an endpoint for HTTP; write inet:PORT@HOST or inet6:PORT@HOST");
                return Exit::Usage;
            }
        }
    }
    if telemetry::start(Level::Info, Destination::detect()).is_err() {
        return Exit::Software;
    }
    let user = overrides.user.as_deref().unwrap_or(ACCOUNT);
    let exit = match serve(&listens, user, &what.metrics_socket) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            tracing::error!(event = "start", "{error}");
            match error {
                StartError::Privileges(PrivilegeError::Step { .. }) => Exit::Permission,
                StartError::Privileges(_) => Exit::Config,
                _ => Exit::Unavailable,
            }
        }
    };
    telemetry::flush();
    exit
}

fn serve(listens: &[Listen], user: &str, source: &Path) -> Result<(), StartError> {
    let account = if Account::is_needed() { Some(Account::find(user)?) } else { None };
    let mut sockets = Vec::new();
    for listen in listens {
        sockets.extend(listen.bind(0o660)?);
    }
    daemon::confine(account.as_ref())?;
    telemetry::detach();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(live(&sockets, Arc::from(source)))?)
}

async fn live(sockets: &[Socket], source: Arc<Path>) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let exporter = Arc::new(Exporter { source, away: Budget::new(1, Duration::from_mins(1)) });
    let mut accepting = JoinSet::new();
    for socket in sockets {
        accepting.spawn(Arc::clone(&exporter).accept(socket.tcp_listener()?));
    }
    let listens: Vec<String> = sockets.iter().map(|socket| socket.listen().to_string()).collect();
    tracing::info!(event = "ready", listen = listens.join(" "), "ready");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

struct Exporter {
    /// The daemon's socket.
    source: Arc<Path>,
    away: Budget,
}

impl Exporter {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let exporter = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let exporter = Arc::clone(&exporter);
                    async move { Ok::<_, Infallible>(exporter.answer(&request).await) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_OCTETS);
                let connection = http.keep_alive(false).serve_connection(TokioIo::new(stream), service);
                // Whoever speaks no HTTP, or too slowly, is no news.
                let _ = timeout(WHOLE, connection).await;
                drop(place);
            });
        }
    }

    /// HEAD is answered as GET; the library leaves out the body.
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let known = matches!(request.uri().path(), "/" | "/metrics");
        match (request.uri().path(), request.method()) {
            ("/metrics", &Method::GET | &Method::HEAD) => {
                page(StatusCode::OK, OPENMETRICS, self.metrics().await)
            }
            ("/", &Method::GET | &Method::HEAD) => {
                page(StatusCode::OK, PLAIN, "gatepost: the metrics are at /metrics\n".to_owned())
            }
            _ if known => {
                let mut response =
                    page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned());
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
            _ => page(StatusCode::NOT_FOUND, PLAIN, "only / and /metrics\n".to_owned()),
        }
    }

    /// The daemon's metrics, and whether it is there: a daemon that is away is a figure, too.
    async fn metrics(&self) -> String {
        let (metrics, up) = match ask(&self.source, "metrics").await {
            Ok(text) if text.ends_with(END) => (text, 1),
            Ok(_) => (END.to_owned(), 0),
            Err(error) => {
                if let Some(suppressed) = self.away.spend() {
                    tracing::warn!(event = "away", suppressed, "{error}");
                }
                (END.to_owned(), 0)
            }
        };
        let metrics = metrics.strip_suffix(END).unwrap_or_default();
        let help = "Whether the daemon told its metrics: 1 for yes.";
        format!("{metrics}# HELP gatepost_up {help}\n# TYPE gatepost_up gauge\ngatepost_up {up}\n{END}")
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
