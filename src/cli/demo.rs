//! `gatepost demo`: the main job without key, name server and mail server.
//!
//! Starts the real daemon on a free loopback port, with a table in place of name servers, and plays
//! SMTP sessions through its socket as a mail server would.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::config::{Config, Sandbox};
use crate::daemon::{Account, Daemon, Exit, Inherited, StartError};
use crate::dns::{Answers, Source};
use crate::list::{Format, Kind as Entries, Table};
use crate::milter::Offer;
use crate::milter::mta::Answer;
use crate::server::{Call, CallError, Listen};
use crate::smtp::{Client, Domain, Stage};

/// What the table holds, as rbldnsd would read it: the documented test entries of the lists, and documentation addresses
/// (RFC 5737) as examples, each below the name of its list. A domain stands for all names below it, as it does in the
/// lists.
const ZONE: &[u8] = b"\
2.0.0.127.zen :127.0.0.2
2.0.0.127.zen :127.0.0.4
2.0.0.127.zen :127.0.0.10
4.2.0.192.zen :127.0.0.4
10.2.0.192.zen :127.0.0.10
.dbltest.com.dbl :127.0.1.2
.abused.example.dbl :127.0.1.102
.test.zrd :127.0.2.2
";

struct Zone(Table);

impl Zone {
    fn read() -> Option<Self> {
        Table::parse(Format::Dnset, Entries::Domain, ZONE).ok().map(|(table, _)| Self(table))
    }
}

impl Answers for Zone {
    fn answer(&self, name: &str) -> Vec<Ipv4Addr> {
        let name = Domain::from_setting(name).ok();
        let entry = name.as_ref().and_then(|name| self.0.domain(name));
        entry.into_iter().flat_map(|entry| entry.records()).map(|(address, _)| address).collect()
    }
}

/// One session to play, and how it must end.
struct Scene {
    title: &'static str,
    client: Ipv4Addr,
    helo: &'static str,
    login: Option<&'static str>,
    sender: &'static str,
    refused: Option<&'static str>,
}

const CLEAN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 25);

const SCENES: &[Scene] = &[
    scene("clean mail", CLEAN, "mx.example.org", "<alice@example.org>", None),
    scene(
        "an infected machine",
        Ipv4Addr::new(192, 0, 2, 4),
        "pc.example.net",
        "<bob@example.net>",
        Some("554"),
    ),
    scene(
        "a dial-up address",
        Ipv4Addr::new(192, 0, 2, 10),
        "pc.example.net",
        "<bob@example.net>",
        Some("554"),
    ),
    Scene {
        login: Some("bob"),
        ..scene(
            "the same address after login",
            Ipv4Addr::new(192, 0, 2, 10),
            "pc.example.net",
            "<bob@example.net>",
            None,
        )
    },
    scene("a HELO name of bad repute", CLEAN, "mail.dbltest.com", "<carol@example.com>", Some("550")),
    scene("a sender of bad repute", CLEAN, "mx.example.org", "<news@dbltest.com>", Some("550")),
    scene(
        "the same, well hidden",
        CLEAN,
        "mx.example.org",
        "<@relay.example:\"a@b\"@DBLTEST.com.>",
        Some("550"),
    ),
    scene("a domain seen an hour ago", CLEAN, "mx.example.org", "<offer@brand-new.test>", Some("550")),
    scene("an abused, honest domain", CLEAN, "mx.example.org", "<dave@abused.example>", None),
    scene("a bounce", CLEAN, "mx.example.org", "<>", None),
];

const fn scene(
    title: &'static str,
    client: Ipv4Addr,
    helo: &'static str,
    sender: &'static str,
    refused: Option<&'static str>,
) -> Scene {
    Scene { title, client, helo, login: None, sender, refused }
}

pub(super) fn run() -> Exit {
    let Some(zone) = Zone::read() else { return Exit::Software };
    match play(zone) {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Software,
        Err(error) => {
            eprintln!("demo: {error}");
            Exit::Unavailable
        }
    }
}

fn play(zone: Zone) -> Result<bool, StartError> {
    let account = if Account::is_needed() { Some(Account::find("nobody")?) } else { None };
    let mut config = Config::default();
    config.listen = vec![Listen::Inet { port: 0, host: Some("127.0.0.1".to_owned()) }];
    config.enforce_stage = Stage::Mail;
    config.skip_special = false;
    // It plays the mail server too, which a daemon in its sandbox could not.
    config.sandbox = Sandbox::Off;
    let mut daemon = Daemon::new(config.into(), Source::Table(Arc::new(zone)), Inherited::default())?;
    daemon.confine(account.as_ref())?;
    let Some(&Listen::Inet { port, .. }) = daemon.listens().next() else { return Ok(false) };
    sayln!("The daemon listens on inet:{port}@127.0.0.1 and knows a built-in zone. A mail server says:\n");
    daemon.run_during(async move {
        let mut as_planned = true;
        for scene in SCENES {
            let (line, right) = match perform(scene, port).await {
                Ok(ending) => (ending.to_string(), ending.is(scene.refused)),
                Err(error) => (error.to_string(), false),
            };
            as_planned &= right;
            sayln!("{:<29} {:<14} {:<17} {:<24} {line}", scene.title, scene.client, scene.helo, scene.sender);
        }
        let verdict =
            if as_planned { "All sessions ended as they should." } else { "Some sessions ended wrongly!" };
        sayln!("\n{verdict} The columns: client, HELO, MAIL FROM, outcome.");
        as_planned
    })
}

/// How a session ended.
enum Ending {
    LetIn,
    Refused(Stage, String),
}

impl Ending {
    fn is(&self, refused: Option<&str>) -> bool {
        match (self, refused) {
            (Self::LetIn, None) => true,
            (Self::Refused(_, reply), Some(code)) => reply.starts_with(code),
            _ => false,
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LetIn => f.write_str("let in"),
            Self::Refused(stage, reply) => {
                write!(f, "refused at {}: {reply}", stage.name().to_ascii_uppercase())
            }
        }
    }
}

async fn perform(scene: &Scene, port: u16) -> Result<Ending, CallError> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut call = Call::new(stream, Offer::V6);
    call.negotiate().await?;
    let name = format!("[{}]", scene.client);
    let mut ending = Ending::LetIn;
    let client = Client::Ip(IpAddr::V4(scene.client));
    note(&mut ending, Stage::Connect, call.connect(name.as_bytes(), client, 25).await?);
    note(&mut ending, Stage::Helo, call.helo(scene.helo.as_bytes()).await?);
    if let Some(login) = scene.login {
        // An MTA knows the login at MAIL.
        call.macros(b'M', &[("{auth_type}", b"PLAIN"), ("{auth_authen}", login.as_bytes())])?;
    }
    note(&mut ending, Stage::Mail, call.mail(scene.sender.as_bytes(), &[]).await?);
    call.quit().await?;
    Ok(ending)
}

/// Keeps the first refusal.
fn note(ending: &mut Ending, stage: Stage, answer: Option<Answer>) {
    if let (Ending::LetIn, Some(Answer::Reply { code, enhanced, lines })) = (&ending, answer) {
        *ending = Ending::Refused(stage, format!("{code} {enhanced} {}", lines.join(" / ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_zone_is_read_without_a_warning_and_answers_like_the_lists() {
        let (table, warnings) = Table::parse(Format::Dnset, Entries::Domain, ZONE).expect("a zone");
        assert_eq!(warnings, []);
        let zone = Zone(table);
        for (name, last) in [
            ("2.0.0.127.zen", &[2, 4, 10][..]),
            ("5.2.0.192.zen", &[]),
            ("x.dbltest.com.dbl", &[2]),
            ("dbltest.com.zrd", &[]),
            ("brand-new.test.zrd", &[2]),
        ] {
            let mut codes: Vec<u8> = zone.answer(name).into_iter().map(|answer| answer.octets()[3]).collect();
            codes.sort_unstable();
            assert_eq!(codes, last, "{name}");
        }
    }
}
