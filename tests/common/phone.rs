//! A mail server with a strict ear: says what a test wants, hears as Postfix and Sendmail do.

use gatepost::milter::mta::{Answer, Mta, Sent};
use gatepost::milter::{Frame, Offer};
use gatepost::smtp::Client;

use super::wire::{Wire, packet};

/// A conversation with a filter. Every method returns the answer in words: `continue`, `accept`,
/// `550 5.7.1 text`; `withheld` where an MTA would not show the event to this filter any more, and
/// `closed` where the filter hung up. An answer that no MTA would take ends the test.
///
/// Unlike [`gatepost::server::Call`] it takes octets that the protocol state of an MTA would clean.
pub struct Phone {
    pub wire: Wire,
    mta: Mta,
    /// Macros that go out with the next event.
    pending: Vec<u8>,
}

impl Phone {
    /// Calls the filter at a port of this machine and negotiates.
    pub async fn dial(port: u16) -> Self {
        let mut phone = Self { wire: Wire::dial(port).await, mta: Mta::new(Offer::V6), pending: Vec::new() };
        let mut offer = Vec::new();
        phone.mta.negotiate(&mut offer).expect("first of all");
        assert_eq!(phone.say(Sent::Due, &offer).await, "negotiated");
        phone
    }

    /// Macros for the next command with this letter.
    pub fn macros(&mut self, command: u8, macros: &[(&str, &str)]) {
        let macros: Vec<_> = macros.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.mta.macros(command, &macros, &mut self.pending).expect("a time for macros");
    }

    /// CONNECT of a client at an address, without a name.
    pub async fn connect(&mut self, address: &str) -> String {
        let family = if address.contains(':') { b'6' } else { b'4' };
        self.connect_as(&format!("[{address}]"), family, 4_711, address.as_bytes()).await
    }

    /// CONNECT as it stands.
    pub async fn connect_as(&mut self, name: &str, family: u8, port: u16, address: &[u8]) -> String {
        let sent = self.mta.connect(b"", Client::Unknown, 0, &mut Vec::new()).expect("the time for CONNECT");
        let port = port.to_be_bytes();
        let rest = if family == b'U' { Vec::new() } else { [&port[..], address, b"\0"].concat() };
        self.say(sent, &packet(b'C', &[name.as_bytes(), b"\0", &[family], &rest].concat())).await
    }

    /// HELO, with any octets.
    pub async fn helo(&mut self, name: impl AsRef<[u8]>) -> String {
        let sent = self.mta.helo(b"", &mut Vec::new()).expect("the time for HELO");
        self.say(sent, &packet(b'H', &[name.as_ref(), b"\0"].concat())).await
    }

    /// MAIL, with any octets; words after the address are parameters.
    pub async fn mail(&mut self, arguments: &[impl AsRef<[u8]>]) -> String {
        let sent = self.mta.mail(b"", &[], &mut Vec::new()).expect("the time for MAIL");
        self.say(sent, &packet(b'M', &strings(arguments))).await
    }

    /// MAIL from an address.
    pub async fn from(&mut self, sender: impl AsRef<[u8]>) -> String {
        self.mail(&[sender]).await
    }

    /// RCPT.
    pub async fn rcpt(&mut self, recipient: impl AsRef<[u8]>) -> String {
        let sent = self.mta.rcpt(b"", &[], &mut Vec::new()).expect("the time for RCPT");
        self.say(sent, &packet(b'R', &strings(&[recipient]))).await
    }

    /// DATA, an empty message and its end.
    pub async fn data(&mut self) -> String {
        let mut out = Vec::new();
        let sent = self.mta.data(&mut out).expect("the time for DATA");
        let answer = self.say(sent, &out).await;
        if !matches!(&*answer, "withheld" | "silent" | "continue") {
            return answer;
        }
        let mut out = Vec::new();
        let sent = self.mta.end_of_headers(&mut out).expect("the time for it");
        self.say(sent, &out).await;
        let mut out = Vec::new();
        let sent = self.mta.end_of_message(&mut out).expect("the time for it");
        self.say(sent, &out).await
    }

    /// ABORT; the next answer would show one that came to this.
    pub async fn abort(&mut self) {
        let mut out = Vec::new();
        let sent = self.mta.abort(&mut out).expect("the time for ABORT");
        self.say(sent, &out).await;
    }

    /// QUIT; true if the filter then hangs up without another word.
    pub async fn quit(mut self) -> bool {
        let mut out = Vec::new();
        self.mta.quit(&mut out).expect("the time for QUIT");
        self.wire.send(&out).await.is_ok() && self.wire.is_closed().await
    }

    async fn say(&mut self, sent: Sent, event: &[u8]) -> String {
        if sent == Sent::Withheld {
            return "withheld".to_owned();
        }
        let octets = [&std::mem::take(&mut self.pending)[..], event].concat();
        if self.wire.send(&octets).await.is_err() {
            return "closed".to_owned();
        }
        if sent == Sent::Silent {
            return "silent".to_owned();
        }
        loop {
            let Some((code, data)) = self.wire.receive().await else { return "closed".to_owned() };
            let heard = self.mta.receive(Frame { code, data: &data });
            if let Some(answer) = heard.unwrap_or_else(|violation| panic!("the filter sent {violation}")) {
                return words(&answer);
            }
        }
    }
}

fn strings(arguments: &[impl AsRef<[u8]>]) -> Vec<u8> {
    arguments.iter().flat_map(|argument| [argument.as_ref(), b"\0"].concat()).collect()
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::Negotiated(_) => "negotiated".to_owned(),
        Answer::Continue => "continue".to_owned(),
        Answer::Accept => "accept".to_owned(),
        Answer::Reply { code, enhanced, lines } => format!("{code} {enhanced} {}", lines.join(" / ")),
        other => format!("{other:?}").to_lowercase(),
    }
}
