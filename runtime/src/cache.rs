//! Decoded memories, kept for the next chunk that reads them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lru::LruCache;
use mempack_format::{Defect, Digest, Memory, ReadError, Tag};

use crate::{MappedPack, OnDamage};

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
    pub source: Box<ReadError>,
}

impl FetchError {
    /// Whether the pack is damaged, rather than the reference not there.
    pub fn is_damage(&self) -> bool {
        matches!(*self.source, ReadError::Damaged(_))
    }
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

/// Decoded memories of any number of packs, the least recently used going first when they pass a budget of bytes. Those of a pack go
/// when its [`MappedPack`] is dropped.
///
/// Shared by threads as it is. Decoding happens outside the lock: two threads that miss the same memory at once both decode it,
/// and one result is kept.
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

/// What a memory is kept under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The mapping of the pack.
    serial: u64,
    reference: u32,
    /// Who wrote the memory, where it was not decoded from the pack.
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
    /// An empty cache that keeps at most `budget` bytes. A memory larger than that is decoded each time it is asked for.
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

    /// The memory of a reference, and whether it was in the cache already.
    ///
    /// The first decoding of a record compares it with its leaf digest.
    ///
    /// # Errors
    /// If the pack has no such reference, or the record or the codec parameters are damaged.
    pub fn fetch(&self, pack: &MappedPack, reference: u32) -> Result<(Arc<Memory>, bool), FetchError> {
        {
            let mut inner = self.lock();
            if let Some(memory) = inner.find(&Key::decoded(pack, reference)) {
                return Ok((memory, true));
            }
        }
        Ok((self.decode(pack, reference)?, false))
    }

    /// The same; `None` if the memory is damaged, and damage is left out.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch), and if the codec parameters are damaged, without which no memory can be read.
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

    /// What the cache has done so far, and what it holds.
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

    /// The memory that `writer` wrote of a reference, if it is here.
    #[cfg(feature = "engine")]
    pub(crate) fn written(&self, pack: &MappedPack, reference: u32, writer: &Digest) -> Option<Arc<Memory>> {
        self.lock().find(&Key { writer: Some(*writer), ..Key::decoded(pack, reference) })
    }

    /// Keeps a memory that `writer` wrote of a reference.
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
    // A panic elsewhere leaves at worst a count that is off by one memory.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cache as the packs know it whose memories it keeps.
#[derive(Clone, Debug)]
pub(crate) struct Evict(Weak<Mutex<Inner>>);

impl Evict {
    /// Whether the cache is still there.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Lets go of the memories of a pack.
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
    /// Looks a memory up, and counts that.
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

/// Whether one memory is damaged, and not what all of them need.
fn is_own_damage(error: &ReadError) -> bool {
    let own = |defect: &Defect| matches!(defect, Defect::Leaf { .. } | Defect::Codec(_));
    matches!(error, ReadError::Damaged(damage) if damage.section == Tag::MEMORIES && own(&damage.defect))
}

/// What a memory takes in the cache.
fn bytes_of(memory: &Memory) -> usize {
    size_of::<Memory>() + memory.positions.len() + 4 * (memory.keys.len() + memory.values.len())
}
