//! When a question is asked again because its datagram may be lost, and how often at most.
//!
//! Knows no socket. What it allows is an act beside the planned tries: those and the deadline stay as they are.

use std::time::Duration;

/// The least time before a question is asked again. Below it are pauses of a busy host, ours or the name
/// server's, and most of what a resolver needs to fetch what it does not know: that is slow, and not lost.
const LEAST: Duration = Duration::from_millis(100);

/// How long answers of one name server take, smoothed as RFC 6298 does it for TCP.
///
/// Each datagram has an identifier of its own, so it is always known which one was answered (Karn's problem
/// does not arise).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace(Option<Smoothed>);

#[derive(Debug, Clone, Copy)]
struct Smoothed {
    time: Duration,
    deviation: Duration,
}

impl Pace {
    /// An answer took this long (RFC 6298, section 2).
    pub(super) fn learn(&mut self, took: Duration) {
        let next = match self.0 {
            None => Smoothed { time: took, deviation: took / 2 },
            Some(Smoothed { time, deviation }) => {
                Smoothed { time: (time * 7 + took) / 8, deviation: (deviation * 3 + time.abs_diff(took)) / 4 }
            }
        };
        self.0 = Some(next);
    }

    /// How long to wait before the question is asked again: three times what answers take, or more where
    /// that varies. None for a server that has never answered: nothing is known then.
    pub(super) fn patience(&self) -> Option<Duration> {
        let Smoothed { time, deviation } = self.0?;
        Some((time * 3).max(time + deviation * 4).max(LEAST))
    }
}

/// What may be asked again: one in ten questions, ten at once.
///
/// Losses of a few per cent are within it; a name server that is dead or overloaded gets a tenth more and not
/// three times as much.
#[derive(Debug)]
pub(super) struct Allowance {
    /// In tenths of a datagram.
    tenths: u32,
}

impl Allowance {
    const DATAGRAM: u32 = 10;
    const MOST: u32 = 10 * Self::DATAGRAM;

    /// A question is asked for the first time.
    pub(super) fn earn(&mut self) {
        self.tenths = Self::MOST.min(self.tenths + 1);
    }

    /// Whether one may be asked again.
    pub(super) fn spend(&mut self) -> bool {
        let left = self.tenths.checked_sub(Self::DATAGRAM);
        self.tenths = left.unwrap_or(self.tenths);
        left.is_some()
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self { tenths: Self::MOST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn patience_is_three_times_what_answers_take() {
        let mut pace = Pace::default();
        assert_eq!(pace.patience(), None);
        for _ in 0..50 {
            pace.learn(ms(50));
            assert_eq!(pace.patience(), Some(ms(150)), "from the first one on");
        }
        assert_eq!(pace.patience(), Some(ms(150)));
        for _ in 0..50 {
            pace.learn(ms(200));
        }
        let patience = pace.patience().expect("known");
        assert!((ms(595)..=ms(605)).contains(&patience), "{patience:?}");
    }

    #[test]
    fn a_server_next_door_still_gets_a_while() {
        let mut pace = Pace::default();
        pace.learn(Duration::from_micros(100));
        assert_eq!(pace.patience(), Some(LEAST));
    }

    #[test]
    fn where_answers_vary_patience_is_longer() {
        // A resolver that knows every other answer, and fetches the rest from far away.
        let mut pace = Pace::default();
        for n in 0..100 {
            pace.learn(if n % 2 == 0 { ms(100) } else { ms(1) });
        }
        let patience = pace.patience().expect("known");
        assert!((ms(200)..=ms(300)).contains(&patience), "{patience:?}");
    }

    #[test]
    fn one_question_in_ten_is_asked_again_after_the_first_ten() {
        let mut allowance = Allowance::default();
        let mut again = 0;
        for _ in 0..1_000 {
            allowance.earn();
            for _ in 0..2 {
                again += u32::from(allowance.spend());
            }
        }
        assert!((100..=110).contains(&again), "{again}");
    }
}
