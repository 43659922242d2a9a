//! The way of log lines out of the process, on which nobody waits.
//!
//! A reader that is slow, stuck or gone must not hold mail up. Lines wait in memory for a thread that writes
//! them; when there is no more room they are lost, and counted. Until that thread exists, which is after the
//! privileges are gone, lines are written where they arise.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// Octets that may wait: some thousands of lines.
const ROOM: usize = 4 << 20;
/// How long the writing thread waits after a failure until it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// The same if the reader only takes its time and the system did not wait for it.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the writing thread lets lines gather once it was woken: waking it costs the one who logs a system
/// call and a change of threads, more than the line itself.
const GATHER: Duration = Duration::from_millis(2);
/// Octets that are written at once, if the reader takes several lines together.
const AT_ONCE: usize = 16 << 10;
/// Longest wait for the last lines when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where lines go.
pub(super) trait Sink: Send + Sync {
    /// Writes octets of one line; gives how many were taken.
    ///
    /// # Errors
    /// `WouldBlock` if the reader is slow, any other if there is none.
    fn write(&self, line: &[u8]) -> io::Result<usize>;

    /// Whether it is a stream, so that several lines may be written at once.
    fn is_stream(&self) -> bool {
        false
    }
}

/// Lines on their way out.
pub(super) struct Outlet {
    sink: Box<dyn Sink>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Lines lost since the start.
    lost: AtomicU64,
    /// The last attempt brought an error: it is no use to wait for the rest.
    fails: AtomicBool,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Octets that wait, those under way included.
    octets: usize,
    /// How much of the first line was written.
    written: usize,
    /// Lines lost that nobody was told of.
    untold: u64,
    writer: Writer,
    /// Somebody waits until all is written.
    awaited: bool,
}

/// The thread that writes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Writer {
    /// There is none yet.
    #[default]
    None,
    /// It waits to be woken.
    Asleep,
    /// It looks for lines.
    Awake,
    /// It has lines in hand.
    Writing,
}

impl Outlet {
    pub(super) fn new(sink: Box<dyn Sink>) -> Arc<Self> {
        Arc::new(Self {
            sink,
            queue: Mutex::default(),
            changed: Condvar::new(),
            lost: AtomicU64::new(0),
            fails: AtomicBool::new(false),
        })
    }

    /// Takes a line. Without a thread that writes, it and what waits before it are written at once.
    pub(super) fn take(&self, line: Vec<u8>) {
        let mut queue = self.queue();
        if queue.octets + line.len() > ROOM {
            queue.untold += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.octets += line.len();
        queue.lines.push_back(line);
        match queue.writer {
            Writer::None => self.write_here(queue),
            Writer::Asleep => {
                queue.writer = Writer::Awake;
                drop(queue);
                self.changed.notify_all();
            }
            Writer::Awake | Writer::Writing => {}
        }
    }

    /// Lets a thread write from now on; `tell` gets the number of lines that were lost when that is over.
    ///
    /// # Errors
    /// If there can be no such thread; all stays as it was.
    pub(super) fn detach(self: &Arc<Self>, tell: impl Fn(u64) + Send + 'static) -> io::Result<()> {
        let this = Arc::clone(self);
        // The thread begins with this lock: it must not sleep before it counts as awake.
        let mut queue = self.queue();
        thread::Builder::new().name("log".to_owned()).spawn(move || this.work(tell))?;
        queue.writer = Writer::Awake;
        Ok(())
    }

    /// Waits until all is written, for a second at most.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + LAST_WORDS;
        let mut queue = self.queue();
        if queue.writer == Writer::None {
            return self.write_here(queue);
        }
        while (!queue.lines.is_empty() || queue.writer == Writer::Writing)
            && !self.fails.load(Ordering::Relaxed)
        {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue.awaited = true;
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many lines were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_here(&self, mut queue: MutexGuard<'_, Queue>) {
        while let Some(line) = queue.lines.front() {
            let (written, length) = (queue.written, line.len());
            match self.sink.write(&line[written..]) {
                Ok(count) if written + count < length && count > 0 => queue.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if !is_for_ever(&error) => return,
                outcome => {
                    if outcome.is_err() {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                        queue.untold += 1;
                    }
                    queue.octets -= length;
                    queue.written = 0;
                    queue.lines.pop_front();
                }
            }
        }
    }

    fn work(&self, tell: impl Fn(u64)) {
        let mut queue = self.queue();
        loop {
            if queue.lines.is_empty() {
                let untold = std::mem::take(&mut queue.untold);
                if untold > 0 {
                    drop(queue);
                    tell(untold);
                    queue = self.queue();
                    continue;
                }
                queue.writer = Writer::Asleep;
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.writer = Writer::Awake;
                if !queue.awaited {
                    drop(queue);
                    thread::sleep(GATHER);
                    queue = self.queue();
                }
                continue;
            }
            let written = std::mem::take(&mut queue.written);
            let (lines, count) = self.gather(&mut queue);
            queue.writer = Writer::Writing;
            drop(queue);
            let is_written = self.write(lines.get(written..).unwrap_or_default());
            queue = self.queue();
            if !is_written {
                self.lost.fetch_add(count, Ordering::Relaxed);
                queue.untold += count;
            }
            queue.octets -= lines.len();
            queue.writer = Writer::Awake;
            if queue.awaited {
                queue.awaited = false;
                self.changed.notify_all();
            }
        }
    }

    /// Takes the first line, or several for a reader that takes them together; and how many.
    fn gather(&self, queue: &mut Queue) -> (Vec<u8>, u64) {
        let mut lines = queue.lines.pop_front().unwrap_or_default();
        let mut count = 1;
        while self.sink.is_stream()
            && let Some(next) = queue.lines.front()
            && lines.len() + next.len() <= AT_ONCE
        {
            lines.extend_from_slice(next);
            queue.lines.pop_front();
            count += 1;
        }
        (lines, count)
    }

    /// Writes lines however long it takes; `false` if they can never be.
    fn write(&self, mut line: &[u8]) -> bool {
        while !line.is_empty() {
            match self.sink.write(line) {
                Ok(count) => {
                    self.fails.store(false, Ordering::Relaxed);
                    line = line.get(count.max(1)..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) if is_for_ever(&error) => return false,
                Err(_) => {
                    self.fails.store(true, Ordering::Relaxed);
                    // Who waits for the last lines need not wait any more.
                    self.changed.notify_all();
                    thread::sleep(RETRY);
                }
            }
        }
        true
    }
}

/// Whether the line is the reason, so that another attempt brings nothing.
fn is_for_ever(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EMSGSIZE as i32) || error.kind() == io::ErrorKind::InvalidInput
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes what it is allowed to, and tells what it got.
    struct Reader {
        allowed: Arc<(Mutex<usize>, Condvar)>,
        got: Mutex<Sender<String>>,
        error: Mutex<Option<io::ErrorKind>>,
    }

    impl Sink for Reader {
        fn write(&self, line: &[u8]) -> io::Result<usize> {
            if let Some(kind) = *self.error.lock().expect("no panic") {
                return Err(kind.into());
            }
            let mut allowed = self.allowed.0.lock().expect("no panic");
            while *allowed == 0 {
                allowed = self.allowed.1.wait(allowed).expect("no panic");
            }
            *allowed -= 1;
            let text = String::from_utf8(line.to_vec()).expect("text");
            self.got.lock().expect("no panic").send(text).expect("a test that listens");
            Ok(line.len())
        }
    }

    impl Sink for Arc<Reader> {
        fn write(&self, line: &[u8]) -> io::Result<usize> {
            self.as_ref().write(line)
        }
    }

    fn reader() -> (Arc<Reader>, Receiver<String>) {
        let (got, lines) = channel();
        let reader = Reader { allowed: Arc::default(), got: Mutex::new(got), error: Mutex::default() };
        (Arc::new(reader), lines)
    }

    impl Reader {
        fn allow(&self, lines: usize) {
            *self.allowed.0.lock().expect("no panic") = lines;
            self.allowed.1.notify_all();
        }

        fn fail(&self, error: Option<io::ErrorKind>) {
            *self.error.lock().expect("no panic") = error;
        }
    }

    fn next(lines: &Receiver<String>) -> String {
        lines.recv_timeout(Duration::from_secs(30)).expect("a line within half a minute")
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_stuck_and_what_is_lost_is_counted() {
        let (reader, lines) = reader();
        let outlet = Outlet::new(Box::new(Arc::clone(&reader)));
        let told = Arc::downgrade(&outlet);
        let tell = move |lost: u64| {
            told.upgrade().expect("a test that holds it").take(format!("lost {lost}").into_bytes());
        };
        outlet.detach(tell).expect("a thread");
        let start = Instant::now();
        for n in 0..5_000 {
            outlet.take(format!("{n:01000}").into_bytes());
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it waits for nobody: {:?}", start.elapsed());
        // What fits: 4,194 lines of 1,000 octets.
        let kept = ROOM / 1_000;
        assert_eq!(outlet.lost(), 5_000 - kept as u64);
        reader.allow(usize::MAX);
        for n in 0..kept {
            assert_eq!(next(&lines), format!("{n:01000}"), "those that came first, in their order");
        }
        assert_eq!(next(&lines), format!("lost {}", 5_000 - kept));
        outlet.take(b"after".to_vec());
        assert_eq!(next(&lines), "after");
        outlet.flush();
    }

    #[test]
    fn the_end_waits_for_the_last_lines_but_not_for_a_reader_that_is_stuck() {
        let (reader, lines) = reader();
        let outlet = Outlet::new(Box::new(Arc::clone(&reader)));
        outlet.detach(|_| ()).expect("a thread");
        outlet.take(b"unread".to_vec());
        let start = Instant::now();
        outlet.flush();
        assert!(start.elapsed() >= LAST_WORDS, "{:?}", start.elapsed());
        assert!(start.elapsed() < LAST_WORDS + Duration::from_secs(5), "{:?}", start.elapsed());
        reader.allow(usize::MAX);
        for n in 0..100 {
            outlet.take(format!("{n}").into_bytes());
        }
        outlet.flush();
        assert_eq!(lines.try_iter().count(), 101);
    }

    #[test]
    fn a_reader_that_comes_back_gets_what_was_said_meanwhile() {
        let (reader, lines) = reader();
        reader.allow(usize::MAX);
        reader.fail(Some(io::ErrorKind::NotFound));
        let outlet = Outlet::new(Box::new(Arc::clone(&reader)));
        outlet.take(b"before the thread".to_vec());
        outlet.detach(|_| ()).expect("a thread");
        outlet.take(b"while nobody was there".to_vec());
        // It fails, and the end of the process does not wait for it.
        let start = Instant::now();
        outlet.flush();
        assert!(start.elapsed() < LAST_WORDS, "{:?}", start.elapsed());
        reader.fail(None);
        assert_eq!(next(&lines), "before the thread");
        assert_eq!(next(&lines), "while nobody was there");
        assert_eq!(outlet.lost(), 0);
    }

    #[test]
    fn a_line_that_nobody_can_take_does_not_hold_up_the_next() {
        let (reader, lines) = reader();
        reader.allow(usize::MAX);
        let outlet = Outlet::new(Box::new(Arc::clone(&reader)));
        reader.fail(Some(io::ErrorKind::InvalidInput));
        outlet.take(b"too long".to_vec());
        reader.fail(None);
        outlet.take(b"fits".to_vec());
        assert_eq!(next(&lines), "fits");
        assert_eq!(outlet.lost(), 1);
    }
}
