//! Packs that mean harm: what the format's tests, the hostile tests, the byte flips and the fuzzers share.
//!
//! - [`Plan`] writes whole packs whose contents follow from formulas.
//! - [`Parts`] takes a pack apart by SPEC.md alone, lets every section be changed, and puts it together again with every digest made
//!   right, so that the check under a digest is what refuses a wrong byte.
//! - [`script`] reads any bytes as a list of such changes: this is what the fuzzers' inputs are.
//! - [`Random`] is a mutator with a fixed seed, for the bounded run that needs no fuzzer.
//!
//! For tests only: a function here panics where the caller breaks a promise. What is done with such packs is `mempack-drive`.
#![forbid(unsafe_code)]

mod parts;
mod plan;
mod random;
pub mod script;
pub mod seeds;

pub use parts::{Part, Parts, frame, frame_without_size, padded, put, seal, seal_root, u32_at, u64_at};
pub use plan::Plan;
pub use random::Random;
