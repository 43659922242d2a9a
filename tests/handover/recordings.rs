//! Recorded sessions of Postfix and Sendmail, handed over at every packet and at every octet.

use std::sync::Arc;
use std::time::Duration;

use gatepost::config::Config;
use gatepost::dns::Dns;
use gatepost::gate::{Gate, Memory};
use gatepost::limits::Limits;
use gatepost::milter::{Filter as _, Flow, Frame, Session, Step};
use gatepost::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::common::world::config;
use super::support::recording::recordings;
use super::{Act, ENOUGH, NameServer, Wire, call, connect, exchange, gate, session};

/// A session without server and hand-over: what each packet gets said.
struct Plain<'g> {
    gate: &'g Gate,
    session: Session,
    memory: Memory,
}

impl Plain<'_> {
    /// What is said to a packet; nothing once the session is over.
    async fn hear(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (frame, _) = Frame::take(octets, &Limits::default()).ok()?.expect("all of it");
        match self.session.receive(frame, &mut out).ok()? {
            Step::Negotiate(offer) => self.session.negotiate(offer, &self.gate.needs(), &mut out).ok()?,
            Step::Judge { stage, .. } => {
                let decision = self.gate.judge(stage, self.session.dialog(), &mut self.memory).await;
                self.session.resolve(&decision, &mut out).expect("to say it");
            }
            Step::Hangup => return None,
            Step::Restart => self.memory = Memory::default(),
            Step::Proceed => {}
            _ => self.session.answer(&Flow::Next, &mut out).expect("to say it"),
        }
        Some(out)
    }
}

/// A server that is replaced by the next one again and again, while sessions go on.
struct Chain {
    config: Config,
    dns: Arc<Dns>,
    server: Server<Gate>,
    count: usize,
}

impl Chain {
    fn new(names: &NameServer, settings: &[&str]) -> Self {
        let config = config(names, settings);
        let dns = Dns::new((&config).into(), config.key.clone(), gatepost::dns::Source::Resolver);
        let server = Server::new(gate(&config, Some(Arc::clone(&dns))), Limits::default());
        Self { config, dns, server, count: 0 }
    }

    /// The next server. Every third asks with an empty cache, and every other one has to break off what is
    /// being judged.
    async fn restart(&mut self) {
        self.count += 1;
        let dns = (!self.count.is_multiple_of(3)).then(|| Arc::clone(&self.dns));
        let next = Server::new(gate(&self.config, dns), Limits::default());
        let judging = if self.count.is_multiple_of(2) { Duration::ZERO } else { ENOUGH };
        assert_eq!(exchange(&self.server, &next, judging).await, 1);
        self.server = next;
    }
}

/// What each packet of a session gets said without any hand-over, to the end of the session.
async fn plain(chain: &Chain, packets: &[Vec<u8>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let gate = gate(&chain.config, Some(Arc::clone(&chain.dns)));
    let mut side = Plain { gate: &gate, session: session(), memory: Memory::default() };
    let mut said = Vec::new();
    for packet in packets {
        let Some(answer) = side.hear(packet).await else { break };
        said.push((packet.clone(), answer));
    }
    said
}

/// The packets of a recording, with a client that is asked about: the recorded ones are of this machine.
fn packets(recorded: Vec<(Vec<u8>, usize)>) -> Vec<Vec<u8>> {
    let ours = |packet: Vec<u8>| if packet[4] == b'C' { connect("8.8.0.2") } else { packet };
    recorded.into_iter().map(|(packet, _)| ours(packet)).collect()
}

async fn hear(wire: &mut Wire, length: usize) -> Vec<u8> {
    let mut heard = vec![0; length];
    let reading = wire.stream.read_exact(&mut heard);
    tokio::time::timeout(ENOUGH, reading).await.expect("an answer").expect("an open connection");
    heard
}

async fn world(records: bool) -> NameServer {
    let names = NameServer::start().await;
    names.otherwise(Act::NotFound(Some(60)).after(Duration::from_millis(3)));
    if records {
        let slow = |record| Act::records([record]).after(Duration::from_millis(3));
        names.on("2.0.8.8.zen", slow("127.0.0.10"));
        names.on("example.com.dbl", slow("127.0.1.4"));
    }
    names
}

#[tokio::test]
async fn recorded_sessions_are_answered_alike_when_handed_over_at_every_packet() {
    // All recordings once; then some of them with other settings.
    for (every, records, settings) in [
        (1, true, &["ENFORCE_STAGE=mail"][..]),
        (5, true, &["ENFORCE_STAGE=rcpt", "AUTH_DOMAIN_CHECKS=1"]),
        (9, true, &["ENFORCE_STAGE=connect"]),
        (6, false, &["ENFORCE_STAGE=connect"]),
    ] {
        let names = world(records).await;
        let mut chain = Chain::new(&names, settings);
        let mut refused = 0;
        for recording in recordings().into_iter().step_by(every) {
            let packets = packets(recording.packets);
            let plain = plain(&chain, &packets).await;
            let mut wire = call(&chain.server).await;
            for (n, (packet, answer)) in plain.iter().enumerate() {
                // In the middle of the packet, at its beginning or at its end.
                let (first, rest) = packet.split_at([packet.len() / 2, 0, packet.len()][n % 3]);
                wire.send(first).await.expect("to send");
                tokio::task::yield_now().await;
                chain.restart().await;
                wire.send(rest).await.expect("to send");
                if chain.count.is_multiple_of(5) {
                    tokio::task::yield_now().await;
                    chain.restart().await;
                }
                let heard = hear(&mut wire, answer.len()).await;
                assert_eq!(&heard, answer, "{}, packet {n}", recording.capture);
                refused += usize::from(answer.get(4) == Some(&b'y'));
            }
            wire.stream.shutdown().await.expect("an open connection");
            assert!(wire.is_closed().await, "{}: it says more", recording.capture);
        }
        assert!(chain.count > 4_000 / every, "{} hand-overs", chain.count);
        assert!(!records || refused > 20, "{refused} refusals");
    }
}

#[tokio::test]
async fn a_session_handed_over_at_every_octet_is_answered_alike() {
    let names = world(true).await;
    for capture in ["postfix-3.7.11/02-two-messages-rset-helo", "sendmail-8.17.1.9/01-basic"] {
        let mut chain = Chain::new(&names, &["ENFORCE_STAGE=mail"]);
        let recording = recordings().into_iter().find(|recording| recording.capture == capture);
        let recording = recording.unwrap_or_else(|| panic!("no {capture}"));
        let packets = packets(recording.packets);
        let plain = plain(&chain, &packets).await;
        assert!(plain.iter().any(|(_, answer)| answer.get(4) == Some(&b'y')), "nothing is refused");
        let mut wire = call(&chain.server).await;
        for (n, (packet, answer)) in plain.iter().enumerate() {
            for octet in packet {
                wire.send(&[*octet]).await.expect("to send");
                tokio::task::yield_now().await;
                chain.restart().await;
            }
            assert_eq!(&hear(&mut wire, answer.len()).await, answer, "{capture}, packet {n}");
        }
        assert!(chain.count > 500, "{} hand-overs", chain.count);
    }
}
