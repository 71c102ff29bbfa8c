//! Which memories a chunk of text reads (arXiv 2407.01178, section 3.2).
//!
//! [`Chunks`] and [`Transcript`] say which tokens query for which chunk. This crate knows neither packs nor models: both implement its
//! traits.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod chunks;
mod transcript;

pub use chunks::Chunks;
pub use transcript::Transcript;
