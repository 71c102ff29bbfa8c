//! Where a writer's files are: the disk, or in tests a simulated disk with failures.

mod cursor;
mod disk;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

pub use cursor::StorageCursor;
pub use disk::{DiskFile, DiskStorage};

/// The operations of a file system that writing packs needs.
///
/// Everything that a [`PackWriter`](crate::PackWriter) or a build writes goes through it. After a crash the guarantees are those of a disk:
/// contents are safe once [`StorageFile::sync`] has returned, names once
/// [`sync_folder`](Self::sync_folder) has; a rename happens as a whole or not at all.
pub trait Storage: Debug + Send + Sync {
    /// Opens an empty file to read and write; truncates a file that exists.
    ///
    /// # Errors
    /// Those of the system, as for all methods below.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file to read and write, with its contents; creates it if it does not exist.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Locks a file until it is dropped or the process ends; `None` if another process has it locked.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageFile>>>;

    /// Creates a folder, if it does not exist.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Whether a file or folder exists.
    fn exists(&self, path: &Path) -> bool;

    /// Whether a folder exists.
    fn is_folder(&self, path: &Path) -> bool;

    /// Where writing to a path ends up: the path, with symbolic links of its last part followed. The file itself may be missing.
    fn follow_links(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }

    /// Whether there is a regular file, links followed; not a folder, a pipe or a device.
    fn is_regular_file(&self, path: &Path) -> bool {
        self.exists(path) && !self.is_folder(path)
    }

    /// Reads the first bytes of a file without changing it; returns how many there are.
    fn read_start(&self, path: &Path, bytes: &mut [u8]) -> io::Result<usize> {
        self.open(path)?.read_at(bytes, 0)
    }

    /// Renames a file, and replaces a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives file `to` the permissions of file `from` and, where the system allows it, its owner and group. They are safe once `to` is
    /// synced.
    fn copy_permissions(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are on the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with everything in it, if it exists.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder if it is empty; returns whether it is gone.
    fn remove_empty_folder(&self, path: &Path) -> io::Result<bool>;
}

/// A file of a [`Storage`]. Several threads may read and write it at the same time, in places where no other thread writes.
pub trait StorageFile: Debug + Send + Sync {
    /// Reads from byte `at`; returns the number of bytes read, 0 only at the end of the file.
    ///
    /// # Errors
    /// Those of the system, as for all methods below.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at byte `at`. A gap before it reads as zeros.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Bytes of the file.
    fn length(&self) -> io::Result<u64>;

    /// Truncates the file, or extends it with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Waits until the contents are on the disk.
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
