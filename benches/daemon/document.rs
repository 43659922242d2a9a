//! Writes what a run has found into `docs/benchmarks.md` and `docs/benchmarks/`.
//!
//! Only what stands between the markers is the run's; the words around it are written by hand.

use crate::Failure;
use crate::plot::Plot;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- measured: written by benches/run -->";
const END: &str = "<!-- end of measured -->";

/// Puts the text of a whole run, and its pictures, in the place of those of the run before.
pub(crate) fn write(conditions: &str, text: &str, plots: &[Plot]) -> Result<(), Failure> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = docs.join("benchmarks.md");
    let old = fs::read_to_string(&page)?;
    let parts = old.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.ok_or("docs/benchmarks.md: no place for what is measured")?;
    let pictures = docs.join("benchmarks");
    fs::create_dir_all(&pictures)?;
    let mut gallery = String::new();
    for plot in plots {
        fs::write(pictures.join(plot.name).with_extension("svg"), plot.svg())?;
        // Writing to a string cannot fail.
        let _ = write!(gallery, "\n![{}](benchmarks/{}.svg)\n", plot.title, plot.name);
    }
    fs::write(&page, format!("{head}{BEGIN}\n\n{conditions}{text}\n### Pictures\n{gallery}\n{END}{tail}"))?;
    // A picture that is no longer made would stand in the packages for ever.
    for file in fs::read_dir(&pictures)? {
        let path = file?.path();
        let made = plots.iter().any(|plot| path.file_stem().is_some_and(|stem| stem == plot.name));
        if path.extension().is_some_and(|kind| kind == "svg") && !made {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The machine, the day and the programs, as words.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().trim_start_matches(['\t', ' ', ':']).trim_matches('"').to_owned()
    };
    let processors = read("/proc/cpuinfo");
    let versions =
        spoken("dpkg-query", &["-W", "-f", "${Package} ${Version}, "].map(String::from), &PACKAGES);
    format!(
        "{}, {} CPUs ({}), {} MiB, Linux {}, {}. Programs: {}.\n",
        spoken("date", &["-u".into(), "+%Y-%m-%d %H:%M UTC".into()], &[]),
        processors.lines().filter(|line| line.starts_with("processor")).count(),
        after(&processors, "model name"),
        after(&read("/proc/meminfo"), "MemTotal:").trim_end_matches(" kB").parse().unwrap_or(0_u64) / 1024,
        read("/proc/sys/kernel/osrelease").trim().split('-').next().unwrap_or_default(),
        after(&read("/etc/os-release"), "PRETTY_NAME="),
        versions.trim_end_matches(',')
    )
}

const PACKAGES: [&str; 6] =
    ["libmilter1.0.1", "postfix", "python3-dnspython", "python3-milter", "rbldnsd", "rspamd"];

/// What a program prints; nothing if it is not there.
fn spoken(program: &str, options: &[String], names: &[&str]) -> String {
    let output = Command::new(program).args(options).args(names).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
