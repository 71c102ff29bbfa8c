//! The files of a folder and of the folders below it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use crate::formats::{Format, by_extension, extensions};
use crate::{CorpusError, CorpusNote};

/// A file of a known format.
pub(crate) struct FoundFile {
    pub path: PathBuf,
    /// Its path from the folder that the user named: a pack does not depend on where its corpus is stored.
    pub name: String,
    pub format: &'static dyn Format,
}

/// Iterates over the files of known formats in a folder and the folders below it, in the order of the bytes of their names. Skips
/// hidden files and folders, and links to folders.
///
/// Memory: the names in the folders above the file.
pub(crate) struct FolderFiles {
    root: String,
    /// The folders that are being read, the innermost last.
    open: Vec<Folder>,
    ignored: u64,
}

struct Folder {
    path: PathBuf,
    /// Its path from the folder that the user named, with `/` after it; empty for that folder itself.
    name: String,
    files: IntoIter<OsString>,
}

impl FolderFiles {
    pub fn open(path: &Path) -> Result<Self, CorpusError> {
        let mut files = Self { root: path.display().to_string(), open: Vec::new(), ignored: 0 };
        files.enter(path.to_owned(), String::new())?;
        Ok(files)
    }

    /// A note on the files that were skipped because their format is not known.
    pub fn note(&self) -> Option<CorpusNote> {
        let note = || CorpusNote::FilesIgnored { folder: self.root.clone(), files: self.ignored, expected: extensions() };
        (self.ignored > 0).then(note)
    }

    /// The next file.
    pub fn next_file(&mut self) -> Result<Option<FoundFile>, CorpusError> {
        while let Some(folder) = self.open.last_mut() {
            let Some(file) = folder.files.next() else {
                self.open.pop();
                continue;
            };
            let (path, file) = (folder.path.join(&file), file.to_string_lossy());
            if file.starts_with('.') {
                continue;
            }
            let name = format!("{}{file}", folder.name);
            let is_link = fs::symlink_metadata(&path).map_err(failed(&path))?.is_symlink();
            let data = fs::metadata(&path).map_err(failed(&path))?;
            if data.is_dir() {
                // A link to a folder may lead back to a folder above it.
                if !is_link {
                    self.enter(path, format!("{name}/"))?;
                }
            } else if let Some(format) = by_extension(&path).filter(|_| data.is_file()) {
                return Ok(Some(FoundFile { path, name, format }));
            } else {
                self.ignored += 1;
            }
        }
        Ok(None)
    }

    fn enter(&mut self, path: PathBuf, name: String) -> Result<(), CorpusError> {
        let mut files: Vec<OsString> = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed(&path))? {
            files.push(entry.map_err(failed(&path))?.file_name());
        }
        files.sort_unstable();
        self.open.push(Folder { path, name, files: files.into_iter() });
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> CorpusError {
    let path = path.display().to_string();
    move |source| CorpusError::Read { path, source }
}
