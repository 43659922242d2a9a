//! What a warm session takes from the heap: what it keeps, and nothing beside it.
//!
//! The heap is the process's own, so this is one test, alone in a program. The mail server's side is played with packets made
//! before, over a plain socket: it takes nothing.

#[path = "common/mod.rs"]
mod common;

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::wire::{connect, offer, packet};
use common::world::{KEY, env_file};
use dhat::{HeapStats, Profiler};
use gatepost::config::Config;
use gatepost::dns::{Answers, Dns, Source};
use gatepost::gate::{Gate, Tables};
use gatepost::limits::Limits;
use gatepost::server::{Listen, Server};
use gatepost::telemetry::{self, Destination, Level};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// Lists on which nobody stands.
struct Empty;

impl Answers for Empty {
    fn answer(&self, _: &str) -> Vec<Ipv4Addr> {
        Vec::new()
    }
}

/// A filter in a thread of its own.
struct Daemon {
    server: Server<Gate>,
    path: PathBuf,
}

impl Daemon {
    fn start(path: &Path, settings: &[&str]) -> Self {
        let key = format!("API_KEY={KEY}");
        let settings = env_file(settings.iter().copied().chain([&*key]));
        let config = Config::from_texts(&settings, "").unwrap_or_else(|problems| panic!("{problems}"));
        let dns = Dns::new((&config).into(), None, Source::Table(Arc::new(Empty)));
        let gate = Gate::compile(&config, &Tables::default(), dns);
        let server = Server::new(gate, Limits::from(&config));
        let sockets = Listen::Unix(path.to_owned()).bind(0o600).expect("a socket");
        let handle = server.clone();
        std::thread::spawn(move || {
            // What tokio keeps of a socket goes when it looks for events next: here after each task, not after some dozens.
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build();
            runtime.expect("a runtime").block_on(handle.serve(&sockets)).expect("a server");
        });
        Self { server, path: path.to_owned() }
    }

    /// Waits until so many connections are open and the thread has nothing more to do for them.
    ///
    /// The accepting loop answers in its turn, behind what the thread is at. Once it may come before a task that is new.
    fn settle(&self, open: usize) {
        let start = Instant::now();
        let until = |condition: &dyn Fn() -> bool| {
            while !condition() {
                assert!(start.elapsed() < Duration::from_secs(30), "the server does not come to rest");
                std::thread::yield_now();
            }
        };
        until(&|| self.server.tally().open == open);
        for _ in 0..2 {
            self.server.pulse();
            until(&|| self.server.has_pulse());
        }
    }
}

/// What happened on the heap, in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    /// Those that were taken, and those that had to grow.
    taken: u64,
    /// How many more there are than before.
    kept: i64,
}

const fn cost(taken: u64, kept: i64) -> Cost {
    Cost { taken, kept }
}

/// What a mail server sends at once, and the codes of the replies that it waits for.
struct Step {
    packets: Vec<u8>,
    replies: &'static [u8],
}

/// A mail server that has one connection at most.
struct Mta<'d> {
    daemon: &'d Daemon,
    stream: Option<UnixStream>,
}

impl Mta<'_> {
    fn cost(&mut self, act: impl FnOnce(&mut Self)) -> Cost {
        let before = HeapStats::get();
        act(self);
        self.daemon.settle(self.stream.iter().count());
        let after = HeapStats::get();
        let now = |stats: &HeapStats| i64::try_from(stats.curr_blocks).expect("few blocks");
        cost(after.total_blocks - before.total_blocks, now(&after) - now(&before))
    }

    fn dial(&mut self) {
        self.stream = Some(UnixStream::connect(&self.daemon.path).expect("somebody listens"));
    }

    fn play(&mut self, step: &Step) {
        let stream = self.stream.as_mut().expect("a connection");
        stream.write_all(&step.packets).expect("a filter that reads");
        for &code in step.replies {
            let (mut length, mut reply) = ([0; 4], [0; 1_024]);
            stream.read_exact(&mut length).expect("a reply");
            let reply = &mut reply[..u32::from_be_bytes(length).try_into().expect("a length")];
            stream.read_exact(reply).expect("a whole reply");
            assert_eq!(char::from(reply[0]), char::from(code));
        }
    }

    /// ABORT and QUIT in one write, as Postfix has it.
    fn quit(&mut self) {
        let mut stream = self.stream.take().expect("a connection");
        stream.write_all(b"\0\0\0\x01A\0\0\0\x01Q").expect("a filter that reads");
        assert_eq!(stream.read(&mut [0]).expect("an end"), 0, "nothing more is said");
    }

    /// A session on a connection of its own, but for its end.
    fn begin(&mut self, steps: &[Step]) {
        self.dial();
        for step in steps {
            self.play(step);
        }
    }

    fn end(&mut self) {
        self.quit();
        self.daemon.settle(0);
    }
}

/// A command with macros before it, in one write.
fn step(macros: usize, command: u8, event: &[u8]) -> Step {
    let mut pairs = vec![command];
    for n in 0..macros {
        pairs.extend_from_slice(format!("{{name{n}}}\0value {n}\0").as_bytes());
    }
    Step { packets: [&packet(b'D', &pairs), event].concat(), replies: b"c" }
}

/// A step behind what ends the message or session before it.
fn after(end: u8, step: Step) -> Step {
    Step { packets: [packet(end, b""), step.packets].concat(), ..step }
}

fn negotiation() -> Step {
    Step { packets: offer(), replies: b"O" }
}

fn greeting(macros: usize) -> [Step; 2] {
    let helo = packet(b'H', b"mx.example.net\0");
    [step(macros, b'C', &connect("8.8.0.1")), step(macros, b'H', &helo)]
}

fn mail(macros: usize) -> Step {
    step(macros, b'M', &packet(b'M', b"<someone@sender.example>\0SIZE=1000\0"))
}

fn rcpt(macros: usize) -> Step {
    step(macros, b'R', &packet(b'R', b"<someone@recipient.example>\0"))
}

/// A session of a message to so many, with so many macros at each step.
fn session(recipients: usize, macros: usize) -> Vec<Step> {
    let begin = [negotiation()].into_iter().chain(greeting(macros)).chain([mail(macros)]);
    begin.chain((0..recipients).map(|_| rcpt(macros))).collect()
}

#[test]
fn a_warm_session_takes_nothing_from_the_heap_but_what_it_keeps() {
    // As in service: a line that is not logged must not cost anything either.
    telemetry::start(Level::Info, Destination::Stderr).expect("the first log");
    let directory = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(&directory.path().join("s"), &["ENFORCE_STAGE=rcpt"]);
    let mut mta = Mta { daemon: &daemon, stream: None };
    // Answers are remembered then, and the buffers of the thread are as large as they need to be.
    for _ in 0..20 {
        mta.begin(&session(2, 40));
        mta.end();
    }

    let profile = concat!(env!("CARGO_TARGET_TMPDIR"), "/allocations.json");
    let _profiler = Profiler::builder().testing().file_name(profile).trim_backtraces(Some(32)).build();
    let [connect, helo] = greeting(4);
    let [connect_again, helo_again] = greeting(4);
    let steps = [
        ("OPTNEG", negotiation()),
        ("CONNECT", connect),
        ("HELO", helo),
        ("MAIL", mail(4)),
        ("RCPT", rcpt(4)),
        ("RCPT, another one", rcpt(4)),
        ("MAIL, another one", after(b'A', mail(4))),
        ("RCPT of that", rcpt(4)),
        ("CONNECT of another session", after(b'K', connect_again)),
        ("HELO of that", helo_again),
        ("MAIL of that", mail(4)),
        ("RCPT of that session", rcpt(4)),
    ];
    let mut costs = vec![("a connection", mta.cost(Mta::dial))];
    costs.extend(steps.iter().map(|(name, step)| (*name, mta.cost(|mta| mta.play(step)))));
    costs.push(("its end", mta.cost(Mta::quit)));
    let expected = [
        // tokio's: the task, its place, and that of the socket; it notes at the end that they have gone.
        ("a connection", cost(3, 3)),
        // What the filter needs, and the list of macros.
        ("OPTNEG", cost(2, 0)),
        // Macros, client's name, findings, the address as text.
        ("CONNECT", cost(4, 4)),
        // Name as typed, domain, findings; the macros grow.
        ("HELO", cost(4, 3)),
        // Sender, domain, findings; the macros grow.
        ("MAIL", cost(4, 3)),
        // The list of recipients, and the one in question, which the next one replaces.
        ("RCPT", cost(2, 2)),
        ("RCPT, another one", cost(1, 0)),
        // Sender, domain, findings; the recipients went.
        ("MAIL, another one", cost(3, -2)),
        ("RCPT of that", cost(2, 2)),
        // As above; the twelve blocks of the session before went.
        ("CONNECT of another session", cost(4, 4 - 12)),
        ("HELO of that", cost(4, 3)),
        ("MAIL of that", cost(4, 3)),
        ("RCPT of that session", cost(2, 2)),
        ("its end", cost(1, -12 - 3)),
    ];
    dhat::assert_eq!(&costs[..], &expected[..], "where blocks were taken is in {profile}");

    // A client that says more takes larger blocks, not more of them; a recipient takes one, and keeps none.
    let mut whole = |recipients, macros| {
        let steps = session(recipients, macros);
        let cost = mta.cost(|mta| mta.begin(&steps));
        mta.end();
        cost
    };
    let usual = whole(1, 4);
    for (recipients, macros) in [(1, 40), (101, 4), (101, 40)] {
        let (more, expected) =
            (whole(recipients, macros), cost(usual.taken + recipients as u64 - 1, usual.kept));
        dhat::assert_eq!(more, expected, "{recipients} recipients, {macros} macros: {profile}");
    }
}
