//! The protocol's test cases that need no sockets; `tests/data/milter-cases.md` maps the numbers.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod envelope;
mod negotiation;
mod order;
mod replies;
mod table;

use gatepost::milter::mta::Mta;
use gatepost::milter::{Actions, Command, Frame, Offer, Protocol, ProtocolError};
use gatepost::smtp::{Dialog, Needs, Reply};
use gatepost::verdict::{Decision, Verdict};

use support::side::{Question, Said, Side, codes, everything, go_on};

fn packet(code: u8, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    Frame::put(code, &[data], &mut packet);
    packet
}

fn offer(version: u32, actions: u32, protocol: u32) -> Offer {
    Offer { version, actions: Actions(actions), protocol: Protocol(protocol) }
}

/// What an MTA with this offer hears in answer to its OPTNEG from a filter with these needs.
fn negotiate(offer: Offer, needs: Needs) -> Result<(Mta, Vec<u8>), ProtocolError> {
    let (mut mta, mut sent, mut said) = (Mta::new(offer), Vec::new(), Vec::new());
    mta.negotiate(&mut sent).expect("the first event");
    Side::new(needs, go_on).feed(&sent, &mut said)?;
    let (frame, size) = Mta::take(&said).expect("a packet").expect("all of it");
    assert_eq!(size, said.len(), "one packet");
    mta.receive(frame).unwrap_or_else(|violation| panic!("{offer:?}: {violation}"));
    Ok((mta, said))
}

type Filter = fn(Question, &Dialog) -> Said;

/// A filter's side after negotiation of everything, and CONNECT if `connected`.
fn side(connected: bool, filter: Filter) -> Side<Filter> {
    let mut side: Side<Filter> = Side::new(everything(), filter);
    let mut packets = Vec::new();
    Command::Negotiate(Offer::V6).put(&mut packets);
    if connected {
        packets.extend(packet(b'C', b"client.example\x004\x20\x01192.0.2.2\0"));
    }
    assert_eq!(side.feed(&packets, &mut Vec::new()), Ok(true));
    side
}

/// The codes of what is said to one packet.
fn said(side: &mut Side<Filter>, code: u8, data: &[u8]) -> Result<String, ProtocolError> {
    let mut out = Vec::new();
    side.feed(&packet(code, data), &mut out)?;
    Ok(codes(&out))
}

fn refuse() -> Decision {
    Verdict::Refuse(Reply::new(550, "5.7.1", "listed").expect("a reply")).into()
}
