//! The program as a process, on a machine with nothing but a directory and a name server of its own.
#![allow(unreachable_pub, reason = "its own little library")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use tokio::sync::oneshot;

use super::common::nameserver::NameServer;
use super::common::world::env_file;

/// Longest wait for anything: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// The account that a daemon started as root becomes.
const ACCOUNT: &str = "nobody";

/// A key that exists nowhere else.
pub fn new_key() -> String {
    use std::hash::BuildHasher as _;
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let pick = |n: usize| {
        let hash = std::hash::RandomState::new().hash_one(n);
        char::from(letters[usize::try_from(hash % 32).expect("small")])
    };
    (0..26).map(pick).collect()
}

/// A scripted name server with a thread of its own: the tests wait for processes.
pub struct Names {
    server: NameServer,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    pub fn start() -> Self {
        let (started, server) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            super::run(async move {
                started.send(NameServer::start().await).expect("a test that waits");
                let _ = ended.await;
            });
        });
        Self { server: server.recv().expect("a server"), end: Some(end), thread: Some(thread) }
    }
}

impl Deref for Names {
    type Target = NameServer;

    fn deref(&self) -> &NameServer {
        &self.server
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A directory with an env file and a TOML file, both named on each command line: the usual ones of the
/// real machine are never read.
pub struct Machine {
    directory: tempfile::TempDir,
    pub environment: BTreeMap<String, String>,
    launcher: Option<Launcher>,
    /// It is started in its directory, and told names without it.
    is_home: bool,
}

/// What starts the program: a shell script that ends with `exec "$@"`, with sockets as its standard
/// input and output.
pub struct Launcher {
    script: String,
    sockets: [OwnedFd; 2],
}

impl Machine {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // The account that root becomes has to read what is in it.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("a mode");
        own(&directory.path().to_owned());
        let machine = Self { directory, environment: BTreeMap::new(), launcher: None, is_home: false };
        machine.write("gatepost.toml", "");
        machine.write("gatepost.env", "");
        machine
    }

    /// A machine with a key and a name server in its env file, which listens on a free port.
    pub fn with(names: &Names, key: &str, settings: &[&str]) -> Self {
        let machine = Self::new();
        machine.configure(names, key, settings);
        machine
    }

    /// Writes the env file anew; settings are written without their prefix.
    pub fn configure(&self, names: &Names, key: &str, settings: &[&str]) {
        let own = [
            format!("API_KEY={key}"),
            format!("NAMESERVERS={}", names.address()),
            "LISTEN=inet:0@127.0.0.1".to_owned(),
            "LOG_LEVEL=trace".to_owned(),
        ];
        let lines = own.iter().map(String::as_str).chain(settings.iter().copied());
        self.write("gatepost.env", &env_file(lines));
    }

    /// A variable of the process environment, without its prefix.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(format!("SPAMHAUS_DQS_{name}"), value.to_owned());
        self
    }

    /// A variable of the process environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Lets a script start the program, as [`Launcher`] says.
    pub fn launched(mut self, script: &str, one: impl Into<OwnedFd>, other: impl Into<OwnedFd>) -> Self {
        let script = format!("{script} exec \"$@\"");
        self.launcher = Some(Launcher { script, sockets: [one.into(), other.into()] });
        self
    }

    /// Starts programs in the machine's directory, with the files' names alone.
    pub fn at_home(mut self) -> Self {
        self.is_home = true;
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that nobody but the daemon can read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        own(&path);
        path
    }

    /// Takes a file away from the daemon's account, but not from root.
    pub fn withhold(&self, name: &str) {
        let path = &self.path(name);
        let mode = if Uid::effective().is_root() { 0o600 } else { 0 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        if Uid::effective().is_root() {
            chown(path, Some(0), Some(0)).expect("an owner");
        }
    }

    /// Gives it back.
    pub fn hand_over(&self, name: &str) {
        let path = self.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        own(&path);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_as_told(arguments);
        command.args(["--user", ACCOUNT]);
        command
    }

    /// A command that leaves the account to the settings.
    fn command_as_told(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_gatepost");
        let mut command = Command::new(if self.launcher.is_some() { "/bin/sh" } else { program });
        if let Some(launcher) = &self.launcher {
            command.args(["-c", &launcher.script, "sh", program]);
        }
        command.env_clear().envs(&self.environment).args(arguments);
        let named = |name: &str| if self.is_home { name.into() } else { self.path(name) };
        command.arg("--config").arg(named("gatepost.toml"));
        command.arg("--env-file").arg(named("gatepost.env"));
        if self.is_home {
            command.current_dir(&self.directory);
        }
        command.stdin(Stdio::null());
        if let Some(launcher) = &self.launcher {
            let [one, other] = &launcher.sockets;
            command.stdin(one.try_clone().expect("a copy")).stdout(other.try_clone().expect("a copy"));
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        if self.launcher.is_none() {
            command.stdout(Stdio::piped());
        }
        finish(command)
    }

    /// The same, and nobody reads what it says.
    pub fn run_unread(&self, arguments: &[&str]) -> Ended {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = self.command(arguments);
        command.stdout(writer);
        finish(command)
    }

    /// The same, if we are root as the user of this number.
    pub fn run_as(&self, user: u32, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        if Uid::effective().is_root() {
            command.uid(user).gid(user);
        }
        command.stdout(Stdio::piped());
        finish(command)
    }

    /// The same, as an account of the settings.
    pub fn run_without_user(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command_as_told(arguments);
        command.stdout(Stdio::piped());
        finish(command)
    }

    /// Starts the daemon and waits until it serves.
    pub fn start(&self) -> Daemon {
        self.start_as(&["run"])
    }

    /// Starts a command that serves, and waits until it does.
    pub fn start_as(&self, arguments: &[&str]) -> Daemon {
        let mut daemon = self.spawn_as(arguments);
        let ready = daemon.wait_for(&["event=ready"]);
        let port = ready.split("inet:").nth(1).and_then(|rest| rest.split('@').next());
        daemon.port = port.and_then(|port| port.parse().ok()).unwrap_or_default();
        daemon
    }

    /// Starts the daemon as a service manager does, with descriptors and their names; waits for nothing.
    pub fn spawn_with(&self, descriptors: &[(String, OwnedFd)]) -> Daemon {
        let plain = self.command(&["run"]);
        let mut command = Command::new("/bin/sh");
        // A shell that becomes the program: LISTEN_PID has to be its process number.
        command.args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"]);
        command.arg(plain.get_program()).args(plain.get_args()).env_clear().envs(&self.environment);
        let names: Vec<&str> = descriptors.iter().map(|(name, _)| name.as_str()).collect();
        command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        let mapping = |((_, descriptor), number): (&(String, OwnedFd), i32)| FdMapping {
            parent_fd: descriptor.try_clone().expect("a copy"),
            child_fd: number,
        };
        command.fd_mappings(descriptors.iter().zip(3..).map(mapping).collect()).expect("each number once");
        Self::begin(command)
    }

    fn spawn_as(&self, arguments: &[&str]) -> Daemon {
        Self::begin(self.command(arguments))
    }

    /// Starts the daemon while nobody listens to it: it stops at its first line, with the signals held back
    /// that come while it starts, until somebody [listens](Daemon::listen).
    pub fn spawn_unheard(&self) -> Daemon {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let blocking =
            |writer: &PipeWriter, not: OFlag| fcntl(writer, FcntlArg::F_SETFL(not)).expect("a pipe");
        blocking(&writer, OFlag::O_NONBLOCK);
        // Longer than what may be left at the end is every line of the daemon.
        while writer.write(b"# nobody listens\n").is_ok() {}
        blocking(&writer, OFlag::empty());
        let daemon = Self::begin_with(self.command(&["run"]), reader, writer.into(), true);
        let holds = || {
            fs::read_to_string(format!("/proc/{}/status", daemon.id())).is_ok_and(|status| {
                let blocked =
                    status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or_default();
                u64::from_str_radix(blocked.trim(), 16)
                    .is_ok_and(|set| set & 1 << (Signal::SIGTERM as i32 - 1) != 0)
            })
        };
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "it holds no signal back");
            thread::sleep(Duration::from_millis(1));
        }
        daemon
    }

    fn begin(command: Command) -> Daemon {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        Self::begin_with(command, reader, writer.into(), false)
    }

    fn begin_with(mut command: Command, reader: PipeReader, stderr: Stdio, deaf: bool) -> Daemon {
        let child = command.stderr(stderr).spawn().expect("the program");
        // It holds the other end, too.
        drop(command);
        let lines = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let deaf = Arc::new((Mutex::new(deaf), Condvar::new()));
        let (theirs, ears) = (Arc::clone(&lines), Arc::clone(&deaf));
        let reader = thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                drop(ears.1.wait_while(ears.0.lock().expect("no panic"), |deaf| *deaf).expect("no panic"));
                let line = line.expect("text");
                if !line.starts_with('#') {
                    theirs.0.lock().expect("no panic").push(line);
                    theirs.1.notify_all();
                }
            }
        });
        Daemon { child, lines, deaf, reader: Some(reader), port: 0 }
    }
}

/// Gives a file to the account that the daemon becomes.
pub fn own(path: &PathBuf) {
    if Uid::effective().is_root() {
        let account = User::from_name(ACCOUNT).expect("accounts").expect("the account nobody");
        chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw())).expect("root may do that");
    }
}

/// Waits for a process that ends by itself, and ends it if it does not.
fn finish(mut command: Command) -> Ended {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program");
    let start = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it does not end: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its output");
    let text = |octets| String::from_utf8(octets).expect("text");
    Ended { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A daemon; ends with the test.
pub struct Daemon {
    child: Child,
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    /// Whether nobody reads what it says.
    deaf: Arc<(Mutex<bool>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    /// The port of its TCP socket, if it has one.
    pub port: u16,
}

impl Daemon {
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a process id")), signal).expect("it runs");
    }

    /// Listens to it, or not: what it says then waits for a reader. Before it is ready it waits as well.
    pub fn listen(&self, listen: bool) {
        *self.deaf.0.lock().expect("no panic") = !listen;
        self.deaf.1.notify_all();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.0.lock().expect("no panic").clone()
    }

    /// The lines so far that hold all of these words.
    pub fn with(&self, words: &[&str]) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| words.iter().all(|word| line.contains(word)));
        lines
    }

    /// Waits for a line with all of these words.
    ///
    /// # Panics
    /// When there is none for long, or the daemon has ended without it.
    pub fn wait_for(&mut self, words: &[&str]) -> String {
        self.wait_for_more(words, 0)
    }

    /// Waits for another such line than the first so many.
    pub fn wait_for_more(&mut self, words: &[&str], known: usize) -> String {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().expect("a child").is_some();
            if let Some(line) = self.with(words).into_iter().nth(known) {
                return line;
            }
            assert!(!ended && start.elapsed() < PATIENCE, "no line with {words:?}: {:#?}", self.lines());
            let lines = self.lines.0.lock().expect("no panic");
            drop(self.lines.1.wait_timeout(lines, Duration::from_millis(50)));
        }
    }

    /// Waits for a line with this word behind the first so many of all.
    pub fn wait_for_line(&mut self, known: usize, word: &str) {
        let before = self.lines()[..known].iter().filter(|line| line.contains(word)).count();
        self.wait_for_more(&[word], before);
    }

    /// Waits for its end; gives its exit status and all lines.
    pub fn end(mut self) -> (Option<i32>, Vec<String>) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                self.reader.take().expect("a reader").join().expect("no panic");
                return (status.code(), self.lines());
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {:#?}", self.lines());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and all that follows.
    pub fn stop(self) -> (Option<i32>, Vec<String>) {
        self.signal(Signal::SIGTERM);
        self.end()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
