//! The folder in which a pack is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WriteError;
use super::spool::io_error;
use crate::constants::{MAGIC, SET_MAGIC};
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
    /// Opens the folder of `target`, and creates it if it does not exist. Symbolic links are followed: what they lead to is the target.
    ///
    /// # Errors
    /// If [`check_target`] refuses the target, or another process has the folder.
    pub fn open(storage: Arc<dyn Storage>, target: &Path) -> Result<Self, WriteError> {
        let target = check_target(&*storage, target)?;
        Self::beside(storage, target)
    }

    /// As [`open`](Self::open), for a set of packs (SPEC 18), which replaces nothing but a set.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of_set(storage: Arc<dyn Storage>, target: &Path) -> Result<Self, WriteError> {
        let target = check_target_of(&*storage, target, SET_MAGIC, |path| WriteError::TargetIsNoSet { path })?;
        Self::beside(storage, target)
    }

    /// As [`open`](Self::open), for a pack that is read and then replaced: its file may be so damaged that it does not begin as a pack.
    ///
    /// # Errors
    /// If there is no regular file, its folder cannot be written to, or another process has the folder.
    pub fn replace(storage: Arc<dyn Storage>, pack: &Path) -> Result<Self, WriteError> {
        let target = storage.follow_links(pack).map_err(io_error(pack, "find"))?;
        if !storage.is_regular_file(&target) {
            return Err(WriteError::TargetIsNoPack { path: target });
        }
        Self::beside(storage, target)
    }

    fn beside(storage: Arc<dyn Storage>, target: PathBuf) -> Result<Self, WriteError> {
        let Some(name) = target.file_name() else { return Err(WriteError::TargetIsFolder { path: target }) };
        let parent = parent(&target);
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

    /// Gives a finished file of the folder the permissions of the file that it will replace, or else those of `source`. They are safe
    /// once the file is synced.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn copy_permissions(&self, source: &Path, file: &Path) -> Result<(), WriteError> {
        super::copy_permissions(&*self.storage, &self.target, Some(source), file)
    }

    /// Renames a finished and synced file of the folder to the target, and waits until the name is on the disk.
    ///
    /// # Errors
    /// If renaming fails, and the target is then unchanged; or if syncing the folder fails.
    pub fn publish(&self, file: &Path) -> Result<(), WriteError> {
        super::publish(&*self.storage, file, &self.target)
    }

    /// Removes the folder with `files`, the names of the files that its user made in it. If it holds others, they and the folder stay.
    ///
    /// # Errors
    /// If something in it cannot be removed.
    pub fn remove(mut self, files: &[&str]) -> Result<(), WriteError> {
        self.empty_scratch()?;
        for name in files.iter().copied().chain([LOCK]) {
            let path = self.path.join(name);
            if self.storage.exists(&path) {
                self.storage.remove_file(&path).map_err(io_error(&path, "remove"))?;
            }
        }
        self.lock = None;
        self.storage.remove_empty_folder(&self.path).map_err(io_error(&self.path, "remove"))?;
        Ok(())
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

/// Checks that a pack may be written to `target`, and returns the path that it will have: the target with symbolic links followed.
/// What is there already must be a pack, or an empty file.
///
/// # Errors
/// If the target is a folder or names one, its folder does not exist, or something other than a pack is there: a file of another kind, a
/// pipe, a device.
pub fn check_target(storage: &dyn Storage, target: &Path) -> Result<PathBuf, WriteError> {
    check_target_of(storage, target, MAGIC, |path| WriteError::TargetIsNoPack { path })
}

/// As [`check_target`], for files that begin with `magic`; `other` is the error for any other file.
fn check_target_of(
    storage: &dyn Storage,
    target: &Path,
    magic: [u8; 8],
    other: impl FnOnce(PathBuf) -> WriteError,
) -> Result<PathBuf, WriteError> {
    let path = storage.follow_links(target).map_err(io_error(target, "find"))?;
    // A path that ends in `/` names a folder, which `Path::file_name` does not show.
    let names_folder = target.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
    if path.file_name().is_none() || names_folder || storage.is_folder(&path) {
        return Err(WriteError::TargetIsFolder { path: target.to_path_buf() });
    }
    let folder = parent(&path);
    if !storage.is_folder(folder) {
        return Err(WriteError::MissingFolder { folder: folder.to_path_buf(), path });
    }
    if storage.is_regular_file(&path) {
        let mut start = [0; 8];
        let length = storage.read_start(&path, &mut start).map_err(io_error(&path, "read"))?;
        if length > 0 && start != magic {
            return Err(other(path));
        }
    } else if storage.exists(&path) {
        return Err(WriteError::TargetIsNoFile { path });
    }
    Ok(path)
}

pub(super) fn parent(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
