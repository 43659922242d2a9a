#![no_main]
#![allow(dead_code, reason = "each target takes what it needs")]

#[path = "../bodies.rs"]
mod bodies;
#[path = "../../tests/support/side.rs"]
mod side;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::config::config(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let slip = std::str::from_utf8(&data[..size]).ok().and_then(|text| bodies::config::slip(text, seed));
    if let Some(text) = slip.filter(|text| text.len() <= max_size) {
        data[..text.len()].copy_from_slice(text.as_bytes());
        return text.len();
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
});
