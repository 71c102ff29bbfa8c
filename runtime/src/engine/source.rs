//! Loads the memories of references: decoded from packs, or written by the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mempack_format::{Digest, Memory};
use mempack_model::Model;
use mempack_retrieval::{Hit, Recalled};

use super::error::AskError;
use super::memory_read::MemoryRead;
use super::reference::read_reference;
use crate::{MemoryCache, OnDamage, PackReference, PackSet};

/// What an answer is based on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The memories of the packs, decoded by their codec.
    #[default]
    PackMemories,
    /// Memories that the model writes from the packs' texts when they are first read. No codec is applied. Those that are written together may differ in
    /// their last bits from the same ones written alone, so that an answer may depend on what the cache has.
    WrittenMemories,
    /// The packs' texts, put into the prompt by the model's `context_template`, without memories and prefix.
    Texts,
    /// The weights alone.
    Weights {
        /// Whether prefix and positions are the same as with memories. If not, the model decodes like a plain language model.
        prefix: bool,
    },
}

impl ReadFrom {
    /// Whether the context comes after the prefix and the positions reserved for memories.
    pub(crate) fn has_prefix(self) -> bool {
        matches!(self, Self::PackMemories | Self::WrittenMemories | Self::Weights { prefix: true })
    }

    /// Whether chunks read memories.
    pub fn reads_memories(self) -> bool {
        matches!(self, Self::PackMemories | Self::WrittenMemories)
    }
}

/// Loads the memories of references through a cache.
pub(crate) struct MemorySource {
    pub(crate) cache: Arc<MemoryCache>,
    /// Writes memories that do not come from the packs.
    writer: Writer,
}

struct Writer {
    model: Model,
    /// Identifies this model's memories in the cache.
    identity: Digest,
    nanoseconds: Arc<AtomicU64>,
}

/// A memory, and whether it was in the cache already.
type CachedMemory = (Arc<Memory>, bool);

/// The loaded memories of hits.
pub(crate) struct Loaded {
    pub(crate) reads: Vec<MemoryRead>,
    pub(crate) memories: Vec<Arc<Memory>>,
    /// References whose memories are damaged and were skipped.
    pub(crate) damaged: Vec<PackReference>,
}

impl MemorySource {
    pub(crate) fn new(model: &Model, cache: Arc<MemoryCache>) -> Self {
        let identity = Digest::of(format!("{:?} {}", model.identity(), model.decoder().precision()).as_bytes());
        Self { cache, writer: Writer { model: model.share(), identity, nanoseconds: Arc::default() } }
    }

    pub(crate) fn share(&self) -> Self {
        let Writer { model, identity, nanoseconds } = &self.writer;
        let writer = Writer { model: model.share(), identity: *identity, nanoseconds: Arc::clone(nanoseconds) };
        Self { cache: Arc::clone(&self.cache), writer }
    }

    /// Time spent writing memories so far.
    pub(crate) fn time_writing(&self) -> Duration {
        Duration::from_nanos(self.writer.nanoseconds.load(Ordering::Relaxed))
    }

    /// The memories of what was recalled, in the order of the hits.
    pub(crate) fn load(&self, recalled: Recalled<PackReference>, read_from: ReadFrom, on_damage: OnDamage<'_>) -> Result<Loaded, AskError> {
        let Recalled { hits, scores, .. } = recalled;
        let fetched = match read_from {
            ReadFrom::WrittenMemories => self.writer.fetch(&self.cache, &hits)?.into_iter().map(Some).collect(),
            _ => self.fetch(&hits, on_damage)?,
        };
        let mut loaded = Loaded { reads: Vec::with_capacity(hits.len()), memories: Vec::with_capacity(hits.len()), damaged: Vec::new() };
        for ((hit, rerank_score), fetched) in hits.into_iter().zip(scores).zip(fetched) {
            match fetched {
                Some((memory, cached)) => {
                    loaded.reads.push(MemoryRead { hit, rerank_score, cached });
                    loaded.memories.push(memory);
                }
                None => loaded.damaged.push(hit.reference),
            }
        }
        Ok(loaded)
    }

    fn fetch(&self, hits: &[Hit<PackReference>], on_damage: OnDamage<'_>) -> Result<Vec<Option<CachedMemory>>, AskError> {
        let fetch = |hit: &Hit<PackReference>| {
            let PackReference { pack, number } = &hit.reference;
            Ok(self.cache.fetch_or_skip(pack.pack(), *number, on_damage)?)
        };
        hits.iter().map(fetch).collect()
    }

    /// Decodes memories of packs that will probably be read soon into the cache.
    pub(crate) fn warm(&self, packs: &PackSet, hits: &[Hit<PackReference>]) -> Result<(), AskError> {
        for mounted in packs.packs() {
            let own = hits.iter().filter(|hit| Arc::ptr_eq(&hit.reference.pack, mounted));
            let numbers: Vec<u32> = own.map(|hit| hit.reference.number).collect();
            self.cache.prefetch(mounted.pack(), &numbers)?;
        }
        Ok(())
    }
}

impl Writer {
    /// The memories of hits, and whether each was in the cache. Missing memories are written in one batch, in the order of their numbers.
    fn fetch(&self, cache: &MemoryCache, hits: &[Hit<PackReference>]) -> Result<Vec<CachedMemory>, AskError> {
        let known = |hit: &Hit<PackReference>| cache.written(hit.reference.pack.pack(), hit.reference.number, &self.identity);
        let mut found: Vec<Option<CachedMemory>> = hits.iter().map(|hit| Some((known(hit)?, true))).collect();
        let mut missing: Vec<usize> = (0..hits.len()).filter(|place| found.get(*place).is_some_and(Option::is_none)).collect();
        missing.sort_by_key(|place| hits.get(*place).map(|hit| hit.reference.number));
        let started = Instant::now();
        let mut texts = Vec::with_capacity(missing.len());
        for hit in missing.iter().filter_map(|place| hits.get(*place)) {
            texts.push(read_reference(&self.model, hit.reference.pack.pack(), hit.reference.number)?);
        }
        let ids: Vec<&[u32]> = texts.iter().map(|text| text.ids.as_slice()).collect();
        for (place, memory) in missing.iter().zip(self.model.write(&ids)?) {
            let (Some(hit), Some(slot)) = (hits.get(*place), found.get_mut(*place)) else { continue };
            let memory = Arc::new(memory);
            cache.keep_written(hit.reference.pack.pack(), hit.reference.number, &self.identity, &memory);
            *slot = Some((memory, false));
        }
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        Ok(found.into_iter().flatten().collect())
    }
}
