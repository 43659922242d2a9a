//! The line about the last minutes, from time to time.
//!
//! It counts nothing itself. Between two lines it sleeps: an idle daemon is woken once per interval, reads
//! some dozens of counters, and writes nothing.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Daemon;
use crate::telemetry::{self, Figures};

/// What was told up to when.
pub(super) struct Summary<F> {
    figures: F,
    told: Figures,
    since: Instant,
}

impl<F: Fn() -> Figures> Summary<F> {
    /// Begins now.
    pub(super) fn new(figures: F) -> Self {
        Self { told: figures(), figures, since: Instant::now() }
    }

    /// Waits until the next line is due, which is never if the interval is nothing.
    pub(super) async fn due(&self, interval: &mut watch::Receiver<Option<Duration>>) {
        loop {
            let period = *interval.borrow_and_update();
            tokio::select! {
                () = elapsed(self.since, period) => return,
                changed = interval.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
            }
        }
    }

    /// Tells what happened since it was told last.
    pub(super) fn tell(&mut self) {
        let (now, figures) = (Instant::now(), (self.figures)());
        (figures - self.told).log(now - self.since);
        (self.told, self.since) = (figures, now);
    }
}

async fn elapsed(since: Instant, period: Option<Duration>) {
    match period {
        Some(period) => sleep_until(since + period).await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// What happened since the start.
    pub(super) fn figures(&self) -> Figures {
        let counters = self.dns.counted();
        let figures = Figures {
            sessions: self.server.tally().served,
            lookups: counters.asked,
            cached: counters.hits,
            failures: counters.failures + counters.service_errors + counters.busy + counters.resting,
            lost: telemetry::lost_lines(),
            ..Figures::default()
        };
        figures.with(&self.metrics)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    const MINUTES: Duration = Duration::from_mins(10);

    /// Keeps the messages of all lines.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Told {
        fn all(&self) -> Vec<String> {
            self.0.lock().expect("no panic under the lock").clone()
        }
    }

    impl<S: Subscriber> Layer<S> for Told {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Message(String);
            impl Visit for Message {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    if field.name() == "message" {
                        self.0 = format!("{value:?}");
                    }
                }
            }
            let mut message = Message(String::new());
            event.record(&mut message);
            self.0.lock().expect("no panic under the lock").push(message.0);
        }
    }

    /// Lets time pass, with lines when they are due.
    async fn pass<F: Fn() -> Figures>(
        summary: &mut Summary<F>,
        interval: &mut watch::Receiver<Option<Duration>>,
        time: Duration,
    ) {
        let end = Instant::now() + time;
        while tokio::time::timeout_at(end, summary.due(interval)).await.is_ok() {
            summary.tell();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_comes_after_each_interval_in_which_something_happened() {
        let told = Told::default();
        let subscriber = tracing_subscriber::registry().with(told.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let figures = Mutex::new(Figures { sessions: 5, ..Figures::default() });
        let add = |sessions| figures.lock().expect("no panic under the lock").sessions += sessions;
        let mut summary = Summary::new(|| *figures.lock().expect("no panic under the lock"));
        let (interval, mut followed) = watch::channel(Some(MINUTES));
        let mut pass = async |time| pass(&mut summary, &mut followed, time).await;

        pass(MINUTES + MINUTES / 2).await;
        assert_eq!(told.all(), [""; 0], "nothing happened");
        add(3);
        pass(MINUTES).await;
        assert!(told.all()[0].starts_with("3 sessions and 0 messages in 600 s: "), "{:?}", told.all());
        add(1);
        interval.send(None).expect("it follows");
        pass(MINUTES * 100).await;
        assert_eq!(told.all().len(), 1, "switched off");
        interval.send(Some(MINUTES)).expect("it follows");
        pass(Duration::ZERO).await;
        assert!(told.all()[1].starts_with("1 sessions and 0 messages in 60300 s"), "{:?}", told.all());
        add(2);
        pass(MINUTES / 10).await;
        summary.tell();
        assert!(told.all()[2].starts_with("2 sessions and 0 messages in 60 s"), "{:?}", told.all());
        assert_eq!(told.all().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_daemon_is_woken_once_in_an_interval() {
        let looks = std::cell::Cell::new(0);
        let mut summary = Summary::new(|| {
            looks.set(looks.get() + 1);
            Figures::default()
        });
        let (_interval, mut followed) = watch::channel(Some(MINUTES));
        pass(&mut summary, &mut followed, MINUTES * 6 + MINUTES / 2).await;
        assert_eq!(looks.get(), 1 + 6);
    }
}
