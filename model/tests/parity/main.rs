//! The engine against golden values of the definition (tests/fixtures/README.md says how they were made).
//!
//! `cargo test -p mempack-model --test parity -- --nocapture` prints the distances; with `MEMPACK_FIXTURES` the cases of
//! another folder of the same form are compared instead.

mod fixture;
mod memories;
mod random;
mod smollm2;
