//! Limits: how much of something may come in, as the configuration says it.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use super::node::{Fields, Node};
use super::recipients::{mode, reply, word};
use crate::config::read::one_network;
use crate::config::report::Report;
use crate::config::value::shown;
use crate::policy::{Mode, Template};

/// A limit on how much may come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// For whom it is counted.
    pub per: Per,
    /// What is counted.
    pub of: Of,
    /// How much there may be.
    pub most: NonZeroU32,
    /// In which time; meaningless for a message.
    pub within: Duration,
    /// Clients that it is not for.
    pub exempt: Vec<IpNet>,
    /// Whether it is for who has logged in, too.
    pub counts_logins: bool,
    /// The words of a deferral.
    pub reply: Option<Template>,
    /// Whether it is in force.
    pub mode: Mode,
}

/// For whom something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Each message has its own count.
    Message,
    /// The client's address, or its /64.
    Client,
    /// The sender.
    Sender,
}

impl Per {
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Client => "client",
            Self::Sender => "sender",
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Connections.
    Connections,
    /// MAIL commands.
    Messages,
    /// RCPT commands that nothing else has something against.
    Recipients,
}

impl Of {
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Recipients => "recipients",
        }
    }
}

/// Longest time that a limit looks at.
const LONGEST: Duration = Duration::from_hours(24 * 31);

pub(super) fn read(nodes: Vec<Node>, report: &mut Report) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for node in nodes {
        let Some(mut fields) = Fields::of(node, "limit", report) else { continue };
        let Some((name, place)) = fields.identifier() else { continue };
        if names.contains(&name) {
            fields.fault(
                &place,
                "name",
                format!("there are two limits {name}"),
                "choose another name for one",
            );
        }
        names.push(name.clone());
        limits.extend(one(fields, name));
    }
    limits
}

fn one(mut fields: Fields<'_>, name: String) -> Option<Limit> {
    let place = fields.place();
    let (says_per, says_of) = (fields.has("per"), fields.has("of"));
    let per = word(&mut fields, "per", "choose message, client or sender", |text| match text {
        "message" => Some(Per::Message),
        "client" => Some(Per::Client),
        "sender" => Some(Per::Sender),
        _ => None,
    });
    let of = word(&mut fields, "of", "choose connections, messages or recipients", |text| match text {
        "connections" => Some(Of::Connections),
        "messages" => Some(Of::Messages),
        "recipients" => Some(Of::Recipients),
        _ => None,
    });
    if !says_per {
        fields.fault(&place, "per", "it does not say for whom it counts", "choose message, client or sender");
    }
    let of = of.or_else(|| (per == Some(Per::Message)).then_some(Of::Recipients));
    match (per, of) {
        // Whoever meant a message need not say it.
        (per, None) if !says_of && (per.is_some() || !says_per) => {
            let remedy = "choose connections, messages or recipients";
            fields.fault(&place, "of", "it does not say what it counts", remedy);
        }
        (Some(Per::Message), Some(Of::Connections | Of::Messages)) => {
            fields.fault(&place, "of", "a message has only recipients to count", "set of = \"recipients\"");
        }
        (Some(Per::Sender), Some(Of::Connections)) => {
            let cause = "who the sender is is not known when a client connects";
            fields.fault(&place, "of", cause, "set of = \"messages\", or per = \"client\"");
        }
        _ => {}
    }
    let most = most(&mut fields);
    let within = within(&mut fields, per);
    let networks = "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32";
    let exempt = fields.each("exempt", networks, one_network).unwrap_or_default();
    let logins = word(&mut fields, "logins", "choose exempt or count", |text| match text {
        "exempt" => Some(false),
        "count" => Some(true),
        _ => None,
    });
    let reply = reply(&mut fields, true);
    let mode = mode(&mut fields);
    let sound = fields.finish().1;
    let limit = Limit {
        name,
        per: per?,
        of: of?,
        most: most?,
        within: within?,
        exempt: exempt.into_iter().map(|(network, _)| network).collect(),
        counts_logins: logins.unwrap_or(false),
        reply,
        mode: mode?,
    };
    sound.then_some(limit)
}

fn most(fields: &mut Fields<'_>) -> Option<NonZeroU32> {
    let place = fields.place();
    let Some(texts) = fields.texts("most") else {
        fields.fault(&place, "most", "it does not say how much may come", "add most = 100");
        return None;
    };
    let (text, place) = texts.into_iter().next()?;
    let most = text.parse().ok().filter(|most: &NonZeroU32| most.get() <= 1_000_000);
    if most.is_none() {
        let cause = match &*text {
            "0" => "nothing would come in at all".to_owned(),
            text => format!("{} is not from 1 to 1000000", shown(text)),
        };
        fields.fault(&place, "most", cause, "write a whole number; to have no limit, remove this table");
    }
    most
}

/// The time of a rate; a message has none.
fn within(fields: &mut Fields<'_>, per: Option<Per>) -> Option<Duration> {
    let place = fields.place();
    let text = fields.text("within");
    if per == Some(Per::Message) {
        if let Some((_, place)) = text {
            fields.fault(&place, "within", "what is counted in a message takes no time", "remove it");
            return None;
        }
        return Some(Duration::ZERO);
    }
    let Some((text, place)) = text else {
        fields.fault(&place, "within", "it does not say in which time", "add within = \"1h\"");
        return None;
    };
    let within = humantime::parse_duration(&text).ok();
    let within = within.filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time));
    if within.is_none() {
        let cause = format!("{} is no time from 1s to 31days", shown(&text));
        fields.fault(&place, "within", cause, "write 1min, 1h or 1day");
    }
    within
}
