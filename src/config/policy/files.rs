//! Lists of the administrator's that are files on this host.
//!
//! Here is what the configuration says of them; nothing opens the file itself.

use std::path::PathBuf;

use super::node::Fields;
use crate::config::Place;
use crate::config::near::nearest;
use crate::config::value::{no_path, shown};
use crate::list::{Format, Kind as Entries};
use crate::verdict::{Digest, Kind};

/// The file of a list, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFile {
    /// Its path, absolute.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// What its lines are.
    pub entries: Entries,
    /// Where it is named.
    pub place: Place,
}

/// Settings about lists in DNS, which mean nothing for a file.
const OF_ZONES: [&str; 6] = ["zone", "key_file", "hash", "refusals", "test", "on_trouble"];

/// Reads what is said about the file at `path`. Gives what the list is about, and the file unless something is wrong
/// with it.
pub(super) fn read(fields: &mut Fields<'_>, path: String, place: Place) -> (Option<Kind>, Option<ListFile>) {
    for field in OF_ZONES {
        if let Some(node) = fields.node(field) {
            let cause = "it is about lists in DNS, and this one is a file";
            fields.fault(&node.place, field, cause, format!("remove it, or remove file if {field} is meant"));
        }
    }
    let why = no_path(&path);
    if let Some(why) = why {
        fields.fault(&place, "file", why, "name the file of the list, as in /etc/gatepost/lists/own");
    }
    let format = format(fields);
    let entries = entries(fields, format);
    let kind = entries.map(|entries| match entries {
        Entries::Address => Kind::Address,
        Entries::Domain => Kind::Domain,
        Entries::Mailbox => Kind::Mailbox(Digest::Plain),
    });
    let file = format.zip(entries).filter(|_| why.is_none()).map(|(format, entries)| ListFile {
        path: path.into(),
        format,
        entries,
        place,
    });
    (kind, file)
}

fn format(fields: &mut Fields<'_>) -> Option<Format> {
    let names = || Format::ALL.map(Format::name);
    let Some((text, place)) = fields.text("format") else {
        let place = fields.place();
        let remedy = format!("add format = \"plain\", or one of rbldnsd's: {}", names()[1..].join(", "));
        fields.fault(&place, "format", "it does not say how the file is written", remedy);
        return None;
    };
    let format = Format::from_name(&text);
    if format.is_none() {
        let remedy = match nearest(&text, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("choose from {}", names().join(", ")),
        };
        fields.fault(&place, "format", format!("{} is no format of a list", shown(&text)), remedy);
    }
    format
}

/// What the lines of the file are: as stated, or as its format has it.
fn entries(fields: &mut Fields<'_>, format: Option<Format>) -> Option<Entries> {
    let Some((text, place)) = fields.text("kind") else {
        let usual = format?.kind();
        if usual.is_none() {
            let place = fields.place();
            let remedy = "add kind = \"address\", \"domain\" or \"mailbox\"";
            fields.fault(&place, "kind", "a plain file does not tell what its lines are", remedy);
        }
        return usual;
    };
    let Some(kind) = Entries::from_name(&text) else {
        let remedy = "choose from address, domain, mailbox";
        fields.fault(&place, "kind", format!("{} is no kind of list", shown(&text)), remedy);
        return None;
    };
    let possible: &[Entries] = match format {
        None | Some(Format::Plain) => &Entries::ALL,
        Some(Format::Ip4Set | Format::Ip4Trie | Format::Ip6Trie) => &[Entries::Address],
        // As in DNS, an address can be filed under its name there: 4.3.2.1.
        Some(Format::Dnset | Format::Generic) => &[Entries::Domain, Entries::Address],
    };
    if let Some(format) = format.filter(|_| !possible.contains(&kind)) {
        let names: Vec<&str> = possible.iter().map(|kind| kind.name()).collect();
        let cause = format!("a file of the format {} has no entries of this kind", format.name());
        fields.fault(&place, "kind", cause, format!("choose from {}, or another format", names.join(", ")));
    }
    Some(kind)
}
