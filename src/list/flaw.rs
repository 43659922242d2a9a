//! What is wrong with a map, line by line.

use std::fmt;

use super::Fault;

/// Most lines that are told of one map; a table of another kind has a mistake in each line.
const MOST: usize = 100;
/// What to do about a line where the cause says nothing of it.
const REMEDY: &str = "mend the line or take it out";

/// All flaws of a map, as many as anybody would read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flaws {
    shown: Vec<Fault>,
    more: usize,
}

impl Flaws {
    /// Adds one; `text` is the cause, and behind a semicolon the remedy.
    pub fn add(&mut self, line: u32, text: &str) {
        if self.shown.len() == MOST {
            self.more += 1;
            return;
        }
        let parts = text.split_once("; ").filter(|(cause, _)| !cause.is_empty());
        let (cause, remedy) = parts.unwrap_or((text, REMEDY));
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        self.shown.push(Fault { line, ..Fault::whole(cause, remedy) });
    }

    /// Those that are told, in the order of lines.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.shown.iter()
    }

    /// How many more there are.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The same, with how many more there are at the end.
    pub fn told(mut self) -> Vec<Fault> {
        if self.more > 0 {
            self.shown.push(Fault::whole(format!("and {} more", self.more), ""));
        }
        self.shown
    }
}

impl fmt::Display for Flaws {
    /// One on each line: what follows the file and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.shown.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { "\n" })?;
        }
        if self.more > 0 { write!(f, "\n{} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for Flaws {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_flaws_a_hundred_are_told_and_the_rest_is_counted() {
        for (count, more) in [(1, 0), (100, 0), (101, 1), (103, 3)] {
            let mut flaws = Flaws::default();
            (1..=count).for_each(|line| flaws.add(line, "a cause; a remedy"));
            assert_eq!((flaws.iter().len(), flaws.more()), (count as usize - more, more));
            let shown: Vec<String> = flaws.to_string().lines().map(str::to_owned).collect();
            let told: Vec<String> = flaws.told().iter().map(ToString::to_string).collect();
            assert_eq!((&*shown[0], &*told[0]), ("1: a cause; a remedy", "1: a cause; a remedy"));
            let last = count as usize - more;
            assert_eq!(shown.get(last).cloned(), (more > 0).then(|| format!("{more} more")));
            assert_eq!(told.get(last).cloned(), (more > 0).then(|| format!(" and {more} more")));
        }
    }

    #[test]
    fn a_flaw_that_names_no_remedy_has_the_usual_one() {
        let mut flaws = Flaws::default();
        assert!(flaws.is_empty());
        flaws.add(7, "a cause");
        flaws.add(8, "; in it");
        assert_eq!(
            flaws.to_string(),
            "7: a cause; mend the line or take it out\n8: ; in it; mend the line or take it out"
        );
        assert!(!flaws.is_empty());
    }
}
