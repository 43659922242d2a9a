//! Who and what is spared.

use super::{Act, CLEAN, Log, World};

/// A world where everything is listed.
async fn hostile(settings: &[&str]) -> World {
    let world = World::new(settings).await;
    world.names.script(|asked| {
        let group = ["zen", "dbl", "zrd"].iter().position(|list| *list == asked.list())?;
        Some(Act::records([&format!("127.0.{group}.2")]))
    });
    world
}

/// What a session hears at CONNECT, HELO and MAIL.
async fn session(world: &World, client: &str, helo: &str, sender: &str) -> [String; 3] {
    let mut phone = world.call().await;
    [phone.connect(client).await, phone.helo(helo).await, phone.from(sender).await]
}

// case: A01
#[tokio::test]
async fn an_allowed_address_is_not_asked_about_but_its_names_are() {
    let (log, _guard) = Log::listen();
    let world = hostile(&["IP_WHITELIST=8.8.0.2"]).await;
    let mut phone = world.call().await;
    assert_eq!(phone.connect("8.8.0.2").await, "continue");
    assert_eq!(log.with(&["action=skip", "zone=zen", "reason=address"]).len(), 1);
    assert!(phone.helo("spam.example").await.starts_with("550 5.7.1 HELO name "));
    assert_eq!(world.names.count("2.0.8.8.zen"), 0);
    let mut phone = world.call().await;
    phone.connect("8.8.0.2").await;
    assert!(phone.from("<u@spam.example>").await.starts_with("550 5.7.1 Sender domain "));
    assert!(world.connect("8.8.0.3").await.starts_with("554 "));
}

// case: A02
#[tokio::test]
async fn skip_all_spares_the_whole_session() {
    let world = hostile(&["IP_WHITELIST=8.8.0.2", "WHITELIST_SKIP_ALL=1"]).await;
    let answers = session(&world, "8.8.0.2", "spam.example", "<u@spam.example>").await;
    assert_eq!(answers, ["continue"; 3]);
    assert_eq!(world.names.total(), 0);
}

// case: A03
#[tokio::test]
async fn networks_are_allowed_as_addresses_are() {
    let world = hostile(&["IP_WHITELIST=8.8.0.0/16, 2001:470::/32"]).await;
    for address in ["8.8.255.255", "2001:470:ffff::1"] {
        assert_eq!(world.connect(address).await, "continue", "{address}");
    }
    for address in ["8.9.0.0", "2001:471::1"] {
        assert!(world.connect(address).await.starts_with("554 "), "{address}");
    }
}

// case: A05, A06, A07
#[tokio::test]
async fn domains_are_allowed_exactly_and_suffixes_on_label_boundaries() {
    let world = hostile(&[
        "IP_WHITELIST=8.8.0.2",
        "DOMAIN_WHITELIST=spam.example",
        "DOMAIN_SUFFIX_WHITELIST=example.edu,b\u{fc}cher.example",
    ])
    .await;
    for (domain, spared) in [
        ("spam.example", true),
        ("SPAM.Example.", true),
        ("sub.spam.example", false),
        ("example.edu", true),
        ("a.example.edu", true),
        ("notexample.edu", false),
        ("xn--bcher-kva.example", true),
        ("b\u{fc}cher.example", true),
        ("mx.b\u{fc}cher.example", true),
    ] {
        for stage in ["helo", "mail"] {
            let mut phone = world.call().await;
            phone.connect("8.8.0.2").await;
            let said = match stage {
                "helo" => phone.helo(domain).await,
                _ => phone.from(format!("<u@{domain}>")).await,
            };
            assert_eq!(said == "continue", spared, "{domain} at {stage}: {said}");
        }
    }
    assert!(world.connect("8.8.0.3").await.starts_with("554 "), "no domain spares an address");
}

// case: A08
#[tokio::test]
async fn a_login_spares_address_and_helo_name() {
    let (log, _guard) = Log::listen();
    let world = hostile(&["ENFORCE_STAGE=mail"]).await;
    let mut phone = world.call().await;
    phone.connect("8.8.0.2").await;
    phone.helo("spam.example").await;
    phone.macros(b'M', &[("{auth_type}", "PLAIN"), ("{auth_authen}", "alice")]);
    assert_eq!(phone.from("<alice@spam.example>").await, "continue");
    assert_eq!(log.with(&["reason=login", "identity=sender", "auth=1"]).len(), 2, "{:#?}", log.lines());
    // The login is the message's own.
    phone.abort().await;
    phone.macros(b'M', &[]);
    assert!(phone.from("<alice@spam.example>").await.starts_with("554 "));

    let world = hostile(&["ENFORCE_STAGE=mail", "AUTH_DOMAIN_CHECKS=1"]).await;
    let mut phone = world.call().await;
    phone.connect("8.8.0.2").await;
    phone.macros(b'M', &[("{auth_authen}", "alice")]);
    assert!(phone.from("<alice@spam.example>").await.starts_with("550 5.7.1 Sender domain "));

    let world = hostile(&["ENFORCE_STAGE=mail", "AUTH_SKIP=0"]).await;
    let mut phone = world.call().await;
    phone.connect("8.8.0.2").await;
    phone.macros(b'M', &[("{auth_authen}", "alice")]);
    assert!(phone.from("<alice@spam.example>").await.starts_with("554 "));
}

#[tokio::test]
async fn an_empty_login_is_none() {
    let world = hostile(&["ENFORCE_STAGE=mail"]).await;
    let mut phone = world.call().await;
    phone.connect("8.8.0.2").await;
    phone.macros(b'M', &[("{auth_authen}", "")]);
    assert!(phone.from("<u@ok.example>").await.starts_with("554 "));
}

#[tokio::test]
async fn a_submission_service_is_known_by_its_port_or_name() {
    for (macros, settings) in [
        ([("{daemon_port}", "587")], &[][..]),
        ([("{daemon_port}", "465")], &[]),
        ([("{daemon_name}", "MSA")], &["SUBMISSION_DAEMONS=submission,MSA"]),
    ] {
        let world = hostile(settings).await;
        let mut phone = world.call().await;
        phone.macros(b'C', &macros);
        assert_eq!(phone.connect("8.8.0.2").await, "continue", "{macros:?}");
        assert_eq!(phone.helo("spam.example").await, "continue");
        assert_eq!(world.names.total(), 0);
        assert!(
            phone.from("<u@spam.example>").await.starts_with("550 "),
            "the sender is checked all the same"
        );
    }
    let world = hostile(&[]).await;
    let mut phone = world.call().await;
    phone.macros(b'C', &[("{daemon_port}", "25"), ("{daemon_name}", "MSA")]);
    assert!(phone.connect("8.8.0.2").await.starts_with("554 "));
}

// case: A10
#[tokio::test]
async fn local_mail_is_let_in_unasked() {
    let world = hostile(&[]).await;
    for address in ["127.0.0.1", "127.8.8.8", "::1"] {
        let answers = session(&world, address, "localhost", "<u@spam.example>").await;
        assert_eq!(answers, ["continue"; 3], "{address}");
    }
    let mut phone = world.call().await;
    assert_eq!(phone.connect_as("localhost", b'L', 0, b"").await, "continue");
    assert_eq!(phone.helo("spam.example").await, "continue");
    assert_eq!(phone.from("<u@spam.example>").await, "continue");
    assert_eq!(world.names.total(), 0);
}

// case: A12
#[tokio::test]
async fn nothing_of_a_trusted_network_is_asked() {
    let world = hostile(&["TRUSTED_NETWORKS=198.51.100.0/24,8.8.0.0/24"]).await;
    for address in ["198.51.100.7", "8.8.0.2"] {
        let answers = session(&world, address, "spam.example", "<u@spam.example>").await;
        assert_eq!(answers, ["continue"; 3], "{address}");
    }
    assert_eq!(world.names.total(), 0);
    assert!(world.connect(CLEAN).await.starts_with("554 "));
}

/// The client is asked about anew for each message while the list fails, and a login then hides it; that
/// must not last longer than the login.
#[tokio::test]
async fn a_login_does_not_spare_the_next_message_after_trouble() {
    let world = World::new(&["ENFORCE_STAGE=mail"]).await;
    world.names.otherwise(Act::Code(hickory_proto::op::ResponseCode::ServFail));
    let mut phone = world.call().await;
    phone.connect("8.8.0.2").await;
    assert_eq!(phone.from("<u@ok.example>").await, "continue");
    phone.abort().await;
    phone.macros(b'M', &[("{auth_authen}", "alice")]);
    assert_eq!(phone.from("<alice@ok.example>").await, "continue");
    phone.abort().await;
    world.names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    world.dns.flush();
    phone.macros(b'M', &[]);
    assert!(phone.from("<u@ok.example>").await.starts_with("554 "));
}
