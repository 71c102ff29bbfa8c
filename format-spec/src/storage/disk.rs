//! The file system of the machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::{Storage, StorageFile};

/// Symbolic links that lead from one to the next before the path is refused, as on Linux.
const MAX_LINKS: usize = 40;

/// The disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskStorage;

/// A file on the disk.
#[derive(Debug)]
pub struct DiskFile(File);

impl From<File> for DiskFile {
    /// A file that is open for reading and writing.
    fn from(file: File) -> Self {
        Self(file)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options
}

/// Treats a missing file as removed.
fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

impl Storage for DiskStorage {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(DiskFile(options().truncate(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(DiskFile(options().truncate(false).open(path)?)))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageFile>>> {
        let file = options().truncate(false).open(path)?;
        match file.try_lock() {
            // The process that held the lock may have removed the file meanwhile, and a third one may have created and locked another.
            Ok(()) if is_still(&file, path)? => Ok(Some(Box::new(DiskFile(file)))),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn follow_links(&self, path: &Path) -> io::Result<PathBuf> {
        let mut path = path.to_path_buf();
        for _ in 0..MAX_LINKS {
            match fs::symlink_metadata(&path) {
                // A relative link begins at its own folder; joining an absolute one replaces the whole path.
                Ok(data) if data.is_symlink() => path = path.parent().unwrap_or(Path::new("")).join(fs::read_link(&path)?),
                // What does not exist leads nowhere else, be it that a part of its path is a file.
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Err(error),
                _ => return Ok(path),
            }
        }
        Err(io::Error::other("too many symbolic links"))
    }

    fn is_regular_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn read_start(&self, path: &Path, bytes: &mut [u8]) -> io::Result<usize> {
        let mut start = Vec::with_capacity(bytes.len());
        File::open(path)?.take(bytes.len() as u64).read_to_end(&mut start)?;
        bytes.iter_mut().zip(&start).for_each(|(to, from)| *to = *from);
        Ok(start.len())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn copy_permissions(&self, from: &Path, to: &Path) -> io::Result<()> {
        let data = fs::metadata(from)?;
        keep_owner(&data, to);
        fs::set_permissions(to, data.permissions())
    }

    /// On Windows, folders cannot be opened for this, and it is not needed.
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        unless_absent(fs::remove_dir_all(path))
    }

    fn remove_empty_folder(&self, path: &Path) -> io::Result<bool> {
        match unless_absent(fs::remove_dir(path)) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
            result => result.map(|()| true),
        }
    }
}

impl StorageFile for DiskFile {
    #[cfg(unix)]
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, bytes, at)
    }

    #[cfg(windows)]
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, bytes, at)
    }

    #[cfg(unix)]
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, at)
    }

    #[cfg(windows)]
    fn write_all_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(&self.0, bytes, at)?;
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
            at += written as u64;
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Gives a file the owner and group of another. Only root may give files away, so a refusal leaves them.
#[cfg(unix)]
fn keep_owner(data: &fs::Metadata, to: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    if fs::metadata(to).is_ok_and(|now| (now.uid(), now.gid()) != (data.uid(), data.gid())) {
        let _ = chown(to, Some(data.uid()), Some(data.gid()));
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &fs::Metadata, _: &Path) {}

/// Whether a path still leads to an open file.
#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// An open file keeps its name there.
#[cfg(not(unix))]
fn is_still(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = DiskStorage.create(&path).unwrap();
        file.write_all_at(b"words", 3).unwrap();
        file.sync().unwrap();
        let mut bytes = [1; 8];
        DiskStorage.open(&path).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"\0\0\0words");
        assert_eq!(file.read_exact_at(&mut bytes, 1).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        file.set_length(2).unwrap();
        assert_eq!(file.length().unwrap(), 2);
        assert_eq!(DiskStorage.create(&path).unwrap().length().unwrap(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_the_other_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        for path in [&from, &to] {
            DiskStorage.create(path).unwrap();
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for wanted in [0o640, 0o400] {
            fs::set_permissions(&from, fs::Permissions::from_mode(wanted)).unwrap();
            DiskStorage.copy_permissions(&from, &to).unwrap();
            assert_eq!(mode(&to), wanted);
        }
        assert_eq!(DiskStorage.copy_permissions(&folder.path().join("none"), &to).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_to_a_file_that_need_not_exist() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        symlink("far/second", at("first")).unwrap();
        symlink(at("file"), at("far/second")).unwrap();
        assert_eq!(DiskStorage.follow_links(&at("first")).unwrap(), at("file"));
        fs::write(at("file"), "words").unwrap();
        assert_eq!(DiskStorage.follow_links(&at("first")).unwrap(), at("file"));
        let mut start = [0; 8];
        assert_eq!(DiskStorage.read_start(&at("first"), &mut start).unwrap(), 5);
        assert_eq!(&start, b"words\0\0\0");
        assert_eq!(DiskStorage.follow_links(&at("file/below")).unwrap(), at("file/below"));
        symlink("round", at("round")).unwrap();
        assert!(DiskStorage.follow_links(&at("round")).is_err());
        assert!(DiskStorage.is_regular_file(&at("first")) && !DiskStorage.is_regular_file(&at("far")));
        assert!(!DiskStorage.is_regular_file(Path::new("/dev/null")));
    }

    #[test]
    fn a_lock_is_had_once_and_goes_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = DiskStorage.lock(&path).unwrap();
        assert!(first.is_some() && DiskStorage.lock(&path).unwrap().is_none());
        drop(first);
        let second = DiskStorage.lock(&path).unwrap();
        assert!(second.is_some());
        // A process that removes the file needs no lock any more.
        DiskStorage.remove_file(&path).unwrap();
        assert!(DiskStorage.lock(&path).unwrap().is_some());
    }

    #[test]
    fn only_an_empty_folder_goes_without_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        DiskStorage.create_folder(&path).unwrap();
        DiskStorage.create_folder(&path).unwrap();
        DiskStorage.create(&path.join("file")).unwrap();
        assert!(DiskStorage.create_folder(&path.join("file")).is_err());
        assert!(!DiskStorage.remove_empty_folder(&path).unwrap());
        DiskStorage.remove_file(&path.join("file")).unwrap();
        assert!(DiskStorage.remove_empty_folder(&path).unwrap() && DiskStorage.remove_empty_folder(&path).unwrap());
        DiskStorage.remove_folder(&path).unwrap();
        assert!(!DiskStorage.exists(&path));
    }
}
