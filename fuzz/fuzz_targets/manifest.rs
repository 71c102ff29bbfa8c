#![no_main]

use libfuzzer_sys::fuzz_target;
use mempack_hostile::drive;

fuzz_target!(|input: &[u8]| drive::manifest(input));
