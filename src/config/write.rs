//! The configuration as TOML that reads as the same.
//!
//! No key is ever written: what holds one is left out, and what may hold one by mistake was censored before.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::policy::{Node, Tree};
use super::settings::by_toml;
use super::{Config, Origin, Place, Shape};
use crate::smtp::is_unprintable;

impl Config {
    /// All of it, as a file that reads as the same; nothing of any key. `gatepost show-config` adds its remarks.
    pub fn as_toml(&self) -> String {
        let setting = |origin: &Origin| Some(format!("{} = {}\n", origin.toml, origin.literal()?));
        let mut text: String = self.origins().iter().filter_map(setting).collect();
        for table in &self.additions.tables {
            for line in std::iter::once(table.header()).chain(table.lines()) {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}

impl Origin {
    /// Whether the value is another one than what is built in.
    pub fn is_changed(&self) -> bool {
        by_toml(self.toml).is_none_or(|setting| setting.default != self.value)
    }

    /// Whether the value is never shown.
    pub fn is_secret(&self) -> bool {
        by_toml(self.toml).is_some_and(super::Setting::is_secret)
    }

    /// The value as TOML writes it; nothing for a secret, and for a text that is not set.
    pub fn literal(&self) -> Option<String> {
        let shape = by_toml(self.toml)?.shape;
        let is_unset = shape == Shape::Text && self.value.is_empty();
        if self.is_secret() || is_unset {
            return None;
        }
        Some(match shape {
            Shape::Number => self.value.clone(),
            Shape::Flag => (self.value == "1").to_string(),
            Shape::Text => quoted(&self.value),
            Shape::List => array(self.items.iter().map(|item| quoted(item))),
        })
    }

    /// The value as JSON, on the same terms.
    pub fn json(&self) -> Value {
        let Some(literal) = self.literal() else { return Value::Null };
        match by_toml(self.toml).map(|setting| setting.shape) {
            Some(Shape::Number | Shape::Flag) => serde_json::from_str(&literal).unwrap_or_default(),
            Some(Shape::List) => self.items.clone().into(),
            _ => self.value.clone().into(),
        }
    }
}

/// A table that stands beside the settings, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it is: `list`, `rule`, `score`, `recipient`, `syntax`, `limit` or `expect`.
    pub what: &'static str,
    /// Where it stands.
    pub place: Place,
    fields: Vec<(String, Node)>,
}

impl Table {
    /// A table; nothing if the node is none.
    pub(super) fn of(what: &'static str, node: &Node) -> Option<Self> {
        let Tree::Table(fields) = &node.tree else { return None };
        let mut fields = fields.clone();
        // People look for the name; the parser sorts.
        fields.sort_by_key(|(name, _)| name != "name");
        Some(Self { what, place: node.place.clone(), fields })
    }

    /// The same, with every text made safe.
    #[must_use]
    pub(super) fn cleaned(self, clean: &impl Fn(String) -> String) -> Self {
        let fields = self.fields.into_iter().map(|(name, node)| (clean(name), node.cleaned(clean)));
        Self { fields: fields.collect(), ..self }
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        let field = self.fields.iter().find(|(name, _)| name == "name");
        field.and_then(|(_, node)| match &node.tree {
            Tree::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Where in it a text stands that `is_it` recognises: the place, and the field that it belongs to.
    pub(super) fn places_of(&self, is_it: &impl Fn(&str) -> bool) -> Vec<(Place, &str)> {
        let holds = |(name, node): &&(String, Node)| is_it(name) || node.holds(is_it);
        let found = self.fields.iter().filter(holds);
        // The field may be what was recognised.
        found.map(|(name, node)| (node.place.clone(), if is_it(name) { "" } else { name })).collect()
    }

    /// Its lines, without the header.
    pub fn lines(&self) -> Vec<String> {
        self.fields.iter().map(|(name, node)| format!("{} = {}", key(name), node.tree.literal())).collect()
    }

    /// The header: `[score]`, `[syntax]`, or `[[rule]]` where there can be several.
    pub fn header(&self) -> String {
        if ["score", "syntax"].contains(&self.what) {
            format!("[{}]", self.what)
        } else {
            format!("[[{}]]", self.what)
        }
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        fields_json(&self.fields)
    }
}

impl Node {
    fn holds(&self, is_it: &impl Fn(&str) -> bool) -> bool {
        match &self.tree {
            Tree::Text(text) | Tree::Number(text) => is_it(text),
            Tree::Array(items) => items.iter().any(|item| item.holds(is_it)),
            Tree::Table(fields) => fields.iter().any(|(name, node)| is_it(name) || node.holds(is_it)),
            Tree::Flag(_) | Tree::Other => false,
        }
    }

    fn cleaned(self, clean: &impl Fn(String) -> String) -> Self {
        let tree = match self.tree {
            Tree::Text(text) => Tree::Text(clean(text)),
            Tree::Array(items) => Tree::Array(items.into_iter().map(|item| item.cleaned(clean)).collect()),
            Tree::Table(fields) => {
                let field = |(name, node): (String, Self)| (clean(name), node.cleaned(clean));
                Tree::Table(fields.into_iter().map(field).collect())
            }
            other => other,
        };
        Self { tree, ..self }
    }
}

impl Tree {
    fn literal(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(number) => number.clone(),
            Self::Flag(flag) => flag.to_string(),
            // No field is a date, so that no table with one was accepted.
            Self::Other => quoted(""),
            Self::Array(items) => array(items.iter().map(|item| item.tree.literal())),
            Self::Table(fields) => {
                let field =
                    |(name, node): &(String, Node)| format!("{} = {}", key(name), node.tree.literal());
                let fields: Vec<String> = fields.iter().map(field).collect();
                if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Number(number) => serde_json::from_str(number).unwrap_or_else(|_| number.clone().into()),
            Self::Flag(flag) => (*flag).into(),
            Self::Other => Value::Null,
            Self::Array(items) => items.iter().map(|item| item.tree.json()).collect(),
            Self::Table(fields) => fields_json(fields),
        }
    }
}

fn fields_json(fields: &[(String, Node)]) -> Value {
    let field = |(name, node): &(String, Node)| (name.clone(), node.tree.json());
    Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// The name of a field.
fn key(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A text as a basic string of TOML, on one line whatever is in it.
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            c if is_unprintable(c) => {
                let _ = match u32::from(c) {
                    code @ ..=0xffff => write!(literal, "\\u{code:04X}"),
                    code => write!(literal, "\\U{code:08X}"),
                };
            }
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_line_that_reads_as_the_same() {
        for text in [
            "",
            "plain",
            "a \"b\" \\c",
            "x\ny\r\t\u{0}\u{7f}\u{85}\u{202e}\u{e0041}",
            "b\u{fc}cher",
            "\u{1f4ec}",
        ] {
            let line = format!("{} = {}", key(text), quoted(text));
            assert!(!line.contains(is_unprintable), "{line}");
            let table: toml::Table = line.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(table.get(text), Some(&toml::Value::String(text.to_owned())));
        }
    }
}
