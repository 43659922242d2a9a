//! The mail servers: whether they ask gatepost, and how.

use std::path::Path;

use super::probe;
use super::report::Report;
use crate::cli::host::postfix::{Milter, Postfix};
use crate::cli::host::sendmail;
use crate::config::Config;
use crate::server::Listen;

/// Patience of one answer that a filter's worst case needs: its own limit and a reserve.
fn least_patience(config: &Config) -> u64 {
    config.milter_timeout.as_secs() + 1
}

pub(super) fn postfix(report: &mut Report, postfix: Option<&Postfix>, config: &Config, listens: &[Listen]) {
    let Some(postfix) = postfix else {
        report.skipped("postfix", "there is none");
        return;
    };
    let Some(place) = postfix.milters.iter().position(|milter| postfix.is_ours(milter, listens)) else {
        report.wrong("postfix", "it does not ask gatepost", "gatepost mta postfix --apply");
        return;
    };
    report.fine("postfix", format!("main.cf names {}", postfix.milters[place].socket));
    if place > 0 {
        report.warning(
            "postfix",
            format!("{place} other filter(s) come first and do their work for mail that will be refused"),
            "put gatepost first in smtpd_milters",
        );
    }
    patience(report, postfix, &postfix.milters[place], config);
    if postfix.non_smtpd.iter().any(|milter| postfix.is_ours(milter, listens)) {
        report.warning(
            "postfix",
            "non_smtpd_milters names gatepost: local mail has no client to look at",
            "take it out of non_smtpd_milters",
        );
    } else {
        report.fine("postfix", "non_smtpd_milters does not name gatepost");
    }
    if postfix.protocol.parse().is_ok_and(|version: u32| version < 6) {
        report.warning(
            "postfix",
            format!("milter_protocol is {}: fewer events can be declined", postfix.protocol),
            "postconf -X milter_protocol",
        );
    } else {
        report.fine("postfix", "milter_protocol is 6");
    }
    services(report, postfix, listens);
}

fn patience(report: &mut Report, postfix: &Postfix, milter: &Milter, config: &Config) {
    let own = |name: &str| milter.settings.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    let action = own("default_action").unwrap_or(&postfix.default_action);
    if action == "accept" {
        report.fine("postfix", "while gatepost is away mail comes in (default_action=accept)");
    } else {
        report.warning(
            "postfix",
            format!("while gatepost is away all mail is turned away (default_action={action})"),
            "{ …, default_action=accept } in smtpd_milters, for this filter alone",
        );
    }
    match own("command_timeout").and_then(seconds) {
        Some(time) if time < least_patience(config) => report.wrong(
            "postfix",
            format!(
                "command_timeout={time}s is shorter than the time an answer may take ({} s)",
                config.milter_timeout.as_secs()
            ),
            "command_timeout=10s",
        ),
        Some(_) => report.fine("postfix", "command_timeout leaves time for every answer"),
        None => report.warning(
            "postfix",
            "a filter that hangs holds a session for 30 s (milter_command_timeout)",
            "{ …, connect_timeout=5s, command_timeout=10s } in smtpd_milters",
        ),
    }
}

/// A time as Postfix writes it (postconf(5)).
fn seconds(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let unit = match &text[end..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn services(report: &mut Report, postfix: &Postfix, listens: &[Listen]) {
    for service in &postfix.services {
        let asks = |milters: &Vec<Milter>| milters.iter().any(|milter| postfix.is_ours(milter, listens));
        match (&service.milters, service.is_submission()) {
            (None, true) => report.warning(
                "postfix",
                format!("master.cf: {} asks gatepost about your own users", service.name),
                "-o smtpd_milters= below it; gatepost spares logins and ports 465 and 587, but not the question",
            ),
            (Some(milters), true) if asks(milters) => report.warning(
                "postfix",
                format!("master.cf: {} asks gatepost about your own users", service.name),
                "take it out of that service's smtpd_milters",
            ),
            (Some(milters), false) if !asks(milters) && service.name == "smtp" => report.wrong(
                "postfix",
                "master.cf: smtp has smtpd_milters of its own, without gatepost",
                "put it there, or take the -o out",
            ),
            _ => report.fine("postfix", format!("master.cf: {} is as it should be", service.name)),
        }
    }
}

/// Whether Postfix' account gets to the socket, from its chroot if it has one.
pub(super) fn reach(report: &mut Report, postfix: Option<&Postfix>, listens: &[Listen]) {
    let Some(postfix) = postfix else { return };
    let ours = postfix.milters.iter().find(|milter| postfix.is_ours(milter, listens));
    let Some(path) = ours.and_then(|milter| milter.socket.strip_prefix("unix:")) else {
        report.skipped("reach", "Postfix reaches gatepost over TCP, or not at all");
        return;
    };
    if !nix::unistd::Uid::effective().is_root() {
        report.skipped("reach", "only root can try it as Postfix' account: sudo gatepost doctor");
        return;
    }
    let mut roots: Vec<Option<&Path>> = postfix
        .services
        .iter()
        .filter(|service| !service.is_submission())
        .map(|service| service.chroot.then_some(&*postfix.queue))
        .collect();
    roots.sort_unstable();
    roots.dedup();
    for root in roots {
        // Postfix' services work in the queue directory: there relative paths begin.
        let (seen, from) = match root {
            Some(_) => (Path::new("/").join(path.trim_start_matches('/')), "from the chroot"),
            None => (postfix.queue.join(path), "without chroot"),
        };
        match probe::try_as(&postfix.account, root, &seen) {
            Ok(()) => report.fine("reach", format!("{} reaches unix:{path} {from}", postfix.account)),
            Err(error) => report.wrong(
                "reach",
                format!("{} does not reach unix:{path} {from}: {error}", postfix.account),
                "use unix:gatepost/milter.sock, and SocketGroup=postfix in a drop-in of gatepost.socket",
            ),
        }
    }
}

pub(super) fn sendmail(report: &mut Report, listens: &[Listen], config: &Config) {
    match std::fs::read_to_string(sendmail::CF) {
        Ok(cf) => judge_sendmail(report, &cf, listens, config),
        Err(_) => report.skipped("sendmail", "there is none"),
    }
}

fn judge_sendmail(report: &mut Report, cf: &str, listens: &[Listen], config: &Config) {
    let milters = sendmail::parse(cf);
    let Some(milter) = milters.iter().find(|milter| milter.is_ours(listens)) else {
        report.wrong("sendmail", "it does not ask gatepost", "gatepost mta sendmail --apply");
        return;
    };
    if milter.is_used {
        report.fine("sendmail", format!("sendmail.cf names {}", milter.socket));
    } else {
        report.wrong(
            "sendmail",
            format!("the filter {} is defined and not used", milter.name),
            "INPUT_MAIL_FILTER instead of MAIL_FILTER, or name it in confINPUT_MAIL_FILTERS",
        );
    }
    match &*milter.on_failure {
        "" => report.fine("sendmail", "while gatepost is away mail comes in (F=)"),
        flag => report.warning(
            "sendmail",
            format!("while gatepost is away all mail is turned away (F={flag})"),
            "F= in its INPUT_MAIL_FILTER",
        ),
    }
    let reply = milter.timeouts.split(';').find_map(|part| part.trim().strip_prefix("R:")).and_then(seconds);
    match reply {
        Some(time) if time < least_patience(config) => report.wrong(
            "sendmail",
            format!(
                "T=R:{time}s is shorter than the time an answer may take ({} s)",
                config.milter_timeout.as_secs()
            ),
            "T=C:5s;S:10s;R:10s;E:1m",
        ),
        _ => report.fine("sendmail", "its patience suffices for every answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;
    use crate::cli::host::postfix::{Service, parse_milters};

    const GOOD: &str =
        "{ unix:gatepost/milter.sock, connect_timeout=5s, command_timeout=10s, default_action=accept }";

    fn listens() -> Vec<Listen> {
        vec![Listen::Unix("/var/spool/postfix/gatepost/milter.sock".into())]
    }

    fn good() -> Postfix {
        Postfix {
            version: (3, 7),
            queue: "/var/spool/postfix".into(),
            account: "postfix".into(),
            raw: GOOD.into(),
            milters: parse_milters(GOOD),
            default_action: "tempfail".into(),
            protocol: "6".into(),
            services: vec![
                Service { name: "smtp".into(), chroot: true, milters: None },
                Service { name: "submission".into(), chroot: true, milters: Some(Vec::new()) },
            ],
            ..Postfix::default()
        }
    }

    fn worst(set_up: &Postfix) -> Vec<String> {
        let mut report = Report::default();
        postfix(&mut report, Some(set_up), &Config::default(), &listens());
        let bad =
            report.entries().iter().filter(|entry| matches!(entry.level, Level::Warning | Level::Wrong));
        bad.inspect(|entry| assert!(!entry.remedy.is_empty(), "{}", entry.text))
            .map(|entry| entry.text.clone())
            .collect()
    }

    #[test]
    fn a_good_set_up_raises_no_alarm() {
        assert_eq!(worst(&good()), Vec::<String>::new());
        let mut report = Report::default();
        let cf = "O InputMailFilters=gatepost\nXgatepost, S=local:/var/spool/postfix/gatepost/milter.sock, F=, T=C:5s;S:10s;R:10s;E:1m\n";
        judge_sendmail(&mut report, cf, &listens(), &Config::default());
        assert!(report.entries().iter().all(|entry| entry.level == Level::Fine), "{:?}", report.entries());
    }

    #[test]
    fn every_mistake_in_postfix_is_found_with_its_remedy() {
        type Mistake = (fn(&mut Postfix), &'static str);
        let mistakes: [Mistake; 10] = [
            (|postfix| postfix.milters.clear(), "does not ask gatepost"),
            (|postfix| postfix.milters = parse_milters("unix:other/milter.sock"), "does not ask gatepost"),
            (
                |postfix| {
                    postfix
                        .milters
                        .insert(0, Milter { socket: "inet:localhost:8891".into(), settings: vec![] });
                },
                "come first",
            ),
            (
                |postfix| postfix.milters = parse_milters("unix:gatepost/milter.sock"),
                "default_action=tempfail",
            ),
            (
                |postfix| {
                    postfix.milters = parse_milters("{ unix:gatepost/milter.sock, default_action=accept }");
                },
                "hangs holds a session",
            ),
            (
                |postfix| {
                    postfix.milters = parse_milters(
                        "{ unix:gatepost/milter.sock, default_action=accept, command_timeout=1s }",
                    );
                },
                "shorter than the time",
            ),
            (|postfix| postfix.non_smtpd = parse_milters("unix:gatepost/milter.sock"), "non_smtpd_milters"),
            (|postfix| postfix.protocol = "2".into(), "milter_protocol is 2"),
            (|postfix| postfix.services[1].milters = None, "your own users"),
            (|postfix| postfix.services[0].milters = Some(Vec::new()), "of its own, without gatepost"),
        ];
        for (make, expected) in mistakes {
            let mut set_up = good();
            make(&mut set_up);
            let found = worst(&set_up);
            assert!(found.iter().any(|text| text.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn every_mistake_in_sendmail_is_found() {
        for (cf, expected) in [
            ("O InputMailFilters=\n", "does not ask"),
            ("Xgatepost, S=local:/var/spool/postfix/gatepost/milter.sock, F=\n", "defined and not used"),
            (
                "O InputMailFilters=g\nXg, S=local:/var/spool/postfix/gatepost/milter.sock, F=T\n",
                "turned away (F=T)",
            ),
            (
                "O InputMailFilters=g\nXg, S=local:/var/spool/postfix/gatepost/milter.sock, F=, T=R:1s\n",
                "T=R:1s is shorter",
            ),
        ] {
            let mut report = Report::default();
            judge_sendmail(&mut report, cf, &listens(), &Config::default());
            assert!(report.entries().iter().any(|entry| entry.text.contains(expected)), "{expected}");
        }
    }

    #[test]
    fn times_are_read_as_postfix_writes_them() {
        for (text, expected) in [
            ("10", Some(10)),
            ("10s", Some(10)),
            ("2m", Some(120)),
            ("1h", Some(3600)),
            ("x", None),
            ("5x", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
