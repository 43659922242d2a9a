//! The server over real sockets: framing, deadlines, load, draining, and peers that misbehave.
//!
//! The cases are those of the protocol, numbered.

#[path = "../common/mod.rs"]
mod common;

mod conversation;
mod framing;
mod load;
mod sockets;
mod stop;

use std::time::Duration;

use gatepost::limits::Limits;
use gatepost::milter::Filter;
use gatepost::server::{Listen, Server};
use gatepost::smtp::{Dialog, Event, Needs, Permit, Reply, Stage};
use gatepost::verdict::{Decision, Edit, HeaderName, HeaderValue, Verdict};
use tokio::task::JoinHandle;

use common::clock::Clock;
use common::log::Log;
use common::phone::Phone;
use common::wire::{Wire, connect, offer, packet};

/// Does what the sender's address says; wants everything but DATA and headers.
struct Puppet;

impl Filter for Puppet {
    type Memory = ();

    fn needs(&self) -> Needs {
        [Event::Connect, Event::Helo, Event::Mail, Event::Rcpt, Event::Body, Event::Unknown]
            .into_iter()
            .fold(Needs::default(), Needs::event)
            .permit(Permit::AddHeader)
            .permit(Permit::ReplaceBody)
            .macros(Stage::Rcpt, &["{rcpt_addr}"])
    }

    async fn judge(&self, stage: Stage, dialog: &Dialog, (): &mut ()) -> Decision {
        let sender = dialog.transaction.as_ref().map_or(&b""[..], |message| &message.sender);
        match (stage, sender) {
            (Stage::Mail, b"<panic>") => panic!("a secret of {}", String::from_utf8_lossy(sender)),
            (Stage::Mail, b"<slow>") => tokio::time::sleep(Duration::from_secs(1)).await,
            (Stage::Mail, b"<refuse>") => return refuse("refused"),
            (Stage::Rcpt, b"<echo>") => {
                let macros = dialog.macros.find("{rcpt_addr}").map(String::from_utf8_lossy);
                return refuse(&format!("{} {:?}", dialog.messages, macros.unwrap_or_default()));
            }
            (Stage::Message, b"<change>") => return change(),
            _ => {}
        }
        Decision::default()
    }
}

fn refuse(text: &str) -> Decision {
    Verdict::Refuse(Reply::new(550, "5.7.1", text).expect("a reply")).into()
}

fn change() -> Decision {
    let header = |n: u32| {
        let name = HeaderName::new(&format!("X-Number-{n}")).expect("a name");
        Edit::AddHeader(name, HeaderValue::new("a value").expect("a value"))
    };
    let mut edits: Vec<Edit> = (0..20).map(header).collect();
    edits.push(Edit::ReplaceBody(b"new\r\n"[..].into()));
    Decision { verdict: Verdict::Continue, edits }
}

/// A running server of [`Puppet`].
struct Served {
    server: Server<Puppet>,
    listens: Vec<Listen>,
    serving: JoinHandle<()>,
}

impl Served {
    /// On a free port of 127.0.0.1.
    fn start(limits: Limits) -> Self {
        Self::at(&["inet:0@127.0.0.1"], limits)
    }

    fn at(endpoints: &[&str], limits: Limits) -> Self {
        common::log::set_up();
        let sockets: Vec<_> = endpoints
            .iter()
            .flat_map(|endpoint| {
                endpoint.parse::<Listen>().expect("an endpoint").bind(0o600).expect("a socket")
            })
            .collect();
        let listens = sockets.iter().map(|socket| socket.listen().clone()).collect();
        let server = Server::new(Puppet, limits);
        let handle = server.clone();
        let serving = tokio::spawn(async move { handle.serve(&sockets).await.expect("a server") });
        Self { server, listens, serving }
    }

    fn port(&self) -> u16 {
        match &self.listens[0] {
            Listen::Inet { port, .. } | Listen::Inet6 { port, .. } => *port,
            Listen::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    async fn wire(&self) -> Wire {
        Wire::dial(self.port()).await
    }

    /// A wire on which CONNECT and HELO are answered.
    async fn greeted(&self) -> Wire {
        let mut wire = self.wire().await;
        assert_eq!(wire.exchange(&greeting(), 3).await, "Occ");
        wire
    }

    async fn phone(&self) -> Phone {
        Phone::dial(self.port()).await
    }

    /// Waits until so many connections are open.
    async fn open(&self, count: usize) {
        let settled = async {
            while self.server.tally().open != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let tally = || self.server.tally();
        tokio::time::timeout(Duration::from_mins(1), settled)
            .await
            .unwrap_or_else(|_| panic!("{:?}", tally()));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn greeting() -> Vec<u8> {
    common::wire::greeting("192.0.2.1")
}

fn mail(sender: &str) -> Vec<u8> {
    packet(b'M', format!("<{sender}>\0").as_bytes())
}

/// A session with two messages, as Postfix has it. DATA, header and end of headers are declined; they come
/// all the same, as from an MTA that ignores that.
fn session() -> Vec<u8> {
    let packets = [
        greeting(),
        packet(b'D', b"Mi\x004ABC\0"),
        packet(b'M', "<\u{fc}ser@b\u{fc}cher.example>\0SMTPUTF8\0".as_bytes()),
        packet(b'D', b"R{rcpt_addr}\0us@example.org\0"),
        packet(b'R', b"<us@example.org>\0"),
        packet(b'T', b""),
        packet(b'L', b"Subject\0a test\0"),
        packet(b'N', b""),
        packet(b'B', b"Hello\r\n"),
        packet(b'E', b""),
        packet(b'A', b""),
        packet(b'M', b"<refuse>\0"),
        packet(b'A', b""),
        packet(b'A', b""),
        packet(b'U', b"XHELLO\0"),
    ];
    packets.concat()
}
