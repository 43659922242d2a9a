//! Protected recipients: whoever is written to, in whatever spelling, has one policy; and files of members.

use gatepost::list::recipients::{Key, Members, Party, Protected};

const DELIMITERS: &str = "+-";

/// The first octet tells which of the two the rest is.
pub fn recipient(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    if first & 1 == 0 { keys(rest) } else { members(rest) }
}

/// The argument of RCPT on the first line, a key on each other one.
fn keys(data: &[u8]) {
    let mut lines = data.split(|octet| *octet == b'\n');
    let argument = lines.next().unwrap_or_default();
    let mut protected = Protected::default();
    for (policy, line) in lines.take(40).enumerate() {
        if let Ok(key) = Key::parse(&String::from_utf8_lossy(line)) {
            assert_eq!(Key::parse(&key.to_string()), Ok(key.clone()), "as it is shown it reads as the same");
            let _ = protected.add(key, policy);
        }
    }
    let Some(party) = Party::parse(argument) else { return };
    let found = protected.find(&party, DELIMITERS);
    let shouted = Party::parse(&argument.to_ascii_uppercase()).expect("the same mailbox");
    assert_eq!(protected.find(&shouted, DELIMITERS), found, "{party}");
    assert!(found.is_some() || protected.named(&party, DELIMITERS).is_none(), "{party}");
    spellings(&party);
}

/// A key for exactly this mailbox holds for all ways to write it.
fn spellings(party: &Party) {
    let (local, Some(domain)) = (party.local(), party.domain()) else { return };
    let address = party.to_string();
    let key = Key::Address(address.as_str().into());
    // Where the local part has an address in it, that one is who is meant; what needs quotes is another key without.
    if local.contains('@') || Key::parse(&address).as_ref() != Ok(&key) {
        return;
    }
    let mut protected = Protected::default();
    protected.add(key, 7).expect("the only key");
    let holds = |argument: &str| {
        let party = Party::parse(argument.as_bytes()).expect("a mailbox");
        assert_eq!(protected.find(&party, DELIMITERS), Some(7), "{argument} {party:?}");
    };
    assert_eq!(protected.find(party, DELIMITERS), Some(7), "{party:?}");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._=".contains(c);
    if !local.contains(|c: char| !is_plain(c)) && !domain.contains(|c: char| !is_plain(c)) {
        holds(&format!("<{address}>"));
        holds(&format!(" < {address} > "));
        holds(&format!("<@relay.example,@other.example:{address}>"));
        holds(&format!("<\"{local}\"@{domain}>"));
        holds(&format!("<{local}+detail@{domain}>"));
        holds(&format!("<{local}%{domain}@own.example>"));
        holds(&format!("<{domain}!{local}@own.example>"));
        holds(&format!("<{local}@{domain}.>"));
    }
}

fn members(octets: &[u8]) {
    let faults = match Members::parse(octets) {
        Ok((members, faults)) => {
            assert!(members.len() <= octets.len().div_ceil(2), "an address has two octets and an end");
            assert_eq!(Members::parse(octets), Ok((members.clone(), faults.clone())));
            for line in octets.split(|octet| *octet == b'\n').take(40) {
                // What the file has, a client is found by, however it writes it.
                let Some(party) = Party::parse(line) else { continue };
                let shouted = Party::parse(&line.to_ascii_uppercase()).expect("the same mailbox");
                assert_eq!(members.contains(&party, DELIMITERS), members.contains(&shouted, DELIMITERS));
            }
            faults
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            faults
        }
    };
    for fault in faults {
        assert!(
            !fault.cause.is_empty() && !fault.cause.contains(gatepost::smtp::is_unprintable),
            "{fault:?}"
        );
    }
}
