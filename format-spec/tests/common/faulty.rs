//! A storage in memory that fails, tears writes, dies, and forgets what was not synced.
#![allow(dead_code)] // no test uses all of it

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use mempack_format::{Storage, StorageFile};

/// What goes wrong at an operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing happens; what follows works again.
    Fail,
    /// From it on nothing grows and nothing is made.
    Full,
    /// The process dies before it: it and everything after it has no effect.
    Die,
    /// The process dies in the middle of it: of a write, half happens.
    Tear,
}

/// What is left when a process is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Everything: the machine runs on.
    All,
    /// What was synced, names and contents.
    Synced,
    /// All names, but of contents what was synced: disks may keep a rename and lose the file's bytes.
    Names,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Default, Debug)]
struct State {
    root: PathBuf,
    /// Contents now, and as synced.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    /// Permissions of the files now, and as synced.
    modes: Vec<(u32, u32)>,
    names: BTreeMap<PathBuf, Node>,
    safe: BTreeMap<PathBuf, Node>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    writes: BTreeMap<PathBuf, u64>,
    fault: Option<(u64, Fault)>,
    dead: bool,
}

/// Permissions of a new file.
pub const NEW_MODE: u32 = 0o644;

/// The storage; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Faulty(Arc<Mutex<State>>);

#[derive(Debug)]
struct Open {
    storage: Faulty,
    path: PathBuf,
    file: usize,
    locks: bool,
}

/// How much of an operation happens.
enum Extent {
    Whole,
    Half,
}

impl State {
    /// Counts an operation, and has it fail where it is to.
    fn act(&mut self, grows: bool) -> io::Result<Extent> {
        if self.dead {
            return Err(io::Error::other("the process is dead"));
        }
        let now = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, Fault::Fail)) if now == at => Err(io::Error::other("injected")),
            Some((at, Fault::Full)) if now >= at && grows => Err(ErrorKind::StorageFull.into()),
            Some((at, Fault::Die)) if now == at => {
                self.dead = true;
                Err(io::Error::other("the process is dead"))
            }
            Some((at, Fault::Tear)) if now == at => {
                self.dead = true;
                Ok(Extent::Half)
            }
            _ => Ok(Extent::Whole),
        }
    }

    /// As `act`, for what happens whole or not at all.
    fn act_whole(&mut self, grows: bool) -> io::Result<()> {
        match self.act(grows)? {
            Extent::Whole => Ok(()),
            Extent::Half => Err(io::Error::other("the process is dead")),
        }
    }

    fn parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().map(|parent| self.names.get(parent)) {
            Some(Some(Node::Folder)) => Ok(()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn file(&mut self, path: &Path) -> io::Result<Option<usize>> {
        self.parent(path)?;
        match self.names.get(path) {
            Some(Node::File(file)) => Ok(Some(*file)),
            Some(Node::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Ok(None),
        }
    }

    fn make(&mut self, path: &Path) -> io::Result<usize> {
        self.act_whole(true)?;
        self.files.push((Vec::new(), Vec::new()));
        self.modes.push((NEW_MODE, NEW_MODE));
        self.names.insert(path.to_owned(), Node::File(self.files.len() - 1));
        Ok(self.files.len() - 1)
    }
}

impl Faulty {
    /// A storage with one folder, which is safe.
    pub fn with_folder(path: &Path) -> Self {
        let storage = Self::default();
        let mut state = storage.state();
        state.root = path.to_owned();
        state.names.insert(path.to_owned(), Node::Folder);
        state.safe = state.names.clone();
        drop(state);
        storage
    }

    /// A file that is safe.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.put_with_mode(path, bytes, NEW_MODE);
    }

    /// A file with these permissions that is safe.
    pub fn put_with_mode(&self, path: &Path, bytes: &[u8], mode: u32) {
        let mut state = self.state();
        state.files.push((bytes.to_vec(), bytes.to_vec()));
        state.modes.push((mode, mode));
        let node = Node::File(state.files.len() - 1);
        state.names.insert(path.to_owned(), node);
        state.safe.insert(path.to_owned(), node);
    }

    /// The contents of a file.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        match state.names.get(path) {
            Some(Node::File(file)) => Some(state.files[*file].0.clone()),
            _ => None,
        }
    }

    /// The permissions of a file.
    pub fn mode(&self, path: &Path) -> Option<u32> {
        let state = self.state();
        match state.names.get(path) {
            Some(Node::File(file)) => Some(state.modes[*file].0),
            _ => None,
        }
    }

    /// All names.
    pub fn names(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// Operations since the beginning or the last restart.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Writes to the file of this name since then.
    pub fn writes(&self, path: &Path) -> u64 {
        self.state().writes.get(path).copied().unwrap_or(0)
    }

    /// Something goes wrong at operation `at`.
    pub fn plan(&self, at: u64, fault: Fault) {
        self.state().fault = Some((at, fault));
    }

    /// Whether the process is dead.
    pub fn dead(&self) -> bool {
        self.state().dead
    }

    /// What the next process finds.
    pub fn restart(&self, left: Left) {
        let mut state = self.state();
        let State { root, files, modes, names, safe, .. } = &mut *state;
        if left == Left::All {
            *safe = names.clone();
            files.iter_mut().for_each(|(now, synced)| synced.clone_from(now));
            modes.iter_mut().for_each(|(now, synced)| *synced = *now);
        } else {
            files.iter_mut().for_each(|(now, synced)| now.clone_from(synced));
            modes.iter_mut().for_each(|(now, synced)| *now = *synced);
            if left == Left::Names {
                *safe = names.clone();
            } else {
                // What lies in a folder that is gone is gone.
                *names = BTreeMap::from([(root.clone(), Node::Folder)]);
                for (path, node) in &*safe {
                    if path.parent().is_some_and(|parent| names.contains_key(parent)) {
                        names.insert(path.clone(), *node);
                    }
                }
                *safe = names.clone();
            }
        }
        state.locks.clear();
        state.writes.clear();
        (state.operations, state.fault, state.dead) = (0, None, false);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|error| error.into_inner())
    }

    fn opened(&self, path: &Path, file: usize, locks: bool) -> Box<dyn StorageFile> {
        Box::new(Open { storage: self.clone(), path: path.to_owned(), file, locks })
    }
}

impl Storage for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        let file = match state.file(path)? {
            None => state.make(path)?,
            Some(file) => {
                state.act_whole(false)?;
                state.files[file].0.clear();
                file
            }
        };
        Ok(self.opened(path, file, false))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        let file = match state.file(path)? {
            None => state.make(path)?,
            Some(file) => file,
        };
        Ok(self.opened(path, file, false))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageFile>>> {
        let mut state = self.state();
        let file = match state.file(path)? {
            None => state.make(path)?,
            Some(file) => file,
        };
        Ok(state.locks.insert(path.to_owned()).then(|| self.opened(path, file, true)))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.parent(path)?;
        if state.names.get(path) != Some(&Node::Folder) {
            state.act_whole(true)?;
            state.names.insert(path.to_owned(), Node::Folder);
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.state().names.contains_key(path)
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.state().names.get(path) == Some(&Node::Folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.file(to)?;
        let file = state.file(from)?.ok_or(ErrorKind::NotFound)?;
        state.act_whole(false)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), Node::File(file));
        Ok(())
    }

    fn copy_permissions(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let from = state.file(from)?.ok_or(ErrorKind::NotFound)?;
        let to = state.file(to)?.ok_or(ErrorKind::NotFound)?;
        state.act_whole(false)?;
        state.modes[to].0 = state.modes[from].0;
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.act_whole(false)?;
        let State { names, safe, .. } = &mut *state;
        let inside = |name: &Path| name.parent() == Some(path);
        safe.retain(|name, _| !inside(name));
        safe.extend(names.iter().filter(|(name, _)| inside(name)).map(|(name, node)| (name.clone(), *node)));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.file(path)?.ok_or(ErrorKind::NotFound)?;
        state.act_whole(false)?;
        state.names.remove(path);
        Ok(())
    }

    /// One operation for each name, deepest first, as on a disk.
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inside: Vec<PathBuf> = state.names.keys().filter(|name| name.starts_with(path)).rev().cloned().collect();
        for name in inside {
            state.act_whole(false)?;
            state.names.remove(&name);
        }
        Ok(())
    }

    fn remove_empty_folder(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.state();
        if state.names.keys().any(|name| name.parent() == Some(path)) {
            return Ok(false);
        }
        state.act_whole(false)?;
        state.names.remove(path);
        Ok(true)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.locks {
            self.storage.state().locks.remove(&self.path);
        }
    }
}

impl StorageFile for Open {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.storage.state();
        let rest = state.files[self.file].0.get(at as usize..).unwrap_or_default();
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.storage.state();
        let (at, end) = (at as usize, at as usize + bytes.len());
        let grows = end > state.files[self.file].0.len();
        let extent = state.act(grows)?;
        let written = match extent {
            Extent::Whole => bytes.len(),
            Extent::Half => bytes.len() / 2,
        };
        let data = &mut state.files[self.file].0;
        data.resize(data.len().max(at + written), 0);
        data[at..at + written].copy_from_slice(&bytes[..written]);
        *state.writes.entry(self.path.clone()).or_default() += 1;
        match extent {
            Extent::Whole => Ok(()),
            Extent::Half => Err(io::Error::other("the process is dead")),
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.storage.state().files[self.file].0.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.storage.state();
        let grows = length as usize > state.files[self.file].0.len();
        state.act_whole(grows)?;
        state.files[self.file].0.resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.storage.state();
        state.act_whole(false)?;
        let (now, synced) = &mut state.files[self.file];
        synced.clone_from(now);
        let (now, synced) = &mut state.modes[self.file];
        *synced = *now;
        Ok(())
    }
}

/// Every fault, with all that may be left after it.
pub const CASES: [(Fault, Left); 8] = [
    (Fault::Fail, Left::All),
    (Fault::Full, Left::All),
    (Fault::Die, Left::All),
    (Fault::Die, Left::Synced),
    (Fault::Die, Left::Names),
    (Fault::Tear, Left::All),
    (Fault::Tear, Left::Synced),
    (Fault::Tear, Left::Names),
];
