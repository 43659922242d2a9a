use super::*;

/// Databases that `postmap`, `mdb_load` and LMDB itself made, see `tests/data/lmdb/README.md`.
macro_rules! made {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/lmdb/", $name, ".lmdb"))
    };
}

const SMALL: &[u8] = made!("small");
const MANY: &[u8] = made!("many");

/// All records, or why there are none.
fn read(octets: &[u8]) -> Result<Vec<Record<'_>>, LmdbError> {
    let database = Lmdb::new(octets)?;
    let records: Vec<_> = database.records().collect();
    assert_eq!((records.len(), records.is_empty()), (database.len(), database.is_empty()));
    Ok(records)
}

/// A database with other octets at a place.
fn with(octets: &[u8], at: usize, other: &[u8]) -> Vec<u8> {
    let mut changed = octets.to_vec();
    changed[at..at + other.len()].copy_from_slice(other);
    changed
}

#[test]
fn what_postmap_wrote_is_read_with_its_nuls() {
    let expected: [Record<'_>; 4] = [
        (b"connect:192.0.2\0", b"REJECT\0"),
        (b"connect:192.0.2.9\0", b"OK\0"),
        (b"connect:ipv6:2001:db8\0", b"TEMPFAIL\0"),
        (b"from:bad.example\0", b"ERROR:5.7.1:550 go away\0"),
    ];
    assert_eq!(read(SMALL).expect("a database"), expected);
    assert_eq!(read(made!("none")).expect("a database of an empty text"), []);
}

#[test]
fn what_mdb_load_wrote_is_read_without_any() {
    let expected: [Record<'_>; 2] =
        [(b"connect:192.0.2", b"REJECT"), (b"from:bad.example", b"ERROR:5.7.1:550 go away")];
    assert_eq!(read(made!("plain")).expect("a database"), expected);
}

#[test]
fn a_tree_that_was_written_twice_is_read_as_it_is_now_with_a_value_on_pages_of_its_own() {
    let records = read(MANY).expect("a database");
    assert_eq!(records.len(), 61);
    for (n, (key, value)) in (0..60).zip(&records) {
        let host = "x".repeat(60);
        assert_eq!(
            (String::from_utf8_lossy(key), String::from_utf8_lossy(value)),
            (format!("from:{host}.{host}.{host}.d{n:03}.example\0").into(), format!("REJECT {n}\0").into())
        );
    }
    let (key, value) = records[60];
    assert_eq!(key, b"gatepost-to:list.example\0");
    assert!(value.starts_with(b"!*@spam0000.example!REJECT ") && value.ends_with(b"REJECT OK\0"));
    assert_eq!(value.len(), 100 * 27 + 3);
}

#[test]
fn a_file_that_was_only_made_is_no_empty_map() {
    assert_eq!(read(made!("unwritten")), Err(LmdbError::Unwritten));
}

#[test]
fn what_is_no_plain_map_has_its_own_error() {
    assert_eq!(read(made!("several")), Err(LmdbError::Flags(4)));
    assert_eq!(read(made!("inside")), Err(LmdbError::Databases));
    assert_eq!(read(&with(SMALL, 20, &[2])), Err(LmdbError::Version(2)));
    // Where numbers have 32 bits, the header is shorter; where the high octet is first, the magic number is turned.
    for other in [SMALL[4..].to_vec(), with(SMALL, 16, &[0xbe, 0xef, 0xc0, 0xde])] {
        assert_eq!(read(&other), Err(LmdbError::Machine));
    }
}

#[test]
fn a_file_is_known_by_its_first_octets_on_whatever_machine_it_was_made() {
    for (octets, known) in [
        (&SMALL[..20], true),
        (&SMALL[..19], false),
        (&SMALL[4..20], true),
        (&SMALL[4..19], false),
        (&with(SMALL, 16, &[0xbe, 0xef, 0xc0, 0xde]), true),
        (&with(SMALL, 16, &[0]), false),
        (b"", false),
        (&[0; 4_096], false),
    ] {
        assert_eq!(begins(octets), known, "{:02x?}", &octets[..octets.len().min(24)]);
    }
    assert_eq!(read(&[0; 4_096]), Err(LmdbError::Meta));
}

#[test]
fn pages_have_the_sizes_that_lmdb_makes() {
    // The same pages with more room in each.
    let sized = |size: usize| -> Vec<u8> {
        let mut pages: Vec<Vec<u8>> = SMALL.chunks(4_096).map(<[u8]>::to_vec).collect();
        for page in &mut pages[..2] {
            page[40..44].copy_from_slice(&u32::try_from(size).expect("a small size").to_le_bytes());
        }
        for page in &mut pages {
            page.resize(size, 0);
        }
        pages.concat()
    };
    for size in [8_192, 32_768] {
        assert_eq!(read(&sized(size)), read(SMALL), "{size}");
    }
    for size in [6_000, 65_536] {
        assert_eq!(read(&sized(size)), Err(LmdbError::Meta), "{size}");
    }
}

#[test]
fn both_pages_that_describe_the_database_do_so_and_the_newer_one_says_what_can_be() {
    let newer = |what| LmdbError::Page { page: 1, what };
    let impossible = newer("says what cannot be");
    for (at, other, error) in [
        (0, &[1][..], LmdbError::Meta),
        (10, &[2], LmdbError::Meta),
        (4_096, &[0], LmdbError::Meta),
        (4_096 + 10, &[2], LmdbError::Meta),
        (4_096 + 16, &[0], LmdbError::Meta),
        (4_096 + 20, &[2], LmdbError::Version(2)),
        (4_096 + 41, &[0x20], LmdbError::Meta),
        (4_096, &[0; 64], LmdbError::Meta),
        // A tree deeper than any, one without a root, and one with a root and no depth.
        (4_096 + 94, &[33], impossible),
        (4_096 + 128, &[0xff; 8], impossible),
        (4_096 + 94, &[0], impossible),
        (4_096 + 94, &[32], LmdbError::Page { page: 2, what: "is one more than there are" }),
        // More pages than the file has, and as many.
        (4_096 + 96, &[0xff; 8], impossible),
        (4_096 + 104, &[4], impossible),
        (4_096 + 104, &[3], LmdbError::Records { said: 4, found: 4 }),
    ] {
        assert_eq!(read(&with(SMALL, at, other)), Err(error), "{at} {other:?}");
    }
    // As LMDB does it: no transaction of its own has the number of another one.
    assert_eq!(read(&with(MANY, 4_096 + 144, &MANY[144..152])), read(MANY));
}

#[test]
fn a_page_holds_its_records_between_its_bounds() {
    let leaf = 2 * 4_096;
    let node = leaf + short(SMALL, leaf + HEADER);
    assert_eq!((short(SMALL, leaf + 12), node - leaf), (24, 4_064));
    let outside = "has a record outside of it";
    for (at, other, what) in [
        (leaf, &[3][..], "is not there"),
        (leaf + 10, &[1], "is of another kind than its place"),
        (leaf + 12, &[14], "has no right bounds"),
        (leaf + 12, &[25], "has no right bounds"),
        (leaf + 12, &[16], "is empty"),
        (leaf + 14, &[22, 0], "has no right bounds"),
        (leaf + 14, &[1, 0x10], "has no right bounds"),
        // The place of a record: among the places, and at the end; its key, its value.
        (leaf + 16, &[23, 0], outside),
        (leaf + 16, &[0xfb, 0x0f], outside),
        (node + 6, &[0xff], outside),
        (node, &[9], outside),
        (node + 4, &[4], "has a record of a kind that is not known"),
        // The next record has the key of this one.
        (leaf + 18, &SMALL[leaf + 16..leaf + 18], "has keys out of their order"),
    ] {
        assert_eq!(read(&with(SMALL, at, other)), Err(LmdbError::Page { page: 2, what }), "{at} {other:?}");
    }
    assert_eq!(read(&with(SMALL, node + 4, &[2])), Err(LmdbError::Databases));
    // A page may be full, and a record may lie right behind the places of all.
    let full = with(SMALL, leaf + 24, &SMALL[node..leaf + 4_096]);
    for full in [
        with(&full, leaf + 14, &[24, 0]),
        with(&full, leaf + 16, &[24, 0]),
        with(SMALL, leaf + 14, &[0, 0x10]),
    ] {
        assert_eq!(read(&full), read(SMALL));
    }
}

#[test]
fn a_value_on_pages_of_its_own_fills_them_at_most() {
    let (leaf, value) = (7 * 4_096, 8 * 4_096);
    let node = leaf + 2_074;
    assert_eq!((word(MANY, node), short(MANY, node + 4), short(MANY, value + 10)), (2_703, BIG, OVERFLOW));
    let filled = with(MANY, node, &[0xf0, 0x0f]);
    assert_eq!(read(&filled).expect("a database")[60].1, &MANY[value + 16..value + 4_096]);
    for (at, other, page, what) in [
        (node, &[0xf1, 0x0f][..], 8, "has no room for its value"),
        (node, &[0xff, 0xff, 0xff, 0xff], 8, "has no end"),
        (value, &[9], 8, "is not there"),
        (value + 10, &[2], 8, "is of another kind than its place"),
        (value + 12, &[0], 8, "has no room for its value"),
        (value + 12, &[2], 7, "has longer values than there is room for"),
        // The number of a page has 48 bits.
        (5 * 4_096 + 4_088 + 4, &[1], 1 << 32 | 3, "is not there"),
    ] {
        assert_eq!(read(&with(MANY, at, other)), Err(LmdbError::Page { page, what }), "{at} {other:?}");
    }
}

#[test]
fn what_is_cut_anywhere_is_no_database() {
    // The last page of the second one is of nobody's use.
    for (octets, used) in [(SMALL, 3 * 4_096), (MANY, 9 * 4_096)] {
        for length in (0..used).step_by(7).chain([used - 1]) {
            assert!(Lmdb::new(&octets[..length]).is_err(), "{length} of {used}");
        }
        assert!(Lmdb::new(&octets[..used]).is_ok());
    }
}

#[test]
fn pages_that_lead_in_a_circle_or_nowhere_are_refused() {
    let root = usize::from(MANY[128]) * 4_096;
    assert_eq!(short(MANY, root + 10), BRANCH);
    let first = root + short(MANY, root + HEADER);
    let number = u64::from(MANY[128]);
    // Its first child is the root itself, under a tree that says it is deeper, and has pages enough.
    let mut circle = with(MANY, first, &[MANY[128]]);
    circle[94] = 32;
    circle[96] = 5;
    assert_eq!(read(&circle), Err(LmdbError::Page { page: number, what: "is one more than there are" }));
    for child in [0, 1, 99, 255] {
        let lost = with(MANY, first, &[child]);
        assert_eq!(read(&lost), Err(LmdbError::Page { page: child.into(), what: "is not there" }));
    }
    // Its second child is the first one once more.
    let second = root + short(MANY, root + HEADER + 2);
    let twice = with(MANY, second, &MANY[first..first + 6]);
    assert!(
        matches!(read(&twice), Err(LmdbError::Page { what: "has keys out of their order", .. })),
        "{:?}",
        read(&twice)
    );
}

#[test]
fn a_page_of_another_state_is_noticed() {
    let root = usize::from(MANY[128]) * 4_096;
    let child = |n: usize| usize::from(MANY[root + short(MANY, root + HEADER + 2 * n)]) * 4_096;
    // What the first leaf has stands in the second one, too, under the number of that.
    let moved = with(MANY, child(1) + 8, &MANY[child(0) + 8..child(0) + 4_096]);
    assert!(
        matches!(read(&moved), Err(LmdbError::Page { what: "has keys out of their order", .. })),
        "{:?}",
        read(&moved)
    );
    // More records, or fewer, than there are.
    for said in [60, 62] {
        assert_eq!(read(&with(MANY, 120, &[said])), Err(LmdbError::Records { said: said.into(), found: 61 }));
    }
    for pages in [0, 2] {
        assert!(read(&with(MANY, 112, &[pages])).is_err(), "{pages} pages for long values");
    }
}

#[test]
fn no_octet_that_is_changed_ends_the_process_and_none_makes_more_of_the_records() {
    for octets in [SMALL, MANY] {
        // All that describe pages, and some that are in them.
        for at in (0..octets.len()).filter(|at| at % 4_096 < 160 || at % 13 == 0 && octets[*at] != 0) {
            for other in [0, 1, 0x7f, 0xff, octets[at] ^ 0x10] {
                let changed = with(octets, at, &[other]);
                if let Ok(database) = Lmdb::new(&changed) {
                    let size: usize = database.records().map(|(key, value)| key.len() + value.len()).sum();
                    assert!(size <= octets.len(), "{at} {other}");
                }
            }
        }
    }
}
