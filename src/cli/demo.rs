//! `gatepost demo`.

use crate::daemon::Exit;

pub(super) fn run() -> Exit {
    Exit::Ok
}
