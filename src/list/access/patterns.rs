//! Lists of patterns, the values of gatepost's own tags: `[192.0.2.0/24]OK !*@x.example!REJECT /re/NEXT OK`.
//!
//! The first pattern that matches decides; the word at the end is for all others. Networks are tried on the
//! client's address, globs and expressions on the texts that are handed in.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::pattern::{Classes, Ere, Glob, Needles, Sieve};
use super::{Action, Syntax, network};

/// From how many patterns on a sieve is worth its memory.
const MANY: usize = 16;

/// A compiled list.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    items: Box<[(Test, Action)]>,
    default: Option<Action>,
    /// Of many items, those that can match.
    sieve: Option<Box<Sieve>>,
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        // The sieve is made of the items.
        self.items == other.items && self.default == other.default
    }
}

impl Eq for Patterns {}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Network(IpNet),
    Glob(Glob),
    Ere(Ere),
}

/// What a list says about a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'a> {
    /// What to do.
    pub action: &'a Action,
    /// Which pattern matched, counted from 1; 0 for the word at the end.
    pub pattern: usize,
}

impl Patterns {
    /// Compiles a list. Every mistake in it is told, as a clause; remarks go into `notices`.
    ///
    /// # Errors
    /// All mistakes.
    pub fn new(value: &str, classes: Classes, notices: &mut Vec<String>) -> Result<Self, Vec<String>> {
        let (mut items, mut default, mut errors) = (Vec::new(), None, Vec::new());
        let mut rest = value.trim();
        while !rest.is_empty() {
            let number = items.len() + errors.len() + 1;
            match pair(rest, classes) {
                Ok(Some((_, action, _))) if is_open(action) => {
                    errors.push(format!("pattern {number}: a quote in its action has no end"));
                    rest = "";
                }
                Ok(Some((test, action, after))) => {
                    if let Test::Ere(ere) = &test {
                        notices.extend(ere.notice().map(|notice| format!("pattern {number}: {notice}")));
                    }
                    match read(action, notices) {
                        Ok(action) => items.push((test, action)),
                        Err(cause) => errors.push(format!("pattern {number}: {cause}")),
                    }
                    rest = after.trim_start();
                }
                Ok(None) => {
                    if rest.split([' ', '\t']).skip(1).any(|word| word.starts_with(['!', '/', '['])) {
                        notices.push("patterns after the default action are never tried".to_owned());
                    }
                    match read(rest, notices) {
                        Ok(action) => default = Some(action),
                        Err(cause) => errors.push(cause),
                    }
                    rest = "";
                }
                Err((cause, after)) => {
                    errors.push(format!("pattern {number}: {cause}"));
                    rest = after.trim_start();
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let sieve = if items.len() < MANY { None } else { sieve(&items) };
        Ok(Self { items: items.into(), default, sieve })
    }

    /// What the list says about a client's address and these texts, which must be in lower case. Nothing if no
    /// pattern matches and no word stands at the end.
    pub fn decide(&self, ip: Option<IpAddr>, texts: &[&str]) -> Option<Match<'_>> {
        let matches = |test: &Test| match test {
            Test::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
            Test::Glob(glob) => texts.iter().any(|text| glob.is_match(text.as_bytes())),
            Test::Ere(ere) => texts.iter().any(|text| ere.is_match(text.as_bytes())),
        };
        let found = match &self.sieve {
            None => self.items.iter().position(|(test, _)| matches(test)),
            Some(sieve) => {
                let candidates = sieve.candidates(texts.iter().map(|text| text.as_bytes()));
                candidates.iter().find(|&n| matches(&self.items[n].0))
            }
        };
        match found {
            Some(n) => Some(Match { action: &self.items[n].1, pattern: n + 1 }),
            None => self.default.as_ref().map(|action| Match { action, pattern: 0 }),
        }
    }

    /// How many regular expressions are in it; large ones count several times.
    pub fn expressions(&self) -> usize {
        self.items.iter().map(|(test, _)| if let Test::Ere(ere) = test { ere.weight() } else { 0 }).sum()
    }
}

fn sieve(items: &[(Test, Action)]) -> Option<Box<Sieve>> {
    let needles = items.iter().map(|(test, _)| match test {
        Test::Network(_) => Needles::default(),
        Test::Glob(glob) => glob.needles(),
        Test::Ere(ere) => ere.needles(),
    });
    Sieve::new(&needles.collect::<Vec<_>>()).map(Box::new)
}

fn read(action: &str, notices: &mut Vec<String>) -> Result<Action, String> {
    if action.is_empty() {
        return Ok(Action::Skip);
    }
    let (action, notice) = Action::read(action, Syntax::Sendmail)?;
    notices.extend(notice);
    Ok(action)
}

/// A pattern, its action and what follows; `None` where no pattern begins.
type Pair<'a> = Result<Option<(Test, &'a str, &'a str)>, (String, &'a str)>;

fn pair(list: &str, classes: Classes) -> Pair<'_> {
    let (open, close) = match list.as_bytes()[0] {
        b'[' => (b'[', b']'),
        delimiter @ (b'!' | b'/') => (delimiter, delimiter),
        _ => return Ok(None),
    };
    let inside = &list[1..];
    let Some(end) = end(inside.as_bytes(), close) else {
        return Err((format!("the {} has no {}", char::from(open), char::from(close)), ""));
    };
    let after = &inside[end + 1..];
    let stop = blank(after);
    let (action, after) = after.split_at(stop);
    let inside = &inside[..end];
    let test = match open {
        _ if inside.is_empty() => {
            Err("it is empty; what holds for all others is a word at the end".to_owned())
        }
        b'[' => match network::read(inside) {
            Some(Ok((network, _))) => Ok(Test::Network(network)),
            Some(Err(cause)) => Err(cause),
            None => Err(format!("{} is no network", crate::smtp::excerpt(inside.as_bytes(), 60))),
        },
        b'!' => Glob::new(inside, classes).map(Test::Glob).map_err(|error| error.to_string()),
        // Only the delimiter was escaped for the list's sake; anything else is the expression's own.
        _ => Ere::new(&inside.replace("\\/", "/")).map(Test::Ere).map_err(|error| error.to_string()),
    };
    match test {
        Ok(test) => Ok(Some((test, action, after))),
        Err(cause) => Err((cause, after)),
    }
}

/// Where the closing delimiter stands; what a backslash stands before is none.
fn end(inside: &[u8], close: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(&octet) = inside.get(at) {
        match octet {
            b'\\' => at += 1,
            _ if octet == close => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether a quote has no end: what stands behind it would be taken for a part of the text, and its patterns were lost.
fn is_open(action: &str) -> bool {
    memchr::memchr_iter(b'"', action.as_bytes()).count() % 2 == 1
}

/// Where the action ends: at a blank that is not in quotes.
fn blank(text: &str) -> usize {
    let mut quoted = false;
    text.bytes()
        .position(|octet| {
            quoted ^= octet == b'"';
            !quoted && matches!(octet, b' ' | b'\t')
        })
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_equal_if_they_decide_alike_for_the_same_patterns() {
        let list = |value| Patterns::new(value, Classes::Off, &mut Vec::new()).expect("a list");
        let one = list("[192.0.2.0/24]OK /a/OK REJECT");
        assert_eq!(one, list(" [192.0.2.0/24]PERMIT  /a/OK reject"));
        for other in [
            "[192.0.2.0/25]OK /a/OK REJECT",
            "[192.0.2.0/24]SKIP /a/OK REJECT",
            "[192.0.2.0/24]OK /b/OK REJECT",
            "[192.0.2.0/24]OK /a/OK",
            "REJECT",
        ] {
            assert_ne!(one, list(other), "{other}");
        }
    }

    #[test]
    fn a_key_of_dqs_in_the_place_of_a_pattern_is_not_shown_nor_its_beginning() {
        for before in 0..70 {
            let list = format!("[{}-abcdefghij0123456789klmnop]OK", "x".repeat(before));
            let causes = Patterns::new(&list, Classes::Off, &mut Vec::new()).expect_err("no network");
            assert!(causes[0].ends_with(" is no network") && !causes[0].contains("abc"), "{causes:?}");
        }
    }
}
