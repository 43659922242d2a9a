//! The lists that can be asked, each with one definition for the life of the process.
//!
//! A definition says what a list is about and what its answers mean; how it is asked, and what a listing leads
//! to, is said elsewhere.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use super::Codes;

/// Definitions that one process can have seen: as many as a [`List`] has numbers. Each reload that changes a list
/// takes one more; tables of counters have a place for each.
pub const MOST: usize = 1 << u8::BITS;

/// A list: a zone in DNS, or a table of the administrator's. Small and `Copy`; two are equal if their
/// definitions are.
#[derive(Clone, Copy)]
pub struct List {
    number: u8,
    definition: &'static Definition,
}

/// What a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// The name in settings, log fields and metrics: lower case.
    pub name: &'static str,
    /// The name as people write it; this one, never the queried zone, may appear in replies.
    pub title: &'static str,
    /// What it is about.
    pub kind: Kind,
    /// Where it is.
    pub place: Place,
    /// What its answers mean.
    pub answers: Answers,
    /// Answers by which it says that it does not answer us.
    pub refusals: &'static [Pattern],
    /// What it must have and what it must not have (RFC 5782, section 5); none for a list without such entries.
    pub test: Option<Test>,
}

/// What a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Addresses of clients.
    Address,
    /// Domains and host names.
    Domain,
    /// Mailboxes; in DNS as a digest of the address, in files as they are.
    Mailbox(Digest),
}

/// How a mailbox is written where a list is asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1 in hexadecimal, 40 characters.
    Sha1Hex,
    /// SHA-256 in base32 without padding, 52 characters (RFC 4648, section 6): hexadecimal is too long for a label.
    Sha256Base32,
    /// As it is, without any digest: in files on this host.
    Plain,
}

/// Where a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below the zone base, with the account key: `<subject>.<key>.<name>.<base>`.
    Dqs,
    /// A zone of its own: `<subject>.<apex>`, with a key of its own between them if it is `keyed`.
    Zone {
        /// The zone, without a dot at its end.
        apex: &'static str,
        /// Whether a key comes before it.
        keyed: bool,
    },
    /// A file on this host.
    File {
        /// Its path.
        path: &'static str,
    },
}

/// What the answers of a list mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// `127.0.<group>.<code>` with the codes in between, both included.
    Codes {
        /// The third octet.
        group: u8,
        /// The least code.
        first: u8,
        /// The greatest code.
        last: u8,
        /// Answers by which it says that it was asked the wrong kind of question.
        misuse: &'static [Ipv4Addr],
    },
    /// Names of the administrator's; the code is the place in this table.
    Named(&'static [(&'static str, Pattern)]),
}

/// A set of answers inside 127.0.0.0/8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// First and last value of each octet.
    Octets([(u8, u8); 4]),
    /// Any of these bits in the last octet of 127.0.0.x.
    Bits(u8),
}

impl Pattern {
    /// Whether an answer is one of them.
    pub fn matches(self, answer: Ipv4Addr) -> bool {
        let octets = answer.octets();
        match self {
            Self::Octets(ranges) => {
                ranges.iter().zip(octets).all(|((first, last), octet)| (*first..=*last).contains(&octet))
            }
            Self::Bits(mask) => octets[..3] == [127, 0, 0] && octets[3] & mask != 0,
        }
    }
}

/// The entries by which a list can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// What it must have: an address or a domain.
    pub present: &'static str,
    /// What it must not have.
    pub absent: &'static str,
}

/// The entries of every list of addresses (RFC 5782, section 5).
pub const ADDRESS_TEST: Test = Test { present: "127.0.0.2", absent: "127.0.0.1" };
/// The entries of every list of domains (RFC 5782, section 5).
pub const DOMAIN_TEST: Test = Test { present: "test", absent: "invalid" };

const fn dqs(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    (group, first, last): (u8, u8, u8),
    misuse: &'static [Ipv4Addr],
    test: Test,
) -> Definition {
    let answers = Answers::Codes { group, first, last, misuse };
    Definition { name, title, kind, place: Place::Dqs, answers, refusals: &[], test: Some(test) }
}

const NO_ADDRESSES: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 255);
const NO_ADDRESSES_EITHER: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 255);

/// The lists of DQS, in the order of their numbers.
static BUILT_IN: [Definition; 4] = [
    dqs("zen", "ZEN", Kind::Address, (0, 2, 30), &[], ADDRESS_TEST),
    // DBL has a test entry of its own beside the one that every list has.
    Definition {
        test: Some(Test { present: "dbltest.com", absent: "invalid" }),
        ..dqs("dbl", "DBL", Kind::Domain, (1, 2, 254), &[NO_ADDRESSES], DOMAIN_TEST)
    },
    // The code is the age of the domain in hours.
    dqs("zrd", "ZRD", Kind::Domain, (2, 2, 24), &[NO_ADDRESSES, NO_ADDRESSES_EITHER], DOMAIN_TEST),
    dqs("authbl", "AuthBL", Kind::Address, (0, 20, 20), &[], ADDRESS_TEST),
];

/// A definition in the making: of a list of the administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// See [`Definition::name`].
    pub name: String,
    /// See [`Definition::title`].
    pub title: String,
    /// See [`Definition::kind`].
    pub kind: Kind,
    /// See [`Definition::place`].
    pub home: Home,
    /// The names of answers; none for those that are `127.0.0.<code>`.
    pub answers: Vec<(String, Pattern)>,
    /// See [`Definition::refusals`].
    pub refusals: Vec<Pattern>,
    /// See [`Definition::test`]: what is present and what is absent.
    pub test: Option<(String, String)>,
}

/// Where a list of the administrator's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// See [`Place::Zone`].
    Zone {
        /// The zone.
        apex: String,
        /// Whether a key comes before it.
        keyed: bool,
    },
    /// See [`Place::File`].
    File {
        /// Its path.
        path: String,
    },
}

impl Sketch {
    fn is(&self, known: &Definition) -> bool {
        let home = match (&self.home, known.place) {
            (Home::Zone { apex, keyed }, Place::Zone { apex: theirs, keyed: too }) => {
                apex == theirs && *keyed == too
            }
            (Home::File { path }, Place::File { path: theirs }) => path == theirs,
            _ => false,
        };
        let answers = match known.answers {
            Answers::Named(names) => {
                let own = self.answers.iter().map(|(name, pattern)| (name.as_str(), *pattern));
                own.eq(names.iter().copied())
            }
            Answers::Codes { .. } => self.answers.is_empty(),
        };
        let test = self.test.as_ref().map(|(present, absent)| (present.as_str(), absent.as_str()));
        home && answers
            && (self.name.as_str(), self.title.as_str(), self.kind) == (known.name, known.title, known.kind)
            && self.refusals == known.refusals
            && test == known.test.map(|test| (test.present, test.absent))
    }

    /// The definition, kept for ever: findings and counters refer to it, and nobody but an administrator who
    /// changes a configuration can make another one.
    fn keep(self) -> &'static Definition {
        let kept = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        let place = match self.home {
            Home::Zone { apex, keyed } => Place::Zone { apex: kept(apex), keyed },
            Home::File { path } => Place::File { path: kept(path) },
        };
        let answers = if self.answers.is_empty() {
            Answers::Codes { group: 0, first: 2, last: 254, misuse: &[] }
        } else {
            let names: Vec<_> =
                self.answers.into_iter().map(|(name, pattern)| (kept(name), pattern)).collect();
            Answers::Named(Box::leak(names.into_boxed_slice()))
        };
        let test = self.test.map(|(present, absent)| Test { present: kept(present), absent: kept(absent) });
        Box::leak(Box::new(Definition {
            name: kept(self.name),
            title: kept(self.title),
            kind: self.kind,
            place,
            answers,
            refusals: Box::leak(self.refusals.into_boxed_slice()),
            test,
        }))
    }
}

/// Definitions beside those that are built in; never shrinks.
struct Defined(Vec<&'static Definition>);

/// Those of this process.
static DEFINED: Mutex<Defined> = Mutex::new(Defined(Vec::new()));

impl Defined {
    fn take_in(&mut self, sketch: Sketch) -> Result<List, TooMany> {
        let known = self.0.iter().position(|known| sketch.is(known));
        let place = known.unwrap_or(self.0.len());
        let number = u8::try_from(BUILT_IN.len() + place).map_err(|_| TooMany)?;
        if known.is_none() {
            self.0.push(sketch.keep());
        }
        Ok(List { number, definition: self.0[place] })
    }
}

/// There were more definitions in the life of this process than it has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process has seen {MOST} definitions of lists, those of refused configurations included, and has no room for more"
)]
pub struct TooMany;

impl List {
    /// ZEN: addresses.
    pub const ZEN: Self = Self { number: 0, definition: &BUILT_IN[0] };
    /// DBL: domains of bad reputation.
    pub const DBL: Self = Self { number: 1, definition: &BUILT_IN[1] };
    /// ZRD: domains that have just appeared.
    pub const ZRD: Self = Self { number: 2, definition: &BUILT_IN[2] };
    /// AuthBL: addresses that try to log in with stolen passwords.
    pub const AUTHBL: Self = Self { number: 3, definition: &BUILT_IN[3] };

    /// The lists of DQS.
    pub const DQS: [Self; 4] = [Self::ZEN, Self::DBL, Self::ZRD, Self::AUTHBL];

    /// The list with this definition: the same one each time.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn define(sketch: Sketch) -> Result<Self, TooMany> {
        DEFINED.lock().unwrap_or_else(PoisonError::into_inner).take_in(sketch)
    }

    /// A place of its own in tables of [`MOST`] lists.
    pub fn number(self) -> usize {
        usize::from(self.number)
    }

    /// What it is.
    pub fn definition(self) -> &'static Definition {
        self.definition
    }

    /// The name in settings, log fields and zone names: lower case.
    pub fn name(self) -> &'static str {
        self.definition.name
    }

    /// The name as people write it; this one, never the queried zone, may appear in replies.
    pub fn title(self) -> &'static str {
        self.definition.title
    }

    /// What it is about.
    pub fn kind(self) -> Kind {
        self.definition.kind
    }

    /// Whether it is one of Spamhaus DQS.
    pub fn is_dqs(self) -> bool {
        self.definition.place == Place::Dqs
    }

    /// Whether it is a file on this host.
    pub fn is_local(self) -> bool {
        matches!(self.definition.place, Place::File { .. })
    }

    /// No codes of this list.
    pub fn no_codes(self) -> Codes {
        match self.definition.answers {
            Answers::Codes { group, .. } => Codes::none(group),
            Answers::Named(_) => Codes::none(0),
        }
    }

    /// All codes that it can give.
    pub fn all_codes(self) -> Codes {
        let mut codes = self.no_codes();
        match self.definition.answers {
            Answers::Codes { first, last, .. } => (first..=last).for_each(|code| codes.insert(code)),
            Answers::Named(names) => {
                (0..=u8::MAX).zip(names).for_each(|(code, _)| codes.insert(code));
            }
        }
        codes
    }

    /// The codes that one answer stands for.
    pub fn codes(self, answer: Ipv4Addr) -> Codes {
        let mut codes = self.no_codes();
        match (self.definition.answers, answer.octets()) {
            (Answers::Codes { group, first, last, .. }, [127, 0, theirs, code]) => {
                if theirs == group && (first..=last).contains(&code) {
                    codes.insert(code);
                }
            }
            (Answers::Codes { .. }, _) => {}
            (Answers::Named(names), _) => {
                for (code, (_, pattern)) in (0..=u8::MAX).zip(names) {
                    if pattern.matches(answer) {
                        codes.insert(code);
                    }
                }
            }
        }
        codes
    }

    /// Whether an answer says that the list was asked the wrong kind of question.
    pub fn is_misuse(self, answer: Ipv4Addr) -> bool {
        matches!(self.definition.answers, Answers::Codes { misuse, .. } if misuse.contains(&answer))
    }

    /// Whether an answer says that the list does not answer us.
    pub fn is_refusal(self, answer: Ipv4Addr) -> bool {
        self.definition.refusals.iter().any(|pattern| pattern.matches(answer))
    }

    /// Codes as people read them: the names that the administrator gave them, else addresses.
    pub fn shown(self, codes: Codes) -> String {
        match self.definition.answers {
            Answers::Codes { .. } => codes.to_string(),
            Answers::Named(names) => {
                let names = codes.iter().filter_map(|code| Some(names.get(usize::from(code))?.0));
                names.collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for List {}

impl PartialOrd for List {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for List {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl Hash for List {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List({self})")
    }
}

#[cfg(test)]
mod tests;
