//! What the running daemon says of itself.

use std::path::Path;

use super::report::Report;
use crate::config::{Config, Sandbox};
use crate::daemon::{AskError, CONTROL_SOCKET, FORMAT, Status, StepStatus, ZoneStatus, ask};
use crate::server::Listen;

const AREA: &str = "running";

/// Asks the daemon on its control socket, if it has one, and judges what it says.
pub(super) fn look(report: &mut Report, config: &Config) {
    let socket = match &config.control_listen {
        Some(Listen::Unix(path)) => path,
        _ => Path::new(CONTROL_SOCKET),
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    match runtime.block_on(ask(socket, "status")) {
        Ok(text) => match serde_json::from_str::<Status>(&text).ok().filter(|status| status.format == FORMAT)
        {
            Some(status) => judge(report, &status, config.sandbox),
            None => report.warning(
                AREA,
                "the daemon speaks another version of its language than this command",
                "systemctl restart gatepost.service",
            ),
        },
        Err(error @ AskError::Away { .. }) => report.skipped(AREA, format!("nothing to ask: {error}")),
        Err(error @ AskError::Forbidden(_)) => report.skipped(AREA, error.to_string()),
        Err(error @ (AskError::Late(_) | AskError::Broken { .. })) => {
            report.wrong(AREA, error.to_string(), "journalctl -u gatepost -n 20");
        }
    }
}

fn judge(report: &mut Report, status: &Status, sandbox: Sandbox) {
    if !status.key.present {
        report.wrong(
            AREA,
            "the daemon has no key: nothing is asked, and all mail comes in",
            "gatepost key set, then: systemctl restart gatepost.service",
        );
    }
    for zone in &status.zones {
        list(report, zone);
    }
    let reload = &status.reload;
    if reload.ok {
        report.fine(AREA, "the configuration that was read last is in force");
    } else {
        let why = reload.problems.first().map(|problem| format!(": {problem}")).unwrap_or_default();
        report.wrong(
            AREA,
            format!("the last reload failed, the configuration before it stays in force{why}"),
            "gatepost check-config tells all problems; then: gatepost reload",
        );
    }
    counts(report, status);
    if sandbox != Sandbox::Off {
        confinement(report, &status.confinement);
    }
}

fn list(report: &mut Report, zone: &ZoneStatus) {
    let ZoneStatus { zone: name, state, reason, .. } = zone;
    let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let remedy = zone.remedy.as_deref().unwrap_or("gatepost status tells more");
    match &**state {
        "ok" => report.fine(AREA, format!("{name} is asked")),
        "doubtful" => {
            report.warning(AREA, format!("{name} is asked, and its answers are in doubt{why}"), remedy);
        }
        _ => report.wrong(AREA, format!("{name} is not asked now{why}"), remedy),
    }
}

/// What should be zero.
fn counts(report: &mut Report, status: &Status) {
    let sessions = &status.sessions;
    let mut all_zero = true;
    for (count, text, remedy) in [
        (
            sessions.shed,
            "sessions were let go for lack of room",
            "look who opens so many: ss -xp, ss -tp; or raise connections and LimitNOFILE=",
        ),
        (
            sessions.lost,
            "sessions could not be taken over from the process before",
            "journalctl -t gatepost GATEPOST_EVENT=handover tells why",
        ),
        (
            sessions.panics,
            "sessions were ended by a defect",
            "please report it: journalctl -t gatepost -p err",
        ),
        (
            status.log.lost,
            "log lines were lost: nobody took them in time",
            "look at the journal: systemctl status systemd-journald.service; or log less (log.level)",
        ),
    ] {
        if count > 0 {
            all_zero = false;
            report.warning(AREA, format!("{count} {text}, since the start"), remedy);
        }
    }
    if all_zero {
        report.fine(AREA, "no session and no log line was lost");
    }
}

/// Steps that do not hold. Landlock may be partial because of the kernel's age, which nobody can mend here.
fn confinement(report: &mut Report, steps: &[StepStatus]) {
    let mut whole = true;
    for step in steps {
        let is_kernel = step.step == "landlock" && step.state == "partial";
        if step.state == "enforced" || is_kernel {
            continue;
        }
        whole = false;
        let why = step.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        report.warning(
            AREA,
            format!("confinement: {} is {}{why}", step.step, step.state),
            "use the packaged unit and a kernel with Landlock, or switch the sandbox off if it is meant so",
        );
    }
    if whole && !steps.is_empty() {
        report.fine(AREA, "it is confined as far as this kernel can");
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;
    use serde_json::{Value, json};

    /// A daemon with which all is well.
    fn well() -> Value {
        let zone = |name: &str| {
            json!({"zone": name, "state": "ok", "reason": null, "remedy": null, "since_seconds": null,
                "retry_seconds": null, "queries": 5, "listed": 1, "failures": 0, "cache_hits": 2})
        };
        json!({"format": FORMAT, "version": "0.1.0", "pid": 7, "account": "gatepost", "uptime_seconds": 60,
            "state": "serving", "enforce": "mail", "key": {"present": true, "fingerprint": "4967"},
            "sockets": [], "zones": [zone("zen"), zone("dbl"), zone("zrd")],
            "sessions": {"open": 1, "limit": 2048, "served": 9, "shed": 0, "handed_over": 0, "taken_over": 3,
                "lost": 0, "malformed": 2, "panics": 0},
            "servers": [{"address": "127.0.0.1:53", "state": "ok", "silent_seconds": null}],
            "cache": {"entries": 3, "max": 20000, "hits": 2, "asked": 7, "under_way": 0, "evictions": 0},
            "confinement": [{"step": "user", "state": "enforced", "reason": null},
                {"step": "landlock", "state": "partial", "reason": "an old kernel"}],
            "reload": {"time": null, "ok": true, "problems": []}, "log": {"lost": 0}})
    }

    /// What is found after one change.
    fn found(pointer: &str, value: Value) -> Vec<(Level, String)> {
        let mut status = well();
        *status.pointer_mut(pointer).expect("a member") = value;
        let status = serde_json::from_value(status).expect("a status");
        let mut report = Report::default();
        judge(&mut report, &status, Sandbox::On);
        for entry in report.entries() {
            let bad = matches!(entry.level, Level::Warning | Level::Wrong);
            assert_eq!(bad, !entry.remedy.is_empty(), "{entry:?}");
        }
        let bad = report.entries().iter().filter(|entry| entry.level != Level::Fine);
        bad.map(|entry| (entry.level, entry.text.clone())).collect()
    }

    #[test]
    fn a_daemon_that_is_well_raises_no_alarm() {
        assert_eq!(found("/pid", json!(8)), []);
    }

    #[test]
    fn a_status_of_the_release_before_is_understood() {
        let mut status = well();
        status.as_object_mut().expect("an object").remove("log");
        assert!(serde_json::from_value::<Status>(status).is_ok_and(|status| status.log.lost == 0));
    }

    #[test]
    fn everything_that_is_wrong_is_found_with_its_remedy() {
        for (pointer, value, level, text) in [
            ("/key/present", json!(false), Level::Wrong, "no key"),
            ("/zones/0/state", json!("resting"), Level::Wrong, "zen is not asked now"),
            ("/zones/1/state", json!("error"), Level::Wrong, "dbl is not asked now"),
            (
                "/zones/2/state",
                json!("doubtful"),
                Level::Warning,
                "zrd is asked, and its answers are in doubt",
            ),
            (
                "/reload",
                json!({"time": "2026-01-01T00:00:00Z", "ok": false, "problems": ["gatepost.toml:3: no"]}),
                Level::Wrong,
                "the last reload failed, the configuration before it stays in force: gatepost.toml:3: no",
            ),
            ("/sessions/shed", json!(4), Level::Warning, "4 sessions were let go for lack of room"),
            ("/sessions/lost", json!(5), Level::Warning, "5 sessions could not be taken over"),
            ("/sessions/panics", json!(1), Level::Warning, "1 sessions were ended by a defect"),
            ("/log/lost", json!(6), Level::Warning, "6 log lines were lost"),
            ("/confinement/0/state", json!("partial"), Level::Warning, "confinement: user is partial"),
            (
                "/confinement/1/state",
                json!("off"),
                Level::Warning,
                "confinement: landlock is off: an old kernel",
            ),
        ] {
            let found = found(pointer, value);
            assert!(
                matches!(&found[..], [one] if one.0 == level && one.1.contains(text)),
                "{pointer}: {found:?}"
            );
        }
        let mut off = Report::default();
        let mut status = well();
        status["confinement"][1]["state"] = json!("off");
        judge(&mut off, &serde_json::from_value(status).expect("a status"), Sandbox::Off);
        assert!(off.entries().iter().all(|entry| entry.level == Level::Fine), "it is meant so");
    }
}
