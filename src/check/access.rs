//! What access maps say of a client, a sender and a recipient.
//!
//! Several maps are asked one after the other until one of them says something. What they say together about a session is
//! known to [`Standing`](crate::list::access::Standing); nothing is decided here.

use tokio::time::Instant;

use crate::list::access::{Address, Answer, Because, Heard, Hit, Host, Logins, Rules, Ruling, Search};
use crate::smtp::{Dialog, printable};
use crate::source::{Map, Unanswered};

/// Longest key that is shown as evidence, in characters: those of two addresses and their tags.
const KEY: usize = 200;

/// Access maps, and what holds for all searches in them.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The maps, in the order in which they are asked.
    pub maps: Vec<Map>,
    /// What holds for all of them.
    pub rules: Rules,
}

/// What maps say about a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfRecipient {
    /// What is to be done.
    pub heard: Heard,
    /// The evidence that it wants all checks (`Spam: HATER`), if it does.
    pub hater: Option<Box<str>>,
}

/// What maps say, as far as they could be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told<T> {
    /// As if those that gave no answer said nothing.
    pub said: T,
    /// The first that gave none, and why.
    pub trouble: Option<Unanswered>,
}

impl<T> Told<T> {
    fn map<U>(self, of: impl FnOnce(T) -> U) -> Told<U> {
        Told { said: of(self.said), trouble: self.trouble }
    }
}

impl Access {
    /// What the maps say about the client. The time until `end` is that of the whole step of the session, here and below.
    pub async fn connect(&self, dialog: &Dialog, end: Instant) -> Told<Heard> {
        let host = host(dialog);
        self.ask(|| Search::connect(&host, &self.rules), end).await.map(|told| told.heard)
    }

    /// What the maps say about the sender; a login is looked up first.
    pub async fn mail(&self, dialog: &Dialog, end: Instant) -> Told<Heard> {
        let (host, sender) = (host(dialog), sender(dialog));
        let login = dialog.macros.find("{auth_authen}").filter(|authen| dialog.is_login(Some(authen)));
        let mut before = None;
        if let Some(login) = login {
            let login = String::from_utf8_lossy(login);
            let search = || Search::login(&host, &login, sender.as_ref(), &self.rules);
            let Told { said: OfRecipient { heard, .. }, trouble } = self.ask(search, end).await;
            if heard.ruling != Ruling::Nothing {
                return Told { said: heard, trouble };
            }
            // A login that a map knows is as good as the map says.
            if heard.because.is_empty() && self.rules.logins == Logins::Trusted {
                let said = Heard { ruling: Ruling::Allow, because: "the client has logged in".into() };
                return Told { said, trouble };
            }
            before = trouble;
        }
        let told = self.ask(|| Search::mail(&host, None, sender.as_ref(), &self.rules), end).await;
        Told { said: told.said.heard, trouble: before.or(told.trouble) }
    }

    /// What the maps say about the recipient in question.
    pub async fn rcpt(&self, dialog: &Dialog, end: Instant) -> Told<OfRecipient> {
        let message = dialog.transaction.as_ref();
        let recipient = message.and_then(|message| message.recipients.last());
        let Some(recipient) = recipient.and_then(|recipient| Address::parse(&recipient.address)) else {
            return Told::default();
        };
        let (host, sender) = (host(dialog), sender(dialog));
        self.ask(|| Search::rcpt(&host, sender.as_ref(), &recipient, &self.rules), end).await
    }

    /// Asks one map after the other, until one of them says something. All of them have the same time together.
    async fn ask<'a>(&self, search: impl Fn() -> Search<'a>, end: Instant) -> Told<OfRecipient> {
        let (mut told, mut trouble) = (OfRecipient::default(), None);
        for map in &self.maps {
            let answer = match map.search_until(search(), end).await {
                Ok(answer) => answer,
                Err(unanswered) => {
                    trouble = trouble.or(Some(unanswered));
                    continue;
                }
            };
            if told.hater.is_none() {
                told.hater = answer.hater.as_ref().map(|hit| evidence(map, hit));
            }
            let because = because(map, &answer);
            if answer.ruling != Ruling::Nothing {
                told.heard = Heard { ruling: answer.ruling, because };
                break;
            }
            if told.heard.because.is_empty() {
                told.heard.because = because;
            }
        }
        Told { said: told, trouble }
    }
}

/// The evidence for an answer, for the log; empty if there is none.
pub fn because(map: &Map, answer: &Answer) -> Box<str> {
    match &answer.because {
        Because::Nothing => Box::default(),
        Because::Loopback => "the client is on this host".into(),
        Because::Login => "the client has logged in".into(),
        Because::Hit(hit) => evidence(map, hit),
    }
}

/// `connect:192.0.2 in /etc/mail/access:14`, and the pattern if there are several.
fn evidence(map: &Map, hit: &Hit) -> Box<str> {
    let key = printable(hit.key.as_str().as_bytes(), KEY);
    let pattern = match hit.pattern {
        None => String::new(),
        Some(0) => ", the word at the end".to_owned(),
        Some(number) => format!(", pattern {number}"),
    };
    format!("{key} in {}{pattern}", map.line(hit.line)).into()
}

fn host(dialog: &Dialog) -> Host {
    Host::new(dialog.client.ip(), &dialog.client_name)
}

fn sender(dialog: &Dialog) -> Option<Address> {
    Address::parse(&dialog.transaction.as_ref()?.sender)
}
