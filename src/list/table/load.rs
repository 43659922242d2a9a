//! From the octets of a file to a table.

use ipnet::IpNet;

use super::blocks::Blocks;
use super::directive::{self, Directive};
use super::fault::{Fault, Faults, Wrong, wrong};
use super::generic::Records;
use super::lines::{self, LONGEST, Line, Lines};
use super::names::{Names, Reach};
use super::plain::{self, Mailboxes};
use super::ranges::{Network, Ranges, Segment};
use super::text::Substitutes;
use super::values::{EXCLUDED, Text, Valuing};
use super::{Format, Kind, Table, ip4, ip6};

/// Most entries of a table: twice the largest lists there are, and a gigabyte of memory.
pub(super) const ENTRIES: usize = 1 << 24;

const TOO_LONG: &str = "the line is longer than 4096 octets";
const _: () = assert!(LONGEST == 4_096, "as the message has it");

/// What a last line without its end may list, which is told in any case. If such a line was cut, it lists more than was meant: `10.0` is left of
/// `10.0.0.1`.
const CUT_ADDRESSES: u32 = 256;
const CUT_BITS: u32 = 64;

/// Reads a file of so many entries at most.
pub(super) fn load(
    format: Format,
    kind: Kind,
    octets: &[u8],
    most: usize,
) -> Result<(Table, Vec<Fault>), Vec<Fault>> {
    let mut load = Load {
        format,
        kind,
        entries: 0,
        passed_over: 0,
        values: Valuing::new(),
        max_range: u32::MAX,
        substitutes: Substitutes::default(),
        ip4: Vec::new(),
        ip6: Vec::new(),
        blocks: Blocks::default(),
        domains: Names::default(),
        mailboxes: Names::default(),
        records: Records::default(),
        warnings: Faults::default(),
        errors: Faults::default(),
    };
    let text = lines::text(octets, &mut load.warnings, &mut load.errors);
    if load.errors.is_empty() {
        for line in Lines::new(text) {
            load.line(line);
            if load.entries + load.records.len() > most {
                load.errors.file(
                    format!("the file has more than {most} entries"),
                    "serve it with rbldnsd, and ask it over DNS",
                );
                break;
            }
        }
    }
    load.finish()
}

/// A table as it is read.
struct Load {
    format: Format,
    kind: Kind,
    entries: usize,
    /// Lines that are not what they should be.
    passed_over: usize,
    values: Valuing,
    /// The most addresses of an IPv4 entry, less one.
    max_range: u32,
    substitutes: Substitutes,
    ip4: Vec<Network<u32>>,
    ip6: Vec<Network<u128>>,
    blocks: Blocks,
    domains: Names,
    mailboxes: Names,
    records: Records,
    warnings: Faults,
    errors: Faults,
}

impl Load {
    fn line(&mut self, line: Line<'_>) {
        let is_plain = self.format == Format::Plain;
        let directive = directive::of(line.octets).filter(|_| !is_plain);
        if directive.is_none() && matches!(line.octets.first(), None | Some(b'#' | b';')) {
            return;
        }
        if lines::has_control(line.octets) {
            return self.errors.line(
                line.number,
                line.octets,
                &wrong(
                    "control characters: this is no text, or was damaged when it was written",
                    "write the file anew",
                ),
            );
        }
        if let Some(directive) = directive {
            return self.directive(&line, directive);
        }
        if line.cut {
            let wrong = wrong(TOO_LONG, "write one entry on each line");
            if is_plain {
                return self.errors.line(line.number, line.octets, &wrong);
            }
            self.warnings.line(line.number, line.octets, &wrong);
        }
        match self.entry(&line) {
            // It may list what was not meant all the same: 10.0.0 is left of 10.0.0.1, and spam.example.co of a longer name.
            Ok(()) if !line.ended => self.warnings.line(
                line.number,
                line.octets,
                &wrong(
                    "the last line has no end: nothing shows whether it is whole",
                    "end it, and look at what it says",
                ),
            ),
            Ok(()) => {}
            Err(_) if !line.ended => self.errors.line(
                line.number,
                line.octets,
                &wrong(
                    "the last line has no end, and may be the beginning of another entry",
                    "end it; if the file is still being written, write it aside and rename it",
                ),
            ),
            Err(wrong) if is_plain => self.errors.line(line.number, line.octets, &wrong),
            Err(wrong) => {
                self.passed_over += 1;
                self.warnings.line(line.number, line.octets, &wrong);
            }
        }
    }

    fn directive(&mut self, line: &Line<'_>, directive: &[u8]) {
        match directive::read(directive, &mut self.substitutes) {
            Ok(Directive::Ignored | Directive::Substitute) => {}
            Ok(Directive::MaxRange4(most)) => self.max_range = self.max_range.min(most - 1),
            Ok(Directive::Dataset) => self.errors.line(
                line.number,
                line.octets,
                &wrong("a combined file, with several lists in it", "put each list into a file of its own"),
            ),
            // Programs for versions leave such words in comments.
            Err(_) if matches!(line.octets.first(), Some(b'#' | b';')) => {}
            Err(wrong) => self.warnings.line(line.number, line.octets, &wrong),
        }
    }

    fn entry(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        let octets = line.octets;
        if self.format == Format::Generic {
            return self.records.add(octets);
        }
        // `::1` is an address.
        let is_address = self.kind == Kind::Address && octets.starts_with(b"::");
        if octets.starts_with(b":") && !is_address {
            let text = self.values.set_default(octets)?;
            self.note(text, line);
            return Ok(());
        }
        let (octets, excluded) = match octets {
            [b'!', octets @ ..] => (octets.trim_ascii_start(), true),
            octets => (octets, false),
        };
        match (self.format, self.kind) {
            (Format::Plain, kind) => self.plain(kind, octets, excluded, line)?,
            (Format::Ip4Set, _) => {
                let (first, last, rest) = ip4::range(octets)?;
                self.fits(first, last, line)?;
                let listing = self.listing(rest, excluded, line)?;
                self.blocks.add(first, last, listing);
            }
            (Format::Ip4Trie, _) => {
                let (first, bits, rest) = ip4::network(octets)?;
                self.fits(first, first | ip4::hosts(bits), line)?;
                let listing = self.listing(rest, excluded, line)?;
                self.network4(first, bits, listing, line);
            }
            (Format::Ip6Trie, _) => {
                let (first, bits, rest) = ip6::network(octets)?;
                let listing = self.listing(rest, excluded, line)?;
                self.network6(first, bits, listing, line)?;
            }
            (Format::Dnset | Format::Generic, _) => {
                let (reach, name) = match octets {
                    [b'*', b'.', name @ ..] => (Reach::Below, name),
                    [b'.', name @ ..] => (Reach::Both, name),
                    name => (Reach::Itself, name),
                };
                let end = name.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(name.len());
                let (name, rest) = name.split_at(end);
                let illegal = || {
                    wrong(
                        "no domain can have this name",
                        "write spam.example, *.spam.example or .spam.example, with A-labels (xn--…)",
                    )
                };
                let name = plain::ascii(name).ok_or_else(illegal)?;
                named(&name, reach, line)?;
                let listing = self.listing(rest, excluded, line)?;
                self.domains.add(&name, reach, listing, &mut self.values);
            }
        }
        self.entries += 1;
        Ok(())
    }

    fn plain(&mut self, kind: Kind, octets: &[u8], excluded: bool, line: &Line<'_>) -> Result<(), Wrong> {
        let (entry, rest) = plain::split(octets);
        let rest = rest.trim_ascii_start();
        if !matches!(rest.first(), None | Some(b':' | b'#' | b';')) {
            return Err(wrong(
                "there is more than one word",
                "put a text behind a value, as in :127.0.0.2:text",
            ));
        }
        match kind {
            Kind::Address => {
                let mut networks = Vec::with_capacity(1);
                plain::networks(entry, |network| networks.push(network))?;
                let listing = self.listing(rest, excluded, line)?;
                for network in networks {
                    match network {
                        IpNet::V4(network) => {
                            let first = network.network().to_bits();
                            let bits = u32::from(network.prefix_len());
                            self.fits(first, first | ip4::hosts(bits), line)?;
                            self.network4(first, bits, listing, line);
                        }
                        IpNet::V6(network) => {
                            let bits = u32::from(network.prefix_len());
                            self.network6(network.network().to_bits(), bits, listing, line)?;
                        }
                    }
                }
            }
            Kind::Domain => {
                let (name, reach) = plain::domain(entry)?;
                named(&name, reach, line)?;
                let listing = self.listing(rest, excluded, line)?;
                self.domains.add(&name, reach, listing, &mut self.values);
            }
            Kind::Mailbox => {
                let mailboxes = plain::mailbox(entry)?;
                let listing = self.listing(rest, excluded, line)?;
                match mailboxes {
                    Mailboxes::Key(key) => {
                        self.mailboxes.add(&key, Reach::Itself, listing, &mut self.values);
                    }
                    Mailboxes::Domain(name, reach) => {
                        named(&name, reach, line)?;
                        self.domains.add(&name, reach, listing, &mut self.values);
                    }
                }
            }
        }
        Ok(())
    }

    /// The listing of an entry, from what follows it on the line.
    fn listing(&mut self, rest: &[u8], excluded: bool, line: &Line<'_>) -> Result<u32, Wrong> {
        if !matches!(rest.first(), None | Some(b' ' | b'\t' | b'#' | b';' | b':')) {
            return Err(wrong("something sticks to the entry", "put a blank behind it"));
        }
        let value = rest.trim_ascii_start();
        match value.first() {
            _ if excluded => Ok(EXCLUDED),
            None | Some(b'#' | b';') => Ok(self.values.default()),
            _ => {
                let (listing, text) = self.values.value(value)?;
                self.note(text, line);
                Ok(listing)
            }
        }
    }

    fn network4(&mut self, first: u32, bits: u32, listing: u32, line: &Line<'_>) {
        self.not_all(bits, listing, line);
        let segment = Segment { first, last: first | ip4::hosts(bits), listing };
        self.ip4.push(Network { segment, line: number(line) });
    }

    fn network6(&mut self, first: u128, bits: u32, listing: u32, line: &Line<'_>) -> Result<(), Wrong> {
        if let Some((first, bits)) = ip6::mapped(first, bits) {
            self.fits(first, first | ip4::hosts(bits), line)?;
            self.network4(first, bits, listing, line);
            return Ok(());
        }
        if !line.ended && bits < CUT_BITS {
            return Err(may_be_cut());
        }
        self.not_all(bits, listing, line);
        let segment = Segment { first, last: first | ip6::hosts(bits), listing };
        self.ip6.push(Network { segment, line: number(line) });
        Ok(())
    }

    /// Tells of a network of all addresses. In the tries of rbldnsd it is an entry; a plain file has it only as a range,
    /// which nobody writes by mistake.
    fn not_all(&mut self, bits: u32, listing: u32, line: &Line<'_>) {
        if bits == 0 && listing != EXCLUDED && self.format != Format::Plain {
            let wrong = wrong("all addresses there are", "remove it, unless everybody is to be listed");
            self.warnings.line(line.number, line.octets, &wrong);
        }
    }

    /// Whether an entry is not larger than entries may be.
    fn fits(&self, first: u32, last: u32, line: &Line<'_>) -> Result<(), Wrong> {
        if last - first > self.max_range {
            return Err(wrong("more addresses than $MAXRANGE4 allows", "raise it, or divide the range"));
        }
        if !line.ended && last - first >= CUT_ADDRESSES {
            return Err(may_be_cut());
        }
        Ok(())
    }

    fn note(&mut self, text: Text, line: &Line<'_>) {
        if text == Text::Cut {
            let wrong = wrong("the text is longer than 255 octets, and is cut", "write less");
            self.warnings.line(line.number, line.octets, &wrong);
        }
    }

    fn finish(mut self) -> Result<(Table, Vec<Fault>), Vec<Fault>> {
        let is_plain = self.format == Format::Plain;
        let ip4 = if self.format == Format::Ip4Set {
            self.blocks.finish(&mut self.values)
        } else {
            let warnings = &mut self.warnings;
            Ranges::from_networks(self.ip4, |line, differs| again(warnings, line, differs, is_plain))
        };
        let warnings = &mut self.warnings;
        let ip6 = Ranges::from_networks(self.ip6, |line, differs| again(warnings, line, differs, is_plain));
        self.entries += self.records.finish(&mut self.domains, &mut self.values);
        self.domains.seal();
        self.mailboxes.seal();
        let (values, dropped) = self.values.finish();
        if dropped > 0 {
            self.warnings
                .file(format!("{dropped} values of entries that have more than 16 are left out"), "");
        }
        if self.passed_over > self.entries {
            self.errors.file(
                format!(
                    "{} lines are no entries of the format {}, {} are",
                    self.passed_over,
                    self.format.name(),
                    self.entries
                ),
                "see whether the format is another one",
            );
        } else if self.entries == 0 && self.errors.is_empty() {
            self.warnings.file("the file has no entries", "");
        }
        if !self.errors.is_empty() {
            let mut told = self.errors.told();
            if self.passed_over > 0 {
                told.extend(self.warnings.told());
            }
            return Err(told);
        }
        let table = Table {
            format: self.format,
            kind: self.kind,
            entries: self.entries,
            values,
            ip4,
            ip6,
            domains: self.domains,
            mailboxes: self.mailboxes,
            substitutes: self.substitutes,
        };
        Ok((table, self.warnings.told()))
    }
}

/// A network that stands in the file once more. In plain files only what contradicts is worth a word.
fn again(warnings: &mut Faults, line: u32, differs: bool, is_plain: bool) {
    if differs || !is_plain {
        let wrong =
            wrong("the file has this network already, and the first line counts", "remove one of them");
        warnings.line(line as usize, b"", &wrong);
    }
}

/// Whether a name may stand where it stands.
fn named(name: &str, reach: Reach, line: &Line<'_>) -> Result<(), Wrong> {
    let is_wide = reach != Reach::Itself && !name.contains('.');
    if is_wide && !line.ended { Err(may_be_cut()) } else { Ok(()) }
}

/// The line has no end, and less of it means more.
fn may_be_cut() -> Wrong {
    wrong("the beginning of an entry", "end the line")
}

/// A line's number, for messages only.
fn number(line: &Line<'_>) -> u32 {
    u32::try_from(line.number).unwrap_or(u32::MAX)
}
