//! The DNS side against a scripted name server: what is asked, what is understood, what is remembered.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod breaker;
mod cache;
mod figures;
mod hedge;
mod lists;
mod names;
mod recall;
mod servers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::dns::{Answer, Answered, Dns, Key, Settings, Source, Subject};
use gatepost::smtp::Domain;
use gatepost::verdict::{Codes, List};
use tokio::time::Instant;

/// As long as real ones.
const KEY: &str = "k3yk3yk3yk3yk3yk3yk3yk3yk3";

fn key() -> Key {
    Key::new(KEY).expect("a key")
}

fn settings(servers: &[SocketAddr]) -> Settings {
    Settings { servers: servers.to_vec(), probe_interval: Duration::ZERO, ..Settings::default() }
}

fn dns(servers: &[SocketAddr]) -> Arc<Dns> {
    Dns::new(settings(servers), Some(key()), Source::Resolver)
}

fn ip(text: &str) -> Subject {
    Subject::Ip(text.parse().expect("an address"))
}

fn domain(text: &str) -> Subject {
    Subject::Domain(Domain::from_octets(text.as_bytes()).expect("a domain").0)
}

/// Asks, and waits as long as a check does.
async fn ask(dns: &Arc<Dns>, list: List, subject: Subject) -> Answered {
    let deadline = Instant::now() + Duration::from_millis(1_800);
    dns.ask(list, subject).wait(deadline).await
}

fn listed<const N: usize>(group: u8, codes: [u8; N]) -> Answer {
    Answer::Listed(Codes::of(group, codes))
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
