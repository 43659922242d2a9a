//! From findings to a decision, and the words of every reply. Pure.
//!
//! Never looks anything up, never waits; the same findings always give the same decision.

mod replies;
mod template;

use crate::smtp::{Dialog, Reply, Stage};
use crate::verdict::{Codes, Decision, Finding, List, Outcome, Verdict};

pub use replies::{Replies, ReplyStyle};
pub use template::{BadTemplate, Template, Variable};

/// What a listing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The mail is refused for good.
    Refuse,
    /// The client is told to come again.
    Defer,
}

/// What becomes of mail while a list cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTrouble {
    /// It comes in unchecked.
    LetIn,
    /// The client is told to come again.
    Defer,
}

/// What one list can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The codes that do something; others are logged only.
    pub codes: Codes,
    /// What they do.
    pub act: Act,
    /// What becomes of mail while the list cannot be reached.
    pub on_trouble: OnTrouble,
}

/// The policy: a rule for each list, and words for each case.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The rule for ZEN.
    pub zen: Rule,
    /// The rule for DBL.
    pub dbl: Rule,
    /// The rule for ZRD.
    pub zrd: Rule,
    /// The words.
    pub replies: Replies,
}

/// What the policy makes of a single finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opinion {
    /// Nothing against the mail.
    Harmless,
    /// Listed, but with codes that do nothing: worth a line in the log.
    Noted,
    /// A reason to come again later.
    Defer,
    /// A reason to refuse.
    Refuse,
}

/// A decision and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What is to be answered.
    pub decision: Decision,
    /// The finding that decided, by its place.
    pub cause: Option<usize>,
}

impl Policy {
    /// Decides on findings that come in the order of the session: client, HELO name, sender.
    ///
    /// The strongest reason wins, among equal ones the first; there is one reply. The dialog is for replies
    /// that mention the client's address or the mail server's own name.
    pub fn decide<'f>(
        &self,
        findings: impl IntoIterator<Item = &'f Finding>,
        stage: Stage,
        dialog: &Dialog,
    ) -> Judgement {
        let mut worst: Option<(usize, Opinion, &Finding)> = None;
        for (place, finding) in findings.into_iter().enumerate() {
            let opinion = self.weigh(finding);
            if opinion >= Opinion::Defer && worst.is_none_or(|(_, worse, _)| opinion > worse) {
                worst = Some((place, opinion, finding));
            }
        }
        let Some((place, opinion, finding)) = worst else {
            return Judgement { decision: Decision::default(), cause: None };
        };
        let reply = self.reply(finding, stage, dialog);
        let verdict = if opinion == Opinion::Refuse { Verdict::Refuse(reply) } else { Verdict::Defer(reply) };
        Judgement { decision: verdict.into(), cause: Some(place) }
    }

    /// What is to be thought of one finding.
    pub fn weigh(&self, finding: &Finding) -> Opinion {
        let rule = self.rule(finding.list);
        match finding.outcome {
            Outcome::Hit(codes) if codes.and(rule.codes).is_empty() => Opinion::Noted,
            Outcome::Hit(_) if rule.act == Act::Refuse => Opinion::Refuse,
            Outcome::Hit(_) => Opinion::Defer,
            Outcome::Unknown(trouble) if trouble.is_transport() && rule.on_trouble == OnTrouble::Defer => {
                Opinion::Defer
            }
            Outcome::Unknown(_) | Outcome::Clear | Outcome::Trusted(_) | Outcome::Skipped(_) => {
                Opinion::Harmless
            }
        }
    }

    /// The part of the list that decided, as the log and replies name it.
    pub fn part(&self, finding: &Finding) -> &'static str {
        match finding.outcome {
            Outcome::Hit(codes) => {
                let acting = codes.and(self.rule(finding.list).codes);
                finding.list.part(if acting.is_empty() { codes } else { acting })
            }
            _ => finding.list.title(),
        }
    }

    fn rule(&self, list: List) -> &Rule {
        match list {
            List::Zen => &self.zen,
            List::Dbl => &self.dbl,
            List::Zrd => &self.zrd,
        }
    }

    fn reply(&self, finding: &Finding, stage: Stage, dialog: &Dialog) -> Reply {
        let rule = self.rule(finding.list);
        let template = self.replies.choose(finding, rule.act);
        let codes = match finding.outcome {
            Outcome::Hit(codes) => codes.to_string(),
            _ => String::new(),
        };
        let rendered = template.render(|variable| match variable {
            Variable::Ip => dialog.client.to_string(),
            Variable::Domain => finding.subject.to_string(),
            Variable::Zone => finding.list.title().to_owned(),
            Variable::List => self.part(finding).to_owned(),
            Variable::Code => codes.clone(),
            Variable::Stage => stage.name().to_owned(),
            Variable::Host => dialog
                .macros
                .find("j")
                .map(|host| String::from_utf8_lossy(host).into_owned())
                .unwrap_or_default(),
        });
        rendered.unwrap_or_else(|_| self.replies.fallback(template.is_temporary()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::Client;
    use crate::verdict::{Identity, Origin, Trouble};
    use std::time::Duration;

    fn policy() -> Policy {
        let rule = |codes, act| Rule { codes, act, on_trouble: OnTrouble::LetIn };
        Policy {
            zen: rule(Codes::of(0, [2, 3, 4, 9, 10, 11]), Act::Refuse),
            dbl: rule(Codes::of(1, 2..=99), Act::Refuse),
            zrd: rule(Codes::of(2, 2..=24), Act::Refuse),
            replies: Replies::new(ReplyStyle::Own),
        }
    }

    fn finding(list: List, identity: Identity, subject: &str, outcome: Outcome) -> Finding {
        let (origin, waited) = (Origin::Miss, Duration::ZERO);
        Finding { list, identity, subject: subject.into(), trimmed: 0, outcome, origin, waited }
    }

    fn hit(list: List, identity: Identity, codes: &[u8]) -> Finding {
        let group = List::ALL.iter().position(|&each| each == list).expect("a list");
        let codes = Codes::of(u8::try_from(group).expect("small"), codes.iter().copied());
        finding(list, identity, "spam.example", Outcome::Hit(codes))
    }

    fn said(policy: &Policy, findings: &[Finding]) -> Option<String> {
        let dialog = Dialog { client: Client::Ip([192, 0, 2, 7].into()), ..Dialog::default() };
        match policy.decide(findings, Stage::Mail, &dialog).decision.verdict {
            Verdict::Continue => None,
            Verdict::Refuse(reply) | Verdict::Defer(reply) => Some(reply.to_string()),
            other => panic!("{other:?}"),
        }
    }

    // case: Z01, Z02, Z03, Z04
    #[test]
    fn zen_refuses_by_the_codes_of_the_administrator() {
        let mut policy = policy();
        for code in [2, 3, 4, 9, 10, 11] {
            assert!(said(&policy, &[hit(List::Zen, Identity::Client, &[code])]).is_some(), "{code}");
        }
        for code in [5, 6, 7, 30] {
            let noted = hit(List::Zen, Identity::Client, &[code]);
            assert_eq!(said(&policy, std::slice::from_ref(&noted)), None, "{code}");
            assert_eq!(policy.weigh(&noted), Opinion::Noted);
            policy.zen.codes.insert(code);
            assert_eq!(policy.weigh(&noted), Opinion::Refuse);
        }
        policy.zen.codes = Codes::of(0, [4]);
        assert!(said(&policy, &[hit(List::Zen, Identity::Client, &[10, 4, 3])]).is_some());
        policy.zen.codes = Codes::of(0, [2, 3, 4, 9]);
        assert_eq!(said(&policy, &[hit(List::Zen, Identity::Client, &[10])]), None);
    }

    // case: Z05, Z06, Z08, H12
    #[test]
    fn dbl_refuses_the_bad_and_spares_the_abused() {
        let policy = policy();
        for code in [2, 4, 5, 6, 99] {
            assert!(said(&policy, &[hit(List::Dbl, Identity::Sender, &[code])]).is_some(), "{code}");
        }
        for code in [100, 101, 102, 103, 104, 105, 106, 199, 254] {
            assert_eq!(said(&policy, &[hit(List::Dbl, Identity::Helo, &[code])]), None, "{code}");
        }
        for code in [2, 24] {
            assert!(said(&policy, &[hit(List::Zrd, Identity::Sender, &[code])]).is_some(), "{code}");
        }
    }

    // case: Z18, R01, R02, R03
    #[test]
    fn there_is_one_reply_and_the_first_of_the_strongest_reasons_gives_it() {
        let mut policy = policy();
        let both = [hit(List::Dbl, Identity::Sender, &[4]), hit(List::Zrd, Identity::Sender, &[2])];
        let dbl = "550 5.7.1 Sender domain spam.example blocked by Spamhaus DBL; \
                   see https://check.spamhaus.org/query/domain/spam.example";
        assert_eq!(said(&policy, &both).as_deref(), Some(dbl));
        let zrd = "550 5.7.1 Sender domain spam.example is newly observed (no reputation yet); \
                   try again after 24 hours";
        assert_eq!(said(&policy, &both[1..]).as_deref(), Some(zrd));
        policy.zrd.act = Act::Defer;
        let deferred = zrd.replacen("550 5.7.1", "450 4.7.1", 1);
        assert_eq!(said(&policy, &both[1..]).as_deref(), Some(&*deferred));
        let helo_young = hit(List::Zrd, Identity::Helo, &[2]);
        assert_eq!(
            said(&policy, &[helo_young, both[0].clone()]).as_deref(),
            Some(dbl),
            "refusing is stronger"
        );
        let mut client = hit(List::Zen, Identity::Client, &[10, 4]);
        client.subject = "192.0.2.7".into();
        let zen = "554 5.7.1 Client host [192.0.2.7] blocked by Spamhaus XBL; \
                   see https://check.spamhaus.org/query/ip/192.0.2.7";
        assert_eq!(said(&policy, &[client, both[0].clone()]).as_deref(), Some(zen));
    }

    #[test]
    fn trouble_lets_mail_in_unless_the_administrator_wants_otherwise() {
        let mut policy = policy();
        let transport =
            [Trouble::Timeout, Trouble::ServFail, Trouble::Refused, Trouble::Network, Trouble::Resting];
        let operator = [Trouble::Service(250), Trouble::Bogus, Trouble::Misuse, Trouble::NoKey];
        for trouble in transport.into_iter().chain(operator) {
            let unknown = finding(List::Zen, Identity::Client, "192.0.2.7", Outcome::Unknown(trouble));
            policy.zen.on_trouble = OnTrouble::LetIn;
            assert_eq!(said(&policy, std::slice::from_ref(&unknown)), None);
            policy.zen.on_trouble = OnTrouble::Defer;
            let reply = said(&policy, std::slice::from_ref(&unknown));
            if transport.contains(&trouble) {
                assert_eq!(reply.as_deref(), Some("451 4.7.1 Temporary lookup failure, try again later"));
            } else {
                assert_eq!(reply, None, "{trouble:?} is the operator's business");
            }
        }
    }
}
