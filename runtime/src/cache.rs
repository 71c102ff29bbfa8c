//! Decoded memories, kept for the next chunk that reads them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use mempack_format::{Memory, ReadError};

use crate::MappedPack;

/// Budget of a cache where the caller has no wish: about a thousand memories of a small model.
pub const DEFAULT_CACHE_BYTES: usize = 256 << 20;

/// A memory could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: memory of reference {reference}: {source}", path.display())]
pub struct FetchError {
    /// The pack.
    pub path: std::path::PathBuf,
    /// The reference.
    pub reference: u32,
    /// What is wrong; damage names section and offset.
    pub source: ReadError,
}

impl FetchError {
    /// Whether the pack is damaged, rather than the reference not there.
    pub fn is_damage(&self) -> bool {
        matches!(self.source, ReadError::Damaged(_))
    }
}

/// A memory, and where it came from.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The memory.
    pub memory: Arc<Memory>,
    /// Whether it was in the cache.
    pub cached: bool,
}

/// What a cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Memories found decoded.
    pub hits: u64,
    /// Memories that had to be read and decoded.
    pub misses: u64,
    /// Memories decoded ahead of being asked for.
    pub prefetched: u64,
    /// Memories kept now.
    pub memories: usize,
    /// Bytes they take.
    pub bytes: usize,
}

/// Decoded memories of any number of packs, the least recently used going first when they pass a budget of bytes.
///
/// Shared by threads as it is. Decoding happens outside the lock: two threads that miss the same memory at once both decode it,
/// and one result is kept.
#[derive(Debug)]
pub struct MemoryCache {
    budget: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// By mapping and reference.
    memories: LruCache<(u64, u32), Arc<Memory>>,
    statistics: CacheStatistics,
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new(DEFAULT_CACHE_BYTES)
    }
}

impl MemoryCache {
    /// An empty cache that keeps at most `budget` bytes. A memory larger than that is decoded each time it is asked for.
    pub fn new(budget: usize) -> Self {
        let inner = Inner { memories: LruCache::unbounded(), statistics: CacheStatistics::default() };
        Self { budget, inner: Mutex::new(inner) }
    }

    /// The memory of a reference.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn get(&self, pack: &MappedPack, reference: u32) -> Result<Arc<Memory>, FetchError> {
        Ok(self.fetch(pack, reference)?.memory)
    }

    /// The memory of a reference, and whether it was there already.
    ///
    /// The first decoding of a record compares it with its leaf digest.
    ///
    /// # Errors
    /// If the pack has no such reference, or the record or the codec parameters are damaged.
    pub fn fetch(&self, pack: &MappedPack, reference: u32) -> Result<Fetched, FetchError> {
        {
            let mut inner = self.lock();
            if let Some(memory) = inner.memories.get(&(pack.serial(), reference)).map(Arc::clone) {
                inner.statistics.hits += 1;
                return Ok(Fetched { memory, cached: true });
            }
            inner.statistics.misses += 1;
        }
        Ok(Fetched { memory: self.decode(pack, reference)?, cached: false })
    }

    /// Decodes those of `references` that are not here yet, so that they will be; returns how many it decoded.
    ///
    /// Records are read in the order of the file. Memories beyond the budget push out those before them: the caller lists no more
    /// than will be read soon.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch), at the first memory that cannot be read.
    pub fn prefetch(&self, pack: &MappedPack, references: &[u32]) -> Result<usize, FetchError> {
        let mut missing: Vec<u32> = {
            let inner = self.lock();
            references.iter().copied().filter(|&reference| !inner.memories.contains(&(pack.serial(), reference))).collect()
        };
        missing.sort_unstable();
        missing.dedup();
        for &reference in &missing {
            self.decode(pack, reference)?;
        }
        self.lock().statistics.prefetched += missing.len() as u64;
        Ok(missing.len())
    }

    /// What the cache has done so far, and what it holds.
    pub fn statistics(&self) -> CacheStatistics {
        self.lock().statistics
    }

    fn decode(&self, pack: &MappedPack, reference: u32) -> Result<Arc<Memory>, FetchError> {
        let memory = pack.decode(reference).map_err(|source| FetchError { path: pack.path().to_owned(), reference, source })?;
        let memory = Arc::new(memory);
        self.lock().keep((pack.serial(), reference), &memory, self.budget);
        Ok(memory)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves at worst a count that is off by one memory.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn keep(&mut self, key: (u64, u32), memory: &Arc<Memory>, budget: usize) {
        let bytes = bytes_of(memory);
        if bytes > budget {
            return;
        }
        if let Some(older) = self.memories.put(key, Arc::clone(memory)) {
            self.statistics.bytes -= bytes_of(&older);
        }
        self.statistics.bytes += bytes;
        while self.statistics.bytes > budget {
            let Some((_, oldest)) = self.memories.pop_lru() else { break };
            self.statistics.bytes -= bytes_of(&oldest);
        }
        self.statistics.memories = self.memories.len();
    }
}

/// What a memory takes in the cache.
fn bytes_of(memory: &Memory) -> usize {
    size_of::<Memory>() + memory.positions.len() + 4 * (memory.keys.len() + memory.values.len())
}
