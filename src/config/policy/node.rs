//! A table of TOML, read field by field.

use super::super::Place;
use super::super::near::nearest;
use super::super::report::Report;
use super::super::value::{Fault, elided, shown};
use crate::smtp::holds_like_key;

/// What to do about a name that looks like a key.
pub(super) const BETTER_NAME: &str = "take a word that says what it is for, or put hyphens between its words";

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct Node {
    pub(in crate::config) place: Place,
    pub(in crate::config) tree: Tree,
}

/// A value of TOML.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) enum Tree {
    Text(String),
    Number(String),
    Flag(bool),
    /// A date, which nothing is.
    Other,
    Array(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Tree {
    fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Other => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// The fields of one table, taken one by one.
pub(super) struct Fields<'r> {
    /// How messages name the table.
    name: String,
    place: Place,
    left: Vec<(String, Node)>,
    known: Vec<&'static str>,
    report: &'r mut Report,
    sound: bool,
}

impl<'r> Fields<'r> {
    /// The fields of a table; nothing if it is none.
    pub(super) fn of(node: Node, name: &str, report: &'r mut Report) -> Option<Self> {
        match node.tree {
            Tree::Table(left) => {
                let known = Vec::new();
                Some(Self { name: name.to_owned(), place: node.place, left, known, report, sound: true })
            }
            other => {
                let cause = format!("{} stands where a table belongs", other.name());
                report.error(node.place, name, Fault::new(cause, format!("write [[{name}]]")));
                None
            }
        }
    }

    /// Calls the table by a name of its own.
    pub(super) fn call(&mut self, name: &str) {
        self.name = format!("{}.{name}", self.name);
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Tells of a problem; the table will be left out.
    pub(super) fn fault(
        &mut self,
        place: &Place,
        field: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.sound = false;
        let fault = Fault::new(cause, remedy);
        let setting = self.setting(field);
        self.report.error(place.clone(), setting, fault);
    }

    /// How messages name a field.
    pub(super) fn name_of(&self, field: &str) -> String {
        self.setting(field)
    }

    /// Leaves the table out: what is wrong was told already.
    pub(super) fn spoil(&mut self) {
        self.sound = false;
    }

    pub(super) fn report(&mut self) -> &mut Report {
        self.report
    }

    fn setting(&self, field: &str) -> String {
        if field.is_empty() { self.name.clone() } else { format!("{}.{field}", self.name) }
    }

    /// Whether a field that has not been read yet is there, right or wrong.
    pub(super) fn has(&self, field: &str) -> bool {
        self.left.iter().any(|(name, _)| name == field)
    }

    pub(super) fn node(&mut self, field: &'static str) -> Option<Node> {
        self.known.push(field);
        let place = self.left.iter().position(|(name, _)| name == field)?;
        Some(self.left.remove(place).1)
    }

    fn wrong(&mut self, node: &Node, field: &str, wanted: &str) {
        let cause = format!("{} stands where {wanted} belongs", node.tree.name());
        self.fault(&node.place, field, cause, format!("write {wanted}"));
    }

    pub(super) fn text(&mut self, field: &'static str) -> Option<(String, Place)> {
        let node = self.node(field)?;
        if let Tree::Text(text) = node.tree {
            return Some((text.trim().to_owned(), node.place));
        }
        self.wrong(&node, field, "a text in quotes");
        None
    }

    pub(super) fn number(&mut self, field: &'static str) -> Option<(i32, Place)> {
        let node = self.node(field)?;
        let number = match &node.tree {
            Tree::Number(text) => text.parse().ok().filter(|n: &i32| (-1_000..=1_000).contains(n)),
            _ => None,
        };
        if number.is_none() {
            self.wrong(&node, field, "a whole number from -1000 to 1000");
        }
        Some((number?, node.place))
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Option<bool> {
        let node = self.node(field)?;
        if let Tree::Flag(flag) = node.tree {
            return Some(flag);
        }
        self.wrong(&node, field, "true or false");
        None
    }

    /// One text or number, or several.
    pub(super) fn texts(&mut self, field: &'static str) -> Option<Vec<(String, Place)>> {
        let node = self.node(field)?;
        let items = match node.tree {
            Tree::Array(items) => items,
            tree => vec![Node { place: node.place, tree }],
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item.tree {
                Tree::Text(text) | Tree::Number(text) => texts.push((text.trim().to_owned(), item.place)),
                _ => self.wrong(&item, field, "a text in quotes, or a list of such"),
            }
        }
        Some(texts)
    }

    /// Each text of a field, read; what cannot be read is told.
    pub(super) fn each<T>(
        &mut self,
        field: &'static str,
        remedy: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<(T, Place)>> {
        let texts = self.texts(field)?;
        let mut values = Vec::with_capacity(texts.len());
        for (text, place) in texts {
            match read(&text) {
                Some(value) => values.push((value, place)),
                None => self.fault(&place, field, format!("{} is not understood", shown(&text)), remedy),
            }
        }
        Some(values)
    }

    /// The name of a table: lower case, to be found in log lines.
    pub(super) fn identifier(&mut self) -> Option<(String, Place)> {
        let Some((name, place)) = self.text("name") else {
            let place = self.place();
            self.fault(&place, "name", "it has no name", "add name = \"...\": the log will show it");
            return None;
        };
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        let legal =
            name.len() <= 32 && name.bytes().all(plain) && name.starts_with(|c: char| c.is_ascii_lowercase());
        if !legal {
            let remedy = "use at most 32 lower-case letters, digits and hyphens, a letter first";
            self.fault(&place, "name", format!("{} is no name", shown(&name)), remedy);
            return None;
        }
        // A key in the wrong place would be in every log line.
        if holds_like_key(&name) {
            self.fault(&place, "name", "the name looks like a key", BETTER_NAME);
            return None;
        }
        self.call(&name);
        Some((name, place))
    }

    /// Tells of fields that there are not. Whether the table is sound.
    pub(super) fn finish(mut self) -> (&'r mut Report, bool) {
        for (name, node) in std::mem::take(&mut self.left) {
            let remedy = match nearest(&name, self.known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", self.known.join(", ")),
            };
            let name = elided(&name, 80);
            self.fault(&node.place, &name, "there is no such setting", remedy);
        }
        (self.report, self.sound)
    }
}
