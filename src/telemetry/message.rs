//! The ids by which `journalctl -x` explains entries of the journal.

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// A kind of entry that the catalog `systemd/gatepost.catalog` explains (systemd.journal-fields(7), `MESSAGE_ID`).
///
/// An id is for ever: catalogs and alerts of administrators know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its field `event`.
    pub event: &'static str,
    /// Another field that it has, with the value.
    pub detail: Option<(&'static str, &'static str)>,
    /// The level that it has at least.
    pub level: Level,
    /// 128 bits in 32 hexadecimal digits.
    pub id: &'static str,
}

const fn message(
    level: Level,
    event: &'static str,
    detail: Option<(&'static str, &'static str)>,
    id: &'static str,
) -> Message {
    Message { event, detail, level, id }
}

/// All kinds of entries that have an id. The first that fits is the one.
pub const MESSAGES: &[Message] = &[
    message(Level::INFO, "ready", None, "48689ae3b3314effb62cc85f65ead652"),
    message(Level::INFO, "stopped", None, "a5fbda1fcc6a4e4dbb71a485d98a28a1"),
    message(Level::ERROR, "start", None, "fdff0f8d2c444041b8ef09ebcfbe0498"),
    message(Level::INFO, "reloaded", None, "92592ffa945245c9a9122fbe0621bf05"),
    message(Level::ERROR, "reload", None, "0b4067718d2848a9bbd878c309138b56"),
    message(Level::WARN, "reload", None, "c747d05cd56947cab5bad423bf0b8f65"),
    message(Level::WARN, "config", None, "f2d3a681f1324654aeca63761d905108"),
    message(Level::WARN, "no_key", None, "b98b766fe6434901a7fa6eeafd94daed"),
    message(Level::INFO, "verdict", Some(("action", "reject")), "512351235ba44134a10108e6c0a7e8ee"),
    message(Level::INFO, "verdict", Some(("action", "tempfail")), "13c48bc54b5b4cbebea44765f4baa4b6"),
    message(Level::WARN, "zone_state", Some(("state", "open")), "16b711a6bab443b7b90df7a707b41ba5"),
    message(Level::WARN, "zone_state", Some(("state", "doubtful")), "994fee7226ca4b66aca3fd672790afc2"),
    message(Level::INFO, "zone_state", Some(("state", "ok")), "9d896908c25948c5a44a51b9c56d7eba"),
    message(Level::WARN, "dns", None, "6a5ad7b7265d454b85aceb306e6ebfd3"),
    message(Level::WARN, "query_budget", None, "3d5b8a4f0c7e4d1fa26b9e7c18f0d543"),
    message(Level::INFO, "summary", None, "6cde4e6c33c24820a620e2b15fd4fcc5"),
    message(Level::WARN, "shed", None, "b93c9400ba6e47cc890bd3fa5e976908"),
    message(Level::ERROR, "accept", None, "ee8bb4d82236427abd7710b45cbbb7ae"),
    message(Level::WARN, "descriptors", None, "df04705110a749d6a86f9921e08050bd"),
    message(Level::WARN, "inherited", None, "119fb1dcb4fe4d30a0a9d87768fc8377"),
    message(Level::WARN, "handover", None, "fb86edad3e9441008712eaf2003c5422"),
    message(Level::WARN, "watchdog", None, "565e4d5f93414f9d877b32438a3af42f"),
    message(Level::ERROR, "panic", None, "d05eccf2687f4166ad06a6e67219dfea"),
    message(Level::WARN, "protocol", None, "f24e8cc523784e70a7a9c52e723a3617"),
    message(Level::ERROR, "source", None, "6bea2156c37f472e91304172e48a0750"),
    message(Level::WARN, "source", None, "2e6db1722eef427bb56ffb7954991a9a"),
    message(Level::WARN, "map", None, "90563d35176f497ab63bb19c7b711525"),
    message(Level::WARN, "away", None, "9467b830a2e14d2285fe4af04e439960"),
];

/// The kind of an entry, if it has an id.
pub(super) fn kind(event: &Event<'_>) -> Option<&'static Message> {
    let mut seen = Seen::default();
    event.record(&mut seen);
    let level = *event.metadata().level();
    MESSAGES.iter().find(|message| {
        Some(message.event) == seen.event
            && level <= message.level
            && message.detail.is_none_or(|detail| Some(detail) == seen.detail)
    })
}

/// What of an entry's fields occurs in [`MESSAGES`].
#[derive(Default)]
struct Seen {
    event: Option<&'static str>,
    detail: Option<(&'static str, &'static str)>,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.event = MESSAGES.iter().map(|message| message.event).find(|event| *event == value);
        } else {
            let mut details = MESSAGES.iter().filter_map(|message| message.detail);
            self.detail = details.find(|detail| *detail == (field.name(), value)).or(self.detail);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Notes the id of each entry.
    #[derive(Clone, Default)]
    struct Ids(Arc<Mutex<Vec<Option<&'static str>>>>);

    impl<S: Subscriber> Layer<S> for Ids {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let id = kind(event).map(|kind| kind.id);
            self.0.lock().expect("no panic under the lock").push(id);
        }
    }

    #[test]
    fn an_entry_has_the_id_of_its_kind() {
        let ids = Ids::default();
        let subscriber = tracing_subscriber::registry().with(ids.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(event = "ready", "ready");
            tracing::error!(event = "reload", problem = "x", "stays");
            tracing::warn!(event = "reload", setting = "x", "takes effect later");
            tracing::info!(event = "verdict", action = "reject", reply = "x", "no");
            tracing::info!(event = "verdict", action = "log", "listed");
            tracing::warn!(event = "zone_state", zone = "zen", state = "open", "not asked");
            tracing::info!(event = "handover", taken = 1, "sessions go on");
            tracing::error!(event = "handover", why = %"x", "lost");
            tracing::debug!(event = "close", "closed");
            tracing::warn!("a library's own");
        });
        let told = ids.0.lock().expect("no panic under the lock");
        let event =
            |event: &str| MESSAGES.iter().find(|message| message.event == event).map(|found| found.id);
        assert_eq!(
            told[..],
            [
                event("ready"),
                event("reload"),
                Some("c747d05cd56947cab5bad423bf0b8f65"),
                event("verdict"),
                None,
                event("zone_state"),
                None,
                event("handover"),
                None,
                None,
            ]
        );
    }
}
