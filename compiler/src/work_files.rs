//! The files of a build that survive an interruption, from which the same build resumes.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use mempack_format::{Digest, WorkFolder};

use crate::resume::{ResumeState, StageProgress};
use crate::scratch::failed;
use crate::slots::Slots;
use crate::{BuildError, BuildProgress};

/// File of the memories of the codec's sample.
const SAMPLE: &str = "sample";
/// File of the codec's parameters.
const CODEC: &str = "codec";
/// File of records and embeddings.
const RECORDS: &str = "records";

/// All of them.
const WORK_FILES: [&str; 3] = [SAMPLE, CODEC, RECORDS];

/// The files in the work folder that survive an interruption.
pub(crate) struct WorkFiles<'a> {
    folder: &'a WorkFolder,
    done: RefCell<Option<StageProgress>>,
}

impl<'a> WorkFiles<'a> {
    pub fn new(folder: &'a WorkFolder) -> Self {
        Self { folder, done: RefCell::new(None) }
    }

    /// Begins to count the work of a stage that survives.
    pub fn begin(&self, what: &'static str, total: Option<u64>) {
        self.done.replace(Some(StageProgress { what, done: 0, total }));
    }

    /// Counts `count` more of it as done.
    pub fn advance(&self, count: u64) {
        if let Some(done) = &mut *self.done.borrow_mut() {
            done.done += count;
        }
    }

    /// Slots for the memories of the sample.
    pub fn sample(&self, identity: Digest, payload: usize) -> Result<Slots, BuildError> {
        self.slots(SAMPLE, identity, payload)
    }

    /// Slots for records and embeddings.
    pub fn records(&self, identity: Digest, payload: usize) -> Result<Slots, BuildError> {
        self.slots(RECORDS, identity, payload)
    }

    fn slots(&self, name: &str, identity: Digest, payload: usize) -> Result<Slots, BuildError> {
        Slots::open(&**self.folder.storage(), self.folder.path().join(name), identity, payload)
    }

    /// The codec's parameters, if they are kept from the training with this identity.
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

    /// Keeps the codec's parameters from the training with this identity.
    pub fn keep_parameters(&self, identity: &Digest, parameters: &[u8]) -> Result<(), BuildError> {
        let path = self.folder.path().join(CODEC);
        let write = || {
            let file = self.folder.storage().create(&path)?;
            file.write_all_at(&[&sealed(identity, parameters).0, parameters].concat(), 0)
        };
        write().map_err(failed(&path))
    }

    /// What is kept, if anything is.
    pub fn resume_state(&self) -> Option<ResumeState> {
        let storage = self.folder.storage();
        let holds = |path: &Path| storage.exists(path) && storage.open(path).and_then(|file| file.length()).is_ok_and(|n| n > Slots::FIRST);
        let any = [SAMPLE, CODEC, RECORDS].iter().any(|name| holds(&self.folder.path().join(name)));
        any.then(|| ResumeState { folder: self.folder.path().to_owned(), done: *self.done.borrow() })
    }
}

/// Ends work in a folder with its result: removes the folder, unless it ended early with something to `resume` from.
pub(crate) fn conclude<T>(
    result: Result<T, BuildError>,
    resume: Option<ResumeState>,
    folder: WorkFolder,
    progress: &dyn BuildProgress,
) -> Result<T, BuildError> {
    match (result, resume) {
        (Ok(report), _) => {
            if let Err(error) = folder.remove(&WORK_FILES) {
                progress.note(&format!("the work is complete, but {error}"));
            }
            Ok(report)
        }
        (Err(why), Some(resume)) if !is_final(&why) => Err(BuildError::Stopped { why: Box::new(why), resume: Box::new(resume) }),
        (Err(why), _) => {
            // The first error is reported. What cannot be removed now is emptied when the folder is opened again.
            let _ = folder.remove(&WORK_FILES);
            Err(why)
        }
    }
}

/// Whether the same work would be refused again, so that none of it is kept.
fn is_final(why: &BuildError) -> bool {
    matches!(why, BuildError::Divergence { .. } | BuildError::DivergenceUnknown { .. } | BuildError::Metadata { .. })
}

/// The digest that precedes kept parameters in their file.
fn sealed(identity: &Digest, parameters: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"mempack trained codec, version 1\0").update(&identity.0).update(parameters);
    hasher.finalize().into()
}
