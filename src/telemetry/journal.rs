//! Entries of the journal, in its own protocol (systemd.io, "Native Journal Protocol").
//!
//! Each field of an event is one of the entry, so that nobody has to take lines apart.

use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::line::VALUE;
use super::message::kind;
use super::outlet::Sink;
use crate::smtp::printable;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// How long one entry may wait for room in the journal's socket until it is tried again.
const PATIENCE: Duration = Duration::from_millis(100);
/// What the names of our own fields begin with.
const PREFIX: &str = "GATEPOST_";

/// The way to the journal.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// A way to the journal, if it is there.
    pub(super) fn find() -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_write_timeout(Some(PATIENCE)).ok()?;
        // The journal ignores an empty entry. That it has no room now is no reason to go elsewhere.
        match socket.send_to(&[], SOCKET) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => None,
            _ => Some(Self(socket)),
        }
    }
}

impl Sink for Journal {
    fn write(&self, entry: &[u8]) -> io::Result<usize> {
        // By name each time: the journal may have been started anew.
        self.0.send_to(entry, SOCKET)
    }
}

/// An event as an entry.
pub(super) fn entry(event: &Event<'_>) -> Vec<u8> {
    let about = event.metadata();
    let mut entry = Entry(Vec::with_capacity(512));
    let priority = match *about.level() {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    entry.field("PRIORITY", priority);
    entry.field("SYSLOG_IDENTIFIER", "gatepost");
    entry.field("TARGET", about.target());
    if let Some(kind) = kind(event) {
        entry.field("MESSAGE_ID", kind.id);
    }
    if let Some(file) = about.file() {
        entry.field("CODE_FILE", file);
    }
    if let Some(line) = about.line() {
        entry.field("CODE_LINE", &line.to_string());
    }
    event.record(&mut entry);
    entry.0
}

struct Entry(Vec<u8>);

impl Entry {
    /// A field with the length of its value, which may then hold anything.
    fn field(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = printable(value.as_bytes(), VALUE);
        match field.name() {
            "message" => self.field("MESSAGE", &value),
            name => self.field(&format!("{PREFIX}{}", name.to_ascii_uppercase()), &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    struct Keep(Arc<Mutex<Vec<u8>>>);

    impl<S: Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().expect("no panic") = entry(event);
        }
    }

    /// The fields of an entry, as the journal reads them.
    fn fields(mut octets: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while !octets.is_empty() {
            let end = octets.iter().position(|octet| *octet == b'\n').expect("a name");
            let (name, rest) = octets.split_at(end);
            let (length, rest) = rest[1..].split_first_chunk::<8>().expect("a length");
            let length = usize::try_from(u64::from_le_bytes(*length)).expect("a small one");
            assert_eq!(rest[length], b'\n');
            let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("text");
            fields.push((text(name), text(&rest[..length])));
            octets = &rest[length + 1..];
        }
        fields
    }

    #[test]
    fn an_entry_has_each_field_apart_and_none_of_a_clients() {
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let subscriber = tracing_subscriber::registry().with(Keep(Arc::clone(&kept)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(event = "verdict", mail_from = "x\nPRIORITY=0\u{1b}[2J", count = 3, "two words");
        });
        let fields = fields(&kept.lock().expect("no panic"));
        let value = |name: &str| {
            let all: Vec<_> =
                fields.iter().filter(|(key, _)| key == name).map(|(_, value)| &**value).collect();
            assert_eq!(all.len(), 1, "{name} in {fields:?}");
            all[0].to_owned()
        };
        assert_eq!(value("PRIORITY"), "6");
        assert_eq!(value("SYSLOG_IDENTIFIER"), "gatepost");
        assert_eq!(value("MESSAGE"), "two words");
        assert_eq!(value("GATEPOST_EVENT"), "verdict");
        assert_eq!(value("GATEPOST_MAIL_FROM"), "x\\x0aPRIORITY=0\\x1b[2J");
        assert_eq!(value("GATEPOST_COUNT"), "3");
        assert!(value("CODE_FILE").ends_with("journal.rs"));
        assert!(value("TARGET").contains("journal"));
    }
}
