//! What a chunk reads: retrieval, then the memories of what was retrieved.

use std::sync::Arc;

use mempack_format::Memory;
use mempack_model::{Model, Slot};
use mempack_retrieval::{Hit, Margin, Query, Recalled};

use super::error::{AskError, RetrieveError};
use super::recall::{NotRepeating, Readable, Retriever};
use super::source::{Loaded, MemorySource};
use crate::{Citation, CiteError, Method, OnDamage, PackReference, PackSet, Skipped, cite};

/// Damaged references that a chunk passes over, at most, to read others in their place.
const MAX_REPLACED: usize = 64;

/// A reference that a chunk read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The reference, whose pack stays mapped for as long as this is kept, and its similarity to the chunk's query.
    pub hit: Hit<PackReference>,
    /// Whether its memory was in the cache when the chunk asked for it.
    pub cached: bool,
}

impl Read {
    /// Text, document and span of the reference, from the very pack that it was read from.
    ///
    /// # Errors
    /// If what the pack says of the reference is damaged.
    pub fn cite(&self, on_damage: OnDamage<'_>) -> Result<Citation, CiteError> {
        cite(&self.hit, on_damage)
    }
}

/// The memories of one chunk.
#[derive(Clone, Debug, Default)]
pub struct ChunkMemories {
    /// The text that retrieved them; empty where the caller named the references.
    pub query: String,
    /// The references, most similar first.
    pub reads: Vec<Read>,
    /// Their memories.
    memories: Vec<Arc<Memory>>,
}

impl ChunkMemories {
    /// The memories as attention takes them.
    pub fn slots(&self) -> Vec<Slot<'_>> {
        let slot = |(memory, read): (_, &Read)| Slot { memory, similarity: read.hit.similarity };
        self.memories.iter().map(AsRef::as_ref).zip(&self.reads).map(slot).collect()
    }
}

/// Finds and loads what chunks read.
pub(crate) struct ChunkReader {
    pub(crate) retriever: Retriever,
    pub(crate) source: MemorySource,
    /// Memories of a chunk, at most.
    pub(crate) k: usize,
    pub(crate) margin: Margin,
    /// The model and the overlap above which references that repeat the question are not read; `None` reads them.
    pub(crate) max_overlap: Option<(Model, f64)>,
}

/// What one question sees from beginning to end, whatever is mounted meanwhile.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) packs: Arc<PackSet>,
    /// Where damage is counted; `None` if it is an error.
    pub(crate) skipped: Option<Arc<Skipped>>,
    /// Tokens of the question, which references must not repeat; empty where that does not matter.
    pub(crate) question: Arc<[u32]>,
    /// References that every chunk reads, in place of what it would retrieve.
    pub(crate) named: Option<Arc<[Hit<PackReference>]>>,
}

impl Scope {
    pub(crate) fn on_damage(&self) -> OnDamage<'_> {
        self.skipped.as_ref().map_or(OnDamage::Fail, |skipped| OnDamage::Skip(skipped))
    }
}

impl ChunkReader {
    pub(crate) fn share(&self) -> Self {
        Self {
            retriever: self.retriever.share(),
            source: self.source.share(),
            k: self.k,
            margin: self.margin,
            max_overlap: self.max_overlap.as_ref().map(|(model, max)| (model.share(), *max)),
        }
    }

    /// The memories that `query` retrieves: a function of the packs, the question and the query alone.
    ///
    /// Where damage is left out, the next similar references take the place of those that are damaged.
    pub(crate) fn read(&self, scope: &Scope, query: String) -> Result<ChunkMemories, AskError> {
        if let Some(named) = &scope.named {
            let Loaded { reads, memories, .. } = self.source.load(named.to_vec(), scope.on_damage())?;
            return Ok(ChunkMemories { query: String::new(), reads, memories });
        }
        let vector = self.retriever.embed(&query)?;
        let mut unreadable: Vec<PackReference> = Vec::new();
        loop {
            let hits = self.recall(scope, &query, &vector, &unreadable)?.hits;
            let Loaded { reads, memories, damaged } = self.source.load(hits, scope.on_damage())?;
            if damaged.is_empty() || unreadable.len() >= MAX_REPLACED {
                return Ok(ChunkMemories { query, reads, memories });
            }
            unreadable.extend(damaged);
        }
    }

    /// The references that `query` retrieves, without their memories.
    pub(crate) fn hits(&self, scope: &Scope, query: &str) -> Result<Vec<Hit<PackReference>>, RetrieveError> {
        match &scope.named {
            Some(named) => Ok(named.to_vec()),
            None => Ok(self.recall(scope, query, &self.retriever.embed(query)?, &[])?.hits),
        }
    }

    /// Has memories decoded that a chunk will probably read whose query begins as `query` does: those that `query` retrieves, and as
    /// many again.
    pub(crate) fn warm(&self, scope: &Scope, query: &str) -> Result<(), AskError> {
        let hits = scope.packs.nearest(&self.retriever.embed(query)?, 2 * self.k, Method::default(), scope.on_damage());
        self.source.warm(&scope.packs, &hits.map_err(RetrieveError::from)?)
    }

    /// The stages, put together. They take a vector, for it is the same each time that damage is passed over.
    fn recall(
        &self,
        scope: &Scope,
        query: &str,
        vector: &[f32],
        unreadable: &[PackReference],
    ) -> Result<Recalled<PackReference>, RetrieveError> {
        let repeating = self.max_overlap.as_ref().map(|(model, max)| NotRepeating::new(model, *max));
        let stages = self.retriever.stages(&scope.packs, Method::default(), scope.on_damage());
        let stages = stages.filtered((repeating, Readable { unreadable })).within(self.margin);
        stages.recall_vector(&Query { text: query, context: &scope.question }, vector, self.k)
    }
}
