//! Files as administrators leave them, and looks at them.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::watched::{Look, Source as _};
use super::*;

const LIMIT: usize = 1 << 20;

/// A folder with a list in it.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(TempDir::new().expect("a folder"));
        fs::write(folder.list(), text).expect("a list");
        folder
    }

    fn list(&self) -> PathBuf {
        self.0.path().join("list")
    }

    /// Puts another file in the list's place.
    fn replace(&self, text: &str) {
        let aside = self.0.path().join("aside");
        fs::write(&aside, text).expect("a file aside");
        fs::rename(aside, self.list()).expect("a new list");
    }

    fn open(&self) -> Watched<String> {
        Watched::open(&self.list(), "words", LIMIT, words()).expect("a good list")
    }
}

/// Takes any text but those with `bad` in it, whose second line is wrong then.
fn words() -> Parse<String> {
    Box::new(|octets| {
        let text = String::from_utf8_lossy(octets).into_owned();
        assert!(!text.contains("panic"), "a parser that has a defect");
        if text.contains("bad") {
            return Err(vec![Fault { line: 2, cause: "bad".into(), remedy: "be good".into() }]);
        }
        let warnings = if text.contains("odd") { vec![Fault::whole("odd", "")] } else { vec![] };
        Ok(Parsed { entries: text.lines().count(), value: text, warnings })
    })
}

/// The file as it is in use after a look.
fn after(look: Look, watched: &Watched<String>) -> String {
    watched.look(look);
    watched.current().clone()
}

fn causes(watched: &Watched<String>) -> Vec<String> {
    watched.state().failed.iter().flat_map(|failed| &failed.faults).map(|fault| fault.cause.clone()).collect()
}

/// Waits for a condition of another thread.
fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn of(&self, work: impl FnOnce()) -> Vec<String> {
        // With a single subscriber alive, a line that another test's thread comes to first would be off for all.
        static ANOTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| tracing_subscriber::registry().into());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(self.clone()), work);
        std::mem::take(&mut self.0.lock().expect("no panic under the lock"))
    }
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() != "path" {
                    write!(self.0, " {}={value:?}", field.name()).expect("a line");
                }
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().expect("no panic under the lock").push(text.0);
    }
}

#[test]
fn a_file_that_is_renamed_into_the_place_is_read_at_the_next_look() {
    let folder = Folder::with("one\n");
    let watched = folder.open();
    assert_eq!(after(Look::Due, &watched), "one\n");
    folder.replace("two\nthree\n");
    assert_eq!(after(Look::Due, &watched), "two\nthree\n");
    let state = watched.state();
    assert_eq!((state.entries, &state.failed, state.path), (2, &None, folder.list()));
}

#[test]
fn a_link_that_leads_elsewhere_is_noticed() {
    let folder = Folder::with("one\n");
    let (link, other) = (folder.0.path().join("link"), folder.0.path().join("other"));
    symlink(folder.list(), &link).expect("a link");
    let watched = Watched::open(&link, "words", LIMIT, words()).expect("a good list");
    fs::write(&other, "two\n").expect("another list");
    let aside = folder.0.path().join("aside");
    symlink(other, &aside).expect("another link");
    fs::rename(aside, link).expect("a link in the place of another");
    assert_eq!(after(Look::Due, &watched), "two\n");
}

#[test]
fn a_file_that_is_written_in_its_place_is_read_when_nobody_writes_any_more() {
    let folder = Folder::with("one\n");
    let watched = folder.open();
    fs::write(folder.list(), "half").expect("half a list");
    assert_eq!(after(Look::Due, &watched), "one\n");
    fs::write(folder.list(), "half and whole\n").expect("a list");
    assert_eq!(after(Look::Due, &watched), "one\n");
    assert_eq!(after(Look::Due, &watched), "half and whole\n");
}

#[test]
fn a_file_into_which_somebody_always_writes_is_read_in_the_end() {
    let folder = Folder::with("0");
    let watched = folder.open();
    let mut seen = Vec::new();
    for n in 1..=12 {
        fs::write(folder.list(), "x".repeat(n)).expect("a list");
        seen.push(after(Look::Due, &watched).len());
    }
    assert!(seen.contains(&6) && seen.contains(&12), "{seen:?}");
    assert_eq!(seen[..5], [1; 5]);
}

#[test]
fn an_order_reads_what_was_just_written() {
    let folder = Folder::with("one\n");
    let watched = folder.open();
    fs::write(folder.list(), "two\n").expect("a list");
    assert_eq!(after(Look::Ordered, &watched), "two\n");
    // As long, and so soon that the time of the file may be the same.
    fs::write(folder.list(), "six\n").expect("a list");
    assert_eq!(after(Look::Ordered, &watched), "six\n");
}

#[test]
fn a_change_that_leaves_no_trace_in_the_times_is_found_by_the_content() {
    let folder = Folder::with("one\n");
    let watched = folder.open();
    fs::write(folder.list(), "two\n").expect("a list");
    // Whether the times differ or not: at most one look waits for the end of writing.
    watched.look(Look::Due);
    assert_eq!(after(Look::Due, &watched), "two\n");
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_once_until_it_changes_again() {
    let folder = Folder::with("one\n");
    let watched = folder.open();
    let told = Lines::default().of(|| {
        folder.replace("two\nbad\n");
        assert_eq!(after(Look::Due, &watched), "one\n");
        assert_eq!(after(Look::Due, &watched), "one\n");
        assert_eq!(after(Look::Ordered, &watched), "one\n");
        assert_eq!(causes(&watched), ["bad"]);
        folder.replace("three\nbad\n");
        watched.look(Look::Due);
        folder.replace("four\n");
        assert_eq!(after(Look::Due, &watched), "four\n");
        assert_eq!(causes(&watched), [""; 0]);
        folder.replace("odd\n");
        watched.look(Look::Due);
    });
    let bad = "ERROR message=list cannot be used; what was read before stays event=\"source\" line=2 cause=\"bad\" remedy=\"be good\"";
    let good = "INFO message=list is read anew event=\"source\" entries=1";
    let odd = "WARN message=list is in use, but look at it event=\"source\" cause=\"odd\" remedy=\"\"";
    assert_eq!(told, [bad, bad, good, good, odd]);
    assert_eq!((watched.state().warnings.len(), watched.state().failures), (1, 2));
}

#[test]
fn a_file_that_is_gone_changes_nothing_and_may_come_back() {
    let folder = Folder::with("one\n");
    let watched = folder.open();
    let told = Lines::default().of(|| {
        fs::remove_file(folder.list()).expect("a list");
        for _ in 0..3 {
            assert_eq!(after(Look::Due, &watched), "one\n");
        }
        assert!(causes(&watched)[0].starts_with("cannot be read: No such file"), "{:?}", causes(&watched));
        fs::write(folder.list(), "one\n").expect("a list");
        watched.look(Look::Due);
        assert_eq!(causes(&watched), [""; 0]);
    });
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("ERROR") && told[1].starts_with("INFO"), "{told:?}");
}

#[test]
fn what_is_no_file_is_refused_at_once_and_by_name() {
    let folder = Folder::with("one\n");
    let path = |name: &str| folder.0.path().join(name);
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
    symlink("loop", path("loop")).expect("a link to itself");
    for (path, word) in [
        (path("missing"), "No such file"),
        (path("fifo"), "this is a FIFO, not a file"),
        (path("socket"), "this is a socket"),
        (folder.0.path().to_owned(), "this is a directory"),
        ("/dev/zero".into(), "this is a device"),
        (path("loop"), "symbolic links"),
        (path("list/x"), "Not a directory"),
    ] {
        let failure = Watched::open(&path, "words", LIMIT, words()).expect_err("a failure");
        let line = failure.to_string();
        assert!(line.contains(word) && line.starts_with(&format!("{}: ", path.display())), "{line}");
        // And the same when it takes the place of a good one.
        let watched = folder.open();
        if path.exists() {
            fs::remove_file(folder.list()).expect("a list");
            symlink(&path, folder.list()).expect("a link");
            assert_eq!(after(Look::Due, &watched), "one\n");
            assert!(causes(&watched)[0].contains(word), "{:?}", causes(&watched));
            fs::remove_file(folder.list()).expect("a link");
            fs::write(folder.list(), "one\n").expect("a list");
        }
    }
}

#[test]
fn a_file_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let folder = Folder::with("12345678");
    assert_eq!(read(&folder.list(), 8).expect("a file").len(), 8);
    let fault = read(&folder.list(), 7).expect_err("too large a file");
    assert_eq!(fault.cause, "the file has 8 octets, more than 7");
    // A sparse file of a terabyte takes no memory.
    let file = fs::File::create(folder.list()).expect("a file");
    if file.set_len(1 << 40).is_ok() {
        assert!(read(&folder.list(), LIMIT).is_err());
    }
}

#[test]
fn the_lines_of_a_failure_have_their_places() {
    let folder = Folder::with("bad\n");
    let failure = Watched::open(&folder.list(), "words", LIMIT, words()).expect_err("a failure");
    assert_eq!(failure.to_string(), format!("{}:2: bad; be good", folder.list().display()));
}

#[test]
fn a_parser_that_panics_is_told_and_changes_nothing() {
    let folder = Folder::with("one\n");
    let watched = folder.open();
    folder.replace("panic\n");
    assert_eq!(after(Look::Due, &watched), "one\n");
    assert_eq!(causes(&watched), ["a programming error"]);
    folder.replace("two\n");
    assert_eq!(after(Look::Due, &watched), "two\n");
}

#[test]
fn a_file_that_is_replaced_all_the_time_is_never_read_in_parts() {
    let folder = Folder::with("");
    let texts = ["x".repeat(50_000), "y".repeat(90_000)];
    folder.replace(&texts[0]);
    let watched = folder.open();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                folder.replace(&texts[n % 2]);
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut changes = 0;
        let mut before = texts[0].clone();
        let end = Instant::now() + Duration::from_secs(20);
        while changes < 20 && Instant::now() < end {
            let now = after(Look::Due, &watched);
            assert!(texts.contains(&now), "{} octets", now.len());
            changes += u32::from(now != before);
            before = now;
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(changes, 20);
    });
}

/// Notes which thread frees it.
struct Freed(Arc<Mutex<Vec<ThreadId>>>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.lock().expect("no panic under the lock").push(thread::current().id());
    }
}

/// A parser whose values note who frees them, and the notes.
fn freed() -> (Parse<Freed>, Arc<Mutex<Vec<ThreadId>>>) {
    let notes = Arc::default();
    let shared = Arc::clone(&notes);
    (Box::new(move |_| Ok(Parsed { value: Freed(Arc::clone(&shared)), entries: 0, warnings: vec![] })), notes)
}

#[test]
fn who_still_reads_the_old_value_is_not_the_one_to_free_it() {
    let folder = Folder::with("one\n");
    let (parse, notes) = freed();
    let watched = Watched::open(&folder.list(), "freed", LIMIT, parse).expect("a list");
    let old = watched.current();
    folder.replace("two\n");
    watched.look(Look::Due);
    thread::scope(|scope| {
        scope.spawn(move || drop(old));
    });
    assert_eq!(*notes.lock().expect("no panic under the lock"), []);
    watched.look(Look::Due);
    assert_eq!(*notes.lock().expect("no panic under the lock"), [thread::current().id()]);
}

#[test]
fn a_file_that_nobody_has_any_more_is_freed_by_the_thread() {
    let folder = Folder::with("one\n");
    let watcher = Watcher::default();
    let (parse, notes) = freed();
    let list = watcher.open(&folder.list(), "freed", LIMIT, parse).expect("a list");
    watcher.start(Duration::from_millis(1)).expect("a thread");
    drop(list);
    wait("the value is freed", || notes.lock().expect("no panic under the lock").len() == 1);
    assert_ne!(*notes.lock().expect("no panic under the lock"), [thread::current().id()]);
    assert_eq!(watcher.count(), 0);
}

#[test]
fn the_same_file_read_in_the_same_way_is_watched_once() {
    let folder = Folder::with("one\n");
    let watcher = Watcher::default();
    let open = |form: &str| watcher.open(&folder.list(), form, LIMIT, words()).expect("a list");
    let (one, again, other) = (open("words"), open("words"), open("other words"));
    assert!(Arc::ptr_eq(&one, &again) && !Arc::ptr_eq(&one, &other));
    assert_eq!(watcher.count(), 2);
    // Of another type it is another one, whatever it is called.
    let (parse, _) = freed();
    let _freed = watcher.open(&folder.list(), "words", LIMIT, parse).expect("a list");
    assert_eq!(watcher.count(), 3);
    folder.replace("two\n");
    watcher.refresh();
    assert_eq!((&*one.current(), &*other.current()), (&"two\n".to_owned(), &"two\n".to_owned()));
    drop((one, again, other));
    watcher.refresh();
    assert_eq!(watcher.count(), 1);
}

#[test]
fn the_thread_looks_by_itself() {
    let folder = Folder::with("one\n");
    let often = Watcher::default();
    let watched = often.open(&folder.list(), "words", LIMIT, words()).expect("a list");
    often.start(Duration::from_millis(1)).expect("a thread");
    folder.replace("two\n");
    wait("the file is read", || *watched.current() == "two\n");
}

#[test]
fn a_file_that_need_not_be_there_is_used_from_when_it_is_until_it_goes() {
    let folder = Folder(TempDir::new().expect("a folder"));
    let nothing = || ("nothing".to_owned(), "mail waits");
    let watched = Watched::await_file(&folder.list(), "words", LIMIT, words(), nothing());
    assert!(watched.is_failed());
    assert_eq!((watched.current().clone(), watched.state().failures), ("nothing".to_owned(), 1));
    assert!(causes(&watched)[0].starts_with("cannot be read: "));
    assert_eq!(after(Look::Due, &watched), "nothing");
    folder.replace("one\n");
    assert_eq!(after(Look::Due, &watched), "one\n");
    assert!(!watched.is_failed());
    folder.replace("one\nbad\n");
    assert_eq!(after(Look::Due, &watched), "one\n");
    assert!(watched.is_failed());
    folder.replace("one\n");
    after(Look::Due, &watched);
    assert!(!watched.is_failed(), "it is as it was before");
    fs::remove_file(folder.list()).expect("it was there");
    after(Look::Due, &watched);
    assert!(watched.is_failed());
    let bad = Folder::with("bad\n");
    let watched = Watched::await_file(&bad.list(), "words", LIMIT, words(), nothing());
    assert_eq!((watched.is_failed(), causes(&watched)), (true, vec!["bad".to_owned()]));
    bad.replace("good\n");
    assert_eq!((after(Look::Due, &watched), watched.is_failed()), ("good\n".to_owned(), false));
}

#[test]
fn a_watcher_waits_for_a_file_and_has_it_once() {
    let folder = Folder(TempDir::new().expect("a folder"));
    let watcher = Watcher::default();
    let open = || watcher.await_file(&folder.list(), "words", LIMIT, words(), (String::new(), "mail waits"));
    let (first, again) = (open(), open());
    assert!(Arc::ptr_eq(&first, &again));
    folder.replace("here\n");
    watcher.refresh();
    assert_eq!((first.current().as_str(), first.is_failed()), ("here\n", false));
}
