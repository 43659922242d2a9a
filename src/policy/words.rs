//! The words of a decision: replies and header fields, with the values of their variables.

use super::{Look, Policy, SCORE, Tag, Template, Variable};
use crate::smtp::{Dialog, Mailbox, Reply, Stage};
use crate::verdict::{Act, Finding, HeaderName, Outcome};

impl Policy {
    /// The header fields that the rules in force add.
    pub(super) fn fields(&self, look: &Look<'_>, score: i32) -> Vec<(HeaderName, String)> {
        let mut fields: Vec<(HeaderName, String)> = Vec::new();
        let mut add = |tag: &Tag, rule: &str, finding| {
            let value = tag.render(|variable| self.value(look, variable, rule, finding, score));
            let field = (tag.name().clone(), value);
            if !fields.contains(&field) {
                fields.push(field);
            }
        };
        for fired in look.fired.iter().filter(|fired| self.is_in_force(fired.rule, false)) {
            let rule = &self.rules[fired.rule];
            if rule.effect.act == Some(Act::Tag) && self.spared_by(look, *fired, false).is_none() {
                let tag = rule.effect.tag.as_ref().unwrap_or(&self.replies.tag);
                add(tag, &rule.name, look.finding(fired.finding));
            }
        }
        if !self.observe && self.score.thresholds.iter().any(|(from, act)| *act == Act::Tag && score >= *from)
        {
            add(self.score.tag.as_ref().unwrap_or(&self.replies.tag), SCORE, None);
        }
        fields
    }

    /// The words of something that is said beside the lists, by whom.
    pub fn words(&self, template: &Template, by: &str, stage: Stage, dialog: &Dialog) -> Reply {
        let (fired, missed, proven) = (Vec::new(), Vec::new(), Vec::new());
        let look = Look { findings: &[], fired, missed, proven, stage, dialog };
        self.render(&look, template, by, None, 0)
    }

    pub(super) fn render(
        &self,
        look: &Look<'_>,
        template: &Template,
        rule: &str,
        finding: Option<&Finding>,
        score: i32,
    ) -> Reply {
        let rendered = template.render(|variable| self.value(look, variable, rule, finding, score));
        rendered.unwrap_or_else(|_| self.replies.fallback(template.is_temporary()))
    }

    fn value(
        &self,
        look: &Look<'_>,
        variable: Variable,
        rule: &str,
        finding: Option<&Finding>,
        score: i32,
    ) -> String {
        let of_finding =
            |text: fn(&Self, &Finding) -> String| finding.map_or_else(String::new, |f| text(self, f));
        match variable {
            Variable::Ip => look.dialog.client.to_string(),
            Variable::Domain => of_finding(|_, finding| finding.subject.to_string()),
            Variable::Zone => of_finding(|_, finding| finding.list.title().to_owned()),
            Variable::List => of_finding(|policy, finding| policy.part(finding).to_owned()),
            Variable::Code => of_finding(|_, finding| match finding.outcome {
                Outcome::Hit(codes) => finding.list.shown(codes),
                _ => String::new(),
            }),
            Variable::Stage => look.stage.name().to_owned(),
            Variable::Host => {
                let host = look.dialog.macros.find("j");
                host.map(|host| String::from_utf8_lossy(host).into_owned()).unwrap_or_default()
            }
            Variable::Rule => rule.to_owned(),
            Variable::Score => score.to_string(),
            Variable::Text => of_finding(|_, finding| finding.text.as_deref().unwrap_or_default().to_owned()),
            Variable::Sender => {
                let message = look.dialog.transaction.as_ref();
                message.map_or_else(String::new, |message| shown(&message.sender))
            }
            Variable::Recipient => {
                let message = look.dialog.transaction.as_ref().filter(|_| look.stage >= Stage::Rcpt);
                let recipient = message.and_then(|message| message.recipients.last());
                recipient.map_or_else(String::new, |recipient| shown(&recipient.address))
            }
        }
    }
}

/// Longest address in a reply, in octets: the longest that SMTP has (RFC 5321, section 4.5.3.1.3). What a client types is
/// not given back to it in dozens of lines.
const ADDRESS: usize = 256;

/// An address of the envelope as replies show it.
fn shown(argument: &[u8]) -> String {
    let mut address = Mailbox::parse(argument).map_or_else(|| "<>".to_owned(), |mailbox| mailbox.address());
    if address.len() > ADDRESS {
        address.truncate(address.floor_char_boundary(ADDRESS - 3));
        address.push_str("...");
    }
    address
}
