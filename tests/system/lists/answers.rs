//! What gatepost's tables answer, for the comparison with rbldnsd: a part of the suite tests/system/lists.sh.
//!
//! Usage: `answers FORMAT FILE < SUBJECTS`. Prints for each subject its `A` values and its texts, sorted:
//! `subject<TAB>127.0.0.2,127.0.0.4<TAB>text<TAB>another`.

use std::io::{self, BufRead as _, BufWriter, Write as _};
use std::process::ExitCode;

use gatepost::list::{Entry, Fault, Format, Kind, Table};
use gatepost::smtp::{Domain, NoDomain};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, file] = &arguments[..] else {
        eprintln!("usage: answers FORMAT FILE < SUBJECTS");
        return ExitCode::from(64);
    };
    match answer(format, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{file}: {error}");
            ExitCode::from(1)
        }
    }
}

fn answer(format: &str, file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let format = Format::from_name(format).ok_or("no such format")?;
    let (table, warnings) =
        Table::parse(format, Kind::Address, &std::fs::read(file)?).map_err(|faults| lines(&faults))?;
    eprintln!("{}", lines(&warnings));
    let mut out = BufWriter::new(io::stdout().lock());
    for subject in io::stdin().lock().lines() {
        let subject = subject?;
        let entry = match subject.parse() {
            Ok(ip) => table.address(ip),
            Err(_) => table.domain(&Domain::from_setting(&subject).map_err(NoDomain::name)?),
        };
        writeln!(out, "{subject}\t{}", entry.map(record).unwrap_or_default())?;
    }
    Ok(out.flush()?)
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn record(entry: Entry<'_>) -> String {
    let (mut values, mut texts): (Vec<_>, Vec<_>) =
        entry.records().map(|(value, text)| (value, entry.render(text))).unzip();
    values.sort();
    values.dedup();
    texts.retain(|text| !text.is_empty());
    texts.sort();
    texts.dedup();
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    [vec![values.join(",")], texts].concat().join("\t")
}
