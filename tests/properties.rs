//! Properties that hold for all input.

use proptest::collection::vec;
use proptest::prelude::*;

use std::net::{Ipv4Addr, Ipv6Addr};

use gatepost::list::{Format, Kind, Table};
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

/// Entries of one sort: IPv4, IPv6, domains, mailboxes, records.
fn entries(sort: usize) -> BoxedStrategy<String> {
    let ip4 = "(10|255|0)[.](0|1|255)[.](0|1|2|255)[.](0|9|255)";
    let octets = "(10|255|0)([.](0|1|255)){0,2}";
    match sort {
        0 => prop_oneof![
            ip4,
            ip4,
            (ip4, 0..33_u8).prop_map(|(ip, bits)| format!("{ip}/{bits}")),
            (octets, 0..3_u8).prop_map(|(ip, bytes)| format!("{ip}/{}", 8 * bytes)),
            (ip4, ip4).prop_map(|(first, last)| format!("{first}-{last}")),
            (octets, "[0-9]{1,3}").prop_map(|(first, last)| format!("{first}-{last}")),
            octets,
        ]
        .boxed(),
        1 => "(2001:db8|fe80|::ffff)(:[0-2]){0,3}(::[0-2]?)?(/(128|112|96|64|32|16))?".boxed(),
        2 => "([*.]?[.])?([ab]{1,2}[.]){0,3}example[.]?".boxed(),
        3 => "([ab]|\"a b\")?@([.]?[ab][.]example)?|<>|<a@b[.]example>".boxed(),
        _ => "[ab]([.][ab])? (IN |5m )?(A 127[.]0[.]0[.][0-9]|TXT \"?[a$]{0,4}\"?|MX 1 x)".boxed(),
    }
}

/// The kind of input, and pieces of maps, values and replies one behind the other.
fn maps() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 40] = [
        "Connect:",
        "From:",
        "To:",
        "Spam:",
        "gatepost-from:",
        "milter-spamc-auth:",
        "192.0.2",
        "192.0.2.0/25",
        "2001:db8",
        "IPv6:",
        "a+x@",
        "b.example",
        "[192.0.2.9]",
        "<>",
        ".",
        "@",
        ":",
        "\t",
        " ",
        "\n",
        "#",
        "OK",
        "REJECT",
        "550 no",
        "ERROR:4.7.1:450 x",
        "\"",
        "DUNNO",
        "!",
        "*",
        "?",
        "/",
        "[",
        "]",
        "(",
        ")",
        "{3}",
        "\\",
        "9:NOTFOUND ,",
        "\0",
        "cdb:/",
    ];
    let octets = prop_oneof![
        30 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    (any::<u8>(), vec(octets, 0..40)).prop_map(|(first, pieces)| [vec![first], pieces.concat()].concat())
}

/// Lines of lists, most of which are entries of one sort.
fn lists() -> impl Strategy<Value = Vec<u8>> {
    let value = || {
        prop_oneof![
            6 => Just(String::new()),
            2 => "[ \t]?:[0-9]{1,3}(:[ a$1=]{0,6})?",
            1 => "[ #;][a$ ]{0,8}",
        ]
    };
    let entry = move |sort| {
        ("[ !]{0,2}", entries(sort), value()).prop_map(|(before, entry, value)| before + &entry + &value)
    };
    let line = move |sort| {
        prop_oneof![
            30 => entry(sort),
            1 => "[$#;:]?[$][1=] ?[a$]{0,4}",
            1 => ":[0-9]{1,3}:?[a$]{0,4}",
            1 => "\\PC{0,12}",
        ]
    };
    let lines = (0..5_usize).prop_flat_map(move |sort| vec(line(sort), 0..14));
    let end = prop::sample::select(&["\n", "\n", "\r\n", "\n\n"][..]);
    (lines, end).prop_map(|(lines, end)| lines.join(end).into_bytes())
}

/// Networks that lie in each other: address, prefix length, value; 0 excludes.
fn networks() -> impl Strategy<Value = Vec<(u32, u32, u8)>> {
    let address = prop::sample::select(vec![0, u32::MAX, 0x0a00_0000, 0x0a00_00ff, 0x0a01_0203, 0x8000_0000]);
    vec((address, 0..=32_u32, 0..5_u8), 1..30)
}

/// What a list of such networks means, by looking at each of them.
fn longest(networks: &[(u32, u32, u8)], ip: u32) -> Option<u8> {
    let mask = |bits| u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    let holds = |&&(address, bits, _): &&(u32, u32, u8)| ip & mask(bits) == address & mask(bits);
    // Of equal ones `max_by_key` takes the last.
    networks
        .iter()
        .rev()
        .filter(holds)
        .max_by_key(|(_, bits, _)| *bits)
        .map(|(.., value)| *value)
        .filter(|value| *value > 0)
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
    fn any_list_is_refused_or_says_the_same_however_it_is_written(
        data in lists(), format in prop::sample::select(&Format::ALL[..]), kind in prop::sample::select(&Kind::ALL[..]),
    ) {
        bodies::table::parse(format, kind, &data);
    }

    #[test]
    fn any_octets_are_safe_as_a_list(data in vec(any::<u8>(), 0..300)) {
        bodies::table::table(&data);
    }

    #[test]
    fn any_access_map_is_refused_or_answers(data in maps()) {
        bodies::map::map(&data);
    }

    #[test]
    fn the_longest_prefix_of_a_list_counts_in_both_families(networks in networks(), probe in any::<u32>()) {
        use std::fmt::Write as _;
        // A plain file takes none of the widest.
        let narrow: Vec<_> = networks.iter().copied().filter(|(_, bits, _)| *bits >= 8).collect();
        let tables = [(&networks, Format::Ip4Trie, Format::Ip6Trie), (&narrow, Format::Plain, Format::Plain)];
        let tables = tables.map(|(networks, format4, format6)| {
            let (mut ip4, mut ip6) = ("# IPv4\n".to_owned(), "# IPv6\n".to_owned());
            for (address, bits, value) in networks {
                let address = address & u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                let (sign, value) = if *value == 0 { ("!", String::new()) } else { ("", format!(" :{value}:")) };
                writeln!(ip4, "{sign}{}/{bits}{value}", Ipv4Addr::from_bits(address)).expect("a line");
                let address = Ipv6Addr::from_bits(u128::from(address) << 96);
                writeln!(ip6, "{sign}{address}/{bits}{value}").expect("a line");
            }
            let table = |format, text: &str| Table::parse(format, Kind::Address, text.as_bytes()).expect("a list").0;
            (networks, table(format4, &ip4), table(format6, &ip6))
        });
        let edges = networks.iter().flat_map(|(address, bits, _)| {
            let hosts = u32::MAX.checked_shr(*bits).unwrap_or(0);
            [address & !hosts, address | hosts, (address | hosts).wrapping_add(1), (address & !hosts).wrapping_sub(1)]
        });
        for ip in edges.chain([probe]) {
            for (networks, ip4, ip6) in &tables {
                let value = longest(networks, ip);
                let found = ip4.address(Ipv4Addr::from_bits(ip).into()).map(|entry| entry.value.octets()[3]);
                prop_assert_eq!(found, value, "{}", Ipv4Addr::from_bits(ip));
                let below = Ipv6Addr::from_bits(u128::from(ip) << 96 | u128::from(probe));
                prop_assert_eq!(ip6.address(below.into()).map(|entry| entry.value.octets()[3]), value, "{}", below);
            }
        }
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

/// Neither time nor memory grows with the square of a list, whatever is in it.
#[test]
fn hostile_lists_cost_linear_time() {
    let start = std::time::Instant::now();
    for piece in [
        "10/8 :2:\n",
        "!10.0.0.0-10.255.255.254\n",
        "0.0.0.1-255.255.255.254\n",
        "10.0.0.1-254 :3\n",
        "$",
        "$1",
        ":",
        ".",
        "a.",
        "@",
        "\"",
        "\\",
        "<",
        "!",
        "-",
        "/",
        " ",
        "\t",
        "1",
        "f:",
        "::",
        "\u{fc}",
        ".a\n",
        "a@a.example\n",
        "1.1.1.1 $1$=\n",
        "#",
        "x A 127.0.0.2\n",
        "x TXT y\n",
    ] {
        for format in Format::ALL {
            for kind in Kind::ALL.into_iter().filter(|kind| format.kind().is_none_or(|own| own == *kind)) {
                let text = format!("$= $=\n{}\n", piece.repeat(200_000 / piece.len()));
                let _ = Table::parse(format, kind, text.as_bytes());
            }
        }
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
