//! Where log lines go.

use std::io::Write as _;
use std::time::SystemTime;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::journal::Journal;
use super::line::Line;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Only what needs an administrator.
    Error,
    /// And what may need one.
    Warn,
    /// And every decision against a message.
    #[default]
    Info,
    /// And every finding.
    Debug,
    /// And what the libraries below have to say, but for the resolver.
    Trace,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The journal, with each field apart.
    Journal,
    /// Standard error, a line each.
    Stderr,
}

impl Destination {
    /// The journal if standard error is connected to it (`JOURNAL_STREAM`, set by systemd), else
    /// standard error.
    pub fn detect() -> Self {
        if std::env::var_os("JOURNAL_STREAM").is_some() { Self::Journal } else { Self::Stderr }
    }
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is one already.
    #[error("the log was set up twice")]
    Twice,
}

/// Sets up the log of this process. A journal that cannot be reached is replaced by standard error.
///
/// The resolver library's own lines are switched off: some of them print the names that are asked,
/// and those hold the account key.
///
/// # Errors
/// [`StartError::Twice`].
pub fn start(level: Level, destination: Destination) -> Result<(), StartError> {
    let targets = Targets::new()
        .with_default(level.filter())
        .with_target("hickory_resolver", LevelFilter::OFF)
        .with_target("hickory_net", LevelFilter::OFF)
        .with_target("hickory_proto", LevelFilter::OFF);
    let journal = match destination {
        Destination::Journal => Journal::open(),
        Destination::Stderr => None,
    };
    let stderr = journal.is_none().then_some(Stderr);
    tracing_subscriber::registry()
        .with(journal.with_filter(targets.clone()))
        .with(stderr.with_filter(targets))
        .try_init()
        .map_err(|_| StartError::Twice)
}

/// Writes each event as one line to standard error.
struct Stderr;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Stderr {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let text = format!("{time} {} {}\n", event.metadata().level(), line.finish());
        // A log that cannot be written must not end the daemon.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
