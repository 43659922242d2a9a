//! Recipient policies: who may write to whom, as the configuration says it.
//!
//! Member files are named here, not opened.

use std::path::PathBuf;

use super::node::{Fields, Node};
use super::rules::template;
use crate::config::Place;
use crate::config::choice::Word as _;
use crate::config::report::Report;
use crate::config::value::{no_path, shown};
use crate::list::recipients::{Key, Logins, Protected, SenderKey, Taken};
use crate::policy::{Mode, OnTrouble, Template};

/// Who may write to certain recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientPolicy {
    /// Its name.
    pub name: String,
    /// The recipients.
    pub recipients: Vec<Key>,
    /// Who may write to them.
    pub senders: Vec<SenderKey>,
    /// Who may not, whatever else holds.
    pub deny: Vec<SenderKey>,
    /// What a login is worth.
    pub logins: Logins,
    /// What becomes of mail while a member file cannot be read.
    pub on_trouble: OnTrouble,
    /// The words of a refusal.
    pub reply: Option<Template>,
    /// Whether it is in force.
    pub mode: Mode,
}

/// A member file that policies name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFile {
    /// Its path, absolute.
    pub path: PathBuf,
    /// Where it is named first.
    pub place: Place,
}

/// Reads the tables. Whether there are domains that `@local` could stand for is known only when all settings are read.
pub(super) fn read(nodes: Vec<Node>, report: &mut Report) -> Recipients {
    let mut all = Recipients::default();
    let mut protected = Protected::default();
    let mut names: Vec<String> = Vec::new();
    for node in nodes {
        let Some(mut fields) = Fields::of(node, "recipient", report) else { continue };
        let Some((name, place)) = fields.identifier() else { continue };
        if names.contains(&name) {
            let cause = format!("there are two recipient policies {name}");
            fields.fault(&place, "name", cause, "choose another name for one");
        }
        names.push(name.clone());
        let number = names.len() - 1;
        let keys = keys(&mut fields, &mut protected, number, &names);
        all.policies.extend(one(fields, name, keys, &mut all.files, &mut all.own));
    }
    all
}

/// All that the tables say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recipients {
    /// The policies.
    pub policies: Vec<RecipientPolicy>,
    /// The member files that they name, each one once.
    pub files: Vec<MemberFile>,
    /// Where `@local` stands.
    pub own: Vec<Place>,
}

fn keys(fields: &mut Fields<'_>, protected: &mut Protected, number: usize, names: &[String]) -> Vec<Key> {
    let place = fields.place();
    let texts = fields.texts("recipients").unwrap_or_default();
    if texts.is_empty() {
        let remedy = "add recipients = [\"list@example.org\"]";
        fields.fault(&place, "recipients", "it names no recipient", remedy);
    }
    let mut keys = Vec::with_capacity(texts.len());
    for (text, place) in texts {
        match Key::parse(&text) {
            Ok(key) => {
                if let Err(Taken(other)) = protected.add(key.clone(), number) {
                    let cause = if other == number {
                        format!("{} stands here twice", shown(&text))
                    } else {
                        format!("{} has a policy already, {}", shown(&text), names[other])
                    };
                    fields.fault(&place, "recipients", cause, "take it out of one of them");
                }
                keys.push(key);
            }
            Err(bad) => {
                let cause = format!("{} would protect nobody: {bad}", shown(&text));
                fields.fault(&place, "recipients", cause, bad.remedy());
            }
        }
    }
    keys
}

fn one(
    mut fields: Fields<'_>,
    name: String,
    recipients: Vec<Key>,
    files: &mut Vec<MemberFile>,
    own: &mut Vec<Place>,
) -> Option<RecipientPolicy> {
    let place = fields.place();
    let allowed = senders(&mut fields, "senders", files, own);
    let deny = senders(&mut fields, "deny", files, own).unwrap_or_default();
    let logins = word(&mut fields, "logins", "choose senders, allow or require", |text| match text {
        "senders" => Some(Logins::Senders),
        "allow" => Some(Logins::Allow),
        "require" => Some(Logins::Require),
        _ => None,
    });
    let logins = logins.unwrap_or_default();
    if allowed.is_none() && logins == Logins::Senders {
        let remedy = "add senders = [\"@example.org\"]; if nobody may write, senders = []";
        fields.fault(&place, "senders", "it does not say who may write", remedy);
    }
    let on_trouble = word(&mut fields, "on_trouble", "choose accept or tempfail", OnTrouble::from_word);
    let reply = reply(&mut fields, false);
    let mode = mode(&mut fields);
    let sound = fields.finish().1;
    let policy = RecipientPolicy {
        name,
        recipients,
        senders: allowed.unwrap_or_default(),
        deny,
        logins,
        // Whoever protects an address wants strangers kept out; a deferral loses nothing.
        on_trouble: on_trouble.unwrap_or(OnTrouble::Defer),
        reply,
        mode: mode?,
    };
    sound.then_some(policy)
}

fn senders(
    fields: &mut Fields<'_>,
    field: &'static str,
    files: &mut Vec<MemberFile>,
    own: &mut Vec<Place>,
) -> Option<Vec<SenderKey>> {
    let texts = fields.texts(field)?;
    let mut keys = Vec::with_capacity(texts.len());
    for (text, place) in texts {
        if text == "<>" {
            keys.push(SenderKey::Null);
        } else if text.eq_ignore_ascii_case("@local") {
            own.push(place);
            keys.push(SenderKey::Own);
        } else if let Some(path) = text.strip_prefix("file:") {
            if let Some(why) = no_path(path) {
                let remedy = "name the member file, as in file:/etc/gatepost/members/list";
                fields.fault(&place, field, why, remedy);
                continue;
            }
            let known = files.iter().position(|file| file.path.as_os_str() == path);
            keys.push(SenderKey::File(known.unwrap_or_else(|| {
                files.push(MemberFile { path: path.into(), place });
                files.len() - 1
            })));
        } else {
            match Key::parse(&text) {
                Ok(key) => keys.push(SenderKey::Key(key)),
                Err(bad) => {
                    let cause = format!("{} is no sender: {bad}", shown(&text));
                    fields.fault(&place, field, cause, bad.remedy());
                }
            }
        }
    }
    Some(keys)
}

/// One word out of a few.
pub(super) fn word<T>(
    fields: &mut Fields<'_>,
    field: &'static str,
    remedy: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    fields.each(field, remedy, read)?.into_iter().next().map(|(value, _)| value)
}

/// Whether the table is in force; nothing if it is switched off.
pub(super) fn mode(fields: &mut Fields<'_>) -> Option<Mode> {
    let mode = word(fields, "mode", "choose enforce, shadow or off", |text| match text {
        "enforce" => Some(Some(Mode::Enforce)),
        "shadow" => Some(Some(Mode::Shadow)),
        "off" => Some(None),
        _ => None,
    });
    mode.unwrap_or(Some(Mode::Enforce))
}

/// The words of a refusal, or of a deferral.
pub(super) fn reply(fields: &mut Fields<'_>, is_temporary: bool) -> Option<Template> {
    let (reply, place) = template(fields, "reply")?;
    if reply.is_temporary() != is_temporary {
        let (cause, remedy) = if is_temporary {
            ("a reply that begins with 5 does not defer", "begin it with 4")
        } else {
            ("a reply that begins with 4 does not reject", "begin it with 5")
        };
        fields.fault(&place, "reply", cause, remedy);
        return None;
    }
    Some(reply)
}
