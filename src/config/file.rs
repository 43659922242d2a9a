//! Settings from the text of a TOML file.
//!
//! The table of settings is the schema: what it does not name is an error, with its place and the
//! name that was probably meant. serde would stop at the first one.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::Place;
use super::env::Values;
use super::near::nearest;
use super::policy::{Kind, Node, Section, Tree};
use super::report::{Report, Tally};
use super::settings::{SETTINGS, by_toml};
use super::value::{self, Fault, Item, Value, elided};

/// Most syntax errors that are told of one file; a file of another kind has thousands.
const ERRORS: usize = 20;

/// The settings in the text of a TOML file, and the tables beside them.
pub(super) fn from_toml(path: &Path, text: &str, report: &mut Report) -> (Values, Vec<Section>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source { path, text, marks: marks(text) };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken = Vec::new();
    for (n, error) in errors.iter().enumerate() {
        let place = source.place(error.span().unwrap_or(0..0));
        if let Place::File { line, .. } = place {
            // One slip makes several errors; the first one of a line is the one that helps.
            if broken.contains(&line) {
                continue;
            }
            broken.push(line);
        }
        // The message names what was expected; only the whole Display would repeat the line.
        let cause = elided(&error.message().replace('\n', ", "), 200);
        let remedy = if cause.contains("duplicate") {
            "keep one of them"
        } else {
            "mend the line; texts stand in \"quotes\""
        };
        report.error(place, "", Fault::new(cause, remedy));
        if n == ERRORS {
            break;
        }
    }
    let mut values = Values::new();
    let mut unknown = Tally::new();
    let mut sections = Vec::new();
    source.walk(table.get_ref(), "", &mut values, &mut sections, &mut unknown);
    let (unknown, rest) = unknown.close();
    let is_broken = |place: &Place| matches!(place, Place::File { line, .. } if broken.contains(line));
    for (place, name, fault) in unknown {
        if !is_broken(&place) {
            report.error(place, name, fault);
        }
    }
    if let Some(rest) = rest {
        report.error(Place::file(path), "", rest);
    }
    values.retain(|(_, value)| !is_broken(&value.place));
    (values, sections)
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    marks: Vec<Mark>,
}

/// Line and column of an octet, both counted from 1.
#[derive(Clone, Copy)]
struct Mark {
    octet: usize,
    line: usize,
    column: usize,
}

impl Mark {
    fn step(self, c: char) -> Self {
        let octet = self.octet + c.len_utf8();
        match c {
            '\n' => Self { octet, line: self.line + 1, column: 1 },
            _ => Self { octet, column: self.column + 1, ..self },
        }
    }
}

/// Octets between two marks.
const STRIDE: usize = 256;

/// Marks at regular distances, so that no place has to be counted from the beginning of the file or of a
/// line, which may be the whole file.
fn marks(text: &str) -> Vec<Mark> {
    let mut here = Mark { octet: 0, line: 1, column: 1 };
    let mut marks = vec![here];
    for c in text.chars() {
        here = here.step(c);
        if here.octet >= marks.len() * STRIDE {
            marks.push(here);
        }
    }
    marks
}

impl Source<'_> {
    fn walk(
        &self,
        table: &DeTable<'_>,
        above: &str,
        values: &mut Values,
        sections: &mut Vec<Section>,
        unknown: &mut Tally<(Place, String, Fault)>,
    ) {
        for (key, value) in table {
            let dot = if above.is_empty() { "" } else { "." };
            let name = format!("{above}{dot}{}", key.get_ref());
            if let Some(kind) = Kind::of(&name) {
                self.section(kind, &name, value, sections, unknown);
                continue;
            }
            let inside = format!("{name}.");
            let is_table = SETTINGS.iter().any(|setting| setting.toml.starts_with(&inside));
            match (by_toml(&name), value.get_ref()) {
                (None, DeValue::Table(table)) if is_table => {
                    self.walk(table, &name, values, sections, unknown);
                }
                (Some(setting), _) => match self.value(value) {
                    Ok(value) => values.push((setting, value)),
                    Err(fault) => unknown.push(|| (self.place(value.span()), name, fault)),
                },
                (None, _) if is_table => unknown.push(|| {
                    let fault = Fault::new("it is a table of settings", format!("write [{name}]"));
                    (self.place(key.span()), name, fault)
                }),
                (None, _) => unknown.push(|| {
                    let fault = Fault::new("there is no such setting", meant(&name, above));
                    (self.place(key.span()), elided(&name, 80), fault)
                }),
            }
        }
    }

    /// Takes a table that stands beside the settings, or all tables of an array.
    fn section(
        &self,
        kind: Kind,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        sections: &mut Vec<Section>,
        unknown: &mut Tally<(Place, String, Fault)>,
    ) {
        match value.get_ref() {
            DeValue::Array(items) if kind.is_array() => {
                sections.extend(items.iter().map(|item| Section { kind, node: self.node(item) }));
            }
            _ if !kind.is_array() => sections.push(Section { kind, node: self.node(value) }),
            _ => unknown.push(|| {
                let fault = Fault::new("there can be several of them", format!("write [[{name}]]"));
                (self.place(value.span()), name.to_owned(), fault)
            }),
        }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let tree = match value.get_ref() {
            DeValue::String(text) => Tree::Text(text.to_string()),
            DeValue::Integer(number) => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix()).ok();
                Tree::Number(decimal.map_or_else(|| number.as_str().to_owned(), |n| n.to_string()))
            }
            DeValue::Float(number) => Tree::Number(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Tree::Flag(*flag),
            DeValue::Datetime(_) => Tree::Other,
            DeValue::Array(items) => Tree::Array(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => {
                let field = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                    (ToString::to_string(key.get_ref()), self.node(value))
                };
                Tree::Table(table.iter().map(field).collect())
            }
        };
        Node { place: self.place(value.span()), tree }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Result<Value, Fault> {
        let place = self.place(value.span());
        let (items, array) = match value.get_ref() {
            DeValue::Array(items) => {
                (items.iter().map(|item| self.item(item)).collect::<Result<_, _>>()?, true)
            }
            _ => (vec![self.item(value)?], false),
        };
        Ok(Value { items, array, place })
    }

    fn item(&self, value: &Spanned<DeValue<'_>>) -> Result<Item, Fault> {
        let place = self.place(value.span());
        let (text, kind) = match value.get_ref() {
            DeValue::String(text) => (text.to_string(), value::Kind::Text),
            DeValue::Integer(number) => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix()).ok();
                (decimal.map_or_else(|| number.as_str().to_owned(), |n| n.to_string()), value::Kind::Number)
            }
            DeValue::Float(number) => (number.as_str().to_owned(), value::Kind::Number),
            DeValue::Boolean(flag) => (flag.to_string(), value::Kind::Flag),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let mut fault = Fault::new("the value has the wrong type", "see gatepost.conf(5)");
                fault.place = Some(place);
                return Err(fault);
            }
        };
        Ok(Item { text: Zeroizing::new(text.trim().to_owned()), kind, place })
    }

    /// Line and column of the beginning of a span.
    fn place(&self, span: Range<usize>) -> Place {
        let mark = self.marks.partition_point(|mark| mark.octet <= span.start).saturating_sub(1);
        let mut here = self.marks[mark];
        for c in self.text[here.octet..].chars() {
            let next = here.step(c);
            if next.octet > span.start {
                break;
            }
            here = next;
        }
        Place::File { path: self.path.to_owned(), line: here.line, column: here.column }
    }
}

/// What somebody probably meant with a name that there is not.
fn meant(name: &str, above: &str) -> String {
    let own = name.rsplit('.').next().unwrap_or(name);
    let all = || SETTINGS.iter().map(|setting| setting.toml);
    let in_table = || all().filter_map(|path| path.strip_prefix(above)?.strip_prefix('.'));
    // A good name in the wrong table, such as `servers` at the top.
    let in_other = || all().find(|path| path.rsplit('.').next() == Some(own) && own.len() > 3);
    if above.is_empty() {
        return match nearest(name, all()).or_else(in_other) {
            Some(near) => format!("did you mean {near}?"),
            None => "remove it or see gatepost.conf(5)".to_owned(),
        };
    }
    match (nearest(own, in_table()), in_other()) {
        (Some(near), _) => format!("did you mean {above}.{near}?"),
        (None, Some(other)) => format!("did you mean {other}?"),
        (None, None) => format!("[{above}] has {}", in_table().collect::<Vec<_>>().join(", ")),
    }
}
