//! Inside a real Postfix: its own checks of lists against the same Postfix with a filter.
//!
//! The clients speak SMTP from addresses of their own, so this works only in the network of `benches/run`.

use crate::goals::Goal;
use crate::load::{Door, Job};
use crate::peer::{Filter, Peer, Transport};
use crate::plot::{Bar, Plot};
use crate::process::succeeds;
use crate::rbldnsd::Zones;
use crate::report::{figure, millis, no_target, spread};
use crate::sessions::play;
use crate::subject::{Crowd, KEY, Stage};
use crate::{Failure, Run};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A service of the Postfix under test.
struct Way {
    title: String,
    options: String,
    filter: Option<Filter>,
    port: u16,
    enforced: bool,
}

/// Below the ports that filters are given.
const FIRST_PORT: u16 = 12_025;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let zones = Zones::start(run.workshop.directory())?;
    // Postfix asks the resolver of the machine, and that is always on this port.
    let names = zones.behind(20, 0, 53)?;
    let mut ways = vec![
        Way::new("Postfix, no checks", String::new(), None, false),
        Way::new("Postfix, its own checks", own_checks(), None, true),
    ];
    for peer in [Peer::Gatepost(Stage::Rcpt), Peer::Gatepost(Stage::Connect), Peer::Python] {
        if run.peers_only && peer != Peer::Python {
            continue;
        }
        let filter = run.workshop.start(peer, Transport::Tcp, &names)?;
        // Postfix writes the host behind the port, libmilter too.
        let Door::Tcp(port) = filter.door else { return Err("the filter is not on TCP".into()) };
        let title = format!("Postfix with {}", peer.title());
        ways.push(Way::new(&title, format!(" -o smtpd_milters=inet:127.0.0.1:{port}"), Some(filter), true));
    }
    for (port, way) in (FIRST_PORT..).zip(&mut ways) {
        way.port = port;
    }
    let postfix = Postfix::start(&run.workshop.path("postfix"), &ways)?;
    let sessions = if run.quick { 40 } else { 100 };
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    // The first round starts the processes of each service, and does not count.
    for round in 0..=if run.quick { 2 } else { 5 } {
        let mut order: Vec<_> = (0..ways.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let way = &ways[index];
            let job = Job {
                at_once: 4,
                ..Job::stream(&Door::Smtp(way.port), Crowd::Strangers(run.strangers(sessions)), sessions)
            };
            let outcome = play(&mut run.report, way.peer(), &way.title, &job)?;
            if round > 0 {
                times[index].push(millis(outcome.wait_p50));
            }
        }
    }
    // And they all refuse the right ones, at one command or another.
    for way in ways.iter().filter(|way| way.enforced) {
        let listed = Crowd::Mixed(run.strangers(40));
        let job =
            Job { at_once: 4, enforce: Some(Stage::Rcpt), ..Job::stream(&Door::Smtp(way.port), listed, 40) };
        play(&mut run.report, way.peer(), &way.title, &job)?;
    }
    drop(postfix);
    report(run, &ways, &times);
    Ok(())
}

fn report(run: &mut Run, ways: &[Way], times: &[Vec<f64>]) {
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (way, own) in ways.iter().zip(times) {
        let ratios: Vec<_> = own.iter().zip(&times[1]).map(|(mine, other)| mine / other).collect();
        let ((p50, low, high), ratio) = (spread(own), spread(&ratios).0);
        let peer = way.filter.as_ref().map(|filter| filter.peer);
        let mut row = vec![
            way.title.clone(),
            figure(p50),
            format!("{} – {}", figure(low), figure(high)),
            figure(ratio),
        ];
        row.extend(match peer {
            Some(Peer::Gatepost(Stage::Rcpt)) => run.report.goal(Goal::Postfix, ratio),
            _ => no_target(),
        });
        rows.push(row);
        bars.push(Bar { label: way.title.clone(), value: p50, own: matches!(peer, Some(Peer::Gatepost(_))) });
    }
    let header =
        ["mail server", "session p50 ms", "spread of rounds", "× its own checks", "target", "result"];
    run.report.table("SMTP sessions with Postfix, new clients, rbldnsd 20 ms away", &header, &rows);
    let title = "An SMTP session with Postfix, p50, new clients, rbldnsd 20 ms away".into();
    run.report.plot(Plot { name: "postfix", title, unit: "ms", bars, target: None });
}

impl Way {
    fn new(title: &str, options: String, filter: Option<Filter>, enforced: bool) -> Self {
        Self { title: title.to_owned(), options, filter, port: 0, enforced }
    }

    /// Failures of Postfix alone are not gatepost's.
    fn peer(&self) -> Peer {
        self.filter.as_ref().map_or(Peer::Bare, |filter| filter.peer)
    }
}

/// What gatepost asks, in the words of Postfix.
fn own_checks() -> String {
    let list =
        |word: &str, zone: &str, codes: &str| format!("{word} {KEY}.{zone}.dq.spamhaus.net=127.0.{codes}");
    let checks = [
        list("reject_rbl_client", "zen", "0.[2..11]"),
        list("reject_rhsbl_helo", "dbl", "1.[2..99]"),
        list("reject_rhsbl_helo", "zrd", "2.[2..24]"),
        list("reject_rhsbl_sender", "dbl", "1.[2..99]"),
        list("reject_rhsbl_sender", "zrd", "2.[2..24]"),
    ];
    format!(" -o {{ smtpd_recipient_restrictions = {} }}", checks.join(", "))
}

/// A private Postfix: own configuration, queue and data, no chroot.
struct Postfix {
    configuration: PathBuf,
}

impl Postfix {
    fn start(directory: &Path, ways: &[Way]) -> Result<Self, Failure> {
        let configuration = directory.join("etc");
        for part in ["etc", "queue", "data"] {
            fs::create_dir_all(directory.join(part))?;
            fs::set_permissions(directory.join(part), fs::Permissions::from_mode(0o755))?;
        }
        let account =
            nix::unistd::User::from_name("postfix")?.ok_or("no account `postfix`; is it installed?")?;
        chown(directory.join("data"), Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
        let directory = directory.display();
        fs::write(
            configuration.join("main.cf"),
            format!(
                "compatibility_level = 3.6\nqueue_directory = {directory}/queue\ndata_directory = {directory}/data\n\
                 command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
                 mail_owner = postfix\nsetgid_group = postdrop\n\
                 maillog_file = {directory}/maillog\nmaillog_file_prefixes = {directory}\n\
                 myhostname = mx.here.example\nmydestination =\nlocal_recipient_maps =\nrelay_domains = here.example\n\
                 mynetworks = 192.0.2.0/24\ninet_interfaces = all\ninet_protocols = ipv4\n\
                 smtpd_peername_lookup = no\nsmtp_dns_support_level = disabled\n\
                 smtpd_relay_restrictions = reject_unauth_destination\nsmtpd_error_sleep_time = 0\n\
                 smtpd_client_connection_count_limit = 0\nin_flow_delay = 0\nmilter_default_action = tempfail\n"
            ),
        )?;
        let mut services = String::new();
        for way in ways {
            // Writing to a string cannot fail.
            let _ = writeln!(services, "127.0.0.1:{} inet n - n - - smtpd{}", way.port, way.options);
        }
        for service in [
            "postlog unix-dgram n - n - 1 postlogd",
            "pickup unix n - n 60 1 pickup",
            "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr",
            "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce",
            "defer unix - - n - 0 bounce",
            "trace unix - - n - 0 bounce",
            "flush unix n - n 1000? 0 flush",
            "proxymap unix - - n - - proxymap",
            "smtp unix - - n - - smtp",
            "relay unix - - n - - smtp",
            "error unix - - n - - error",
            "retry unix - - n - - error",
            "anvil unix - - n - 1 anvil",
        ] {
            let _ = writeln!(services, "{service}");
        }
        fs::write(configuration.join("master.cf"), services)?;
        let postfix = Self { configuration };
        if !postfix.order("start") {
            let log = fs::read_to_string(format!("{directory}/maillog")).unwrap_or_default();
            return Err(format!("Postfix does not start\n{log}").into());
        }
        Ok(postfix)
    }

    fn order(&self, word: &str) -> bool {
        succeeds(Command::new("/usr/sbin/postfix").arg("-c").arg(&self.configuration).arg(word))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // It has no parent here that could end it otherwise.
        self.order("stop");
    }
}
