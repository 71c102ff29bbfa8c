//! A pack in a file, mapped.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;
use mempack_format::{Codec, Damage, Defect, Memory, OpenError, Pack, ReadError, Tag};

use crate::checked::Checked;
use crate::search::{self, Hit, SearchError};

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
/// It is `Send` and `Sync`, and meant to be shared in an `Arc`.
///
/// # The file must stay as it is
/// A pack is immutable: `mempack` never writes to one that is there, but puts a new file in its place by a rename, and a mapping keeps
/// the old file alive. A program that *cuts short* a mapped file in place makes the system end this process with SIGBUS when the missing
/// part is touched; one that *overwrites* it changes what is read, which digests find for memories and nothing finds for the
/// rest. Replace packs by renaming.
#[derive(Debug)]
pub struct MappedPack {
    pack: Pack<Mmap>,
    path: PathBuf,
    /// Tells mappings apart in a cache: two files may claim the same id, and one of them be damaged.
    serial: u64,
    codec: OnceLock<Codec>,
    /// The memories whose leaf digests were found to be right.
    checked: Checked,
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
        // SAFETY: The mapping is read-only, so nothing is written through it. What remains is that its bytes must not change while
        // they are borrowed as `&[u8]`: the file is a finished pack, which `mempack` only ever replaces by a rename (the mapping then
        // keeps the old file), and the type's documentation demands the same of everyone else. Where that is broken by cutting the
        // file short, the pages that are gone raise SIGBUS, which ends the process: no other memory is read. Where it is
        // broken by overwriting, readers see other bytes, and every number among them is bounds-checked where it is used.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let pack = Pack::open(map).map_err(|source| MapError::Open { path: path.to_owned(), source })?;
        let checked = Checked::new(pack.manifest().counts.references);
        Ok(Self { pack, path: path.to_owned(), serial: SERIAL.fetch_add(1, Ordering::Relaxed), codec: OnceLock::new(), checked })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
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
        search::search(&self.pack, query, k, ef)
    }

    /// As [`search`](Self::search), but looks at every reference and misses none.
    ///
    /// # Errors
    /// If the query is no vector of the pack's dimensions, or an embedding is damaged.
    pub fn search_exact(&self, query: &[f32], k: usize) -> Result<Vec<Hit>, SearchError> {
        search::search_exact(&self.pack, query, k)
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Decodes the memory of a reference, whose leaf digest is compared when it is decoded for the first time.
    pub(crate) fn decode(&self, reference: u32) -> Result<Memory, ReadError> {
        let codec = self.codec_once()?;
        let record = self.pack.record(reference)?;
        if !self.checked.contains(reference) {
            self.pack.check_record(reference)?;
            self.checked.insert(reference);
        }
        let mut memory = Memory::empty(codec.shape());
        codec.decode_memory(record, &mut memory).map_err(|error| {
            // The record is what was written, and what was written is no code.
            let offset = self.section_offset(Tag::MEMORIES) + u64::from(reference) * self.pack.record_bytes();
            Damage { section: Tag::MEMORIES, offset, defect: Defect::Codec(error) }
        })?;
        Ok(memory)
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

impl Deref for MappedPack {
    type Target = Pack<Mmap>;

    fn deref(&self) -> &Pack<Mmap> {
        &self.pack
    }
}
