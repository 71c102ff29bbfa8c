//! Retrieves references for a chunk and loads their memories.

use std::sync::Arc;

use mempack_format::{Digest, Memory};
use mempack_model::{Model, Slot, SlotList};
use mempack_retrieval::{Hit, Margin, Query, Recalled};

use super::error::{AskError, RetrieveError};
use super::memory_read::MemoryRead;
use super::options::CheckedOptions;
use super::recall::{NotRepeating, Readable, Retriever};
use super::recent::{QueryKey, RecentQueries};
use super::source::{Loaded, MemorySource, ReadFrom};
use super::times::{Part, Times};
use crate::{OnDamage, PackReference, PackSet, Skipped};

/// Maximum number of damaged references that a chunk replaces by others.
const MAX_REPLACED: usize = 64;

/// The memories of one chunk.
#[derive(Clone, Debug)]
pub struct ChunkMemories {
    /// The query text; empty if the caller named the references.
    pub query: String,
    /// The references, best first.
    pub reads: Vec<MemoryRead>,
    /// The memories, in the order of `reads`.
    memories: Vec<Arc<Memory>>,
    /// Identifies them: packs, numbers and similarities.
    key: Digest,
}

impl Default for ChunkMemories {
    /// The memories of a chunk that reads none.
    fn default() -> Self {
        Self::new(String::new(), Loaded { reads: Vec::new(), memories: Vec::new(), damaged: Vec::new() })
    }
}

impl ChunkMemories {
    fn new(query: String, Loaded { reads, memories, .. }: Loaded) -> Self {
        let mut bytes = Vec::with_capacity(reads.len() * 40);
        for MemoryRead { hit, .. } in &reads {
            bytes.extend_from_slice(&hit.reference.pack.id().0.0);
            bytes.extend_from_slice(&hit.reference.number.to_le_bytes());
            bytes.extend_from_slice(&hit.similarity.to_bits().to_le_bytes());
        }
        Self { query, reads, memories, key: Digest::of(&bytes) }
    }

    /// The memories in the form that the model's reader accepts.
    pub fn slots(&self) -> Vec<Slot<'_>> {
        let slot = |(memory, read): (_, &MemoryRead)| Slot { memory, similarity: read.hit.similarity };
        self.memories.iter().map(AsRef::as_ref).zip(&self.reads).map(slot).collect()
    }

    /// The memories with what identifies them.
    pub(crate) fn list(&self) -> SlotList<'_> {
        SlotList { slots: self.slots(), key: self.key }
    }
}

/// Retrieves and loads the memories of chunks.
pub(crate) struct ChunkReader {
    pub(crate) retriever: Retriever,
    pub(crate) source: MemorySource,
    pub(crate) margin: Margin,
    /// The model that tokenizes, and the overlap with the question above which a reference is filtered out; `None` filters nothing.
    pub(crate) max_overlap: Option<(Model, f64)>,
    pub(crate) times: Arc<Times>,
    /// What recent queries recalled.
    pub(crate) recent: Arc<RecentQueries>,
}

/// The state that one question uses from beginning to end, regardless of later mounts.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) packs: Arc<PackSet>,
    /// What the answer is made with.
    pub(crate) checked: CheckedOptions,
    /// Counts skipped damage; `None` if damage is an error.
    pub(crate) skipped: Option<Arc<Skipped>>,
    /// Tokens of the question, for the overlap filter; empty if there is no filter.
    pub(crate) question: Arc<[u32]>,
    /// References that every chunk reads instead of retrieving.
    pub(crate) named: Option<Arc<[Hit<PackReference>]>>,
}

impl Scope {
    pub(crate) fn on_damage(&self) -> OnDamage<'_> {
        self.skipped.as_ref().map_or(OnDamage::Fail, |skipped| OnDamage::Skip(skipped))
    }

    /// Whether chunks of the answer retrieve memories.
    pub(crate) fn retrieves(&self) -> bool {
        self.checked.options.read_from.reads_memories() && self.named.is_none()
    }
}

impl ChunkReader {
    pub(crate) fn share(&self) -> Self {
        Self {
            retriever: self.retriever.share(),
            source: self.source.share(),
            margin: self.margin,
            max_overlap: self.max_overlap.as_ref().map(|(model, max)| (model.share(), *max)),
            times: Arc::clone(&self.times),
            recent: Arc::clone(&self.recent),
        }
    }

    /// The memories that `query` retrieves. They depend only on the packs, the options, the question and the query.
    ///
    /// If damage is skipped, the next most similar references replace damaged ones.
    pub(crate) fn read(&self, scope: &Scope, query: String) -> Result<ChunkMemories, AskError> {
        if let Some(named) = &scope.named {
            return Ok(ChunkMemories::new(String::new(), self.load(scope, Recalled::unscored(named.to_vec()))?));
        }
        if scope.packs.packs().is_empty() {
            return Ok(ChunkMemories { query, ..ChunkMemories::default() });
        }
        // Damage is to be counted for each answer, and what the overlap filter leaves out depends on the question.
        let recent = Some(&self.recent).filter(|_| scope.skipped.is_none() && self.max_overlap.is_none());
        let CheckedOptions { options, k } = &scope.checked;
        let recent = recent.map(|recent| (recent, QueryKey::new(&query, &scope.packs, &options.stages(), *k)));
        if let Some(known) = recent.as_ref().and_then(|(recent, key)| recent.get(key, &scope.packs)) {
            return Ok(ChunkMemories::new(query, self.load(scope, known)?));
        }
        let vector = self.times.measure(Part::Retrieval, || self.retriever.embed(&query))?;
        let mut unreadable: Vec<PackReference> = Vec::new();
        loop {
            let recalled = self.times.measure(Part::Retrieval, || self.recall(scope, &query, &vector, &unreadable))?;
            if let Some((recent, key)) = &recent {
                recent.put(key, &scope.packs, &recalled);
            }
            let loaded = self.load(scope, recalled)?;
            if loaded.damaged.is_empty() || unreadable.len() >= MAX_REPLACED {
                return Ok(ChunkMemories::new(query, loaded));
            }
            unreadable.extend(loaded.damaged);
        }
    }

    fn load(&self, scope: &Scope, recalled: Recalled<PackReference>) -> Result<Loaded, AskError> {
        let read_from = scope.checked.options.read_from;
        self.times.measure(Part::Loading, || self.source.load(recalled, read_from, scope.on_damage()))
    }

    /// The references that `query` retrieves, without their memories.
    pub(crate) fn hits(&self, scope: &Scope, query: &str) -> Result<Recalled<PackReference>, RetrieveError> {
        match &scope.named {
            Some(named) => Ok(Recalled::unscored(named.to_vec())),
            None if scope.packs.packs().is_empty() => Ok(Recalled::default()),
            None => self.times.measure(Part::Retrieval, || self.recall(scope, query, &self.retriever.embed(query)?, &[])),
        }
    }

    /// Decodes memories into the cache for a chunk whose query will begin like `query`.
    pub(crate) fn warm(&self, scope: &Scope, query: &str) -> Result<(), AskError> {
        let CheckedOptions { options, k } = &scope.checked;
        if options.read_from != ReadFrom::PackMemories || scope.packs.packs().is_empty() {
            return Ok(());
        }
        self.source.warm(&scope.packs, &self.retriever.likely(&options.stages(), &scope.packs, query, *k, scope.on_damage())?)
    }

    /// Runs the retrieval stages. The caller passes the query's vector, because it stays the same when the retrieval is repeated after
    /// damage.
    fn recall(
        &self,
        scope: &Scope,
        query: &str,
        vector: &[f32],
        unreadable: &[PackReference],
    ) -> Result<Recalled<PackReference>, RetrieveError> {
        let repeating = self.max_overlap.as_ref().map(|(model, max)| NotRepeating::new(model, *max));
        let CheckedOptions { options, k } = &scope.checked;
        let stages = self.retriever.stages_of(&options.stages(), &scope.packs, scope.on_damage());
        let stages = stages.filtered((repeating, Readable { unreadable })).within(self.margin);
        stages.recall_vector(&Query { text: query, context: &scope.question }, vector, *k)
    }
}
