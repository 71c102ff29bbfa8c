//! A cache of decoded memories.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lru::LruCache;
use mempack_format::{Defect, Digest, Memory, ReadError, Tag};

use crate::{MappedPack, OnDamage};

/// Default budget of a cache: about a thousand memories of a small model.
pub const DEFAULT_CACHE_BYTES: usize = 256 << 20;

/// A memory could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: memory of reference {reference}: {source}", path.display())]
pub struct FetchError {
    /// The pack.
    pub path: std::path::PathBuf,
    /// The reference.
    pub reference: u32,
    /// The cause. Damage names the section and the offset.
    pub source: Box<ReadError>,
}

impl FetchError {
    /// Whether the pack is damaged; false if it does not have the reference.
    pub fn is_damage(&self) -> bool {
        matches!(*self.source, ReadError::Damaged(_))
    }
}

/// Counters of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Requests for memories that were in the cache.
    pub hits: u64,
    /// Requests for memories that had to be decoded or written.
    pub misses: u64,
    /// Memories decoded before they were requested.
    pub prefetched: u64,
    /// Memories in the cache.
    pub memories: usize,
    /// Bytes of these memories.
    pub bytes: usize,
}

/// An LRU cache of decoded memories of any number of packs, within a budget of bytes. When a [`MappedPack`] is dropped, its memories are
/// evicted.
///
/// Threads can share it. Decoding happens outside the lock: two threads that miss the same memory at the same time both decode it, and one
/// result is kept.
#[derive(Debug)]
pub struct MemoryCache {
    budget: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    memories: LruCache<Key, Arc<Memory>>,
    statistics: CacheStatistics,
}

/// The key of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The mapping of the pack.
    serial: u64,
    reference: u32,
    /// Identity of the model that wrote the memory; `None` if it was decoded from the pack.
    writer: Option<Digest>,
}

impl Key {
    fn decoded(pack: &MappedPack, reference: u32) -> Self {
        Self { serial: pack.serial(), reference, writer: None }
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new(DEFAULT_CACHE_BYTES)
    }
}

impl MemoryCache {
    /// An empty cache of at most `budget` bytes. A larger memory is decoded at each request.
    pub fn new(budget: usize) -> Self {
        let inner = Inner { memories: LruCache::unbounded(), statistics: CacheStatistics::default() };
        Self { budget, inner: Arc::new(Mutex::new(inner)) }
    }

    /// The memory of a reference.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn get(&self, pack: &MappedPack, reference: u32) -> Result<Arc<Memory>, FetchError> {
        Ok(self.fetch(pack, reference)?.0)
    }

    /// The memory of a reference, and whether it was in the cache.
    ///
    /// The first decoding of a record compares it with its leaf digest.
    ///
    /// # Errors
    /// If the pack does not have the reference, or the record or the codec parameters are damaged.
    pub fn fetch(&self, pack: &MappedPack, reference: u32) -> Result<(Arc<Memory>, bool), FetchError> {
        {
            let mut inner = self.lock();
            if let Some(memory) = inner.find(&Key::decoded(pack, reference)) {
                return Ok((memory, true));
            }
        }
        Ok((self.decode(pack, reference)?, false))
    }

    /// As [`fetch`](Self::fetch), but returns `None` if the memory is damaged and `on_damage` skips damage.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch). Damaged codec parameters are always an error, because no memory can be read without them.
    pub fn fetch_or_skip(
        &self,
        pack: &MappedPack,
        reference: u32,
        on_damage: OnDamage<'_>,
    ) -> Result<Option<(Arc<Memory>, bool)>, FetchError> {
        match self.fetch(pack, reference) {
            Err(FetchError { path, reference, source }) if is_own_damage(&source) => {
                let admitted = pack.tolerance(on_damage).admit(Err(*source));
                admitted.map_err(|source| FetchError { path, reference, source: source.into() })
            }
            fetched => fetched.map(Some),
        }
    }

    /// Decodes those of `references` that are not in the cache, and returns how many it decoded.
    ///
    /// Records are read in file order. If the references exceed the budget, later memories evict earlier ones, so the caller should list
    /// only what will be read soon.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch), at the first memory that cannot be read.
    pub fn prefetch(&self, pack: &MappedPack, references: &[u32]) -> Result<usize, FetchError> {
        let mut missing: Vec<u32> = {
            let inner = self.lock();
            references.iter().copied().filter(|&reference| !inner.memories.contains(&Key::decoded(pack, reference))).collect()
        };
        missing.sort_unstable();
        missing.dedup();
        for &reference in &missing {
            self.decode(pack, reference)?;
        }
        self.lock().statistics.prefetched += missing.len() as u64;
        Ok(missing.len())
    }

    /// The counters so far.
    pub fn statistics(&self) -> CacheStatistics {
        self.lock().statistics
    }

    fn decode(&self, pack: &MappedPack, reference: u32) -> Result<Arc<Memory>, FetchError> {
        let memory =
            pack.decode(reference).map_err(|source| FetchError { path: pack.path().to_owned(), reference, source: source.into() })?;
        let memory = Arc::new(memory);
        pack.on_drop(Evict(Arc::downgrade(&self.inner)));
        self.lock().keep(Key::decoded(pack, reference), &memory, self.budget);
        Ok(memory)
    }

    /// The memory that the model `writer` wrote for a reference, if it is in the cache.
    #[cfg(feature = "engine")]
    pub(crate) fn written(&self, pack: &MappedPack, reference: u32, writer: &Digest) -> Option<Arc<Memory>> {
        self.lock().find(&Key { writer: Some(*writer), ..Key::decoded(pack, reference) })
    }

    /// Stores a memory that the model `writer` wrote for a reference.
    #[cfg(feature = "engine")]
    pub(crate) fn keep_written(&self, pack: &MappedPack, reference: u32, writer: &Digest, memory: &Arc<Memory>) {
        pack.on_drop(Evict(Arc::downgrade(&self.inner)));
        self.lock().keep(Key { writer: Some(*writer), ..Key::decoded(pack, reference) }, memory, self.budget);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    // After a panic under the lock, at worst a counter is off by one memory.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A weak reference to a cache, held by the packs whose memories it holds.
#[derive(Clone, Debug)]
pub(crate) struct Evict(Weak<Mutex<Inner>>);

impl Evict {
    /// Whether the cache still exists.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Evicts the memories of a pack.
    pub(crate) fn pack(&self, serial: u64) {
        if let Some(inner) = self.0.upgrade() {
            lock(&inner).evict(serial);
        }
    }
}

impl PartialEq for Evict {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Inner {
    /// Looks up a memory, and counts a hit or a miss.
    fn find(&mut self, key: &Key) -> Option<Arc<Memory>> {
        let found = self.memories.get(key).map(Arc::clone);
        match found {
            Some(_) => self.statistics.hits += 1,
            None => self.statistics.misses += 1,
        }
        found
    }

    fn keep(&mut self, key: Key, memory: &Arc<Memory>, budget: usize) {
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

    fn evict(&mut self, serial: u64) {
        let keys: Vec<Key> = self.memories.iter().map(|(key, _)| *key).filter(|key| key.serial == serial).collect();
        for key in keys {
            if let Some(memory) = self.memories.pop(&key) {
                self.statistics.bytes -= bytes_of(&memory);
            }
        }
        self.statistics.memories = self.memories.len();
    }
}

/// Whether the damage is limited to one memory, rather than in data that all memories need.
fn is_own_damage(error: &ReadError) -> bool {
    let own = |defect: &Defect| matches!(defect, Defect::Leaf { .. } | Defect::Codec(_));
    matches!(error, ReadError::Damaged(damage) if damage.section == Tag::MEMORIES && own(&damage.defect))
}

/// Bytes of a memory in the cache.
fn bytes_of(memory: &Memory) -> usize {
    size_of::<Memory>() + memory.positions.len() + 4 * (memory.keys.len() + memory.values.len())
}
