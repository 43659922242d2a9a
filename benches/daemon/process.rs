//! The processes of the bench: started, waited for, ended.
//!
//! Which filters there are, and how each is set up, is not known here.

use crate::Failure;
use crate::dns::{Behaviour, Plan};
use crate::load::Door;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The bench's own name server, as a process.
pub(crate) struct NameServer {
    process: Process,
    answers: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl NameServer {
    pub(crate) fn start(behaviour: Behaviour) -> Result<Self, Failure> {
        Self::start_with(&Plan::new(behaviour))
    }

    pub(crate) fn start_with(plan: &Plan) -> Result<Self, Failure> {
        let mut command = tethered(&std::env::current_exe()?);
        command.arg("dns").arg(serde_json::to_string(plan)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let answers = child.stdout.take().ok_or("name server: no standard output")?;
        let process = Process { child, title: "name server".into(), log: None };
        let mut answers = BufReader::new(answers);
        let mut port = String::new();
        answers.read_line(&mut port)?;
        // It has said why on its standard error.
        let port = port.trim().parse().map_err(|_| "the name server did not start")?;
        Ok(Self { process, answers, port })
    }

    /// How often each name was asked since the last call.
    pub(crate) fn counts(&mut self) -> Result<HashMap<String, u64>, Failure> {
        self.order("")
    }

    /// From now on.
    pub(crate) fn behave(&mut self, behaviour: Behaviour) -> Result<(), Failure> {
        self.order(&serde_json::to_string(&behaviour)?).map(drop)
    }

    fn order(&mut self, line: &str) -> Result<HashMap<String, u64>, Failure> {
        let control = self.process.child.stdin.as_mut().ok_or("name server: no standard input")?;
        control.write_all(format!("{line}\n").as_bytes())?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// A child that is killed with this value, whatever happens.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) title: String,
    pub(crate) log: Option<PathBuf>,
}

impl Process {
    /// Waits until it accepts connections.
    pub(crate) fn until_open(&mut self, door: &Door) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let open = match door {
                Door::Tcp(port) | Door::Smtp(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
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

    /// The last lines it wrote, for a report of what went wrong.
    pub(crate) fn last_words(&self) -> String {
        let text = self.log.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// A process and all that it has started.
pub(crate) fn tree(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    let mut at = 0;
    while let Some(parent) = all.get(at) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        all.extend(children.unwrap_or_default().split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        at += 1;
    }
    all
}

impl Drop for Process {
    fn drop(&mut self) {
        // Workers of a filter do not always end with it.
        for id in tree(self.child.id()).into_iter().skip(1).filter_map(|id| i32::try_from(id).ok()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
        // It has nothing to save, and may already be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that the kernel kills when the bench dies without its destructors.
pub(crate) fn tethered(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A port to name in a configuration.
///
/// Below the range from which the kernel takes ports for connections: such a port could be gone again
/// before the filter binds it.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (20_000..30_000).find(free).ok_or_else(|| "no free TCP port from 20000 to 30000".into())
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

pub(crate) fn install(packages: &[&str]) -> Result<(), Failure> {
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
pub(crate) fn raise_file_limit() -> Result<(), Failure> {
    const NEEDED: u64 = 12_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.max(NEEDED);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).map_err(|error| {
        format!("open files: the hard limit is {hard}, {NEEDED} are needed ({error}); raise it (ulimit -Hn) or run as root").into()
    })
}
