//! CONNECT and HELO.

use std::fs;
use std::path::Path;

use gatepost::milter::ProtocolError;
use gatepost::smtp::{Client, Domain, NoDomain, printable};

use super::support::side::{codes, go_on};
use super::{said, side};

// case: 24
#[test]
fn every_recorded_connect_is_answered_once_and_its_address_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures/packets.txt");
    let mut seen = 0;
    for line in fs::read_to_string(path).expect("packets").lines() {
        let fields: Vec<&str> = line.split(" | ").collect();
        let [id, "M>", hex, decode, ..] = fields[..] else { continue };
        if !decode.starts_with("CONNECT") {
            continue;
        }
        let octets: Vec<u8> = (0..hex.len() / 2)
            .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex"))
            .collect();
        let mut side = side(false, go_on);
        let mut out = Vec::new();
        side.feed(&octets, &mut out).expect("CONNECT");
        assert_eq!(codes(&out), "c", "{id}");
        let family = octets[5..].split(|&octet| octet == 0).nth(1).and_then(|rest| rest.first().copied());
        match (family, side.session.dialog().client) {
            (Some(b'4' | b'6'), Client::Ip(_)) | (Some(b'L'), Client::Local) | (_, Client::Unknown) => {}
            (family, client) => panic!("{id}: {family:?} {client:?}"),
        }
        assert!(family == Some(b'U') || side.session.dialog().client != Client::Unknown, "{id}");
        seen += 1;
    }
    assert!(seen >= 6, "{seen} packets");
}

// case: 27, 28
#[test]
fn a_client_without_readable_address_does_not_end_the_session() {
    for (data, client) in [
        (&b"localhost\0U"[..], Client::Unknown),
        (b"localhost\0U\0\0\0", Client::Unknown),
        (b"localhost\0L\0\0/var/run/x.sock\0", Client::Local),
        (b"localhost\0L\0\0\0", Client::Local),
        (b"x\x004\0\x19999.1.1.1\0", Client::Unknown),
        (b"x\x004\0\x191.2\0", Client::Unknown),
        (b"x\x004\0\x19\0", Client::Unknown),
    ] {
        let mut side = side(false, go_on);
        assert_eq!(said(&mut side, b'C', data).as_deref(), Ok("c"), "{data:?}");
        assert_eq!(side.session.dialog().client, client, "{data:?}");
        assert_eq!(said(&mut side, b'H', b"x\0").as_deref(), Ok("c"));
    }
    let unterminated = said(&mut side(false, go_on), b'C', b"x\x004\0\x19192.0.2.1");
    assert_eq!(unterminated, Err(ProtocolError::Malformed("CONNECT")));
}

// case: 29
#[test]
fn a_broken_connect_ends_the_conversation() {
    for data in [&b"host"[..], b"host\0", b"host\x004", b"host\x004\0"] {
        let outcome = said(&mut side(false, go_on), b'C', data);
        assert_eq!(outcome, Err(ProtocolError::Malformed("CONNECT")), "{data:?}");
    }
}

// case: 30
#[test]
fn a_hostile_host_name_stays_on_one_line() {
    let name = [&b"a\r\nevent=verdict \x1b[31m\xff"[..], &[b'x'; 1_000]].concat();
    let mut side = side(false, go_on);
    assert_eq!(said(&mut side, b'C', &[&name, &b"\0U"[..]].concat()).as_deref(), Ok("c"));
    let shown = printable(&side.session.dialog().client_name, 200);
    assert!(shown.len() <= 200 && shown.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{shown}");
}

// case: 31
#[test]
fn every_helo_is_answered_and_only_real_domains_are_asked_about() {
    for (name, domain) in [
        (&b""[..], Err(NoDomain::Empty)),
        (b"-", Err(NoDomain::Single)),
        (b"bad name here", Err(NoDomain::Syntax)),
        (b"[192.0.2.1]", Err(NoDomain::Literal)),
        (b"[IPv6:2001:db8::1]", Err(NoDomain::Literal)),
        (b"caf\xe9.example", Err(NoDomain::Encoding)),
        (&[b'x'; 300], Err(NoDomain::Syntax)),
        (b"Mail.Example.", Ok("mail.example".to_owned())),
    ] {
        let mut side = side(true, go_on);
        assert_eq!(said(&mut side, b'H', &[name, b"\0"].concat()).as_deref(), Ok("c"));
        let helo = side.session.dialog().helo.as_deref().expect("HELO");
        assert_eq!(Domain::from_octets(helo).map(|(domain, _)| domain.to_string()), domain, "{name:?}");
    }
}

// case: 32
#[test]
fn a_broken_helo_ends_the_conversation() {
    for data in [&b""[..], b"mx.example"] {
        assert_eq!(said(&mut side(true, go_on), b'H', data), Err(ProtocolError::Malformed("HELO")));
    }
}

// case: 33
#[test]
fn helo_may_be_missing() {
    assert_eq!(said(&mut side(true, go_on), b'M', b"<a@example.com>\0").as_deref(), Ok("c"));
}
