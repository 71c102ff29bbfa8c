//! The folder in which a pack is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WriteError;
use super::spool::io_error;
use crate::{Storage, StorageFile};

/// The folder `<target>.building` beside a target, which one process can have open at a time. It holds everything that is written before the
/// pack is complete; no file in it has the name of a pack.
///
/// Its `scratch/` is emptied when the folder is opened and when it is closed. Other files in it survive an interruption: closing removes the
/// folder only if there are none.
#[derive(Debug)]
pub struct WorkFolder {
    storage: Arc<dyn Storage>,
    target: PathBuf,
    path: PathBuf,
    lock: Option<Box<dyn StorageFile>>,
}

impl WorkFolder {
    /// Opens the folder of `target`, and creates it if it does not exist.
    ///
    /// # Errors
    /// If the target's folder is missing or cannot be written to, the target is a folder, or another process has the folder.
    pub fn open(storage: Arc<dyn Storage>, target: &Path) -> Result<Self, WriteError> {
        let target = target.to_path_buf();
        let Some(name) = target.file_name().filter(|_| !storage.is_folder(&target)) else {
            return Err(WriteError::TargetIsFolder { path: target });
        };
        let parent = parent(&target);
        if !storage.is_folder(parent) {
            return Err(WriteError::MissingFolder { folder: parent.to_path_buf(), path: target });
        }
        let mut name = name.to_os_string();
        name.push(".building");
        let path = target.with_file_name(name);
        storage.create_folder(&path).map_err(io_error(parent, "write into folder"))?;
        let locked = storage.lock(&path.join(LOCK)).map_err(|source| {
            // A folder that was just created is useless without a lock.
            let _ = storage.remove_empty_folder(&path);
            io_error(&path, "write into folder")(source)
        });
        let Some(lock) = locked? else { return Err(WriteError::Busy { path: target, folder: path }) };
        let folder = Self { storage, target, path, lock: Some(lock) };
        folder.empty_scratch()?;
        let scratch = folder.scratch();
        folder.storage.create_folder(&scratch).map_err(io_error(&scratch, "create"))?;
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder in it for files that do not survive an interruption.
    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// The storage of its files.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The pack to be written.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Renames a finished and synced file of the folder to the target, and waits until the name is on the disk.
    ///
    /// # Errors
    /// If renaming fails, and the target is then unchanged; or if syncing the folder fails.
    pub fn publish(&self, file: &Path) -> Result<(), WriteError> {
        super::publish(&*self.storage, file, &self.target)
    }

    /// Removes the folder with everything in it.
    ///
    /// # Errors
    /// If something in it cannot be removed.
    pub fn remove(mut self) -> Result<(), WriteError> {
        let removed = self.storage.remove_folder(&self.path).map_err(io_error(&self.path, "remove"));
        self.lock = None;
        removed
    }

    fn empty_scratch(&self) -> Result<(), WriteError> {
        let scratch = self.scratch();
        self.storage.remove_folder(&scratch).map_err(io_error(&scratch, "remove"))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        // What cannot be removed now is removed when the folder is opened next.
        let _ = self.empty_scratch();
        let _ = self.storage.remove_file(&self.path.join(LOCK));
        let _ = self.storage.remove_empty_folder(&self.path);
    }
}

const LOCK: &str = "lock";

pub(super) fn parent(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
