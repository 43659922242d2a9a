//! What `doctor` found, and how it is shown.

use std::io::IsTerminal as _;

use serde_json::json;

use crate::cli::orders::say_json;
use crate::daemon::Exit;
use crate::smtp::printable;

/// Longest text shown: what other programs print is part of it.
const SHOWN: usize = 400;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Fine,
    /// Nothing to look at here.
    Skipped,
    Warning,
    Wrong,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) level: Level,
    pub(super) area: &'static str,
    pub(super) text: String,
    pub(super) remedy: String,
}

/// Everything that was looked at, in order.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Entry>);

impl Report {
    pub(super) fn fine(&mut self, area: &'static str, text: impl Into<String>) {
        self.add(Level::Fine, area, text.into(), String::new());
    }

    pub(super) fn skipped(&mut self, area: &'static str, text: impl Into<String>) {
        self.add(Level::Skipped, area, text.into(), String::new());
    }

    pub(super) fn warning(&mut self, area: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Warning, area, text.into(), remedy.into());
    }

    pub(super) fn wrong(&mut self, area: &'static str, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Wrong, area, text.into(), remedy.into());
    }

    fn add(&mut self, level: Level, area: &'static str, text: String, remedy: String) {
        self.0.push(Entry { level, area, text, remedy });
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn print(&self, as_json: bool) {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        for entry in &self.0 {
            let text = printable(entry.text.as_bytes(), SHOWN);
            let remedy = printable(entry.remedy.as_bytes(), SHOWN);
            if as_json {
                say_json(
                    &json!({"level": entry.level.name(), "area": entry.area, "text": text, "remedy": remedy}),
                );
                continue;
            }
            let (on, off) = match entry.level {
                Level::Warning if colour => ("\u{1b}[33m", "\u{1b}[0m"),
                Level::Wrong if colour => ("\u{1b}[31m", "\u{1b}[0m"),
                _ => ("", ""),
            };
            sayln!("{on}{:<8}{off} {:<14} {text}", entry.level.name(), entry.area);
            if !remedy.is_empty() {
                sayln!("{:<23} -> {remedy}", "");
            }
        }
        if !as_json {
            let [fine, skipped, warning, wrong] =
                [Level::Fine, Level::Skipped, Level::Warning, Level::Wrong].map(|level| self.count(level));
            sayln!("\n{fine} ok, {warning} to look at, {wrong} wrong, {skipped} not looked at");
        }
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|entry| entry.level == level).count()
    }

    /// 0 if all is well, 1 for warnings, 2 if something is wrong.
    pub(super) fn exit(&self) -> Exit {
        match () {
            () if self.count(Level::Wrong) > 0 => Exit::Unknown,
            () if self.count(Level::Warning) > 0 => Exit::Listed,
            () => Exit::Ok,
        }
    }
}
