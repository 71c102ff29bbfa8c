//! The bytes of a memory pack.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod digest;
mod identity;
mod memory;

pub use digest::Digest;
pub use identity::{Difference, EmbedderIdentity, ModelIdentity};
pub use memory::{EMPTY_SLOT, Memory, MemoryShape};
