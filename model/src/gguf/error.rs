//! Why a GGUF file could not be imported.

use std::path::{Path, PathBuf};

/// Why a GGUF file could not be imported.
///
/// Whatever the reason, the target folder does not exist afterwards.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or mapped.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The frame of the file is damaged, or it is of a version that is not supported.
    #[error("{path}: {part}, at byte {offset}: expected {expected}, found {found}; {remedy}", path = path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Which part of the file: a field of the header, a key, a tensor.
        part: String,
        /// Where that part begins, in bytes from the start of the file.
        offset: u64,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to mend it.
        remedy: &'static str,
    },
    /// A key of the metadata is missing, of the wrong type, or has a value that is not supported.
    #[error("{path}: key `{key}`: expected {expected}, found {found}; {remedy}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to mend it.
        remedy: &'static str,
    },
    /// A tensor is missing, is not known for this architecture, or has another shape or type than the metadata says.
    #[error("{path}: tensor `{tensor}`: expected {expected}, found {found}; {remedy}", path = path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to mend it.
        remedy: &'static str,
    },
    /// The tokenizer.json that was given cannot be used.
    #[error("{path}: tokenizer: expected {expected}, found {found}; {remedy}", path = path.display())]
    Tokenizer {
        /// The tokenizer.json.
        path: PathBuf,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to mend it.
        remedy: &'static str,
    },
    /// The target is there already; it is left as it is.
    #[error("{path}: exists already; remove it, or name another folder", path = path.display())]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error("{path}: cannot be written: {source}", path = path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What a damaged file calls for.
pub(super) const FETCH: &str = "the file was cut short or altered, fetch it again";

impl ImportError {
    pub(super) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
