//! One reference that a chunk read.

use mempack_retrieval::Hit;

use crate::{Citation, CiteError, OnDamage, PackReference, cite};

/// A reference that a chunk read.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryRead {
    /// The reference and its similarity to the chunk's query. The pack stays mapped as long as this value exists.
    pub hit: Hit<PackReference>,
    /// The score that the session's reranker gave it; `None` without one.
    pub rerank_score: Option<f32>,
    /// Whether the memory was in the cache when the chunk requested it.
    pub cached: bool,
}

impl MemoryRead {
    /// Text, document and byte range of the reference, from the pack that it was read from.
    ///
    /// # Errors
    /// If the pack's data about the reference is damaged.
    pub fn cite(&self, on_damage: OnDamage<'_>) -> Result<Citation, CiteError> {
        cite(&self.hit, on_damage)
    }
}
