#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(
    init: mempack_documents::abort_on_own_panics(),
    |input: &[u8]| -> Corpus { if mempack_documents::rtf(input) { Corpus::Keep } else { Corpus::Reject } }
);
