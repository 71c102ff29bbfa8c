//! The folder of packs: what is mounted from it, and what is remembered for the next start.
//!
//! Every `NAME.mpk` in the folder is served as NAME. A file that is renamed over it is served in its place once all of its bytes have been checked;
//! requests under way keep the old one. Packs that are mounted by name, and those that are unmounted, are in `mounts.json` in the folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mempack_format::{PackId, VerifyError};
use mempack_runtime::{MapError, MappedPack, MountError, Mounts};
use serde::{Deserialize, Serialize};

use crate::fetch::Part;

/// The file in the folder that remembers what is mounted.
const REMEMBERED: &str = "mounts.json";

/// Why a pack was not mounted or unmounted. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The service has no folder of packs.
    #[error("the service has no folder of packs; start it with --packs-dir")]
    NoFolder,
    /// A name that no pack can have.
    #[error("`{name}` is no name of a pack; use letters, digits, `-`, `_` and `.`, at most 64, not a dot first")]
    Name {
        /// The name.
        name: String,
    },
    /// A path outside the folder.
    #[error("`{path}` is not in the folder of packs")]
    Outside {
        /// The path, as it was given.
        path: String,
    },
    /// The file cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Read {
        /// The path, as it was given.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The file is no pack.
    #[error(transparent)]
    Open(#[from] MapError),
    /// The pack is damaged.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// The pack's file.
        path: PathBuf,
        /// The first damage.
        source: Box<VerifyError>,
    },
    /// The pack does not fit the others, or lacks a signature.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A pack that was named when the service was started.
    #[error("`{name}` was named when the service was started and stays")]
    Fixed {
        /// Its name.
        name: String,
    },
    /// What is mounted cannot be remembered.
    #[error("{} cannot be written: {source}", path.display())]
    Remember {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// What is remembered for the next start.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Remembered {
    /// Packs that were mounted by name: their paths in the folder.
    mounted: BTreeMap<String, PathBuf>,
    /// Packs that were unmounted although their file is there: their ids. Another version of a file is mounted again.
    unmounted: BTreeMap<String, String>,
}

/// Tells whether a file is the one that was looked at before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), bytes: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// The folder of packs.
pub struct Shelf {
    mounts: Arc<Mounts>,
    folder: Option<PathBuf>,
    /// Names of packs that were named when the service was started.
    fixed: Vec<String>,
    /// Not held while the bytes of a pack are checked, which takes long.
    state: Mutex<Shelved>,
}

#[derive(Default)]
struct Shelved {
    remembered: Remembered,
    /// Files that were looked at, by the names of their packs.
    seen: HashMap<String, Stamp>,
    /// Packs whose files are missing, which has been told.
    missing: HashSet<String>,
}

/// What a look at the folder changed.
#[derive(Debug, Default)]
pub struct Looked {
    /// Packs that were mounted, replaced or unmounted.
    pub changed: Vec<String>,
    /// Packs that could not be mounted, each told once.
    pub refused: Vec<(String, ShelfError)>,
}

impl Shelf {
    /// Packs of a folder beside those that are mounted already.
    ///
    /// # Errors
    /// A folder that cannot be read, or whose `mounts.json` is not right.
    pub fn open(mounts: Arc<Mounts>, folder: Option<&Path>) -> Result<Self, ShelfError> {
        let fixed = mounts.packs().packs().iter().map(|mounted| mounted.name().to_owned()).collect();
        let read = |path: &Path, source| ShelfError::Read { path: path.display().to_string(), source };
        let folder = folder.map(|folder| folder.canonicalize().map_err(|source| read(folder, source))).transpose()?;
        let mut remembered = Remembered::default();
        if let Some(path) = folder.as_ref().map(|folder| folder.join(REMEMBERED)) {
            match fs::read(&path) {
                Ok(bytes) => {
                    remembered = serde_json::from_slice(&bytes).map_err(|error| read(&path, io::Error::other(error)))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(read(&path, error)),
            }
        }
        let state = Mutex::new(Shelved { remembered, ..Shelved::default() });
        Ok(Self { mounts, folder, fixed, state })
    }

    /// The folder.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Mounts what is new in the folder and checks every byte of it, and unmounts what has left it. A file is looked at again only when it has changed.
    pub fn look(&self) -> Looked {
        let mut looked = Looked::default();
        let Some(folder) = &self.folder else { return looked };
        let mut wanted: BTreeMap<String, PathBuf> = BTreeMap::new();
        match fs::read_dir(folder) {
            Ok(entries) => {
                for path in
                    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|kind| kind == "mpk"))
                {
                    if let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|name| is_name(name)) {
                        wanted.insert(name.to_owned(), path);
                    }
                }
            }
            Err(source) => {
                let path = folder.display().to_string();
                looked.refused.push((String::new(), ShelfError::Read { path, source }));
                return looked;
            }
        }
        wanted.extend(self.lock().remembered.mounted.iter().map(|(name, path)| (name.clone(), folder.join(path))));
        wanted.retain(|name, _| !self.fixed.contains(name));
        for (name, path) in &wanted {
            let mut state = self.lock();
            let stamp = match fs::metadata(path) {
                Ok(metadata) => Stamp::of(&metadata),
                Err(source) => {
                    // Its file has left the folder. It is mounted again when there is one.
                    let was_there = state.seen.remove(name).is_some();
                    if was_there && self.mounts.unmount(name).is_ok() {
                        looked.changed.push(name.clone());
                    }
                    if was_there || state.missing.insert(name.clone()) {
                        looked.refused.push((name.clone(), ShelfError::Read { path: path.display().to_string(), source }));
                    }
                    continue;
                }
            };
            state.missing.remove(name);
            if state.seen.insert(name.clone(), stamp) == Some(stamp) {
                continue;
            }
            drop(state);
            match self.take(name, path, stamp) {
                Ok(true) => looked.changed.push(name.clone()),
                Ok(false) => {}
                Err(error) => looked.refused.push((name.clone(), error)),
            }
        }
        let mut state = self.lock();
        let gone: Vec<String> = state.seen.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            state.seen.remove(&name);
            if self.mounts.unmount(&name).is_ok() {
                looked.changed.push(name);
            }
        }
        looked
    }

    /// Mounts a pack of the folder under a name, in place of the one that has it, and remembers it. Every byte is checked first.
    ///
    /// # Errors
    /// A name or path that is not allowed, a file that is no whole pack, a pack that does not fit the others or lacks a signature, a folder that cannot
    /// be written.
    pub fn mount(&self, name: &str, path: &str) -> Result<PackId, ShelfError> {
        let folder = self.folder.as_ref().ok_or(ShelfError::NoFolder)?;
        self.check_name(name)?;
        let read = |source| ShelfError::Read { path: path.to_owned(), source };
        let outside = || ShelfError::Outside { path: path.to_owned() };
        // Refused before anything is looked at: the answer must not tell what exists elsewhere.
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(outside());
        }
        // A link that leads out of the folder leads to a path outside.
        let file = folder.join(path).canonicalize().map_err(read)?;
        let inside = file.strip_prefix(folder).map_err(|_| outside())?;
        let stamp = Stamp::of(&fs::metadata(&file).map_err(read)?);
        let pack = self.checked(&file)?;
        self.settle(name, inside, stamp, pack)
    }

    /// Stores a pack that was fetched as `NAME.mpk`, mounts it under the name, and remembers it. Every byte is checked first; what cannot be mounted takes
    /// the place of no file.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub fn adopt(&self, name: &str, part: Part) -> Result<PackId, ShelfError> {
        self.check_name(name)?;
        let target = part.target().to_owned();
        let inside = PathBuf::from(target.file_name().unwrap_or_default());
        let read = |source| ShelfError::Read { path: inside.display().to_string(), source };
        let stamp = Stamp::of(&fs::metadata(part.path()).map_err(read)?);
        drop(self.checked(part.path())?);
        part.keep().map_err(|source| ShelfError::Remember { path: target.clone(), source })?;
        let kept = Stamp::of(&fs::metadata(&target).map_err(read)?);
        // Opened again under its name. Its bytes need no other check, unless somebody has replaced it already.
        let pack = if kept == stamp { Arc::new(MappedPack::open(&target)?) } else { self.checked(&target)? };
        self.settle(name, &inside, kept, pack)
    }

    /// Remembers a pack that can be mounted, and mounts it.
    fn settle(&self, name: &str, inside: &Path, stamp: Stamp, pack: Arc<MappedPack>) -> Result<PackId, ShelfError> {
        let mut state = self.lock();
        let mut remembered = state.remembered.clone();
        remembered.unmounted.remove(name);
        remembered.mounted.insert(name.to_owned(), inside.to_owned());
        self.remember(&remembered)?;
        let id = self.place(name, pack)?;
        state.remembered = remembered;
        state.seen.insert(name.to_owned(), stamp);
        Ok(id)
    }

    /// Unmounts a pack, and remembers that.
    ///
    /// # Errors
    /// If no pack has the name, or it was named when the service was started.
    pub fn unmount(&self, name: &str) -> Result<(), ShelfError> {
        if self.fixed.iter().any(|fixed| fixed == name) {
            return Err(ShelfError::Fixed { name: name.to_owned() });
        }
        let mut state = self.lock();
        let mut remembered = state.remembered.clone();
        if let Some(mounted) = self.mounts.packs().get(name) {
            remembered.mounted.remove(name);
            remembered.unmounted.insert(name.to_owned(), mounted.id().to_string());
            self.remember(&remembered)?;
        }
        self.mounts.unmount(name)?;
        state.remembered = remembered;
        Ok(())
    }

    /// Checks that a pack can be mounted under this name.
    ///
    /// # Errors
    /// A name that no pack can have, or that of a pack that stays.
    pub fn check_name(&self, name: &str) -> Result<(), ShelfError> {
        match () {
            () if !is_name(name) => Err(ShelfError::Name { name: name.to_owned() }),
            () if self.fixed.iter().any(|fixed| fixed == name) => Err(ShelfError::Fixed { name: name.to_owned() }),
            () => Ok(()),
        }
    }

    /// Mounts or replaces a pack that was seen with a stamp, after a check of all its bytes, unless it is the version that was unmounted, or the name was given to
    /// another file meanwhile. Returns whether it did.
    fn take(&self, name: &str, path: &Path, stamp: Stamp) -> Result<bool, ShelfError> {
        let is_unmounted =
            |state: &Shelved, id: PackId| state.remembered.unmounted.get(name).is_some_and(|unmounted| *unmounted == id.to_string());
        if is_unmounted(&self.lock(), MappedPack::open(path)?.id()) {
            return Ok(false);
        }
        let pack = self.checked(path)?;
        let state = self.lock();
        if state.seen.get(name) != Some(&stamp) || is_unmounted(&state, pack.id()) {
            return Ok(false);
        }
        self.place(name, pack).map(|_| true)
    }

    /// A pack that can be mounted, all of whose bytes are right.
    ///
    /// # Errors
    /// A file that is no whole pack, a pack that does not fit the others or lacks a signature.
    fn checked(&self, path: &Path) -> Result<Arc<MappedPack>, ShelfError> {
        let pack = Arc::new(MappedPack::open(path)?);
        self.mounts.check(&pack)?;
        let damaged = |source| ShelfError::Damaged { path: path.to_owned(), source: Box::new(source) };
        pack.verify(&mut |_| ControlFlow::Continue(())).map_err(damaged)?;
        Ok(pack)
    }

    fn place(&self, name: &str, pack: Arc<MappedPack>) -> Result<PackId, ShelfError> {
        let id = pack.id();
        match self.mounts.packs().get(name) {
            Some(_) => drop(self.mounts.replace(name, pack)?),
            None => self.mounts.mount(name, pack)?,
        }
        Ok(id)
    }

    /// Writes what is remembered: beside the file, then over it.
    fn remember(&self, remembered: &Remembered) -> Result<(), ShelfError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let (path, part) = (folder.join(REMEMBERED), folder.join(".mounts.json.part"));
        let write = || {
            let mut file = File::create(&part)?;
            file.write_all(&serde_json::to_vec_pretty(remembered)?)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| ShelfError::Remember { path: path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Shelved> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["legal", "legal-2026.1", "A_b", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".hidden", "..", "a/b", "a b", "a\n", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
