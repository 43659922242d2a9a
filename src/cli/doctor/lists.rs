//! Name servers and lists.

use std::time::{Duration, Instant as Clock};

use tokio::time::Instant;

use super::report::Report;
use crate::cli::lookup::explain;
use crate::config::Config;
use crate::dns::{Answer, Dns, Key, Settings, Source, test_entries};
use crate::gate::Tables;
use crate::source::Watcher;
use crate::verdict::{List, Trouble};

/// An answer that takes longer says that the cache of the name server is far away, or that there is none.
const SLOW: Duration = Duration::from_millis(200);

pub(super) fn name_servers(report: &mut Report, config: &Config) {
    let servers: Vec<String> = config.nameservers.iter().map(ToString::to_string).collect();
    let away: Vec<&std::net::SocketAddr> =
        config.nameservers.iter().filter(|server| !server.ip().is_loopback()).collect();
    if away.is_empty() {
        report.fine("name servers", format!("{}, on this host", servers.join(", ")));
    }
    for server in away {
        report.warning(
            "name servers",
            format!("{server} is not on this host: the key travels there in clear text"),
            "run unbound on this host and set dns.servers = [\"127.0.0.1\"]",
        );
    }
}

/// Reads the files of lists.
pub(super) fn files(report: &mut Report, config: &Config) {
    match Tables::open(config, &Watcher::default(), &[]) {
        Ok((tables, notices)) => {
            for (list, state) in tables.states() {
                let (path, entries) = (state.path.display(), state.entries);
                report.fine("lists", format!("{} has {entries} entries in {path}", list.title()));
            }
            for notice in notices {
                report.warning("lists", format!("{}: {}", notice.place, notice.cause), notice.remedy);
            }
        }
        Err(problems) => {
            for problem in problems {
                report.wrong("lists", format!("{}: {}", problem.place, problem.cause), problem.remedy);
            }
        }
    }
}

/// Asks each name server and each list for the lists' test entries.
pub(super) fn ask(report: &mut Report, config: &Config, key: Option<Key>) {
    let Some(key) = key else {
        report.skipped("lists", "not asked: there is no key");
        return;
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        report.wrong("lists", "the runtime does not start", "look at the limits of the system");
        return;
    };
    runtime.block_on(async {
        let mut alive = false;
        for server in &config.nameservers {
            let settings = Settings { servers: vec![*server], ..config.into() };
            let began = Clock::now();
            let answer = one(&settings, &key, List::ZEN, true).await;
            let took = began.elapsed();
            alive |= server_entry(report, &server.to_string(), answer, took);
        }
        if !alive {
            report.wrong(
                "name servers",
                "none of them answers: every mail comes in unchecked",
                "apt install unbound (or dnf install unbound), or set dns.servers to one that answers",
            );
            return;
        }
        let settings: Settings = config.into();
        for list in settings.lists.clone() {
            let listed = one(&settings, &key, list, true).await;
            let unlisted = one(&settings, &key, list, false).await;
            list_entry(report, list, listed, unlisted);
        }
        for list in List::DQS.into_iter().filter(|list| !settings.lists.contains(list)) {
            report.skipped("lists", format!("{} is switched off", list.title()));
        }
    });
}

/// Asks for the entry that a list must have, or for the one that it must not have.
async fn one(settings: &Settings, key: &Key, list: List, listed: bool) -> Answer {
    let dns = Dns::new(settings.clone(), Some(key.clone()), Source::Resolver);
    let Some((must, must_not)) = test_entries(list) else { return Answer::Failed(Trouble::Misuse) };
    let subject = if listed { must } else { must_not };
    dns.ask(list, subject).wait(Instant::now() + settings.lifetime).await.answer
}

/// What the first answer of a name server says about it. Whether it answered at all.
fn server_entry(report: &mut Report, server: &str, answer: Answer, took: Duration) -> bool {
    match answer {
        Answer::Failed(trouble @ (Trouble::Timeout | Trouble::Network | Trouble::Refused)) => {
            report.warning(
                "name servers",
                format!("{server}: {}", explain(trouble)),
                "start it, allow this host to ask it, or take it out of dns.servers",
            );
            false
        }
        _ if took > SLOW => {
            report.warning(
                "name servers",
                format!("{server} took {} ms for one answer", took.as_millis()),
                "a caching resolver on this host answers most questions at once",
            );
            true
        }
        _ => {
            report.fine("name servers", format!("{server} answers, in {} ms", took.as_millis()));
            true
        }
    }
}

/// What the answers for both test entries say about a list.
fn list_entry(report: &mut Report, list: List, listed: Answer, unlisted: Answer) {
    let title = list.title();
    match (listed, unlisted) {
        (Answer::Listed(_), Answer::NotListed) => {
            report.fine("lists", format!("{title} knows its test entry and nothing else"));
        }
        (_, Answer::Listed(_)) => report.wrong(
            "lists",
            format!("{title} lists what it must not: somebody on the way answers everything"),
            "use a resolver of your own, which asks the list itself",
        ),
        (Answer::NotListed, _) => report.wrong(
            "lists",
            format!("{title} does not know its own test entry: the key is not valid for it"),
            "compare the key with the one in your Spamhaus account; a new one needs some minutes",
        ),
        (Answer::Failed(trouble), _) | (_, Answer::Failed(trouble)) => {
            let remedy = match trouble {
                Trouble::Service(250..=252) => {
                    "ask Spamhaus about the account, or check the key: gatepost key set"
                }
                Trouble::Service(254) => "use a resolver of your own, not a public one",
                Trouble::Service(255) => "the account's volume is used up: ask Spamhaus about the plan",
                Trouble::ServFail => "the list may not be part of your plan: then switch it off",
                Trouble::Bogus => "use a resolver of your own, which does not rewrite answers",
                _ => "look at the name server",
            };
            report.wrong("lists", format!("{title}: {}", explain(trouble)), remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;
    use crate::verdict::Codes;

    #[test]
    fn each_pair_of_answers_has_its_meaning() {
        let listed = Answer::Listed(Codes::of(0, [2]));
        let level = |one, other| {
            let mut report = Report::default();
            list_entry(&mut report, List::ZEN, one, other);
            (report.entries()[0].level, report.entries()[0].remedy.clone())
        };
        assert_eq!(level(listed, Answer::NotListed).0, Level::Fine);
        for (one, other) in [
            (listed, listed),
            (Answer::NotListed, Answer::NotListed),
            (Answer::Failed(Trouble::Service(250)), Answer::Failed(Trouble::Service(250))),
            (Answer::Failed(Trouble::Service(254)), Answer::NotListed),
            (Answer::Failed(Trouble::Service(255)), Answer::NotListed),
            (Answer::Failed(Trouble::Bogus), Answer::NotListed),
            (listed, Answer::Failed(Trouble::ServFail)),
        ] {
            let (level, remedy) = level(one, other);
            assert_eq!(level, Level::Wrong, "{one:?} {other:?}");
            assert!(!remedy.is_empty());
        }
    }

    #[test]
    fn a_name_server_that_is_silent_slow_or_far_is_named() {
        let level = |answer, took| {
            let mut report = Report::default();
            let alive = server_entry(&mut report, "127.0.0.1:53", answer, Duration::from_millis(took));
            (report.entries()[0].level, alive)
        };
        assert_eq!(level(Answer::NotListed, 3), (Level::Fine, true));
        assert_eq!(level(Answer::NotListed, 300), (Level::Warning, true));
        assert_eq!(level(Answer::Failed(Trouble::Timeout), 1800), (Level::Warning, false));
        assert_eq!(
            level(Answer::Failed(Trouble::ServFail), 3),
            (Level::Fine, true),
            "it answers; the list is another matter"
        );
        let mut report = Report::default();
        let config = Config::from_texts("", "[dns]\nservers = [\"127.0.0.1\", \"192.0.2.53\"]\n")
            .expect("a configuration");
        name_servers(&mut report, &config);
        assert_eq!(report.entries()[0].level, Level::Warning);
    }
}
