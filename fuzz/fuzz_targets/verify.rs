#![no_main]

use libfuzzer_sys::fuzz_target;
use mempack_hostile::{drive, script};

fuzz_target!(|input: &[u8]| drive::verify(&script::file(input)));
