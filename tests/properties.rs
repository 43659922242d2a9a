//! Properties that hold for all input.

use proptest::collection::vec;
use proptest::prelude::*;

use gatepost::milter::mta::Mta;
use gatepost::milter::{Command, Frame, Strings};
use gatepost::smtp::{Macros, ReversePath};
use support::side;

#[path = "../fuzz/bodies.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the fuzz targets")]
mod bodies;
mod support;

/// Octets without NUL, as they stand in a string of the protocol.
fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255_u8, 0..40)
}

/// Packets with the letters of commands and data that is now and then what belongs to them.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        Just(b"x\0".to_vec()),
        Just(b"x\0y\0".to_vec()),
        Just(b"<a@b.example>\0SIZE=1\0".to_vec()),
        Just(b"host\x004\0\x19192.0.2.1\0".to_vec()),
        Just(Vec::new()),
        vec(any::<u8>(), 0..40),
    ];
    let letter = prop_oneof![20 => prop::sample::select(b"CHMRTLNBEUADKQO".to_vec()), 1 => any::<u8>()];
    vec((letter, data), 0..40).prop_map(|packets| {
        let mut octets = vec![0];
        for (code, data) in packets {
            Frame::put(code, &[&data], &mut octets);
        }
        octets
    })
}

/// Text in which addresses, domains and their punctuation are likely.
fn mailboxes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("@".to_owned()),
        Just(".".to_owned()),
        Just("\u{3002}".to_owned()),
        Just("xn--".to_owned()),
        Just("spam.example".to_owned()),
        prop::sample::select(
            &["<", ">", "\"", "\\", "(", ")", "[", "]", ":", ",", " ", "\t", "\0", "-", "_", "1"][..]
        )
        .prop_map(str::to_owned),
        "[a-zA-Z0-9-]{1,70}",
        "\\PC{1,8}",
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

fn round_trip(command: &Command<'_>) -> Result<(), TestCaseError> {
    let mut packet = Vec::new();
    command.put(&mut packet);
    let (frame, size) = Mta::take(&packet).expect("a packet").expect("all of it");
    prop_assert_eq!(size, packet.len());
    let read = Command::parse(frame);
    prop_assert_eq!(read.as_ref(), Ok(command));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_taken_as_packets_within_the_limits(data in vec(any::<u8>(), 0..400)) {
        bodies::frame(&data);
    }

    #[test]
    fn a_command_is_read_as_it_was_written(
        first in text(), second in text(), parameters in vec(text(), 0..4), port in any::<u16>(),
        family in prop::sample::select(b"46LU".to_vec()), letter in any::<u8>(), chunk in vec(any::<u8>(), 0..80),
    ) {
        let known = family != b'U';
        let (port, address) = if known { (port, &second[..]) } else { (0, &b""[..]) };
        let mut strings = first.clone();
        for parameter in &parameters {
            strings.push(0);
            strings.extend_from_slice(parameter);
        }
        strings.push(0);
        let strings = Strings::new(&strings).expect("strings");
        prop_assert_eq!(strings.first(), &first[..]);
        prop_assert_eq!(strings.iter().count(), 1 + parameters.len());
        round_trip(&Command::Connect { name: &first, family, port, address })?;
        round_trip(&Command::Helo(&first))?;
        round_trip(&Command::Mail(strings))?;
        round_trip(&Command::Rcpt(strings))?;
        round_trip(&Command::Unknown(&first))?;
        round_trip(&Command::Body(&chunk))?;
        round_trip(&Command::EndOfMessage(&chunk))?;
        round_trip(&Command::Macros { command: letter, pairs: &chunk })?;
        if !first.is_empty() {
            round_trip(&Command::Header { name: &first, value: &second })?;
        }
    }

    #[test]
    fn any_packets_are_survived_and_answered_alike_in_any_pieces(data in packets()) {
        bodies::stream(&data);
    }

    // case: 54
    #[test]
    fn every_legal_conversation_is_answered_legally_to_its_end(data in vec(any::<u8>(), 0..600)) {
        bodies::conversation(&data);
    }

    #[test]
    fn what_a_client_types_has_one_canonical_form_or_none(data in mailboxes()) {
        bodies::mailbox(&data);
    }

    // case: 57
    #[test]
    fn any_octets_are_safe_in_names_addresses_and_replies(data in vec(any::<u8>(), 0..300)) {
        bodies::mailbox(&data);
    }

    #[test]
    fn macros_are_found_with_the_value_they_were_stored_with(
        pairs in vec(("[a-z]{2,6}", text()), 1..8), noise in vec(any::<u8>(), 0..80), limit in 0..200_usize,
    ) {
        let mut macros = Macros::default();
        let mut list = Vec::new();
        for (name, value) in &pairs {
            list.extend_from_slice(format!("{{{name}}}\0").as_bytes());
            list.extend_from_slice(value);
            list.push(0);
        }
        macros.store(b'M', &list, usize::MAX);
        for (n, (name, value)) in pairs.iter().enumerate() {
            if pairs[..n].iter().all(|(earlier, _)| earlier != name) {
                prop_assert_eq!(macros.find(&format!("{{{name}}}")), Some(&value[..]));
            }
        }
        macros.forget_message();
        prop_assert_eq!(macros.find(&format!("{{{}}}", pairs[0].0)), None);
        for letter in *b"CHMRTLNBEUZ" {
            macros.store(letter, &noise, limit);
        }
        let found = macros.find("i");
        prop_assert!(found.is_none_or(|value| value.len() < limit));
    }
}

/// Parsing time grows with the input, not with its square: these would take hours.
#[test]
fn hostile_addresses_cost_linear_time() {
    let start = std::time::Instant::now();
    for piece in
        ["(", ")", "\"", "\\", "@", ".", "<", ">", "[", ":", " ", "( ) ", "()", "a.", "\u{3002}", "x"]
    {
        for (head, tail) in [("", ""), ("<", ">"), ("@", ""), ("a@", ".example"), ("(", "@spam.example")] {
            let text = format!("{head}{}{tail}", piece.repeat(200_000 / piece.len()));
            let _ = ReversePath::parse(text.as_bytes());
        }
    }
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
