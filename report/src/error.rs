//! Why a report was not made.

use std::path::PathBuf;

#[cfg(feature = "tokenizer")]
use mempack_format::Digest;
use mempack_format::ReadError;
use mempack_runtime::{FetchError, MappedPack, SearchError};

/// Why a report was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Something of the pack cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The pack.
        path: PathBuf,
        /// The cause. Damage names the section and the offset.
        source: Box<ReadError>,
    },
    /// The memory of a reference cannot be decoded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The references nearest to one cannot be found.
    #[error("{}: what is nearest to reference {reference}: {source}", path.display())]
    Search {
        /// The pack.
        path: PathBuf,
        /// The reference.
        reference: u32,
        /// The cause.
        source: Box<SearchError>,
    },
    /// The file of the tokenizer cannot be read, or is none.
    #[cfg(feature = "tokenizer")]
    #[error("{}: {reason}; name the tokenizer.json of the model that wrote the pack", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer is not the one that the pack was written with.
    #[cfg(feature = "tokenizer")]
    #[error(
        "{}: the pack was written with another tokenizer: its digest is {expected}, this file's is {found}; name the tokenizer.json of {model}",
        path.display()
    )]
    OtherTokenizer {
        /// The file.
        path: PathBuf,
        /// The model that wrote the pack.
        model: String,
        /// The digest of the tokenizer in the pack.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
    },
    /// The tokenizer failed on the text of a reference.
    #[cfg(feature = "tokenizer")]
    #[error("the text of reference {reference} cannot be divided into tokens: {reason}; leave the tokenizer out")]
    Tokenize {
        /// The reference.
        reference: u32,
        /// What the tokenizer says.
        reason: String,
    },
}

impl ReportError {
    pub(crate) fn read(pack: &MappedPack, source: ReadError) -> Self {
        Self::Read { path: pack.path().to_owned(), source: Box::new(source) }
    }

    /// Whether the pack is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Read { source, .. } => matches!(**source, ReadError::Damaged(_)),
            Self::Fetch(error) => error.is_damage(),
            // The query is an embedding of the pack itself.
            Self::Search { source, .. } => source.is_damage() || matches!(**source, SearchError::NotFinite { .. }),
            #[cfg(feature = "tokenizer")]
            _ => false,
        }
    }
}
