//! What single settings take and what they say no to.

use super::*;

// case: K02
#[test]
fn a_lifetime_beyond_the_stage_is_lowered_and_told() {
    let machine = Machine::keyed().env("DNS_LIFETIME", "5").env("MILTER_TIMEOUT", "2");
    assert_eq!(machine.config().dns_lifetime, Duration::from_millis(1_900));
    assert_eq!(
        machine.notices(),
        [
            "environment: SPAMHAUS_DQS_DNS_LIFETIME: 5 s is lowered to 1.9 s; raise timeouts.stage or lower it yourself"
        ]
    );
    assert_eq!(origin(&machine.config(), "dns.lifetime").0, "1.9");
}

#[test]
fn times_keep_their_floors_and_stay_below_each_other() {
    for (timeout, lifetime, per_try, expected) in [
        ("2", "1.8", "0.7", (1_800, 700)),
        ("1", "1.8", "0.7", (900, 700)),
        ("0.3", "1.8", "0.7", (500, 400)),
        ("2", "0.01", "0.01", (100, 50)),
        ("2", "0.2", "0.7", (200, 200)),
        ("2", "1.0", "5", (1_000, 900)),
        ("60", "10", "3", (10_000, 3_000)),
    ] {
        let machine = Machine::keyed()
            .env("MILTER_TIMEOUT", timeout)
            .env("DNS_LIFETIME", lifetime)
            .env("DNS_PER_TRY", per_try);
        let config = machine.config();
        let used = (config.dns_lifetime.as_millis(), config.dns_per_try.as_millis());
        assert_eq!(used, expected, "{timeout} {lifetime} {per_try}");
    }
}

// case: K04
#[test]
fn a_reject_set_is_never_empty_by_accident() {
    for (codes, cause) in [
        ("abc", "abc is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("2;3", "\"2;3\" is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("300", "300 is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("2,x", "entry 2: x is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
        ("9-3", "9-3 is not a return code (2 to 255); write codes and ranges as in 2,3,9-11"),
    ] {
        assert_eq!(
            Machine::keyed().env("ZEN_REJECT_CODES", codes).errors(),
            [format!("environment: SPAMHAUS_DQS_ZEN_REJECT_CODES: {cause}")]
        );
    }
    let empty = Machine::keyed().env("ZEN_REJECT_CODES", "").config();
    assert_eq!(empty.zen_reject_codes, Config::default().zen_reject_codes);
    assert_eq!(
        Machine::keyed().env("ZEN_REJECT_CODES", " , ").errors(),
        [
            "environment: SPAMHAUS_DQS_ZEN_REJECT_CODES: the list is empty; it would refuse nothing; to switch the \
          list off, set enable = false in [zen] or SPAMHAUS_DQS_ZEN_ENABLE=0"
        ]
    );
    assert_eq!(
        Machine::keyed().toml("[zen]\nreject_codes = []\n").errors().len(),
        1,
        "an empty list in TOML is no wish either"
    );
}

// case: K05
#[test]
fn name_servers_may_have_ports() {
    let config =
        Machine::keyed().env("NAMESERVERS", "127.0.0.1:5353,[::1]:5353, [::1], 2001:db8::53").config();
    let servers: Vec<String> = config.nameservers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:5353", "[::1]:5353", "[::1]:53", "[2001:db8::53]:53"]);
    for bad in ["dns.example", "127.0.0.1:0", "127.0.0.1:99999", "0.0.0.0", "[127.0.0.1]"] {
        let errors = Machine::keyed().env("NAMESERVERS", bad).errors();
        assert!(errors[0].contains("is not the address of a name server"), "{errors:?}");
    }
}

// case: K10
#[test]
fn the_idle_limit_is_not_the_stage_limit() {
    let config = Machine::keyed().env("MILTER_TIMEOUT", "1").config();
    assert_eq!(config.idle_timeout, Duration::from_secs(7_210));
    assert_eq!(Machine::keyed().env("IDLE_TIMEOUT", "60").config().idle_timeout, Duration::from_mins(1));
}

// case: C09
// case: C08
#[test]
fn a_cache_has_a_size_or_is_off() {
    for bad in ["-1", "abc", "1.5", "99999999999999999999"] {
        let errors = Machine::keyed().env("CACHE_MAX", bad).errors();
        assert!(
            errors.len() == 1 && errors[0].starts_with("environment: SPAMHAUS_DQS_CACHE_MAX: "),
            "{errors:?}"
        );
    }
    assert_eq!(Machine::keyed().env("CACHE_MAX", "0").config().cache_max, 0);
}

// case: A03
// case: A04
#[test]
fn allow_lists_name_the_entry_that_is_wrong() {
    let machine =
        Machine::keyed().env("IP_WHITELIST", "8.8.0.2, bogus, 8.8.0.0/16,, 2001:470::/32, 10.0.0.0/33");
    assert_eq!(
        machine.errors(),
        [
            "environment: SPAMHAUS_DQS_IP_WHITELIST: entry 2: bogus is neither an address nor a network; write \
             192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
            "environment: SPAMHAUS_DQS_IP_WHITELIST: entry 6: 10.0.0.0/33 is neither an address nor a network; \
             write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
        ]
    );
    let compat = machine.env("COMPAT_PARSE", "1");
    let nets: Vec<String> = compat.config().ip_whitelist.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["8.8.0.2/32", "8.8.0.0/16", "2001:470::/32"]);
    assert_eq!(compat.notices().len(), 2);

    let toml = "[allow]\ndomains = [\n  'good.example',\n  '*.bad.example',\n]\n";
    assert_eq!(
        Machine::keyed().toml(toml).errors(),
        ["gatepost.toml:4:3: allow.domains: entry 2: \"*.bad.example\" is no domain; write a name such as \
          mail.example, without wildcard, address part or port"]
    );
}

#[test]
fn networks_are_taken_in_the_form_in_which_clients_are_seen() {
    let machine = Machine::keyed().env("ALLOW_FORCE", "1").env(
        "TRUSTED_NETWORKS",
        "::ffff:10.9.9.9, ::ffff:10.0.0.0/104, 2001:db8::1, 192.0.2.77/24, 0.0.0.0/0",
    );
    let nets: Vec<String> = machine.config().trusted_networks.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.9.9.9/32", "10.0.0.0/8", "2001:db8::1/128", "192.0.2.0/24", "0.0.0.0/0"]);
    assert_eq!(
        machine.notices(),
        [
            "environment: SPAMHAUS_DQS_TRUSTED_NETWORKS: entry 4: 192.0.2.77/24 has bits set beyond its prefix; it \
             is taken as 192.0.2.0/24; write that",
            "environment: SPAMHAUS_DQS_TRUSTED_NETWORKS: entry 5: 0.0.0.0/0 covers every client; name networks \
             instead",
        ]
    );
}

// case: A07
#[test]
fn allowed_domains_are_normalised_as_clients_names_are() {
    let config = Machine::keyed()
        .env("ALLOW_FORCE", "1")
        .env("DOMAIN_SUFFIX_WHITELIST", "b\u{fc}cher.example, .EDU.example., com")
        .env("DOMAIN_WHITELIST", "Spam.Example.")
        .config();
    let suffixes: Vec<&str> =
        config.domain_suffix_whitelist.iter().map(gatepost::smtp::Domain::as_str).collect();
    assert_eq!(suffixes, ["xn--bcher-kva.example", "edu.example", "com"]);
    assert_eq!(config.domain_whitelist[0].as_str(), "spam.example");
}

#[test]
fn yes_and_no_have_several_spellings_and_nothing_else_is_either() {
    for (text, on) in [
        ("1", true),
        ("TRUE", true),
        ("Yes", true),
        ("on", true),
        ("0", false),
        ("off", false),
        ("No", false),
    ] {
        assert_eq!(Machine::keyed().env("ZEN_ENABLE", text).config().zen_enable, on, "{text}");
    }
    assert_eq!(
        Machine::keyed().env("ZEN_ENABLE", "maybe").errors(),
        ["environment: SPAMHAUS_DQS_ZEN_ENABLE: maybe is neither yes nor no; write 1 or 0"]
    );
}

// case: R04
#[test]
fn reply_texts_are_checked_before_the_start() {
    for (name, text, cause) in [
        ("REPLY_ZEN", "554 5.7.1 {unknown}", "there is no variable {unknown}"),
        (
            "REPLY_ZEN",
            "554 4.7.1 no",
            "the first digits of the reply code and of the enhanced status code must be the same",
        ),
        ("REPLY_HELO", "550 5.7.1 {ip", "a brace has no partner"),
        ("REPLY_FAILURE", "550 5.7.1 no", "trouble with a list must not refuse mail for good"),
        ("REPLY_ZRD", "450 4.7.1 later", "the reply does not fit zrd.action, which is reject"),
    ] {
        let errors = Machine::keyed().env(name, text).errors();
        let start = format!("environment: SPAMHAUS_DQS_{name}: {cause}; ");
        assert!(errors.len() == 1 && errors[0].starts_with(&start), "{errors:?}");
    }
    let config = Machine::keyed().env("REPLY_SENDER", "550 5.7.1 100% {domain}").config();
    let reply =
        config.reply_sender.expect("a template").render(|_| "spam.example".to_owned()).expect("a reply");
    assert_eq!(reply.to_string(), "550 5.7.1 100% spam.example");
}

#[test]
fn a_zone_base_leaves_room_for_what_is_asked_about() {
    let base = |length: usize| format!("{}.example", ["a"; 120].join(".").split_at(length - 8).0);
    // 253 octets, less 127 for two labels, 26 for the key, 3 for the list and 3 dots.
    for length in [95, 221, 239] {
        let machine = Machine::keyed().toml(&format!("[dns]\nzone_base = '{}'\n", base(length)));
        assert_eq!(
            machine.errors(),
            [format!(
                "gatepost.toml:2:13: dns.zone_base: {length} octets leave no room beside key and subject in a DNS \
                 name, which has 253; give a domain of at most 94 octets"
            )]
        );
    }
    assert_eq!(Machine::keyed().env("ZONE_BASE", &base(93)).config().zone_base.as_str().len(), 93);
    let zen = Machine::keyed().env("DBL_ENABLE", "0").env("ZRD_ENABLE", "0");
    assert_eq!(zen.env("ZONE_BASE", &base(157)).config().zone_base.as_str().len(), 157);
    let longest = Machine::new().env("API_KEY", &"k".repeat(63)).env("ZONE_BASE", &base(59));
    assert!(longest.errors()[0].ends_with("give a domain of at most 57 octets"), "{:?}", longest.errors());
}

#[test]
fn two_entries_about_one_list_are_no_wish() {
    for (text, cause) in [
        ("zen=tempfail,zen=accept", "entry 2: zen=accept comes after zen=tempfail; keep one entry about zen"),
        (
            "dbl=accept, ZEN=accept, Dbl = Accept",
            "entry 3: dbl=accept comes after dbl=accept; keep one entry about dbl",
        ),
        (
            "zen=accept,tempfail",
            "entry 2: tempfail says nothing about a list; write accept, tempfail, or for each list as in \
             zen=tempfail,dbl=accept",
        ),
    ] {
        let errors = Machine::keyed().env("ON_FAILURE", text).errors();
        assert_eq!(errors, [format!("environment: SPAMHAUS_DQS_ON_FAILURE: {cause}")]);
    }
    assert_eq!(
        Machine::keyed().toml("on_failure = ['zrd=tempfail', 'zrd=accept']\n").errors(),
        [
            "gatepost.toml:1:31: on_failure: entry 2: zrd=accept comes after zrd=tempfail; keep one entry about zrd"
        ]
    );
}

#[test]
fn a_reply_that_only_puts_off_is_told() {
    for (name, codes) in
        [("REPLY_ZEN", "554 5.7.1"), ("REPLY_HELO", "550 5.7.1"), ("REPLY_SENDER", "550 5.7.1")]
    {
        let machine = Machine::keyed().env(name, "450 4.7.1 {ip} not today");
        assert_eq!(
            machine.notices(),
            [format!(
                "environment: SPAMHAUS_DQS_{name}: listed mail is not refused but comes again, as with every reply \
                 that begins with 4; to refuse it, begin with {codes}"
            )]
        );
        assert_eq!(Machine::keyed().env(name, &format!("{codes} no")).notices(), [""; 0]);
    }
    let zrd = Machine::keyed().env("ZRD_ACTION", "tempfail").env("REPLY_ZRD", "450 4.7.1 later");
    assert_eq!(zrd.notices(), [""; 0], "asked for twice");
}

#[test]
fn a_stage_that_outlasts_the_mail_servers_patience_is_told() {
    let machine =
        |lifetime: &str| Machine::keyed().env("MILTER_TIMEOUT", "60").env("DNS_LIFETIME", lifetime).notices();
    let start = "environment: SPAMHAUS_DQS_DNS_LIFETIME: mail servers do not wait that long for a filter: ";
    let sendmail = "R in T= of INPUT_MAIL_FILTER";
    let postfix = "milter_command_timeout";
    assert_eq!(machine("9.8"), [""; 0]);
    assert_eq!(machine("9.9"), [format!("{start}Sendmail 10 s; lower it, or raise {sendmail}")]);
    let both = format!("{start}Sendmail 10 s, Postfix 30 s; lower it, or raise {sendmail} and {postfix}");
    let lowered = "environment: SPAMHAUS_DQS_DNS_LIFETIME: 60 s is lowered to 59.9 s; raise timeouts.stage or \
                   lower it yourself";
    assert_eq!(machine("60"), [lowered, &both]);
    let unused = Machine::keyed().env("MILTER_TIMEOUT", "60").notices();
    assert_eq!(unused, [""; 0], "the lifetime counts");
}

#[test]
fn what_nearly_everybody_is_in_is_no_entry_of_an_allow_list_unless_forced() {
    let machine = Machine::keyed()
        .env("TRUSTED_NETWORKS", "10.0.0.0/8, fc00::/7, 0.0.0.0/0")
        .env("IP_WHITELIST", "2000::/3")
        .env("DOMAIN_SUFFIX_WHITELIST", "com");
    let told = |setting: &str, entry: &str| {
        format!(
            "environment: SPAMHAUS_DQS_{setting}: {entry} covers a large part of the Internet; name less, or set \
             allow.force = true"
        )
    };
    assert_eq!(
        machine.errors(),
        [
            told("IP_WHITELIST", "2000::/3"),
            told("TRUSTED_NETWORKS", "0.0.0.0/0"),
            told("DOMAIN_SUFFIX_WHITELIST", "com")
        ]
    );
    assert_eq!(machine.env("ALLOW_FORCE", "1").config().trusted_networks.len(), 3);
}
