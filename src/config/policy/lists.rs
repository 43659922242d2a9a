//! Lists of the administrator's.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use super::files::{self, ListFile};
use super::node::{BETTER_NAME, Fields, Node, Tree};
use crate::config::Place;
use crate::config::choice::Word as _;
use crate::config::report::Report;
use crate::config::text::{Missing, open_mode, read as read_file};
use crate::config::value::{Fault, no_path, shown};
use crate::dns::{Key, is_apex_short};
use crate::policy::{ACCESS, OnTrouble, SCORE};
use crate::smtp::{Domain, holds_like_key};
use crate::verdict::{
    ADDRESS_TEST, Class, Classes, DOMAIN_TEST, Digest, Home, Identities, Identity, Kind, List, Pattern,
    Sketch,
};

/// A list of the administrator's, and how it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnList {
    /// The list.
    pub list: List,
    /// What it is asked about.
    pub identities: Identities,
    /// The classes of sessions in which it is asked; nothing is the usual ones.
    pub sessions: Option<Classes>,
    /// What becomes of mail while it cannot be reached.
    pub on_trouble: OnTrouble,
    /// Its own key.
    pub key: Option<Arc<Key>>,
    /// The file that the key was read from.
    pub key_file: Option<PathBuf>,
    /// The file that it is, if it is one.
    pub file: Option<ListFile>,
    /// Where it is written.
    pub place: Place,
}

/// Where a list is, and what only lists in that place have.
struct Whereabouts {
    kind: Kind,
    /// Nothing if it was told already what is wrong with it.
    home: Option<Home>,
    file: Option<ListFile>,
    key: Option<Key>,
    key_file: Option<PathBuf>,
    refusals: Vec<Pattern>,
    test: Option<(String, String)>,
    on_trouble: OnTrouble,
}

/// Most names that the answers of one list can have: one code each.
const NAMES: usize = 200;

/// Reads the tables of lists. `loose` takes the files of those that have another problem.
pub(super) fn read(
    nodes: Vec<Node>,
    loose: &mut Vec<(String, ListFile)>,
    report: &mut Report,
) -> Vec<OwnList> {
    let mut lists: Vec<OwnList> = Vec::new();
    for node in nodes {
        let Some(mut fields) = Fields::of(node, "list", report) else { continue };
        let Some((name, place)) = fields.identifier() else {
            continue;
        };
        // Status and metrics call the maps so: `access`, `access-2`.
        let number = name.strip_prefix(ACCESS).and_then(|rest| rest.strip_prefix('-'));
        let is_map = name == ACCESS || number.is_some_and(|number| number.parse::<u32>().is_ok());
        let is_taken = name == SCORE || is_map;
        if List::DQS.iter().any(|list| list.name() == name) || is_taken {
            fields.fault(&place, "name", format!("{name} is taken"), "choose another name");
        } else if lists.iter().any(|own| own.list.name() == name) {
            fields.fault(
                &place,
                "name",
                format!("there are two lists {name}"),
                "choose another name for one",
            );
        }
        if let Some(list) = one(fields, name, loose) {
            lists.push(list);
        }
    }
    lists
}

fn one(mut fields: Fields<'_>, name: String, loose: &mut Vec<(String, ListFile)>) -> Option<OwnList> {
    let place = fields.place();
    let (title, title_place) =
        fields.text("title").unwrap_or_else(|| (name.to_ascii_uppercase(), place.clone()));
    if title.is_empty() || title.len() > 40 || !title.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
        fields.fault(
            &title_place,
            "title",
            "it cannot stand in a reply",
            "use at most 40 printable ASCII characters",
        );
    } else if holds_like_key(&title) {
        fields.fault(
            &title_place,
            "title",
            "it looks like a key, which replies would give away",
            BETTER_NAME,
        );
    }
    let whereabouts = match fields.text("file") {
        Some((path, place)) => in_file(&mut fields, path, place)?,
        None => in_dns(&mut fields)?,
    };
    let Whereabouts { kind, home, file, key, key_file, refusals, test, on_trouble } = whereabouts;
    let answers = answers(&mut fields);
    let identities = identities(&mut fields, kind);
    let class = |text: &str| Class::ALL.into_iter().find(|class| class.name() == text);
    let sessions = fields.each("sessions", "choose from inbound, submission, login", class);
    let (report, sound) = fields.finish();
    if !sound {
        loose.extend(file.map(|file| (name, file)));
        return None;
    }
    let sketch = Sketch { name, title, kind, home: home?, answers, refusals, test };
    let list = match List::define(sketch) {
        Ok(list) => list,
        Err(full) => {
            let remedy = "systemctl restart gatepost; if that does not help, have fewer lists";
            report.error(place.clone(), "list", Fault::new(full.to_string(), remedy));
            return None;
        }
    };
    Some(OwnList {
        list,
        identities,
        sessions: sessions.map(|classes| classes.into_iter().map(|(class, _)| class).collect()),
        on_trouble,
        key: key.map(Arc::new),
        key_file,
        file,
        place,
    })
}

fn in_file(fields: &mut Fields<'_>, path: String, place: Place) -> Option<Whereabouts> {
    let (kind, file) = files::read(fields, path, place);
    Some(Whereabouts {
        kind: kind?,
        home: file.as_ref().map(|file| Home::File { path: file.path.to_string_lossy().into_owned() }),
        file,
        key: None,
        key_file: None,
        refusals: Vec::new(),
        test: None,
        // Its answers are in memory: there is no trouble with reaching it.
        on_trouble: OnTrouble::LetIn,
    })
}

fn in_dns(fields: &mut Fields<'_>) -> Option<Whereabouts> {
    if let Some(node) = fields.node("format") {
        fields.fault(&node.place, "format", "only a file has a format", "remove it, or name the file");
    }
    let kind = kind(fields)?;
    let key_file = key_file(fields);
    let keyed = key_file.is_some();
    let apex = apex(fields, kind, keyed);
    let refusals = patterns(fields, "refusals");
    let test = test(fields, kind);
    let on_trouble = fields.each("on_trouble", "choose accept or tempfail", OnTrouble::from_word);
    let on_trouble = on_trouble.and_then(|words| words.first().map(|(word, _)| *word));
    let key = key_file.as_ref().and_then(|(path, place)| read_key(fields, path, place));
    Some(Whereabouts {
        kind,
        home: apex.map(|apex| Home::Zone { apex, keyed }),
        file: None,
        key,
        key_file: key_file.map(|(path, _)| path),
        refusals,
        test,
        on_trouble: on_trouble.unwrap_or(OnTrouble::LetIn),
    })
}

fn kind(fields: &mut Fields<'_>) -> Option<Kind> {
    let digest = fields.each("hash", "choose sha1-hex or sha256-base32", |text| match text {
        "sha1-hex" => Some(Digest::Sha1Hex),
        "sha256-base32" => Some(Digest::Sha256Base32),
        _ => None,
    });
    let digest = digest.and_then(|digests| digests.into_iter().next());
    let Some((text, place)) = fields.text("kind") else {
        let place = fields.place();
        fields.fault(
            &place,
            "kind",
            "it does not say what it is about",
            "add kind = \"address\", \"domain\" or \"mailbox\"",
        );
        return None;
    };
    match (&*text, digest) {
        ("address", None) => Some(Kind::Address),
        ("domain", None) => Some(Kind::Domain),
        ("mailbox", Some((digest, _))) => Some(Kind::Mailbox(digest)),
        ("mailbox", None) => {
            fields.fault(
                &place,
                "hash",
                "mailboxes are asked about by a digest",
                "add hash = \"sha1-hex\" or \"sha256-base32\"",
            );
            None
        }
        (_, Some((_, place))) => {
            fields.fault(
                &place,
                "hash",
                "only mailboxes have a digest",
                "remove it, or set kind = \"mailbox\"",
            );
            None
        }
        _ => {
            fields.fault(
                &place,
                "kind",
                format!("{} is no kind of list", shown(&text)),
                "choose from address, domain, mailbox",
            );
            None
        }
    }
}

fn key_file(fields: &mut Fields<'_>) -> Option<(PathBuf, Place)> {
    let (text, place) = fields.text("key_file")?;
    if let Some(why) = no_path(&text) {
        fields.fault(&place, "key_file", why, "name the file that holds the key of this list");
        return None;
    }
    Some((text.into(), place))
}

fn read_key(fields: &mut Fields<'_>, path: &std::path::Path, place: &Place) -> Option<Key> {
    let text = read_file(path, Missing::Wrong, "key_file", fields.report());
    let Some(text) = text else {
        // Told already; without its key the list cannot be asked.
        fields.report().hide_keys_in(path);
        fields.fault(place, "key_file", "the key of the list cannot be read", "see the line about the file");
        return None;
    };
    if let Some(fault) = open_mode(path, text.mode) {
        fields.report().notice(Place::file(path), "", fault);
    }
    let bare = text.text.trim();
    fields.report().hide(bare);
    match Key::new(bare) {
        Ok(key) => Some(key),
        Err(bad) => {
            fields.fault(
                place,
                "key_file",
                bad.to_string(),
                "put the key of this list there, and nothing else",
            );
            None
        }
    }
}

fn apex(fields: &mut Fields<'_>, kind: Kind, keyed: bool) -> Option<String> {
    let Some((text, place)) = fields.text("zone") else {
        let place = fields.place();
        let remedy = "add zone = \"list.example\", or file = \"/etc/gatepost/lists/own\"";
        fields.fault(&place, "zone", "it does not say where it is", remedy);
        return None;
    };
    // A label such as `_email` is legal in DNS, though no host has it.
    let labels = |text: &str| {
        text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
        })
    };
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    if !labels(&text) {
        fields.fault(
            &place,
            "zone",
            format!("{} is no zone", shown(&text)),
            "write a name such as list.example",
        );
    } else if !is_apex_short(&text, keyed, kind) {
        let cause = "it leaves no room beside key and subject in a DNS name, which has 253 octets";
        fields.fault(&place, "zone", cause, "name a shorter zone");
    } else if text.split('.').any(|label| label.len() >= 20 && label.bytes().any(|o| o.is_ascii_digit())) {
        let cause = "a label of it looks like a key, which logs and metrics would give away";
        fields.fault(&place, "zone", cause, "put the key into a file, and name that as key_file");
    }
    Some(text)
}

/// What the answers mean: names for answers, names for bits, or the last octet of 127.0.0.x.
fn answers(fields: &mut Fields<'_>) -> Vec<(String, Pattern)> {
    let mut names: Vec<(String, Pattern)> = Vec::new();
    for (field, is_bits) in [("answers", false), ("bits", true)] {
        let Some(node) = fields.node(field) else { continue };
        let place = node.place.clone();
        let Tree::Table(entries) = node.tree else {
            fields.fault(&place, field, "it is no table", "write answers = { spam = \"127.0.0.2\" }");
            continue;
        };
        for (name, node) in entries {
            let text = match &node.tree {
                Tree::Text(text) | Tree::Number(text) => text.trim(),
                _ => "",
            };
            let pattern = if is_bits {
                text.parse::<u8>().ok().filter(|mask| *mask != 0).map(Pattern::Bits)
            } else {
                pattern(text)
            };
            let legal = name.len() <= 32
                && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
            match pattern {
                // It would be in log lines, and in every message that tells of the names.
                Some(_) if legal && holds_like_key(&name) => {
                    fields.fault(&node.place, field, "a name of an answer looks like a key", BETTER_NAME);
                }
                Some(pattern) if legal && names.len() < NAMES => names.push((name, pattern)),
                Some(_) if legal => {
                    fields.fault(
                        &node.place,
                        field,
                        "there are too many names",
                        format!("give at most {NAMES}"),
                    );
                    break;
                }
                Some(_) => {
                    let remedy = "use at most 32 letters, digits and hyphens";
                    fields.fault(&node.place, field, format!("{} is no name", shown(&name)), remedy);
                }
                None => {
                    let remedy = if is_bits {
                        "write the value of the bit, 1 to 255"
                    } else {
                        "write an address such as 127.0.0.2, with ranges and stars as in 127.0.*.2-4"
                    };
                    fields.fault(
                        &node.place,
                        field,
                        format!("{} is no answer of a list", shown(text)),
                        remedy,
                    );
                }
            }
        }
    }
    names
}

fn patterns(fields: &mut Fields<'_>, field: &'static str) -> Vec<Pattern> {
    // URIBL says so with 127.0.0.1, which is no listing anywhere.
    let patterns =
        fields.each(field, "write an address such as 127.0.0.255", |text| octets(text).map(Pattern::Octets));
    patterns.unwrap_or_default().into_iter().map(|(pattern, _)| pattern).collect()
}

/// What a listing can be.
fn pattern(text: &str) -> Option<Pattern> {
    // 127.0.0.1 never is one (RFC 5782, section 2.1).
    octets(text).map(Pattern::Octets).filter(|pattern| !pattern.matches(Ipv4Addr::LOCALHOST))
}

/// `127.0.0.2`, `127.0.0.2-11`, `127.0.*.3`: four octets, each one, a range, or any; inside 127.0.0.0/8.
fn octets(text: &str) -> Option<[(u8, u8); 4]> {
    let mut octets = [(0, 0); 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        *octet = match part.split_once('-') {
            _ if part == "*" => (0, 255),
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => {
                let only = part.parse().ok()?;
                (only, only)
            }
        };
        if octet.0 > octet.1 {
            return None;
        }
    }
    // What is outside is never an answer.
    (octets[0] == (127, 127) && parts.next().is_none()).then_some(octets)
}

/// The test entries: those of RFC 5782, others, or none.
fn test(fields: &mut Fields<'_>, kind: Kind) -> Option<(String, String)> {
    let usual = match kind {
        Kind::Address => Some(ADDRESS_TEST),
        Kind::Domain => Some(DOMAIN_TEST),
        Kind::Mailbox(_) => None,
    };
    let usual = usual.map(|test| (test.present.to_owned(), test.absent.to_owned()));
    let Some(node) = fields.node("test") else { return usual };
    let place = node.place.clone();
    let remedy = "write test = false, or test = { listed = \"...\", unlisted = \"...\" }";
    match node.tree {
        Tree::Flag(false) => None,
        Tree::Flag(true) => usual,
        Tree::Table(entries) => {
            let find = |name: &str| {
                entries.iter().find(|(field, _)| field == name).and_then(|(_, node)| match &node.tree {
                    Tree::Text(text) => Some(text.clone()),
                    _ => None,
                })
            };
            let fits = |text: &str| match kind {
                Kind::Address => text.parse::<IpAddr>().is_ok(),
                Kind::Domain => Domain::from_setting(text).is_ok(),
                Kind::Mailbox(_) => text.contains('@'),
            };
            match (find("listed"), find("unlisted")) {
                (Some(present), Some(absent)) if fits(&present) && fits(&absent) => Some((present, absent)),
                _ => {
                    fields.fault(&place, "test", "these are no test entries of such a list", remedy);
                    None
                }
            }
        }
        _ => {
            fields.fault(&place, "test", "these are no test entries", remedy);
            None
        }
    }
}

/// What the list is asked about.
fn identities(fields: &mut Fields<'_>, kind: Kind) -> Identities {
    let (usual, possible): (&[Identity], &[Identity]) = match kind {
        Kind::Address => (&[Identity::Client], &[Identity::Client]),
        Kind::Domain => (
            &[Identity::Helo, Identity::Sender],
            &[Identity::ClientName, Identity::Helo, Identity::Sender, Identity::Recipient],
        ),
        Kind::Mailbox(_) => (&[Identity::Sender], &[Identity::Sender, Identity::Recipient]),
    };
    let names = possible.iter().map(|identity| identity.name()).collect::<Vec<_>>().join(", ");
    let find = |text: &str| possible.iter().copied().find(|identity| identity.name() == text);
    match fields.each("ask", &format!("choose from {names}"), find) {
        Some(identities) if !identities.is_empty() => {
            identities.into_iter().map(|(identity, _)| identity).collect()
        }
        _ => usual.iter().copied().collect(),
    }
}
