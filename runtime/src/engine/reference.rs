//! A reference of a pack in the form that the model and the embedder read.

use std::convert::Infallible;
use std::path::PathBuf;

use mempack_format::ReadError;
use mempack_model::{Composer, ComputeError, Model, Recomposed, reference_text};
use mempack_retrieval::Hit;

use crate::MappedPack;

/// A reference's text and tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceText {
    /// Its number in the pack.
    pub number: u32,
    /// Ids of the documents that contain it, in corpus order.
    pub documents: Vec<String>,
    /// The encoded text: the document's title, if references include it, and the reference's text.
    pub text: String,
    /// The token ids that its memory is written from, including the template.
    pub ids: Vec<u32>,
}

/// Why a reference's text could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The pack's data about the reference cannot be read.
    #[error("{}: reference {reference}: {source}", path.display())]
    Read {
        /// The pack.
        path: PathBuf,
        /// The reference's number.
        reference: u32,
        /// The cause.
        source: Box<ReadError>,
    },
    /// The reference's title and text do not produce the number of tokens that its memory was written from.
    #[error(
        "{}: the memory of reference {reference} was written from {expected} tokens, but its title and text produce {found}: another \
         version of mempack built the pack and composed references differently; build the pack again, or read the memories in it",
        path.display()
    )]
    Composed {
        /// The pack.
        path: PathBuf,
        /// The reference's number.
        reference: u32,
        /// Number of tokens that the pack records.
        expected: usize,
        /// Number of tokens of the composed reference.
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
/// If the pack is damaged or does not have the reference, or the number of tokens is not the one that the pack records.
pub fn read_reference(model: &Model, pack: &MappedPack, number: u32) -> Result<ReferenceText, ReferenceError> {
    let failed = |source| ReferenceError::Read { path: pack.path().to_owned(), reference: number, source: Box::new(source) };
    let described = pack.describe(&Hit { reference: number, similarity: 0.0 }).map_err(failed)?;
    let composer = Composer::new(model)?;
    let expected = usize::from(pack.reference(number).map_err(failed)?.tokens);
    let composed = match composer.recompose(&described.title, &described.text, expected)? {
        Recomposed::Known(composed) => composed,
        Recomposed::Unknown { tokens: found } => {
            return Err(ReferenceError::Composed { path: pack.path().to_owned(), reference: number, expected, found });
        }
    };
    let text = reference_text(&composed.lead, &described.text).into_owned();
    let mut documents = vec![described.document];
    documents.extend(described.further.into_iter().map(|place| place.document));
    Ok(ReferenceText { number, documents, text, ids: composed.ids })
}
