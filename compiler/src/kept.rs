//! What a build keeps when it is interrupted, and takes over when it is started again.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use mempack_format::{Digest, WorkFolder};

use crate::BuildError;
use crate::scratch::failed;
use crate::slots::Slots;

/// Memories of the codec's sample.
const SAMPLE: &str = "sample";
/// The codec's parameters.
const CODEC: &str = "codec";
/// Records and embeddings.
const RECORDS: &str = "records";

/// What lies ready for the same build to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub folder: PathBuf,
    /// How far the build came, if it came so far as to know.
    pub done: Option<Done>,
}

/// How far a stage came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// What is counted.
    pub what: &'static str,
    /// How many of them are done.
    pub done: u64,
    /// How many there are, where that is known before the end.
    pub total: Option<u64>,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match self.done {
            Some(Done { what, done, total: Some(total) }) => write!(f, "{done} of {total} {what} are done and kept in {folder}")?,
            Some(Done { what, done, total: None }) => write!(f, "{done} {what} are done and kept in {folder}")?,
            None => write!(f, "what was done before is kept in {folder}")?,
        }
        f.write_str("; the same command goes on from there; delete that folder to give up")
    }
}

/// The files in the work folder that outlive an interruption.
pub(crate) struct Keeper<'a> {
    folder: &'a WorkFolder,
    done: RefCell<Option<Done>>,
}

impl<'a> Keeper<'a> {
    pub fn new(folder: &'a WorkFolder) -> Self {
        Self { folder, done: RefCell::new(None) }
    }

    /// A stage begins whose work is kept.
    pub fn begin(&self, what: &'static str, total: Option<u64>) {
        self.done.replace(Some(Done { what, done: 0, total }));
    }

    /// So much more of it is done.
    pub fn advance(&self, count: u64) {
        if let Some(done) = &mut *self.done.borrow_mut() {
            done.done += count;
        }
    }

    pub fn sample(&self, identity: Digest, payload: usize) -> Result<Slots, BuildError> {
        self.slots(SAMPLE, identity, payload)
    }

    pub fn records(&self, identity: Digest, payload: usize) -> Result<Slots, BuildError> {
        self.slots(RECORDS, identity, payload)
    }

    fn slots(&self, name: &str, identity: Digest, payload: usize) -> Result<Slots, BuildError> {
        Slots::open(&**self.folder.storage(), self.folder.path().join(name), identity, payload)
    }

    /// The codec's parameters, if they were kept from training that `identity` names.
    pub fn parameters(&self, identity: &Digest) -> Result<Option<Vec<u8>>, BuildError> {
        let (path, mut bytes) = (self.folder.path().join(CODEC), Vec::new());
        if !self.folder.storage().exists(&path) {
            return Ok(None);
        }
        let read = |bytes: &mut Vec<u8>| -> io::Result<()> {
            let file = self.folder.storage().open(&path)?;
            bytes.resize(file.length()? as usize, 0);
            file.read_exact_at(bytes, 0)
        };
        read(&mut bytes).map_err(failed(&path))?;
        let parameters = bytes.split_off(bytes.len().min(32));
        Ok((bytes == sealed(identity, &parameters).0).then_some(parameters))
    }

    pub fn keep_parameters(&self, identity: &Digest, parameters: &[u8]) -> Result<(), BuildError> {
        let path = self.folder.path().join(CODEC);
        let write = || {
            let file = self.folder.storage().create(&path)?;
            file.write_all_at(&[&sealed(identity, parameters).0, parameters].concat(), 0)
        };
        write().map_err(failed(&path))
    }

    /// What is kept, if anything is.
    pub fn kept(&self) -> Option<Kept> {
        let storage = self.folder.storage();
        let holds = |path: &Path| storage.exists(path) && storage.open(path).and_then(|file| file.length()).is_ok_and(|n| n > Slots::FIRST);
        let any = [SAMPLE, CODEC, RECORDS].iter().any(|name| holds(&self.folder.path().join(name)));
        any.then(|| Kept { folder: self.folder.path().to_owned(), done: *self.done.borrow() })
    }
}

/// The digest that stands before kept parameters.
fn sealed(identity: &Digest, parameters: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"mempack trained codec, version 1\0").update(&identity.0).update(parameters);
    hasher.finalize().into()
}
