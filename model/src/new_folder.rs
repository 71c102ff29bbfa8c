//! Folders that come into being whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A folder that is filled beside its target and takes its name at the end; dropped before, it goes away.
#[derive(Debug)]
pub struct NewFolder {
    part: tempfile::TempDir,
    target: PathBuf,
}

impl NewFolder {
    /// A folder that will be `target`, whose parents are made where they are missing.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent)?;
        let prefix = format!(".{}.part-", target.file_name().unwrap_or_default().to_string_lossy());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        // Made for its owner alone, as temporary folders are; this one becomes a folder like any other.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        Ok(Self { part: builder.tempdir_in(parent)?, target: target.to_owned() })
    }

    /// Where the file `name` is until the folder is finished.
    pub fn join(&self, name: &str) -> PathBuf {
        self.part.path().join(name)
    }

    /// Writes a file and syncs it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the target has come up, or a failure of the system.
    pub fn finish(self) -> io::Result<()> {
        // A rename would take the place of an empty folder that has come up since the start.
        if self.target.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let sync = |path: &Path| File::open(path)?.sync_all();
        sync(self.part.path())?;
        std::fs::rename(self.part.path(), &self.target)?;
        let _ = self.part.keep();
        // The folder is there and whole. Where its parent cannot be synced, a crash may undo the rename and nothing else.
        let _ = self.target.parent().map(sync);
        Ok(())
    }
}
