//! Exported sessions and those that can be resumed: changed, made up, old, and genuine ones brought back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_fuzz::import;

fuzz_target!(|data: &[u8]| import(data));
