//! A reference of a pack as model and embedder read it.

use std::convert::Infallible;
use std::path::PathBuf;

use mempack_format::ReadError;
use mempack_model::{Composer, ComputeError, Model, reference_text};
use mempack_retrieval::Hit;

use crate::MappedPack;

/// A reference's words and tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceText {
    /// Its number in the pack.
    pub number: u32,
    /// Ids of the documents that hold it, the first one first.
    pub documents: Vec<String>,
    /// What was encoded of it: the document's title, if it stands before the text, and the text.
    pub text: String,
    /// The same as the model's ids, template included: what its memory is written from.
    pub ids: Vec<u32>,
}

/// Why a reference could not be read as text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// What the pack says of the reference cannot be read.
    #[error("{}: reference {reference}: {source}", path.display())]
    Read {
        /// The pack.
        path: PathBuf,
        /// The reference's number.
        reference: u32,
        /// What is wrong.
        source: Box<ReadError>,
    },
    /// A reference's text and title no longer give the tokens that its memory was written from.
    #[error(
        "{}: reference {reference} was written from {expected} tokens, but its text and title give {found}: the pack was built by a \
         version of mempack that composed references in another way; build it again, or read the memories that it holds", path.display()
    )]
    Composed {
        /// The pack.
        path: PathBuf,
        /// The reference's number.
        reference: u32,
        /// Tokens of the reference in the pack.
        expected: usize,
        /// Tokens of what was composed.
        found: usize,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl From<Infallible> for ReferenceError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl ReferenceError {
    /// Whether the pack is damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read { source, .. } if matches!(**source, ReadError::Damaged(_)))
    }
}

/// Text, documents and tokens of a reference, composed as the compiler composes them.
///
/// # Errors
/// If the pack is damaged or has no such reference, or the tokens are not as many as the pack says.
pub fn read_reference(model: &Model, pack: &MappedPack, number: u32) -> Result<ReferenceText, ReferenceError> {
    let failed = |source| ReferenceError::Read { path: pack.path().to_owned(), reference: number, source: Box::new(source) };
    let described = pack.describe(&Hit { reference: number, similarity: 0.0 }).map_err(failed)?;
    let composer = Composer::new(model)?;
    let composed = composer.compose(&composer.lead(&described.title)?, &described.text)?;
    let expected = usize::from(pack.reference(number).map_err(failed)?.tokens);
    if composed.ids.len() != expected {
        let (path, found) = (pack.path().to_owned(), composed.ids.len());
        return Err(ReferenceError::Composed { path, reference: number, expected, found });
    }
    let text = reference_text(&composed.lead, &described.text).into_owned();
    let mut documents = vec![described.document];
    documents.extend(described.further.into_iter().map(|place| place.document));
    Ok(ReferenceText { number, documents, text, ids: composed.ids })
}
