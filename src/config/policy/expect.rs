//! What must come of certain sessions: the administrator's own tests.

use std::net::{IpAddr, Ipv4Addr};

use super::lists::OwnList;
use super::node::{BETTER_NAME, Fields, Node, Tree};
use super::rules::list;
use crate::config::Place;
use crate::config::choice::Word as _;
use crate::config::report::Report;
use crate::config::value::{elided, shown};
use crate::smtp::{Stage, holds_like_key, is_unprintable};
use crate::verdict::{Act, List, Trouble};

/// A session to play, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What it is called in messages.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// The client's address; none for mail that did not come over a network.
    pub client: Option<IpAddr>,
    /// The client's name, as the mail server verified it.
    pub client_name: Option<String>,
    /// The HELO name.
    pub helo: Option<String>,
    /// The reverse-path; empty for the null one.
    pub sender: Option<String>,
    /// The recipients; all but the last one are played without a look at what comes of them.
    pub recipients: Vec<String>,
    /// The name that the client has logged in with.
    pub login: Option<String>,
    /// The port on which the mail server took the session.
    pub port: Option<String>,
    /// What the lists say; what is not said is not listed.
    pub answers: Vec<Answered>,
    /// What must be done; nothing for mail that is let in as it is.
    pub act: Option<Act>,
    /// The stage at which it must be done.
    pub stage: Option<Stage>,
    /// The rule that must do it.
    pub rule: Option<String>,
    /// What the reply, or a header field, must hold.
    pub says: Option<String>,
}

/// What a list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The list.
    pub list: List,
    /// The address or domain; nothing for all.
    pub subject: Option<String>,
    /// Its answer.
    pub answer: Result<Vec<Ipv4Addr>, Trouble>,
}

pub(super) fn read(nodes: Vec<Node>, lists: &[OwnList], report: &mut Report) -> Vec<Expectation> {
    let mut expectations = Vec::new();
    for (number, node) in nodes.into_iter().enumerate() {
        let Some(mut fields) = Fields::of(node, "expect", report) else { continue };
        let named = fields.text("name");
        let name = named.as_ref().map_or_else(|| (number + 1).to_string(), |(name, _)| name.clone());
        fields.call(&elided(&name, 80));
        if let Some((name, place)) = named {
            if name.contains(is_unprintable) {
                fields.fault(&place, "name", "it cannot be shown on one line", "take out what is invisible");
            } else if holds_like_key(&name) {
                fields.fault(&place, "name", "the name looks like a key", BETTER_NAME);
            }
        }
        expectations.extend(one(fields, name, lists));
    }
    expectations
}

fn one(mut fields: Fields<'_>, name: String, lists: &[OwnList]) -> Option<Expectation> {
    let place = fields.place();
    let first = |all: Option<Vec<(IpAddr, Place)>>| all.and_then(|all| all.into_iter().next());
    let client = first(fields.each("client", "write an address", |text| text.parse().ok()));
    let text = |fields: &mut Fields<'_>, field| fields.text(field).map(|(text, _)| text);
    let decision = fields.text("decision");
    let stage = fields.text("stage");
    let expectation = Expectation {
        client: client.map(|(ip, _)| ip),
        client_name: text(&mut fields, "client_name"),
        helo: text(&mut fields, "helo"),
        sender: text(&mut fields, "sender"),
        recipients: fields.texts("recipient").unwrap_or_default().into_iter().map(|(text, _)| text).collect(),
        login: text(&mut fields, "login"),
        port: fields.texts("port").and_then(|all| all.into_iter().next()).map(|(text, _)| text),
        answers: answers(&mut fields, lists),
        act: match decision {
            Some((word, _)) if word == "accept" => None,
            Some((word, place)) => {
                let act = Act::from_word(&word);
                if act.is_none() {
                    let remedy = "choose from accept, reject, tempfail, discard, quarantine, tag, log";
                    fields.fault(&place, "decision", format!("{} is no decision", shown(&word)), remedy);
                }
                act
            }
            None => {
                fields.fault(
                    &place,
                    "decision",
                    "it does not say what must come of it",
                    "add decision = \"accept\" or another",
                );
                None
            }
        },
        stage: stage.and_then(|(word, place)| {
            let stage = word.parse().ok();
            if stage.is_none() {
                let remedy = "choose from connect, helo, mail, rcpt, message";
                fields.fault(&place, "stage", format!("{} is no stage", shown(&word)), remedy);
            }
            stage
        }),
        rule: text(&mut fields, "rule"),
        says: text(&mut fields, "says"),
        name,
        place,
    };
    fields.finish().1.then_some(expectation)
}

/// `answers = { zen = "127.0.0.4", "dbl spam.example" = "127.0.1.2", own = "timeout" }`.
fn answers(fields: &mut Fields<'_>, lists: &[OwnList]) -> Vec<Answered> {
    let Some(node) = fields.node("answers") else { return Vec::new() };
    let place = node.place.clone();
    let Tree::Table(entries) = node.tree else {
        fields.fault(&place, "answers", "it is no table", "write answers = { zen = \"127.0.0.4\" }");
        return Vec::new();
    };
    let mut answers = Vec::new();
    for (key, node) in entries {
        let (name, subject) =
            key.split_once(' ').map_or((&*key, None), |(name, rest)| (name, Some(rest.trim())));
        let Some(list) = list(name, lists) else {
            fields.fault(
                &node.place,
                "answers",
                format!("there is no list {}", shown(name)),
                "name one of the lists",
            );
            continue;
        };
        let texts: Vec<&str> = match &node.tree {
            Tree::Text(text) => vec![text],
            Tree::Array(items) => items
                .iter()
                .filter_map(|item| if let Tree::Text(text) = &item.tree { Some(&**text) } else { None })
                .collect(),
            _ => Vec::new(),
        };
        let answer = match texts[..] {
            ["timeout"] => Some(Err(Trouble::Timeout)),
            ["servfail"] => Some(Err(Trouble::ServFail)),
            ["refused"] => Some(Err(Trouble::Refused)),
            _ => texts.iter().map(|text| text.parse().ok()).collect::<Option<Vec<Ipv4Addr>>>().map(Ok),
        };
        match answer {
            Some(Ok(records)) if records.is_empty() => {
                fields.fault(
                    &node.place,
                    "answers",
                    "it is no answer",
                    "write \"127.0.0.2\", a list of such, or \"timeout\"",
                );
            }
            Some(answer) => answers.push(Answered { list, subject: subject.map(str::to_owned), answer }),
            None => {
                fields.fault(
                    &node.place,
                    "answers",
                    "it is no answer",
                    "write \"127.0.0.2\", a list of such, or \"timeout\"",
                );
            }
        }
    }
    answers
}
