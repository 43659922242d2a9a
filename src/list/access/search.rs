//! One search through a map: which keys are tried, and what the answers mean.
//!
//! Whoever has the map answers key by key, so that it may be in memory or far away; see [`Search::run`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::keys::PARENTS;
use super::{
    Action, Address, Denial, Entry, Form, Host, Key, Keys, Lengths, Map, Owner, Subject, Syntax, Tag, Value,
    keys,
};

/// What holds for all searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Clients on this host.
    pub loopback: Loopback,
    /// Clients that have logged in.
    pub logins: Logins,
    /// Characters that begin the detail of a local part.
    pub detail: Box<str>,
}

/// What clients on this host may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loopback {
    /// Anything, without a look into the map.
    #[default]
    Allowed,
    /// What the map says.
    Searched,
}

/// What a login is worth of which the map says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logins {
    /// It is trusted.
    #[default]
    Trusted,
    /// Nothing.
    Ignored,
}

impl Default for Rules {
    fn default() -> Self {
        Self { loopback: Loopback::default(), logins: Logins::default(), detail: "+".into() }
    }
}

/// What is to become of a client, a message or a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ruling {
    /// The map says nothing.
    #[default]
    Nothing,
    /// Let in without further checks.
    Allow,
    /// Refused.
    Refuse(Denial),
    /// Deferred.
    Defer(Denial),
    /// Accepted and dropped.
    Discard,
    /// To the quarantine, with this reason.
    Quarantine(Box<str>),
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// No key had anything to say.
    Nothing,
    /// The client is on this host.
    Loopback,
    /// The client has logged in, and logins are trusted.
    Login,
    /// This key.
    Hit(Hit),
}

/// The key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The key.
    pub key: Key,
    /// Its line, 0 where there are none.
    pub line: u32,
    /// The pattern that matched, counted from 1; 0 for the word at the end of a list; nothing for a single
    /// action, or where no pattern matched and no word stands at the end.
    pub pattern: Option<usize>,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What is to be done.
    pub ruling: Ruling,
    /// Why.
    pub because: Because,
    /// A recipient that wants all checks, whatever else allows it (`Spam: HATER`).
    pub hater: Option<Hit>,
    /// All keys that were tried, in this order.
    pub chain: Vec<Key>,
}

/// A search, from the first key to the answer.
#[derive(Debug)]
pub struct Search<'a> {
    host: &'a Host,
    detail: &'a str,
    /// Of the sender or recipient, for patterns.
    address: Option<&'a str>,
    parents: usize,
    steps: VecDeque<Step<'a>>,
    /// What holds if the steps about a login lead to nothing.
    login: Option<Ruling>,
    keys: Option<Keys<'a>>,
    asked: Option<Key>,
    tag: Tag,
    answer: Answer,
}

type Step<'a> = (Tag, Subject<'a>, Option<Subject<'a>>);

impl<'a> Search<'a> {
    /// About a client, at CONNECT.
    pub fn connect(host: &'a Host, rules: &'a Rules) -> Self {
        let mut search = Self::new(host, rules, None);
        let local = host.ip().is_some_and(|ip| ip.is_loopback() || ip.is_unspecified());
        if local && rules.loopback == Loopback::Allowed {
            search.answer.ruling = Ruling::Allow;
            search.answer.because = Because::Loopback;
            return search;
        }
        for tag in Owner::ALL.map(Tag::Connect).into_iter().chain([Tag::Bare]) {
            search.add(tag, Subject::Client(host), None);
            search.add(tag, Subject::Name(host), None);
        }
        search
    }

    /// About a sender, at MAIL; `None` is the null sender. A login is looked up first.
    pub fn mail(
        host: &'a Host,
        login: Option<&'a str>,
        sender: Option<&'a Address>,
        rules: &'a Rules,
    ) -> Self {
        let mut search = Self::new(host, rules, Some(sender.map_or("", Address::as_str)));
        if let Some(login) = login.filter(|login| !login.is_empty()) {
            for tag in Owner::ALL.map(Tag::Auth) {
                search.add(tag, Subject::Login(login), None);
            }
            search.login = Some(match rules.logins {
                Logins::Trusted => Ruling::Allow,
                Logins::Ignored => Ruling::Nothing,
            });
        }
        match sender.map(Subject::Mailbox) {
            // Nobody can be told by a null sender; Postfix' maps alone have a key for it.
            None => search.add(Tag::Bare, Subject::Null, None),
            Some(sender) => {
                search.add(Tag::ConnectFrom, Subject::Client(host), Some(sender));
                search.add(Tag::ConnectFrom, Subject::Name(host), Some(sender));
                for tag in Owner::ALL.map(Tag::From).into_iter().chain([Tag::Bare]) {
                    search.add(tag, sender, None);
                }
            }
        }
        search
    }

    /// About a login alone, which counts for nothing unless the map says so. Where the map knows it without a word for or
    /// against it, the key that it was found by is the reason for [`Ruling::Nothing`].
    pub fn login(host: &'a Host, login: &'a str, sender: Option<&'a Address>, rules: &'a Rules) -> Self {
        let mut search = Self::new(host, rules, Some(sender.map_or("", Address::as_str)));
        for tag in Owner::ALL.map(Tag::Auth) {
            search.add(tag, Subject::Login(login), None);
        }
        search.login = Some(Ruling::Nothing);
        search
    }

    /// About a recipient, at RCPT.
    pub fn rcpt(
        host: &'a Host,
        sender: Option<&'a Address>,
        recipient: &'a Address,
        rules: &'a Rules,
    ) -> Self {
        let mut search = Self::new(host, rules, Some(recipient.as_str()));
        let recipient = Subject::Mailbox(recipient);
        search.add(Tag::ConnectTo, Subject::Client(host), Some(recipient));
        search.add(Tag::ConnectTo, Subject::Name(host), Some(recipient));
        if let Some(sender) = sender {
            search.add(Tag::FromTo, Subject::Mailbox(sender), Some(recipient));
        }
        let tags =
            [Tag::To(Owner::Gatepost), Tag::To(Owner::Spamc), Tag::Spam, Tag::To(Owner::Sendmail), Tag::Bare];
        for tag in tags {
            search.add(tag, recipient, None);
        }
        search
    }

    fn new(host: &'a Host, rules: &'a Rules, address: Option<&'a str>) -> Self {
        let answer =
            Answer { ruling: Ruling::Nothing, because: Because::Nothing, hater: None, chain: Vec::new() };
        let (steps, detail) = (VecDeque::with_capacity(8), &*rules.detail);
        Self {
            host,
            detail,
            address,
            parents: PARENTS,
            steps,
            login: None,
            keys: None,
            asked: None,
            tag: Tag::Bare,
            answer,
        }
    }

    fn add(&mut self, tag: Tag, subject: Subject<'a>, second: Option<Subject<'a>>) {
        self.steps.push_back((tag, subject, second));
    }

    /// The same with fewer keys for names of many labels: of a domain itself and of so many parents, those nearest to the
    /// root. For maps where each key takes its time.
    #[must_use]
    pub fn with_parents(mut self, most: usize) -> Self {
        self.parents = most;
        self
    }

    /// The tag of the key that [`Search::next_key`] gave: its value is read by that.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The next key to be looked up, or nothing if the answer is there.
    ///
    /// `has` tells whether a map can have keys with a tag at all, as far as that is known.
    pub fn next_key(&mut self, syntax: Syntax, lengths: Lengths, has: impl Fn(Tag) -> bool) -> Option<&Key> {
        loop {
            if let Some(key) = self.keys.as_mut().and_then(Iterator::next) {
                return Some(self.asked.insert(key));
            }
            self.keys = None;
            if !self.is_about_login() {
                self.end_login();
            }
            let (tag, first, second) = self.steps.pop_front()?;
            // Tags mean nothing in Postfix' maps.
            if has(tag) && (syntax == Syntax::Sendmail || tag == Tag::Bare) {
                self.tag = tag;
                let form = Form { syntax, detail: self.detail, lengths, parents: self.parents };
                self.keys = Some(keys(tag, (first, second), &form));
            }
        }
    }

    /// Whether the next step is about the login.
    fn is_about_login(&self) -> bool {
        matches!(self.steps.front(), Some((Tag::Auth(_), ..)))
    }

    /// A login of which the map says nothing. If it is trusted, that is the end.
    fn end_login(&mut self) {
        if self.login.take() == Some(Ruling::Allow) {
            self.answer.ruling = Ruling::Allow;
            self.answer.because = Because::Login;
            self.steps.clear();
        }
    }

    /// Takes what the map has for the key that [`Search::next_key`] gave.
    pub fn answer(&mut self, entry: Option<Entry>) {
        let Some(key) = self.asked.take() else { return };
        let Some(entry) = entry else { return self.answer.chain.push(key) };
        self.answer.chain.push(key.clone());
        self.keys = None;
        let mut hit = Hit { key, line: entry.line, pattern: None };
        let action = match &entry.value {
            Value::Action(action) => Some(action),
            Value::Patterns(patterns) => {
                let texts = if self.tag.names_address_only() { Vec::new() } else { self.host.texts() };
                let texts: Vec<&str> = texts.iter().map(String::as_str).chain(self.address).collect();
                let found = patterns.decide(self.host.ip(), &texts);
                hit.pattern = found.map(|found| found.pattern);
                found.map(|found| found.action)
            }
        };
        self.act(action, hit);
    }

    fn act(&mut self, action: Option<&Action>, hit: Hit) {
        let ruling = match (action, self.tag) {
            (Some(Action::Hater), Tag::Spam) => return self.answer.hater = Some(hit),
            (Some(Action::Friend), Tag::Spam) => Ruling::Allow,
            // After `Spam:` no other word means anything.
            (Some(Action::Next), _) | (_, Tag::Spam) => return,
            (Some(Action::Allow | Action::Friend), _) => Ruling::Allow,
            (Some(Action::Hater), _) => Ruling::Refuse(Denial::refusal()),
            (Some(Action::Refuse(denial)), _) => Ruling::Refuse(denial.clone()),
            (Some(Action::Defer(denial)), _) => Ruling::Defer(denial.clone()),
            (Some(Action::Discard), _) => Ruling::Discard,
            (Some(Action::Quarantine(reason)), _) => Ruling::Quarantine(reason.clone()),
            (None | Some(Action::Skip | Action::Idle(_)), _) => Ruling::Nothing,
        };
        if self.login.take().is_some() && ruling == Ruling::Nothing {
            // The map knows the login and does not vouch for it; what it says of the sender still holds.
            self.answer.because = Because::Hit(hit);
            while self.is_about_login() {
                self.steps.pop_front();
            }
            return;
        }
        self.answer.ruling = ruling;
        self.answer.because = Because::Hit(hit);
        self.steps.clear();
    }

    /// The answer, when there is no next key.
    pub fn finish(self) -> Answer {
        self.answer
    }

    /// The whole search in a map in memory.
    pub fn run(mut self, map: &Map) -> Answer {
        while let Some(key) = self.next_key(map.syntax(), map.lengths(), |tag| map.has(tag)) {
            let entry = map.get(key);
            self.answer(entry);
        }
        self.finish()
    }
}

impl Tag {
    /// Whether patterns are about an address alone, and not about the client.
    fn names_address_only(self) -> bool {
        !matches!(self, Self::Connect(_) | Self::ConnectFrom | Self::ConnectTo)
    }
}
