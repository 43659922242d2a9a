//! Domains by name, alone and with all below them.

use super::strings::{Searched, Strings};
use super::values::Valuing;

/// Most labels of a name: one octet each, and a dot between them.
const LABELS: usize = 128;

/// Names and their listings: of the name itself, and of all below it.
#[derive(Debug, Default)]
pub(super) struct Names {
    strings: Strings<Listed>,
    /// The most labels that a name with listings below it has. Longer ones need not be tried.
    deepest: usize,
}

/// The listings of a name and of all below it, as far as the file has them.
#[derive(Debug, Clone, Copy)]
struct Listed {
    exact: u32,
    below: u32,
}

/// What a name has if the file does not list it in this way.
const ABSENT: u32 = u32::MAX;

impl Default for Listed {
    fn default() -> Self {
        Self { exact: ABSENT, below: ABSENT }
    }
}

/// What of a name is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The name alone.
    Itself,
    /// All below it, but not the name.
    Below,
    /// Both.
    Both,
}

impl Names {
    /// The listing of exactly this name, and the name.
    pub(super) fn exact(&self, name: &str) -> Option<(u32, &str)> {
        let number = self.strings.find(name, self.hash(name))?;
        self.listing(number, |listed| listed.exact)
    }

    /// The listing of this name, or else of the nearest name above it that lists what is below; and whose it is.
    pub(super) fn find(&self, name: &str) -> Option<(u32, &str)> {
        // Each right part of the name, the shortest first, with its hash.
        let mut parts = [(0_usize, 0_u32); LABELS];
        let mut count = 0;
        let mut suffix = self.strings.suffix();
        let mut start = name.len() + 1;
        for label in name.rsplit('.') {
            suffix.add(label);
            start -= label.len() + 1;
            *parts.get_mut(count)? = (start, suffix.hash());
            count += 1;
        }
        let (whole, above) = parts[..count].split_last()?;
        let find = |&(start, hash): &(usize, u32)| self.strings.find(&name[start..], hash);
        find(whole).and_then(|number| self.listing(number, |listed| listed.exact)).or_else(|| {
            let above = &above[..above.len().min(self.deepest)];
            above.iter().rev().filter_map(find).find_map(|number| self.listing(number, |listed| listed.below))
        })
    }

    /// Adds a listing. There is room for every name of a file.
    pub(super) fn add(&mut self, name: &str, reach: Reach, listing: u32, values: &mut Valuing) {
        let hash = self.hash(name);
        let Some(number) = self.strings.intern(name, hash) else { return };
        let listed = self.strings.with_mut(number);
        let mut join = |slot: &mut u32| {
            *slot = if *slot == ABSENT { listing } else { values.join(*slot, listing) };
        };
        if reach != Reach::Below {
            join(&mut listed.exact);
        }
        if reach != Reach::Itself {
            join(&mut listed.below);
            self.deepest = self.deepest.max(name.split('.').count());
        }
    }

    /// Gives back what only adding needs.
    pub(super) fn seal(&mut self) {
        self.strings.seal(Searched::Often);
    }

    fn listing(&self, number: u32, of: impl Fn(&Listed) -> u32) -> Option<(u32, &str)> {
        let listing = of(self.strings.with(number));
        (listing != ABSENT).then(|| (listing, self.strings.at(number)))
    }

    /// The hash of the whole name, as [`Names::find`] makes it.
    fn hash(&self, name: &str) -> u32 {
        let mut suffix = self.strings.suffix();
        name.rsplit('.').for_each(|label| suffix.add(label));
        suffix.hash()
    }
}
