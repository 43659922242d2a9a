//! The thread that looks after all watched files.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::watched::{Look, Source, Watched};
use super::{Failure, Parse};

/// How often files are looked at: an administrator who saves a file should not wait, and a `stat` costs nothing.
pub const PERIOD: Duration = Duration::from_secs(1);

/// All watched files of the process.
///
/// Files are named by path, and looked at by path: one that is renamed into the place, or that a link leads to from now
/// on, is noticed. It is read at once; one that is written in its place is read when nobody has written into it
/// between two looks. What is in use stays when the file is not good, or is gone.
#[derive(Default)]
pub struct Watcher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    sources: Mutex<Vec<Arc<dyn Source>>>,
    /// The thread is to end.
    ends: Mutex<bool>,
    rings: Condvar,
}

impl Watcher {
    /// Reads a file of at most `limit` octets, and looks after it from now on as long as somebody has it.
    ///
    /// A file that is watched already, with the same `form` and type, is not read again: a reload of the
    /// configuration keeps what it has. So `form` has to name all that `parse` depends on.
    ///
    /// Takes its time in the calling thread, which should not be one of a runtime.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read or is not good.
    pub fn open<T: Send + Sync + 'static>(
        &self,
        path: &Path,
        form: &str,
        limit: usize,
        parse: Parse<T>,
    ) -> Result<Arc<Watched<T>>, Failure> {
        if let Some(known) = self.find(path, form) {
            return Ok(known);
        }
        let watched = Arc::new(Watched::open(path, form, limit, parse)?);
        lock(&self.0.sources).push(Arc::<Watched<T>>::clone(&watched));
        Ok(watched)
    }

    /// As [`Watcher::open`], but a file that cannot be used is waited for, and is like `nothing` until then;
    /// `without` is what the log says becomes of mail meanwhile.
    pub fn await_file<T: Send + Sync + 'static>(
        &self,
        path: &Path,
        form: &str,
        limit: usize,
        parse: Parse<T>,
        nothing: (T, &'static str),
    ) -> Arc<Watched<T>> {
        if let Some(known) = self.find(path, form) {
            return known;
        }
        let watched = Arc::new(Watched::await_file(path, form, limit, parse, nothing));
        lock(&self.0.sources).push(Arc::<Watched<T>>::clone(&watched));
        watched
    }

    /// Starts the thread. To be called when the process has given up what it does not need.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn start(&self, period: Duration) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("source".to_owned());
        thread.spawn(move || shared.live(period)).map(drop)
    }

    /// Looks at all files at once, and reads those that changed without waiting for whoever writes them: the states are those
    /// of now after it. Takes its time in the calling thread, which should not be one of a runtime.
    pub fn refresh(&self) {
        self.0.pass(Look::Ordered);
    }

    /// How many files it looks after.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.0.sources).len()
    }

    fn find<T: Send + Sync + 'static>(&self, path: &Path, form: &str) -> Option<Arc<Watched<T>>> {
        let sources = lock(&self.0.sources);
        let alike = sources.iter().filter(|source| source.is(path, form));
        alike.map(|source| Arc::clone(source).any()).find_map(|source| source.downcast().ok())
    }
}

impl Drop for Watcher {
    /// Ends the thread as soon as it has read what it reads.
    fn drop(&mut self) {
        *lock(&self.0.ends) = true;
        self.0.rings.notify_one();
    }
}

impl Shared {
    fn live(&self, period: Duration) {
        loop {
            let waiting = self.rings.wait_timeout_while(lock(&self.ends), period, |ends| !*ends);
            let (ends, _) = waiting.unwrap_or_else(PoisonError::into_inner);
            if *ends {
                return;
            }
            drop(ends);
            self.pass(Look::Due);
        }
    }

    /// Looks at each file once.
    fn pass(&self, look: Look) {
        // Nobody waits for the list of files while one of them is read.
        let sources = lock(&self.sources).clone();
        for source in &sources {
            source.look(look);
        }
        drop(sources);
        // What nobody else has is freed here, and by nobody else.
        let unused = {
            let mut sources = lock(&self.sources);
            let (used, unused): (Vec<_>, Vec<_>) =
                sources.drain(..).partition(|source| Arc::strong_count(source) > 1);
            *sources = used;
            unused
        };
        drop(unused);
    }
}

/// What is behind these locks is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
