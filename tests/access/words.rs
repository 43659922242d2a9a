//! Actions, patterns and lists of patterns, table by table.

use std::collections::BTreeSet;

use gatepost::list::access::{Action, Owner, Patterns, Syntax, Tag, Value};
use gatepost::list::pattern::{Classes, Ere, Glob};

use super::rows;

fn action(value: &str, syntax: Syntax) -> Result<(Action, Vec<String>), Vec<String>> {
    let mut notices = Vec::new();
    let tag = match syntax {
        Syntax::Sendmail => Tag::From(Owner::Sendmail),
        Syntax::Postfix => Tag::Bare,
    };
    match Value::read(tag, value.as_bytes(), syntax, Classes::Off, &mut notices)? {
        Value::Action(action) => Ok((action, notices)),
        Value::Patterns(_) => panic!("{value} is no list"),
    }
}

/// What the tables call an action.
fn name(action: &Action) -> &'static str {
    match action {
        Action::Allow => "OK",
        Action::Friend => "FRIEND",
        Action::Hater => "HATER",
        Action::Refuse(_) | Action::Defer(_) => "ERROR",
        Action::Discard => "DISCARD",
        Action::Quarantine(_) => "QUARANTINE",
        Action::Skip => "SKIP",
        Action::Next => "NEXT",
        Action::Idle(_) => "IDLE",
    }
}

/// The program takes a word by some of its letters; the manual names words.
#[test]
fn the_table_of_words_holds_but_for_words_that_only_look_alike() {
    let mut other = BTreeSet::new();
    for row in rows("code.tsv") {
        let [_, value, theirs] = &row[..] else { panic!("{row:?}") };
        let ours = match action(value, Syntax::Sendmail) {
            Ok((action, _)) => name(&action).to_owned(),
            Err(_) => "an error".to_owned(),
        };
        let same = ours == *theirs
            || theirs == "UNKNOWN" && ours == "an error"
            || matches!((theirs.as_str(), ours.as_str()), ("REJECT" | "TEMPFAIL", "ERROR") | ("RELAY", "OK"))
            || matches!((theirs.as_str(), ours.as_str()), ("SUBJECT" | "ENCR" | "VERIFY", "IDLE"));
        if !same {
            other.insert(format!("{value}: {theirs}, here {ours}"));
        }
    }
    let listed: BTreeSet<String> = [
        "Other: OK, here an error",
        "RxJunk: REJECT, here an error",
        "DENY: DISCARD, here an error",
        "OKAY: OK, here an error",
        "FILTER x: FRIEND, here an error",
        "ok: UNKNOWN, here OK",
        "SAVE: UNKNOWN, here IDLE",
        "NEXT: UNKNOWN, here NEXT",
        "PERMIT: UNKNOWN, here OK",
        "QUARANTINE:x: UNKNOWN, here QUARANTINE",
        "HOLD: HATER, here QUARANTINE",
        "DEFER: DISCARD, here ERROR",
        "DEFER_IF_PERMIT: DISCARD, here ERROR",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(other, listed);
}

#[test]
fn the_words_of_postfix_mean_what_they_mean_to_postfix() {
    for (value, expected) in [
        ("OK", "OK"),
        ("permit", "OK"),
        ("12345", "OK"),
        ("450", "OK"),
        ("450 4.7.1 later", "ERROR"),
        ("550 no", "ERROR"),
        ("REJECT no such thing", "ERROR"),
        ("DEFER later", "ERROR"),
        ("DEFER_IF_PERMIT", "ERROR"),
        ("DISCARD quietly", "DISCARD"),
        ("DUNNO", "SKIP"),
        ("HOLD look at it", "QUARANTINE"),
        ("FILTER smtp:[192.0.2.1]", "IDLE"),
        ("REDIRECT a@b.example", "IDLE"),
        ("PREPEND X: y", "IDLE"),
        ("WARN", "IDLE"),
        ("INFO", "IDLE"),
        ("BCC a@b.example", "IDLE"),
    ] {
        let (read, notices) =
            action(value, Syntax::Postfix).unwrap_or_else(|errors| panic!("{value}: {errors:?}"));
        assert_eq!(name(&read), expected, "{value}");
        assert_eq!(notices.len(), usize::from(expected == "IDLE"), "{value}: {notices:?}");
    }
    for (value, says) in [
        ("reject_unauth_destination", "restriction of Postfix"),
        ("permit_mynetworks", "restriction of Postfix"),
        ("399 x", "no reply code of a refusal"),
        ("REJCT", "is no action"),
    ] {
        let errors = action(value, Syntax::Postfix).expect_err(value);
        assert!(errors[0].contains(says), "{errors:?}");
    }
}

#[test]
fn a_word_of_postfix_in_a_map_of_sendmail_is_an_error_that_names_the_syntax() {
    for value in ["FILTER x", "REDIRECT a@b.example", "PREPEND X: y", "WARN"] {
        let errors = action(value, Syntax::Sendmail).expect_err(value);
        assert!(errors[0].contains("is a word of Postfix"), "{errors:?}");
    }
    let errors = action("12345", Syntax::Sendmail).expect_err("no code");
    assert!(errors[0].contains("400 to 599"), "{errors:?}");
}

#[test]
fn the_error_values_of_sendmail_are_read_with_codes_quotes_and_text() {
    for (value, code, enhanced, text) in [
        ("ERROR:5.7.1:550 go away", 550, "5.7.1", Some("go away")),
        ("ERROR:5.7.1:\"550 go away\"", 550, "5.7.1", Some("go away")),
        ("ERROR:\"550 go away\"", 550, "5.7.1", Some("go away")),
        ("ERROR:450 x", 450, "4.7.1", Some("x")),
        ("error:4.2.2:x", 451, "4.2.2", Some("x")),
        ("ERROR:D.S.N:550 x", 550, "5.7.1", Some("D.S.N:550 x")),
        ("ERROR", 550, "5.7.1", None),
        ("ERROR:5.1.1:", 550, "5.1.1", None),
        ("ERROR:5.1.1:551", 551, "5.1.1", None),
        ("550 x", 550, "5.7.1", Some("x")),
        ("500 x", 500, "5.7.1", Some("x")),
        ("550 5.7.1 no", 550, "5.7.1", Some("no")),
        ("550 5.x.1 no", 550, "5.7.1", Some("5.x.1 no")),
        ("550 4 times is enough", 550, "5.7.1", Some("4 times is enough")),
        ("421", 421, "4.7.1", None),
        ("450", 450, "4.7.1", None),
        ("REJECT", 550, "5.7.1", None),
        ("TEMPFAIL", 451, "4.7.1", None),
        ("REJECT not you", 550, "5.7.1", Some("not you")),
        ("REJECT\tnot\tyou", 550, "5.7.1", Some("not\tyou")),
        ("ERROR:100% no", 550, "5.7.1", Some("100% no")),
    ] {
        let (read, notices) =
            action(value, Syntax::Sendmail).unwrap_or_else(|errors| panic!("{value}: {errors:?}"));
        let (Action::Refuse(denial) | Action::Defer(denial)) = &read else { panic!("{value}: {read:?}") };
        assert_eq!(
            (denial.code, &*denial.enhanced, denial.text.as_deref()),
            (code, enhanced, text),
            "{value}"
        );
        assert_eq!(matches!(read, Action::Defer(_)), code < 500, "{value}");
        assert!(notices.is_empty(), "{value}: {notices:?}");
        let reply = denial.reply("refused").expect("a reply");
        assert_eq!((reply.code(), reply.enhanced()), (code, enhanced.to_owned()));
    }
    let (read, notices) = action("ERROR:5.0.0:450 later", Syntax::Sendmail).expect("legal");
    let Action::Defer(denial) = read else { panic!("{read:?}") };
    assert_eq!((denial.code, &*denial.enhanced), (450, "4.0.0"));
    assert!(notices[0].contains("contradict each other"), "{notices:?}");
    for value in ["ERROR:250 fine", "ERROR:5.7.1:250 fine"] {
        let errors = action(value, Syntax::Sendmail).expect_err(value);
        assert!(errors[0].contains("400 to 599"), "{errors:?}");
    }
}

#[test]
fn the_table_of_globs_holds() {
    let mut globs = 0;
    for row in rows("glob.tsv") {
        let [_, subject, glob, matches] = &row[..] else { panic!("{row:?}") };
        // The program's own test could not be given an empty argument: it saw the next one.
        if glob == "(null)" {
            continue;
        }
        let classes = if glob.contains('[') { Classes::On } else { Classes::Off };
        let glob = Glob::new(glob, classes).expect(glob);
        let folded = subject.to_ascii_lowercase();
        assert_eq!(glob.is_match(folded.as_bytes()), matches == "1", "{row:?}");
        globs += 1;
    }
    assert_eq!(globs, 23);
    for (subject, glob, matches) in
        [("", "*", true), ("x", "", false), ("abc", "[abc]bc", false), ("[abc]bc", "[abc]bc", true)]
    {
        let glob = Glob::new(glob, Classes::Off).expect(glob);
        assert_eq!(glob.is_match(subject.as_bytes()), matches, "{subject} {glob:?}");
    }
}

/// In the C locale.
#[test]
fn expressions_match_what_glibc_matches() {
    let mut expressions = 0;
    for row in &rows("ere.tsv")[1..] {
        let [pattern, subject, theirs] = &row[..] else { panic!("{row:?}") };
        let subject: String = serde_json::from_str(subject).expect("a subject");
        let ours = match Ere::new(pattern) {
            Ok(ere) => u8::from(ere.is_match(subject.as_bytes())).to_string(),
            Err(_) => "ERR".to_owned(),
        };
        let expected = match (pattern.as_str(), subject.as_str()) {
            // No engine of linear time has back-references.
            (r"(a)\1", _) => "ERR",
            // A letter that is escaped stands for itself; with REG_ICASE glibc never finds it.
            (r"\d", "d") => "1",
            _ if theirs.starts_with("ERR") => "ERR",
            _ => theirs,
        };
        assert_eq!(ours, expected, "{pattern} on {subject:?}");
        expressions += 1;
    }
    assert_eq!(expressions, 67);
}

/// What the program takes for broken and passes over is an error here, and so is an unknown word; see
/// `tests/data/access/README.md`.
#[test]
fn the_table_of_lists_holds_but_for_lists_that_are_broken() {
    let mut other = BTreeSet::new();
    let mut lists = 0;
    for row in rows("pat.tsv") {
        let [_, subject, list, theirs, ..] = &row[..] else { continue };
        if list.trim().is_empty() || list.starts_with(" ::") {
            continue;
        }
        lists += 1;
        let subject = subject.to_ascii_lowercase();
        let bare = subject.trim_start_matches("ipv6:").trim_matches(['[', ']']);
        let ip = bare.parse::<std::net::IpAddr>().ok().map(|ip| ip.to_canonical());
        let ours = match Patterns::new(list, Classes::Off, &mut Vec::new()) {
            Err(_) => "an error",
            Ok(patterns) => match patterns.decide(ip, &[&subject]).map(|found| name(found.action)) {
                None | Some("SKIP") => "UNKNOWN",
                Some("NEXT") => "NOT_FOUND",
                Some("ERROR") if theirs == "REJECT" => "REJECT",
                Some(name) => name,
            },
        };
        if ours != theirs {
            other.insert(format!("{subject} {list}: {theirs}, here {ours}"));
        }
    }
    assert_eq!(lists, 43);
    let listed: BTreeSet<String> = [
        "192.0.2.9 [192.0.2.9]REJECT: UNKNOWN, here ERROR",
        "::ffff:192.0.2.9 [192.0.2.0/24]OK REJECT: REJECT, here OK",
        "192.0.2.9 [192.0.2.0/33]OK REJECT: REJECT, here an error",
        "192.0.2.9 [192.0.2/24]OK REJECT: REJECT, here an error",
        "192.0.2.9 [bogus/24]OK REJECT: REJECT, here an error",
        "192.0.2.9 [192.0.2.0/24: UNKNOWN, here an error",
        "x !!OK REJECT: REJECT, here an error",
        "fred@aol.com /^[a-zA-Z0-9!#$&'*+=?^_`{|}~.-]{3,16}@aol.com$/NEXT REJECT: UNKNOWN, here NOT_FOUND",
        "john@aol.com /^fred@/NEXT: NOT_FOUND, here UNKNOWN",
        "fred@x.y /(unclosed/OK REJECT: REJECT, here an error",
        "fred@x.y //OK REJECT: REJECT, here an error",
        "fred@x.y !fred@*!550 denied: ERROR, here an error",
        "fred@x.y !fred@*!some@example.com: UNKNOWN, here an error",
        "fred@x.y reject: UNKNOWN, here ERROR",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(other, listed);
}

#[test]
fn every_mistake_in_a_list_is_told_at_once() {
    let list = "/(a/OK [10.0.0.0/40]REJECT !x!NOPE !y!OK WHAT";
    let errors = Patterns::new(list, Classes::Off, &mut Vec::new()).expect_err("four mistakes");
    assert_eq!(errors.len(), 4, "{errors:?}");
    for (error, says) in errors.iter().zip([
        "pattern 1: a ( has no )",
        "pattern 2: 10.0.0.0/40",
        "pattern 3: NOPE",
        "WHAT is no action",
    ]) {
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn a_quote_without_its_end_is_a_mistake_and_swallows_no_pattern() {
    let list = "!a@*!ERROR:\"550 not you !b@*!OK REJECT";
    let errors = Patterns::new(list, Classes::Off, &mut Vec::new()).expect_err("a mistake");
    assert_eq!(errors, ["pattern 1: a quote in its action has no end"]);
}

#[test]
fn an_action_in_a_list_may_have_a_text_in_quotes() {
    let patterns =
        Patterns::new("!a@*!ERROR:5.7.1:\"550 not you\" OK", Classes::Off, &mut Vec::new()).expect("a list");
    let Some(Action::Refuse(denial)) = patterns.decide(None, &["a@b.example"]).map(|found| found.action)
    else {
        panic!("{patterns:?}");
    };
    assert_eq!(denial.text.as_deref(), Some("not you"));
    assert_eq!(patterns.decide(None, &["c@b.example"]).map(|found| found.action), Some(&Action::Allow));
}
