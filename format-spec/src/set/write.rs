//! Writing a set to its file.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::PackSetFile;
use crate::{Storage, StorageCursor, WorkFolder, WriteError};

/// Writes the set to `target` in one step: what was there stays until the new file is complete and synced. The file has the permissions of the
/// one that it replaces, or else those of `like`.
pub(super) fn write(set: &PackSetFile, storage: Arc<dyn Storage>, target: &Path, like: Option<&Path>) -> Result<(), WriteError> {
    let folder = WorkFolder::of_set(storage, target)?;
    let path = folder.scratch().join("set");
    let failed = |action| move |source| WriteError::Io { path: target.to_owned(), action, source };
    let mut file = StorageCursor::new(folder.storage().create(&path).map_err(failed("write beside"))?, 0);
    file.write_all(&set.to_bytes()).map_err(failed("write"))?;
    if let Some(like) = like {
        folder.copy_permissions(like, &path)?;
    }
    file.file().sync().map_err(failed("write"))?;
    drop(file);
    folder.publish(&path)
}
