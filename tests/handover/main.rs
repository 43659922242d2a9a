//! Open sessions that go from one server to the next: nothing is lost, and nothing is said twice.

#[path = "../common/mod.rs"]
mod common;
#[path = "../support/mod.rs"]
mod support;

mod forged;
mod moments;
mod recordings;
mod release;

use std::sync::Arc;
use std::time::Duration;

use gatepost::config::Config;
use gatepost::dns::{Dns, Source};
use gatepost::gate::{Gate, Tables};
use gatepost::limits::Limits;
use gatepost::milter::Filter;
use gatepost::server::{Rested, Server, Taken, pack, unpack};
use tokio::net::{TcpListener, TcpStream};

use common::clock::Clock;
use common::log::Log;
use common::nameserver::{Act, NameServer};
use common::wire::{Wire, connect, greeting, offer, packet};

/// Longest wait for a judgement where one is to be waited for.
const ENOUGH: Duration = Duration::from_mins(1);

/// A gate with settings, and what asks for it.
fn gate(config: &Config, dns: Option<Arc<Dns>>) -> Gate {
    let dns = dns.unwrap_or_else(|| Dns::new(config.into(), config.key.clone(), Source::Resolver));
    Gate::compile(config, &Tables::default(), dns)
}

/// A connection to a server that takes it over as one that has said nothing yet.
async fn call<F: Filter>(server: &Server<F>) -> Wire {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (accepted, _) = accepted.expect("a connection");
    let socket = accepted.into_std().expect("a socket").into();
    let fresh = r#"{"session":SESSION,"memory":MEMORY}"#
        .replace("SESSION", &serde_json::to_string(&session()).expect("a session"))
        .replace("MEMORY", &serde_json::to_string(&F::Memory::default()).expect("a memory"));
    let taken = server.take_over([Rested { stream: socket, state: fresh.into(), in_message: false }]);
    assert_eq!(taken, Taken { taken: 1, dropped: 0 });
    Wire::new(stream.expect("a connection"))
}

fn session() -> gatepost::milter::Session {
    let id = gatepost::smtp::SessionId { process: 0x6a5, number: 7 };
    gatepost::milter::Session::new(id, &Limits::default())
}

/// Hands all connections of a server to another one, through their packed form.
async fn exchange<F: Filter>(from: &Server<F>, to: &Server<F>, judging: Duration) -> usize {
    let (states, sockets): (Vec<_>, Vec<_>) =
        from.hand_over(judging).await.into_iter().map(|rested| (rested.state, rested.stream)).unzip();
    let packed = pack(states.iter().map(|state| &state[..]).zip(0..).map(|(state, n)| (n, state)));
    let states = unpack(&packed).expect("what was packed");
    assert_eq!(states.len(), sockets.len());
    from.count_handed(sockets.len());
    let rested = states.into_iter().zip(sockets).map(|((_, state), stream)| Rested {
        stream,
        state: state.to_owned(),
        in_message: false,
    });
    let taken = to.take_over(rested);
    assert_eq!(taken.dropped, 0);
    taken.taken
}
