//! Configurations: any text of an env file and of a TOML file.

use std::ops::Range;

use gatepost::config::{Config, SETTINGS};
use gatepost::dns::Key;
use gatepost::smtp::{Stage, is_unprintable};

/// As long as a real key, and none. Inputs hold it in all kinds of places.
pub const KEY: &str = "abcdefghij0123456789klmnop";
/// What stands between the env file and the TOML file; without it the input is tried as each of them.
const BORDER: &str = "\n---\n";

/// Whatever an administrator writes, it is refused without showing the key, or the configuration can be run,
/// shown, and set again.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some((env_file, toml)) = text.split_once(BORDER) {
        load(&text, env_file, toml);
    } else {
        load(&text, &text, "");
        load(&text, "", &text);
    }
}

fn load(input: &str, env_file: &str, toml: &str) {
    match Config::from_texts(env_file, toml) {
        Ok(config) => {
            check(&config);
            for line in &config.notices {
                assert_secret(input, &format!("{line} {line:?}"));
                assert!(!line.to_string().contains(is_unprintable), "{line:?}");
            }
            for origin in config.origins() {
                assert!(!origin.value.contains(is_unprintable), "{origin:?}");
            }
            // A text that was not given as the key is nothing to be hidden.
            if config.key.as_ref() == Key::new(KEY).ok().as_ref() {
                assert_secret(input, &format!("{config:?} {:?}", config.origins()));
            }
            set_again(&config);
        }
        Err(problems) => {
            assert!(!problems.errors.is_empty());
            assert_secret(input, &format!("{problems} {problems:?}"));
            for line in problems.errors.iter().chain(&problems.notices) {
                assert!(!line.cause.is_empty(), "{line:?}");
                let line = line.to_string();
                assert!(line.len() < 2_000 && !line.contains(is_unprintable), "{line:?}");
            }
        }
    }
}

/// The text holds neither the key nor the beginning of it.
fn assert_secret(input: &str, text: &str) {
    let text = text.to_ascii_lowercase();
    assert!(!text.contains(KEY), "{text}");
    let (start, rest) = (&KEY[..8], input.to_ascii_lowercase().replace(KEY, "\n"));
    // The beginning alone is no secret if the input has it elsewhere, in whatever notation.
    if rest.is_ascii() && !rest.contains('\\') && !rest.contains(start) {
        assert!(!text.contains(start), "{text}");
    }
}

/// What the daemon takes for granted.
fn check(config: &Config) {
    assert!(!config.listen.is_empty() && !config.user.is_empty());
    assert!((1..=64).contains(&config.threads) && config.connections > 0);
    let is_server = |server: &std::net::SocketAddr| server.port() != 0 && !server.ip().is_unspecified();
    assert!(!config.nameservers.is_empty() && config.nameservers.iter().all(is_server));
    assert!(config.enforce_stage <= Stage::Rcpt);
    for (codes, group) in [(config.zen_reject_codes, 0), (config.dbl_reject_codes, 1)] {
        assert!(codes.group() == group && !codes.is_empty() && codes.iter().all(|code| code >= 2));
    }
    assert!((2..=24).contains(&config.zrd_max_age));
    assert!(config.dns_per_try < config.dns_lifetime || config.dns_lifetime.as_millis() <= 200);
    assert!(config.dns_per_try.as_millis() >= 50 && config.dns_lifetime.as_millis() >= 100);
    assert!(config.probe_interval.is_none_or(|time| time.as_secs() >= 60));
    for net in config.ip_whitelist.iter().chain(&config.trusted_networks) {
        assert_eq!(*net, net.trunc());
    }
    assert!(config.reply_failure.as_ref().is_none_or(gatepost::policy::Template::is_temporary));
    for template in [
        &config.reply_zen,
        &config.reply_helo,
        &config.reply_sender,
        &config.reply_zrd,
        &config.reply_failure,
    ]
    .into_iter()
    .flatten()
    {
        for value in ["x", "", "\r\n250 ok", "\u{e4}%{ip}"] {
            let reply = template.render(|_| value.to_owned());
            assert!(reply.is_ok() || value.is_empty(), "{template:?} {reply:?}");
        }
    }
}

/// What is in effect can be written as a file that reads as the same, with every rule, list and limit.
fn set_again(config: &Config) {
    assert_eq!(config.origins().len(), SETTINGS.len());
    let toml = config.as_toml();
    // Neither the key nor what held it by mistake can be written.
    if toml.contains("(...)") {
        return;
    }
    let again = Config::from_texts("", &toml).unwrap_or_else(|problems| panic!("{problems}\n{toml}"));
    for (before, after) in config.origins().iter().zip(again.origins()) {
        assert!(before.value == after.value || before.value == "(set)", "{before:?} {after:?}");
    }
    assert_eq!(again.as_toml(), toml);
    let rules =
        |config: &Config| config.additions.rules.iter().map(|(rule, _)| rule.clone()).collect::<Vec<_>>();
    assert_eq!(rules(config), rules(&again));
}

/// The key as somebody may write it where it does not belong; `@` stands for it.
#[rustfmt::skip]
const FORMS: [&str; 24] = [
    "@", "@", "@", "x@", "@.x", "x.@", "/tmp/@", "/@/x", "unix:/@", "text:/@", "file:/@",
    "sqlite:/tmp/@?@=1", "@:x", "x@:1", "x\\u0040@", "!@", "{@}", "550 5.7.1 @", "a,@,b", "a b @ c",
    "127.0.0.1/@", "xn--@", "@\\u202ex", "\\u0000@",
];

/// What fits in some places and is wrong in most.
#[rustfmt::skip]
const WORDS: [&str; 24] = [
    "x", "-1", "0", "99999", "", ".", "-", "%", "/x", "true", "nope", "all", "reject", "a b",
    "127.0.0.1", "127.0.0.2", "::/0", "x.example", "x\\u0040x.example", "\\u0000",
    "/\\u202e", "unix:/\\u2028", "\\u0085x", "\u{202e}x@x.example",
];

/// The words and the quoted texts of a configuration.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_.:/%{}@+-".contains(c);
        let size = match c {
            // Without its end it is a character like another.
            '"' => {
                rest[1..].find(['"', '\n']).filter(|n| rest[1 + n..].starts_with('"')).map_or(0, |n| n + 2)
            }
            _ => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        };
        if size > 0 {
            places.push(at..at + size);
        }
        at += size.max(c.len_utf8());
    }
    places
}

/// A configuration with `word` in one of its places; `beside` what is there.
pub fn altered(text: &str, place: Range<usize>, word: &str, beside: bool) -> String {
    let before = &text[place.clone()];
    let bare = before.trim_matches('"');
    let quote = if bare.len() < before.len() { "\"" } else { "" };
    let kept = if beside { bare } else { "" };
    format!("{}{quote}{kept}{word}{quote}{}", &text[..place.start], &text[place.end..])
}

/// A configuration with the key in another place, a wrong word, or a line more or less: what an administrator's slip
/// makes of it, and what octets by chance hardly ever do. Nothing where chance is to have its turn.
pub fn slip(text: &str, seed: u32) -> Option<String> {
    let mut seed = u64::from(seed);
    let mut roll = |sides: usize| {
        // The generator of Knuth's MMIX; its upper bits are the better ones.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % sides
    };
    let kind = roll(8);
    if kind < 4 {
        let places = places(text);
        let place = places.get(roll(places.len().max(1)))?.clone();
        let word = if kind < 2 {
            FORMS[roll(FORMS.len())].replace('@', KEY)
        } else {
            WORDS[roll(WORDS.len())].to_owned()
        };
        return Some(altered(text, place, &word, roll(3) == 0));
    }
    let mut lines: Vec<&str> = text.split('\n').collect();
    let (one, other) = (roll(lines.len()), roll(lines.len()));
    let block = one.min(other)..one.max(other).min(one.min(other) + 12);
    match kind {
        4 => drop(lines.remove(one)),
        5 => lines.insert(one, lines[other]),
        6 => drop(lines.splice(one..one, lines[block].to_vec())),
        _ => return None,
    }
    Some(lines.join("\n"))
}
