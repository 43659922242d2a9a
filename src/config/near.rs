//! The known name that somebody probably meant.

/// The candidate that is a few slips of the pen away, if there is one.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer names are no slips; the bound keeps the work small.
    if name.len() > 64 {
        return None;
    }
    let slips = (name.len() / 3).clamp(1, 3);
    known
        .into_iter()
        // Each octet more or less is a slip by itself.
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= slips)
        .map(|candidate| (distance(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= slips)
        .map(|(_, candidate)| candidate)
}

/// Octets to add, drop, change or swap with their neighbour to make one name of the other, in any case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase().into_bytes(), b.to_ascii_lowercase().into_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_understood_and_strangers_are_not() {
        let known = ["LISTEN", "NAMESERVERS", "ZEN_REJECT_CODES", "CACHE_MAX"];
        for (name, meant) in [
            ("LISTNE", Some("LISTEN")),
            ("listen", Some("LISTEN")),
            ("NAMESERVER", Some("NAMESERVERS")),
            ("ZEN_REJECT_CODE", Some("ZEN_REJECT_CODES")),
            ("CACHEMAX", Some("CACHE_MAX")),
            ("LISTENERS", Some("LISTEN")),
            ("LISTENER_S", None),
            ("PASSWORD", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
    }
}
