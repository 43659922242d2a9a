//! The filters under test, and the processes of the bench: set up, started, looked at, stopped.

use crate::Failure;
use crate::dns::Behaviour;
use crate::load::{Door, Job, Manner, Outcome};
use crate::subject::{KEY, Stage};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A filter to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A tokio filter that answers everything: the floor.
    Bare,
    /// The same in C on libmilter.
    Libmilter,
    /// python3-milter and dnspython with the checks that gatepost makes.
    Python,
    /// The daemon, giving its verdict at this stage.
    Gatepost(Stage),
}

impl Peer {
    pub(crate) fn title(self) -> String {
        match self {
            Self::Bare => "bare tokio filter".into(),
            Self::Libmilter => "libmilter, C".into(),
            Self::Python => "Python milter".into(),
            Self::Gatepost(Stage::Connect) => "gatepost".into(),
            Self::Gatepost(stage) => format!("gatepost, verdict at {}", stage.word().to_uppercase()),
        }
    }

    /// When the filter refuses a client that is listed; `None` if it never does.
    pub(crate) fn enforce(self) -> Option<Stage> {
        match self {
            Self::Bare | Self::Libmilter => None,
            Self::Python => Some(Stage::Connect),
            Self::Gatepost(stage) => Some(stage),
        }
    }
}

/// What kind of socket the filter listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

/// Everything a run needs before the first filter can start.
pub(crate) struct Workshop {
    directory: tempfile::TempDir,
    libmilter: PathBuf,
    /// Stands in for the machine's own settings file, which must not play a part.
    empty: PathBuf,
    started: u32,
}

/// The packaged interpreter: another one first in the path would not have the packaged modules.
const PYTHON: &str = "/usr/bin/python3";

impl Workshop {
    /// Makes the peers ready; installs Debian packages where they are missing.
    pub(crate) fn open() -> Result<Self, Failure> {
        raise_file_limit()?;
        let directory = tempfile::Builder::new().prefix("gatepost-bench").tempdir()?;
        // The daemon gives up being root, and still has to reach its socket.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let modules = || succeeds(Command::new(PYTHON).args(["-c", "import Milter, dns.resolver"]));
        if !modules() {
            install(&["python3-milter", "python3-dnspython"])?;
            if !modules() {
                return Err(format!("{PYTHON} cannot import Milter and dns.resolver").into());
            }
        }
        let libmilter = directory.path().join("libmilter");
        let compile = || {
            let mut compiler = Command::new("cc");
            compiler.args(["-O2", "-o"]).arg(&libmilter).arg(source("libmilter.c"));
            succeeds(compiler.args(["-lmilter", "-lpthread"]))
        };
        if !compile() {
            install(&["gcc", "libc6-dev", "libmilter-dev"])?;
            if !compile() {
                return Err("cc cannot compile benches/peers/libmilter.c with -lmilter".into());
            }
        }
        let empty = directory.path().join("empty.env");
        // It holds nothing, and a reload reads it as another account.
        File::create(&empty)?.set_permissions(fs::Permissions::from_mode(0o644))?;
        Ok(Self { directory, libmilter, empty, started: 0 })
    }

    /// A path of its own for something of this run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a filter that asks the given name server, and waits until it accepts connections.
    pub(crate) fn start(
        &mut self,
        peer: Peer,
        transport: Transport,
        names: &NameServer,
    ) -> Result<Filter, Failure> {
        self.start_with(peer, transport, names, None)
    }

    /// The same; the daemon with a configuration beside its environment.
    pub(crate) fn start_with(
        &mut self,
        peer: Peer,
        transport: Transport,
        names: &NameServer,
        config: Option<&Path>,
    ) -> Result<Filter, Failure> {
        self.started += 1;
        let path = |kind: &str| self.directory.path().join(format!("{}.{kind}", self.started));
        let door = match transport {
            Transport::Tcp => Door::Tcp(free_port()?),
            Transport::Unix => Door::Unix(path("sock").display().to_string()),
        };
        let mut arguments: Vec<String> = Vec::new();
        let mut environment: Vec<(&str, String)> = Vec::new();
        let program = match peer {
            Peer::Bare => {
                arguments.push("bare".into());
                arguments.push(door.notation());
                std::env::current_exe()?
            }
            Peer::Libmilter => {
                arguments.push(door.notation());
                self.libmilter.clone()
            }
            Peer::Python => {
                arguments.push(source("python_milter.py").display().to_string());
                arguments.extend([door.notation(), names.port.to_string(), KEY.into()]);
                PYTHON.into()
            }
            Peer::Gatepost(stage) => {
                arguments.push("run".into());
                if let Some(config) = config {
                    arguments.extend(["--config".into(), config.display().to_string()]);
                }
                environment.extend([
                    ("SPAMHAUS_DQS_API_KEY", KEY.to_owned()),
                    ("SPAMHAUS_DQS_ENV_FILE", self.empty.display().to_string()),
                    ("SPAMHAUS_DQS_LISTEN", door.notation()),
                    ("SPAMHAUS_DQS_NAMESERVERS", format!("127.0.0.1:{}", names.port)),
                    ("SPAMHAUS_DQS_ENFORCE_STAGE", stage.word().into()),
                    ("SPAMHAUS_DQS_USER", "nobody".into()),
                    ("SPAMHAUS_DQS_CONNECTIONS", "10000".into()),
                    // As the unit has it.
                    (
                        "GLIBC_TUNABLES",
                        "glibc.malloc.mmap_threshold=1048576:glibc.malloc.tcache_count=64".into(),
                    ),
                ]);
                env!("CARGO_BIN_EXE_gatepost").into()
            }
        };
        let log = path("log");
        let mut command = tethered(&program);
        command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(environment);
        command
            .stdin(Stdio::piped())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut process = Process { child, title: peer.title(), log: Some(log) };
        process.until_open(&door)?;
        Ok(Filter { process, door, peer, transport })
    }
}

/// A filter that runs.
pub(crate) struct Filter {
    process: Process,
    pub(crate) door: Door,
    pub(crate) peer: Peer,
    pub(crate) transport: Transport,
}

impl Filter {
    /// CPU of the whole process, ended threads included, by the kernel's clock of it.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(self.process.child.id())?))?;
        Ok(clock.now()?.into())
    }

    /// How much of its CPU so far was spent inside the kernel, 0 to 1.
    pub(crate) fn kernel_share(&self) -> Result<f64, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.child.id()))?;
        // The command name may hold blanks; fields 14 and 15 count from behind its bracket.
        let fields: Vec<_> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<f64>().ok());
        let (Some(user), Some(system)) = (ticks(14), ticks(15)) else {
            return Err("/proc/PID/stat: no utime and stime".into());
        };
        Ok(system / (user + system).max(1.0))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> Result<f64, Failure> {
        Ok(self.memory("VmRSS:")?.parse()?)
    }

    /// The most resident memory so far in KiB.
    pub(crate) fn peak(&self) -> Result<u64, Failure> {
        Ok(self.memory("VmHWM:")?.parse()?)
    }

    fn memory(&self, field: &str) -> Result<String, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kib.ok_or_else(|| format!("/proc/PID/status: no {field}"))?.to_owned())
    }

    /// Orders a reload.
    pub(crate) fn hang_up(&self) -> Result<(), Failure> {
        Ok(kill(Pid::from_raw(i32::try_from(self.process.child.id())?), Signal::SIGHUP)?)
    }

    /// How many lines it wrote that hold a text.
    pub(crate) fn lines_with(&self, text: &str) -> usize {
        let log =
            self.process.log.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// The last lines it wrote, for a report of what went wrong.
    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
    }
}

/// The bench's own name server, as a process.
pub(crate) struct NameServer {
    process: Process,
    answers: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl NameServer {
    pub(crate) fn start(behaviour: Behaviour) -> Result<Self, Failure> {
        let mut command = tethered(&std::env::current_exe()?);
        command.args(["dns", &behaviour.word()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let answers = child.stdout.take().ok_or("name server: no standard output")?;
        let process = Process { child, title: "name server".into(), log: None };
        let mut answers = BufReader::new(answers);
        let mut port = String::new();
        answers.read_line(&mut port)?;
        Ok(Self { process, answers, port: port.trim().parse()? })
    }

    /// How often each name was asked since the last call.
    pub(crate) fn counts(&mut self) -> Result<HashMap<String, u64>, Failure> {
        let control = self.process.child.stdin.as_mut().ok_or("name server: no standard input")?;
        control.write_all(b"\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Sessions that stay open as long as this value lives.
pub(crate) struct Crowd {
    _process: Process,
    pub(crate) outcome: Outcome,
}

/// Plays a job in a process of its own, up to its result.
pub(crate) fn play(job: &Job) -> Result<Crowd, Failure> {
    let mut command = tethered(&std::env::current_exe()?);
    command.arg("load").arg(serde_json::to_string(job)?).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let answers = child.stdout.take().ok_or("load generator: no standard output")?;
    let mut process = Process { child, title: "load generator".into(), log: None };
    let mut line = String::new();
    BufReader::new(answers).read_line(&mut line)?;
    let outcome = serde_json::from_str(&line).map_err(|_| "load generator: ended without a result")?;
    if job.manner != Manner::Idle {
        process.child.wait()?;
    }
    Ok(Crowd { _process: process, outcome })
}

/// A child that is killed with this value, whatever happens.
struct Process {
    child: Child,
    title: String,
    log: Option<PathBuf>,
}

impl Process {
    fn until_open(&mut self, door: &Door) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let open = match door {
                Door::Tcp(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
                Door::Unix(path) => UnixStream::connect(path).is_ok(),
            };
            if open {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > Duration::from_secs(10) {
                let state = ended.map_or("does not listen".into(), |status| format!("ended with {status}"));
                return Err(format!("{}: {state}\n{}", self.title, self.last_words()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn last_words(&self) -> String {
        let text = self.log.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has nothing to save, and may already be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that the kernel kills when the bench dies without its destructors.
fn tethered(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A port to name in a configuration.
///
/// Below the range from which the kernel takes ports for connections: such a port could be gone again
/// before the filter binds it.
fn free_port() -> Result<u16, Failure> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (20_000..30_000).find(free).ok_or_else(|| "no free TCP port from 20000 to 30000".into())
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn install(packages: &[&str]) -> Result<(), Failure> {
    eprintln!("bench: installing {}", packages.join(" "));
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    match apt.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(format!(
            "the peers need the Debian packages {}; install them (apt-get update, apt-get install) and run again",
            packages.join(" ")
        )
        .into()),
    }
}

/// 9,500 connections take as many descriptors on both sides; children inherit the limit.
fn raise_file_limit() -> Result<(), Failure> {
    const NEEDED: u64 = 12_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.max(NEEDED);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).map_err(|error| {
        format!("open files: the hard limit is {hard}, {NEEDED} are needed ({error}); raise it (ulimit -Hn) or run as root").into()
    })
}
