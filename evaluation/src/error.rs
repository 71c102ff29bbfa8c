//! Errors of evaluations.

use std::path::PathBuf;

use mempack_format::ReadError;
use mempack_model::ComputeError;
use mempack_runtime::{AskError, CiteError, FetchError, IdentityMismatch, ReferenceError, RetrieveError, SessionError};

use crate::Mode;

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The pack was built with another model or another embedder.
    #[error(transparent)]
    Mismatch(#[from] IdentityMismatch),
    /// The value of an option is invalid.
    #[error("{option} is {found}; expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// The mode cannot be measured.
    #[error("mode `{mode}` cannot be measured: {reason}")]
    Mode {
        /// The mode.
        mode: Mode,
        /// Why.
        reason: &'static str,
    },
    /// The pack's data about a reference or a document cannot be read.
    #[error("{}: {item} {number}: {source}", path.display())]
    Read {
        /// The pack.
        path: PathBuf,
        /// `reference` or `document`.
        item: &'static str,
        /// Its number.
        number: u32,
        /// The cause.
        source: Box<ReadError>,
    },
    /// The text of a reference could not be read.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The memories of a chunk could not be read.
    #[error(transparent)]
    Chunk(#[from] AskError),
    /// Retrieval failed.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// A memory could not be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A session could not be created.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A question could not be answered.
    #[error("question `{id}`: {source}")]
    Ask {
        /// The question's id.
        id: String,
        /// The cause.
        source: Box<AskError>,
    },
    /// The model failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The source of a reference could not be read.
    #[error(transparent)]
    Cite(#[from] CiteError),
    /// No question has a gold document that the packs have.
    #[error(
        "no question can be measured: {without_gold} without gold_ids, {without_document} whose gold_ids no document of the packs has{}; name \
         the packs of the documents that the questions are about", first_of(first_ids, *ids)
    )]
    NothingToFind {
        /// Number of questions without gold ids.
        without_gold: usize,
        /// Number of questions whose gold ids no document has.
        without_document: usize,
        /// Number of gold ids that no document has.
        ids: usize,
        /// The first of them.
        first_ids: Vec<String>,
    },
    /// No pack has an index of terms, and all stages need one.
    #[error(
        "{}: no index of terms, which {} needs; build the pack again, taking its memories over, or measure dense", paths.join(", "),
        stages.join(" and ")
    )]
    NoTerms {
        /// The packs' files.
        paths: Vec<String>,
        /// The stages.
        stages: Vec<&'static str>,
    },
    /// The caller stopped the evaluation.
    #[error("interrupted")]
    Interrupted,
}

fn first_of(ids: &[String], all: usize) -> String {
    if all == 0 { String::new() } else { format!(" ({})", crate::retrieval::first(ids, all)) }
}

impl EvaluateError {
    /// Whether the pack is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Read { source, .. } => matches!(**source, ReadError::Damaged(_)),
            Self::Retrieve(error) => error.is_damage(),
            Self::Cite(error) => error.is_damage(),
            Self::Fetch(error) => error.is_damage(),
            Self::Reference(error) => error.is_damage(),
            Self::Chunk(error) => error.is_damage(),
            Self::Ask { source, .. } => source.is_damage(),
            _ => false,
        }
    }
}
