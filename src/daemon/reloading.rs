//! Reading the configuration anew, beside the runtimes: a list of a million lines takes a second.
//!
//! What becomes of it is not decided here. Who asks while it is read is answered after another reading, since
//! the files may have changed under the first one.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot::Sender;
use tokio::task::{JoinHandle, spawn_blocking};

use super::control::Done;
use super::serve::Reload;
use crate::config::{Place, Problem, Problems};
use crate::gate::Loaded;

/// A reading, and who waits for it.
pub(super) struct Reloading {
    /// Nothing while it reads.
    reload: Option<Reload>,
    reading: Option<JoinHandle<Read>>,
    waiting: Vec<Sender<Done>>,
    /// Who came while it read; empty for a signal alone.
    next: Option<Vec<Sender<Done>>>,
}

type Read = (Reload, Result<Loaded, Problems>);

impl Reloading {
    pub(super) fn new(reload: Reload) -> Self {
        Self { reload: Some(reload), reading: None, waiting: Vec::new(), next: None }
    }

    /// Begins to read, or notes that it has to be read once more. Whether it began.
    pub(super) fn order(&mut self, done: Option<Sender<Done>>) -> bool {
        let Some(mut reload) = self.reload.take() else {
            self.next.get_or_insert_default().extend(done);
            return false;
        };
        self.waiting.extend(done);
        self.reading = Some(spawn_blocking(move || {
            let loaded = catch_unwind(AssertUnwindSafe(&mut reload)).unwrap_or_else(|_| Err(defect()));
            (reload, loaded)
        }));
        true
    }

    /// What was read; never ends while nothing is read. May be dropped and called again.
    pub(super) async fn read(&mut self) -> Result<Loaded, Problems> {
        let Some(reading) = &mut self.reading else { return pending().await };
        let joined = reading.await;
        self.reading = None;
        let Ok((reload, loaded)) = joined else { return Err(defect()) };
        self.reload = Some(reload);
        loaded
    }

    /// Tells those who waited what came of it, and begins again if somebody came meanwhile. Whether it did.
    pub(super) fn tell(&mut self, done: &Done) -> bool {
        for waiting in self.waiting.drain(..) {
            // Who does not wait any more does not want to know.
            let _ = waiting.send(done.clone());
        }
        let Some(next) = self.next.take() else { return false };
        self.waiting = next;
        self.order(None)
    }
}

fn defect() -> Problems {
    let problem = Problem {
        place: Place::Nowhere,
        setting: String::new(),
        cause: "a programming error".to_owned(),
        remedy: "please report it".to_owned(),
    };
    Problems { errors: vec![problem], notices: Vec::new() }
}
