//! `gatepost status`: how the running daemon does.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::args;
use super::orders::{asked, reply, say};
use crate::daemon::{BudgetStatus, Exit, FileStatus, MEMBERS, Status, ZoneStatus};
use crate::smtp::{plain, plain_json};

pub(super) fn run(what: &args::Status) -> Exit {
    let request = if what.prometheus { "metrics" } else { "status" };
    match asked(&what.socket, request) {
        Err(exit) => exit,
        Ok(text) if what.json => {
            say(&plain_json(&text));
            Exit::Ok
        }
        Ok(text) if what.prometheus => {
            say(&text);
            Exit::Ok
        }
        Ok(text) => match reply::<Status>(&what.socket, &text) {
            Ok(status) => {
                say(&page(&status));
                Exit::Ok
            }
            Err(exit) => exit,
        },
    }
}

/// The status for people: a word, and what there is to say about it.
fn page(status: &Status) -> String {
    let mut page = Page::default();
    let Status { version, pid, account, state, .. } = status;
    let uptime = time(status.uptime_seconds);
    page.0 = format!("gatepost {version}, {state}, up for {uptime}, process {pid}, account {account}\n\n");
    page.line(
        "key",
        &match (&status.key.fingerprint, status.key.present) {
            (Some(fingerprint), _) => format!("set, fingerprint {fingerprint}"),
            (None, true) => "set".to_owned(),
            (None, false) => {
                "none: nothing is asked, all mail comes in; see THE KEY in gatepost.conf(5)".to_owned()
            }
        },
    );
    page.line("refuses at", &status.enforce);
    for socket in &status.sockets {
        page.line(&socket.purpose, &format!("{} ({})", socket.endpoint, socket.origin));
    }
    sessions(status, &mut page);
    for server in &status.servers {
        let state = match server.silent_seconds {
            Some(ago) => format!("kept silent {} ago, is asked after the others", time(ago)),
            None => server.state.clone(),
        };
        page.line("name server", &format!("{} {state}", server.address));
    }
    for each in &status.zones {
        zone(each, &mut page);
    }
    for each in &status.files {
        file(each, &mut page);
    }
    let cache = &status.cache;
    let rate = (cache.hits * 100).checked_div(cache.asked).unwrap_or_default();
    page.line(
        "cache",
        &format!(
            "{} of {} answers; {rate} % of {} questions answered from it",
            cache.entries, cache.max, cache.asked
        ),
    );
    if let Some(BudgetStatus { sent, limit }) = status.query_budget {
        let share = sent.saturating_mul(100).checked_div(limit).unwrap_or_default();
        page.line(
            "DQS today",
            &format!("{sent} of {limit} questions ({share} %), since 00:00 UTC or the start"),
        );
    }
    for step in &status.confinement {
        let reason = step.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        page.line("confinement", &format!("{} {}{reason}", step.step, step.state));
    }
    if status.log.lost > 0 {
        page.line("log", &format!("{} lines lost: nobody took them in time", status.log.lost));
    }
    let reload = &status.reload;
    match &reload.time {
        None => page.line("last reload", "none since the start"),
        Some(time) if reload.ok => page.line("last reload", &format!("{time}, in force")),
        Some(time) => {
            page.line("last reload", &format!("{time}, FAILED; the configuration before it stays in force:"));
            reload.problems.iter().for_each(|problem| page.line("", problem));
        }
    }
    page.0
}

fn sessions(status: &Status, page: &mut Page) {
    let sessions = &status.sessions;
    page.line(
        "sessions",
        &format!(
            "{} open of {} at most, {} served, {} let go for lack of room",
            sessions.open, sessions.limit, sessions.served, sessions.shed
        ),
    );
    let (out, back, lost) = (sessions.handed_over, sessions.taken_over, sessions.lost);
    if out + back + lost > 0 {
        page.line("", &format!("over restarts: {back} taken over, {lost} lost, {out} handed over"));
    }
    if sessions.malformed + sessions.panics > 0 {
        page.line(
            "",
            &format!(
                "{} closed for what their peer sent, {} ended by a defect",
                sessions.malformed, sessions.panics
            ),
        );
    }
}

fn zone(zone: &ZoneStatus, page: &mut Page) {
    let mut text = zone.state.clone();
    if let Some(since) = zone.since_seconds {
        let _ = write!(text, " for {}", time(since));
    }
    if let Some(reason) = &zone.reason {
        let _ = write!(text, ": {reason}");
    }
    page.line(
        &zone.zone,
        &format!(
            "{text}; {} questions sent, {} listings, {} failures",
            zone.queries, zone.listed, zone.failures
        ),
    );
    if let Some(remedy) = &zone.remedy {
        page.line("", &format!("to do: {remedy}"));
    }
    if let Some(retry) = zone.retry_seconds {
        page.line("", &format!("is asked again in {}", time(retry)));
    }
}

fn file(file: &FileStatus, page: &mut Page) {
    let FileStatus { zone, path, state, entries, failures, .. } = file;
    let age = time(file.age_seconds);
    page.line(zone, &format!("{state}; {entries} entries of {path}, read {age} ago; {failures} failures"));
    if let [first, more @ ..] = &file.problems[..] {
        let meanwhile = if zone == MEMBERS { "on_trouble holds" } else { "what was read stays in use" };
        page.line("", &format!("{meanwhile}, the file as it is now is wrong: {first}"));
        for problem in more {
            page.line("", problem);
        }
    }
}

fn time(seconds: u64) -> impl fmt::Display {
    humantime::format_duration(Duration::from_secs(seconds))
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, word: &str, text: &str) {
        let _ = writeln!(self.0, "{word:<12} {}", plain(text));
    }
}
