//! The filter of the differential test, on this library: what `filter.c` is on libmilter.
//!
//! Does what the words in its arguments ask for; every callback is a function of its arguments alone.
//! Usage: `twin SOCKET ACTIONS PROTOCOL`, the socket in libmilter's notation, the bits it wants in hex.

use std::net::IpAddr;
use std::time::Duration;

use gatepost::limits::Limits;
use gatepost::milter::{Actions, Filter, Flow, Protocol};
use gatepost::server::{Listen, Server};
use gatepost::smtp::{Client, Dialog, Event, Macros, Needs, Part, Parts, Permit, Reply, Stage};
use gatepost::verdict::{Decision, Edit, HeaderName, HeaderValue, Verdict};
use serde::{Deserialize, Serialize};

/// How often the MTA is told that the end of a message takes longer.
const PROGRESS: Duration = Duration::from_millis(20);

/// FNV-1a: shows whether two callbacks saw the same octets.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Seen(u64);

impl Default for Seen {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Seen {
    fn octets(self, octets: &[u8]) -> Self {
        let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3);
        Self(octets.iter().fold(self.0, step))
    }

    /// A text and its end, so that neighbours cannot run together.
    fn text(self, text: &[u8]) -> Self {
        self.octets(text).octets(b"\0")
    }

    fn texts<'t>(self, texts: impl IntoIterator<Item = &'t Vec<u8>>) -> Self {
        texts.into_iter().fold(self, |seen, text| seen.text(text))
    }

    fn symbol(self, macros: &Macros, name: &str) -> Self {
        self.text(macros.find(name).unwrap_or(b"-"))
    }
}

/// What one connection remembers.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    client: Seen,
    helo: Seen,
    unknown: Seen,
    message: Message,
}

#[derive(Default, Serialize, Deserialize)]
struct Message {
    number: u32,
    seen: Seen,
    /// Macros have a hash of their own: libmilter shows those of earlier messages.
    macros: Seen,
    data: String,
    eoh: String,
    end: String,
    edits: Vec<String>,
}

impl Memory {
    /// The open message, which may be a new one.
    fn message(&mut self, dialog: &Dialog) -> &mut Message {
        if self.message.number != dialog.messages {
            self.message = Message { number: dialog.messages, ..Message::default() };
        }
        &mut self.message
    }

    fn see(&mut self, dialog: &Dialog, see: impl FnOnce(Seen) -> Seen) {
        let message = self.message(dialog);
        message.seen = see(message.seen);
    }

    fn see_macros(&mut self, dialog: &Dialog, names: [&str; 2]) {
        let message = self.message(dialog);
        message.macros = names.iter().fold(message.macros, |seen, name| seen.symbol(&dialog.macros, name));
    }

    /// What was seen; between messages there is nothing to be seen of one.
    fn shown(&self, outside: bool) -> String {
        let (message, macros) = if outside { (0, 0) } else { (self.message.seen.0, self.message.macros.0) };
        let (client, helo, unknown) = (self.client.0, self.helo.0, self.unknown.0);
        format!("{client:016x} {helo:016x} {unknown:016x} {message:016x} {macros:016x}")
    }

    /// The verdict that a word asks for; `shown` is what an echo repeats.
    fn verdict(wish: &[u8], shown: &str) -> Verdict {
        let reply = |code, enhanced, text: &str| Reply::new(code, enhanced, text).expect("a legal reply");
        match wish {
            b"accept" => Verdict::Accept,
            b"discard" => Verdict::Discard,
            b"reject" => Verdict::Reject,
            b"tempfail" => Verdict::Tempfail,
            b"refuse" => Verdict::Refuse(reply(550, "5.7.1", "no, 100% no")),
            b"defer" => Verdict::Defer(reply(451, "4.7.1", "later")),
            b"close" => Verdict::Defer(reply(421, "4.3.2", "closing")),
            b"lines" => Verdict::Refuse(reply(554, "5.7.1", "one\ntwo %d\nsee https://x.example/%20")),
            b"long" => Verdict::Refuse(reply(550, "5.7.1", &"x".repeat(600))),
            b"echo" => Verdict::Refuse(reply(550, "5.7.9", &format!("seen {shown}"))),
            _ => Verdict::Continue,
        }
    }
}

impl Message {
    /// What MAIL parameters `X-NAME=value` and header fields `X-NAME: value` ask for later in the message.
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let value = || String::from_utf8_lossy(value).into_owned();
        match name.to_ascii_lowercase().as_slice() {
            b"x-data" => self.data = value(),
            b"x-eoh" => self.eoh = value(),
            b"x-end" => self.end = value(),
            b"x-edit" => self.edits.push(value()),
            _ => {}
        }
    }
}

/// The local part of an address, or the first label of a name.
fn address_wish(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"<").unwrap_or(text);
    text.split(|octet| b".@>".contains(octet)).next().unwrap_or_default()
}

fn trimmed(value: &[u8]) -> &[u8] {
    &value[value.iter().take_while(|octet| **octet == b' ').count()..]
}

/// One change, in the words of `compare.py`.
fn edit(text: &str) -> Option<Edit> {
    let (what, rest) = text.split_once(' ')?;
    let header = |rest: &str| {
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        (HeaderName::new(name).expect("a name"), HeaderValue::new(value))
    };
    let indexed = |rest: &str| {
        let (index, rest) = rest.split_once(' ').expect("an index");
        let (name, value) = header(rest);
        (index.parse().expect("a number"), name, value)
    };
    let address = || {
        let (address, parameters) = rest.split_once(' ').map_or((rest, None), |(a, p)| (a, Some(p)));
        (address.to_owned(), parameters.map(str::to_owned))
    };
    Some(match what {
        "add" => {
            let (name, value) = header(rest);
            Edit::AddHeader(name, value.expect("a value"))
        }
        "insert" => {
            let (index, name, value) = indexed(rest);
            Edit::InsertHeader(index, name, value.expect("a value"))
        }
        "change" => {
            let (index, name, value) = indexed(rest);
            Edit::ChangeHeader(index, name, value.expect("a value"))
        }
        "delete" => {
            let (index, name, _) = indexed(rest);
            Edit::DeleteHeader(index, name)
        }
        "rcpt" => {
            let (address, parameters) = address();
            Edit::AddRecipient { address, parameters }
        }
        "unrcpt" => Edit::DeleteRecipient(address().0),
        "from" => {
            let (address, parameters) = address();
            Edit::ChangeSender { address, parameters }
        }
        "body" => {
            let size = rest.parse().expect("a number");
            Edit::ReplaceBody(b"new body\r\n".iter().copied().cycle().take(size).collect())
        }
        _ => return None,
    })
}

struct Twin {
    needs: Needs,
}

impl Twin {
    /// A filter that wants these bits of SMFIF_* and SMFIP_*.
    fn new(actions: Actions, protocol: Protocol) -> Self {
        let events = [
            Event::Connect,
            Event::Helo,
            Event::Mail,
            Event::Rcpt,
            Event::Data,
            Event::Header,
            Event::EndOfHeaders,
            Event::Body,
            Event::Unknown,
        ];
        let permits = [
            (Actions::ADDHDRS, Permit::AddHeader),
            (Actions::CHGHDRS, Permit::ChangeHeader),
            (Actions::ADDRCPT, Permit::AddRecipient),
            (Actions::ADDRCPT_PAR, Permit::AddRecipientWithParameters),
            (Actions::DELRCPT, Permit::DeleteRecipient),
            (Actions::CHGFROM, Permit::ChangeSender),
            (Actions::CHGBODY, Permit::ReplaceBody),
            (Actions::QUARANTINE, Permit::Quarantine),
        ];
        let needs = Needs {
            events: events.into_iter().filter(|event| !protocol.declines(*event)).collect(),
            silent: events.into_iter().filter(|event| protocol.silences(*event)).collect(),
            permits: permits
                .into_iter()
                .filter(|(bit, _)| actions.contains(*bit))
                .map(|(_, it)| it)
                .collect(),
            macros: Vec::new(),
            kept: Parts::default(),
            rejected_recipients: protocol.contains(Protocol::RCPT_REJ),
            leading_space: protocol.contains(Protocol::HDR_LEADSPC),
        };
        let needs = needs
            .keep(Part::Parameters)
            .macros(Stage::Connect, &["j", "{daemon_name}"])
            .macros(Stage::Mail, &["i", "{auth_authen}"])
            .macros(Stage::Rcpt, &["{rcpt_addr}"])
            .macros(Stage::Message, &["i", "{msg_id}"]);
        Self { needs }
    }

    /// The verdict on an event, unless it is only watched.
    fn answer(&self, event: Event, memory: &Memory, wish: &[u8]) -> Verdict {
        if self.needs.silent.contains(event) {
            return Verdict::Continue;
        }
        let outside = matches!(event, Event::Connect | Event::Helo | Event::Unknown);
        Memory::verdict(wish, &memory.shown(outside))
    }

    async fn end(memory: &mut Memory, dialog: &Dialog) -> Decision {
        memory.see_macros(dialog, ["i", "{msg_id}"]);
        let shown = memory.shown(false);
        let wish = memory.message.end.clone();
        if wish == "slow" {
            // Two waits: however late this is looked at, the second one still lies ahead, and at least
            // one word of progress is due.
            tokio::time::sleep(PROGRESS + PROGRESS / 2).await;
            tokio::time::sleep(PROGRESS / 2).await;
        }
        let verdict = match wish.as_str() {
            "quarantine" => Verdict::Quarantine("held for a look".into()),
            wish => Memory::verdict(wish.as_bytes(), &shown),
        };
        let mut edits = Vec::new();
        if matches!(verdict, Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_)) {
            edits.extend(edit(&format!("add X-Seen {shown}")));
            edits.extend(memory.message.edits.iter().filter_map(|text| edit(text)));
        }
        Decision { verdict, edits }
    }
}

impl Filter for Twin {
    type Memory = Memory;

    fn needs(&self) -> Needs {
        self.needs.clone()
    }

    async fn judge(&self, stage: Stage, dialog: &Dialog, memory: &mut Memory) -> Decision {
        let macros = &dialog.macros;
        match stage {
            Stage::Connect => {
                *memory = Memory::default();
                let client = memory.client.text(&dialog.client_name);
                let client = match dialog.client {
                    Client::Ip(IpAddr::V4(ip)) => client.octets(&ip.octets()),
                    Client::Ip(IpAddr::V6(ip)) => client.octets(&ip.octets()),
                    Client::Local => client.text(b"local"),
                    Client::Unknown => client.text(b"unknown"),
                };
                memory.client = client.symbol(macros, "j").symbol(macros, "{daemon_name}");
                self.answer(Event::Connect, memory, address_wish(&dialog.client_name)).into()
            }
            Stage::Helo => {
                let name = dialog.helo.as_deref().unwrap_or_default();
                memory.helo = Seen::default().text(name);
                self.answer(Event::Helo, memory, address_wish(name)).into()
            }
            Stage::Mail => {
                let Some(mail) = &dialog.transaction else { return Decision::default() };
                memory.see(dialog, |seen| seen.text(&mail.sender).texts(&mail.parameters));
                memory.see_macros(dialog, ["i", "{auth_authen}"]);
                for parameter in &mail.parameters {
                    if let Some(at) = parameter.iter().position(|octet| *octet == b'=') {
                        memory.message.note(&parameter[..at], &parameter[at + 1..]);
                    }
                }
                self.answer(Event::Mail, memory, address_wish(&mail.sender)).into()
            }
            Stage::Rcpt => {
                let last = dialog.transaction.as_ref().and_then(|mail| mail.recipients.last());
                let Some(rcpt) = last else { return Decision::default() };
                memory.see(dialog, |seen| seen.text(&rcpt.address).texts(&rcpt.parameters));
                memory.see_macros(dialog, ["{rcpt_addr}", "i"]);
                self.answer(Event::Rcpt, memory, address_wish(&rcpt.address)).into()
            }
            Stage::Data => {
                memory.see(dialog, |seen| seen.text(b"data"));
                self.answer(Event::Data, memory, memory.message.data.as_bytes()).into()
            }
            Stage::Message => Self::end(memory, dialog).await,
        }
    }

    fn header(&self, dialog: &Dialog, memory: &mut Memory, name: &[u8], value: &[u8]) -> Verdict {
        memory.see(dialog, |seen| seen.text(name).text(value));
        memory.message.note(name, trimmed(value));
        let wish = if name.eq_ignore_ascii_case(b"X-Wish") { trimmed(value) } else { b"" };
        self.answer(Event::Header, memory, wish)
    }

    fn end_of_headers(&self, dialog: &Dialog, memory: &mut Memory) -> Verdict {
        memory.see(dialog, |seen| seen.text(b"eoh"));
        self.answer(Event::EndOfHeaders, memory, memory.message.eoh.as_bytes())
    }

    fn body(&self, dialog: &Dialog, memory: &mut Memory, chunk: &[u8]) -> Flow {
        memory.see(dialog, |seen| seen.octets(chunk));
        let wish = chunk.strip_prefix(b"!").unwrap_or_default();
        match wish.trim_ascii_end() {
            b"skip" => Flow::Enough,
            wish => Flow::Answer(self.answer(Event::Body, memory, wish)),
        }
    }

    fn unknown(&self, _: &Dialog, memory: &mut Memory, line: &[u8]) -> Verdict {
        memory.unknown = memory.unknown.text(line);
        let wish = line.split(|octet| *octet == b' ').next().unwrap_or_default();
        self.answer(Event::Unknown, memory, wish)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, actions, protocol] = &arguments[..] else {
        return Err("usage: twin SOCKET ACTIONS PROTOCOL".into());
    };
    let bits = |text: &str| u32::from_str_radix(text, 16);
    let twin = Twin::new(Actions(bits(actions)?), Protocol(bits(protocol)?));
    let sockets = socket.parse::<Listen>()?.bind(0o600)?;
    let limits = Limits { progress: PROGRESS, ..Limits::default() };
    Ok(Server::new(twin, limits).serve(&sockets).await?)
}
