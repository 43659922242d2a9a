//! What policies do in odd cases: friends who do not answer, good words, logins, several recipients.

use std::fmt::Write as _;

use gatepost::config::Config;
use gatepost::gate::{Tables, expect};

/// A list of friends about the client, and one about sender and recipient; and one of the administrator's own.
const LISTS: &str = r#"
[[list]]
name = "own"
kind = "address"
zone = "own.example"
[[list]]
name = "friends"
kind = "address"
zone = "friends.example"
[[list]]
name = "good"
kind = "domain"
zone = "good.example"
ask = ["sender", "recipient"]
"#;

/// Plays sessions of a client 192.0.2.1 against rules: each is what else is known, and what must come of it.
fn holds(rules: &str, sessions: &[(&str, &str)]) {
    holds_with(LISTS, "rcpt", rules, sessions);
}

fn holds_with(lists: &str, stage: &str, rules: &str, sessions: &[(&str, &str)]) {
    let mut text = format!("[enforce]\nstage = \"{stage}\"\n{rules}\n{lists}");
    for (known, decision) in sessions {
        let _ = write!(text, "[[expect]]\nclient = \"192.0.2.1\"\n{known}\ndecision = \"{decision}\"\n");
    }
    let config = Config::from_texts("", &text).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    if let Err(problems) = expect::check(&config, &Tables::default()) {
        panic!("{rules}\n{problems:#?}");
    }
}

/// The lists, with one more setting of the one with this zone.
fn lists_with(zone: &str, setting: &str) -> String {
    let zone = format!("zone = \"{zone}.example\"\n");
    assert_eq!(LISTS.matches(&zone).count(), 1, "{zone}");
    LISTS.replace(&zone, &format!("{zone}{setting}\n"))
}

const FRIENDS: &str = "[[rule]]\nname = \"friends\"\nlist = \"friends\"\naction = \"allow\"\n";
const FROM: &str = "sender = \"a@spam.example\"\nrecipient = \"b@mail.example\"\n";

fn of(answers: &str) -> String {
    format!("{FROM}answers = {{ {answers} }}")
}

#[test]
fn a_sum_does_not_refuse_whom_friends_who_do_not_answer_might_know() {
    let rules =
        format!("{FRIENDS}[[rule]]\nname = \"sum\"\nlist = \"own\"\nscore = 6\n[score]\nreject = 6\n");
    holds(
        &rules,
        &[
            (&of("own = \"127.0.0.2\""), "reject"),
            (&of("own = \"127.0.0.2\", friends = \"127.0.0.2\""), "accept"),
            (&of("own = \"127.0.0.2\", friends = \"timeout\""), "tempfail"),
        ],
    );
}

#[test]
fn nothing_is_thrown_away_that_friends_who_do_not_answer_might_want() {
    let discard =
        "[zen]\nreject_codes = \"30\"\n[[rule]]\nname = \"drop\"\nlist = \"zen\"\naction = \"discard\"\n";
    let sum = "[zen]\nreject_codes = \"30\"\n[score]\ndiscard = 5\n[[rule]]\nname = \"sum\"\nlist = \"zen\"\nscore = 5\n\
               [[rule]]\nname = \"friends\"\nlist = \"friends\"\nscore = -3\n";
    for rules in [format!("{discard}{FRIENDS}"), sum.to_owned()] {
        holds(
            &rules,
            &[
                (&of("zen = \"127.0.0.2\""), "discard"),
                (&of("zen = \"127.0.0.2\", friends = \"127.0.0.2\""), "accept"),
                (&of("zen = \"127.0.0.2\", friends = \"timeout\""), "tempfail"),
            ],
        );
    }
}

// A good word about the sender spares less than one about the recipient would have.
#[test]
fn one_good_word_more_never_makes_it_worse() {
    holds(
        "[[rule]]\nname = \"good\"\nlist = \"good\"\naction = \"allow\"\n",
        &[
            (&of("zen = \"127.0.0.2\", \"good mail.example\" = \"127.0.0.2\""), "accept"),
            (&of("zen = \"127.0.0.2\", good = \"timeout\""), "tempfail"),
            (
                &of(
                    "zen = \"127.0.0.2\", \"good spam.example\" = \"127.0.0.2\", \"good mail.example\" = \"timeout\"",
                ),
                "tempfail",
            ),
        ],
    );
}

#[test]
fn friends_who_refuse_to_answer_are_friends_who_do_not_answer() {
    let lists = lists_with("friends", "refusals = [\"127.0.0.255\"]");
    for refusal in ["127.255.255.254", "127.255.255.252", "127.0.0.255"] {
        let answers = of(&format!("zen = \"127.0.0.2\", friends = \"{refusal}\""));
        holds_with(&lists, "rcpt", FRIENDS, &[(&answers, "tempfail")]);
    }
}

#[test]
fn a_good_word_counts_whatever_spares_it() {
    let rules = "[[rule]]\nname = \"sum\"\nlist = \"own\"\nscore = 6\n[score]\nreject = 6\n\
                 [[rule]]\nname = \"good\"\nlist = \"good\"\nidentity = \"sender\"\nscore = -3\n\
                 [[rule]]\nname = \"known\"\nwhen = { sender = \"spam.example\" }\naction = \"allow\"\n";
    let listed = "own = \"127.0.0.2\", good = \"127.0.0.2\"";
    let other = "sender = \"a@other.example\"\nrecipient = \"b@mail.example\"\n";
    holds(
        rules,
        &[
            (&format!("{other}answers = {{ own = \"127.0.0.2\" }}"), "reject"),
            (&format!("{other}answers = {{ {listed} }}"), "accept"),
            (&of(listed), "accept"),
        ],
    );
}

#[test]
fn of_several_conditions_the_one_that_is_met_says_what_is_proven() {
    let rules = "[[rule]]\nname = \"known\"\n\
                 when = [{ client = \"192.0.2.1\" }, { sender = \"spam.example\" }]\naction = \"allow\"\n";
    let listed = "answers = { zen = \"127.0.0.2\" }";
    holds(
        rules,
        &[(&format!("sender = \"a@other.example\"\nrecipient = \"b@mail.example\"\n{listed}"), "accept")],
    );
    let claimed = rules.replace("192.0.2.1", "192.0.2.9");
    holds(&claimed, &[(&format!("{FROM}{listed}"), "reject")]);
}

#[test]
fn a_rule_for_strangers_waits_until_nobody_can_log_in_any_more() {
    let rules = "[[rule]]\nname = \"strangers\"\nlist = \"own\"\nwhen = { session = \"inbound\" }\naction = \"reject\"\n";
    let lists = lists_with("own", "sessions = [\"inbound\", \"submission\", \"login\"]");
    let listed = of("own = \"127.0.0.2\"");
    holds_with(
        &lists,
        "connect",
        rules,
        &[
            (&format!("login = \"anna\"\n{listed}"), "accept"),
            (&format!("stage = \"mail\"\n{listed}"), "reject"),
        ],
    );
}

#[test]
fn a_list_of_logins_is_asked_after_a_login_on_every_port() {
    let lists = "[[list]]\nname = \"stolen\"\nkind = \"address\"\nzone = \"stolen.example\"\nsessions = [\"login\"]\n\
                 [[rule]]\nname = \"stolen\"\nlist = \"stolen\"\naction = \"reject\"\n";
    let user = format!("login = \"anna\"\n{}", of("stolen = \"127.0.0.2\""));
    holds(
        lists,
        &[
            (&user, "reject"),
            (&format!("port = 587\n{user}"), "reject"),
            (&format!("port = 587\n{}", of("stolen = \"127.0.0.2\"")), "accept"),
        ],
    );
}

#[test]
fn a_recipient_who_wants_no_mail_leaves_its_tags_to_who_does() {
    let rules = "[zen]\nreject_codes = \"2\"\n\
                 [[rule]]\nname = \"mark\"\nlist = \"zen\"\ncodes = \"10-11\"\naction = \"tag\"\nheader = \"X-Spam: yes\"\n\
                 unless = { recipient = \"all@mail.example\" }\n\
                 [[rule]]\nname = \"bait\"\nlist = \"zen\"\ncodes = \"10-11\"\n\
                 when = { recipient = \"bait@mail.example\" }\naction = \"discard\"\n";
    let to = "sender = \"a@spam.example\"\nrecipient = [\"bait@mail.example\", \"all@mail.example\"]\n";
    holds(rules, &[(&format!("{to}answers = {{ zen = \"127.0.0.10\" }}"), "tag")]);
}
