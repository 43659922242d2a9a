//! Overlapping IPv4 ranges as the format ip4set reads them.
//!
//! rbldnsd cuts a range into single addresses and whole /24, /16 and /8, as large as possible. Of the blocks that hold
//! an address the smallest counts, whatever size the ranges had that they were cut from; and all equal ones together.

use super::ranges::{Ranges, Segment};
use super::values::Valuing;

/// Blocks of one size side by side, all of them in the same block of the next size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// 0 for single addresses, 1 for /24, 2 for /16, 3 for /8.
    size: u8,
    /// The first block, counted in blocks of this size.
    first: u32,
    count: u16,
    listing: u32,
}

/// Blocks in a block of the next size.
const ROW: usize = 256;

/// Ranges as they are read.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Row>);

impl Blocks {
    /// Adds the addresses from the first to the last.
    pub(super) fn add(&mut self, first: u32, last: u32, listing: u32) {
        let (mut first, mut last) = (first, last);
        let mut row = |size: u8, first: u32, last: u32| {
            let count = u16::try_from(last - first + 1).unwrap_or(256);
            self.0.push(Row { size, first, count, listing });
        };
        for size in 0..3 {
            if first > last {
                return;
            }
            if first | 255 >= last {
                match last - first {
                    255 => row(size + 1, first >> 8, first >> 8),
                    _ => row(size, first, last),
                }
                return;
            }
            let (mut whole, mut end) = (first >> 8, last >> 8);
            if first & 255 != 0 {
                row(size, first, first | 255);
                whole += 1;
            }
            if last & 255 != 255 {
                row(size, last & !255, last);
                end -= 1;
            }
            // Nothing is left between them if the last one now lies in front of the first one.
            (first, last) = (whole, end);
        }
        if first <= last {
            row(3, first, last);
        }
    }

    /// All of them as ranges that do not overlap.
    pub(super) fn finish(mut self, values: &mut Valuing) -> Ranges<u32> {
        // The largest first; equal places in a row of their own, in the order in which the file names the values.
        self.0.sort_unstable_by(|a, b| b.size.cmp(&a.size).then(a.cmp(b)));
        let mut all: Vec<Segment<u32>> = Vec::new();
        for rows in self.0.chunk_by(|a, b| a.size == b.size) {
            let mut finer = Vec::new();
            for rows in rows.chunk_by(|a, b| a.first >> 8 == b.first >> 8) {
                flatten(rows, values, &mut finer);
            }
            all = overlay(&all, &finer);
        }
        Ranges::from_segments(all)
    }
}

/// Rows within one block of the next size, as segments that do not overlap.
fn flatten(rows: &[Row], values: &mut Valuing, segments: &mut Vec<Segment<u32>>) {
    let Some(&Row { size, first, .. }) = rows.first() else { return };
    let shift = 8 * u32::from(size);
    let segment = |first: u32, count: u32, listing| {
        let last = (first + (count - 1)) << shift | ((1 << shift) - 1);
        Segment { first: first << shift, last, listing }
    };
    // Most addresses of a list are the only ones of their /24.
    if let [row] = rows {
        return segments.push(segment(first, row.count.into(), row.listing));
    }
    let start = first & !255;
    let mut cells = [None; ROW];
    for row in rows {
        let at = (row.first - start) as usize;
        for cell in &mut cells[at..at + usize::from(row.count)] {
            *cell = Some(cell.map_or(row.listing, |listing| values.join(listing, row.listing)));
        }
    }
    for (block, listing) in (start..=start | 255).zip(cells) {
        let Some(listing) = listing else { continue };
        let new = segment(block, 1, listing);
        match segments.last_mut() {
            Some(before) if before.listing == listing && before.last.checked_add(1) == Some(new.first) => {
                before.last = new.last;
            }
            _ => segments.push(new),
        }
    }
}

/// Segments over others: what lies above counts. Both in order.
fn overlay(below: &[Segment<u32>], above: &[Segment<u32>]) -> Vec<Segment<u32>> {
    let mut all = Vec::with_capacity(below.len() + above.len());
    let mut above = above.iter().peekable();
    for under in below {
        let mut first = Some(under.first);
        while let Some(over) = above.peek() {
            if over.last < under.first {
                all.push(**over);
            } else if over.first <= under.last {
                if let Some(first) = first.filter(|first| *first < over.first) {
                    all.push(Segment { first, last: over.first - 1, listing: under.listing });
                }
                if over.last > under.last {
                    // The next one below goes on under it.
                    first = None;
                    break;
                }
                all.push(**over);
                first = over.last.checked_add(1).filter(|first| *first <= under.last);
            } else {
                break;
            }
            above.next();
        }
        if let Some(first) = first {
            all.push(Segment { first, ..*under });
        }
    }
    all.extend(above);
    all
}

#[cfg(test)]
mod tests {
    use super::super::values::EXCLUDED;
    use super::*;

    fn segment(first: u32, last: u32, listing: u32) -> Segment<u32> {
        Segment { first, last, listing }
    }

    #[test]
    fn what_lies_above_hides_what_lies_below_it_and_nothing_else() {
        let below = [segment(10, 19, 1), segment(30, 39, 1)];
        for (above, all) in [
            (vec![], below.to_vec()),
            (vec![segment(0, 5, 2)], vec![segment(0, 5, 2), below[0], below[1]]),
            (vec![segment(10, 19, 2)], vec![segment(10, 19, 2), below[1]]),
            (vec![segment(10, 10, 2)], vec![segment(10, 10, 2), segment(11, 19, 1), below[1]]),
            (
                vec![segment(12, 13, 2), segment(15, 15, EXCLUDED)],
                vec![
                    segment(10, 11, 1),
                    segment(12, 13, 2),
                    segment(14, 14, 1),
                    segment(15, 15, EXCLUDED),
                    segment(16, 19, 1),
                    below[1],
                ],
            ),
            (vec![segment(15, 35, 2)], vec![segment(10, 14, 1), segment(15, 35, 2), segment(36, 39, 1)]),
            (vec![segment(5, 45, 2)], vec![segment(5, 45, 2)]),
            (vec![segment(40, u32::MAX, 2)], vec![below[0], below[1], segment(40, u32::MAX, 2)]),
        ] {
            assert_eq!(overlay(&below, &above), all, "{above:?}");
        }
    }

    #[test]
    fn a_range_is_cut_into_the_largest_blocks() {
        let rows = |first: u32, last: u32| {
            let mut blocks = Blocks::default();
            blocks.add(first, last, 1);
            blocks.0.iter().map(|row| (row.size, row.first, row.count)).collect::<Vec<_>>()
        };
        assert_eq!(rows(0, u32::MAX), [(3, 0, 256)]);
        assert_eq!(rows(0, 255), [(1, 0, 1)]);
        assert_eq!(rows(1, 255), [(0, 1, 255)]);
        assert_eq!(rows(7, 250), [(0, 7, 244)]);
        assert_eq!(rows(7, 7), [(0, 7, 1)]);
        assert_eq!(rows(255, 256), [(0, 255, 1), (0, 256, 1)]);
        assert_eq!(rows(1, 0x1ff), [(0, 1, 255), (1, 1, 1)]);
        assert_eq!(rows(0, 0x1_ffff), [(2, 0, 2)]);
        assert_eq!(rows(0xff, 0x0100_0000), [(0, 0xff, 1), (0, 0x0100_0000, 1), (1, 1, 255), (2, 1, 255),]);
        assert_eq!(rows(u32::MAX, u32::MAX), [(0, u32::MAX, 1)]);
    }

    #[test]
    fn neighbours_with_the_same_values_are_one_segment() {
        let mut values = Valuing::new();
        let (one, other) = (values.default(), values.listing([127, 0, 0, 3].into(), ""));
        let both = values.join(one, other);
        let row = |first, count, listing| Row { size: 1, first, count, listing };
        for (rows, segments) in [
            (vec![row(256, 10, one), row(260, 10, one)], vec![segment(0x1_0000, 0x1_0dff, one)]),
            (vec![row(0, 2, one), row(3, 1, one)], vec![segment(0, 0x1ff, one), segment(0x300, 0x3ff, one)]),
            (
                vec![row(0, 3, one), row(1, 3, other)],
                vec![segment(0, 0xff, one), segment(0x100, 0x2ff, both), segment(0x300, 0x3ff, other)],
            ),
        ] {
            let mut flat = Vec::new();
            flatten(&rows, &mut values, &mut flat);
            assert_eq!(flat, segments, "{rows:?}");
        }
    }
}
