//! What the code under test writes to the log, at every level.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// All lines written on this thread while it lives: `LEVEL field=value …`.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Begins to listen on this thread, until the guard is dropped.
    pub fn listen() -> (Self, DefaultGuard) {
        let log = Self(Arc::default());
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
        (log, guard)
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic under the lock").clone()
    }

    /// The lines that hold all of `parts`.
    pub fn with(&self, parts: &[&str]) -> Vec<String> {
        self.lines().into_iter().filter(|line| parts.iter().all(|part| line.contains(part))).collect()
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        self.0.lock().expect("no panic under the lock").push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }
}
