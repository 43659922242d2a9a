//! Faults of addresses, and limits on how much may come in.

use std::time::Duration;

use gatepost::config::Config;
use gatepost::gate::Gate;
use gatepost::smtp::{Client, Stage};

use super::common::log::Log;
use super::envelope::{ALONE, Desk, LIST, Session};

#[tokio::test]
async fn addresses_are_refused_for_the_faults_that_count_and_for_no_others() {
    let gate = Desk::new().gate(
        "[syntax]\nreject = [\"brackets\", \"smtputf8\", \"local-part\"]\nshadow = [\"dots\", \"domain\"]\n",
    );
    let (log, _guard) = Log::listen();
    for (arguments, said) in [
        (&["<a@spam.example>"][..], "Continue"),
        (&["<a@spam.example"], "501 5.1.7 imbalanced angle brackets in path"),
        (&["a@spam.example"], "Continue"),
        (&["<a..b@spam.example>"], "Continue"),
        (&["<\u{fc}@spam.example>", "SIZE=1"], "553 5.6.7 address needs SMTPUTF8"),
        (&["<\u{fc}@spam.example>", "SIZE=1", "smtputf8"], "Continue"),
        (&["<>"], "Continue"),
    ] {
        let mut session = Session::from(&gate, "192.0.2.7").await;
        assert_eq!(session.mail(arguments).await, said, "{arguments:?}");
        if said == "Continue" {
            assert_eq!(session.rcpt("<b c@own.example>").await, "553 5.1.3 invalid local part");
            assert_eq!(session.rcpt("<b@own.example>").await, "Continue");
        }
    }
    assert_eq!(
        log.with(&["action=would-reject", "rule=syntax", "because=dots"]).len(),
        1,
        "{:#?}",
        log.lines()
    );
    assert_eq!(log.with(&["action=reject", "rule=syntax", "because=brackets"]).len(), 1);
    let off = Desk::new().gate(LIST);
    let mut session = Session::from(&off, "192.0.2.7").await;
    assert_eq!(session.mail(&["<a b@@"]).await, "Continue");
    assert_eq!(session.rcpt("x y").await, "Continue");
}

// T54
#[tokio::test]
async fn further_untrusted_recipients_of_a_message_are_put_off_and_trusted_ones_are_not() {
    for most in [1, 2] {
        let gate = Desk::new()
            .gate(&format!("{LIST}[[limit]]\nname = \"rcpts\"\nper = \"message\"\nmost = {most}\n"));
        let mut session = Session::from(&gate, "192.0.2.7").await;
        for _message in 0..2 {
            session.mail(&["<x@a.example>"]).await;
            for n in 0..most {
                assert!(session.rcpt("<announce@lists.example.org>").await.starts_with("550 "));
                assert_eq!(session.rcpt("<postmaster@own.example>").await, "Continue");
                assert_eq!(session.rcpt(&format!("<u{n}@own.example>")).await, "Continue");
            }
            let said = session.rcpt("<more@own.example>").await;
            assert_eq!(said, "452 4.5.3 Too many untrusted recipients");
            assert_eq!(session.rcpt("<abuse@own.example>").await, "Continue");
            assert_eq!(session.judge(Stage::Message).await, "Continue");
        }
        session.login("<x@a.example>").await;
        for n in 0..5 {
            assert_eq!(session.rcpt(&format!("<u{n}@own.example>")).await, "Continue", "after a login");
        }
    }
    for most in ["0", "-1"] {
        let toml = format!("{ALONE}[[limit]]\nname = \"rcpts\"\nper = \"message\"\nmost = {most}\n");
        let problems = Config::from_texts("", &toml).expect_err("it limits all or nothing").to_string();
        assert!(problems.contains("limit.rcpts.most"), "{problems}");
    }
}

#[tokio::test]
async fn recipients_that_a_map_lets_in_count_for_no_limit() {
    let desk = Desk::new();
    desk.write("access", "To:friend@own.example OK\n");
    let rate =
        "[[limit]]\nname = \"rate\"\nper = \"client\"\nof = \"recipients\"\nmost = 2\nwithin = \"1h\"\n";
    let gate = desk.gate(&format!(
        "[enforce]\nstage = \"rcpt\"\n[access]\nmap = [\"text:DIR/access\"]\n[[limit]]\nname = \"rcpts\"\nper = \"message\"\nmost = 1\n{rate}"
    ));
    let mut session = Session::from(&gate, "192.0.2.7").await;
    session.mail(&["<x@a.example>"]).await;
    for _ in 0..5 {
        assert_eq!(session.rcpt("<friend@own.example>").await, "Continue");
    }
    assert_eq!(session.rcpt("<a@own.example>").await, "Continue");
    assert_eq!(session.rcpt("<b@own.example>").await, "452 4.5.3 Too many untrusted recipients");
    assert_eq!(session.rcpt("<friend@own.example>").await, "Continue");
}

#[tokio::test]
async fn a_count_of_recipients_outlives_the_process() {
    let gate = Desk::new().gate("[[limit]]\nname = \"rcpts\"\nper = \"message\"\nmost = 1\n");
    let mut session = Session::from(&gate, "192.0.2.7").await;
    session.mail(&["<x@a.example>"]).await;
    assert_eq!(session.rcpt("<a@own.example>").await, "Continue");
    let stored = serde_json::to_string(&session.memory).expect("json");
    session.memory = serde_json::from_str(&stored).expect("back");
    assert_eq!(session.rcpt("<b@own.example>").await, "452 4.5.3 Too many untrusted recipients");
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_connections_is_told_at_mail_for_somebody_may_log_in() {
    let desk = Desk::new();
    let limit = "[[limit]]\nname = \"calls\"\nper = \"client\"\nof = \"connections\"\nmost = 2\nwithin = \"1min\"\n\
                 exempt = [\"198.51.100.0/24\"]\n";
    let gate = desk.gate(limit);
    let (log, _guard) = Log::listen();
    let said =
        async |gate: &Gate, client: &str| Session::from(gate, client).await.mail(&["<x@a.example>"]).await;
    let over = "450 4.7.1 Client host [2001:db8::1]: too many connections, try again later";
    assert_eq!(said(&gate, "2001:db8::1").await, "Continue");
    assert_eq!(said(&gate, "2001:db8::2").await, "Continue");
    assert_eq!(said(&gate, "2001:db8::1").await, over);
    let told = log.with(&["action=tempfail", "rule=limit-calls", "stage=mail"]);
    assert!(told[0].contains("because=more than 2 connections in 1m"), "{}", told[0]);
    let mut session = Session::from(&gate, "2001:db8::3").await;
    assert_eq!(session.login("<x@a.example>").await, "Continue");
    // A new configuration goes on counting.
    let gate = desk.gate(limit);
    assert_eq!(said(&gate, "2001:db8::1").await, over);
    assert_eq!(said(&gate, "2001:db8:0:1::1").await, "Continue");
    for _ in 0..5 {
        assert_eq!(said(&gate, "198.51.100.7").await, "Continue", "exempt");
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(said(&gate, "2001:db8::1").await, "Continue");
    assert_eq!(said(&gate, "2001:db8::1").await, over);
    let strict = desk.gate(&limit.replace("most = 2", "most = 1\nlogins = \"count\""));
    Session::from(&strict, "192.0.2.1").await;
    let (_, said) = Session::of(&strict, Client::Ip([192, 0, 2, 1].into())).await;
    assert_eq!(said, "450 4.7.1 Client host [192.0.2.1]: too many connections, try again later");
}

#[tokio::test]
async fn what_one_limit_puts_off_counts_for_no_other() {
    let limit = |name: &str, per: &str, most: u32| {
        format!(
            "[[limit]]\nname = \"{name}\"\nper = \"{per}\"\nof = \"messages\"\nmost = {most}\nwithin = \"1h\"\n"
        )
    };
    let (sender, client) = (limit("sender", "sender", 1), limit("client", "client", 3));
    for toml in [format!("{sender}{client}"), format!("{client}{sender}")] {
        let gate = Desk::new().gate(&toml);
        let mut session = Session::from(&gate, "192.0.2.7").await;
        assert_eq!(session.mail(&["<x@a.example>"]).await, "Continue");
        for _retry in 0..5 {
            let said = session.mail(&["<x@a.example>"]).await;
            assert_eq!(said, "450 4.7.1 Sender x@a.example: too many messages, try again later");
        }
        assert_eq!(session.mail(&["<y@a.example>"]).await, "Continue");
        assert_eq!(session.mail(&["<z@a.example>"]).await, "Continue");
        assert!(session.mail(&["<w@a.example>"]).await.starts_with("450 4.7.1 Client host"), "{toml}");
    }
}

/// Refuses one recipient, with a rate of two recipients an hour.
const RATED: &str = "[[rule]]\nname = \"no\"\nwhen = { recipient = [\"bad@own.example\"] }\naction = \"reject\"\n\
                     [[limit]]\nname = \"rcpts\"\nper = \"client\"\nof = \"recipients\"\nmost = 2\nwithin = \"1h\"\n";

#[tokio::test]
async fn what_a_rule_refuses_counts_for_no_rate() {
    let gate = Desk::new().gate(RATED);
    let mut session = Session::from(&gate, "192.0.2.7").await;
    session.mail(&["<x@a.example>"]).await;
    for _ in 0..5 {
        assert!(session.rcpt("<bad@own.example>").await.starts_with("550 5.7.1 "));
    }
    for said in
        ["Continue", "Continue", "450 4.7.1 Client host [192.0.2.7]: too many recipients, try again later"]
    {
        assert_eq!(session.rcpt("<b@own.example>").await, said);
    }
    let later = session.rcpt("<bad@own.example>").await;
    assert!(later.starts_with("550 5.7.1 "), "refused rather than put off: {later}");
}

/// Refuses a sender as lists do: not before RCPT.
const LATE: &str = "[enforce]\nstage = \"rcpt\"\n\
                    [[rule]]\nname = \"no\"\nwhen = { sender = [\"@bad.example\"] }\naction = \"reject\"\n\
                    [[rule]]\nname = \"none\"\nwhen = { recipient = [\"bad@own.example\"] }\naction = \"reject\"\n";

fn hourly(of: &str, most: u32) -> String {
    format!("[[limit]]\nname = \"x\"\nper = \"client\"\nof = \"{of}\"\nmost = {most}\nwithin = \"1h\"\n")
}

#[tokio::test]
async fn a_message_whose_recipients_are_all_refused_counts_for_no_rate_of_messages() {
    let gate = Desk::new().gate(&format!("{LATE}{}", hourly("messages", 2)));
    let mut session = Session::from(&gate, "192.0.2.7").await;
    for _ in 0..5 {
        assert_eq!(session.mail(&["<x@bad.example>"]).await, "Continue");
        for _ in 0..3 {
            assert!(session.rcpt("<b@own.example>").await.starts_with("550 5.7.1 "));
        }
    }
    // Whatever becomes of others, with one recipient it comes in: once.
    assert_eq!(session.mail(&["<x@good.example>"]).await, "Continue");
    for (recipient, said) in [
        ("bad", "550 5.7.1 "),
        ("a", "Continue"),
        ("bad", "550 5.7.1 "),
        ("b", "Continue"),
        ("c", "Continue"),
    ] {
        let heard = session.rcpt(&format!("<{recipient}@own.example>")).await;
        assert!(heard.starts_with(said), "{recipient}: {heard}");
    }
    assert_eq!(session.mail(&["<x@good.example>"]).await, "Continue");
    assert!(session.rcpt("<bad@own.example>").await.starts_with("550 5.7.1 "));
    // Its place goes to another one, which is not too much, and then it is.
    let mut other = Session::from(&gate, "192.0.2.7").await;
    assert_eq!(other.mail(&["<x@good.example>"]).await, "Continue");
    assert_eq!(other.rcpt("<a@own.example>").await, "Continue");
    let over = "450 4.7.1 Client host [192.0.2.7]: too many messages, try again later";
    for _ in 0..2 {
        assert_eq!(session.rcpt("<a@own.example>").await, over);
    }
    assert_eq!(session.mail(&["<x@good.example>"]).await, over);
}

#[tokio::test(start_paused = true)]
async fn what_was_earned_again_before_it_is_refused_is_not_given_back_as_well() {
    let limit = hourly("messages", 2).replace("1h", "1m");
    let gate = Desk::new().gate(&format!("{LATE}{limit}"));
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut session = Session::from(&gate, "192.0.2.7").await;
        assert_eq!(session.mail(&["<x@bad.example>"]).await, "Continue");
        held.push(session);
        tokio::time::advance(Duration::from_secs(30)).await;
    }
    tokio::time::advance(Duration::from_mins(1)).await;
    let mut session = Session::from(&gate, "192.0.2.7").await;
    for _ in 0..2 {
        assert_eq!(session.mail(&["<x@good.example>"]).await, "Continue");
        assert_eq!(session.rcpt("<a@own.example>").await, "Continue");
    }
    for session in &mut held {
        assert!(session.rcpt("<b@own.example>").await.starts_with("550 5.7.1 "));
    }
    let over = "450 4.7.1 Client host [192.0.2.7]: too many messages, try again later";
    assert_eq!(session.mail(&["<x@good.example>"]).await, over);
}

#[tokio::test]
async fn a_connection_that_brings_nothing_in_counts_for_no_rate_of_connections() {
    for (stage, logins) in [("mail", "exempt"), ("rcpt", "exempt"), ("mail", "count"), ("rcpt", "count")] {
        let limit = hourly("connections", 2) + &format!("logins = \"{logins}\"\n");
        let gate = Desk::new().gate(&format!("{}{limit}", LATE.replacen("rcpt", stage, 1)));
        let sent = async |session: &mut Session<'_>, sender: &str| match session.mail(&[sender]).await {
            said if said == "Continue" => session.rcpt("<b@own.example>").await,
            said => said,
        };
        for _ in 0..5 {
            let mut session = Session::from(&gate, "192.0.2.7").await;
            for _ in 0..2 {
                let said = sent(&mut session, "<x@bad.example>").await;
                assert!(said.starts_with("550 5.7.1 "), "{stage} {logins}: {said}");
            }
        }
        // One that brings something in later counts, and once.
        let mut session = Session::from(&gate, "192.0.2.7").await;
        assert!(sent(&mut session, "<x@bad.example>").await.starts_with("550 5.7.1 "));
        for _ in 0..3 {
            assert_eq!(sent(&mut session, "<x@good.example>").await, "Continue");
        }
        let mut refused = Session::from(&gate, "192.0.2.7").await;
        assert!(sent(&mut refused, "<x@bad.example>").await.starts_with("550 5.7.1 "));
        let mut second = Session::from(&gate, "192.0.2.7").await;
        assert_eq!(sent(&mut second, "<x@good.example>").await, "Continue");
        // Its place is taken now.
        let over = "450 4.7.1 Client host [192.0.2.7]: too many connections, try again later";
        for _ in 0..2 {
            assert_eq!(sent(&mut refused, "<x@good.example>").await, over, "{stage} {logins}");
        }
    }
}

#[tokio::test]
async fn who_only_looks_on_counts_what_would_be_let_in() {
    let per_message = "[[limit]]\nname = \"message\"\nper = \"message\"\nmost = 2\n";
    let gate = Desk::new().observing(&format!("{LIST}{RATED}{per_message}"));
    let (log, _guard) = Log::listen();
    let mut session = Session::from(&gate, "192.0.2.7").await;
    session.mail(&["<x@a.example>"]).await;
    for recipient in ["<bad@own.example>", "<announce@lists.example.org>"] {
        for _ in 0..3 {
            assert_eq!(session.rcpt(recipient).await, "Continue");
        }
    }
    for _ in 0..2 {
        assert_eq!(session.rcpt("<b@own.example>").await, "Continue");
    }
    assert!(log.with(&["action=would-tempfail"]).is_empty(), "{:#?}", log.lines());
    assert_eq!(session.rcpt("<c@own.example>").await, "Continue");
    assert_eq!(log.with(&["action=would-tempfail", "rule=limit-rcpts"]).len(), 1, "{:#?}", log.lines());
}

#[tokio::test]
async fn a_limit_that_counts_something_else_under_the_same_name_begins_anew() {
    let desk = Desk::new();
    let gate = |per: &str, of: &str| {
        desk.gate(&format!(
            "[[limit]]\nname = \"x\"\nper = \"{per}\"\nof = \"{of}\"\nmost = 1\nwithin = \"1h\"\n"
        ))
    };
    let messages = gate("client", "messages");
    let said = async |gate: &Gate| Session::from(gate, "192.0.2.7").await.mail(&["<x@a.example>"]).await;
    assert_eq!(said(&messages).await, "Continue");
    let same = gate("client", "messages");
    assert!(said(&same).await.starts_with("450 "), "the same limit goes on");
    let recipients = gate("client", "recipients");
    let mut session = Session::from(&recipients, "192.0.2.7").await;
    assert_eq!(session.mail(&["<x@a.example>"]).await, "Continue");
    assert_eq!(session.rcpt("<b@own.example>").await, "Continue");
    assert!(session.rcpt("<b@own.example>").await.starts_with("450 "));
    assert_eq!(said(&gate("sender", "messages")).await, "Continue");
}

#[tokio::test]
async fn a_message_that_began_where_no_parameters_were_kept_may_have_said_smtputf8() {
    let (before, after) = (Desk::new().gate(LIST), Desk::new().gate("[syntax]\nreject = [\"smtputf8\"]\n"));
    let mut old = Session::from(&before, "192.0.2.7").await;
    // It said SMTPUTF8, and nobody kept that.
    assert_eq!(old.mail(&["<\u{fc}@spam.example>"]).await, "Continue");
    let mut session = old.handed_to(&after);
    assert_eq!(session.rcpt("<\u{fc}@own.example>").await, "Continue");
    // What begins there is known there, and goes with the session.
    assert_eq!(session.mail(&["<x@spam.example>"]).await, "Continue");
    assert_eq!(session.rcpt("<\u{fc}@own.example>").await, "553 5.6.7 address needs SMTPUTF8");
    let mut again = session.handed_to(&after);
    assert_eq!(again.rcpt("<\u{fc}@own.example>").await, "553 5.6.7 address needs SMTPUTF8");
}

#[tokio::test]
async fn rates_of_messages_and_recipients_have_their_own_replies() {
    let limit = |name: &str, per: &str, of: &str, most: u32| {
        format!(
            "[[limit]]\nname = \"{name}\"\nper = \"{per}\"\nof = \"{of}\"\nmost = {most}\nwithin = \"1h\"\n"
        )
    };
    let gate = Desk::new().gate(
        &(limit("mails", "sender", "messages", 2)
            + &limit("rcpts", "client", "recipients", 3)
            + "reply = \"452 4.5.3 slower, {ip}\"\n"),
    );
    let mut session = Session::from(&gate, "192.0.2.7").await;
    for (sender, said) in [
        ("<x@a.example>", "Continue"),
        ("<X@A.example.>", "Continue"),
        ("<x@a.example>", "450 4.7.1 Sender x@a.example: too many messages, try again later"),
        ("<y@a.example>", "Continue"),
        ("<>", "Continue"),
        ("<>", "Continue"),
        ("<>", "Continue"),
    ] {
        assert_eq!(session.mail(&[sender]).await, said, "{sender}");
    }
    for said in ["Continue", "Continue", "Continue", "452 4.5.3 slower, 192.0.2.7"] {
        assert_eq!(session.rcpt("<b@own.example>").await, said);
    }
    assert_eq!(session.rcpt("<postmaster@own.example>").await, "Continue");
    let mut other = Session::from(&gate, "192.0.2.8").await;
    other.mail(&["<z@a.example>"]).await;
    assert_eq!(other.rcpt("<b@own.example>").await, "Continue");
    let shadow = Desk::new().gate(&(limit("mails", "client", "messages", 1) + "mode = \"shadow\"\n"));
    let (log, _guard) = Log::listen();
    for _ in 0..3 {
        assert_eq!(Session::from(&shadow, "192.0.2.7").await.mail(&["<x@a.example>"]).await, "Continue");
    }
    assert_eq!(log.with(&["action=would-tempfail", "rule=limit-mails"]).len(), 2, "{:#?}", log.lines());
}
