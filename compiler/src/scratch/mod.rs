//! Files that a build needs for itself, in a folder beside the target that disappears with the build.

mod candidates;
mod sort;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

pub(crate) use candidates::{Candidate, CandidateReader, CandidateWriter};
pub(crate) use sort::{Sorted, Sorter};
use tempfile::TempDir;

use crate::BuildError;

/// The folder; removed with everything in it when dropped, so on success, failure and interruption alike.
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A new folder `<target>.part-XXXXXX` beside the target: the same disk as the pack, and room there is needed anyway.
    pub fn beside(target: &Path) -> Result<Self, BuildError> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut prefix = target.file_name().unwrap_or_default().to_owned();
        prefix.push(".part-");
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(parent)
            .map_err(|source| BuildError::Scratch { path: parent.to_owned(), source })?;
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new file to write.
    pub fn create(&self, name: &str) -> Result<BufWriter<File>, BuildError> {
        let path = self.path(name);
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => Ok(BufWriter::with_capacity(1 << 18, file)),
            Err(source) => Err(BuildError::Scratch { path, source }),
        }
    }
}

/// The error of a scratch file.
pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> BuildError + '_ {
    move |source| BuildError::Scratch { path: path.to_owned(), source }
}
