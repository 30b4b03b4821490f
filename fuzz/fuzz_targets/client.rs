//! A client's endpoint among mutated, repeated, forged and genuine datagrams, in every state.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_fuzz::{Side, play};

fuzz_target!(|data: &[u8]| {
    play(Side::Client, data);
});
