//! Large maps and long lists, with room for a slow machine: `benches/access.rs` has the figures.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gatepost::list::access::{Address, Host, Map, Options, Patterns, Rules, Ruling, Search};
use gatepost::list::pattern::Classes;

#[test]
fn many_entries_are_read_and_found_in_no_time() {
    const ENTRIES: u32 = 20_000;
    let mut text = String::new();
    for n in 0..ENTRIES {
        writeln!(text, "From:user{n}@d{n}.example\tERROR:5.7.1:550 not from d{n}").expect("a string");
    }
    let begun = Instant::now();
    let (map, _) = Map::parse(text.as_bytes(), &Options::default()).expect("a map");
    // Without optimisation, on a busy machine, some 2 s.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let rules = Rules::default();
    let begun = Instant::now();
    for n in (0..ENTRIES).step_by(100) {
        let sender = Address::parse(format!("<user{n}@d{n}.example>").as_bytes());
        let answer = Search::mail(&Host::default(), None, sender.as_ref(), &rules).run(&map);
        assert!(matches!(answer.ruling, Ruling::Refuse(_)), "{n}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_thousand_patterns_on_one_key_cost_little_and_the_first_that_matches_decides() {
    let value = (0..1_000).fold(String::new(), |mut value, n| {
        let pattern = match n % 4 {
            0 => format!("!*@spam{n}.example!REJECT "),
            1 => format!("/^user[0-9]+@(spam{n}|ham{n})[.]example$/REJECT "),
            2 => format!("[198.51.100.{}]REJECT ", n / 4),
            _ => format!("/^[a-z]{{{n}}}@/REJECT "),
        };
        value.push_str(&pattern);
        value
    }) + "!*@*!OK";
    let patterns = Patterns::new(&value, Classes::Off, &mut Vec::new()).expect("a list");
    let decide = |ip: &str, address: &str| {
        let found = patterns.decide(ip.parse().ok(), &["mail.isp.example.net", ip, address]);
        found.expect("all others").pattern
    };
    assert_eq!(decide("192.0.2.1", "user7@spam996.example"), 997);
    assert_eq!(decide("192.0.2.1", "user7@ham5.example"), 6);
    assert_eq!(decide("198.51.100.249", "user7@spam996.example"), 997, "the network stands behind it");
    assert_eq!(decide("198.51.100.3", "user7@spam996.example"), 15);
    assert_eq!(decide("192.0.2.1", "abc@quiet.example"), 4);
    assert_eq!(decide("192.0.2.1", "user7@quiet.example"), 1_001);
    let begun = Instant::now();
    for n in 0..100 {
        decide("192.0.2.1", &format!("user{n}@quiet{n}.example"));
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn what_was_written_to_cost_much_costs_little() {
    let begun = Instant::now();
    let stars = format!("!{}!REJECT ", "a*".repeat(10_000)) + &"/(a*)*(a|aa)+$b/REJECT ".repeat(20) + "OK";
    let patterns = Patterns::new(&stars, Classes::Off, &mut Vec::new()).expect("a list");
    let subject = "a".repeat(4_000);
    assert_eq!(patterns.decide(None, &[&subject]).map(|found| found.pattern), Some(0));
    let bombs = "/((a{99}){99}){99}/REJECT ".repeat(100);
    assert_eq!(Patterns::new(&bombs, Classes::Off, &mut Vec::new()).expect_err("bombs").len(), 100);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
