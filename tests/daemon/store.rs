//! A service manager with a descriptor store, as far as the daemon can tell.
#![allow(unreachable_pub, reason = "its own little library")]

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::process::Daemon;
use super::{Machine, Names};

/// What it keeps, and what it heard.
#[derive(Default)]
pub struct Book {
    /// The store.
    pub stored: Vec<(String, OwnedFd)>,
    /// All messages, and how many descriptors came with each.
    pub heard: Vec<(String, usize)>,
    /// The most that the store takes.
    pub limit: usize,
    /// It hears, and acts on nothing; whoever waits for it waits on.
    pub is_stuck: bool,
    unanswered: Vec<OwnedFd>,
    ended: bool,
}

/// A service manager: keeps a listening socket and a descriptor store, and starts the daemon with both.
pub struct Keeper {
    machine: Machine,
    listener: TcpListener,
    /// Where mail servers call.
    pub port: u16,
    book: Arc<Mutex<Book>>,
    wake: UnixDatagram,
    ear: Option<JoinHandle<()>>,
}

impl Keeper {
    /// A manager with a store for so many descriptors.
    pub fn new(names: &Names, key: &str, settings: &[&str], limit: usize) -> Self {
        let machine = Machine::with(names, key, settings);
        let path = machine.path("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("a mode");
        let wake = UnixDatagram::unbound().expect("a socket");
        wake.connect(&path).expect("the socket");
        let machine = machine.variable("NOTIFY_SOCKET", path.to_str().expect("text"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let book = Arc::new(Mutex::new(Book { limit, ..Book::default() }));
        let ear = thread::spawn({
            let book = Arc::clone(&book);
            move || {
                while !book.lock().expect("no panic").ended {
                    hear(&socket, &book);
                }
            }
        });
        Self { machine, listener, port, book, wake, ear: Some(ear) }
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic")
    }

    /// Says what the daemon's environment has beside the usual: before it is started.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.machine.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Starts the daemon with the listener and what is stored, and waits until it serves.
    pub fn start(&self) -> Daemon {
        let mut descriptors = vec![("milter".to_owned(), self.listener.try_clone().expect("a copy").into())];
        for (name, descriptor) in &self.book().stored {
            descriptors.push((name.clone(), descriptor.try_clone().expect("a copy")));
        }
        let mut daemon = self.machine.spawn_with(&descriptors);
        daemon.wait_for(&["event=ready"]);
        daemon
    }

    /// SIGTERM, its end, and the next one; with all lines of the old one.
    pub fn restart(&self, daemon: Daemon) -> (Daemon, Vec<String>) {
        let (status, lines) = daemon.stop();
        assert_eq!(status, Some(0), "{lines:#?}");
        (self.start(), lines)
    }

    /// Waits until the store holds so many descriptors.
    pub fn wait_for_stored(&self, count: usize) {
        let start = Instant::now();
        while self.book().stored.len() != count {
            assert!(start.elapsed() < Duration::from_mins(1), "{:?}", self.book().heard);
            thread::yield_now();
        }
    }

    /// Sends SIGTERM and waits for nothing.
    pub fn terminate(daemon: &Daemon) {
        daemon.signal(Signal::SIGTERM);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Ok(mut book) = self.book.lock() {
            book.ended = true;
        }
        let _ = self.wake.send(b"X=1");
        let _ = self.ear.take().map(JoinHandle::join);
    }
}

/// Takes one message, as systemd's `service_notify_message` does.
fn hear(socket: &UnixDatagram, book: &Mutex<Book>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut octets = [0; 4_096];
    let heard = recvmsg(socket, &mut [IoSliceMut::new(&mut octets)], &mut rights, RecvFlags::CMSG_CLOEXEC)
        .expect("a message");
    let text = String::from_utf8_lossy(&octets[..heard.bytes]).into_owned();
    let mut descriptors = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    let mut book = book.lock().expect("no panic");
    book.heard.push((text.clone(), descriptors.len()));
    if book.is_stuck {
        book.unanswered.extend(descriptors);
        return;
    }
    let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored").to_owned();
    if text.lines().any(|line| line == "FDSTOREREMOVE=1") {
        book.stored.retain(|(stored, _)| *stored != name);
    } else if text.lines().any(|line| line == "FDSTORE=1") {
        for descriptor in descriptors {
            // What does not fit is closed, without a word.
            if book.stored.len() < book.limit {
                book.stored.push((name.clone(), descriptor));
            }
        }
    }
    // BARRIER=1: its descriptor is closed here.
}
