//! The bytes of a memory pack.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod codec;
mod digest;
mod identity;
mod memory;

pub use codec::{
    Codec, CodecError, CodecSpec, Kind, MAX_CODE_BITS, MAX_CODE_PARTS, MAX_HEAD_DIM, MAX_MEMORY_FLOATS, MAX_PARAMETER_BYTES,
    MAX_TABLE_VALUE, SpecError,
};
pub use digest::Digest;
pub use identity::{Difference, EmbedderIdentity, ModelIdentity};
pub use memory::{EMPTY_SLOT, Memory, MemoryShape};
