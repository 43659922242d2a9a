//! Postfix: its settings as `postconf` shows them, and which filters they name.

use std::path::{Path, PathBuf};

use super::ask;
use crate::server::Listen;

/// What of Postfix's configuration concerns a filter (postconf(5), master(5)).
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Postfix {
    /// `mail_version`, such as (3, 7).
    pub(in crate::cli) version: (u32, u32),
    /// `queue_directory`: the root directory of chrooted services, and where relative paths begin.
    pub(in crate::cli) queue: PathBuf,
    /// `mail_owner`: the account of `smtpd`.
    pub(in crate::cli) account: String,
    /// `smtpd_milters`, with nothing expanded: what `postconf -e` would have to keep.
    pub(in crate::cli) raw: String,
    /// `smtpd_milters`.
    pub(in crate::cli) milters: Vec<Milter>,
    /// `non_smtpd_milters`.
    pub(in crate::cli) non_smtpd: Vec<Milter>,
    /// `milter_default_action`.
    pub(in crate::cli) default_action: String,
    /// `milter_protocol`.
    pub(in crate::cli) protocol: String,
    /// The services of `master.cf` that run `smtpd`.
    pub(in crate::cli) services: Vec<Service>,
}

/// One filter of a list, with its own settings (Postfix' `MILTER_README`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) struct Milter {
    /// `inet:host:port` or `unix:path`.
    pub(in crate::cli) socket: String,
    /// What stands with it in braces.
    pub(in crate::cli) settings: Vec<(String, String)>,
}

/// A service of `master.cf`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) struct Service {
    /// Its first field, such as `smtp`, `submission` or `127.0.0.1:10025`.
    pub(in crate::cli) name: String,
    /// Whether it runs in a chroot.
    pub(in crate::cli) chroot: bool,
    /// What `-o smtpd_milters` says, if anything.
    pub(in crate::cli) milters: Option<Vec<Milter>>,
}

impl Service {
    /// Whether it is for a site's own users: by its name, or its port (RFC 8314, RFC 6409).
    pub(in crate::cli) fn is_submission(&self) -> bool {
        let port = self.name.rsplit_once(':').map_or(&*self.name, |(_, port)| port);
        matches!(port, "submission" | "submissions" | "smtps" | "465" | "587")
    }
}

impl Postfix {
    /// Asks `postconf`; nothing if there is no Postfix.
    pub(in crate::cli) fn find() -> Option<Self> {
        let one = |name: &str| ask("postconf", &["-x", "-h", name]).unwrap_or_default();
        let version = ask("postconf", &["-h", "mail_version"])?;
        let services = ask("postconf", &["-M"]).unwrap_or_default();
        let options = ask("postconf", &["-x", "-P", "*/*/smtpd_milters"]).unwrap_or_default();
        Some(Self {
            version: parse_version(&version),
            queue: one("queue_directory").into(),
            account: one("mail_owner"),
            raw: ask("postconf", &["-h", "smtpd_milters"]).unwrap_or_default(),
            milters: parse_milters(&one("smtpd_milters")),
            non_smtpd: parse_milters(&one("non_smtpd_milters")),
            default_action: one("milter_default_action"),
            protocol: one("milter_protocol"),
            services: parse_services(&services, &options),
        })
    }

    /// Whether a filter is reached at one of our endpoints.
    pub(in crate::cli) fn is_ours(&self, milter: &Milter, listens: &[Listen]) -> bool {
        listens.iter().any(|listen| self.leads_to(&milter.socket, listen))
    }

    fn leads_to(&self, socket: &str, listen: &Listen) -> bool {
        let (scheme, rest) = socket.split_once(':').unwrap_or(("", socket));
        match (scheme, listen) {
            ("unix", Listen::Unix(path)) => {
                // An absolute path begins in the chroot, if there is one.
                self.queue.join(rest) == *path
                    || Path::new(rest) == path
                    || self.queue.join(rest.trim_start_matches('/')) == *path
            }
            ("inet", Listen::Inet { port, .. } | Listen::Inet6 { port, .. }) => {
                rest.rsplit_once(':').is_some_and(|(_, its)| its.parse() == Ok(*port))
            }
            _ => false,
        }
    }

    /// How Postfix names an endpoint.
    pub(in crate::cli) fn name_of(&self, listen: &Listen) -> String {
        let host = |host: &Option<String>, local: &str| match host.as_deref() {
            // By its address: `localhost` may be something else in the chroot, and both families are tried.
            None | Some("localhost") => local.to_owned(),
            Some(host) if host.contains(':') => format!("[{host}]"),
            Some(host) => host.to_owned(),
        };
        match listen {
            Listen::Inet { port, host: at } => format!("inet:{}:{port}", host(at, "127.0.0.1")),
            Listen::Inet6 { port, host: at } => format!("inet:{}:{port}", host(at, "[::1]")),
            Listen::Unix(path) => match path.strip_prefix(&self.queue) {
                Ok(relative) => format!("unix:{}", relative.display()),
                Err(_) => format!("unix:{}", path.display()),
            },
        }
    }

    /// The value of `smtpd_milters` that puts us in front of what is there; nothing if we are there.
    pub(in crate::cli) fn with_us(&self, listens: &[Listen], socket: &str) -> Option<String> {
        if self.milters.iter().any(|milter| self.is_ours(milter, listens) || milter.socket == socket) {
            return None;
        }
        let us = if self.version < (3, 0) {
            socket.to_owned()
        } else {
            format!("{{ {socket}, connect_timeout=5s, command_timeout=10s, default_action=accept }}")
        };
        let others = self.raw.trim();
        Some(if others.is_empty() { us } else { format!("{us}, {others}") })
    }
}

fn parse_version(text: &str) -> (u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Reads a list of filters: separated by commas or blanks, in braces with settings of their own.
pub(in crate::cli) fn parse_milters(text: &str) -> Vec<Milter> {
    let mut milters = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return milters;
        }
        let one;
        if let Some(inner) = rest.strip_prefix('{') {
            let (inside, after) = inner.split_once('}').unwrap_or((inner, ""));
            (one, rest) = (inside, after);
            let mut parts = one.split(',').map(str::trim);
            let socket = parts.next().unwrap_or_default().to_owned();
            let settings = parts
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .collect();
            milters.push(Milter { socket, settings });
        } else {
            let end = rest.find([',', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
            (one, rest) = rest.split_at(end);
            milters.push(Milter { socket: one.to_owned(), settings: Vec::new() });
        }
    }
}

/// The `smtpd` services among the lines of `postconf -M`, with the options of `postconf -P`.
fn parse_services(services: &str, options: &str) -> Vec<Service> {
    let option = |name: &str, kind: &str| {
        let prefix = format!("{name}/{kind}/smtpd_milters");
        options.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == prefix).then(|| parse_milters(value))
        })
    };
    services
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [name, kind, _, _, chroot, _, _, command, ..] = fields[..] else { return None };
            let milters = option(name, kind);
            (command == "smtpd").then(|| Service { name: name.to_owned(), chroot: chroot == "y", milters })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milter(socket: &str) -> Milter {
        Milter { socket: socket.to_owned(), settings: Vec::new() }
    }

    fn postfix() -> Postfix {
        Postfix { version: (3, 7), queue: "/var/spool/postfix".into(), ..Postfix::default() }
    }

    #[test]
    fn lists_of_filters_are_read_with_and_without_braces() {
        assert_eq!(parse_milters("  "), []);
        assert_eq!(
            parse_milters("inet:localhost:8891, unix:a/b\tunix:/c"),
            [milter("inet:localhost:8891"), milter("unix:a/b"), milter("unix:/c")]
        );
        let read = parse_milters(
            "{ unix:gatepost/milter.sock, connect_timeout = 5s,default_action=accept },inet:h:1",
        );
        assert_eq!(read[0].socket, "unix:gatepost/milter.sock");
        let settings = [("connect_timeout", "5s"), ("default_action", "accept")];
        assert_eq!(read[0].settings, settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read[1], milter("inet:h:1"));
        assert_eq!(parse_milters("{ unix:open"), [milter("unix:open")]);
    }

    #[test]
    fn services_are_read_with_their_own_filters() {
        let services = "smtp       inet  n       -       y       -       -       smtpd\n\
                        submission inet n - n - - smtpd -o smtpd_milters= -o x=y\n\
                        pickup     unix  n       -       y       60      1       pickup\n\
                        127.0.0.1:10025 inet n - - - - smtpd";
        let read = parse_services(services, "submission/inet/smtpd_milters = ");
        let names: Vec<_> = read.iter().map(|service| (&*service.name, service.chroot)).collect();
        assert_eq!(names, [("smtp", true), ("submission", false), ("127.0.0.1:10025", false)]);
        assert_eq!(read.iter().map(Service::is_submission).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(read[1].milters, Some(Vec::new()));
        assert_eq!(read[0].milters, None);
    }

    #[test]
    fn our_endpoints_are_recognised_however_postfix_names_them() {
        let unix = Listen::Unix("/var/spool/postfix/gatepost/milter.sock".into());
        let inet: Listen = "inet:11332@localhost".parse().expect("an endpoint");
        let listens = [unix.clone(), inet.clone()];
        for socket in [
            "unix:gatepost/milter.sock",
            "unix:/var/spool/postfix/gatepost/milter.sock",
            "unix:/gatepost/milter.sock",
            "inet:127.0.0.1:11332",
            "inet:localhost:11332",
        ] {
            assert!(postfix().is_ours(&milter(socket), &listens), "{socket}");
        }
        for socket in ["unix:rspamd/rspamd.sock", "inet:localhost:8891", "", "unix:"] {
            assert!(!postfix().is_ours(&milter(socket), &listens), "{socket}");
        }
        assert_eq!(postfix().name_of(&unix), "unix:gatepost/milter.sock");
        assert_eq!(postfix().name_of(&inet), "inet:127.0.0.1:11332");
        assert_eq!(postfix().name_of(&"inet6:11332@::1".parse().expect("an endpoint")), "inet:[::1]:11332");
    }

    #[test]
    fn we_come_first_and_once_and_others_stay() {
        let listens = [Listen::Unix("/var/spool/postfix/gatepost/milter.sock".into())];
        let us =
            "{ unix:gatepost/milter.sock, connect_timeout=5s, command_timeout=10s, default_action=accept }";
        let mut postfix = postfix();
        assert_eq!(postfix.with_us(&listens, "unix:gatepost/milter.sock").as_deref(), Some(us));
        postfix.raw = "inet:localhost:8891, $other".to_owned();
        let both = format!("{us}, inet:localhost:8891, $other");
        assert_eq!(postfix.with_us(&listens, "unix:gatepost/milter.sock"), Some(both.clone()));
        postfix.milters = parse_milters(&both);
        assert_eq!(postfix.with_us(&listens, "unix:gatepost/milter.sock"), None);
        let old = Postfix { version: (2, 11), ..self::postfix() };
        assert_eq!(old.with_us(&listens, "inet:h:1").as_deref(), Some("inet:h:1"), "no braces before 3.0");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(parse_version("3.7.11"), (3, 7));
        assert_eq!(parse_version("3.11-20260101"), (3, 11));
        assert_eq!(parse_version("nonsense"), (0, 0));
    }
}
