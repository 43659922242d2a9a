//! What a packet announces costs no memory, and what ends leaves no task: as the kernel and the program itself count.

use std::fs;
use std::time::{Duration, Instant};

use super::common::wire::{Wire, greeting, packet};
use super::control;
use super::process::{Daemon, new_key};
use super::{Machine, Names, Phone, run};

/// What a process has, in KiB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// The most addresses it ever had, whether or not memory stands behind them.
    peak: u64,
    addresses: u64,
    resident: u64,
}

fn memory(daemon: &Daemon) -> Memory {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("a process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    Memory { peak: field("VmPeak:"), addresses: field("VmSize:"), resident: field("VmRSS:") }
}

/// Lengths that no packet has; the last may be a header's, and is none.
const ABSURD: [&[u8]; 6] = [
    b"\0\0\0\0M",
    b"\x80\0\0\x01M",
    b"\xff\xff\xff\xffM",
    b"\x7f\xff\xff\xffL",
    b"\0\x10\0\x01L",
    b"\0\x01\0\x01M",
];

/// Sends so many absurd packets, each over a connection of its own, until it is closed.
async fn send_absurd(port: u16, count: usize) {
    for n in 0..count {
        let mut wire = Wire::dial(port).await;
        if n % 2 == 0 {
            assert_eq!(wire.exchange(&greeting("192.0.2.1"), 3).await, "Occ");
        }
        let octets = [ABSURD[n / 2 % ABSURD.len()], &[b'x'; 1_000]].concat();
        wire.send(&octets).await.expect("to send");
        assert!(wire.is_closed().await, "{n}");
    }
}

// case: 18
#[test]
fn a_thousand_absurd_lengths_cost_no_memory() {
    let (names, key) = (Names::start(), new_key());
    let daemon = Machine::with(&names, &key, &[]).start();
    run(async {
        // What threads and the allocator take once and keep.
        send_absurd(daemon.port, 120).await;
        let before = memory(&daemon);
        send_absurd(daemon.port, 1_200).await;
        let after = memory(&daemon);
        // The smallest of these lengths is 1 MiB, the usual one 2 GiB.
        assert!(after.peak - before.peak < 1 << 10, "{before:?} {after:?}");
        assert!(after.resident < before.resident + (1 << 10), "{before:?} {after:?}");
    });
    let (status, _) = daemon.stop();
    assert_eq!(status, Some(0));
}

// case: 18
#[test]
fn a_packet_that_does_not_come_costs_what_has_come() {
    let (names, key) = (Names::start(), new_key());
    let daemon = Machine::with(&names, &key, &[]).start();
    run(async {
        send_absurd(daemon.port, 12).await;
        // MAIL is answered when the beginning of the next packet, in the same write, has been read.
        let begun = [packet(b'M', b"<>\0"), b"\0\x10\0\0LSubject".to_vec()].concat();
        let mut wires = Vec::new();
        let mut before = memory(&daemon);
        for n in 0..220 {
            let mut wire = Wire::dial(daemon.port).await;
            assert_eq!(wire.exchange(&greeting("192.0.2.1"), 3).await, "Occ");
            assert_eq!(wire.exchange(&begun, 1).await, "c");
            wires.push(wire);
            if n == 20 {
                before = memory(&daemon);
            }
        }
        let after = memory(&daemon);
        // 200 packets of 1 MiB are announced: 204,800 KiB.
        assert!(after.addresses < before.addresses + (8 << 10), "{before:?} {after:?}");
        assert!(after.resident < before.resident + (4 << 10), "{before:?} {after:?}");
    });
}

#[test]
fn each_session_is_a_task_and_leaves_none() {
    let (names, key) = (Names::start(), new_key());
    let machine = control::machine(&names, &key, &["PROBE_INTERVAL=0"]);
    let daemon = machine.start();
    let tasks = || control::status(&machine)["tasks"].as_u64().expect("a number");
    let before = tasks();
    run(async {
        let mut phones = Vec::new();
        for _ in 0..20 {
            let mut phone = Phone::dial(daemon.port).await;
            // No list can know it, so that nothing is asked.
            assert_eq!(phone.connect("192.0.2.1").await, "continue");
            phones.push(phone);
        }
        assert_eq!(tasks(), before + 20);
        for phone in phones {
            assert!(phone.quit().await);
        }
    });
    let end = Instant::now() + Duration::from_mins(1);
    while tasks() > before {
        assert!(Instant::now() < end, "{} tasks, {before} before", tasks());
    }
}
