//! Errors of sessions and retrieval.

use std::convert::Infallible;

use mempack_format::{Difference, EmbedderIdentity, ModelIdentity};
use mempack_model::ComputeError;

use super::reference::ReferenceError;
use crate::{CiteError, FetchError, NotSigned, PackSearchError};

/// A pack and a model, or a pack and an embedder, that do not match.
#[derive(Debug, thiserror::Error)]
#[error(
    "the pack was built with the {party} `{built_with}`, not with `{given}`: they differ in {}; use the pack's {party}, or build the pack \
     again", Difference::summary(.differences)
)]
pub struct IdentityMismatch {
    /// `model` or `embedder`.
    pub party: &'static str,
    /// Name of the one that the pack was built with.
    pub built_with: String,
    /// Name of the given one.
    pub given: String,
    /// Every field that differs, with the pack's value and the given one; never empty.
    pub differences: Vec<Difference>,
}

impl IdentityMismatch {
    /// The fields that differ with both values, one a line: the pack's, then the given one's.
    pub fn details(&self) -> String {
        Difference::details(&self.differences)
    }

    /// Refuses a model that is not the pack's.
    ///
    /// # Errors
    /// If the two differ; the error lists the fields.
    pub fn check_model(pack: &ModelIdentity, model: &ModelIdentity) -> Result<(), Self> {
        refuse("model", &pack.name, &model.name, pack.differences(model))
    }

    /// Refuses an embedder that is not the pack's.
    ///
    /// # Errors
    /// If the two differ; the error lists the fields.
    pub fn check_embedder(pack: &EmbedderIdentity, embedder: &EmbedderIdentity) -> Result<(), Self> {
        refuse("embedder", &pack.name, &embedder.name, pack.differences(embedder))
    }
}

fn refuse(party: &'static str, pack: &str, given: &str, differences: Vec<Difference>) -> Result<(), IdentityMismatch> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(IdentityMismatch { party, built_with: pack.to_owned(), given: given.to_owned(), differences })
}

/// An option with a value that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {found}; expected {expected}")]
pub struct OptionError {
    /// Its name.
    pub option: &'static str,
    /// Its value.
    pub found: String,
    /// What is accepted.
    pub expected: String,
}

impl OptionError {
    pub(crate) fn new(option: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self { option, found: found.to_string(), expected: expected.into() }
    }

    /// Refuses an option outside 1 to `max`.
    pub(crate) fn check_range(option: &'static str, found: usize, max: usize) -> Result<(), Self> {
        if (1..=max).contains(&found) { Ok(()) } else { Err(Self::new(option, found, format!("1 to {max}"))) }
    }
}

/// Why a session could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The pack was built with another model or another embedder.
    #[error(transparent)]
    Mismatch(#[from] IdentityMismatch),
    /// The session requires signatures, and no trusted key signed a pack.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// The value of an option is invalid.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The model cannot be prepared for decoding.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The prefetch thread could not be started.
    #[error("the prefetch thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why retrieval failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
    /// The embedder failed.
    #[error("embedding the query: {0}")]
    Embed(#[from] ComputeError),
    /// The search failed.
    #[error(transparent)]
    Search(#[from] PackSearchError),
    /// A reference that a filter checks could not be read.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A reference that is reranked could not be read.
    #[error(transparent)]
    Cite(#[from] CiteError),
    /// A memory that is reranked could not be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The reranker failed.
    #[error("reranking: {0}")]
    Rerank(#[source] ComputeError),
}

impl From<Infallible> for RetrieveError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl RetrieveError {
    /// Whether the pack is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Search(error) => error.is_damage(),
            Self::Reference(error) => error.is_damage(),
            Self::Cite(error) => error.is_damage(),
            Self::Fetch(error) => error.is_damage(),
            Self::Embed(_) | Self::Rerank(_) => false,
        }
    }
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The question is blank.
    #[error("the question is empty; ask something")]
    EmptyQuestion,
    /// The value of one of the question's options is invalid.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The question is to be answered from packs, or with a reranker, of another model or embedder.
    #[error(transparent)]
    Mismatch(#[from] IdentityMismatch),
    /// There is a system message, and the model has no place for one.
    #[error(
        "the model `{model}` has no place for a system message: its memory block has no `system_template`; ask without the message, or add the \
         template that the model was trained on"
    )]
    NoSystem {
        /// Name of the model.
        model: String,
    },
    /// The prompt leaves no room in the model's context.
    #[error("the prompt has {tokens} tokens, and the model has room for {max}; ask a shorter question")]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Maximum number of tokens that leaves room for an answer of one token.
        max: usize,
    },
    /// The model's logits are not a distribution.
    #[error("the model's logits for token {token} of the answer have no finite maximum; the model's weights may be damaged")]
    Scores {
        /// Index of the answer's token.
        token: usize,
    },
    /// The session requires signatures, and no trusted key signed a pack that was mounted later.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Retrieval failed.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// A memory could not be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The text of a reference could not be read.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The model failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl AskError {
    /// Whether the pack is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Retrieve(error) => error.is_damage(),
            Self::Fetch(error) => error.is_damage(),
            Self::Reference(error) => error.is_damage(),
            Self::NotSigned(error) => error.is_damage(),
            _ => false,
        }
    }
}
