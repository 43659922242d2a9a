//! Configurations: any text of an env file and of a TOML file.

use gatepost::config::{Config, SETTINGS};
use gatepost::dns::Key;
use gatepost::smtp::Stage;

/// As long as a real key, and none. Inputs hold it in all kinds of places.
const KEY: &str = "abcdefghij0123456789klmnop";
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
                assert!(line.len() < 2_000 && !line.contains(|c: char| c.is_control()), "{line:?}");
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
