//! Errors of training: where it failed, what was expected, what was found, and a remedy.

use std::convert::Infallible;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use mempack_corpus::CorpusError;
use mempack_model::training::{CreateError, SaveError};
use mempack_model::{ComputeError, LoadError};
use mempack_questions::QuestionError;

/// Why a training configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown field or one of the wrong type. The message shows the line.
    #[error("{path}: {source}", path = path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// A field has a value that is not allowed.
    #[error("field `{field}`: expected {expected}, found {found}; change it in the training configuration")]
    Field {
        /// The field, with the tables around it.
        field: String,
        /// What is allowed.
        expected: &'static str,
        /// What was found.
        found: String,
    },
}

/// Refuses a field's value unless it is `valid`.
pub(crate) fn require(name: &str, valid: bool, expected: &'static str, found: impl Display) -> Result<(), ConfigError> {
    if valid { Ok(()) } else { Err(ConfigError::Field { field: name.to_owned(), expected, found: found.to_string() }) }
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
    /// A new model could not be created.
    #[error(transparent)]
    Create(#[from] Box<CreateError>),
    /// The trained weights could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A stage's sources hold nothing to learn from.
    #[error("stage {stage}: {what} in its sources; {remedy}")]
    NoData {
        /// The stage's number, from 0.
        stage: usize,
        /// What is missing.
        what: String,
        /// A remedy.
        remedy: &'static str,
    },
    /// Sequences of a stage do not fit into the model's context.
    #[error(
        "field `{field}`: expected at most {max} tokens, found {found}; the model's context has {positions} positions, and prefix, memories and \
         BOS take the others: lower it in the training configuration"
    )]
    Length {
        /// The field, with its stage.
        field: String,
        /// Tokens of a sequence.
        found: usize,
        /// The most tokens that fit.
        max: usize,
        /// The model's `max_position_embeddings`.
        positions: u32,
    },
    /// A line of a file cannot be learnt from.
    #[error("{path}, line {line}: field `{field}`: expected {expected}, found {found}; correct the line, or remove it", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// What is expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A checkpoint belongs to another run, or is damaged.
    #[error("{path}: {part}: expected {expected}, found {found}; remove the checkpoint, or train into another folder", path = path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        part: String,
        /// What this run expects.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A file of the run cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The loss diverged after every retry.
    #[error(
        "the loss diverged at step {step} ({loss}), after {tries} retries with lower rates; lower optimizer.rate, or check the data of that step"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// The loss there.
        loss: f64,
        /// How often training went back to a checkpoint.
        tries: u32,
    },
    /// Training was cancelled. A checkpoint has been written.
    #[error("stopped after step {step}; the same command resumes the run there")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
}

/// For stages of retrieval that cannot fail.
impl From<Infallible> for TrainError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl TrainError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
