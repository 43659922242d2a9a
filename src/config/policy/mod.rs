//! Lists, rules, scores, recipient policies, limits and expectations, which stand in TOML only.
//!
//! They come from all TOML files together: a later file adds to the earlier ones. Every problem of every
//! table is told, and a table with a problem is left out.

mod conditions;
mod expect;
mod files;
mod limits;
mod lists;
mod node;
mod recipients;
mod rules;
mod syntax;

pub use expect::{Answered, Expectation};
pub use files::ListFile;
pub use limits::{Limit, Of, Per};
pub use lists::OwnList;
pub use recipients::{MemberFile, RecipientPolicy, Recipients};
pub use syntax::Syntax;

use super::Place;
use super::report::Report;
use super::write::Table;
use crate::policy::{Rule, Score};
pub(super) use node::{Node, Tree};

/// A table that stands beside the settings.
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) node: Node,
}

/// What a table is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Rule,
    Score,
    Recipient,
    Syntax,
    Limit,
    Expect,
}

impl Kind {
    /// The kind of a table with this name at the top of a file.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "list" => Some(Self::List),
            "rule" => Some(Self::Rule),
            "score" => Some(Self::Score),
            "recipient" => Some(Self::Recipient),
            "syntax" => Some(Self::Syntax),
            "limit" => Some(Self::Limit),
            "expect" => Some(Self::Expect),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Rule => "rule",
            Self::Score => "score",
            Self::Recipient => "recipient",
            Self::Syntax => "syntax",
            Self::Limit => "limit",
            Self::Expect => "expect",
        }
    }

    /// Whether there can be several.
    pub(super) fn is_array(self) -> bool {
        !matches!(self, Self::Score | Self::Syntax)
    }
}

/// The administrator's lists, rules and expectations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Additions {
    /// Lists beside those of DQS.
    pub lists: Vec<OwnList>,
    /// Files of lists that are left out for another problem, by the name of the list: what is wrong with them can be
    /// told all the same.
    pub loose_files: Vec<(String, ListFile)>,
    /// Rules beside those that the settings make, each with its place.
    pub rules: Vec<(Rule, Place)>,
    /// What sums of rules lead to.
    pub score: Score,
    /// Where each threshold of it is written.
    pub score_places: Vec<Place>,
    /// Who may write to whom.
    pub recipients: Recipients,
    /// Which faults of addresses count.
    pub syntax: Syntax,
    /// How much may come in.
    pub limits: Vec<Limit>,
    /// What must come of certain sessions.
    pub expectations: Vec<Expectation>,
    /// All of that as it was written; of scores the one that counts.
    pub tables: Vec<Table>,
}

/// Reads all tables. `lists_in_use` are those of DQS that are asked.
pub(super) fn read(sections: Vec<Section>, report: &mut Report) -> Additions {
    let of = |kind: Kind, sections: &mut Vec<Section>| -> Vec<Node> {
        sections.extract_if(.., |section| section.kind == kind).map(|section| section.node).collect()
    };
    let tables = written(&sections);
    let mut sections = sections;
    let mut loose_files = Vec::new();
    let lists = lists::read(of(Kind::List, &mut sections), &mut loose_files, report);
    let rules = rules::read(of(Kind::Rule, &mut sections), &lists, report);
    let (score, score_places) = rules::score(of(Kind::Score, &mut sections), report);
    let recipients = recipients::read(of(Kind::Recipient, &mut sections), report);
    let syntax = syntax::read(of(Kind::Syntax, &mut sections), report);
    let limits = limits::read(of(Kind::Limit, &mut sections), report);
    let expectations = expect::read(of(Kind::Expect, &mut sections), &lists, report);
    Additions {
        lists,
        loose_files,
        rules,
        score,
        score_places,
        recipients,
        syntax,
        limits,
        expectations,
        tables,
    }
}

/// The tables as they were written, by kind; of several scores the last, which counts.
fn written(sections: &[Section]) -> Vec<Table> {
    let mut tables = Vec::with_capacity(sections.len());
    let kinds =
        [Kind::List, Kind::Rule, Kind::Score, Kind::Recipient, Kind::Syntax, Kind::Limit, Kind::Expect];
    for kind in kinds {
        let of = sections.iter().filter(|section| section.kind == kind);
        let mut of: Vec<Table> = of.filter_map(|section| Table::of(kind.name(), &section.node)).collect();
        if !kind.is_array() {
            of.drain(..of.len().saturating_sub(1));
        }
        tables.extend(of);
    }
    tables
}
