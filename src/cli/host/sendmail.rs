//! Sendmail: the filters that its configuration names.

use crate::server::Listen;

/// Where sendmail's configuration is, as it runs and as it is written.
pub(in crate::cli) const CF: &str = "/etc/mail/sendmail.cf";
/// The m4 source of [`CF`].
pub(in crate::cli) const MC: &str = "/etc/mail/sendmail.mc";

/// One filter of `sendmail.cf` (the `X` line).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Milter {
    /// Its name.
    pub(in crate::cli) name: String,
    /// `S=`: the endpoint.
    pub(in crate::cli) socket: String,
    /// `F=`: what happens while it is away: nothing, `T`, `R` or `4`.
    pub(in crate::cli) on_failure: String,
    /// `T=`: the timeouts.
    pub(in crate::cli) timeouts: String,
    /// Whether `O InputMailFilters` names it: others are not asked.
    pub(in crate::cli) is_used: bool,
}

/// The filters of a `sendmail.cf`.
pub(in crate::cli) fn parse(cf: &str) -> Vec<Milter> {
    let used: Vec<&str> = cf
        .lines()
        .filter_map(|line| line.strip_prefix("O InputMailFilters="))
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .collect();
    cf.lines()
        .filter_map(|line| {
            let (name, equates) = line.strip_prefix('X')?.split_once(',')?;
            let equate = |key: char| {
                let found = equates.split(',').map(str::trim).find_map(|part| {
                    part.strip_prefix(key).and_then(|part| part.trim_start().strip_prefix('='))
                });
                found.unwrap_or_default().trim().to_owned()
            };
            Some(Milter {
                name: name.trim().to_owned(),
                socket: equate('S'),
                on_failure: equate('F'),
                timeouts: equate('T'),
                is_used: used.contains(&name.trim()),
            })
        })
        .collect()
}

impl Milter {
    /// Whether it is reached at one of our endpoints.
    pub(in crate::cli) fn is_ours(&self, listens: &[Listen]) -> bool {
        let Ok(socket) = self.socket.parse::<Listen>() else { return false };
        listens.iter().any(|listen| match (&socket, listen) {
            (Listen::Unix(one), Listen::Unix(other)) => one == other,
            (
                Listen::Inet { port: one, .. } | Listen::Inet6 { port: one, .. },
                Listen::Inet { port: other, .. } | Listen::Inet6 { port: other, .. },
            ) => one == other,
            _ => false,
        })
    }
}

/// The line of `sendmail.mc` that makes it ask us.
pub(in crate::cli) fn line(socket: &str) -> String {
    format!("INPUT_MAIL_FILTER(`gatepost', `S={socket}, F=, T=C:5s;S:10s;R:10s;E:1m')dnl")
}

/// How Sendmail names an endpoint: libmilter's notation, with `local:` for Unix sockets.
pub(in crate::cli) fn name_of(listen: &Listen) -> String {
    match listen {
        Listen::Unix(path) => format!("local:{}", path.display()),
        other => other.to_string(),
    }
}

/// `sendmail.mc` with our line, in front of other filters and of the mailers; nothing if it has one.
pub(in crate::cli) fn with_us(mc: &str, socket: &str) -> Option<String> {
    if mc.lines().any(|line| line.trim_start().starts_with("INPUT_MAIL_FILTER(`gatepost'")) {
        return None;
    }
    let begins = |line: &str, word: &str| line.trim_start().starts_with(word);
    let lines: Vec<&str> = mc.lines().collect();
    let at = lines
        .iter()
        .position(|line| begins(line, "INPUT_MAIL_FILTER(") || begins(line, "MAIL_FILTER("))
        .or_else(|| {
            lines.iter().position(|line| begins(line, "MAILER(") || begins(line, "MAILER_DEFINITIONS"))
        })
        .unwrap_or(lines.len());
    let ours = line(socket);
    let (before, after) = lines.split_at(at);
    let mut text = [before, &[ours.as_str()], after].concat().join("\n");
    text.push('\n');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CF_TEXT: &str = "O InputMailFilters=gatepost, dkim\n\
                           Xgatepost, S=inet:11332@localhost, F=, T=C:5s;S:10s;R:10s;E:1m\n\
                           Xdkim, S=local:/run/dkim.sock, F=T\n\
                           Xunused, S=inet:9@localhost\n";

    #[test]
    fn filters_are_read_with_what_holds_for_them() {
        let read = parse(CF_TEXT);
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].socket, "inet:11332@localhost");
        assert_eq!((&*read[0].on_failure, &*read[0].timeouts), ("", "C:5s;S:10s;R:10s;E:1m"));
        assert_eq!(read.iter().map(|milter| milter.is_used).collect::<Vec<_>>(), [true, true, false]);
        let listens =
            ["inet:11332@127.0.0.1".parse().expect("an endpoint"), Listen::Unix("/run/dkim.sock".into())];
        assert!(read[0].is_ours(&listens) && read[1].is_ours(&listens) && !read[2].is_ours(&listens));
    }

    #[test]
    fn our_line_comes_before_other_filters_and_before_the_mailers() {
        let ours = line("local:/run/gatepost/milter.sock");
        let mc =
            "include(`x')dnl\nINPUT_MAIL_FILTER(`dkim', `S=inet:8891@localhost')dnl\nMAILER(`smtp')dnl\n";
        let made = with_us(mc, "local:/run/gatepost/milter.sock").expect("a line");
        let (ours_at, dkim) = (made.find(&ours).expect("ours"), made.find("`dkim'").expect("the other"));
        assert!(ours_at < dkim && made.ends_with("MAILER(`smtp')dnl\n"), "{made}");
        assert_eq!(with_us(&made, "inet:1@localhost"), None, "once is enough");
        let made = with_us("A\nMAILER(`local')\n", "inet:1@localhost").expect("a line");
        assert!(made.starts_with("A\nINPUT_MAIL_FILTER(`gatepost', `S=inet:1@localhost, F=,"), "{made}");
    }
}
