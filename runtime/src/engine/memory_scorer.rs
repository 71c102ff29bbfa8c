//! Scores of references by the attention that a question gives to their memories.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mempack_model::{Model, Slot};
use mempack_retrieval::Hit;

use super::error::RetrieveError;
use crate::{MemoryCache, OnDamage, PackReference};

/// Scores references by [`Model::memory_scores`] of their memories in the packs. Clones share weights and cache.
pub struct MemoryScorer {
    model: Model,
    cache: Arc<MemoryCache>,
    instance: u64,
}

/// The number of the next scorer that is no clone.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl MemoryScorer {
    /// A scorer with a model, which must be that of the packs, and a cache of memories. It is best the session's own, because the memories
    /// that are read are among those that are scored.
    pub fn new(model: &Model, cache: Arc<MemoryCache>) -> Self {
        Self { model: model.share(), cache, instance: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// A number that clones share, and no other scorer.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The scores of hits; none for a damaged memory that is skipped.
    pub(crate) fn scores(
        &self,
        query: &str,
        hits: &[Hit<PackReference>],
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Option<f32>>, RetrieveError> {
        let fetch = |hit: &Hit<PackReference>| {
            let PackReference { pack, number } = &hit.reference;
            Ok(self.cache.fetch_or_skip(pack.pack(), *number, on_damage)?.map(|(memory, _)| memory))
        };
        let memories = hits.iter().map(fetch).collect::<Result<Vec<_>, RetrieveError>>()?;
        let known = hits.iter().zip(&memories).filter_map(|(hit, memory)| memory.as_ref().map(|memory| (hit, memory)));
        let slots: Vec<Slot<'_>> = known.map(|(hit, memory)| Slot { memory, similarity: hit.similarity }).collect();
        let mut scores = self.model.memory_scores(query, &slots).map_err(RetrieveError::Rerank)?.into_iter();
        Ok(memories.iter().map(|memory| memory.as_ref().and_then(|_| scores.next())).collect())
    }
}

impl Clone for MemoryScorer {
    fn clone(&self) -> Self {
        Self { model: self.model.share(), cache: Arc::clone(&self.cache), instance: self.instance }
    }
}

impl fmt::Debug for MemoryScorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryScorer").field("model", &self.model.identity().name).finish_non_exhaustive()
    }
}
