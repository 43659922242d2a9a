//! `gatepost lookup`: asks the lists as the daemon would, and explains every answer.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::args;
use crate::check::Target;
use crate::config::{Config, Sources};
use crate::daemon::Exit;
use crate::dns::{Answer, Dns, Source, Subject};
use crate::gate::Rules;
use crate::smtp::{Domain, Mailbox, ReversePath, canonical, is_special, printable};
use crate::verdict::{Finding, Identity, Kind, List, Origin, Outcome, Trouble};

/// Longest subject shown.
const SHOWN: usize = 256;

pub(super) fn run(sources: &Sources, what: &args::Lookup) -> Exit {
    let Some(config) = super::load(sources) else { return Exit::Config };
    let Some(tables) = super::tables(&config) else { return Exit::Config };
    let subjects: Vec<(&str, Result<Subject, &'static str>)> =
        what.subjects.iter().map(|text| (text.as_str(), subject(text))).collect();
    for (text, unusable) in
        subjects.iter().filter_map(|(text, subject)| Some((text, subject.as_ref().err()?)))
    {
        eprintln!("{}: {unusable}", printable(text.as_bytes(), SHOWN));
    }
    if subjects.iter().any(|(_, subject)| subject.is_err()) {
        return Exit::Usage;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::Unavailable;
    };
    runtime.block_on(async {
        let dns = Dns::new((&config).into(), config.key.clone(), Source::Resolver);
        let rules = Rules::new(&config, &tables);
        let mut exit = Exit::Ok;
        for (text, subject) in subjects {
            let Ok(subject) = subject else { continue };
            let in_files = look_up(&rules, &dns, text, &subject);
            for line in ask(&dns, &config, &subject).await.into_iter().chain(in_files) {
                exit = line.exit(exit);
                if what.json { println!("{}", line.json(text, &rules)) } else { line.print(text, &rules) }
            }
        }
        exit
    })
}

/// An address, the domain of a mailbox, or a domain.
fn subject(text: &str) -> Result<Subject, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Subject::Ip(canonical(ip)));
    }
    if text.contains('@') {
        return match ReversePath::parse(text.as_bytes()) {
            ReversePath::Domain { domain, .. } => Ok(Subject::Domain(domain)),
            _ => Err("the mailbox has no domain that a list could know"),
        };
    }
    // Test entries such as `test` are single labels: here they may be asked about.
    Domain::from_setting(text)
        .map(Subject::Domain)
        .map_err(|_| "neither an address nor a domain nor a mailbox")
}

async fn ask(dns: &Arc<Dns>, config: &Config, subject: &Subject) -> Vec<Line> {
    let kind = match subject {
        Subject::Ip(_) => Kind::Address,
        Subject::Domain(_) | Subject::Mailbox(_) => Kind::Domain,
    };
    let lists = [List::ZEN, List::DBL, List::ZRD].into_iter().filter(|list| list.kind() == kind);
    let deadline = Instant::now() + config.dns_lifetime;
    let mut tickets: Vec<_> = lists.map(|list| (list, dns.ask(list, subject.clone()))).collect();
    let mut lines = Vec::new();
    for (list, ticket) in &mut tickets {
        let answer = ticket.wait(deadline).await.answer;
        let subject = match subject {
            Subject::Domain(domain) => Subject::Domain(dns.fit(*list, domain)),
            other => other.clone(),
        };
        let special = matches!(subject, Subject::Ip(ip) if is_special(ip));
        lines.push(Line { list: *list, subject: subject.to_string(), answer, special });
    }
    lines
}

/// What the lists in files say that know such a subject; of a mailbox also those of mailboxes.
fn look_up(rules: &Rules, dns: &Arc<Dns>, text: &str, subject: &Subject) -> Vec<Line> {
    let target = match subject {
        Subject::Ip(ip) => Target::Ip(*ip),
        Subject::Domain(domain) => {
            let mailbox = if text.contains('@') { Mailbox::parse(text.as_bytes()) } else { None };
            Target::Domain { domain: domain.clone(), trimmed: 0, mailbox }
        }
        Subject::Mailbox(_) => return Vec::new(),
    };
    let files = rules.checks.iter().filter(|check| check.table.is_some());
    let found = files.filter_map(|check| {
        let inquiry = check.begin(check.identities.iter().next()?, &target, None, dns);
        let finding = inquiry.finding();
        let answer = match finding.outcome {
            Outcome::Hit(codes) => Answer::Listed(codes),
            Outcome::Clear => Answer::NotListed,
            _ => return None,
        };
        Some(Line { list: check.list, subject: finding.subject.to_string(), answer, special: false })
    });
    found.collect()
}

/// What one list says about one subject.
struct Line {
    list: List,
    subject: String,
    answer: Answer,
    special: bool,
}

impl Line {
    fn exit(&self, so_far: Exit) -> Exit {
        match (self.answer, so_far) {
            (Answer::Listed(_), _) | (_, Exit::Listed) => Exit::Listed,
            (Answer::Failed(_), _) => Exit::Unknown,
            (Answer::NotListed, so_far) => so_far,
        }
    }

    fn print(&self, text: &str, rules: &Rules) {
        let text = printable(text.as_bytes(), SHOWN);
        let asked = if text == self.subject { String::new() } else { format!(" ({})", self.subject) };
        let title = self.list.title();
        match self.answer {
            Answer::NotListed => println!("{text}{asked}: not listed in {title}"),
            Answer::Failed(trouble) => {
                println!("{text}{asked}: {title} could not tell: {}", explain(trouble));
            }
            Answer::Listed(codes) => {
                println!("{text}{asked}: listed in {title}, {}", self.consequence(rules));
                for code in codes.iter() {
                    println!("  {}  {}", self.code(code), self.list.meaning(code));
                }
            }
        }
        if self.special {
            println!("  a special-purpose address: the daemon does not ask about such a client");
        }
    }

    fn json(&self, text: &str, rules: &Rules) -> Value {
        let (result, codes, trouble) = match self.answer {
            Answer::NotListed => ("not-listed", Vec::new(), None),
            Answer::Failed(trouble) => ("unknown", Vec::new(), Some(trouble.name())),
            Answer::Listed(codes) => {
                let each = codes
                    .iter()
                    .map(|code| json!({"code": self.code(code), "meaning": self.list.meaning(code)}));
                ("listed", each.collect(), None)
            }
        };
        json!({
            "query": text, "subject": self.subject, "list": self.list.name(), "result": result,
            "codes": codes, "action": self.consequence(rules), "trouble": trouble, "special": self.special,
        })
    }

    fn code(&self, code: u8) -> String {
        let mut one = self.list.no_codes();
        one.insert(code);
        self.list.shown(one)
    }

    /// What the policy makes of it for a client, or for the sender of a message.
    fn consequence(&self, rules: &Rules) -> &'static str {
        let outcome = match self.answer {
            Answer::Listed(codes) => Outcome::Hit(codes),
            Answer::NotListed => Outcome::Clear,
            Answer::Failed(trouble) => Outcome::Unknown(trouble),
        };
        let identity = if self.list.kind() == Kind::Address { Identity::Client } else { Identity::Sender };
        let finding = Finding {
            list: self.list,
            identity,
            subject: self.subject.as_str().into(),
            trimmed: 0,
            outcome,
            text: None,
            origin: Origin::None,
            waited: std::time::Duration::ZERO,
        };
        super::action(rules, &finding)
    }
}

/// Trouble in words, with what to do.
pub(super) fn explain(trouble: Trouble) -> String {
    match trouble {
        Trouble::Timeout => "no answer in time; is the name server running?".to_owned(),
        Trouble::ServFail => {
            "the name server failed (SERVFAIL); the service may not be part of your plan".to_owned()
        }
        Trouble::Refused => "the name server refused the question".to_owned(),
        Trouble::Network => "the name server cannot be reached, or its answer cannot be read".to_owned(),
        Trouble::Service(code) => format!("the list reports: {}", service(code)),
        Trouble::Bogus => {
            "the answer is none of the list's; a resolver on the way rewrites answers".to_owned()
        }
        Trouble::Declined => "the list says that it does not answer this host".to_owned(),
        Trouble::Misuse => "the list does not take this kind of question".to_owned(),
        Trouble::Busy => "too many questions at once".to_owned(),
        Trouble::Resting => "the list is not asked for a while, after trouble with it".to_owned(),
        Trouble::NoKey => "there is no key; set SPAMHAUS_DQS_API_KEY or key.file".to_owned(),
    }
}

fn service(code: u8) -> String {
    let meaning = match code {
        250 => "the key is disabled",
        251 => "the key is used against its terms",
        252 => "the zone name is wrong",
        254 => "asked through an open or public resolver",
        255 => "too many questions for this key",
        _ => "an operator message",
    };
    format!("127.255.255.{code}, {meaning}")
}
