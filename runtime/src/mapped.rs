//! A pack file mapped into memory.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use fixedbitset::FixedBitSet;
use memmap2::Mmap;
use mempack_format::{Codec, Damage, Defect, Digest, Memory, OpenError, Pack, ReadError, Tag};
use mempack_retrieval::Hit;
use zerocopy::little_endian::F32;

use crate::cache::Evict;
use crate::checked::Checks;
use crate::damage::{OnDamage, Tolerance};
use crate::lexical::{self, QueryTerms, Scores};
use crate::search::{self, Method, SearchError};
use crate::truncation::Registered;

/// How often a read is attempted while the file keeps changing.
const MAX_ATTEMPTS: u64 = 8;

/// Why a file was not opened as a pack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The file cannot be opened or mapped.
    #[error("{}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a pack that can be read.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OpenError,
    },
}

impl MapError {
    /// Whether the file is a damaged pack.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.is_damage())
    }
}

/// An open pack, mapped into memory.
///
/// Opening reads a few pages, independent of the pack's size. Pages read later stay in the system's page cache, shared by all processes
/// that map the same file. The type is `Send` and `Sync` and is usually shared in an `Arc`. When it is dropped, caches evict its memories.
///
/// # Damage
/// The leaf digests are compared with their section's digest before any of them is trusted. Each memory, vector and text block is compared
/// with its leaf on first access, and the tables of references, origins and documents with their sections' digests. So
/// [`search`](Self::search), [`describe`](Self::describe) and a [`MemoryCache`](crate::MemoryCache) return what was written, or an error
/// that names the section and the offset.
///
/// # The file must not change
/// A pack is immutable. `mempack` never writes to an existing pack: it renames a new file over it, and a mapping keeps the old file alive.
/// If another program does write to it:
/// - A *truncated* file is an error at the next search, decoding or description. If the file is truncated during one of them, or while a
///   method of [`Pack`] reads, access to a missing page raises SIGBUS, which ends the process; see
///   [`exit_when_cut_short`](crate::exit_when_cut_short) for a way to end with a message. No other memory is ever read.
/// - After an *overwrite*, or a truncation followed by an extension, everything is compared with its digests again, and a read that
///   overlapped the write is repeated. Changes are detected by the file's length and modification time. A write through another mapping,
///   or one within the resolution of that time (a few milliseconds) after opening, is not detected until `verify`.
#[derive(Debug)]
pub struct MappedPack {
    // Declared before the pack, so that it is dropped before the mapping.
    _registered: Registered,
    pack: Pack<Mmap>,
    file: File,
    path: PathBuf,
    /// Identifies the mapping in a cache. Two files may have the same id although one of them is damaged.
    serial: u64,
    codec: OnceLock<Codec>,
    /// What has been compared with its digest since the file had this stamp.
    checks: Mutex<(Stamp, Arc<Checks>)>,
    /// The caches that hold memories of this pack.
    caches: Mutex<Vec<Evict>>,
}

/// A file's length and modification time. A different stamp means that the bytes may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { bytes: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl MappedPack {
    /// Opens the pack at `path`, in under a millisecond for any size.
    ///
    /// # Errors
    /// If the file cannot be mapped, is not a pack, has another format version, or its header or manifest is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, MapError> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let path = path.as_ref();
        let failed = |source| MapError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let stamp = Stamp::of(&file).map_err(failed)?;
        // SAFETY: The mapping is read-only, so nothing is written through it. Its bytes must also not change while they are borrowed as
        // `&[u8]`. The file is a finished pack, which `mempack` replaces only by a rename (the mapping then keeps the old file), and the
        // type's documentation requires the same of other programs. If one truncates the file, access to the missing pages raises SIGBUS,
        // which ends the process: no other memory is read. If one overwrites it, readers see other bytes, and every number among them is
        // bounds-checked where it is used.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let registered = Registered::new(&map);
        let pack = Pack::open(map).map_err(|source| MapError::Open { path: path.to_owned(), source })?;
        let checks = Mutex::new((stamp, Arc::new(Checks::new(pack.manifest().counts.references))));
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (codec, caches) = (OnceLock::new(), Mutex::default());
        Ok(Self { _registered: registered, pack, file, path: path.to_owned(), serial, codec, checks, caches })
    }

    /// The path that the pack was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without its extension: the default name of a pack.
    pub fn stem(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The `k` references nearest to `query`, a unit vector `[dim]`, best first; equal similarities in the order of their numbers.
    ///
    /// The search goes through the graph with a candidate list of `ef` nodes, at least `k` ([`DEFAULT_EF`](crate::DEFAULT_EF) is a good
    /// default). It is approximate and can miss one of the nearest. If the pack has coarse embeddings, the search goes by these, and the best
    /// candidates are compared by their embeddings. Packs of at most [`EXACT_UP_TO`](crate::EXACT_UP_TO) references and
    /// packs without a graph are scanned completely. Memory: one bit per reference; only pages that the search visits are touched.
    ///
    /// # Errors
    /// If the query's dimensions are not the pack's, a component is not finite, or the graph or a visited embedding is damaged.
    pub fn search(&self, query: &[f32], k: usize, ef: usize) -> Result<Vec<Hit>, SearchError> {
        self.nearest(query, k, Method::Graph { ef }, OnDamage::Fail)
    }

    /// As [`search`](Self::search), but exact: every reference is compared.
    ///
    /// # Errors
    /// If the query's dimensions are not the pack's, a component is not finite, or an embedding is damaged.
    pub fn search_exact(&self, query: &[f32], k: usize) -> Result<Vec<Hit>, SearchError> {
        self.nearest(query, k, Method::Exact, OnDamage::Fail)
    }

    /// As [`search`](Self::search) or [`search_exact`](Self::search_exact), with a choice of what to do about damage.
    ///
    /// With [`OnDamage::Skip`], a damaged vector is not a hit and a damaged list of the graph counts as empty. If that leaves fewer than
    /// `k` hits, or the graph cannot be entered, every reference is compared.
    ///
    /// # Errors
    /// If the query's dimensions are not the pack's, a component is not finite, the leaf digests are damaged, or, with
    /// [`OnDamage::Fail`], a vector or the graph is damaged.
    pub fn nearest(&self, query: &[f32], k: usize, method: Method, on_damage: OnDamage<'_>) -> Result<Vec<Hit>, SearchError> {
        self.nearest_of(query, k, method, None, on_damage)
    }

    /// As [`nearest`](Self::nearest), among the references that are admitted; `None` admits all. The result is exact where they are few: where
    /// comparing all of them costs less than a search of the graph.
    pub(crate) fn nearest_of(
        &self,
        query: &[f32],
        k: usize,
        method: Method,
        admitted: Option<&FixedBitSet>,
        on_damage: OnDamage<'_>,
    ) -> Result<Vec<Hit>, SearchError> {
        let tolerance = self.tolerance(on_damage);
        self.read_consistent(|checks| search::nearest(&self.pack, checks, query, k, method, admitted, tolerance))
    }

    /// The BM25 scores of the references that have a term of `query`. `None` if the pack has no index of terms that this program knows, or it is
    /// damaged and damage is skipped. References that are not admitted have no score; `None` admits all.
    pub(crate) fn lexical(
        &self,
        query: &QueryTerms,
        admitted: Option<&FixedBitSet>,
        on_damage: OnDamage<'_>,
    ) -> Result<Option<Scores>, SearchError> {
        let tolerance = self.tolerance(on_damage);
        self.read_consistent(|checks| Ok(tolerance.admit(lexical::scores(&self.pack, checks, query, admitted))?.flatten()))
    }

    /// The cosines of references to `query`, a unit vector `[dim]`. References whose vectors are damaged are left out if damage is skipped.
    pub(crate) fn cosines(&self, query: &[f32], references: &[u32], on_damage: OnDamage<'_>) -> Result<Vec<Hit>, SearchError> {
        let tolerance = self.tolerance(on_damage);
        self.read_consistent(|checks| search::cosines(&self.pack, checks, query, references, tolerance))
    }

    /// The embedding of a reference: a unit vector `[dim]`, checked against its leaf digest.
    ///
    /// # Errors
    /// If the pack does not have the reference, or its embedding is damaged.
    pub fn embedding(&self, reference: u32) -> Result<&[F32], ReadError> {
        self.read_consistent(|checks| {
            checks.embeddings.once(reference, || self.pack.check_embedding(reference))?;
            self.pack.embedding(reference)
        })
    }

    /// The key of a reference.
    pub(crate) fn key(&self, reference: u32) -> Result<Digest, ReadError> {
        self.read_consistent(|checks| {
            checks.tables(&self.pack)?;
            self.pack.reference(reference).map(|info| info.key)
        })
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn tolerance<'a>(&'a self, on_damage: OnDamage<'a>) -> Tolerance<'a> {
        Tolerance { on_damage, path: &self.path, id: self.pack.id() }
    }

    /// Registers a cache to be evicted when this pack is dropped. Registering it twice has no effect.
    pub(crate) fn on_drop(&self, evict: Evict) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        if !caches.contains(&evict) {
            // Caches that no longer exist have nothing to evict.
            caches.retain(Evict::is_alive);
            caches.push(evict);
        }
    }

    /// Decodes the memory of a reference. The first decoding compares the record with its leaf digest.
    pub(crate) fn decode(&self, reference: u32) -> Result<Memory, ReadError> {
        self.read_consistent(|checks| {
            let codec = self.codec_once()?;
            let record = self.pack.record(reference)?;
            checks.memories.once(reference, || self.pack.check_record(reference))?;
            let mut memory = Memory::empty(codec.shape().clone());
            codec.decode_memory(record, &mut memory).map_err(|error| {
                // The record has the right digest, so it was written with invalid codes.
                let offset = self.section_offset(Tag::MEMORIES) + u64::from(reference) * self.pack.record_bytes();
                Damage { section: Tag::MEMORIES, offset, defect: Defect::Codec(error) }
            })?;
            Ok(memory)
        })
    }

    /// Calls `read` with the checks that apply to the file's present bytes, and calls it again if the file changes meanwhile.
    pub(crate) fn read_consistent<T, E: From<ReadError>>(&self, read: impl Fn(&Checks) -> Result<T, E>) -> Result<T, E> {
        for _ in 0..MAX_ATTEMPTS {
            let (stamp, checks) = self.checks()?;
            let result = checks.leaves(&self.pack).map_err(E::from).and_then(|()| read(&checks));
            if self.stamp() == stamp {
                return result;
            }
        }
        let defect = Defect::TooLarge { field: "changes of the file while it was read", limit: MAX_ATTEMPTS - 1, found: MAX_ATTEMPTS };
        Err(ReadError::from(self.damage_at(0, defect)).into())
    }

    /// The file's stamp, and what has been compared since the file had it.
    fn checks(&self) -> Result<(Stamp, Arc<Checks>), ReadError> {
        let stamp = self.stamp();
        if stamp.bytes < self.pack.bytes() {
            let defect =
                Defect::TooSmall { field: "length of the file, which was cut short,", limit: self.pack.bytes(), found: stamp.bytes };
            return Err(self.damage_at(stamp.bytes, defect).into());
        }
        // No code under this lock leaves a partial value, so a poisoned lock is safe to use.
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.0 != stamp {
            *checks = (stamp, Arc::new(Checks::new(self.pack.manifest().counts.references)));
        }
        Ok((stamp, Arc::clone(&checks.1)))
    }

    /// The file's stamp. A file without metadata (on a network that is down, for example) counts as truncated to 0 bytes, because its pages
    /// are gone as well.
    fn stamp(&self) -> Stamp {
        Stamp::of(&self.file).unwrap_or(Stamp { bytes: 0, modified: None })
    }

    /// Damage at an offset of the file, with the section that contains it.
    fn damage_at(&self, offset: u64, defect: Defect) -> Damage {
        let section = self.pack.sections().iter().find(|section| offset < section.offset.saturating_add(section.length));
        Damage { section: section.map_or(Tag::MANIFEST, |section| section.tag), offset, defect }
    }

    /// The offset of a section in the file; 0 if the pack does not have it.
    pub(crate) fn section_offset(&self, tag: Tag) -> u64 {
        self.pack.sections().iter().find(|section| section.tag == tag).map_or(0, |section| section.offset)
    }

    fn codec_once(&self) -> Result<&Codec, ReadError> {
        if let Some(codec) = self.codec.get() {
            return Ok(codec);
        }
        // Two threads may both parse it; one result is kept.
        let codec = self.pack.codec()?;
        Ok(self.codec.get_or_init(|| codec))
    }
}

impl Drop for MappedPack {
    fn drop(&mut self) {
        let caches = self.caches.get_mut().unwrap_or_else(PoisonError::into_inner);
        caches.iter().for_each(|evict| evict.pack(self.serial));
    }
}

impl Deref for MappedPack {
    type Target = Pack<Mmap>;

    fn deref(&self) -> &Pack<Mmap> {
        &self.pack
    }
}
