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
