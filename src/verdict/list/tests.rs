use super::*;

fn own() -> Sketch {
    Sketch {
        name: "own".to_owned(),
        title: "Own".to_owned(),
        kind: Kind::Address,
        home: Home::Zone { apex: "list.example".to_owned(), keyed: false },
        answers: vec![
            ("spam".to_owned(), Pattern::Bits(2)),
            ("open".to_owned(), Pattern::Bits(4)),
            ("medium".to_owned(), Pattern::Octets([(127, 127), (0, 0), (0, 255), (3, 3)])),
        ],
        refusals: vec![Pattern::Octets([(127, 127), (0, 0), (0, 0), (255, 255)])],
        test: Some(("127.0.0.2".to_owned(), "127.0.0.1".to_owned())),
    }
}

#[test]
fn built_in_lists_have_the_places_of_their_numbers() {
    for (place, list) in List::DQS.into_iter().enumerate() {
        assert_eq!((list.number(), list.definition()), (place, &BUILT_IN[place]));
    }
    assert!(List::DQS.is_sorted());
}

#[test]
fn a_list_is_called_by_its_title_in_lower_case() {
    for list in List::DQS {
        let name = list.title().to_lowercase();
        assert_eq!((list.name(), list.to_string()), (&*name, name.clone()));
    }
}

#[test]
fn a_list_is_one_of_dqs_or_a_zone_of_its_own_or_a_file() {
    let at = |home| List::define(Sketch { home, ..own() }).expect("room");
    let zone = at(Home::Zone { apex: "list.example".to_owned(), keyed: true });
    let file = at(Home::File { path: "/etc/gatepost/list".to_owned() });
    let told = |list: List| (list.is_dqs(), list.is_local());
    assert!(List::DQS.into_iter().all(|list| told(list) == (true, false)));
    assert_eq!((told(zone), told(file)), ((false, false), (false, true)));
}

#[test]
fn equal_definitions_are_one_list_and_a_change_makes_another_one() {
    let zone = |apex: &str, keyed| Home::Zone { apex: apex.to_owned(), keyed };
    let file = |path: &str| Home::File { path: path.to_owned() };
    let names = |names: &[(&str, Pattern)]| {
        names.iter().map(|(name, pattern)| ((*name).to_owned(), *pattern)).collect::<Vec<_>>()
    };
    let test = |present: &str, absent: &str| Some((present.to_owned(), absent.to_owned()));
    let sketches = [
        own(),
        Sketch { name: "another".to_owned(), ..own() },
        Sketch { title: "Another".to_owned(), ..own() },
        Sketch { kind: Kind::Domain, ..own() },
        Sketch { kind: Kind::Mailbox(Digest::Plain), ..own() },
        Sketch { home: zone("other.example", false), ..own() },
        Sketch { home: zone("list.example", true), ..own() },
        Sketch { home: file("list.example"), ..own() },
        Sketch { home: file("other.example"), ..own() },
        Sketch { answers: Vec::new(), ..own() },
        Sketch { answers: names(&[("spam", Pattern::Bits(2))]), ..own() },
        Sketch { answers: names(&[("spam", Pattern::Bits(4))]), ..own() },
        Sketch { answers: names(&[("open", Pattern::Bits(4))]), ..own() },
        Sketch { refusals: Vec::new(), ..own() },
        Sketch { test: None, ..own() },
        Sketch { test: test("127.0.0.3", "127.0.0.1"), ..own() },
        Sketch { test: test("127.0.0.2", "127.0.0.3"), ..own() },
    ];
    let mut defined = Defined(Vec::new());
    let mut lists: Vec<List> = Vec::new();
    for sketch in &sketches {
        let list = defined.take_in(sketch.clone()).expect("room");
        assert!(lists.iter().all(|other| *other != list), "{sketch:?}");
        assert_eq!(list.number(), BUILT_IN.len() + lists.len());
        lists.push(list);
    }
    for (sketch, list) in sketches.into_iter().zip(lists) {
        assert_eq!(defined.take_in(sketch), Ok(list));
    }
    assert_eq!(List::define(own()), List::define(own()));
}

#[test]
fn a_process_that_has_seen_too_many_definitions_takes_only_those_it_knows() {
    let mut defined = Defined(Vec::new());
    let nth = |n: usize| Sketch { title: n.to_string(), ..own() };
    let numbers: Vec<_> = (0..=MOST).map_while(|n| Some(defined.take_in(nth(n)).ok()?.number())).collect();
    assert_eq!(numbers, (List::DQS.len()..MOST).collect::<Vec<_>>());
    assert_eq!(defined.take_in(nth(numbers.len())), Err(TooMany));
    let last = defined.take_in(nth(numbers.len() - 1)).map(List::number);
    assert_eq!(last, Ok(MOST - 1));
}

#[test]
fn only_the_codes_of_a_list_are_a_listing() {
    let codes = |list: List, octets: [u8; 4]| list.codes(octets.into()).iter().collect::<Vec<_>>();
    for (list, octets, listed) in [
        (List::ZEN, [127, 0, 0, 2], true),
        (List::ZEN, [127, 0, 0, 30], true),
        (List::ZEN, [127, 0, 0, 1], false),
        (List::ZEN, [127, 0, 0, 31], false),
        (List::ZEN, [127, 0, 1, 2], false),
        (List::ZEN, [127, 1, 0, 2], false),
        (List::DBL, [127, 0, 1, 2], true),
        (List::DBL, [127, 0, 0, 2], false),
        (List::DBL, [127, 0, 1, 255], false),
    ] {
        let expected = if listed { &octets[3..] } else { &[] };
        assert_eq!(codes(list, octets), expected, "{list} {octets:?}");
    }
}

#[test]
fn lists_of_domains_say_that_they_do_not_have_addresses() {
    let says = |list: List| [1, 2].map(|group| list.is_misuse(Ipv4Addr::new(127, 0, group, 255)));
    assert_eq!(List::DQS.map(says), [[false, false], [true, false], [true, true], [false, false]]);
}

#[test]
fn answers_have_the_names_of_the_administrator() {
    let list = List::define(own()).expect("room");
    let shown = |octets: [u8; 4]| list.shown(list.codes(octets.into()));
    assert_eq!(shown([127, 0, 0, 2]), "spam");
    assert_eq!(shown([127, 0, 0, 7]), "spam,open");
    assert_eq!(shown([127, 0, 9, 3]), "medium");
    assert_eq!(shown([127, 0, 9, 4]), "");
    assert_eq!(list.shown(list.all_codes()), "spam,open,medium");
    assert!(list.is_refusal(Ipv4Addr::new(127, 0, 0, 255)));
    assert!(!list.is_refusal(Ipv4Addr::new(127, 0, 1, 255)));
}
