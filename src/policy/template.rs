//! SMTP reply texts with variables, as an administrator writes them.

use crate::smtp::{BadReply, Reply};

/// Longest template in octets, before its variables are filled in.
const LONGEST: usize = 400;

/// A piece of the conversation that a reply text can mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// `{ip}`: the client's address.
    Ip,
    /// `{domain}`: the listed domain, as A-labels.
    Domain,
    /// `{zone}`: the list's name as people write it; never the queried zone.
    Zone,
    /// `{list}`: the part of the list that knows the subject, such as SBL or PBL.
    List,
    /// `{code}`: the return codes.
    Code,
    /// `{stage}`: the stage at which the reply is given.
    Stage,
    /// `{host}`: the name of the mail server.
    Host,
    /// `{rule}`: the name of the rule that decided.
    Rule,
    /// `{score}`: the sum of all rules that count.
    Score,
    /// `{text}`: what a list in a file says about its entry.
    Text,
    /// `{sender}`: the sender's address.
    Sender,
    /// `{recipient}`: the address of the recipient in question.
    Recipient,
}

impl Variable {
    /// All variables.
    pub const ALL: [Self; 12] = [
        Self::Ip,
        Self::Domain,
        Self::Zone,
        Self::List,
        Self::Code,
        Self::Stage,
        Self::Host,
        Self::Rule,
        Self::Score,
        Self::Text,
        Self::Sender,
        Self::Recipient,
    ];

    /// The name between the braces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Domain => "domain",
            Self::Zone => "zone",
            Self::List => "list",
            Self::Code => "code",
            Self::Stage => "stage",
            Self::Host => "host",
            Self::Rule => "rule",
            Self::Score => "score",
            Self::Text => "text",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
        }
    }
}

/// A reply with variables: `550 5.7.1 {domain} is listed in {list}`.
///
/// It holds code, enhanced code and one line of printable ASCII; whatever its variables become, it
/// renders to a legal reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    code: u16,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// The reply itself is wrong.
    #[error("{0}")]
    Reply(#[from] BadReply),
    /// Braces are not balanced, or nested.
    #[error("a brace has no partner")]
    Brace,
    /// A name between braces is none of [`Variable::ALL`].
    #[error("there is no variable {{{0}}}")]
    Variable(String),
    /// Characters that cannot stand in a line of a reply or of a header field.
    #[error("it may hold printable ASCII on one line only")]
    Character,
    /// So many octets, and more than there may be.
    #[error("it is {0} octets long and may have {1}")]
    Length(usize, usize),
}

impl Template {
    /// Reads and checks a template.
    ///
    /// # Errors
    /// See [`BadTemplate`].
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(BadTemplate::Length(text.len(), LONGEST));
        }
        if !text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
            return Err(BadTemplate::Character);
        }
        let sample: Reply = fill(text, |_| "x".to_owned())?.parse()?;
        Ok(Self { text: text.to_owned(), code: sample.code() })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same words as a deferral: 450, and 4 in the enhanced code.
    #[must_use]
    pub fn as_deferral(&self) -> Self {
        if self.is_temporary() {
            return self.clone();
        }
        let words = self.text.get(3..).unwrap_or_default().replacen(" 5.", " 4.", 1);
        Self { text: format!("450{words}"), code: 450 }
    }

    /// Whether the client may try again (4yz).
    pub fn is_temporary(&self) -> bool {
        self.code < 500
    }

    /// The reply, with `value` asked for each variable.
    ///
    /// # Errors
    /// None with a template that [`Template::parse`] accepted, as long as its text is more than
    /// variables that are all empty.
    pub fn render(&self, value: impl Fn(Variable) -> String) -> Result<Reply, BadReply> {
        // Line feeds in a value would begin a new line of the reply.
        let safe = |variable| value(variable).replace(|c: char| c.is_ascii_control(), "?");
        fill(&self.text, safe).unwrap_or_default().parse()
    }
}

/// Checks the variables of a text.
pub(super) fn variables(text: &str) -> Result<(), BadTemplate> {
    fill(text, |_| String::new()).map(|_| ())
}

pub(super) fn fill(text: &str, value: impl Fn(Variable) -> String) -> Result<String, BadTemplate> {
    let mut filled = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (plain, braced) = rest.split_at(at);
        filled.push_str(plain);
        let inside = braced.strip_prefix('{').ok_or(BadTemplate::Brace)?;
        let (name, tail) = inside.split_once('}').ok_or(BadTemplate::Brace)?;
        if name.contains('{') {
            return Err(BadTemplate::Brace);
        }
        let variable = Variable::ALL.into_iter().find(|variable| variable.name() == name);
        filled.push_str(&value(variable.ok_or_else(|| BadTemplate::Variable(name.to_owned()))?));
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_and_cannot_break_out_of_the_line() {
        let template = Template::parse("550 5.7.1 {domain} is in {list} 100%").expect("a template");
        let reply = template
            .render(|variable| match variable {
                Variable::Domain => "spam.example\r\n250 ok".to_owned(),
                _ => "DBL".to_owned(),
            })
            .expect("a reply");
        assert_eq!(reply.to_string(), "550 5.7.1 spam.example??250 ok is in DBL 100%");
        assert_eq!(Template::parse(template.as_str()), Ok(template));
    }

    #[test]
    fn a_refusal_and_a_deferral_have_the_same_words() {
        for (text, is_temporary, deferral) in [
            ("500 5.5.2 what 5.5.2", false, "450 4.5.2 what 5.5.2"),
            ("599 5.7.1 no", false, "450 4.7.1 no"),
            ("421 4.3.2 later", true, "421 4.3.2 later"),
            ("499 4.7.1 later", true, "499 4.7.1 later"),
        ] {
            let template = Template::parse(text).expect("a template");
            assert_eq!((template.is_temporary(), template.as_deferral().as_str()), (is_temporary, deferral));
        }
    }

    // case: R04
    #[test]
    fn what_is_no_template_says_why() {
        for (text, why) in [
            ("550 5.7.1 {unknown}", BadTemplate::Variable("unknown".to_owned())),
            ("550 5.7.1 {IP}", BadTemplate::Variable("IP".to_owned())),
            ("550 5.7.1 {ip", BadTemplate::Brace),
            ("550 5.7.1 ip}", BadTemplate::Brace),
            ("550 5.7.1 {{ip}}", BadTemplate::Brace),
            ("550 4.7.1 no", BadTemplate::Reply(BadReply::Class)),
            ("250 2.0.0 ok", BadTemplate::Reply(BadReply::Code)),
            ("550 no", BadTemplate::Reply(BadReply::Enhanced)),
            ("550 5.7.1 caf\u{e9}", BadTemplate::Character),
            ("550 5.7.1 a\nb", BadTemplate::Character),
        ] {
            assert_eq!(Template::parse(text), Err(why), "{text}");
        }
        let of = |octets: usize| format!("550 5.7.1 {}", "x".repeat(octets - "550 5.7.1 ".len()));
        assert_eq!(Template::parse(&of(401)), Err(BadTemplate::Length(401, 400)));
        assert!(Template::parse(&of(400)).is_ok());
    }
}
