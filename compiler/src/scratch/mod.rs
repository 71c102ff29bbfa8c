//! Temporary files of a build.

mod candidates;
mod sort;

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use candidates::{Candidate, CandidateReader, CandidateWriter};
use mempack_format::{Storage, StorageCursor};
pub(crate) use sort::{Sorted, Sorter};

use crate::BuildError;

/// The folder of temporary files. The work folder that it is in empties it.
pub(crate) struct Scratch {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
}

impl Scratch {
    /// Temporary files in `folder`, which exists.
    pub fn new(storage: Arc<dyn Storage>, folder: PathBuf) -> Self {
        Self { storage, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A new file to write.
    pub fn create(&self, name: &str) -> Result<BufWriter<StorageCursor>, BuildError> {
        let path = self.path(name);
        match self.storage.create(&path) {
            Ok(file) => Ok(BufWriter::with_capacity(1 << 18, StorageCursor::new(file, 0))),
            Err(source) => Err(BuildError::Scratch { path, source }),
        }
    }

    /// A scratch folder on the disk.
    #[cfg(test)]
    pub fn on_disk(folder: &Path) -> Self {
        Self::new(Arc::new(mempack_format::DiskStorage), folder.to_owned())
    }
}

/// The error of a scratch file.
pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> BuildError + '_ {
    move |source| BuildError::Scratch { path: path.to_owned(), source }
}
