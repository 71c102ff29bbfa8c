//! What ends an evaluation early.

use std::path::PathBuf;

use mempack_format::ReadError;
use mempack_model::ComputeError;
use mempack_runtime::{AskError, FetchError, IdentityMismatch, ReferenceError, RetrieveError, SessionError};

use crate::Mode;

/// Why an evaluation was not finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The pack was built with another model or another embedder.
    #[error(transparent)]
    Mismatch(#[from] IdentityMismatch),
    /// An option has a value that makes no sense.
    #[error("{option} is {found}; expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// A mode that this measurement has not.
    #[error("the mode `{mode}` does not fit here: {reason}; choose other modes with --modes")]
    Mode {
        /// The mode.
        mode: Mode,
        /// Why not.
        reason: &'static str,
    },
    /// What the pack says of a reference or a document cannot be read.
    #[error("{}: {item} {number}: {source}", path.display())]
    Read {
        /// The pack.
        path: PathBuf,
        /// `reference` or `document`.
        item: &'static str,
        /// Its number.
        number: u32,
        /// What is wrong.
        source: Box<ReadError>,
    },
    /// A reference could not be read as text.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The memories of a chunk could not be read.
    #[error(transparent)]
    Chunk(#[from] AskError),
    /// Nothing could be retrieved.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// A memory could not be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A generator could not be made.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A question could not be answered.
    #[error("question `{id}`: {source}")]
    Ask {
        /// The question's id.
        id: String,
        /// Why not.
        source: Box<AskError>,
    },
    /// The model failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The caller wanted no more.
    #[error("interrupted")]
    Interrupted,
}

impl EvaluateError {
    /// Whether the pack is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Read { source, .. } => matches!(**source, ReadError::Damaged(_)),
            Self::Retrieve(error) => error.is_damage(),
            Self::Fetch(error) => error.is_damage(),
            Self::Reference(error) => error.is_damage(),
            Self::Chunk(error) => error.is_damage(),
            Self::Ask { source, .. } => source.is_damage(),
            _ => false,
        }
    }
}
