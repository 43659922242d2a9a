//! The macros that an MTA sends beside each command.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The commands that macros can belong to, in the order of the session, by their protocol letter.
const ORDER: [u8; 9] = *b"CHMRTLNBE";

/// Macros by the command they came with.
///
/// Names keep their braces (`{auth_authen}`), single letters have none (`i`). Values are raw
/// octets: they can hold anything that a client typed.
///
/// Those of all commands lie in one piece of memory, one behind the other: a connection that waits keeps little more than their octets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stages", into = "Stages")]
pub struct Macros {
    text: Vec<u8>,
    /// Where each command's end in it.
    ends: [u32; ORDER.len()],
    /// Whether macros for MAIL have come since the last MAIL.
    fresh: bool,
}

/// The form in which sessions are handed over.
#[derive(Serialize, Deserialize)]
struct Stages {
    stages: [Vec<u8>; ORDER.len()],
    fresh: bool,
}

impl From<Macros> for Stages {
    fn from(macros: Macros) -> Self {
        Self { stages: std::array::from_fn(|slot| macros.stage(slot).to_vec()), fresh: macros.fresh }
    }
}

impl From<Stages> for Macros {
    fn from(Stages { stages, fresh }: Stages) -> Self {
        let mut macros = Self { fresh, ..Self::default() };
        for (slot, stage) in stages.iter().enumerate() {
            macros.replace(slot, stage);
        }
        macros
    }
}

/// The place of MAIL in [`ORDER`].
const MAIL: usize = 2;

impl Macros {
    /// Stores the `name NUL value NUL …` list of one command, in place of an earlier one.
    ///
    /// A last name without value or without its NUL is dropped (Sendmail can send an odd number of
    /// strings), and so is every pair that does not fit into `limit` octets. Letters of commands
    /// that carry no macros are ignored.
    pub fn store(&mut self, command: u8, pairs: &[u8], limit: usize) {
        let Some(slot) = ORDER.iter().position(|&letter| letter == command) else { return };
        let mut end = 0;
        let mut strings = 0;
        for nul in memchr::memchr_iter(0, pairs).take_while(|&nul| nul < limit) {
            strings += 1;
            if strings % 2 == 0 {
                end = nul + 1;
            }
        }
        self.replace(slot, &pairs[..end]);
        self.fresh |= slot == MAIL;
    }

    fn replace(&mut self, slot: usize, stage: &[u8]) {
        let Range { start, end } = self.range(slot);
        // Packets are far below 4 GiB.
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.text.splice(start..end, stage.iter().copied());
        for later in &mut self.ends[slot..] {
            *later = place(*later as usize - (end - start) + stage.len());
        }
    }

    fn range(&self, slot: usize) -> Range<usize> {
        let start = slot.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        start..self.ends[slot] as usize
    }

    fn stage(&self, slot: usize) -> &[u8] {
        &self.text[self.range(slot)]
    }

    /// Of all commands, in their order.
    fn stages(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..ORDER.len()).map(|slot| self.stage(slot))
    }

    /// Forgets what belongs to this command and to those behind it.
    fn forget_from(&mut self, first: usize) {
        let start = self.range(first).start;
        self.text.truncate(start);
        let last = self.ends[first..].iter_mut();
        last.for_each(|end| *end = u32::try_from(start).unwrap_or(u32::MAX));
    }

    /// Begins a message at MAIL: what came for this MAIL stays, everything older from MAIL on goes.
    ///
    /// A login of an earlier message must never be taken for that of the next one.
    pub fn begin_message(&mut self) {
        let first = if self.fresh { MAIL + 1 } else { MAIL };
        self.forget_from(first);
        self.fresh = false;
    }

    /// The value of a macro: the latest stage that has it wins.
    ///
    /// A single letter is found in either spelling (`i`, `{i}`).
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        let wanted = bare(name.as_bytes());
        self.stages().rev().find_map(|stage| lookup(stage, wanted))
    }

    /// The values of several macros at once, as [`find`](Self::find) finds them: one way through all there are.
    pub fn find_each<const N: usize>(&self, names: [&str; N]) -> [Option<&[u8]>; N] {
        let wanted = names.map(|name| bare(name.as_bytes()));
        let mut found = [None; N];
        for stage in self.stages().filter(|stage| !stage.is_empty()) {
            let mut of_stage = [None; N];
            for (name, value) in pairs(stage) {
                let place = wanted.iter().position(|wanted| bare(name) == *wanted);
                if let Some(place) = place.filter(|&place| of_stage[place].is_none()) {
                    of_stage[place] = Some(value);
                }
            }
            for (found, later) in found.iter_mut().zip(of_stage) {
                *found = later.or(*found);
            }
        }
        found
    }

    /// Forgets what belongs to the message: everything from MAIL on.
    pub fn forget_message(&mut self) {
        self.fresh = false;
        self.begin_message();
    }
}

/// A one-letter name without its braces; any other name as it is.
fn bare(name: &[u8]) -> &[u8] {
    match name {
        [b'{', letter, b'}'] => std::slice::from_ref(letter),
        _ => name,
    }
}

fn lookup<'a>(stage: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    pairs(stage).find(|(name, _)| bare(name) == wanted).map(|(_, value)| value)
}

fn pairs(stage: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut ends = memchr::memchr_iter(0, stage);
    let mut start = 0;
    std::iter::from_fn(move || {
        let (name, value) = (ends.next()?, ends.next()?);
        let pair = (&stage[start..name], &stage[name + 1..value]);
        start = value + 1;
        Some(pair)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1_024;

    #[test]
    fn the_latest_stage_wins_and_one_letter_has_two_spellings() {
        let mut macros = Macros::default();
        macros.store(b'C', b"j\0mx.example\0{daemon_name}\0mx\0", LIMIT);
        macros.store(b'M', b"i\0QID\0{auth_authen}\0alice\0", LIMIT);
        assert_eq!(macros.find("{i}"), Some(&b"QID"[..]));
        assert_eq!(macros.find("i"), Some(&b"QID"[..]));
        assert_eq!(macros.find("{auth_authen}"), Some(&b"alice"[..]));
        assert_eq!(macros.find("{daemon_name}"), Some(&b"mx"[..]));
        assert_eq!(macros.find("{nothing}"), None);
        macros.store(b'R', b"i\0OTHER\0", LIMIT);
        assert_eq!(macros.find("i"), Some(&b"OTHER"[..]));
    }

    #[test]
    fn what_one_command_brings_leaves_the_others_as_they_are() {
        let mut macros = Macros::default();
        let stages = |macros: &Macros| {
            macros.stages().map(<[u8]>::to_vec).filter(|stage| !stage.is_empty()).collect::<Vec<_>>()
        };
        macros.store(b'R', b"i\0A\0", LIMIT);
        macros.store(b'C', b"j\0mx.example\0", LIMIT);
        macros.store(b'M', b"{mail_addr}\0a@b.example\0", LIMIT);
        macros.store(b'C', b"j\0x\0", LIMIT);
        assert_eq!(stages(&macros), [&b"j\0x\0"[..], b"{mail_addr}\0a@b.example\0", b"i\0A\0"]);
        let handed = serde_json::to_string(&macros).expect("text");
        assert_eq!(serde_json::from_str::<Macros>(&handed).expect("macros"), macros);
        macros.begin_message();
        macros.begin_message();
        assert_eq!(stages(&macros), [b"j\0x\0"]);
        macros.store(b'E', b"i\0B\0", LIMIT);
        macros.store(b'C', b"", LIMIT);
        assert_eq!(stages(&macros), [b"i\0B\0"]);
    }

    #[test]
    fn several_at_once_are_found_as_each_of_them_alone() {
        let mut macros = Macros::default();
        macros.store(
            b'C',
            b"{daemon_port}\x0025\0{daemon_name}\0mx\0{daemon_name}\0again\0j\0mx.example\0",
            LIMIT,
        );
        macros.store(b'M', b"{auth_authen}\0alice\0{daemon_port}\x00587\0", LIMIT);
        let names = ["{daemon_name}", "{daemon_port}", "{auth_authen}", "{j}", "{nothing}"];
        assert_eq!(macros.find_each(names), names.map(|name| macros.find(name)));
        let values: [Option<&[u8]>; 5] =
            [Some(b"mx"), Some(b"587"), Some(b"alice"), Some(b"mx.example"), None];
        assert_eq!(macros.find_each(names), values);
    }

    #[test]
    fn a_login_does_not_outlive_its_message() {
        let mut macros = Macros::default();
        macros.store(b'C', b"j\0mx.example\0", LIMIT);
        macros.store(b'M', b"{auth_authen}\0alice\0", LIMIT);
        macros.begin_message();
        assert_eq!(macros.find("{auth_authen}"), Some(&b"alice"[..]));
        macros.begin_message();
        assert_eq!(macros.find("{auth_authen}"), None, "a MAIL without macros of its own");
        macros.store(b'M', b"{auth_authen}\0alice\0", LIMIT);
        macros.forget_message();
        assert_eq!(macros.find("{auth_authen}"), None);
        assert_eq!(macros.find("j"), Some(&b"mx.example"[..]));
    }

    #[test]
    fn odd_unterminated_empty_and_oversized_lists_are_survived() {
        let mut macros = Macros::default();
        macros.store(b'M', b"i\0QID\0{odd}\0", LIMIT);
        assert_eq!(macros.find("i"), Some(&b"QID"[..]));
        assert_eq!(macros.find("{odd}"), None);
        macros.store(b'M', b"i\0QID\0{mail_addr}\0open", LIMIT);
        assert_eq!(macros.find("{mail_addr}"), None);
        macros.store(b'M', b"", LIMIT);
        assert_eq!(macros.find("i"), None);
        macros.store(b'Z', b"i\0QID\0", LIMIT);
        assert_eq!(macros.find("i"), None);
        macros.store(b'M', &b"{name}\0value\0".repeat(1_000), LIMIT);
        assert!(macros.stage(2).len() <= LIMIT);
        assert_eq!(macros.find("{name}"), Some(&b"value"[..]));
    }
}
