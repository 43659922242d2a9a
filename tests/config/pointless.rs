//! What a sound configuration says in vain is told, and nothing that has a use.

use gatepost::config::Config;
use gatepost::gate::pointless;

/// A policy of all kinds of tables, which all have a use.
const POLICY: &str = include_str!("../data/policy.toml");

fn told(toml: &str) -> Vec<String> {
    let config = Config::from_texts("", toml).unwrap_or_else(|problems| panic!("{toml}\n{problems}"));
    pointless(&config).iter().map(ToString::to_string).collect()
}

fn rule(name: &str, keys: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\n{keys}\n")
}

/// Holds the only thing that is told of a policy to these words, or that nothing is told.
#[track_caller]
fn expect(toml: &str, words: Option<&str>) {
    let told = told(toml);
    match (&told[..], words) {
        ([], None) => {}
        ([one], Some(words)) if one.contains(words) => {}
        _ => panic!("{toml}\n{told:#?}\n{words:?}"),
    }
}

#[test]
fn a_policy_of_all_kinds_of_tables_has_a_use_for_each() {
    assert_eq!(told(POLICY), [""; 0]);
    assert_eq!(told(""), [""; 0]);
}

#[test]
fn a_rule_that_can_never_fire_is_told_with_its_place() {
    let when = "list = \"zen\"\ncodes = \"30\"\naction = \"tag\"";
    let both = format!(
        "{when}\nwhen = {{ client = \"192.0.2.0/25\" }}\nunless = {{ client = [\"192.0.2.0/24\", \"198.51.100.1\"] }}"
    );
    assert_eq!(
        told(&rule("a", &both)),
        [
            "gatepost.toml:2:8: rule.a: unless takes out all that when lets in: it never fires; mend one of them"
        ]
    );
    expect(&rule("a", &both.replace("/25", "/23")), None);
    // A login spares the address, unless it is said that it does not.
    let login = format!("{when}\nwhen = {{ session = \"login\" }}");
    expect(
        &rule("a", &login),
        Some("it is for sessions login, where the list is not asked, but in inbound: it never fires"),
    );
    expect(&format!("[session]\nauth_skip = false\n{}", rule("a", &login)), None);
    expect(&rule("a", &login.replace("login", "submission")), Some("it never fires"));
    expect(&rule("a", &login.replace("\"login\"", "[\"login\", \"inbound\"]")), None);
    let authbl = "[authbl]\nenable = true\naction = \"tag\"\n";
    let inbound = "list = \"authbl\"\naction = \"reject\"\nwhen = { session = \"inbound\" }";
    expect(&format!("{authbl}{}", rule("a", inbound)), Some("but in submission, login: it never fires"));
    expect(&format!("{authbl}{}", rule("a", &inbound.replace("inbound", "login"))), None);
    let own = |sessions: &str| {
        let list =
            format!("[[list]]\nname = \"own\"\nkind = \"domain\"\nzone = \"own.example\"\n{sessions}\n");
        list + &rule("a", "list = \"own\"\naction = \"reject\"\nwhen = { session = \"login\" }")
    };
    expect(&own("sessions = \"inbound\""), Some("where the list is not asked, but in inbound"));
    expect(&own("sessions = [\"inbound\", \"login\"]"), None);
    let name = rule("a", "list = \"dbl\"\nidentity = \"client-name\"\naction = \"reject\"");
    expect(&name, Some("the list is not asked about that: it never fires; set rdns.enable = true"));
    expect(
        &rule("a", "list = \"dbl\"\nidentity = [\"client-name\", \"helo\"]\ncodes = \"9\"\naction = \"tag\""),
        Some("rule dbl is about the same"),
    );
    expect(&format!("[rdns]\nenable = true\n[dbl]\nreject_codes = \"2\"\n{name}"), None);
}

#[test]
fn a_rule_for_clients_that_a_setting_spares_is_told() {
    let client = "when = { client = \"192.0.2.0/25\" }\naction = \"reject\"";
    let listed = format!("list = \"zen\"\ncodes = \"30\"\n{client}");
    let trusted = "trusted_networks = \"192.0.2.0/24\"\n";
    let allowed = "[allow]\naddresses = \"192.0.2.0/24\"\n";
    for (settings, keys, words) in [
        (trusted, client, Some("trusted_networks holds all these clients")),
        (trusted, &listed, Some("trusted_networks holds all these clients")),
        (allowed, &listed, Some("allow.addresses holds all these clients")),
        (allowed, client, None),
        ("[allow]\naddresses = \"192.0.2.0/24\"\nskip_all = true\n", client, Some("allow.addresses holds")),
        ("trusted_networks = \"192.0.2.0/26\"\n", client, None),
    ] {
        expect(&format!("{settings}{}", rule("a", keys)), words);
    }
}

#[test]
fn rules_that_contradict_each_other_are_told() {
    let zen = |keys: &str| format!("list = \"zen\"\ncodes = \"2-3\"\n{keys}");
    // Refused by the settings in any case.
    let tag = rule("a", &zen("action = \"tag\""));
    expect(&tag, Some("rule zen is about the same and does reject: this one comes to nothing"));
    expect(&format!("[zen]\nreject_codes = \"4\"\n{tag}"), None);
    expect(&rule("a", &zen("action = \"tag\"\nscore = 2")), None);
    let off = "[zen]\nreject_codes = \"4\"\n";
    let hold = rule("b", &zen("action = \"quarantine\""));
    expect(&format!("{off}{tag}{hold}"), None);
    let reject = rule("c", &zen("action = \"reject\""));
    expect(&format!("{off}{hold}{reject}"), Some("rule.b: rule c is about the same and does reject"));
    let later = rule("c", &zen("action = \"reject\"\nmode = \"shadow\""));
    expect(&format!("{off}{hold}{later}"), None);
    let some = rule("c", &zen("action = \"reject\"\nwhen = { client = \"192.0.2.0/24\" }"));
    expect(&format!("{off}{hold}{some}"), None);
    let twice = rule("d", &zen("action = \"reject\"\nreply = \"550 5.7.1 no\""));
    expect(&format!("{off}{reject}{twice}"), Some("rule.d: rule c is about the same and does reject"));
    let bait =
        |action: &str| format!("when = {{ recipient = \"bait@mail.example\" }}\naction = \"{action}\"");
    let stage = "[enforce]\nstage = \"rcpt\"\n";
    expect(
        &format!("{stage}{}{}", rule("a", &bait("tempfail")), rule("b", &bait("reject"))),
        Some("rule.a: rule b is about the same and does reject: this one comes to nothing"),
    );
    expect(
        &format!("{stage}{}{}", rule("a", &bait("allow")), rule("b", &bait("reject"))),
        Some("rule.b: rule a lets in whatever it is about: it never does anything"),
    );
    expect(
        &format!("{stage}{}", rule("a", &bait("reject").replace("bait@", "postmaster@"))),
        Some("rule exempt-recipients lets in whatever it is about"),
    );
}

#[test]
fn a_friend_who_is_let_in_already_is_told() {
    let friend = |name: &str, client: &str, more: &str| {
        rule(name, &format!("when = {{ client = \"{client}\" }}\naction = \"allow\"\n{more}"))
    };
    let (wide, narrow) = (friend("a", "192.0.2.0/24", ""), friend("b", "192.0.2.1", ""));
    expect(&format!("{wide}{narrow}"), Some("rule.b: rule a lets in all that it does: it changes nothing"));
    expect(&format!("{narrow}{wide}"), Some("rule.b: rule a lets in all that it does"));
    expect(&format!("{wide}{}", wide.replace("\"a\"", "\"c\"")), Some("rule.c: rule a lets in all"));
    expect(&format!("{narrow}{}", friend("a", "192.0.2.0/24", "spares = \"zen\"")), None);
    let shadow = friend("a", "192.0.2.0/24", "mode = \"shadow\"");
    expect(&format!("{narrow}{shadow}"), None);
}

#[test]
fn a_sum_that_no_rules_make_is_told() {
    let counts = rule("a", "list = \"dbl\"\nscore = 3") + &rule("b", "list = \"zen\"\nscore = -2");
    expect(&format!("{counts}[score]\ntag = 3\n"), None);
    assert_eq!(
        told(&format!("{counts}[score]\ntag = 3\nreject = 4\n")),
        [
            "gatepost.toml:11:10: score.reject: no sum reaches 4: all rules together make 3; lower it, or give rules more"
        ]
    );
    expect("[score]\nreject = 5\n", Some("no sum reaches 5: all rules together make 0"));
}

#[test]
fn a_list_without_a_rule_and_an_answer_that_is_refused_are_told() {
    let list = "[[list]]\nname = \"own\"\nkind = \"address\"\nzone = \"own.example\"\n\
                answers = { bad = \"127.0.0.2\", gone = \"127.0.0.250-255\" }\nrefusals = \"127.0.0.200-255\"\n";
    let told = told(list);
    assert_eq!(
        told,
        [
            "gatepost.toml:1:1: list.own: no rule that is on looks at it: what it lists is logged, and no more; add a \
             [[rule]] about it, or remove it",
            "gatepost.toml:1:1: list.own: all of gone is among refusals: it never counts; take it out of one of them",
        ]
    );
    let used = rule("a", "list = \"own\"\naction = \"tag\"");
    expect(&format!("{list}{used}"), Some("all of gone is among refusals"));
    expect(&format!("{}{used}", list.replace("200-255", "255")), None);
}
