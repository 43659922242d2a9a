//! Lists and access maps of a million entries: what the two benchmarks of the library find, in the words of this run.
//!
//! What they measure is theirs (`benches/tables.rs`, `benches/access.rs`); their tables are taken as they are printed.

use crate::plot::{Bar, Plot};
use crate::process::tethered;
use crate::{Failure, Run};
use std::path::Path;
use std::process::Stdio;

/// Lists in memory: loading, look-ups, and look-ups while they are replaced.
pub(crate) fn tables(run: &mut Run) -> Result<(), Failure> {
    let title = "Look-up of a subject that is listed, a million entries";
    measured(run, "tables", &Picture { name: "look-up", title, column: "look-up ns, listed", unit: "ns" })
}

/// Access maps in memory, and patterns on one key.
pub(crate) fn access(run: &mut Run) -> Result<(), Failure> {
    let title = "A whole question to an access map of a million entries, found";
    measured(run, "access", &Picture { name: "access", title, column: "question µs, found", unit: "µs" })
}

/// Which column of their first table is drawn.
struct Picture {
    name: &'static str,
    title: &'static str,
    column: &'static str,
    unit: &'static str,
}

fn measured(run: &mut Run, bench: &str, picture: &Picture) -> Result<(), Failure> {
    if run.peers_only {
        return Ok(());
    }
    let program = std::env::var(format!("BENCH_{}", bench.to_uppercase())).map_err(|_| {
        format!("`benches/run` builds it and says where it is; by itself: cargo bench --bench {bench}")
    })?;
    let output = tethered(Path::new(&program))
        .arg("--bench")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    // 1: a target was missed, as the rows say, too.
    if !matches!(output.status.code(), Some(0 | 1)) {
        return Err(format!("{program} ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut bars = Vec::new();
    for (number, section) in text.split("\n### ").skip(1).enumerate() {
        let title = section.lines().next().unwrap_or_default();
        let mut lines = section.lines().filter_map(cells);
        let (Some(header), Some(_line), rows) = (lines.next(), lines.next(), lines.collect::<Vec<_>>())
        else {
            return Err(format!("{program}: {title}: no table").into());
        };
        if number == 0 {
            let column = header.iter().position(|cell| cell == picture.column);
            let column = column.ok_or_else(|| format!("{program}: no column {}", picture.column))?;
            for row in &rows {
                let value = row.get(column).ok_or("a row is too short")?.parse()?;
                bars.push(Bar { label: row[0].clone(), value, own: true });
            }
        }
        for row in &rows {
            for cell in row.iter().filter(|cell| ["met", "**missed**"].contains(&cell.as_str())) {
                run.report.judge(cell == "met", || format!("{title}: {}: a target was missed", row[0]));
            }
        }
        let header: Vec<_> = header.iter().map(String::as_str).collect();
        run.report.table(title, &header, &rows);
    }
    let Picture { name, title, unit, .. } = *picture;
    run.report.plot(Plot { name, title: title.into(), unit, bars, target: None });
    Ok(())
}

/// The cells of a row of a Markdown table.
fn cells(line: &str) -> Option<Vec<String>> {
    let cells = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
    Some(cells.split('|').map(|cell| cell.trim().to_owned()).collect())
}
