//! Constant databases (cdb), as `postmap cdb:`, cdbmake and tinycdb write them.
//!
//! Reads the records one after the other. The hash tables, which lead to a single record without reading the others, are
//! looked at only to see that the file is whole: whoever reads a map reads all of it.
//!
//! The format is D. J. Bernstein's (<https://cr.yp.to/cdb/cdb.txt>), with positions of 32 bits.

/// Hash tables at the beginning: 256 of a position and a number of slots.
const HEADER: usize = 256 * 8;
/// Octets of one slot of a hash table.
const SLOT: usize = 8;

/// Why octets are no constant database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CdbError {
    /// Shorter than the header of any.
    #[error("this is no constant database: it is shorter than the header of one")]
    Header,
    /// A hash table lies outside of the file.
    #[error("this is no constant database, or a part of one: a table lies outside of it")]
    Table,
    /// The records do not end where the tables begin.
    #[error("this is no constant database, or a broken one: record {0} does not end where it should")]
    Record(usize),
    /// The tables have room for another number of records than there are.
    #[error("this is a broken constant database: it has fewer slots than records")]
    Slots,
}

/// A constant database whose form is right.
#[derive(Debug, Clone, Copy)]
pub struct Cdb<'a> {
    records: &'a [u8],
    count: usize,
}

impl<'a> Cdb<'a> {
    /// Looks whether octets are a constant database, the whole of one and nothing else.
    ///
    /// # Errors
    /// [`CdbError`] says what is wrong.
    pub fn new(octets: &'a [u8]) -> Result<Self, CdbError> {
        let header = octets.get(..HEADER).ok_or(CdbError::Header)?;
        let (mut end, mut slots) = (octets.len(), 0_usize);
        for table in header.chunks_exact(8) {
            let (position, length) = (number(table, 0), number(table, 4));
            let size = length.checked_mul(SLOT).ok_or(CdbError::Table)?;
            if position < HEADER || position.checked_add(size).is_none_or(|end| end > octets.len()) {
                return Err(CdbError::Table);
            }
            end = end.min(position);
            slots = slots.saturating_add(length);
        }
        let mut records = Records { rest: &octets[HEADER..end] };
        let count = records.by_ref().count();
        if !records.rest.is_empty() {
            return Err(CdbError::Record(count + 1));
        }
        // A record is found by its slot: with fewer of them some never are.
        if slots < count {
            return Err(CdbError::Slots);
        }
        Ok(Self { records: &octets[HEADER..end], count })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Key and value of all records, in the order of the file.
    pub fn records(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        Records { rest: self.records }
    }
}

/// Stops at what is no record.
struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let lengths = self.rest.get(..8)?;
        let (key, value) = (number(lengths, 0), number(lengths, 4));
        let end = 8_usize.checked_add(key)?.checked_add(value)?;
        let record = self.rest.get(8..end)?;
        self.rest = &self.rest[end..];
        Some(record.split_at(key))
    }
}

/// The number of 32 bits at a place that is there.
fn number(octets: &[u8], at: usize) -> usize {
    u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]) as usize
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A constant database of these records.
    pub(crate) fn made(records: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut octets = vec![0; HEADER];
        let mut tables = vec![Vec::new(); 256];
        let word = |number: usize| u32::try_from(number).expect("a small file").to_le_bytes();
        for (key, value) in records {
            let hash = key.iter().fold(5381_u32, |hash, &octet| hash.wrapping_mul(33) ^ u32::from(octet));
            tables[hash as usize & 255].push((hash, octets.len()));
            for piece in [&word(key.len())[..], &word(value.len()), key, value] {
                octets.extend_from_slice(piece);
            }
        }
        for (n, table) in tables.iter().enumerate() {
            let (position, slots) = (octets.len(), table.len() * 2);
            octets[n * 8..n * 8 + 4].copy_from_slice(&word(position));
            octets[n * 8 + 4..n * 8 + 8].copy_from_slice(&word(slots));
            let mut places = vec![(0, 0); slots];
            for &(hash, at) in table {
                let first = (hash >> 8) as usize % slots;
                let free = (0..slots).map(|n| (first + n) % slots).find(|&n| places[n] == (0, 0));
                places[free.expect("room")] = (hash, at);
            }
            for (hash, at) in places {
                octets.extend(hash.to_le_bytes());
                octets.extend(word(at));
            }
        }
        octets
    }

    #[test]
    fn records_are_read_in_their_order() {
        let records: [(&[u8], &[u8]); 3] =
            [(b"from:a.example", b"REJECT"), (b"", b""), (b"from:b.example\0", b"OK\0")];
        let octets = made(&records);
        let cdb = Cdb::new(&octets).expect("a database");
        assert_eq!(cdb.records().collect::<Vec<_>>(), records);
        assert!(cdb.len() == 3 && !cdb.is_empty());
        assert!(Cdb::new(&made(&[])).expect("a database").is_empty());
    }

    #[test]
    fn what_is_cut_or_broken_anywhere_is_no_database() {
        let octets = made(&[(b"from:a.example", b"REJECT"), (b"from:b.example", b"OK")]);
        for length in 0..octets.len() {
            assert!(Cdb::new(&octets[..length]).is_err(), "{length}");
        }
        assert_eq!(Cdb::new(&[]).expect_err("nothing"), CdbError::Header);
        assert_eq!(Cdb::new(&[0xff; 4096]).expect_err("noise"), CdbError::Table);
        let mut broken = octets.clone();
        broken[HEADER] += 1;
        assert_eq!(Cdb::new(&broken).expect_err("a longer key"), CdbError::Record(2));
        let mut broken = octets;
        broken[HEADER + 7] = 0xff;
        assert_eq!(Cdb::new(&broken).expect_err("a value of 4 GB"), CdbError::Record(1));
    }
}
