//! Which faults of addresses count, as the configuration says it.

use super::node::{Fields, Node};
use crate::config::report::Report;
use crate::smtp::{AddressFault, AddressFaults};

/// The faults of addresses that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Syntax {
    /// Those that refuse.
    pub reject: AddressFaults,
    /// Those that are only told of.
    pub shadow: AddressFaults,
}

/// Reads the tables; the last one counts, as with settings.
pub(super) fn read(nodes: Vec<Node>, report: &mut Report) -> Syntax {
    let mut syntax = Syntax::default();
    for node in nodes {
        let Some(mut fields) = Fields::of(node, "syntax", report) else { continue };
        let one = Syntax { reject: faults(&mut fields, "reject"), shadow: faults(&mut fields, "shadow") };
        if fields.finish().1 {
            syntax = one;
        }
    }
    syntax
}

fn faults(fields: &mut Fields<'_>, field: &'static str) -> AddressFaults {
    let remedy = format!("choose from {}, or all", AddressFault::ALL.map(AddressFault::name).join(", "));
    let named = fields.each(field, &remedy, |text| match text {
        "all" => Some(AddressFault::ALL.to_vec()),
        text => AddressFault::ALL.into_iter().find(|fault| fault.name() == text).map(|fault| vec![fault]),
    });
    named.unwrap_or_default().into_iter().flat_map(|(faults, _)| faults).collect()
}
