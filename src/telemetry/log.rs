//! Where log lines go.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::journal::{self, Journal};
use super::line::Line;
use super::outlet::{Outlet, Sink};

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
    /// The journal if standard error is connected to it (`JOURNAL_STREAM`, set by systemd, names it), else
    /// standard error.
    pub fn detect() -> Self {
        Self::of(std::env::var("JOURNAL_STREAM").ok().as_deref(), io::stderr())
    }

    /// The variable is inherited by everything that a service or a desktop starts: it counts only if it names device and
    /// inode of that very stream (systemd.exec(5)).
    fn of(variable: Option<&str>, stream: impl AsFd) -> Self {
        let Some((device, inode)) = variable.and_then(|named| named.split_once(':')) else {
            return Self::Stderr;
        };
        let named = (device.parse().ok(), inode.parse().ok());
        match fstat(stream) {
            Ok(about) if named == (Some(about.st_dev), Some(about.st_ino)) => Self::Journal,
            _ => Self::Stderr,
        }
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
        Destination::Journal => Journal::find(),
        Destination::Stderr => None,
    };
    let (format, sink): (Format, Box<dyn Sink>) = match journal {
        Some(journal) => (journal::entry, Box::new(journal)),
        None => (line, Box::new(Stderr)),
    };
    let outlet = OUTLET.get_or_init(|| Outlet::new(sink));
    tracing_subscriber::registry()
        .with(Lines { format, outlet: Arc::clone(outlet) }.with_filter(targets))
        .try_init()
        .map_err(|_| StartError::Twice)
}

/// Lets a thread of its own write the log from now on: nobody waits for its reader any more. To be called
/// when the process has given up what it does not need.
pub fn detach() {
    let Some(outlet) = OUTLET.get() else { return };
    let tell = |suppressed| {
        tracing::warn!(event = "log", suppressed, "log lines were lost: nobody took them in time");
    };
    if let Err(error) = outlet.detach(tell) {
        tracing::warn!(event = "log", %error, "cannot start its thread; whoever logs waits for the log's reader");
    }
}

/// Waits until all lines are written, for a second at most. To be called at the end of the process.
pub fn flush() {
    if let Some(outlet) = OUTLET.get() {
        outlet.flush();
    }
}

/// How many lines were lost since the start, because nobody took them in time.
pub fn lost_lines() -> u64 {
    OUTLET.get().map_or(0, |outlet| outlet.lost())
}

/// The one way out of the process's log.
static OUTLET: OnceLock<Arc<Outlet>> = OnceLock::new();

thread_local! {
    /// What happens on this thread is only played.
    static MUTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `play` without a line in the log: for sessions that nobody has, which would look like real ones. A
/// subscriber of its own would do the same, but may switch lines off for good that are met there first.
pub fn muted<T>(play: impl FnOnce() -> T) -> T {
    /// Speaks again as before, whatever becomes of the play.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            MUTED.set(self.0);
        }
    }
    let _before = Before(MUTED.replace(true));
    play()
}

type Format = fn(&Event<'_>) -> Vec<u8>;

/// Gives each event to the outlet, in the form of its reader.
struct Lines {
    format: Format,
    outlet: Arc<Outlet>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !MUTED.get() {
            self.outlet.take((self.format)(event));
        }
    }
}

/// An event as a line of its own.
fn line(event: &Event<'_>) -> Vec<u8> {
    let mut line = Line::default();
    event.record(&mut line);
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{time} {} {}\n", event.metadata().level(), line.finish()).into_bytes()
}

/// Standard error.
struct Stderr;

impl Sink for Stderr {
    fn write(&self, line: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write(line)
    }

    fn is_stream(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn the_journal_is_asked_only_if_the_stream_is_its_own() {
        let (stream, other) = (tempfile::tempfile().expect("a file"), tempfile::tempfile().expect("a file"));
        let about = stream.metadata().expect("a file");
        let name = format!("{}:{}", about.dev(), about.ino());
        assert_eq!(Destination::of(Some(&name), &stream), Destination::Journal);
        // Inherited by a shell in a service, or by a terminal of a desktop.
        assert_eq!(Destination::of(Some(&name), &other), Destination::Stderr);
        for wrong in [None, Some(""), Some("1"), Some("8:x"), Some(":")] {
            assert_eq!(Destination::of(wrong, &stream), Destination::Stderr, "{wrong:?}");
        }
    }
}
