//! What it takes to start, what a crowd leaves behind, and how large the program is.

use crate::dns::Behaviour;
use crate::goals::Goal;
use crate::load::{Job, Manner};
use crate::peer::{GATEPOST, Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::{NameServer, succeeds};
use crate::report::{figure, number, spread};
use crate::sessions::play;
use crate::subject::{Crowd, Stage};
use crate::{Failure, Run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const PEER: Peer = Peer::Gatepost(Stage::Connect);

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    if run.peers_only {
        return Ok(());
    }
    let names = NameServer::start(Behaviour::Answer(0))?;
    let mut starts = Vec::new();
    for _ in 0..if run.quick { 3 } else { 11 } {
        starts.push(until_ready(run, &names)?.as_secs_f64() * 1000.0);
    }
    let stripped = run.workshop.path("stripped");
    if !succeeds(Command::new("strip").arg("-o").arg(&stripped).arg(GATEPOST)) {
        return Err("strip cannot strip the daemon; is binutils installed?".into());
    }
    let size = number(fs::metadata(&stripped)?.len()) / 1e6;

    let filter = run.workshop.start(PEER, Transport::Tcp, &names)?;
    let first = run.strangers(1024);
    let crowd = Job {
        at_once: 1024,
        manner: Manner::Burst,
        ..Job::stream(&filter.door, Crowd::Strangers(first), 1024)
    };
    let before = filter.resident()? / 1024.0;
    play(&mut run.report, PEER, "1,024 cold sessions", &crowd)?;
    let after = filter.resident()? / 1024.0;

    let (middle, _, slowest) = spread(&starts);
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (what, measured, goal, value) in [
        (
            "start to READY, ms",
            format!("{} (at most {})", figure(middle), figure(slowest)),
            Goal::Start,
            middle,
        ),
        ("stripped binary, MB", figure(size), Goal::Binary, size),
        (
            "resident after 1,024 cold sessions at once, MiB",
            format!("{} (before {})", figure(after), figure(before)),
            Goal::ColdMemory,
            after,
        ),
    ] {
        let mut row = vec![what.to_owned(), measured];
        row.extend(run.report.goal(goal, value));
        rows.push(row);
        bars.push(Bar { label: what.to_owned(), value: value / goal.limit() * 100.0, own: true });
    }
    run.report.table("Start and size", &["of gatepost", "measured", "target", "result"], &rows);
    let title = "Start, size and memory after a crowd, of what the goals allow".into();
    run.report.plot(Plot { name: "start", title, unit: "%", bars, target: Some(100.0) });
    Ok(())
}

/// From the start of the process to its READY, as systemd would see it.
fn until_ready(run: &mut Run, names: &NameServer) -> Result<Duration, Failure> {
    let path = run.workshop.path("notify");
    // There is none the first time.
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path)?;
    // The daemon gives up being root, and still has to say it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let begun = Instant::now();
    let listen = thread::spawn(move || -> std::io::Result<Instant> {
        let mut message = [0; 4096];
        loop {
            let length = socket.recv(&mut message)?;
            if message[..length].split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(Instant::now());
            }
        }
    });
    let settings = [("NOTIFY_SOCKET", path.display().to_string())];
    let _filter = run.workshop.start_with(PEER, Transport::Tcp, names, &settings)?;
    let ready = listen.join().map_err(|_| "the listener for READY panicked")?;
    Ok(ready.map_err(|error| format!("no READY from the daemon: {error}"))?.duration_since(begun))
}
