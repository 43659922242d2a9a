//! The gatepost daemon.

use gatepost::daemon::Exit;

fn main() -> Exit {
    gatepost::cli::main()
}
