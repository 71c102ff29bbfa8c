//! Folders that are created whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A folder that is filled under a temporary name beside its target and renamed at the end. Dropping it earlier deletes it.
#[derive(Debug)]
pub struct NewFolder {
    part: tempfile::TempDir,
    target: PathBuf,
}

impl NewFolder {
    /// Starts a folder that will be `target`. Missing parents are created.
    ///
    /// # Errors
    /// A failure of the system.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent)?;
        let prefix = format!(".{}.part-", target.file_name().unwrap_or_default().to_string_lossy());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        // Temporary folders are private to their owner by default; this one must have ordinary permissions.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        Ok(Self { part: builder.tempdir_in(parent)?, target: target.to_owned() })
    }

    /// The path of the file `name` until the folder is finished.
    pub fn join(&self, name: &str) -> PathBuf {
        self.part.path().join(name)
    }

    /// Writes a file and syncs it.
    ///
    /// # Errors
    /// A failure of the system.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Renames the folder to its target.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the target exists by now, or a failure of the system.
    pub fn finish(self) -> io::Result<()> {
        // A rename would replace an empty folder that was created meanwhile.
        if self.target.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let sync = |path: &Path| File::open(path)?.sync_all();
        sync(self.part.path())?;
        std::fs::rename(self.part.path(), &self.target)?;
        let _ = self.part.keep();
        // The folder is complete. If its parent cannot be synced, a crash may undo the rename, but nothing else.
        let _ = self.target.parent().map(sync);
        Ok(())
    }
}
