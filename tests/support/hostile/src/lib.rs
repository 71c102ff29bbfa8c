//! Malicious packs, for the format's tests, the hostile tests, the byte flips and the fuzzers.
//!
//! - [`Plan`] writes whole packs whose contents follow from formulas.
//! - [`Parts`] takes a pack apart by SPEC.md alone, lets tests change every section, and assembles it again with correct digests, so that
//!   the checks behind the digests have to refuse a wrong byte.
//! - [`script`] reads any bytes as a list of changes: the inputs of the fuzzers.
//! - [`Random`] is a mutator with a fixed seed, for the bounded run without a fuzzer.
//!
//! For tests only: functions panic where the caller breaks a precondition. `mempack-drive` runs such packs.
#![forbid(unsafe_code)]

mod parts;
mod plan;
mod random;
pub mod script;
pub mod seeds;

pub use parts::{Part, Parts, frame, frame_without_size, padded, put, seal, seal_root, u32_at, u64_at};
pub use plan::Plan;
pub use random::Random;
