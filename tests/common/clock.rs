//! A stopped clock that is moved by hand, beside real sockets.
//!
//! tokio's paused clock jumps to the next timer whenever nothing is ready to run. A datagram on its way
//! through the kernel counts as nothing, and every question would time out before its answer is read. This
//! one moves only when it is told to, in small steps, and lets sockets settle after each.

use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// How far the clock goes at once: times are exact to this.
const STEP: Duration = Duration::from_millis(5);

/// How often tasks get a turn, and sockets a look, after each step.
const TURNS: usize = 24;

/// The clock of this test's current-thread runtime, stopped as long as this lives.
pub struct Clock {
    /// A blocking task that waits for this to go: while one runs, tokio moves no clock by itself.
    _hold: mpsc::Sender<()>,
}

impl Clock {
    /// Stops the clock.
    pub fn stop() -> Self {
        tokio::time::pause();
        let (hold, end) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || end.recv());
        Self { _hold: hold }
    }

    /// Lets time go by.
    pub async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        self.settle().await;
        while Instant::now() < end {
            tokio::time::advance(STEP.min(end - Instant::now())).await;
            self.settle().await;
        }
    }

    /// Moves the clock at once, where nothing is under way in between.
    pub async fn jump(&self, time: Duration) {
        tokio::time::advance(time).await;
        self.settle().await;
    }

    /// Lets time go by until `future` is ready, and tells how long that took.
    ///
    /// # Panics
    /// When that takes longer than an hour.
    pub async fn run<F: Future>(&self, future: F) -> (F::Output, Duration) {
        let mut future = pin!(future);
        let start = Instant::now();
        while start.elapsed() < Duration::from_hours(1) {
            for _ in 0..TURNS {
                let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
                if let Poll::Ready(output) = poll {
                    return (output, start.elapsed());
                }
                self.turn().await;
            }
            tokio::time::advance(STEP).await;
        }
        panic!("not ready after an hour");
    }

    /// Lets everything happen that needs no time.
    pub async fn settle(&self) {
        for _ in 0..TURNS {
            self.turn().await;
        }
    }

    async fn turn(&self) {
        // The kernel may want a turn, too, to carry a packet over.
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}
