//! The folder in which a pack is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WriteError;
use super::spool::io_error;
use crate::{Storage, StorageFile};

/// The folder `<target>.building` beside a target, which one process has at a time: everything that is written before the pack is
/// whole lies in it, and nothing in it is named as a pack is.
///
/// `scratch/` in it is emptied when the folder is opened and when it is closed. What else its user puts there outlives an
/// interruption: closing removes the folder only if nothing of that kind is in it.
#[derive(Debug)]
pub struct WorkFolder {
    storage: Arc<dyn Storage>,
    target: PathBuf,
    path: PathBuf,
    lock: Option<Box<dyn StorageFile>>,
}

impl WorkFolder {
    /// Opens the folder of `target`, and makes it if it is not there.
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
            // One that was made just now is of no use without a lock.
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

    /// The folder in it for files that do not outlive an interruption.
    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Where its files lie.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The pack to be made.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives a finished file of the folder, which was synced, the target's name, and waits until the name is on the disk.
    ///
    /// # Errors
    /// If renaming fails, and then the target is as it was, or syncing the folder does.
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
        // What cannot be removed now is when the folder is opened next.
        let _ = self.empty_scratch();
        let _ = self.storage.remove_file(&self.path.join(LOCK));
        let _ = self.storage.remove_empty_folder(&self.path);
    }
}

const LOCK: &str = "lock";

pub(super) fn parent(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
