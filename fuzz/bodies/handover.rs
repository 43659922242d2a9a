//! What a process left behind for the next one: states of sessions, and answers.

use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use gatepost::config::Config;
use gatepost::dns::{Answers, Dns, Settings, Source};
use gatepost::gate::{Gate, Tables};
use gatepost::limits::Limits;
use gatepost::server::{Rested, Server, Taken, enclose, open, pack, unpack};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Half of all names are listed.
struct Half;

impl Answers for Half {
    fn answer(&self, name: &str) -> Vec<Ipv4Addr> {
        let group = ["zen", "dbl", "zrd"].iter().position(|list| name.ends_with(list)).unwrap_or_default();
        let listed = name.bytes().fold(0, u8::wrapping_add) & 1 == 1;
        listed
            .then(|| Ipv4Addr::new(127, 0, u8::try_from(group).unwrap_or_default(), 2))
            .into_iter()
            .collect()
    }
}

/// Whatever was left behind, nothing of it harms who takes it over: each session goes on or is counted, and comes
/// to its end when its MTA has hung up; answers are remembered as a list could have given them.
pub fn handover(data: &[u8]) {
    if let Ok(states) = unpack(data) {
        assert_eq!(pack(states), data);
    }
    // With a right length and checksum, so that what is behind them is read.
    let packed = enclose(1, data);
    assert_eq!(open(1, &packed), Ok(data));
    if let Ok(states) = unpack(&packed) {
        assert_eq!(pack(states.iter().copied()), packed);
        states.into_iter().take(4).for_each(|(_, state)| session(state, b""));
    }
    // A state, and in the next line what its MTA says.
    let end = data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len());
    session(&data[..end], data.get(end + 1..).unwrap_or_default());
    answers(data);
}

fn session(state: &[u8], said: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = Config::default();
        let dns = Dns::new((&config).into(), None, Source::Table(Arc::new(Half)));
        let server = Server::new(Gate::compile(&config, &Tables::default(), dns), Limits::default());
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let Taken { taken, dropped } =
            server.take_over([Rested { stream: ours.into(), state: state.to_vec(), in_message: false }]);
        assert_eq!(taken + dropped, 1);
        theirs.set_nonblocking(true).expect("a socket");
        let mut theirs = tokio::net::UnixStream::from_std(theirs).expect("a socket");
        // It may have hung up.
        let _ = theirs.write_all(said).await;
        let _ = theirs.shutdown().await;
        // To its end, or to a reset.
        let heard = tokio::time::timeout(Duration::from_secs(5), theirs.read_to_end(&mut Vec::new())).await;
        assert!(heard.is_ok(), "the session does not end");
        assert_eq!(server.tally().panics, 0);
    });
}

fn answers(data: &[u8]) {
    let now = Duration::from_hours(1);
    let dns = || Dns::new(Settings::default(), None, Source::Table(Arc::new(Half)));
    let one = dns();
    let Ok(count) = one.recall(data, now) else { return };
    assert_eq!(one.cached(), count);
    let (live, told) = one.tell(usize::MAX, now);
    assert!(live <= count, "{live} of {count}");
    let other = dns();
    // Each has some milliseconds less, and may come to its end on the way.
    let again = other.recall(&told, now).expect("what was told can be heard");
    assert!(again <= count, "{again} of {count}");
}
