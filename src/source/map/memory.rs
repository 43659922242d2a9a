//! Answers of a distant map, remembered for a short while.
//!
//! Only answers are: trouble need not be the next one's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::clock::{Clock, Time};
use crate::list::access::{Entry, Tag, Value};

/// How long a value is believed: a message asks several times, and an administrator who changes an entry does not wait
/// long for it.
const FOUND: Duration = Duration::from_mins(1);
/// How long it is believed that there is none: an entry that is new is there to stop something that happens now.
const NOT_FOUND: Duration = Duration::from_secs(30);
/// Answers kept at most, with keys of some 40 octets.
const ENTRIES: usize = 20_000;
/// Octets that these take at most, as far as they can be told.
const SIZE: usize = 16 << 20;
/// Octets of an entry beside its texts.
const ENTRY: usize = 200;
/// Octets of a compiled expression: some 20 kB as people write them, and up to a megabyte.
const EXPRESSION: usize = 1 << 18;

/// What a map said lately.
#[derive(Debug, Default)]
pub(super) struct Memory {
    answers: Mutex<Answers>,
    clock: Clock,
}

#[derive(Debug)]
struct Answers {
    known: LruCache<(Tag, Box<str>), Answer>,
    size: usize,
}

#[derive(Debug)]
struct Answer {
    entry: Option<Entry>,
    until: Time,
    size: usize,
}

/// What is known: the entry, or that there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known(pub(super) Option<Entry>);

impl Default for Answers {
    fn default() -> Self {
        Self { known: LruCache::unbounded(), size: 0 }
    }
}

impl Memory {
    /// What the map said about a key, if that is not too long ago.
    pub(super) fn recall(&self, tag: Tag, key: &str) -> Option<Known> {
        let mut answers = self.lock();
        let key = (tag, key.into());
        let answer = answers.known.get(&key)?;
        if answer.until > self.clock.now() {
            return Some(Known(answer.entry.clone()));
        }
        let size = answers.known.pop(&key).map_or(0, |answer| answer.size);
        answers.size -= size;
        None
    }

    /// Remembers what the map said; `written` is the length of the value.
    pub(super) fn keep(&self, tag: Tag, key: &str, entry: Option<&Entry>, written: usize) {
        let expressions = match entry.map(|entry| &entry.value) {
            Some(Value::Patterns(patterns)) => patterns.expressions(),
            _ => 0,
        };
        let size = ENTRY + key.len() + 4 * written + expressions * EXPRESSION;
        if size > SIZE {
            return;
        }
        let time = if entry.is_some() { FOUND } else { NOT_FOUND };
        let Some(until) = self.clock.now().checked_add(time) else { return };
        let answer = Answer { entry: entry.cloned(), until, size };
        let mut answers = self.lock();
        let before = answers.known.put((tag, key.into()), answer).map_or(0, |answer| answer.size);
        answers.size = answers.size + size - before;
        while answers.size > SIZE || answers.known.len() > ENTRIES {
            let Some((_, oldest)) = answers.known.pop_lru() else { break };
            answers.size -= oldest.size;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        // What is behind it is whole at any time.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::list::access::{Action, Owner};

    const TAG: Tag = Tag::Connect(Owner::Sendmail);

    fn entry() -> Entry {
        Entry { value: Value::Action(Action::Allow), line: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_a_minute_and_none_for_half_of_it() {
        let memory = Memory::default();
        memory.keep(TAG, "connect:192.0.2.9", Some(&entry()), 2);
        memory.keep(TAG, "connect:192.0.2", None, 0);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(memory.recall(TAG, "connect:192.0.2"), Some(Known(None)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(memory.recall(TAG, "connect:192.0.2"), None);
        assert_eq!(memory.recall(TAG, "connect:192.0.2.9"), Some(Known(Some(entry()))));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(memory.recall(TAG, "connect:192.0.2.9"), None);
        assert_eq!(memory.lock().size, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_does_not_outlive_its_minute_over_a_sleep_of_the_machine() {
        thread_local!(static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) });
        let memory = Memory { clock: Clock::with(|| SLEPT.get()), ..Memory::default() };
        memory.keep(TAG, "connect:192.0.2.9", Some(&entry()), 2);
        SLEPT.set(Duration::from_secs(59));
        assert_eq!(memory.recall(TAG, "connect:192.0.2.9"), Some(Known(Some(entry()))));
        SLEPT.set(Duration::from_mins(1));
        assert_eq!(memory.recall(TAG, "connect:192.0.2.9"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_remembered_has_its_bounds() {
        let memory = Memory::default();
        for n in 0..30_000 {
            memory.keep(TAG, &format!("connect:{n}"), None, 0);
        }
        assert_eq!(memory.lock().known.len(), ENTRIES);
        for n in 0..1_000 {
            memory.keep(TAG, &format!("connect:{n}"), Some(&entry()), 8_192);
            memory.keep(TAG, "connect:0", Some(&entry()), 8_192);
        }
        let answers = memory.lock();
        assert!(answers.size <= SIZE);
        assert_eq!(answers.size, answers.known.iter().map(|(_, answer)| answer.size).sum::<usize>());
    }
}
