//! What the code under test writes to the log, at every level.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// All lines written on this thread while it lives: `LEVEL field=value …`.
#[derive(Clone)]
pub struct Log(Arc<Mutex<Vec<String>>>);

thread_local! {
    /// Who listens on this thread.
    static LISTENER: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// Ends the listening of a [`Log`].
pub struct Guard(Option<Log>);

impl Drop for Guard {
    fn drop(&mut self) {
        LISTENER.set(self.0.take());
    }
}

/// Sets up the log of this program, once; to be called before anything is logged.
///
/// One subscriber for all threads, instead of one for each: what is logged for the first time while
/// another thread sets up a subscriber of its own may be switched off for good.
pub fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::registry().with(ByThread).init());
}

impl Log {
    /// Begins to listen on this thread, until the guard is dropped.
    pub fn listen() -> (Self, Guard) {
        set_up();
        let log = Self(Arc::default());
        let before = LISTENER.replace(Some(log.clone()));
        (log, Guard(before))
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

/// Hands each event to who listens on the thread that it happens on.
struct ByThread;

impl<S: Subscriber> Layer<S> for ByThread {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LISTENER.with_borrow(|listener| {
            let Some(log) = listener else { return };
            let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
            event.record(&mut line);
            log.0.lock().expect("no panic under the lock").push(line.0);
        });
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
