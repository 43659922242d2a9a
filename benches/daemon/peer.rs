//! The filters under test: set up, started, looked at.
//!
//! What they are asked, and what is made of it, stands elsewhere.

use crate::Failure;
use crate::load::Door;
use crate::process::{NameServer, Process, free_port, install, raise_file_limit, succeeds, tethered, tree};
use crate::rspamd;
use crate::subject::{KEY, Stage};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A filter to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A tokio filter that answers everything: the floor.
    Bare,
    /// The same in C on libmilter.
    Libmilter,
    /// python3-milter and dnspython with the checks that gatepost makes.
    Python,
    /// rspamd in milter mode with nothing but its module of lists.
    Rspamd,
    /// The daemon, giving its verdict at this stage.
    Gatepost(Stage),
}

impl Peer {
    pub(crate) fn title(self) -> String {
        match self {
            Self::Bare => "bare tokio filter".into(),
            Self::Libmilter => "libmilter, C".into(),
            Self::Python => "Python milter".into(),
            Self::Rspamd => "rspamd, only rbl".into(),
            Self::Gatepost(Stage::Connect) => "gatepost".into(),
            Self::Gatepost(stage) => format!("gatepost, verdict at {}", stage.word().to_uppercase()),
        }
    }

    /// When the filter refuses a client that is listed; `None` if it never does.
    pub(crate) fn enforce(self) -> Option<Stage> {
        match self {
            Self::Bare | Self::Libmilter => None,
            Self::Python => Some(Stage::Connect),
            Self::Rspamd => Some(Stage::Eom),
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

/// The daemon, from the same build as the bench.
pub(crate) const GATEPOST: &str = env!("CARGO_BIN_EXE_gatepost");

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

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
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
        self.start_with(peer, transport, names, &[])
    }

    /// The same; the daemon with settings beside those of all measurements. `CONFIG` is its configuration.
    pub(crate) fn start_with(
        &mut self,
        peer: Peer,
        transport: Transport,
        names: &NameServer,
        settings: &[(&'static str, String)],
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
            Peer::Rspamd => {
                let config = path("conf");
                fs::write(&config, rspamd::configuration(&door, names.port, self.directory.path())?)?;
                arguments.extend(["-f", "-i", "-c"].map(String::from));
                arguments.push(config.display().to_string());
                "/usr/bin/rspamd".into()
            }
            Peer::Gatepost(stage) => {
                arguments.push("run".into());
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
                for (name, value) in settings {
                    match *name {
                        "CONFIG" => arguments.extend(["--config".into(), value.clone()]),
                        _ => environment.push((*name, value.clone())),
                    }
                }
                GATEPOST.into()
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
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// CPU of the whole process and its workers, ended threads included, by the kernel's clocks of them.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let mut sum = Duration::ZERO;
        for id in tree(self.id()) {
            sum += Duration::from(ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(id)?))?.now()?);
        }
        Ok(sum)
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> Result<usize, Failure> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }

    /// How much of its CPU so far was spent inside the kernel, 0 to 1.
    pub(crate) fn kernel_share(&self) -> Result<f64, Failure> {
        let (mut user, mut system) = (0.0, 0.0);
        for id in tree(self.id()) {
            let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
            // The command name may hold blanks; fields 14 and 15 count from behind its bracket.
            let fields: Vec<_> =
                stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
            let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<f64>().ok());
            let (Some(in_user), Some(in_system)) = (ticks(14), ticks(15)) else {
                return Err("/proc/PID/stat: no utime and stime".into());
            };
            user += in_user;
            system += in_system;
        }
        Ok(system / f64::max(user + system, 1.0))
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kib.ok_or_else(|| format!("/proc/PID/status: no {field}"))?.to_owned())
    }

    /// Orders a reload.
    pub(crate) fn hang_up(&self) -> Result<(), Failure> {
        Ok(kill(Pid::from_raw(i32::try_from(self.id())?), Signal::SIGHUP)?)
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

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}
