//! For whom a rule holds.

use super::node::{Fields, Node, Tree};
use crate::config::Place;
use crate::config::read::one_network;
use crate::config::report::Report;
use crate::list::{MailboxPattern, is_wide};
use crate::policy::Condition;
use crate::smtp::Domain;
use crate::verdict::Class;

/// What a condition holds that is so wide that nearly everybody meets it.
pub(super) struct Wide {
    pub(super) place: Place,
    pub(super) entry: String,
}

/// Reads one condition or a list of them. Whether all are sound, and what is wide in them.
pub(super) fn read(node: Node, name: &str, report: &mut Report) -> (Vec<Condition>, Vec<Wide>, bool) {
    let nodes = match node.tree {
        Tree::Array(nodes) => nodes,
        tree => vec![Node { place: node.place, tree }],
    };
    let (mut conditions, mut wide, mut sound) = (Vec::new(), Vec::new(), true);
    for node in nodes {
        let Some(fields) = Fields::of(node, name, report) else {
            sound = false;
            continue;
        };
        let (condition, more, is_sound) = one(fields);
        sound &= is_sound;
        wide.extend(more);
        conditions.push(condition);
    }
    (conditions, wide, sound)
}

fn one(mut fields: Fields<'_>) -> (Condition, Vec<Wide>, bool) {
    let networks = "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32";
    let names = "write a name such as mail.example; names below it are meant, too";
    let mailboxes = "write user@mail.example, mail.example, .mail.example, user@ or <>";
    let place = fields.place();
    let client = fields.each("client", networks, one_network).unwrap_or_default();
    let name = |text: &str| Domain::from_setting(text.strip_prefix('.').unwrap_or(text)).ok();
    let client_name = fields.each("client_name", names, name).unwrap_or_default();
    let helo = fields.each("helo", names, name).unwrap_or_default();
    let sender = fields.each("sender", mailboxes, MailboxPattern::parse).unwrap_or_default();
    let recipient = fields.each("recipient", mailboxes, MailboxPattern::parse).unwrap_or_default();
    let class = |text: &str| Class::ALL.into_iter().find(|class| class.name() == text);
    let session = fields.each("session", "choose from inbound, submission, login", class).unwrap_or_default();
    let mut wide: Vec<Wide> = Vec::new();
    let mut note = |entry: String, place: &Place| wide.push(Wide { place: place.clone(), entry });
    for (network, place) in &client {
        if is_wide(network) {
            note(network.to_string(), place);
        }
    }
    for (domain, place) in client_name.iter().chain(&helo) {
        if domain.labels() < 2 {
            note(domain.to_string(), place);
        }
    }
    for (entry, place) in sender.iter().chain(&recipient) {
        if let MailboxPattern::Suffix(domain) | MailboxPattern::Domain(domain) = entry
            && domain.labels() < 2
        {
            note(domain.to_string(), place);
        }
    }
    let values =
        |entries: Vec<(MailboxPattern, Place)>| entries.into_iter().map(|(entry, _)| entry).collect();
    let domains = |entries: Vec<(Domain, Place)>| entries.into_iter().map(|(domain, _)| domain).collect();
    let condition = Condition {
        client: client.into_iter().map(|(network, _)| network).collect(),
        client_name: domains(client_name),
        helo: domains(helo),
        sender: values(sender),
        recipient: values(recipient),
        session: session.into_iter().map(|(class, _)| class).collect(),
    };
    if condition == Condition::default() {
        fields.fault(
            &place,
            "",
            "it names nobody",
            "name a client, client_name, helo, sender, recipient or session",
        );
    }
    (condition, wide, fields.finish().1)
}
