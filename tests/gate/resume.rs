//! A session that goes on in another process.

use std::sync::Arc;

use gatepost::dns::{Dns, Source};
use gatepost::gate::{Gate, Memory, Tables};
use gatepost::limits::Limits;
use gatepost::milter::{Due, Filter as _, Frame, Session, Step};
use gatepost::smtp::SessionId;

use super::common::wire::{connect, offer, packet};
use super::common::world::config;
use super::{Act, NameServer};

/// The filter's side without a socket, so that it can be put away at any point.
struct Side {
    gate: Gate,
    session: Session,
    memory: Memory,
}

impl Side {
    fn gate(names: &NameServer, settings: &[&str]) -> Gate {
        let config = config(names, settings);
        Gate::compile(
            &config,
            &Tables::default(),
            Dns::new((&config).into(), config.key.clone(), Source::Resolver),
        )
    }

    /// Takes one packet; if a judgement is due, it is put away before it is given, or not.
    async fn hear(mut self, octets: &[u8], next: &mut Option<Gate>) -> (Self, String) {
        let mut out = Vec::new();
        let (frame, _) = Frame::take(octets, &Limits::default()).expect("a packet").expect("all of it");
        match self.session.receive(frame, &mut out).expect("a legal packet") {
            Step::Negotiate(offer) => {
                self.session.negotiate(offer, &self.gate.needs(), &mut out).expect("an agreement");
            }
            Step::Judge { mut stage, .. } => {
                if let Some(gate) = next.take() {
                    // Look-ups are under way; they are asked again over there.
                    let judging = self.gate.judge(stage, self.session.dialog(), &mut self.memory);
                    drop(futures_util::FutureExt::now_or_never(judging));
                    self = self.hand_over(gate);
                    let Due::Judgement(due) = self.session.due() else { panic!("a judgement is due") };
                    stage = due;
                }
                let decision = self.gate.judge(stage, self.session.dialog(), &mut self.memory).await;
                self.session.resolve(&decision, &mut out).expect("to say it");
            }
            _ => {}
        }
        let text = Frame::take(&out, &Limits::default()).expect("a packet").map(|(frame, _)| {
            let text = String::from_utf8_lossy(frame.data).into_owned();
            format!("{} {}", char::from(frame.code), if frame.code == b'y' { &*text } else { "" })
        });
        (self, text.unwrap_or_default())
    }

    /// Everything but the gate, through its stored form.
    fn hand_over(self, gate: Gate) -> Self {
        let stored = serde_json::to_vec(&(&self.session, &self.memory)).expect("stored");
        drop(self);
        let (mut session, memory): (Session, Memory) = serde_json::from_slice(&stored).expect("restored");
        session.resume(&Limits::default());
        Self { gate, session, memory }
    }
}

fn script() -> Vec<Vec<u8>> {
    vec![
        offer(),
        packet(b'D', b"Cj\0mx.our.example\0"),
        connect("8.8.0.2"),
        packet(b'H', b"mx.example\0"),
        packet(b'D', b"Mi\x004ABC\0"),
        packet(b'M', b"<u@spam.example>\0SIZE=10\0"),
        packet(b'R', b"<one@example.org>\0"),
        packet(b'R', b"<two@example.org>\0"),
        packet(b'A', b""),
        packet(b'D', b"M{auth_authen}\0alice\0"),
        packet(b'M', b"<alice@spam.example>\0"),
        packet(b'R', b"<one@example.org>\0"),
        packet(b'E', b""),
        packet(b'M', b"<u@ok.example>\0"),
        packet(b'R', b"<one@example.org>\0"),
        packet(b'E', b""),
    ]
}

async fn play(names: &NameServer, settings: &[&str], at: Option<usize>, amid: bool) -> Vec<String> {
    let session = Session::new(SessionId { process: 1, number: 1 }, &Limits::default());
    let mut side = Side { gate: Side::gate(names, settings), session, memory: Memory::default() };
    let mut answers = Vec::new();
    for (n, octets) in script().iter().enumerate() {
        let mut next = (at == Some(n)).then(|| Side::gate(names, settings));
        if !amid && let Some(gate) = next.take() {
            side = side.hand_over(gate);
        }
        let (after, answer) = side.hear(octets, &mut next).await;
        side = after;
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn a_session_handed_over_anywhere_ends_as_it_would_have_ended() {
    let names = NameServer::start().await;
    names.on("2.0.8.8.zen", Act::records(["127.0.0.10"]));
    names.on("spam.example.dbl", Act::records(["127.0.1.2"]));
    for settings in [
        &["ENFORCE_STAGE=helo"][..],
        &["ENFORCE_STAGE=mail"],
        &["ENFORCE_STAGE=rcpt"],
        &["ENFORCE_STAGE=rcpt", "ZEN_REJECT_CODES=2"],
        &["ENFORCE_STAGE=mail", "ZEN_ENABLE=0", "AUTH_DOMAIN_CHECKS=1"],
    ] {
        let whole = play(&names, settings, None, false).await;
        assert!(whole.iter().any(|answer| answer.starts_with("y 55")), "{whole:?}");
        for at in 0..script().len() {
            for amid in [false, true] {
                let parted = play(&names, settings, Some(at), amid).await;
                assert_eq!(parted, whole, "{settings:?}, handed over at packet {at}, amid: {amid}");
            }
        }
    }
}

#[tokio::test]
async fn time_spent_waiting_is_not_given_back_by_a_hand_over() {
    let clock = super::Clock::stop();
    let names = NameServer::start().await;
    names.otherwise(Act::Silence);
    let session = Session::new(SessionId::default(), &Limits::default());
    let mut side = Side { gate: Side::gate(&names, &[]), session, memory: Memory::default() };
    let mut none = None;
    let mut waited = Vec::new();
    for octets in
        [offer(), connect("8.8.0.2"), packet(b'H', b"mx.example\0"), packet(b'M', b"<u@ok.example>\0")]
    {
        let ((after, answer), time) = clock.run(Box::pin(side.hear(&octets, &mut none))).await;
        assert!(answer.starts_with(['O', 'c']), "{answer}");
        waited.push(time);
        side = after.hand_over(Side::gate(&names, &[]));
    }
    let whole: std::time::Duration = waited.iter().sum();
    assert!(whole <= super::ms(2_020), "{waited:?}");
    drop(Arc::new(side));
}
