//! Every parser: none panics, and what is parsed, written and parsed again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_fuzz::wire;

fuzz_target!(|data: &[u8]| wire(data));
