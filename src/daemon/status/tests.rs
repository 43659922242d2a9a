use super::*;
use crate::dns::{Counters, TestEntry};
use crate::verdict::Trouble;

#[test]
fn a_list_that_says_that_it_does_not_answer_us_is_an_error_and_does_not_rest() {
    let until = tokio::time::Instant::now();
    for trouble in Trouble::ALL {
        let state = ZoneState::Open { trouble, until };
        let (test_entry, counters) = (TestEntry::Unknown, Counters::default());
        let health = ZoneHealth { list: List::ZEN, state, since: None, test_entry, counters };
        let is_said = matches!(trouble, Trouble::Service(_) | Trouble::Declined | Trouble::Bogus);
        assert_eq!(zone(&health).state, if is_said { "error" } else { "resting" }, "{trouble:?}");
    }
}
