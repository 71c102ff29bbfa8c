//! Errors of training: what, where, what was expected, and how to mend it.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use mempack_corpus::CorpusError;
use mempack_model::training::{CreateError, SaveError};
use mempack_model::{ComputeError, LoadError};
use mempack_questions::QuestionError;

/// Why a training configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not TOML, has a field that is not known, or one of the wrong type; the message shows the line.
    #[error("{path}: {source}", path = path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// A field has a value that cannot be.
    #[error("field `{field}`: expected {expected}, found {found}; change it in the training configuration")]
    Field {
        /// The field, with the blocks it lies in.
        field: String,
        /// What would be accepted.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}

/// Refuses a field's value unless `right`.
pub(crate) fn field(name: &str, right: bool, expected: &'static str, found: impl Display) -> Result<(), ConfigError> {
    if right { Ok(()) } else { Err(ConfigError::Field { field: name.to_owned(), expected, found: found.to_string() }) }
}

/// Why training ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model or the embedder could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A computation was refused or failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// A corpus could not be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A file of questions could not be read.
    #[error(transparent)]
    Questions(#[from] QuestionError),
    /// A new model could not be made.
    #[error(transparent)]
    Create(#[from] Box<CreateError>),
    /// What was learnt could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// There is nothing to learn from in a stage's sources.
    #[error("stage {stage}: {what} in its sources; {remedy}")]
    NoData {
        /// Its number, from 0.
        stage: usize,
        /// What is missing.
        what: String,
        /// How to mend it.
        remedy: &'static str,
    },
    /// A checkpoint that belongs to another run, or is damaged.
    #[error("{path}: {part}: expected {expected}, found {found}; remove the checkpoint, or train into another folder", path = path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        part: String,
        /// What this run needs.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file of the run cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The loss ran away, again and again.
    #[error(
        "the loss ran away at step {step} ({loss}), {tries} times with lower rates; lower optimizer.rate, or look at the data of that step"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// The loss there.
        loss: f64,
        /// Times that training went back.
        tries: u32,
    },
    /// The user asked to stop; a checkpoint has been written.
    #[error("stopped after step {step}; the same command goes on from there")]
    Interrupted {
        /// Steps that are done.
        step: u64,
    },
}

impl TrainError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
