//! Recorded conversations of Postfix, Sendmail and test clients.

use std::fs;
use std::path::Path;

/// One recorded connection: what the MTA sent, and how many final replies it got to each packet.
pub struct Recording {
    pub capture: String,
    pub packets: Vec<(Vec<u8>, usize)>,
    /// Protocol bits of the recorded filter's answer to the negotiation.
    pub protocol: u32,
}

/// All recorded connections.
pub fn recordings() -> Vec<Recording> {
    let mut all = Vec::new();
    for folder in ["postfix-3.7.11", "sendmail-8.17.1.9", "clients"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures").join(folder);
        let mut files: Vec<_> =
            fs::read_dir(path).expect("captures").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file).expect("a capture");
            let name = format!("{folder}/{}", file.file_stem().expect("a name").to_string_lossy());
            read(&name, &text, &mut all);
        }
    }
    all
}

/// Reads a capture; every OPTNEG of the MTA begins a connection.
fn read(name: &str, text: &str, all: &mut Vec<Recording>) {
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut words = line.split(' ');
        let (direction, hex) = (words.nth(1).expect("a direction"), words.next().expect("hex"));
        let packet = unhex(hex);
        match (direction, packet[4]) {
            ("M>", b'O') => {
                all.push(Recording { capture: name.to_owned(), packets: vec![(packet, 0)], protocol: 0 });
            }
            ("M>", _) => all.last_mut().expect("OPTNEG first").packets.push((packet, 0)),
            ("F>", code) => {
                let recording = all.last_mut().expect("OPTNEG first");
                if code == b'O' && packet.len() >= 17 {
                    recording.protocol = u32::from_be_bytes(packet[13..17].try_into().expect("four"));
                }
                if b"Ocartdys4f".contains(&code) {
                    recording.packets.last_mut().expect("a packet").1 += 1;
                }
            }
            _ => panic!("{line}"),
        }
    }
}

/// A packet; one that was cut when it was written down (`...(65540 bytes)`) is filled up.
pub fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.split("...").next().expect("digits");
    let mut packet: Vec<u8> = (0..digits.len() / 2)
        .map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).expect("hex"))
        .collect();
    let whole =
        4 + usize::try_from(u32::from_be_bytes(packet[..4].try_into().expect("four"))).expect("a size");
    if packet.len() < whole {
        packet.resize(whole - 1, b'x');
        packet.push(if packet[4] == b'B' { b'x' } else { 0 });
    }
    assert_eq!(packet.len(), whole, "{hex}");
    packet
}
