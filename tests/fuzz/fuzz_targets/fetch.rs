#![no_main]

use libfuzzer_sys::fuzz_target;
use mempack_hostile::script;

fuzz_target!(|input: &[u8]| mempack_drive::fetch(&script::file(input)));
