//! The bench's zones in rbldnsd, 100,000 entries each, behind the bench's own name server.
//!
//! rbldnsd knows the answers; the delay, lost packets and TCP are the business of what stands before it.

use crate::Failure;
use crate::dns::{Behaviour, Plan};
use crate::process::{NameServer, Process, tethered};
use crate::subject::{DBL, KEY, ZRD};
use std::fmt::Write;
use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// Entries of each list beside the ones that the clients of a run are in.
const ENTRIES: u32 = 100_000;

/// Lives as long as the name server before it is needed.
pub(crate) struct Zones {
    _process: Process,
    port: u16,
}

impl Zones {
    pub(crate) fn start(directory: &Path) -> Result<Self, Failure> {
        let head = "$SOA 300 ns.example host.example 1 600 300 86400 300\n$NS 300 ns.example\n$TTL 300\n";
        let mut zen = format!("{head}:127.0.0.2:listed\n127.0.0.2\n9.0.0.0/8\n");
        let mut dbl = format!("{head}:127.0.1.2:listed\n.{DBL}\ndbltest.com\ntest\n");
        let mut zrd = format!("{head}:127.0.2.2:listed\n.{ZRD}\ntest\n");
        for number in 0..ENTRIES {
            // An odd factor goes through all numbers without an order; none is in 8/8 or 9/8.
            let address = Ipv4Addr::from_bits(0x4000_0000 | number.wrapping_mul(0x9e37_79b1) >> 2);
            // Writing to a string cannot fail.
            let _ = writeln!(zen, "{address}");
            let _ = writeln!(dbl, "d{number}.spam.example");
            let _ = writeln!(zrd, "d{number}.new.example");
        }
        let directory = directory.join("zones");
        fs::create_dir_all(&directory)?;
        let mut zones = Vec::new();
        for (zone, kind, text) in [("zen", "ip4set", zen), ("dbl", "dnset", dbl), ("zrd", "dnset", zrd)] {
            let file = directory.join(zone);
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
            zones.push(format!("{KEY}.{zone}.dq.spamhaus.net:{kind}:{}", file.display()));
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        // A free port of UDP, given back at once: rbldnsd takes none of its own choice.
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = directory.join("log");
        let mut command = tethered(Path::new("/usr/sbin/rbldnsd"));
        command.args(["-n", "-f", "-b", &format!("127.0.0.1/{port}")]).args(zones);
        let child = command.stdin(Stdio::null()).stdout(File::create(&log)?);
        let child = child.stderr(File::options().append(true).open(&log)?).spawn()?;
        let mut process = Process { child, title: "rbldnsd".into(), log: Some(log) };
        await_answer(&mut process, port)?;
        Ok(Self { _process: process, port })
    }

    /// A name server that asks rbldnsd and answers after so many milliseconds, while so many packets of a hundred are lost each way;
    /// on port 0 any that is free.
    pub(crate) fn behind(&self, delay: u64, loss: u32, port: u16) -> Result<NameServer, Failure> {
        let upstream = Some(self.port);
        NameServer::start_with(&Plan { loss, port, upstream, ..Plan::new(Behaviour::Answer(delay)) })
    }
}

/// Until it has read its files.
fn await_answer(process: &mut Process, port: u16) -> Result<(), Failure> {
    let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in format!("2.0.0.127.{KEY}.zen.dq.spamhaus.net").split('.') {
        query.push(u8::try_from(label.len())?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let begun = Instant::now();
    let mut packet = [0; 512];
    loop {
        // Before it listens, a send or a receive says "refused".
        if socket.send(&query).is_ok() && socket.recv(&mut packet).is_ok() {
            // One answer, no error.
            return if matches!((packet[3] % 16, packet[7]), (0, 1)) {
                Ok(())
            } else {
                Err("rbldnsd does not know the test entry of its first zone".into())
            };
        }
        let ended = process.child.try_wait()?;
        if ended.is_some() || begun.elapsed() > Duration::from_secs(10) {
            return Err(format!("rbldnsd does not answer\n{}", process.last_words()).into());
        }
        thread::sleep(Duration::from_millis(10));
    }
}
