//! Name servers and lists.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant as Clock};

use tokio::time::Instant;

use super::report::Report;
use crate::cli::lookup::explain;
use crate::config::{Config, Rough};
use crate::dns::{Answer, Dns, Key, Settings, Source, Subject, test_entries};
use crate::gate::Tables;
use crate::smtp::Domain;
use crate::source::Watcher;
use crate::verdict::{Kind, List, Place, Trouble};

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

/// Reads the files of lists. `rough` is what the configuration was made of.
pub(super) fn files(report: &mut Report, config: &Config, rough: &Rough) {
    match Tables::open(config, &Watcher::default(), &[]) {
        Ok((tables, notices)) => {
            for (list, state) in tables.states() {
                let (path, entries) = (state.path.display(), state.entries);
                report.fine("lists", format!("{} has {entries} entries in {path}", list.title()));
            }
            for members in tables.members() {
                let state = members.state();
                if state.failed.is_none() {
                    let (path, entries) = (state.path.display(), state.entries);
                    report.fine("lists", format!("{entries} members in {path}"));
                }
            }
            for map in tables.maps() {
                let entries = map.state().map_or(0, |state| state.entries);
                report.fine("lists", format!("the access map {} has {entries} entries", map.location()));
            }
            for notice in notices.into_iter().map(|notice| rough.censored(notice)) {
                report.warning("lists", format!("{}: {}", notice.place, notice.cause), notice.remedy);
            }
        }
        Err(problems) => {
            for problem in problems.into_iter().map(|problem| rough.censored(problem)) {
                report.wrong("lists", format!("{}: {}", problem.place, problem.cause), problem.remedy);
            }
        }
    }
}

/// Asks each name server and each list for the lists' test entries.
pub(super) fn ask(report: &mut Report, config: &Config, key: Option<&Key>) {
    let settings: Settings = config.into();
    if key.is_none() && config.asks_dqs() {
        report.skipped("lists", "those of DQS are not asked: there is no key");
    }
    let lists: Vec<List> =
        settings.lists.iter().copied().filter(|list| key.is_some() || !list.is_dqs()).collect();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        report.wrong("lists", "the runtime does not start", "look at the limits of the system");
        return;
    };
    // A list in a file says nothing about name servers.
    let dqs = (key.is_some() && config.asks_dqs()).then_some(List::ZEN);
    let first = dqs.or_else(|| lists.iter().copied().find(|list| !list.is_local()));
    runtime.block_on(async {
        if let Some(list) = first
            && !servers(report, config, key, list).await
        {
            report.wrong(
                "name servers",
                "none of them answers: every mail comes in unchecked",
                "apt install unbound (or dnf install unbound), or set dns.servers to one that answers",
            );
            return;
        }
        for list in lists {
            one_list(report, &settings, key, list).await;
        }
        for list in List::DQS.into_iter().filter(|list| !settings.lists.contains(list)) {
            report.skipped("lists", format!("{} is switched off", list.title()));
        }
    });
}

/// Asks each name server about an entry of one list. Whether any of them lives.
async fn servers(report: &mut Report, config: &Config, key: Option<&Key>, list: List) -> bool {
    let (present, _) = entries(list);
    let mut alive = false;
    for server in &config.nameservers {
        let settings = Settings { servers: vec![*server], ..config.into() };
        let began = Clock::now();
        let answer = one(&settings, key, list, present.clone()).await;
        alive |= server_entry(report, &server.to_string(), answer, began.elapsed());
    }
    alive
}

async fn one_list(report: &mut Report, settings: &Settings, key: Option<&Key>, list: List) {
    if let Place::File { path } = list.definition().place {
        report.fine("lists", format!("{} is a file of this host: {path}", list.title()));
        return;
    }
    let (present, absent) = entries(list);
    let unlisted = one(settings, key, list, absent).await;
    if list.definition().test.is_some() {
        let listed = one(settings, key, list, present).await;
        list_entry(report, list, listed, unlisted);
    } else {
        untested_entry(report, list, unlisted);
    }
}

/// What a list must have and what it must not have; for one without test entries what any list must not have.
fn entries(list: List) -> (Subject, Subject) {
    if let Some(entries) = test_entries(list) {
        return entries;
    }
    let nobody = match list.kind() {
        Kind::Address => Subject::Ip(Ipv4Addr::LOCALHOST.into()),
        // RFC 2606, section 2: nobody has it, so that nobody lists it.
        Kind::Domain => Subject::Domain(Domain::from_setting("invalid").expect("a legal domain")),
        Kind::Mailbox(digest) => Subject::mailbox("nobody@invalid", digest),
    };
    (nobody.clone(), nobody)
}

async fn one(settings: &Settings, key: Option<&Key>, list: List, subject: Subject) -> Answer {
    let dns = Dns::new(settings.clone(), key.cloned(), Source::Resolver);
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
        (_, Answer::Listed(_)) => everything(report, list),
        (Answer::NotListed, _) if list.is_dqs() => report.wrong(
            "lists",
            format!("{title} does not know its own test entry: the key is not valid for it"),
            "compare the key with the one in your Spamhaus account; a new one needs some minutes",
        ),
        (Answer::NotListed, _) => report.wrong(
            "lists",
            format!("{title} does not know its test entry: zone or key may be wrong, or it has no such entry"),
            "compare zone and key_file with what its owner says; set test to its own entries, or test = false",
        ),
        (Answer::Failed(trouble), _) | (_, Answer::Failed(trouble)) => failed(report, list, trouble),
    }
}

/// What the answer about nobody says about a list that has no test entries.
fn untested_entry(report: &mut Report, list: List, unlisted: Answer) {
    match unlisted {
        Answer::NotListed => report.fine(
            "lists",
            format!(
                "{} answers; whether it knows anything cannot be told without test entries (test = false)",
                list.title()
            ),
        ),
        Answer::Listed(_) => everything(report, list),
        Answer::Failed(trouble) => failed(report, list, trouble),
    }
}

fn everything(report: &mut Report, list: List) {
    report.wrong(
        "lists",
        format!("{} lists what it must not: somebody on the way answers everything", list.title()),
        "use a resolver of your own, which asks the list itself",
    );
}

fn failed(report: &mut Report, list: List, trouble: Trouble) {
    let remedy = match trouble {
        Trouble::Service(250..=252) => "ask Spamhaus about the account, or check the key: gatepost key set",
        Trouble::Service(254) => "use a resolver of your own, not a public one",
        Trouble::Service(255) => "the account's volume is used up: ask Spamhaus about the plan",
        Trouble::ServFail if list.is_dqs() => "the list may not be part of your plan: then switch it off",
        Trouble::Declined => "ask the list's owner why it refuses this host, and check key_file",
        Trouble::Bogus => "use a resolver of your own, which does not rewrite answers",
        Trouble::NoKey => "set key_file to a file that holds the key of this list",
        _ => "look at the name server",
    };
    // The words about trouble of DQS' own plans do not fit other lists.
    let told = match trouble {
        Trouble::ServFail if !list.is_dqs() => "the name server failed (SERVFAIL)".to_owned(),
        Trouble::NoKey if !list.is_dqs() => "its key is missing".to_owned(),
        trouble => explain(trouble),
    };
    report.wrong("lists", format!("{}: {told}", list.title()), remedy);
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
    fn a_list_without_test_entries_is_asked_about_nobody() {
        let toml = "[[list]]\nname = \"own\"\nkind = \"domain\"\nzone = \"list.example\"\ntest = false\n\
                    [[list]]\nname = \"people\"\nkind = \"mailbox\"\nhash = \"sha1-hex\"\nzone = \"p.example\"\n";
        let config = Config::from_texts("", toml).expect("a configuration");
        for own in &config.additions.lists {
            let list = own.list;
            assert!(list.definition().test.is_none());
            let told = |answer| {
                let mut report = Report::default();
                untested_entry(&mut report, list, answer);
                (report.entries()[0].level, report.entries()[0].text.clone())
            };
            assert_eq!(told(Answer::NotListed).0, Level::Fine);
            assert!(told(Answer::NotListed).1.contains("without test entries"));
            assert_eq!(told(Answer::Listed(list.all_codes())).0, Level::Wrong);
            let (level, text) = told(Answer::Failed(Trouble::ServFail));
            assert!(level == Level::Wrong && !text.contains("plan"), "{text}");
            let (_, subject) = entries(list);
            match list.kind() {
                Kind::Domain => assert_eq!(subject.to_string(), "invalid"),
                _ => assert_eq!(subject.to_string().len(), 40, "a digest"),
            }
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
