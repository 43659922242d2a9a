//! What is asked, and what is not.

use super::common::phone::Phone;
use super::{Log, World};

// case: Q01, D10
#[tokio::test]
async fn an_ipv4_client_is_asked_about_by_one_absolute_name() {
    let world = World::new(&[]).await;
    assert_eq!(world.connect("8.8.0.2").await, "continue");
    let asked = world.names.asked();
    let [question] = &asked[..] else { panic!("one question: {asked:?}") };
    assert_eq!(question.full, format!("2.0.8.8.{}.zen.dq.spamhaus.net.", super::KEY));
    assert_eq!(question.record_type.to_string(), "A");
}

// case: Q02
#[tokio::test]
async fn an_ipv6_client_is_asked_about_by_its_nibbles() {
    let world = World::new(&[]).await;
    assert_eq!(world.connect("2001:470:1:2:3:4:567:89ab").await, "continue");
    let asked = world.names.asked();
    let name = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.7.4.0.1.0.0.2.zen";
    assert_eq!((asked.len(), &*asked[0].name, &*asked[0].record_type.to_string()), (1, name, "A"));
}

async fn connect_as(world: &World, family: u8, address: &str) -> (Phone, String) {
    let mut phone = world.call().await;
    let answer = phone.connect_as("unknown", family, 4_711, address.as_bytes()).await;
    (phone, answer)
}

// case: Q05
#[tokio::test]
async fn sendmails_ipv6_tag_is_taken_off_and_a_zone_id_asks_nothing() {
    let world = World::new(&[]).await;
    for address in ["fe80::1%eth0", "IPv6:fe80::1%eth0"] {
        assert_eq!(connect_as(&world, b'6', address).await.1, "continue");
    }
    assert_eq!(world.names.total(), 0);
    assert_eq!(connect_as(&world, b'6', "IPv6:2001:470::1").await.1, "continue");
    let name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.4.0.1.0.0.2.zen";
    assert_eq!(world.asked(), [name]);
}

// case: Q06
#[tokio::test]
async fn addresses_that_no_public_list_can_know_are_not_asked_about() {
    let (log, _guard) = Log::listen();
    let world = World::new(&[]).await;
    for address in
        ["10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.1.1", "100.64.0.1", "fe80::1", "fc00::1"]
    {
        assert_eq!(world.connect(address).await, "continue", "{address}");
        assert_eq!(log.with(&["action=skip", "reason=special", &format!("client_ip={address} ")]).len(), 1);
    }
    for address in ["127.0.0.1", "::1"] {
        assert_eq!(world.connect(address).await, "continue", "{address}");
        assert_eq!(log.with(&["action=skip", "reason=local", &format!("client_ip={address} ")]).len(), 1);
    }
    assert_eq!(world.names.total(), 0);
}

// case: Q07
#[tokio::test]
async fn a_client_without_an_address_is_let_in_and_the_log_says_why() {
    let (log, _guard) = Log::listen();
    let world = World::new(&[]).await;
    for (family, address) in [(b'U', ""), (b'4', "unknown"), (b'6', "999::x"), (b'4', "1.2")] {
        let (mut phone, answer) = connect_as(&world, family, address).await;
        assert_eq!(answer, "continue", "{address}");
        assert_eq!(phone.helo("localhost").await, "continue");
    }
    assert_eq!(log.with(&["action=skip", "zone=zen", "reason=no-address", "client_ip=unknown"]).len(), 4);
    let (_, answer) = connect_as(&world, b'L', "/var/run/x").await;
    assert_eq!(answer, "continue");
    assert_eq!(log.with(&["action=skip", "zone=zen", "reason=local", "client_ip=local"]).len(), 1);
    assert_eq!(world.names.total(), 0);
}

// case: Q08
#[tokio::test]
async fn a_helo_name_is_asked_in_lower_case_without_its_dot() {
    let world = World::new(&[]).await;
    assert_eq!(world.helo("MAIL.Spam.Example.").await, "continue");
    assert_eq!(world.asked(), ["mail.spam.example.dbl", "mail.spam.example.zrd"]);
    let key = super::KEY;
    let full: Vec<String> = world.names.asked().into_iter().map(|asked| asked.full).collect();
    assert!(full.contains(&format!("mail.spam.example.{key}.dbl.dq.spamhaus.net.")), "{full:?}");
}

// case: Q09, Q11
#[tokio::test]
async fn keys_of_any_legal_length_are_asked_with_as_they_are() {
    for length in [26, 27, 63] {
        let key = "k".repeat(length);
        let world = World::new(&[&format!("API_KEY={key}")]).await;
        world.names.on("2.0.8.8.zen", super::Act::records(["127.0.0.2"]));
        assert!(world.connect("8.8.0.2").await.starts_with("554 5.7.1 "), "{length}");
        assert_eq!(world.names.asked()[0].full, format!("2.0.8.8.{key}.zen.dq.spamhaus.net."));
    }
}

#[tokio::test]
async fn an_ipv4_mapped_address_is_its_ipv4_address() {
    let world = World::new(&[]).await;
    assert_eq!(world.connect("::ffff:8.8.0.2").await, "continue");
    assert_eq!(world.asked(), ["2.0.8.8.zen"]);
}
