//! The fuzz targets' corpora and the recorded packets, as ordinary tests.

use std::fs;
use std::path::Path;

use support::side;

#[path = "../fuzz/bodies.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the fuzz targets")]
mod bodies;
mod support;

fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        eprintln!("{}", path.display()); // shown if the test fails
        body(&fs::read(&path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs >= 10, "{inputs} inputs for {target}");
}

#[test]
fn the_corpus_of_packets_holds() {
    run("frame", bodies::frame);
}

#[test]
fn the_corpus_of_sessions_holds() {
    run("session", bodies::session);
}

#[test]
fn the_corpus_of_mailboxes_holds() {
    run("mailbox", bodies::mailbox);
}

#[test]
fn the_corpus_of_recipients_holds() {
    run("recipient", bodies::recipient::recipient);
}

#[test]
fn the_corpus_of_configurations_holds() {
    run("config", bodies::config::config);
}

#[test]
fn a_key_in_any_place_of_a_configuration_is_in_no_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
    let mut tried = 0;
    for entry in fs::read_dir(&folder).expect("a corpus") {
        let Ok(text) = fs::read_to_string(entry.expect("an entry").path()) else { continue };
        for place in bodies::config::places(&text) {
            let altered = bodies::config::altered(&text, place, bodies::config::KEY, false);
            bodies::config::config(altered.as_bytes());
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn the_corpus_of_handovers_holds() {
    run("handover", bodies::handover::handover);
}

#[test]
fn the_corpus_of_answers_holds() {
    run("answer", bodies::answer::answer);
}

#[test]
fn the_corpus_of_lists_holds() {
    run("table", bodies::table::table);
}

#[test]
fn the_corpus_of_access_maps_holds() {
    run("map", bodies::map::map);
}
