//! MAIL FROM in every form that the RFCs know, and some that they do not.

use super::{Act, CLEAN, Log, World, listing};

const DBL: &str = "550 5.7.1 Sender domain spam.example blocked by Spamhaus DBL; \
                   see https://check.spamhaus.org/query/domain/spam.example";

async fn spam() -> World {
    listing("spam.example.dbl", "127.0.1.2", &[]).await
}

// case: M01, M03, M04, M05, M08, R02
#[tokio::test]
async fn a_listed_sender_is_refused_however_it_is_written() {
    let world = spam().await;
    for sender in [
        "<u@spam.example>",
        "<\"a@b\"@spam.example>",
        "<\"a\\\"@b.example\"@spam.example>",
        "<@relay.example,@x.example:u@spam.example>",
        "<@relay.example:\"a:@b\"@spam.example>",
        "u@spam.example",
        "<u@spam.example.>",
        "<u@SPAM.Example>",
        "<\"\"@spam.example>",
        "<user+tag@spam.example>",
        "<\u{fc}ser@spam.example>",
    ] {
        assert_eq!(world.from(sender).await, DBL, "{sender}");
    }
    assert_eq!(world.names.count("spam.example.dbl"), 1);
}

// case: M14
#[tokio::test]
async fn blanks_and_comments_are_no_way_around_the_list() {
    let (log, _guard) = Log::listen();
    let world = spam().await;
    for sender in ["<user@spam.example (comment)>", "< u@spam.example >", "<u@spam.example\t>"] {
        assert_eq!(world.from(sender).await, DBL, "{sender:?}");
    }
    assert_eq!(log.with(&["INFO", "event=verdict", "action=reject", "identity=sender"]).len(), 3);
}

// case: M02, M06, M07, M13
#[tokio::test]
async fn senders_without_a_listable_domain_ask_nothing() {
    let world = World::new(&[]).await;
    for sender in [
        "<>",
        "",
        "<postmaster>",
        "<u@localhost>",
        "<u@[192.0.2.9]>",
        "<u@[IPv6:2001:db8::1]>",
        "<u@1.2.3.4>",
        "<@>",
        "<@relay.example:>",
        "<u@mx.local>",
        "<\"u@spam.example\">",
    ] {
        assert_eq!(world.from(sender).await, "continue", "{sender}");
    }
    assert_eq!(world.asked(), [""; 0]);
}

// case: M10
#[tokio::test]
async fn parameters_of_mail_are_no_part_of_the_address() {
    let world = spam().await;
    let mut phone = world.call().await;
    phone.connect(CLEAN).await;
    assert_eq!(phone.mail(&["<u@spam.example>", "SIZE=10", "BODY=8BITMIME", "ENVID=a@b.example"]).await, DBL);
    assert_eq!(world.asked(), ["spam.example.dbl", "spam.example.zrd"]);
}

// case: M12
#[tokio::test]
async fn the_next_message_begins_with_a_clean_slate() {
    for rset in [true, false] {
        let world = spam().await;
        let mut phone = world.call().await;
        phone.connect(CLEAN).await;
        phone.helo("mx.example").await;
        assert_eq!(phone.from("<u@spam.example>").await, DBL);
        if rset {
            phone.abort().await;
        }
        assert_eq!(phone.from("<u@ok.example>").await, "continue");
        assert_eq!(phone.rcpt("<us@example.org>").await, "withheld", "verdicts come at MAIL at the latest");
        assert_eq!(phone.data().await, "continue");
        assert!(phone.quit().await);
    }
}

/// Postfix 3.7 takes each of these and queues mail from u@spam.example.
#[tokio::test]
async fn what_the_mta_reads_as_a_listed_sender_is_refused_as_one() {
    let world = spam().await;
    let padded = format!("<u@s{}pam.example>", "\u{ad}".repeat(200));
    for sender in [
        "<u@(a(b))spam.example>",
        "<u@(a\\)b)spam.example>",
        "<u@spam.(a)example>",
        "<u@spam.example>>",
        "<x <u@spam.example>>",
        "<u@spam . example>",
        "<u@\"spam.example\">",
        "<u@spam.exampl\\e>",
        "<spam.example!u>",
        "<u%spam.example>",
        &padded,
    ] {
        assert_eq!(world.from(sender).await, DBL, "{sender}");
    }
}

/// Sendmail takes it for a character like any other.
#[tokio::test]
async fn a_bracket_without_its_partner_hides_no_listed_sender() {
    let world = spam().await;
    for sender in ["<u[31m@spam.example>", "<[@spam.example>", "<u[x[y@spam.example>"] {
        assert_eq!(world.from(sender).await, DBL, "{sender}");
    }
}

#[tokio::test]
async fn a_domain_in_utf8_is_asked_by_its_a_labels() {
    let world = listing("xn--bcher-kva.example.dbl", "127.0.1.2", &[]).await;
    for sender in ["<u@b\u{fc}cher.example>", "<u@B\u{dc}CHER.example>", "<u@xn--bcher-kva.example>"] {
        let said = world.from(sender).await;
        assert!(said.starts_with("550 5.7.1 Sender domain xn--bcher-kva.example "), "{sender}: {said}");
        assert!(said.is_ascii());
    }
}

#[tokio::test]
async fn a_name_too_long_to_ask_is_asked_without_its_left_labels() {
    let (log, _guard) = Log::listen();
    let world = World::new(&[]).await;
    world.names.script(|asked| asked.name.ends_with("spam.example.dbl").then(|| Act::records(["127.0.1.2"])));
    let sender = format!("<u@{}spam.example>", "label.".repeat(39));
    let said = world.from(sender).await;
    assert!(world.names.asked().iter().all(|asked| asked.full.len() <= 254));
    // 206 octets are left beside a key of 26: 32 times six and the rest.
    let asked = format!("{}spam.example", "label.".repeat(32));
    assert!(world.asked().contains(&format!("{asked}.dbl")));
    assert!(said.starts_with(&format!("550 5.7.1 Sender domain {asked} blocked")), "{said}");
    let field = format!("subject={asked} client_ip");
    assert_eq!(log.with(&["action=reject", &field, "trimmed=7"]).len(), 1, "{:#?}", log.lines());
}
