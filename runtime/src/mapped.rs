//! A pack in a file, mapped.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use memmap2::Mmap;
use mempack_format::{Codec, Damage, Defect, Digest, Memory, OpenError, Pack, ReadError, Tag};
use mempack_retrieval::Hit;
use zerocopy::little_endian::F32;

use crate::cache::Evict;
use crate::checked::Checks;
use crate::damage::{OnDamage, Tolerance};
use crate::search::{self, Method, SearchError};
use crate::truncation::Registered;

/// How often a reading begins again because the file was written to meanwhile.
const MOST_ATTEMPTS: u64 = 8;

/// Why a file was not opened as a pack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The file cannot be opened or mapped.
    #[error("{}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no pack that can be read.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OpenError,
    },
}

impl MapError {
    /// Whether the file is a pack that was damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.is_damage())
    }
}

/// An open pack whose bytes are those of a file, mapped into memory: opening reads a few pages, whatever the pack's size, and what is
/// read later stays in the system's page cache, shared by all processes that map the same file.
///
/// It is `Send` and `Sync`, and meant to be shared in an `Arc`. The memories that caches keep of it go when it is dropped.
///
/// # Damage
/// The leaf digests are compared with their section's digest before the first of them is trusted, every memory, vector and text
/// block with its leaf when it is first touched, the tables of references, origins and documents with their sections' digests. So what [`search`](Self::search), [`describe`](Self::describe) and a
/// [`MemoryCache`](crate::MemoryCache) give out is what was written, or an error that names section and offset.
///
/// # The file must stay as it is
/// A pack is immutable: `mempack` never writes to one that is there, but puts a new file in its place by a rename, and a mapping keeps
/// the old file alive. Where another program breaks that:
/// - A file that was *cut short* is an error at the next search, decoding or description. If it happens while one of them is
///   under way, or where a method of [`Pack`] reads, the touch of a missing page raises SIGBUS, which ends the process; see
///   [`exit_when_cut_short`](crate::exit_when_cut_short) for a way to go with a message. No other memory is ever read.
/// - In a file that was *written to*, also one cut short and grown again, everything is compared with its digests anew. What was read
///   while it was being written is read again. Changes are seen by the file's length and time of modification, so writing through
///   another mapping, or within the resolution of that time (some milliseconds) of the opening, is not seen until `verify`.
#[derive(Debug)]
pub struct MappedPack {
    /// Before the pack, so that it is dropped before the mapping is.
    _registered: Registered,
    pack: Pack<Mmap>,
    file: File,
    path: PathBuf,
    /// Tells mappings apart in a cache: two files may claim the same id, and one of them be damaged.
    serial: u64,
    codec: OnceLock<Codec>,
    /// What was compared with its digest, in the file as it was at that time.
    checks: Mutex<(Stamp, Arc<Checks>)>,
    /// Where memories of it are kept.
    kept_in: Mutex<Vec<Evict>>,
}

/// A file's length and time of modification: another stamp, other bytes.
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
    /// Opens the pack at `path`. Under a millisecond for any size.
    ///
    /// # Errors
    /// If the file cannot be mapped, is no pack, is of another version, or its header or manifest is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, MapError> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let path = path.as_ref();
        let failed = |source| MapError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let stamp = Stamp::of(&file).map_err(failed)?;
        // SAFETY: The mapping is read-only, so nothing is written through it. What remains is that its bytes must not change while
        // they are borrowed as `&[u8]`: the file is a finished pack, which `mempack` only ever replaces by a rename (the mapping then
        // keeps the old file), and the type's documentation demands the same of everyone else. Where that is broken by cutting the
        // file short, the pages that are gone raise SIGBUS, which ends the process: no other memory is read. Where it is
        // broken by overwriting, readers see other bytes, and every number among them is bounds-checked where it is used.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let registered = Registered::new(&map);
        let pack = Pack::open(map).map_err(|source| MapError::Open { path: path.to_owned(), source })?;
        let checks = Mutex::new((stamp, Arc::new(Checks::new(pack.manifest().counts.references))));
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (codec, kept_in) = (OnceLock::new(), Mutex::default());
        Ok(Self { _registered: registered, pack, file, path: path.to_owned(), serial, codec, checks, kept_in })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without its extension: what a pack is called where nobody gave it a name.
    pub fn stem(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The `k` references nearest to `query`, a unit vector `[dim]`, best first; equal scores in the order of their numbers.
    ///
    /// Goes through the graph with `ef` nodes in view ([`DEFAULT_EF`](crate::DEFAULT_EF) if there is no reason for another; at least
    /// `k`), so that now and then one of the nearest is missed. Packs of at most [`EXACT_UP_TO`](crate::EXACT_UP_TO) references and packs
    /// without a graph are scanned whole. Memory: a bit a reference, of which only what the search visits is touched.
    ///
    /// # Errors
    /// If the query is no vector of the pack's dimensions, or the graph or an embedding on the way is damaged.
    pub fn search(&self, query: &[f32], k: usize, ef: usize) -> Result<Vec<Hit>, SearchError> {
        self.nearest(query, k, Method::Graph { ef }, OnDamage::Fail)
    }

    /// As [`search`](Self::search), but looks at every reference and misses none.
    ///
    /// # Errors
    /// If the query is no vector of the pack's dimensions, or an embedding is damaged.
    pub fn search_exact(&self, query: &[f32], k: usize) -> Result<Vec<Hit>, SearchError> {
        self.nearest(query, k, Method::Exact, OnDamage::Fail)
    }

    /// As [`search`](Self::search) or [`search_exact`](Self::search_exact); damage on the way can be left out.
    ///
    /// A damaged vector then is no hit, a damaged list of the graph is empty, and where that leaves fewer than `k` hits, or the graph
    /// cannot be entered, every reference is looked at.
    ///
    /// # Errors
    /// If the query is no vector of the pack's dimensions, the leaf digests are damaged, or a vector or the graph is and that is to fail.
    pub fn nearest(&self, query: &[f32], k: usize, method: Method, on_damage: OnDamage<'_>) -> Result<Vec<Hit>, SearchError> {
        let tolerance = self.tolerance(on_damage);
        self.steadily(|checks| search::nearest(&self.pack, checks, query, k, method, tolerance))
    }

    /// The embedding of a reference, `[dim]`, a unit vector that has its leaf digest.
    ///
    /// # Errors
    /// If there is no such reference, or its embedding is damaged.
    pub fn embedding(&self, reference: u32) -> Result<&[F32], ReadError> {
        self.steadily(|checks| {
            checks.embeddings.once(reference, || self.pack.check_embedding(reference))?;
            self.pack.embedding(reference)
        })
    }

    /// The key of a reference.
    pub(crate) fn key(&self, reference: u32) -> Result<Digest, ReadError> {
        self.steadily(|checks| {
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

    /// Has `evict` run when this pack is dropped; the same one once.
    pub(crate) fn on_drop(&self, evict: Evict) {
        let mut kept_in = self.kept_in.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept_in.contains(&evict) {
            // A cache that is gone has nothing to evict.
            kept_in.retain(Evict::is_alive);
            kept_in.push(evict);
        }
    }

    /// Decodes the memory of a reference, whose leaf digest is compared when it is decoded for the first time.
    pub(crate) fn decode(&self, reference: u32) -> Result<Memory, ReadError> {
        self.steadily(|checks| {
            let codec = self.codec_once()?;
            let record = self.pack.record(reference)?;
            checks.memories.once(reference, || self.pack.check_record(reference))?;
            let mut memory = Memory::empty(codec.shape());
            codec.decode_memory(record, &mut memory).map_err(|error| {
                // The record is what was written, and what was written is no code.
                let offset = self.section_offset(Tag::MEMORIES) + u64::from(reference) * self.pack.record_bytes();
                Damage { section: Tag::MEMORIES, offset, defect: Defect::Codec(error) }
            })?;
            Ok(memory)
        })
    }

    /// What `read` gives of the file as it is: it is told what has been compared of just these bytes, and if they change while it
    /// reads, it reads again.
    pub(crate) fn steadily<T, E: From<ReadError>>(&self, read: impl Fn(&Checks) -> Result<T, E>) -> Result<T, E> {
        for _ in 0..MOST_ATTEMPTS {
            let (stamp, checks) = self.checks()?;
            let result = checks.leaves(&self.pack).map_err(E::from).and_then(|()| read(&checks));
            if self.stamp() == stamp {
                return result;
            }
        }
        let defect = Defect::TooLarge { field: "changes of the file while it was read", limit: MOST_ATTEMPTS - 1, found: MOST_ATTEMPTS };
        Err(ReadError::from(self.damage_at(0, defect)).into())
    }

    /// The file's stamp, and what was compared under it.
    fn checks(&self) -> Result<(Stamp, Arc<Checks>), ReadError> {
        let stamp = self.stamp();
        if stamp.bytes < self.pack.bytes() {
            let defect =
                Defect::TooSmall { field: "length of the file, which was cut short,", limit: self.pack.bytes(), found: stamp.bytes };
            return Err(self.damage_at(stamp.bytes, defect).into());
        }
        // Nothing under this lock can leave a half-made value.
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.0 != stamp {
            *checks = (stamp, Arc::new(Checks::new(self.pack.manifest().counts.references)));
        }
        Ok((stamp, Arc::clone(&checks.1)))
    }

    /// A file that the system no longer tells of (on a network, say) is as good as cut short: its pages are gone as well.
    fn stamp(&self) -> Stamp {
        Stamp::of(&self.file).unwrap_or(Stamp { bytes: 0, modified: None })
    }

    /// Damage at a byte of the file, in whatever section that is.
    fn damage_at(&self, offset: u64, defect: Defect) -> Damage {
        let section = self.pack.sections().iter().find(|section| offset < section.offset.saturating_add(section.length));
        Damage { section: section.map_or(Tag::MANIFEST, |section| section.tag), offset, defect }
    }

    /// Where a section begins in the file.
    pub(crate) fn section_offset(&self, tag: Tag) -> u64 {
        self.pack.sections().iter().find(|section| section.tag == tag).map_or(0, |section| section.offset)
    }

    fn codec_once(&self) -> Result<&Codec, ReadError> {
        if let Some(codec) = self.codec.get() {
            return Ok(codec);
        }
        // Two threads may both parse at first; one result stays.
        let codec = self.pack.codec()?;
        Ok(self.codec.get_or_init(|| codec))
    }
}

impl Drop for MappedPack {
    fn drop(&mut self) {
        let kept_in = self.kept_in.get_mut().unwrap_or_else(PoisonError::into_inner);
        kept_in.iter().for_each(|evict| evict.pack(self.serial));
    }
}

impl Deref for MappedPack {
    type Target = Pack<Mmap>;

    fn deref(&self) -> &Pack<Mmap> {
        &self.pack
    }
}
