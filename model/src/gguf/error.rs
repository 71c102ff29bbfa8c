//! Why a model could not be imported from its file.

use std::path::{Path, PathBuf};

/// Why a GGUF file, or the file of an embedder, could not be imported.
///
/// After an error there is no target folder, except for [`TargetExists`](Self::TargetExists).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or mapped.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no GGUF file.
    #[error("{path}: expected a GGUF file, found {found}; {remedy}", path = path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The header or a table of the file is damaged, or its version is not supported.
    #[error("{path}: {part}, at byte {offset}: expected {expected}, found {found}; {remedy}", path = path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Which part of the file: a field of the header, a key, a tensor.
        part: String,
        /// Offset of that part, in bytes from the start of the file.
        offset: u64,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to fix it.
        remedy: &'static str,
    },
    /// A key of the metadata is missing, has the wrong type, or a value that is not supported.
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
        /// How to fix it.
        remedy: &'static str,
    },
    /// The file's vocabulary makes no tokenizer. The model's own tokenizer.json is needed.
    #[error("{path}: key `{key}`: expected {expected}, found {found}; the model's own tokenizer.json is needed", path = path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A tensor is missing, is unknown for the architecture, or has another shape or type than the metadata says.
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
        /// How to fix it.
        remedy: &'static str,
    },
    /// The given tokenizer.json cannot be used.
    #[error("{path}: tokenizer: expected {expected}, found {found}; {remedy}", path = path.display())]
    Tokenizer {
        /// The tokenizer.json.
        path: PathBuf,
        /// What would be accepted.
        expected: String,
        /// What is there.
        found: String,
        /// How to fix it.
        remedy: &'static str,
    },
    /// The target folder exists already. It is left unchanged.
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
        /// The system's error.
        source: std::io::Error,
    },
}

/// The remedy for a damaged file.
pub(crate) const FETCH: &str = "the file was cut short or altered, fetch it again";

impl ImportError {
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
