//! The bytes of a memory pack.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod codec;
mod constants;
mod digest;
mod error;
mod graph;
mod header;
mod identity;
mod manifest;
mod memory;
mod pack;
mod records;
mod tag;
mod text;
mod verify;
mod writer;

pub use codec::{
    Codec, CodecError, CodecSpec, Kind, MAX_CODE_BITS, MAX_CODE_PARTS, MAX_HEAD_DIM, MAX_MEMORY_FLOATS, MAX_PARAMETER_BYTES,
    MAX_TABLE_VALUE, SpecError,
};
pub use constants::*;
pub use digest::Digest;
pub use error::{Damage, Defect, ManifestError, OpenError, ReadError, VerifyError};
pub use graph::Graph;
pub use identity::{Difference, EmbedderIdentity, ModelIdentity};
pub use manifest::{Counts, GraphParameters, Manifest};
pub use memory::{EMPTY_SLOT, Memory, MemoryShape};
pub use pack::{Pack, PackId};
pub use records::{Document, Origin, ReferenceInfo};
pub use tag::{Section, Tag};
pub use verify::{VERIFY_MEMORY_BYTES, VerifyProgress, VerifyReport};
pub use writer::{GraphSource, PackSummary, PackWriter, WRITER_MEMORY_BYTES, WriteError};
