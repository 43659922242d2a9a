//! How many sessions each SMTP client has open.
//!
//! Off by default, and costs nothing then.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::smtp::{Client, household};

/// The sessions of each client, up to a limit.
#[derive(Debug)]
pub(super) struct Crowd {
    /// 0 for no limit.
    limit: usize,
    /// Holds no more entries than there are sessions.
    sessions: Mutex<HashMap<IpAddr, usize>>,
}

impl Crowd {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, sessions: Mutex::default() }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit > 0
    }

    /// What a client is counted as. Nothing for one without an address, and for this host, which may well be the MTA's own
    /// content filter.
    pub(super) fn group(client: &Client) -> Option<IpAddr> {
        client.ip().filter(|ip| !ip.is_loopback()).map(household)
    }

    /// Counts one more session, if there may be one more.
    pub(super) fn enter(&self, group: IpAddr) -> bool {
        let mut sessions = self.sessions();
        let count = sessions.entry(group).or_default();
        let may = *count < self.limit;
        *count += usize::from(may);
        may
    }

    /// Counts one session less.
    pub(super) fn leave(&self, group: IpAddr) {
        let mut sessions = self.sessions();
        if let Some(count) = sessions.get_mut(&group) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                sessions.remove(&group);
            }
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_gives_it_back() {
        let crowd = Crowd::new(2);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!(crowd.enter(one) && crowd.enter(one) && !crowd.enter(one) && crowd.enter(other));
        crowd.leave(one);
        assert!(crowd.enter(one) && !crowd.enter(one));
        crowd.leave(one);
        crowd.leave(one);
        crowd.leave(other);
        assert!(crowd.sessions().is_empty(), "nothing is remembered of clients that have gone");
    }
}
