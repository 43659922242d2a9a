//! `SELinux`, `AppArmor`, and what the running process may do.

use std::fs;

use super::report::Report;
use crate::cli::host::ask;
use crate::server::Listen;

/// The domain of the daemon in the `SELinux` module.
const DOMAIN: &str = "gatepost_milter_t";

pub(super) fn labels(report: &mut Report, listens: &[Listen], process: Option<u32>) {
    let label = process.and_then(|process| fs::read_to_string(format!("/proc/{process}/attr/current")).ok());
    let label = label.as_deref().map(|label| label.trim_end_matches(['\0', '\n']));
    match fs::read_to_string("/sys/fs/selinux/enforce").as_deref().map(str::trim) {
        Ok(mode) => {
            let ports = ask("semanage", &["port", "-l"]);
            selinux(report, mode == "1", label, listens, ports.as_deref());
        }
        Err(_) => report.skipped("SELinux", "off on this machine"),
    }
    if fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|on| on.starts_with('Y')) {
        apparmor(report, label);
    } else {
        report.skipped("AppArmor", "off on this machine");
    }
}

fn selinux(
    report: &mut Report,
    enforcing: bool,
    label: Option<&str>,
    listens: &[Listen],
    ports: Option<&str>,
) {
    if enforcing {
        report.fine("SELinux", "enforcing");
    } else {
        report.warning("SELinux", "permissive: it only writes down what it would deny", "setenforce 1");
    }
    match label {
        Some(label) if label.contains(DOMAIN) => report.fine("SELinux", format!("the service runs as {DOMAIN}")),
        Some(label) => report.warning(
            "SELinux",
            format!("the service runs as {label}, not confined by our module"),
            "install gatepost-selinux, then: restorecon -v /usr/sbin/gatepost; systemctl restart gatepost.service",
        ),
        None => report.skipped("SELinux", "the service does not run"),
    }
    for listen in listens {
        let (Listen::Inet { port, .. } | Listen::Inet6 { port, .. }) = listen else { continue };
        let allowed = ports.map(|ports| is_milter_port(ports, *port));
        if allowed == Some(false) {
            report.warning(
                "SELinux",
                format!("port {port} has no label that lets a filter listen there"),
                format!("semanage port -a -t milter_port_t -p tcp {port}"),
            );
        }
    }
}

/// Whether `semanage port -l` gives a port to filters.
fn is_milter_port(ports: &str, port: u16) -> bool {
    ports.lines().filter(|line| line.starts_with("milter_port_t")).any(|line| {
        line.split_whitespace().skip(2).any(|item| {
            let item = item.trim_end_matches(',');
            match item.split_once('-') {
                Some((from, to)) => {
                    from.parse().is_ok_and(|from: u16| from <= port)
                        && to.parse().is_ok_and(|to: u16| port <= to)
                }
                None => item.parse() == Ok(port),
            }
        })
    })
}

fn apparmor(report: &mut Report, label: Option<&str>) {
    match label {
        Some(label) if label.contains("gatepost") && label.ends_with("(enforce)") => {
            report.fine("AppArmor", format!("the service is confined: {label}"));
        }
        Some(label) if label.contains("gatepost") => report.warning(
            "AppArmor",
            format!("the profile only writes down what it would deny: {label}"),
            "aa-enforce /etc/apparmor.d/usr.sbin.gatepost",
        ),
        Some(_) => report.warning(
            "AppArmor",
            "the service is not confined",
            "apparmor_parser -r /etc/apparmor.d/usr.sbin.gatepost; systemctl restart gatepost.service",
        ),
        None => report.skipped("AppArmor", "the service does not run"),
    }
}

/// What `/proc` says about the running service.
pub(super) fn process(report: &mut Report, process: Option<u32>) {
    let status = process.and_then(|process| fs::read_to_string(format!("/proc/{process}/status")).ok());
    match status {
        Some(status) => judge(report, &status),
        None => report.skipped("sandbox", "the service does not run"),
    }
}

fn judge(report: &mut Report, status: &str) {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or_default()
    };
    let remedy = "use the packaged unit: systemctl cat gatepost.service shows what overrides it";
    let root = field("Uid").split_whitespace().any(|uid| uid == "0");
    let capable = ["CapEff", "CapPrm"].iter().any(|set| field(set).bytes().any(|digit| digit != b'0'));
    for (bad, text, good) in [
        (root, "it runs as root", "it does not run as root"),
        (capable, "it has capabilities", "it has no capability"),
        (field("NoNewPrivs") != "1", "it could gain privileges", "it cannot gain privileges"),
        (
            field("Seccomp") != "2",
            "no system call is closed to it",
            "system calls it does not need are closed",
        ),
    ] {
        if bad {
            report.warning("sandbox", text, remedy);
        } else {
            report.fine("sandbox", good);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    fn bad(report: &Report) -> Vec<&str> {
        let bad = report.entries().iter().filter(|entry| entry.level == Level::Warning);
        bad.map(|entry| &*entry.text).collect()
    }

    #[test]
    fn what_a_process_may_do_is_read_from_its_status() {
        let good = "Uid:\t64001\t64001\t64001\t64001\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let mut report = Report::default();
        judge(&mut report, good);
        assert!(bad(&report).is_empty() && report.entries().len() == 4);
        let mut report = Report::default();
        judge(&mut report, "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\n");
        assert_eq!(bad(&report).len(), 4);
    }

    #[test]
    fn labels_are_judged() {
        let listens = ["inet:11332@localhost".parse().expect("an endpoint")];
        let ports = "milter_port_t                  tcp      8890, 8891, 8893\nsmtp_port_t tcp 25";
        let mut report = Report::default();
        selinux(&mut report, true, Some("system_u:system_r:gatepost_milter_t:s0"), &[], Some(ports));
        assert!(bad(&report).is_empty());
        let mut report = Report::default();
        selinux(&mut report, false, Some("system_u:system_r:unconfined_service_t:s0"), &listens, Some(ports));
        assert_eq!(bad(&report).len(), 3);
        assert!(is_milter_port(ports, 8891) && !is_milter_port(ports, 25));
        assert!(is_milter_port("milter_port_t tcp 11330-11340", 11_332));
        for (label, count) in
            [("gatepost (enforce)", 0), ("/usr/sbin/gatepost (complain)", 1), ("unconfined", 1)]
        {
            let mut report = Report::default();
            apparmor(&mut report, Some(label));
            assert_eq!(bad(&report).len(), count, "{label}");
        }
    }
}
