//! What strange addresses, greetings and outages must not do: open or close a door that the maps keep otherwise.

use super::*;

#[tokio::test]
async fn no_sender_is_let_in_for_looking_like_a_key_about_somebody_else() {
    let desk = Desk::new(
        "To:abuse@ OK\nSpam:postmaster@ FRIEND\ngatepost-to:x@ OK\nFrom:friend.example:To:list@ OK\n\
         From:known.example SKIP\n198.51.100 OK\n",
    );
    let gate = desk.gate("");
    for local in ["to:abuse", "spam:postmaster", "gatepost-to:x", "friend.example:to:list"] {
        let said = told(&gate, "8.8.0.2", &format!("<\"{local}\"@evil.example>"), "<b@mail.example>").await;
        assert!(said.starts_with("554 5.7.1 "), "{local}: {said}");
    }
    assert_eq!(told(&gate, "8.8.0.2", "<a@friend.example>", "<list@mail.example>").await, "goes on");
}

#[tokio::test]
async fn a_greeting_is_not_judged_by_the_sender_of_the_message_before() {
    let desk = Desk::new("From:bad.example REJECT\nFrom:good.example OK\n");
    let gate = desk.gate("delay = \"none\"");
    let (log, _guard) = Log::listen();
    let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    for (sender, said) in [("<x@bad.example>", "550 5.7.1 Access denied"), ("<x@good.example>", "goes on")] {
        assert_eq!(session.mail(sender, None).await, said);
        session.dialog.end_message();
        assert_eq!(session.judge(Stage::Helo).await, "goes on", "{sender}");
    }
    assert_eq!(log.with(&["stage=helo", "rule=access"]), Vec::<String>::new());
}

#[tokio::test]
async fn no_sender_is_let_in_for_a_domain_that_is_written_like_a_network() {
    let desk = Desk::new("192.0.2 OK\n");
    for settings in ["", "syntax = \"postfix\""] {
        let gate = desk.gate(settings);
        for sender in ["<x@192.0.2>", "<x@a.192.0.2>", "<x@192.0.2.9>"] {
            let said = told(&gate, "8.8.0.2", sender, "<b@mail.example>").await;
            assert!(said.starts_with("554 5.7.1 "), "{sender}: {said}");
        }
    }
}
