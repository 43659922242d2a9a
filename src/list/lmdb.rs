//! LMDB databases, as `postmap lmdb:` and `mdb_load` write them.
//!
//! Reads octets; it neither maps a file into memory nor takes a lock. Only the records of the main database are read, all of
//! them, in the order of their keys. Whatever the octets are, a page is read at most once.
//!
//! The format is that of LMDB 0.9 (version 1 of its files), of machines with 64 bits and the low octet first; see
//! `struct MDB_page`, `MDB_node`, `MDB_db` and `MDB_meta` in its `mdb.c`.

/// Octets before what a page holds.
const HEADER: usize = 16;
/// Octets of a node before its key.
const NODE: usize = 8;
/// What a meta page begins with, behind its header.
const MAGIC: u32 = 0xbeef_c0de;
const VERSION: u32 = 1;
/// Octets that a meta page uses.
const META: usize = HEADER + 136;
/// Sizes of pages (`MAX_PAGESIZE`); the smallest that any system has, or that a file can be made with.
const SIZES: std::ops::RangeInclusive<usize> = 256..=0x8000;
/// Most levels of a tree (`CURSOR_STACK`).
const DEPTH: usize = 32;
/// A tree without pages (`P_INVALID`).
const NOWHERE: u64 = u64::MAX;

/// What a page is. Other bits of its flags only mean something while a program writes.
const KINDS: usize = 0x6f;
const BRANCH: usize = 0x01;
const LEAF: usize = 0x02;
const OVERFLOW: usize = 0x04;
const META_PAGE: usize = 0x08;

/// The value of a node is on pages of its own.
const BIG: usize = 0x01;
/// It is a database.
const DATABASE: usize = 0x02;

/// Why octets are no LMDB database, or none that is a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LmdbError {
    /// It does not begin as one.
    #[error("this is no LMDB database: it does not begin with two pages that describe one")]
    Meta,
    /// Numbers are written in another way.
    #[error("this LMDB database was made on a machine of another kind (32 bits, or the high octet first)")]
    Machine,
    /// Another form of the file.
    #[error("this LMDB database has version {0} of the format, and only {VERSION} is known")]
    Version(u32),
    /// It was made, and no transaction has ended yet.
    #[error("nothing has been written into this LMDB database yet")]
    Unwritten,
    /// Keys are no plain octets, or have several values.
    #[error(
        "this LMDB database is no plain map: its keys are numbers, have several values or another order (flags {0:#x})"
    )]
    Flags(usize),
    /// A value that is a database.
    #[error("this LMDB database has others inside; a map has none")]
    Databases,
    /// A page that is not what it has to be.
    #[error("this is a broken LMDB database, or one that was read while it was written: page {page} {what}")]
    Page {
        /// Its number.
        page: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The pages are right, but there are too few of them, or of their records.
    #[error("this is a broken LMDB database: it says that it has {said} records, and has {found}")]
    Records {
        /// As many there should be.
        said: u64,
        /// As many there are.
        found: u64,
    },
}

/// An LMDB database whose form is right.
#[derive(Debug, Clone, Copy)]
pub struct Lmdb<'a>(Tree<'a>);

/// Octets, and what the newer meta page says of the main database.
#[derive(Debug, Clone, Copy)]
struct Tree<'a> {
    octets: &'a [u8],
    /// Octets of a page.
    size: usize,
    depth: usize,
    branches: u64,
    leaves: u64,
    overflows: u64,
    entries: u64,
    root: u64,
}

#[derive(Debug, Clone, Copy)]
struct Page<'a> {
    number: u64,
    octets: &'a [u8],
    kind: usize,
    nodes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node<'a> {
    /// The size of a value, or the lower part of the number of a page.
    size: u32,
    flags: usize,
    key: &'a [u8],
    rest: &'a [u8],
}

/// Goes through all leaves. What is wrong ends it.
struct Walk<'a> {
    tree: Tree<'a>,
    path: Vec<(Page<'a>, usize)>,
    last: Option<&'a [u8]>,
    begun: bool,
}

type Record<'a> = (&'a [u8], &'a [u8]);

impl<'a> Lmdb<'a> {
    /// Looks whether octets are an LMDB database, and goes through all its records.
    ///
    /// Of the two pages that describe it the one with the newer transaction counts, and it alone: the database as it was before could
    /// let in what it does not any more, and the first one of all is empty.
    ///
    /// # Errors
    /// [`LmdbError`] says what is wrong.
    pub fn new(octets: &'a [u8]) -> Result<Self, LmdbError> {
        let tree = Tree::new(octets)?;
        let mut walk = Walk::new(tree);
        let mut found = 0;
        for record in walk.by_ref() {
            record?;
            found += 1;
        }
        // What was gone through has been taken off.
        let Tree { branches, leaves, overflows, .. } = walk.tree;
        if found != tree.entries || (branches, leaves, overflows) != (0, 0, 0) {
            return Err(LmdbError::Records { said: tree.entries, found });
        }
        Ok(Self(tree))
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.0.entries).unwrap_or(usize::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.entries == 0
    }

    /// Key and value of all records, in the order of their keys.
    pub fn records(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        Walk::new(self.0).map_while(Result::ok)
    }
}

/// Whether octets begin like an LMDB database, whatever kind of machine made it.
pub fn begins(octets: &[u8]) -> bool {
    // The header of a page has 12 octets where numbers have 32 bits.
    [HEADER, 12].iter().any(|&at| {
        octets.len() >= at + 4
            && [u32::from_le_bytes, u32::from_be_bytes]
                .iter()
                .any(|number| octets[at..at + 4].try_into().is_ok_and(|word| number(word) == MAGIC))
    })
}

impl<'a> Tree<'a> {
    fn new(octets: &'a [u8]) -> Result<Self, LmdbError> {
        let first = octets.get(..META).ok_or(LmdbError::Meta)?;
        if word(first, HEADER) != MAGIC {
            return Err(if begins(octets) { LmdbError::Machine } else { LmdbError::Meta });
        }
        let size = word(first, HEADER + 24) as usize;
        if !SIZES.contains(&size) || !size.is_power_of_two() {
            return Err(LmdbError::Meta);
        }
        let second = octets.get(size..size + META).ok_or(LmdbError::Meta)?;
        for (number, meta) in [(0, first), (1, second)] {
            let version = word(meta, HEADER + 4);
            if word(meta, HEADER) == MAGIC && version != VERSION {
                return Err(LmdbError::Version(version));
            }
            let is_one = word(meta, HEADER) == MAGIC
                && long(meta, 0) == number
                && short(meta, 10) & KINDS == META_PAGE
                && word(meta, HEADER + 24) as usize == size;
            if !is_one {
                return Err(LmdbError::Meta);
            }
        }
        let transaction = |meta| long(meta, HEADER + 128);
        let meta = if transaction(second) > transaction(first) { second } else { first };
        // `postmap` writes a new file like this before it fills it: to take it for an empty map would let in everybody
        // meanwhile. A map of an empty text has a transaction.
        if transaction(meta) == 0 {
            return Err(LmdbError::Unwritten);
        }
        let database = &meta[HEADER + 72..];
        let tree = Self {
            octets,
            size,
            depth: short(database, 6),
            branches: long(database, 8),
            leaves: long(database, 16),
            overflows: long(database, 24),
            entries: long(database, 32),
            root: long(database, 40),
        };
        match short(database, 4) {
            0 => {}
            flags => return Err(LmdbError::Flags(flags)),
        }
        let pages =
            [tree.branches, tree.leaves, tree.overflows].iter().try_fold(0_u64, |sum, n| sum.checked_add(*n));
        let is_possible = pages.is_some_and(|pages| pages <= (octets.len() / size) as u64)
            && tree.depth <= DEPTH
            && (tree.root == NOWHERE) == (tree.depth == 0);
        let wrong = LmdbError::Page { page: long(meta, 0), what: "says what cannot be" };
        if is_possible { Ok(tree) } else { Err(wrong) }
    }

    /// A page from its number on, as far as the file goes.
    fn from(&self, number: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(number).ok()?.checked_mul(self.size)?;
        let octets = self.octets.get(start..)?;
        (number > 1 && octets.len() >= self.size && long(octets, 0) == number).then_some(octets)
    }

    /// A page of the tree.
    fn page(&self, number: u64, expected: usize) -> Result<Page<'a>, LmdbError> {
        let wrong = |what| LmdbError::Page { page: number, what };
        let octets = &self.from(number).ok_or(wrong("is not there"))?[..self.size];
        let kind = short(octets, 10) & KINDS;
        if kind != expected {
            return Err(wrong("is of another kind than its place"));
        }
        let (lower, upper) = (short(octets, 12), short(octets, 14));
        if lower < HEADER || !lower.is_multiple_of(2) || lower > upper || upper > self.size {
            return Err(wrong("has no right bounds"));
        }
        Ok(Page { number, octets, kind, nodes: (lower - HEADER) / 2 })
    }

    /// The value on pages of its own, and how many these are.
    fn value(&self, number: u64, size: usize) -> Result<(&'a [u8], u64), LmdbError> {
        let wrong = |what| LmdbError::Page { page: number, what };
        let octets = self.from(number).ok_or(wrong("is not there"))?;
        if short(octets, 10) & KINDS != OVERFLOW {
            return Err(wrong("is of another kind than its place"));
        }
        let pages = word(octets, 12);
        let value = octets.get(HEADER..HEADER.saturating_add(size)).ok_or(wrong("has no end"))?;
        if HEADER + size > (pages as usize).saturating_mul(self.size) {
            return Err(wrong("has no room for its value"));
        }
        Ok((value, pages.into()))
    }
}

impl<'a> Page<'a> {
    fn node(&self, at: usize) -> Option<Node<'a>> {
        let start = short(self.octets, HEADER + 2 * at);
        // Behind the list of the nodes' places, of which there are as many as the page has room for.
        let octets = self.octets.get(start..).filter(|_| start >= HEADER + 2 * self.nodes)?;
        let fixed = octets.get(..NODE)?;
        let (key, rest) = octets[NODE..].split_at_checked(short(fixed, 6))?;
        Some(Node { size: word(fixed, 0), flags: short(fixed, 4), key, rest })
    }
}

impl<'a> Walk<'a> {
    fn new(tree: Tree<'a>) -> Self {
        Self { tree, path: Vec::new(), last: None, begun: false }
    }

    /// Goes to a page below the path. Of each kind there are as many as the tree says: no page leads to itself for ever.
    fn descend(&mut self, number: u64) -> Result<(), LmdbError> {
        let (kind, left) = if self.path.len() + 1 == self.tree.depth {
            (LEAF, &mut self.tree.leaves)
        } else {
            (BRANCH, &mut self.tree.branches)
        };
        let wrong = |what| LmdbError::Page { page: number, what };
        *left = left.checked_sub(1).ok_or(wrong("is one more than there are"))?;
        let page = self.tree.page(number, kind)?;
        if page.nodes == 0 {
            return Err(wrong("is empty"));
        }
        self.path.push((page, 0));
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Record<'a>>, LmdbError> {
        if !self.begun {
            self.begun = true;
            if self.tree.root != NOWHERE {
                self.descend(self.tree.root)?;
            }
        }
        while let Some((page, at)) = self.path.last_mut() {
            if *at == page.nodes {
                self.path.pop();
                continue;
            }
            let (page, node) = (*page, page.node(*at));
            *at += 1;
            let wrong = |what| LmdbError::Page { page: page.number, what };
            let node = node.ok_or(wrong("has a record outside of it"))?;
            if page.kind == LEAF {
                return self.record(node, wrong).map(Some);
            }
            // Of its 48 bits the upper ones are where a leaf has flags.
            self.descend(u64::from(node.size) | (node.flags as u64) << 32)?;
        }
        Ok(None)
    }

    fn record(
        &mut self,
        node: Node<'a>,
        wrong: impl Fn(&'static str) -> LmdbError,
    ) -> Result<Record<'a>, LmdbError> {
        // Pages of two states of the database hardly have an order together.
        if self.last.is_some_and(|last| last >= node.key) {
            return Err(wrong("has keys out of their order"));
        }
        self.last = Some(node.key);
        let value = match node.flags {
            0 => node.rest.get(..node.size as usize).ok_or(wrong("has a record outside of it"))?,
            BIG => {
                let number = node.rest.get(..8).ok_or(wrong("has a record outside of it"))?;
                let (value, pages) = self.tree.value(long(number, 0), node.size as usize)?;
                let left = self.tree.overflows.checked_sub(pages);
                self.tree.overflows = left.ok_or(wrong("has longer values than there is room for"))?;
                value
            }
            flags if flags & DATABASE != 0 => return Err(LmdbError::Databases),
            _ => return Err(wrong("has a record of a kind that is not known")),
        };
        Ok((node.key, value))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Record<'a>, LmdbError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.path.clear();
        }
        step.transpose()
    }
}

/// The number of 16 bits at a place that is there.
fn short(octets: &[u8], at: usize) -> usize {
    u16::from_le_bytes(place(octets, at)).into()
}

fn word(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(place(octets, at))
}

fn long(octets: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(place(octets, at))
}

fn place<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|n| octets[at + n])
}

#[cfg(test)]
mod tests;
