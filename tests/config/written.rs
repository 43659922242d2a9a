//! A configuration that is written out reads as the same.

use gatepost::config::{Config, Expectation, ListFile, Origin, OwnList, Place, SETTINGS, Shape};
use gatepost::policy::Rule;

/// A policy of all kinds of tables.
const POLICY: &str = include_str!("../data/policy.toml");

/// Lists in files of all formats; nobody opens them here.
const FILES: &str = r#"
[[list]]
name = "clients"
title = "Our clients"
file = "/etc/gatepost/lists/with a space, \"quotes\" and \u00fc"
format = "ip4set"
answers = { bad = "127.0.0.2", worse = "127.0.*.3-9" }
sessions = ["inbound", "login"]
[[list]]
name = "six"
file = "/etc/gatepost/lists/six"
format = "ip6trie"
bits = { known = 2 }
[[list]]
name = "names"
file = "/etc/gatepost/lists/names"
format = "dnset"
ask = ["client-name", "recipient"]
[[list]]
name = "people"
file = "/etc/gatepost/lists/people"
format = "plain"
kind = "mailbox"
[[rule]]
name = "friends"
list = "six"
codes = "known"
action = "allow"
mode = "off"
[[rule]]
name = "bad"
list = "clients"
codes = ["bad", "worse"]
action = "reject"
reply = "550 5.7.1 {ip}: {text}"
"#;

/// Values that are none of those built in, the odd ones among them.
const ODD: &str = r#"
listen = ["inet6:11333@::1", "unix:/run/with a, comma/\u00fc.sock"]
user = "mail$"
sandbox = "require"
threads = 3
connections = 17
overload = "tempfail"
without_key = "accept"
observe = true
exempt_recipients = []
local_domains = [".own.example", "b\u00fccher.example"]
trusted_networks = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]
on_failure = ["zen=tempfail", "authbl=tempfail"]
[socket]
owner = "mail"
mode = "0666"
[log]
level = "debug"
[control]
listen = "unix:/run/gatepost/control.sock"
[dns]
servers = ["127.0.0.1:5353", "[::1]:53", "[2001:db8::1]:5354"]
lifetime = 1.25
probe_interval = 0
skip_special = false
[cache]
ttl_listed = 0.5
honor_ttl = false
[enforce]
stage = "rcpt"
[zen]
reject_codes = "2,3,4,5,9"
action = ["10-11=tag", "30=discard"]
[zrd]
action = "tempfail"
max_age = 5
[reply]
zen = "554 5.7.1 {ip} \"quoted\" \\ back"
failure = "451 4.7.1 later"
[allow]
force = true
addresses = "0.0.0.0/0"
[session]
submission_daemons = ["sub,mission"]
"#;

fn config(env: &str, toml: &str) -> Config {
    Config::from_texts(env, toml).unwrap_or_else(|problems| panic!("{toml}\n{problems}"))
}

/// What does not depend on where it stands.
fn said(config: &Config) -> impl PartialEq + std::fmt::Debug {
    let origins: Vec<(String, Vec<String>)> =
        config.origins().iter().map(|origin| (origin.value.clone(), origin.items.clone())).collect();
    let rules: Vec<Rule> = config.additions.rules.iter().map(|(rule, _)| rule.clone()).collect();
    let list = |own: &OwnList| {
        let file = own.file.clone().map(|file| ListFile { place: Place::Nowhere, ..file });
        OwnList { file, place: Place::Nowhere, ..own.clone() }
    };
    let anywhere = |one: &Expectation| Expectation { place: Place::Nowhere, ..one.clone() };
    let expectations: Vec<Expectation> = config.additions.expectations.iter().map(anywhere).collect();
    let lists: Vec<OwnList> = config.additions.lists.iter().map(list).collect();
    (origins, lists, rules, config.additions.score.clone(), expectations)
}

#[test]
fn what_is_written_reads_as_the_same() {
    let tuned = "SPAMHAUS_DQS_DNS_LIFETIME=9\nSPAMHAUS_DQS_COMPAT_PARSE=1\nSPAMHAUS_DQS_THREADS=many\n";
    for (env, toml) in [("", ""), ("", ODD), ("", POLICY), ("", FILES), (tuned, POLICY)] {
        let first = config(env, toml);
        let text = first.as_toml();
        let second = config("", &text);
        assert_eq!(format!("{:?}", said(&second)), format!("{:?}", said(&first)), "{text}");
        assert!(said(&second) == said(&first), "{text}");
        assert_eq!(second.as_toml(), text, "and is written as the same again");
    }
}

#[test]
fn the_odd_values_are_those_of_every_shape() {
    let odd = config("", ODD);
    let changed = odd.origins().iter().filter(|origin| origin.is_changed());
    let shape =
        |origin: &Origin| SETTINGS.iter().find(|setting| setting.toml == origin.toml).map(|it| it.shape);
    let shapes: Vec<_> = changed.filter_map(shape).collect();
    for shape in [Shape::Text, Shape::Number, Shape::Flag, Shape::List] {
        assert!(shapes.iter().filter(|other| **other == shape).count() > 3, "{shape:?}");
    }
}

#[test]
fn a_key_is_never_written_whatever_it_got_into() {
    let key = "abcdefghij0123456789klmnop";
    let toml = format!(
        "[key]\nvalue = \"{key}\"\n[[rule]]\nname = \"r\"\nlist = \"zen\"\naction = \"reject\"\nreply = \"550 5.7.1 {key}\"\n"
    );
    // The key in force is refused there; the one that it wins over is no less a key.
    let config = config("SPAMHAUS_DQS_API_KEY=zyxwvutsrq9876543210ponmlk\n", &toml);
    let text = config.as_toml();
    assert!(!text.contains(key) && !text.contains("key.value"), "{text}");
    let json: String = config.additions.tables.iter().map(|table| table.json().to_string()).collect();
    assert!(json.contains("(...)") && !json.contains(key), "{json}");
}

#[test]
fn what_is_hidden_in_a_list_as_a_whole_is_hidden_in_its_entries() {
    let servers = "127.0.0.1,::1";
    let env = format!(
        "SPAMHAUS_DQS_COMPAT_PARSE=1\nSPAMHAUS_DQS_API_KEYS={servers}\nSPAMHAUS_DQS_NAMESERVERS={servers}\n"
    );
    let config = config(&env, "");
    let origin = config.origins().iter().find(|origin| origin.toml == "dns.servers").unwrap();
    assert_eq!((origin.value.as_str(), &origin.items), ("(...)", &vec!["(...)".to_owned()]));
}
