//! Where a writer's files lie: the disk, or in tests something that fails as disks do.

mod cursor;
mod disk;

use std::fmt::Debug;
use std::io;
use std::path::Path;

pub use cursor::StorageCursor;
pub use disk::{DiskFile, DiskStorage};

/// A file system, as far as the writing of packs needs one.
///
/// Everything that a [`PackWriter`](crate::PackWriter) or a build writes goes through it. What a killed process or a dead machine
/// leaves behind is as on a disk: contents are safe once [`StorageFile::sync`] has returned, names once
/// [`sync_folder`](Self::sync_folder) has; a rename happens as a whole or not at all.
pub trait Storage: Debug + Send + Sync {
    /// A file to read and write, empty; one that is there is emptied.
    ///
    /// # Errors
    /// What the system says; so for all that follow.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// A file to read and write with what is in it; made if it is not there.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// A file that no other process has, until it is dropped or the process ends; none if another one has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageFile>>>;

    /// Makes a folder, if it is not there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Whether a file or folder is there.
    fn exists(&self, path: &Path) -> bool;

    /// Whether there is a folder.
    fn is_folder(&self, path: &Path) -> bool;

    /// Gives a file another name, in place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives file `to` the permissions of file `from`. They are safe once `to` is synced.
    fn copy_permissions(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are safe.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with everything in it, if it is there.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder if nothing is in it; says whether it is gone.
    fn remove_empty_folder(&self, path: &Path) -> io::Result<bool>;
}

/// A file of a [`Storage`]. Several threads may read and write it at the same time, each where the others do not write.
pub trait StorageFile: Debug + Send + Sync {
    /// Reads from byte `at`; gives the bytes read, 0 only at the end of the file.
    ///
    /// # Errors
    /// What the system says; so for all that follow.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at byte `at`. A gap before it reads as zeros.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Bytes of the file.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file short, or fills it up with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Waits until the contents are safe.
    fn sync(&self) -> io::Result<()>;

    /// Fills `bytes` from byte `at`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_exact_at(&self, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    bytes = bytes.get_mut(read..).unwrap_or_default();
                    at = at.saturating_add(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
