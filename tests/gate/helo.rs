//! HELO: names, things that look like names, and noise.

use super::{Act, CLEAN, Log, World, listing};

/// Plays HELO with each argument: none may be asked about or answered with anything but "go on".
async fn nothing_to_ask<A: AsRef<[u8]>>(arguments: impl IntoIterator<Item = A>) {
    let world = World::new(&["ZEN_ENABLE=0"]).await;
    world.names.otherwise(Act::records(["127.0.1.255"]));
    for argument in arguments {
        let shown = String::from_utf8_lossy(argument.as_ref()).into_owned();
        assert_eq!(world.helo(argument).await, "continue", "{shown}");
        assert_eq!(world.asked(), [""; 0], "{shown}");
    }
}

// case: H01, H02
#[tokio::test]
async fn address_literals_are_no_domains() {
    nothing_to_ask(["[192.0.2.1]", "[IPv6:2001:db8::1]", "[192.0.2.1", "[]", "[", "[spam.example]"]).await;
}

// case: H03, H04
#[tokio::test]
async fn a_name_that_ends_in_a_number_is_not_asked_about() {
    nothing_to_ask(["1.2.3.4", "foo.1234", "12345", "1.2.3.4."]).await;
}

// case: H05, H06
#[tokio::test]
async fn single_labels_and_nothing_are_not_asked_about() {
    nothing_to_ask(["localhost", "ylmf-pc", "", ".", "..", " ", "-"]).await;
}

/// The name is what remains right of the first illegal label, and here that is the last one. RFC 5321,
/// section 4.1.1.1, has none of these forms.
#[tokio::test]
async fn a_name_in_quotes_or_brackets_or_with_something_behind_it_is_not_asked_about() {
    nothing_to_ask(["spam.example x", "\"spam.example\"", "<spam.example>", "spam.example:25"]).await;
}

// case: H08
#[tokio::test]
async fn no_octets_in_helo_make_an_error_of_the_filters_own() {
    let noise: Vec<u8> = (0x80..=0xff).collect();
    nothing_to_ask([
        &b"m\xfcller.example"[..],
        b"\xff\xfe",
        &noise,
        b"\0\0",
        b"\0spam.example",
        b"\x01\x02",
        b"\n",
    ])
    .await;
    // They hide nothing either.
    let world = World::new(&[]).await;
    assert_eq!(world.helo(b"m\xfcller.spam.example").await, "continue");
    assert_eq!(world.asked(), ["spam.example.dbl", "spam.example.zrd"]);
    // What stands before a NUL is a name like any other.
    let world = World::new(&[]).await;
    assert_eq!(world.helo(b"ok.example\0spam.example").await, "continue");
    assert_eq!(world.asked(), ["ok.example.dbl", "ok.example.zrd"]);
}

// case: H10
#[tokio::test]
async fn a_second_helo_is_judged_by_itself() {
    for (first, second, answers) in [
        ("ok.example", "spam.example", ["continue", "550 5.7.1 HELO name spam.example"]),
        ("spam.example", "ok.example", ["550 5.7.1 HELO name spam.example", "continue"]),
    ] {
        let world = listing("spam.example.dbl", "127.0.1.2", &["ENFORCE_STAGE=mail"]).await;
        let mut phone = world.call().await;
        phone.connect(CLEAN).await;
        for (name, answer) in [first, second].into_iter().zip(answers) {
            assert_eq!(phone.helo(name).await, "continue");
            let said = phone.from("<u@ok.example>").await;
            assert!(said.starts_with(answer), "{name}: {said}");
            phone.abort().await;
        }
    }
}

// case: H11
#[tokio::test]
async fn the_same_name_twice_is_one_question() {
    let world = World::new(&[]).await;
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    for _ in 0..2 {
        assert_eq!(phone.helo("mx.example").await, "continue");
    }
    assert_eq!(world.asked(), ["mx.example.dbl", "mx.example.zrd"]);
}

// case: H12
#[tokio::test]
async fn an_abused_honest_domain_is_noted_and_let_in() {
    let (log, _guard) = Log::listen();
    let world = listing("abused.example.dbl", "127.0.1.102", &[]).await;
    assert_eq!(world.helo("abused.example").await, "continue");
    assert_eq!(world.asked(), ["abused.example.dbl", "abused.example.zrd"]);
    let line = ["INFO", "event=verdict", "stage=helo", "action=log", "zone=dbl", "codes=127.0.1.102"];
    assert_eq!(log.with(&line).len(), 1, "{:#?}", log.lines());
}

// case: H14
#[tokio::test]
async fn three_hundred_octets_of_garbage_cost_one_short_line() {
    let (log, _guard) = Log::listen();
    let world = World::new(&["ZRD_ENABLE=0", "ZEN_ENABLE=0"]).await;
    let garbage = "x".repeat(300);
    assert_eq!(world.helo(&garbage).await, "continue");
    assert_eq!(world.asked(), [""; 0]);
    let lines = log.with(&["event=verdict", "identity=helo"]);
    let [line] = &lines[..] else { panic!("one line: {lines:?}") };
    assert!(line.starts_with("DEBUG "), "{line}");
    let shown = line.chars().filter(|&c| c == 'x').count();
    assert!((1..=256).contains(&shown), "{shown} of 300 octets are shown");
}
