//! POSIX extended regular expressions, on an engine of linear time.
//!
//! The dialect is that of glibc's `regcomp` with `REG_EXTENDED | REG_ICASE` in the C locale: what administrators
//! have tried their maps with. Only whether there is a match is told, never where: so which of
//! several matches is the longest does not matter. Back-references are refused: no engine of
//! linear time has them.

use std::fmt;
use std::fmt::Write as _;

use regex::bytes::{Regex, RegexBuilder};

use super::{Needles, bracket};

/// Octets that a compiled expression may take. What people write takes a few hundred to some ten
/// thousand; `((a{99}){99}){99}` would take millions.
const SIZE: usize = 1 << 20;
/// What most have room in: what a search keeps is in proportion to the size that is allowed.
const USUAL: usize = 1 << 14;
/// As how many others an expression counts that is larger than a person writes; others have this part of the size.
pub const LARGE: usize = 16;
/// How many times the octets that its compiled form may have a search may keep between two subjects, to be faster. For sets and stacks
/// of its states it needs a little more than twice as many at most, and regex-automata 0.4, which counts on less, clears what it
/// keeps again and again where they do not fit, until the stack is full.
const CACHE: usize = 4;
/// Groups within groups. Deeper ones are written by no person.
const DEPTH: usize = 50;
/// Highest number in an interval (`RE_DUP_MAX` of glibc).
const MOST: u32 = 0x7fff;

/// A compiled expression: a search anywhere in the subject, letters of either case.
#[derive(Clone)]
pub struct Ere {
    regex: Regex,
    text: Box<str>,
    weight: usize,
}

/// Why an expression cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EreError {
    /// `[` without its `]`.
    #[error("a [ has no ]; inside of brackets a backslash escapes nothing, and a ] must stand first")]
    OpenBracket,
    /// `[b-a]`, `[a-c-e]`.
    #[error("a range in brackets runs backwards, or a - stands neither first nor last")]
    Range,
    /// `[[:foo:]]`.
    #[error("there is no such [:class:]")]
    Class,
    /// `[[.space.]]`.
    #[error("[.name.] and [=name=] can hold a single character only")]
    Collating,
    /// `(` without its `)`.
    #[error("a ( has no )")]
    OpenGroup,
    /// More than 50 groups within each other.
    #[error("groups lie more than {DEPTH} deep in each other")]
    Depth,
    /// `*a`, `a|*b`, `^*`, `(?:a)`.
    #[error("there is nothing before a *, +, ? or {{ that could be repeated")]
    Repetition,
    /// `a{1`, `a{x}`, `a{2,1}`.
    #[error("what stands in {{ }} is not {{n}}, {{n,}}, {{,m}} or {{n,m}} with n up to m up to {MOST}")]
    Interval,
    /// A backslash at the end.
    #[error("a backslash at the end escapes nothing")]
    Backslash,
    /// `(a)\1`.
    #[error("back-references such as \\1 need time without bounds")]
    Reference,
    /// The compiled form would be too large.
    #[error("compiled it would need more than {SIZE} octets; repeat less")]
    Size,
}

impl Ere {
    /// Compiles an expression.
    ///
    /// # Errors
    /// [`EreError`] says what is wrong.
    pub fn new(text: &str) -> Result<Self, EreError> {
        let regex = translate(text.as_bytes())?.regex;
        let build = |size| {
            RegexBuilder::new(&regex)
                .unicode(false)
                .case_insensitive(true)
                .dot_matches_new_line(true)
                .size_limit(size)
                .dfa_size_limit(CACHE * size)
                .build()
        };
        let sizes = [(USUAL, 1), (SIZE / LARGE, 1), (SIZE, LARGE)];
        let smallest = sizes.into_iter().find_map(|(size, weight)| Some((build(size).ok()?, weight)));
        // Syntax has been looked at: what is left is size, and repetitions in each other too deep.
        let (regex, weight) = smallest.ok_or(EreError::Size)?;
        Ok(Self { regex, text: text.into(), weight })
    }

    /// As how many expressions it counts where their number is limited: one, or [`LARGE`].
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether it matches anywhere in the subject.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.regex.is_match(subject)
    }

    /// Texts of which one at least is in every subject that matches, as far as they can be told.
    pub fn needles(&self) -> Needles {
        translate(self.text.as_bytes()).map(|translated| Needles::of(&translated.regex)).unwrap_or_default()
    }

    /// What in it probably means something else than its author thinks, if anything does.
    pub fn notice(&self) -> Option<&'static str> {
        translate(self.text.as_bytes()).ok().and_then(|translated| translated.notice)
    }
}

impl fmt::Debug for Ere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

impl PartialEq for Ere {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Ere {}

struct Translated {
    regex: String,
    notice: Option<&'static str>,
}

/// How often what stands before is repeated; `None` is without end.
#[derive(Clone, Copy)]
struct Times(u32, Option<u32>);

impl Times {
    /// Repetition of a repetition, if one says the same as both: of `*`, `+` and `?` always.
    fn of(self, inner: Self) -> Option<Self> {
        let is_plain = |times: Self| times.0 <= 1 && times.1.is_none_or(|most| most == 1);
        let both = Self(self.0.min(inner.0), if self.1.and(inner.1).is_some() { Some(1) } else { None });
        (is_plain(self) && is_plain(inner)).then_some(both)
    }

    fn write(self, out: &mut String) {
        let Self(least, most) = self;
        let _ = match most {
            Some(most) => write!(out, "{{{least},{most}}}"),
            None => write!(out, "{{{least},}}"),
        };
    }
}

/// The part of an expression that has been read.
#[derive(Default)]
struct Reader {
    out: String,
    /// Where in `out` the last thing begins that can be repeated, and how often it is so far.
    last: Option<(usize, Option<Times>)>,
    /// Where the open groups begin in `out`.
    groups: Vec<usize>,
    /// Groups that were added for a repetition of a repetition.
    added: usize,
    notice: Option<&'static str>,
}

impl Reader {
    fn begin(&mut self) {
        self.settle();
        self.last = Some((self.out.len(), None));
    }

    /// Writes the repetition of the last thing, to which nothing can be added any more.
    fn settle(&mut self) {
        if let Some((_, Some(times))) = self.last.take() {
            times.write(&mut self.out);
        }
    }

    fn literal(&mut self, octet: u8) {
        self.begin();
        // By its number: nothing can then be an operator of the crate.
        let _ = write!(self.out, "\\x{octet:02x}");
    }

    /// An assertion or a bar; neither can be repeated.
    fn mark(&mut self, text: &str) {
        self.settle();
        self.out.push_str(text);
    }

    fn repeat(&mut self, times: Times) -> Result<(), EreError> {
        let (start, before) = self.last.ok_or(EreError::Repetition)?;
        let both = before.map_or(Some(times), |inner| times.of(inner));
        if let (None, Some(inner)) = (both, before) {
            // The crate would take `a{2}?` for a lazy repetition.
            self.out.insert_str(start, "(?:");
            inner.write(&mut self.out);
            self.out.push(')');
            self.added += 1;
            if self.added > DEPTH {
                return Err(EreError::Depth);
            }
        }
        let times = both.unwrap_or(times);
        self.last = Some((start, Some(times)));
        Ok(())
    }

    fn open(&mut self) -> Result<(), EreError> {
        self.settle();
        self.groups.push(self.out.len());
        self.out.push_str("(?:");
        if self.groups.len() > DEPTH { Err(EreError::Depth) } else { Ok(()) }
    }

    fn close(&mut self) {
        let Some(start) = self.groups.pop() else { return self.literal(b')') };
        self.mark(")");
        self.last = Some((start, None));
    }

    fn escape(&mut self, octet: u8) -> Result<(), EreError> {
        match octet {
            b'1'..=b'9' => return Err(EreError::Reference),
            b'w' | b'W' | b's' | b'S' => {
                self.begin();
                self.out.push('\\');
                self.out.push(char::from(octet));
            }
            b'b' => self.mark(r"\b"),
            b'B' => self.mark(r"\B"),
            b'<' => self.mark(r"\b{start}"),
            b'>' => self.mark(r"\b{end}"),
            b'`' => self.mark(r"\A"),
            b'\'' => self.mark(r"\z"),
            _ => {
                if octet.is_ascii_alphanumeric() {
                    self.notice = Some(match octet {
                        b'd' => "in a POSIX expression \\d is the letter d; digits are [0-9]",
                        _ => "a backslash before a letter stands for that letter",
                    });
                }
                self.literal(octet);
            }
        }
        Ok(())
    }
}

fn translate(ere: &[u8]) -> Result<Translated, EreError> {
    let mut reader = Reader::default();
    let mut at = 0;
    while let Some(&octet) = ere.get(at) {
        at += 1;
        match octet {
            b'\\' => {
                let &escaped = ere.get(at).ok_or(EreError::Backslash)?;
                at += 1;
                reader.escape(escaped)?;
            }
            b'[' => {
                reader.begin();
                at += bracket::translate(&ere[at..], &mut reader.out)?;
            }
            b'{' => {
                let (times, size) = interval(&ere[at..])?;
                reader.repeat(times)?;
                at += size;
            }
            b'*' => reader.repeat(Times(0, None))?,
            b'+' => reader.repeat(Times(1, None))?,
            b'?' => reader.repeat(Times(0, Some(1)))?,
            b'(' => reader.open()?,
            b')' => reader.close(),
            b'|' => reader.mark("|"),
            b'^' => reader.mark("^"),
            b'$' => reader.mark("$"),
            b'.' => {
                reader.begin();
                reader.out.push('.');
            }
            _ => reader.literal(octet),
        }
    }
    reader.settle();
    if reader.groups.is_empty() {
        Ok(Translated { regex: reader.out, notice: reader.notice })
    } else {
        Err(EreError::OpenGroup)
    }
}

/// `n}`, `n,}`, `,m}` or `n,m}`, and how long it is.
fn interval(input: &[u8]) -> Result<(Times, usize), EreError> {
    let end = memchr::memchr(b'}', input).ok_or(EreError::Interval)?;
    let inside = std::str::from_utf8(&input[..end]).map_err(|_| EreError::Interval)?;
    let number = |digits: &str| match digits.parse::<u32>() {
        Ok(number) if number <= MOST && digits.bytes().all(|octet| octet.is_ascii_digit()) => Ok(number),
        _ => Err(EreError::Interval),
    };
    let (least, most) = match inside.split_once(',') {
        None => number(inside).map(|times| (times, Some(times)))?,
        Some((least, most)) => (
            if least.is_empty() { 0 } else { number(least)? },
            if most.is_empty() { None } else { Some(number(most)?) },
        ),
    };
    if most.is_some_and(|most| most < least) {
        return Err(EreError::Interval);
    }
    Ok((Times(least, most), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(ere: &str, subject: &str) -> Result<bool, EreError> {
        Ere::new(ere).map(|ere| ere.is_match(subject.as_bytes()))
    }

    #[test]
    fn a_repeated_repetition_means_both() {
        for (ere, subject, expected) in [
            ("^a+?$", "", true),
            ("^a{2}?$", "", true),
            ("^a{2}?$", "aa", true),
            ("^a{2}?$", "a", false),
            ("^(a{2}){2}$", "aaaa", true),
            ("^a{2}{2}$", "aaaa", true),
            ("^a{2}{2}$", "aaa", false),
            ("^a?+$", "aaa", true),
            ("^a**$", "", true),
            ("^a++$", "", false),
            ("^(ab)??$", "ab", true),
            ("^a{1,3}?$", "aaa", true),
            ("^.+$", "a\n", true),
        ] {
            assert_eq!(matches(ere, subject), Ok(expected), "{ere} {subject:?}");
        }
    }

    #[test]
    fn brackets_are_those_of_posix() {
        for (ere, subject, expected) in [
            ("^[^a]$", "A", false),
            ("^[^]a]$", "b", true),
            ("^[--/]$", ".", true),
            ("^[%--]$", "+", true),
            ("^[a-]$", "-", true),
            ("^[[:alpha:][:digit:]_]+$", "aZ9_", true),
            ("^[[:alpha:]]$", "9", false),
            ("^[[=a=][.-.]]$", "-", true),
            ("^[]$]$", "]", true),
            ("^[\u{e9}]", "\u{e9}", true),
        ] {
            assert_eq!(matches(ere, subject), Ok(expected), "{ere} {subject:?}");
        }
        for (ere, error) in [
            ("[a-c-e]", EreError::Range),
            ("[b-a]", EreError::Range),
            ("[[:letter:]]", EreError::Class),
            ("[[:alpha:]-z]", EreError::Range),
            ("[z-[:alpha:]]", EreError::Range),
            ("[[:alpha]", EreError::OpenBracket),
            ("[]", EreError::OpenBracket),
            ("[^]", EreError::OpenBracket),
            ("[[.space.]]", EreError::Collating),
        ] {
            assert_eq!(matches(ere, "").expect_err(ere), error, "{ere}");
        }
    }

    #[test]
    fn what_gnu_adds_is_understood() {
        for (ere, subject, expected) in [
            (r"^\W\S$", "-a", true),
            (r"^\W", "a", false),
            (r"^\S", " ", false),
            (r"\bred", "fred", false),
            (r"\bred", "a red", true),
            (r"\Bred", "fred", true),
            (r"\Bfred", "fred", false),
            (r"\<red", "fred", false),
            (r"\<red", "a red", true),
            (r"fred\>", "fred@x", true),
            (r"fre\>", "fred@x", false),
            (r"\`f", "fred", true),
            (r"\`r", "fred", false),
            (r"d\'", "fred", true),
            (r"e\'", "fred", false),
        ] {
            assert_eq!(matches(ere, subject), Ok(expected), "{ere} {subject:?}");
        }
    }

    #[test]
    fn what_is_as_deep_or_as_often_as_allowed_is_read_and_no_more() {
        let groups = |depth| "(".repeat(depth) + "a" + &")".repeat(depth);
        let repeated = |times| "^a".to_owned() + &"{0}".repeat(times) + "$";
        assert_eq!((matches(&groups(DEPTH), "a"), matches(&repeated(DEPTH + 1), "")), (Ok(true), Ok(true)));
        for ere in [groups(DEPTH + 1), repeated(DEPTH + 2), repeated(DEPTH + 9)] {
            assert_eq!(matches(&ere, ""), Err(EreError::Depth), "{ere}");
        }
        assert_eq!(matches("(a{0,32767}){0}", ""), Ok(true));
        assert_eq!(matches(r"(a)\1", ""), Err(EreError::Reference));
        for ere in ["a{32768}", "a{0,32768}", "a{+1}", "a{2,1}"] {
            assert_eq!(matches(ere, ""), Err(EreError::Interval), "{ere}");
        }
    }

    #[test]
    fn bombs_are_refused_or_harmless() {
        for ere in [
            "((a{99}){99}){99}".to_owned(),
            "(".repeat(60) + &")".repeat(60),
            "a{30000}{30000}".to_owned(),
            "a".to_owned() + &"{2}".repeat(10_000),
            ".{1,32767}.{1,32767}".repeat(4),
        ] {
            assert!(Ere::new(&ere).is_err(), "{ere:.40}");
        }
        let hay = "a".repeat(4_000);
        for ere in ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*)(.*)(.*)(.*)(.*)b"] {
            assert_eq!(matches(ere, &hay), Ok(false), "{ere}");
        }
        assert_eq!(matches(&("a".to_owned() + &"*".repeat(10_000)), ""), Ok(true));
    }

    #[test]
    fn a_search_has_the_room_it_needs_however_large_the_expression() {
        // Alternatives make it go through many states at once, and repetitions many times as many.
        let mut read = 0;
        for alternatives in [2, 7, 20, 50] {
            for times in (9..=900).step_by(9) {
                let ere = format!("(x{}y){{{times}}}z", "|".repeat(alternatives));
                let Ok(ere) = Ere::new(&ere) else { break };
                assert!(!ere.is_match(b"xy") && !ere.is_match(b"yx") && ere.is_match(b"z"));
                read += 1;
            }
        }
        assert!(read > 100, "{read}");
    }

    #[test]
    fn what_is_larger_than_a_person_writes_counts_as_many() {
        for (ere, weight) in [(r"^[a-z]{1,20}@spam\.example$", 1), ("(spam){1000}", LARGE)] {
            assert_eq!(Ere::new(ere).expect(ere).weight(), weight, "{ere}");
        }
    }

    #[test]
    fn what_is_meant_otherwise_is_noticed() {
        assert!(Ere::new(r"^\d+@").expect("legal").notice().is_some_and(|text| text.contains("[0-9]")));
        assert_eq!(Ere::new(r"^\w+@example\.org$").expect("legal").notice(), None);
    }
}
