//! A set of packs on a disk: its file, and the packs beside it, mapped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mempack_format::{PackSetFile, SetError, SetId, SetMismatch};

use crate::mapped::{MapError, MappedPack};
use crate::pack_set::Mounted;
use crate::routing::{Membership, OpenedSet};

/// Why a set was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenSetError {
    /// The file cannot be read.
    #[error("{}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a set that can be read.
    #[error("{}: {source}", path.display())]
    Set {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<SetError>,
    },
    /// A pack of the set cannot be opened.
    #[error("the set {} needs a pack that cannot be opened: {source}", set.display())]
    Pack {
        /// The set's file.
        set: PathBuf,
        /// Why not.
        source: Box<MapError>,
    },
    /// The file of a pack is another pack than the set names.
    #[error("{}: {source}", set.display())]
    Mismatch {
        /// The set's file.
        set: PathBuf,
        /// In what they differ.
        source: SetMismatch,
    },
}

impl OpenSetError {
    /// Whether the set or a pack of it is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Io { .. } => false,
            Self::Set { source, .. } => source.is_damage(),
            Self::Pack { source, .. } => source.is_damage(),
            Self::Mismatch { .. } => true,
        }
    }
}

/// A set of packs (SPEC 18), all of them mapped.
///
/// Opening reads the set's file, which is small, and a few pages of each pack. A search looks at the vectors of the packs that the routing
/// table of the set names for its query: see [`PackSet::nearest`](crate::PackSet::nearest).
#[derive(Clone, Debug)]
pub struct MappedSet {
    set: Arc<OpenedSet>,
    packs: Vec<Arc<MappedPack>>,
}

impl MappedSet {
    /// Opens the set at `path` and all its packs, which are in the same folder.
    ///
    /// # Errors
    /// If the set or a pack cannot be read, or a pack is not the one that the set names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenSetError> {
        let path = path.as_ref().to_owned();
        let bytes = std::fs::read(&path).map_err(|source| OpenSetError::Io { path: path.clone(), source })?;
        let file = PackSetFile::read(&bytes).map_err(|error| OpenSetError::Set { path: path.clone(), source: Box::new(error) })?;
        let mut packs = Vec::with_capacity(file.manifest().packs.len());
        for (index, entry) in file.manifest().packs.iter().enumerate() {
            let pack = MappedPack::open(path.with_file_name(&entry.file));
            let pack = pack.map_err(|error| OpenSetError::Pack { set: path.clone(), source: Box::new(error) })?;
            file.check_pack(index, &pack).map_err(|source| OpenSetError::Mismatch { set: path.clone(), source })?;
            packs.push(Arc::new(pack));
        }
        Ok(Self { set: Arc::new(OpenedSet { path, file, probes: None }), packs })
    }

    /// The same set, of which a search looks at the vectors of `probes` packs, at least one. More of them find more of the nearest references,
    /// and take longer.
    #[must_use]
    pub fn probing(self, probes: usize) -> Self {
        let OpenedSet { path, file, .. } = &*self.set;
        let set = OpenedSet { path: path.clone(), file: file.clone(), probes: Some(probes.max(1)) };
        Self { set: Arc::new(set), packs: self.packs }
    }

    /// The path that the set was opened with.
    pub fn path(&self) -> &Path {
        &self.set.path
    }

    /// The set's id.
    pub fn id(&self) -> SetId {
        self.set.file.id()
    }

    /// What the file says.
    pub fn file(&self) -> &PackSetFile {
        &self.set.file
    }

    /// Its packs, in the order of the set.
    pub fn packs(&self) -> &[Arc<MappedPack>] {
        &self.packs
    }

    /// Its packs with the names of their files, without the extension, as parts of this set.
    pub(crate) fn mounted(&self) -> impl Iterator<Item = Mounted> {
        let part = |(index, pack): (usize, &Arc<MappedPack>)| {
            Mounted::new(pack.stem(), Arc::clone(pack)).in_set(Membership { set: Arc::clone(&self.set), index })
        };
        self.packs.iter().enumerate().map(part)
    }
}
