//! The service: its units, its sockets, and a session with it.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::report::Report;
use crate::cli::dial::{dial, remedy};
use crate::cli::host::systemd::{Unit, is_booted};
use crate::config::Config;
use crate::milter::Offer;
use crate::server::{Call, CallError, Listen};

/// Longest time for one session.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn units(report: &mut Report, service: Option<&Unit>, config: &Config) {
    if !is_booted() {
        report.skipped("service", "systemd does not run here");
        return;
    }
    let socket = Unit::find("gatepost.socket");
    for entry in judge(service, socket.as_ref(), config) {
        match entry {
            Ok(text) => report.fine("service", text),
            Err((text, remedy)) => report.wrong("service", text, remedy),
        }
    }
}

type Judgement = Result<String, (String, &'static str)>;

fn judge(service: Option<&Unit>, socket: Option<&Unit>, config: &Config) -> Vec<Judgement> {
    let mut found = Vec::new();
    match service {
        None => found.push(Err((
            "there is no gatepost.service".to_owned(),
            "install the package, or systemd/gatepost.service and gatepost.socket",
        ))),
        Some(unit) => {
            if unit.is_active() {
                found.push(Ok(format!("gatepost.service runs ({})", unit.get("SubState"))));
            } else if unit.get("ActiveState") == "failed" {
                let why = "gatepost.service has failed".to_owned();
                found.push(Err((
                    why,
                    "journalctl -u gatepost -n 20, then: systemctl restart gatepost.service",
                )));
            } else if socket.is_some_and(Unit::is_active) {
                found.push(Ok("gatepost.service starts with the first connection".to_owned()));
            } else {
                let why = "gatepost.service does not run".to_owned();
                found.push(Err((why, "systemctl enable --now gatepost.socket gatepost.service")));
            }
            if unit.get("NeedDaemonReload") == "yes" {
                let why = "the unit's file changed and systemd does not know it yet".to_owned();
                found.push(Err((why, "systemctl daemon-reload && systemctl restart gatepost.service")));
            }
            let starts = unit.is_enabled() || socket.is_some_and(Unit::is_enabled);
            if !starts {
                let why = "it does not start with the machine".to_owned();
                found.push(Err((why, "systemctl enable gatepost.socket gatepost.service")));
            }
        }
    }
    let sets_listen = config.listen != Config::default().listen;
    match socket {
        None => {}
        Some(unit) if unit.is_active() && sets_listen => {
            found.push(Ok("gatepost.socket listens, and the setting listen counts for nothing".to_owned()));
        }
        Some(unit) if unit.is_active() => found.push(Ok("gatepost.socket listens".to_owned())),
        Some(unit) if unit.get("ActiveState") == "failed" => {
            let why = "gatepost.socket has failed: mail servers reach nobody".to_owned();
            found.push(Err((why, "systemctl reset-failed gatepost.socket; systemctl start gatepost.socket")));
        }
        // Units of one's own need no socket unit; the packaged service does not start without it.
        Some(_) if sets_listen && service.is_some_and(Unit::is_active) => {
            found.push(Ok("gatepost.socket is not used: the service listens by itself".to_owned()));
        }
        Some(_) => {
            let why = "gatepost.socket does not listen".to_owned();
            let remedy = "systemctl unmask gatepost.socket && systemctl enable --now gatepost.socket; to listen \
                          elsewhere: systemctl edit gatepost.socket, [Socket] ListenStream=";
            found.push(Err((why, remedy)));
        }
    }
    found
}

/// Speaks with the daemon on each endpoint.
pub(super) fn sockets(report: &mut Report, listens: &[Listen]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    for listen in listens {
        let began = Instant::now();
        let outcome = runtime.block_on(async { timeout(PATIENCE, session(listen)).await });
        match outcome {
            Ok(Ok(())) => {
                report.fine(
                    "sockets",
                    format!("{listen} answers a whole session, in {} ms", began.elapsed().as_millis()),
                );
            }
            Ok(Err(error)) => report.wrong("sockets", format!("{listen}: {error}"), remedy(&error)),
            Err(_) => report.wrong(
                "sockets",
                format!("{listen} takes the connection and does not answer"),
                "systemctl restart gatepost.service, and look who listens there: ss -lp",
            ),
        }
    }
}

/// A session of this host with itself: no list is asked about it.
async fn session(listen: &Listen) -> Result<(), CallError> {
    let mut call = Call::new(dial(listen).await?, Offer::V6);
    call.negotiate().await?;
    let client = crate::smtp::Client::Ip(std::net::Ipv4Addr::LOCALHOST.into());
    call.connect(b"localhost", client, 25).await?;
    call.helo(b"localhost").await?;
    call.mail(b"<>", &[]).await?;
    call.quit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_unit_that_does_not_listen_is_no_way_to_listen_elsewhere() {
        let service = |state: &str| Unit::parse(&format!("ActiveState={state}\nUnitFileState=enabled"));
        let mut config = Config::default();
        config.listen = vec!["inet:11332".parse().expect("an endpoint")];
        let last = |service: &Unit, socket: &Unit, config: &Config| {
            judge(Some(service), Some(socket), config).pop().expect("a judgement on the socket")
        };
        let (runs, rests) = (service("active"), service("inactive"));
        let (text, remedy) =
            last(&rests, &rests, &config).expect_err("the packaged service does not start like this");
        assert!(text.ends_with("does not listen") && remedy.contains("ListenStream="), "{text}; {remedy}");
        let own = last(&runs, &rests, &config).expect("units of one's own");
        assert!(own.ends_with("the service listens by itself"), "{own}");
        let used = last(&runs, &runs, &config).expect("it listens");
        assert!(used.ends_with("the setting listen counts for nothing"), "{used}");
        assert_eq!(last(&runs, &runs, &Config::default()), Ok("gatepost.socket listens".to_owned()));
    }
}
