//! What the service manager is told: readiness, status, reload, stopping (`sd_notify(3)`).
//!
//! Without one (`NOTIFY_SOCKET` is unset) nothing is sent, and a message that cannot be sent is lost:
//! nobody is to wait for it.

use std::time::Duration;

use sd_notify::NotifyState;

use super::store::connect;

/// How often the status line may change.
pub(super) const STATUS_PERIOD: Duration = Duration::from_secs(3);

/// Whether anybody wants to be told.
pub(super) fn listens() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Ready to serve, for the first time or again after [`reloading`].
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A line for `systemctl status`; `false` if the manager has no time for it now.
pub(super) fn status(status: &str) -> bool {
    let Some(socket) = connect() else { return true };
    let _ = socket.set_nonblocking(true);
    socket.send(text(&[NotifyState::Status(status)]).as_bytes()).is_ok()
}

/// The configuration is being read anew; [`ready`] ends it. The time tells the message from an older one.
pub(super) fn reloading() {
    let Ok(now) = NotifyState::monotonic_usec_now() else { return };
    tell(&[NotifyState::Reloading, now]);
}

/// The daemon ends by itself.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// How long the service manager waits for a sign of life (`WatchdogSec=`), if it does.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
}

/// A sign of life.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Sends what the manager has to know. If it does not listen for two seconds the message is lost.
fn tell(states: &[NotifyState<'_>]) {
    if let Some(socket) = connect() {
        let _ = socket.send(text(states).as_bytes());
    }
}

/// One message (`sd_notify(3)`): a line for each state.
fn text(states: &[NotifyState<'_>]) -> String {
    states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
