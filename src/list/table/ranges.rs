//! Sorted ranges of addresses with their listings.

use super::values::EXCLUDED;

/// An address as a number.
pub(super) trait Number: Copy + Ord {
    fn before(self) -> Self;
    /// `None` behind the last address of all.
    fn after(self) -> Option<Self>;
}

impl Number for u32 {
    fn before(self) -> Self {
        self.saturating_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    fn before(self) -> Self {
        self.saturating_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Ranges that do not overlap, in order. Three vectors: what a search looks at lies close together.
#[derive(Debug)]
pub(super) struct Ranges<T> {
    starts: Vec<T>,
    ends: Vec<T>,
    listings: Vec<u32>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { starts: Vec::new(), ends: Vec::new(), listings: Vec::new() }
    }
}

/// All addresses from the first to the last, with one listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment<T> {
    pub(super) first: T,
    pub(super) last: T,
    pub(super) listing: u32,
}

/// A network of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network<T> {
    pub(super) segment: Segment<T>,
    pub(super) line: u32,
}

impl<T: Number> Ranges<T> {
    /// The listing of an address.
    pub(super) fn find(&self, address: T) -> Option<u32> {
        let at = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        (address <= self.ends[at]).then(|| self.listings[at])
    }

    /// Takes the next one in order. Exclusions leave a gap, and what follows the like without one joins it.
    fn push(&mut self, segment: Segment<T>) {
        if segment.listing == EXCLUDED {
            return;
        }
        if let (Some(end), Some(listing)) = (self.ends.last_mut(), self.listings.last())
            && *listing == segment.listing
            && end.after() == Some(segment.first)
        {
            *end = segment.last;
            return;
        }
        self.starts.push(segment.first);
        self.ends.push(segment.last);
        self.listings.push(segment.listing);
    }

    fn seal(mut self) -> Self {
        self.starts.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.listings.shrink_to_fit();
        self
    }

    /// Segments in order that do not overlap.
    pub(super) fn from_segments(segments: impl IntoIterator<Item = Segment<T>>) -> Self {
        let mut ranges = Self::default();
        segments.into_iter().for_each(|segment| ranges.push(segment));
        ranges.seal()
    }

    /// Networks of any order: of two that hold an address, the smaller counts, and of two equal ones the first of the
    /// file; the lines of the other ones are given to `again`, with whether they say something else.
    pub(super) fn from_networks(mut networks: Vec<Network<T>>, mut again: impl FnMut(u32, bool)) -> Self {
        networks.sort_unstable_by(|a, b| {
            let (one, two) = (&a.segment, &b.segment);
            one.first.cmp(&two.first).then(two.last.cmp(&one.last)).then(a.line.cmp(&b.line))
        });
        let mut ranges = Self::default();
        // The networks around the place that has been reached, the largest first.
        let mut around: Vec<Segment<T>> = Vec::new();
        let mut reached = None;
        for Network { segment, line } in networks {
            while let Some(outer) = around.last()
                && outer.last < segment.first
            {
                ranges.close(&mut around, &mut reached);
            }
            if let Some(outer) = around.last() {
                if (outer.first, outer.last) == (segment.first, segment.last) {
                    again(line, outer.listing != segment.listing);
                    continue;
                }
                if let Some(first) = reached.filter(|first| *first < segment.first) {
                    ranges.push(Segment { first, last: segment.first.before(), ..*outer });
                }
            }
            reached = Some(segment.first);
            around.push(segment);
        }
        while !around.is_empty() {
            ranges.close(&mut around, &mut reached);
        }
        ranges.seal()
    }

    /// Leaves the innermost network.
    fn close(&mut self, around: &mut Vec<Segment<T>>, reached: &mut Option<T>) {
        let Some(segment) = around.pop() else { return };
        if let Some(first) = reached.filter(|first| *first <= segment.last) {
            self.push(Segment { first, ..segment });
        }
        *reached = segment.last.after();
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    /// Networks with their listings, as the first of 256 addresses and how many bits of it count.
    type Written = (u8, u8, u32);

    fn ends((first, bits, _): Written) -> (u8, u8) {
        let hosts = u8::MAX.checked_shr(bits.into()).unwrap_or(0);
        (first & !hosts, first | hosts)
    }

    /// Whether the addresses, and the lines that say something once more, are those of the description, at this place among all addresses.
    fn are_as_described<T: Number + Debug>(written: &[Written], at: impl Fn(u8) -> T) {
        let networks = (0..).zip(written).map(|(line, &network)| {
            let (first, last) = ends(network);
            Network { segment: Segment { first: at(first), last: at(last), listing: network.2 }, line }
        });
        let mut again = Vec::new();
        let ranges = Ranges::from_networks(networks.collect(), |line, differs| again.push((line, differs)));
        for address in 0..=u8::MAX {
            let smallest = written
                .iter()
                .filter(|&&network| (ends(network).0..=ends(network).1).contains(&address))
                .min_by_key(|&&network| ends(network).1 - ends(network).0);
            let listing = smallest.map(|network| network.2).filter(|listing| *listing != EXCLUDED);
            assert_eq!(ranges.find(at(address)), listing, "{address}");
        }
        again.sort_unstable();
        let expected = (0..).zip(written).filter_map(|(line, &network)| {
            let first = written[..line as usize].iter().find(|&&other| ends(other) == ends(network))?;
            Some((line, first.2 != network.2))
        });
        assert_eq!(again, expected.collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn of_networks_around_an_address_the_smallest_counts_and_of_equal_ones_the_first(
            written in prop::collection::vec((any::<u8>(), 0..=8_u8, EXCLUDED..4), 0..24),
        ) {
            are_as_described(&written, u32::from);
            are_as_described(&written, |address| u32::MAX - u32::from(u8::MAX - address));
            are_as_described(&written, u128::from);
            are_as_described(&written, |address| u128::MAX - u128::from(u8::MAX - address));
        }
    }
}
