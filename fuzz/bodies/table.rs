//! List files: any octets at all, in every format.

use std::net::{IpAddr, Ipv6Addr};

use gatepost::list::{Entry, Fault, Format, Kind, Table};
use gatepost::smtp::Domain;

use super::Dice;

/// Values of one subject that a table keeps.
const MOST: usize = 16;

/// Whatever the file, it is refused with its faults, or it answers; and it says the same if it is written twice, or its
/// lines come in another order where that must not matter.
pub fn table(data: &[u8]) {
    let (first, text) = data.split_first().unwrap_or((&0, &[]));
    let kind = Kind::ALL[usize::from(*first) / 6 % 3];
    let format = Format::ALL[usize::from(*first) % 6];
    parse(format, kind, text);
}

/// A file of this format.
pub fn parse(format: Format, kind: Kind, text: &[u8]) {
    let (table, warnings) = match Table::parse(format, kind, text) {
        Ok(parsed) => parsed,
        Err(faults) => {
            assert!(!faults.is_empty());
            return check(&faults);
        }
    };
    check(&warnings);
    assert!(table.entries() <= text.len());
    assert!(table.kind() == format.kind().unwrap_or(kind) && table.format() == format);
    let subjects = Subjects::of(text);
    let said = subjects.ask(&table);
    if let Some((twice, backwards)) = variants(text) {
        let (twice, _) = Table::parse(format, kind, &twice).expect("what was good once is good twice");
        assert_eq!(subjects.ask(&twice), said, "written twice");
        let (backwards, _) =
            Table::parse(format, kind, &backwards).expect("what was good is good in any order");
        let is_small = said.iter().all(|records| records.len() < MOST);
        if matches!(format, Format::Ip4Set | Format::Dnset) && is_small {
            assert_eq!(subjects.ask(&backwards), said, "written backwards");
        }
    }
}

/// What an administrator reads is one line, and not long.
fn check(faults: &[Fault]) {
    assert!(faults.len() <= 50, "{}", faults.len());
    for fault in faults {
        let line = fault.to_string();
        assert!(
            !fault.cause.is_empty() && line.len() < 400 && !line.contains(gatepost::smtp::is_unprintable),
            "{line:?}"
        );
    }
}

/// The lines twice, and backwards; `None` if it matters where in the file a line stands.
fn variants(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let lines: Vec<&[u8]> = text.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).collect();
    let is_setting = |line: &&[u8]| {
        line.starts_with(b":") && !line.starts_with(b"::")
            || matches!(line, [b'$', ..] | [b'#' | b';' | b':', b'$', ..])
    };
    // A line that is cut is longer in one of them, a carriage return is not everywhere a blank, and a byte order mark
    // means something at the beginning only.
    if text.windows(3).any(|octets| octets == b"\xef\xbb\xbf")
        || text.contains(&b'\r')
        || text.len() > 4_000
        || lines.iter().any(is_setting)
    {
        return None;
    }
    let twice = [text, b"\n", text, b"\n"].concat();
    let backwards = lines.iter().rev().flat_map(|line| [line, &b"\n"[..]]).collect::<Vec<_>>().concat();
    Some((twice, backwards))
}

/// What is looked up: what stands in the file, what lies near it, and a few of no relation.
struct Subjects {
    addresses: Vec<IpAddr>,
    names: Vec<Domain>,
    locals: Vec<String>,
}

impl Subjects {
    fn of(text: &[u8]) -> Self {
        let mut dice = Dice(text);
        let mut subjects = Self { addresses: Vec::new(), names: Vec::new(), locals: vec![String::new()] };
        for _ in 0..4 {
            let number = dice.number();
            subjects.addresses.push(number.to_be_bytes().into());
            subjects.addresses.push(Ipv6Addr::from_bits(u128::from(number) << 96).into());
            subjects.addresses.push(Ipv6Addr::from_bits(0xffff_0000_0000 | u128::from(number)).into());
        }
        let text = String::from_utf8_lossy(text);
        let is_word = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
        for word in text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).take(40) {
            if let Ok(ip) = word.parse::<IpAddr>() {
                subjects.addresses.push(ip);
                let next = match ip {
                    IpAddr::V4(ip) => ip.to_bits().wrapping_add(1).to_be_bytes().into(),
                    IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().wrapping_add(1)).into(),
                };
                subjects.addresses.push(next);
            }
            for name in
                [word.trim_start_matches('.').to_owned(), format!("below.{}", word.trim_start_matches('.'))]
            {
                subjects.names.extend(Domain::from_setting(&name));
            }
            subjects.locals.push(word.to_owned());
        }
        subjects
    }

    /// All that a table says about each of them, in order.
    fn ask(&self, table: &Table) -> Vec<Vec<String>> {
        let addresses = self.addresses.iter().map(|ip| table.address(*ip));
        let names = self.names.iter().map(|name| table.domain(name));
        let mailboxes = self.locals.iter().flat_map(|local| {
            let domains = self.names.iter().take(8).map(Some).chain([None]);
            domains.map(|domain| table.mailbox(local, domain))
        });
        addresses.chain(names).chain(mailboxes).map(records).collect()
    }
}

fn records(entry: Option<Entry<'_>>) -> Vec<String> {
    let Some(entry) = entry else { return Vec::new() };
    let mut records: Vec<String> =
        entry.records().map(|(value, text)| format!("{value} {}", entry.render(text))).collect();
    assert!((1..=MOST).contains(&records.len()), "{records:?}");
    // An address takes 15 characters; a template 254 octets, a text 255.
    assert!(records.iter().all(|record| record.len() <= 16 + 255 * 3), "{records:?}");
    assert!(entry.records().any(|record| record == (entry.value, entry.text)));
    records.sort();
    records
}
