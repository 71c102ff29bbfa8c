//! The file of keys on the disk: reading it, and replacing it while nobody else does.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Defect, KeysError};

/// Most bytes of a file of keys.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that is right but dangerous.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// Others than its owner may read or change the file.
    #[error("{}: others than the owner may read or change the file of keys (mode {mode:03o}); use chmod 600", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permissions: the last nine bits of its mode.
        mode: u32,
    },
}

/// What a file held, and what is to be said about it.
pub(crate) struct Contents {
    pub bytes: Vec<u8>,
    pub warnings: Vec<Warning>,
    pub stamp: Stamp,
}

/// By what a change of a file is noticed: its identity, length and modification time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: Option<(u64, u64)>,
    length: u64,
    modified: Option<std::time::SystemTime>,
}

impl Stamp {
    fn of(data: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let file = Some((std::os::unix::fs::MetadataExt::dev(data), std::os::unix::fs::MetadataExt::ino(data)));
        #[cfg(not(unix))]
        let file = None;
        Self { file, length: data.len(), modified: data.modified().ok() }
    }

    /// The stamp of the file that is there now.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|data| Self::of(&data))
    }

    /// Whether the file was last changed so long ago that another change would give another stamp. File systems count in steps of up to 2 s.
    pub fn is_settled(&self) -> bool {
        self.modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > Duration::from_secs(2))
    }
}

fn failed<'a>(path: &'a Path, action: &'static str) -> impl FnOnce(io::Error) -> KeysError + 'a {
    move |source| KeysError::Io { path: path.to_owned(), action, source }
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Contents, KeysError> {
    let open = || -> io::Result<(Vec<u8>, fs::Metadata)> {
        let data = fs::metadata(path)?;
        // A pipe or a terminal could keep the reader waiting for ever.
        if !data.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
        }
        let file = File::open(path)?;
        let data = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok((bytes, data))
    };
    let (bytes, data) = open().map_err(failed(path, "read"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_long(path));
    }
    Ok(Contents { bytes, warnings: permissions(path, &data).into_iter().collect(), stamp: Stamp::of(&data) })
}

fn too_long(path: &Path) -> KeysError {
    KeysError::Malformed { path: path.to_owned(), line: 1, field: None, defect: Box::new(Defect::TooLong { limit: MAX_BYTES }) }
}

#[cfg(unix)]
fn permissions(path: &Path, data: &fs::Metadata) -> Option<Warning> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o777;
    (mode & 0o077 != 0).then(|| Warning::Permissions { path: path.to_owned(), mode })
}

#[cfg(not(unix))]
fn permissions(_: &Path, _: &fs::Metadata) -> Option<Warning> {
    None
}

/// A file that no other process replaces as long as this value lives. Readers need no lock: the file is replaced at once.
pub(crate) struct Locked {
    path: PathBuf,
    _lock: File,
}

impl Locked {
    /// Waits for other writers, but not for ever. The lock is `PATH.lock`, which stays: a lock that is removed can be held twice.
    pub fn new(path: &Path) -> Result<Self, KeysError> {
        Self::within(path, PATIENCE)
    }

    fn within(path: &Path, patience: Duration) -> Result<Self, KeysError> {
        // A link stays a link: the file that it leads to is replaced.
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(failed(path, "find")(error)),
        };
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(&name).map_err(failed(&name, "lock"))?;
        let since = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(TryLockError::WouldBlock) if since.elapsed() < patience => thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::WouldBlock) => return Err(KeysError::Locked { path: name, waited: since.elapsed() }),
                Err(TryLockError::Error(error)) => return Err(failed(&name, "lock")(error)),
            }
        }
    }

    /// The file, if there is one.
    pub fn read(&self) -> Result<Option<Contents>, KeysError> {
        match read(&self.path) {
            Err(KeysError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            result => result.map(Some),
        }
    }

    /// Replaces the file, or makes it: all of it or nothing, readable by its owner alone. Its owner stays.
    pub fn write(&self, bytes: &[u8]) -> Result<(), KeysError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_long(&self.path));
        }
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let write = || -> io::Result<()> {
            // Made with mode 600, and removed if anything fails.
            let mut new = tempfile::Builder::new().prefix(".keys-").suffix(".new").tempfile_in(folder)?;
            new.write_all(bytes)?;
            keep_owner(&self.path, new.as_file())?;
            new.as_file().sync_all()?;
            new.persist(&self.path).map_err(|error| error.error)?;
            sync_folder(folder)
        };
        write().map_err(failed(&self.path, "write"))
    }
}

/// Gives a new file the owner of the old one, so that a server that runs as another user can still read the keys that root writes.
#[cfg(unix)]
fn keep_owner(old: &Path, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let Ok(old) = fs::metadata(old) else { return Ok(()) };
    let data = new.metadata()?;
    if (old.uid(), old.gid()) == (data.uid(), data.gid()) { Ok(()) } else { fchown(new, Some(old.uid()), Some(old.gid())) }
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}

/// On Windows, folders cannot be opened for this, and it is not needed.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_waits_for_another_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let first = Locked::new(&path).unwrap();
        let refused = Locked::within(&path, Duration::from_millis(50)).err().unwrap();
        assert!(matches!(&refused, KeysError::Locked { path, waited } if path.ends_with("keys.toml.lock") && waited.as_millis() >= 50));
        thread::scope(|scope| {
            let second = scope.spawn(|| Locked::within(&path, Duration::from_secs(60)));
            thread::sleep(Duration::from_millis(30));
            assert!(!second.is_finished());
            drop(first);
            assert!(second.join().unwrap().is_ok());
        });
    }

    #[test]
    fn a_file_that_was_just_changed_may_change_unnoticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, "version = 1\n").unwrap();
        assert!(!Stamp::at(&path).unwrap().is_settled());
        let earlier = std::time::SystemTime::now() - Duration::from_secs(3);
        File::options().write(true).open(&path).unwrap().set_modified(earlier).unwrap();
        let settled = Stamp::at(&path).unwrap();
        assert!(settled.is_settled());
        assert_eq!(Stamp::at(&path).unwrap(), settled);
        fs::write(&path, "version = 2\n").unwrap();
        assert_ne!(Stamp::at(&path).unwrap(), settled);
    }
}
