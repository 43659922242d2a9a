//! `gatepost completions`: for a shell, on standard output.

use clap_complete::{Shell, generate};

use crate::daemon::Exit;

pub(super) fn run(shell: Shell) -> Exit {
    generate(shell, &mut super::command(), "gatepost", &mut std::io::stdout());
    Exit::Ok
}
